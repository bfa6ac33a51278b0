//! Owns the split of one payment over a loan's buckets.

use serde::{Deserialize, Serialize};

use crate::core::loan::balances::Balances;
use crate::core::loan::waterfall::{Bucket, Waterfall};
use crate::core::money::{AmountOverflow, Minor};

/// How one payment was divided. The parts add up to the payment because [`allocate`] is the only way to make one
/// from an amount; one read back from the store was made there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Paid on fees.
    pub fees: Minor,
    /// Paid on interest.
    pub interest: Minor,
    /// Paid on principal.
    pub principal: Minor,
    /// Left over, kept for the borrower.
    pub suspense: Minor,
}

impl Allocation {
    /// The payment again.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the parts do not come from one payment.
    pub fn total(&self) -> Result<Minor, AmountOverflow> {
        Minor::sum([self.fees, self.interest, self.principal, self.suspense])
    }

    /// The movement of the balances it causes: debts fall, suspense rises.
    ///
    /// # Errors
    /// [`AmountOverflow`] cannot come from an allocation that [`allocate`] made.
    pub fn movement(&self) -> Result<Balances, AmountOverflow> {
        Ok(Balances {
            fees: self.fees.mirrored()?,
            interest: self.interest.mirrored()?,
            principal: self.principal.mirrored()?,
            suspense: self.suspense,
        })
    }
}

/// Divides `amount` over what is `payable`, in the order of the waterfall; the rest goes to suspense.
///
/// `amount` and the payable balances must not be negative: amounts are parsed positive and balances are kept so.
///
/// # Errors
/// [`AmountOverflow`] cannot happen for such inputs, since every part is at most the amount.
pub fn allocate(amount: Minor, payable: &Balances, waterfall: Waterfall) -> Result<Allocation, AmountOverflow> {
    let mut allocation = Allocation::default();
    let mut rest = amount;
    for bucket in waterfall.order() {
        let part = rest.min(payable.owed(bucket)).max(Minor::ZERO);
        rest = rest.minus(part)?;
        match bucket {
            Bucket::Fees => allocation.fees = part,
            Bucket::Interest => allocation.interest = part,
            Bucket::Principal => allocation.principal = part,
        }
    }
    allocation.suspense = rest;
    Ok(allocation)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minor() -> impl Strategy<Value = Minor> {
        prop_oneof![0..50_i64, 0..=i64::MAX].prop_map(Minor::new)
    }

    proptest! {
        /// The naive model hands out cent by cent; small numbers only, so that it ends.
        #[test]
        fn cent_by_cent_gives_the_same_split(amount in 0..200_i64, owed in prop::array::uniform3(0..60_i64), turn in 0..6_usize) {
            let orders = ["fees,interest,principal", "fees,principal,interest", "interest,fees,principal",
                "interest,principal,fees", "principal,fees,interest", "principal,interest,fees"];
            let waterfall: Waterfall = orders[turn].parse().unwrap();
            let payable = Balances { fees: Minor::new(owed[0]), interest: Minor::new(owed[1]),
                principal: Minor::new(owed[2]), suspense: Minor::ZERO };
            let mut left = owed;
            let mut paid = [0_i64; 4];
            for _ in 0..amount {
                let order = waterfall.order().map(|bucket| match bucket {
                    Bucket::Fees => 0, Bucket::Interest => 1, Bucket::Principal => 2 });
                match order.into_iter().find(|&bucket| left[bucket] > 0) {
                    Some(bucket) => { left[bucket] -= 1; paid[bucket] += 1; }
                    None => paid[3] += 1,
                }
            }
            let split = allocate(Minor::new(amount), &payable, waterfall).unwrap();
            prop_assert_eq!([split.fees, split.interest, split.principal, split.suspense], paid.map(Minor::new));
        }

        #[test]
        fn parts_add_up_and_no_bucket_goes_below_zero(amount in minor(), fees in minor(), interest in minor(), principal in minor()) {
            let payable = Balances { fees, interest, principal, suspense: Minor::ZERO };
            let split = allocate(amount, &payable, Waterfall::default()).unwrap();
            prop_assert_eq!(split.total(), Ok(amount));
            for (part, owed) in [(split.fees, fees), (split.interest, interest), (split.principal, principal)] {
                prop_assert!(!part.is_negative() && part <= owed);
            }
            prop_assert!(!split.suspense.is_negative());
        }
    }
}
