//! Owns the account of a payment's split: what each bucket owed, what the payment took of it, and why no more.

use crate::core::loan::allocation::{Allocation, allocate};
use crate::core::loan::balances::Balances;
use crate::core::loan::waterfall::{Bucket, Waterfall};
use crate::core::money::{AmountOverflow, Minor};

/// Why a bucket took what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing was owed.
    NothingOwed,
    /// All that was owed is paid.
    PaidInFull,
    /// The money went to the buckets before it.
    MoneyRanOut,
}

impl Limit {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingOwed => "nothing_owed",
            Self::PaidInFull => "paid_in_full",
            Self::MoneyRanOut => "money_ran_out",
        }
    }
}

/// One step of the waterfall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketStep {
    /// Which bucket.
    pub bucket: Bucket,
    /// What it owed.
    pub owed: Minor,
    /// The money that came to this step.
    pub available: Minor,
    /// What it took.
    pub paid: Minor,
    /// Why no more.
    pub limit: Limit,
}

/// Explains the split of `amount` over a loan that owes `owed`.
///
/// # Errors
/// [`AmountOverflow`] cannot happen for an amount and balances that are not negative.
pub fn explain(
    amount: Minor,
    owed: &Balances,
    waterfall: Waterfall,
) -> Result<(Vec<BucketStep>, Allocation), AmountOverflow> {
    let split = allocate(amount, owed, waterfall)?;
    let mut available = amount;
    let mut steps = Vec::with_capacity(Bucket::ALL.len());
    for bucket in waterfall.order() {
        let paid = match bucket {
            Bucket::Fees => split.fees,
            Bucket::Interest => split.interest,
            Bucket::Principal => split.principal,
        };
        let owed = owed.owed(bucket);
        let limit = if paid < owed {
            Limit::MoneyRanOut
        } else if owed.is_zero() {
            Limit::NothingOwed
        } else {
            Limit::PaidInFull
        };
        steps.push(BucketStep { bucket, owed, available, paid, limit });
        available = available.minus(paid)?;
    }
    Ok((steps, split))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Money that came, what was owed, what was paid, why no more.
    type Step = (i64, i64, i64, &'static str);

    fn told(amount: i64, [fees, interest, principal]: [i64; 3]) -> (Vec<Step>, [i64; 4]) {
        let [fees, interest, principal] = [fees, interest, principal].map(Minor::new);
        let owed = Balances { fees, interest, principal, suspense: Minor::ZERO };
        let (steps, split) = explain(Minor::new(amount), &owed, Waterfall::default()).unwrap();
        let told =
            |step: &BucketStep| (step.available.units(), step.owed.units(), step.paid.units(), step.limit.as_str());
        let parts = [split.fees, split.interest, split.principal, split.suspense].map(Minor::units);
        (steps.iter().map(told).collect(), parts)
    }

    #[test]
    fn every_cent_has_a_reason() {
        let steps = [(120, 50, 50, "paid_in_full"), (70, 0, 0, "nothing_owed"), (70, 1000, 70, "money_ran_out")];
        assert_eq!(told(120, [50, 0, 1000]), (steps.to_vec(), [50, 0, 70, 0]));
        let steps = [(120, 50, 50, "paid_in_full"), (70, 30, 30, "paid_in_full"), (40, 0, 0, "nothing_owed")];
        assert_eq!(told(120, [50, 30, 0]), (steps.to_vec(), [50, 30, 0, 40]));
        let steps = [(50, 50, 50, "paid_in_full"), (0, 30, 0, "money_ran_out"), (0, 0, 0, "nothing_owed")];
        assert_eq!(told(50, [50, 30, 0]), (steps.to_vec(), [50, 0, 0, 0]));
    }
}
