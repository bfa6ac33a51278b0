//! Owns what moved on a loan day by day: balances on any date, and what interest and backdated items need of them.
//!
//! Days are effective dates. Which postings are counted (all, or those known at some instant) is decided by whoever
//! makes the history.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::loan::balances::Balances;
use crate::core::loan::interest::{InterestError, Segment, segments};
use crate::core::loan::rate::AnnualRate;
use crate::core::money::{AmountOverflow, Minor};

/// What moved on one effective date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanDay {
    /// The effective date.
    pub date: NaiveDate,
    /// Net movement of each balance; signed.
    pub movement: Balances,
    /// Of the interest, what was accrued; negative where an accrual was taken back.
    pub accrued: Minor,
}

/// The days on which something moved, in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoanHistory(Vec<LoanDay>);

impl LoanHistory {
    /// Adds up movements; days may come in any order and more than once.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a day's net movement leaves 64 bits. What it passes on the way may: sums are wide.
    pub fn new(movements: impl IntoIterator<Item = LoanDay>) -> Result<Self, AmountOverflow> {
        let mut sums: BTreeMap<NaiveDate, [i128; 5]> = BTreeMap::new();
        for LoanDay { date, movement, accrued } in movements {
            let Balances { fees, interest, principal, suspense } = movement;
            let day = sums.entry(date).or_default();
            for (sum, part) in day.iter_mut().zip([fees, interest, principal, suspense, accrued]) {
                // 2^64 movements of 64 bits cannot leave 128 bits.
                *sum = sum.saturating_add(i128::from(part.units()));
            }
        }
        let minor = |sum| i64::try_from(sum).map(Minor::new).map_err(|_| AmountOverflow);
        let day = |(date, sums): (NaiveDate, [i128; 5])| {
            let [fees, interest, principal, suspense, accrued] = sums.map(minor);
            let movement = Balances { fees: fees?, interest: interest?, principal: principal?, suspense: suspense? };
            Ok(LoanDay { date, movement, accrued: accrued? })
        };
        Ok(Self(sums.into_iter().map(day).collect::<Result<_, AmountOverflow>>()?))
    }

    /// The days, in order.
    #[must_use]
    pub fn days(&self) -> &[LoanDay] {
        &self.0
    }

    /// The balances at the end of a day.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn balances_on(&self, date: NaiveDate) -> Result<Balances, AmountOverflow> {
        self.balances_while(|day| day.date <= date)
    }

    /// The balances at the end of the day before.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn balances_before(&self, date: NaiveDate) -> Result<Balances, AmountOverflow> {
        self.balances_while(|day| day.date < date)
    }

    /// The balances after everything.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn balances(&self) -> Result<Balances, AmountOverflow> {
        self.balances_while(|_| true)
    }

    /// The last day on which something moved.
    #[must_use]
    pub fn last_day(&self) -> Option<NaiveDate> {
        self.0.last().map(|day| day.date)
    }

    /// The last day before `date` whose interest is booked.
    #[must_use]
    pub fn accrued_through(&self, date: NaiveDate) -> Option<NaiveDate> {
        self.0.iter().rev().filter(|day| day.date < date).find(|day| !day.accrued.is_zero()).map(|day| day.date)
    }

    /// The interest that was accrued on a day itself.
    #[must_use]
    pub fn accrued_on(&self, date: NaiveDate) -> Minor {
        let found = self.0.binary_search_by_key(&date, |day| day.date).ok().and_then(|index| self.0.get(index));
        found.map_or(Minor::ZERO, |day| day.accrued)
    }

    /// The stretches of unchanged principal up to a day.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn segments(&self, rate: AnnualRate, until: NaiveDate) -> Result<Vec<Segment>, InterestError> {
        segments(self.0.iter().map(|day| (day.date, day.movement.principal)), rate, until)
    }

    fn balances_while(&self, counts: impl Fn(&LoanDay) -> bool) -> Result<Balances, AmountOverflow> {
        self.0
            .iter()
            .take_while(|day| counts(day))
            .try_fold(Balances::default(), |balances, day| balances.plus(&day.movement))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap()
    }

    fn moved(date: NaiveDate, interest: i64, principal: i64, accrued: i64) -> LoanDay {
        let movement =
            Balances { interest: Minor::new(interest), principal: Minor::new(principal), ..Balances::default() };
        LoanDay { date, movement, accrued: Minor::new(accrued) }
    }

    #[test]
    fn balances_of_a_day_count_what_is_effective_by_then() {
        let history = LoanHistory::new([
            moved(day(3, 1), -30, -70, 0),
            moved(day(1, 1), 0, 1000, 0),
            moved(day(2, 1), 40, 0, 40),
            moved(day(3, 1), 5, 0, 5),
        ])
        .unwrap();
        let of = |balances: Result<Balances, AmountOverflow>| {
            balances.map(|balances| [balances.interest.units(), balances.principal.units()]).unwrap()
        };
        assert_eq!(of(history.balances_on(day(2, 28))), [40, 1000]);
        assert_eq!(of(history.balances_on(day(3, 1))), [15, 930]);
        assert_eq!(of(history.balances_before(day(3, 1))), [40, 1000]);
        assert_eq!(of(history.balances_before(day(1, 1))), [0, 0]);
        assert_eq!(history.balances().unwrap(), history.balances_on(NaiveDate::MAX).unwrap());
        assert_eq!(history.days().len(), 3);
        assert_eq!((history.accrued_on(day(3, 1)).units(), history.accrued_on(day(3, 2)).units()), (5, 0));
        assert_eq!(history.accrued_through(day(3, 1)), Some(day(2, 1)));
        assert_eq!(history.accrued_through(day(2, 1)), None);
        assert_eq!(history.last_day(), Some(day(3, 1)));
    }
}
