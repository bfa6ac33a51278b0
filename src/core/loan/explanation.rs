//! Owns the account of a payment's split: what each bucket owed, what it could take, and why it took what it took.

use chrono::NaiveDate;

use crate::core::loan::allocation::{Allocation, allocate};
use crate::core::loan::balances::Balances;
use crate::core::loan::timeline::Timeline;
use crate::core::loan::waterfall::{Bucket, Waterfall};
use crate::core::money::{AmountOverflow, Minor};

/// Why a bucket took what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing was owed.
    NothingOwed,
    /// All that was owed is paid.
    PaidInFull,
    /// The item is dated in the past, and on a later day less was owed: more would make the bucket negative on that day.
    LaterDay,
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
            Self::LaterDay => "later_day",
            Self::MoneyRanOut => "money_ran_out",
        }
    }
}

/// One step of the waterfall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketStep {
    /// Which bucket.
    pub bucket: Bucket,
    /// What it owed when the payment was posted.
    pub owed: Minor,
    /// What the payment could pay of it.
    pub payable: Minor,
    /// Where that is less than was owed: the last day on which no more was owed.
    pub least_on: Option<NaiveDate>,
    /// The money that came to this step.
    pub available: Minor,
    /// What it took.
    pub paid: Minor,
    /// Why no more.
    pub limit: Limit,
}

/// Explains the split of `amount`, dated `date`, over a loan that owed `owed`; `later` is what had moved after that day.
///
/// # Errors
/// [`AmountOverflow`] when a past balance leaves 64 bits, which posting keeps from happening.
pub fn explain(
    (amount, date): (Minor, NaiveDate),
    owed: &Balances,
    later: &Timeline,
    waterfall: Waterfall,
) -> Result<(Vec<BucketStep>, Allocation), AmountOverflow> {
    let payable = later.least_since(date, owed)?;
    let split = allocate(amount, &payable, waterfall)?;
    let mut available = amount;
    let mut steps = Vec::with_capacity(Bucket::ALL.len());
    for bucket in waterfall.order() {
        let paid = match bucket {
            Bucket::Fees => split.fees,
            Bucket::Interest => split.interest,
            Bucket::Principal => split.principal,
        };
        let (owed_by_bucket, can_take) = (owed.owed(bucket), payable.owed(bucket));
        let limit = if paid < can_take {
            Limit::MoneyRanOut
        } else if can_take < owed_by_bucket {
            Limit::LaterDay
        } else if owed_by_bucket.is_zero() {
            Limit::NothingOwed
        } else {
            Limit::PaidInFull
        };
        let least_on =
            if can_take < owed_by_bucket { later.last_day_at_least(date, owed, bucket, can_take)? } else { None };
        steps.push(BucketStep { bucket, owed: owed_by_bucket, payable: can_take, least_on, available, paid, limit });
        available = available.minus(paid)?;
    }
    Ok((steps, split))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::loan::timeline::DayMovement;

    fn day(month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap()
    }

    fn balances([fees, interest, principal]: [i64; 3]) -> Balances {
        let [fees, interest, principal] = [fees, interest, principal].map(Minor::new);
        Balances { fees, interest, principal, suspense: Minor::ZERO }
    }

    #[test]
    fn every_cent_has_a_reason() {
        let (steps, split) =
            explain((Minor::new(120), day(5, 1)), &balances([50, 0, 1000]), &Timeline::default(), Waterfall::default())
                .unwrap();
        let told = steps.iter().map(|step| (step.available.units(), step.paid.units(), step.limit.as_str()));
        let expected = [(120, 50, "paid_in_full"), (70, 0, "nothing_owed"), (70, 70, "money_ran_out")];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!(split.total(), Ok(Minor::new(120)));
    }

    #[test]
    fn a_backdated_payment_is_told_the_day_that_limits_it() {
        // A fee of 1 March was paid on 1 April; another was charged on 1 May.
        let moved = |date, units| DayMovement { date, movement: balances([units, 0, 0]) };
        let later = Timeline::new([moved(day(4, 1), -30), moved(day(5, 1), 50)]).unwrap();
        let (steps, split) =
            explain((Minor::new(80), day(3, 1)), &balances([50, 0, 0]), &later, Waterfall::default()).unwrap();
        assert_eq!((steps[0].owed.units(), steps[0].payable.units()), (50, 0));
        assert_eq!((steps[0].least_on, steps[0].limit), (Some(day(4, 30)), Limit::LaterDay));
        assert_eq!(split.suspense.units(), 80);
    }
}
