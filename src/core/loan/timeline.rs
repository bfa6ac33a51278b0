//! Owns what a loan owed on past days, as far as a backdated item needs it.
//!
//! What a late refund, transfer or adjustment takes of a loan is, bucket by bucket, at most the smallest balance the bucket
//! has on any day from its own date on: see [`late`](crate::core::ledger).

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::loan::balances::Balances;
use crate::core::money::{AmountOverflow, Minor};

/// What moved on one effective date, all postings of that day together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayMovement {
    /// The effective date.
    pub date: NaiveDate,
    /// Net movement of each balance; signed.
    pub movement: Balances,
}

/// The net movements of a loan's recent days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    days: BTreeMap<NaiveDate, Balances>,
}

impl Timeline {
    /// Builds it from the movements after some date; days may come in any order and more than once.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a day's net movement leaves 64 bits. What it passes on the way may: sums are wide.
    pub fn new(movements: impl IntoIterator<Item = DayMovement>) -> Result<Self, AmountOverflow> {
        let mut sums: BTreeMap<NaiveDate, [i128; 4]> = BTreeMap::new();
        for DayMovement { date, movement } in movements {
            let Balances { fees, interest, principal, suspense } = movement;
            let day = sums.entry(date).or_default();
            for (sum, part) in day.iter_mut().zip([fees, interest, principal, suspense]) {
                // 2^64 movements of 64 bits cannot leave 128 bits.
                *sum = sum.saturating_add(i128::from(part.units()));
            }
        }
        let net = sums.into_iter().map(|(date, sum)| Ok((date, narrow(sum)?)));
        Ok(Self { days: net.collect::<Result<_, _>>()? })
    }

    /// Adds a movement.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the day's movements leave 64 bits.
    pub fn add(&mut self, day: DayMovement) -> Result<(), AmountOverflow> {
        let sum = self.days.entry(day.date).or_default();
        *sum = Balances {
            fees: sum.fees.plus(day.movement.fees)?,
            interest: sum.interest.plus(day.movement.interest)?,
            principal: sum.principal.plus(day.movement.principal)?,
            suspense: sum.suspense.plus(day.movement.suspense)?,
        };
        Ok(())
    }

    /// The smallest end-of-day balance of each bucket on any day from `date` on, given today's balances.
    ///
    /// Must hold every movement dated after `date`; earlier ones do not matter.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a past balance leaves 64 bits, which [`Self::check_room`] keeps from happening.
    pub fn least_since(&self, date: NaiveDate, today: &Balances) -> Result<Balances, AmountOverflow> {
        self.ends_of_days(date, today).try_fold(*today, |least, balances| Ok(least.least(&balances?)))
    }

    /// The balances at the end of a day, given today's.
    ///
    /// Must hold every movement dated after `date`; earlier ones do not matter.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a past balance leaves 64 bits, which [`Self::check_room`] keeps from happening.
    pub fn balances_on(&self, date: NaiveDate, today: &Balances) -> Result<Balances, AmountOverflow> {
        self.ends_of_days(date, today).last().unwrap_or(Ok(*today))
    }

    /// Proves that `movement`, counting from `date`, leaves every later day's balances within 64 bits.
    ///
    /// Must hold every movement dated after `date`; earlier ones do not matter.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a day's bucket or exposure would leave 64 bits.
    pub fn check_room(&self, date: NaiveDate, today: &Balances, movement: &Balances) -> Result<(), AmountOverflow> {
        self.ends_of_days(date, today).try_for_each(|balances| balances?.plus(movement).map(|_| ()))
    }

    /// The balances before all of these movements, given today's.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a past balance leaves 64 bits, which [`Self::check_room`] keeps from happening.
    pub fn start(&self, today: &Balances) -> Result<Balances, AmountOverflow> {
        self.days.values().rev().try_fold(*today, |balances, movement| balances.minus(movement))
    }

    /// The balances at the end of each day from `date` on that differ from the next day's, latest first; not today's.
    fn ends_of_days(
        &self,
        date: NaiveDate,
        today: &Balances,
    ) -> impl Iterator<Item = Result<Balances, AmountOverflow>> {
        let after = (std::ops::Bound::Excluded(date), std::ops::Bound::Unbounded);
        let mut balances = Ok(*today);
        self.days.range(after).rev().map(move |(_, movement)| {
            balances = balances.and_then(|balances| balances.minus(movement));
            balances
        })
    }
}

fn narrow(sum: [i128; 4]) -> Result<Balances, AmountOverflow> {
    let minor = |sum| i64::try_from(sum).map(Minor::new).map_err(|_| AmountOverflow);
    let [fees, interest, principal, suspense] = sum.map(minor);
    Ok(Balances { fees: fees?, interest: interest?, principal: principal?, suspense: suspense? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap()
    }

    fn principal(units: i64) -> Balances {
        Balances { principal: Minor::new(units), ..Balances::default() }
    }

    #[test]
    fn the_least_balance_looks_from_the_date_on() {
        let movements = [(day(1, 1), 100), (day(2, 1), -70), (day(3, 1), 50)];
        let timeline =
            Timeline::new(movements.map(|(date, units)| DayMovement { date, movement: principal(units) })).unwrap();
        let today = principal(80);
        let least = |date| timeline.least_since(date, &today).unwrap().principal.units();
        assert_eq!(least(day(1, 1)), 30, "30 is what was left in February");
        assert_eq!(least(day(2, 1)), 30);
        assert_eq!(least(day(3, 1)), 80);
        assert_eq!(least(day(1, 1).pred_opt().unwrap()), 0, "before the loan there was nothing");
    }

    #[test]
    fn a_days_movements_may_come_in_any_order() {
        let built = |units: [i64; 3]| {
            Timeline::new(units.map(|units| DayMovement { date: day(2, 1), movement: principal(units) }))
        };
        let posted = built([i64::MAX, -i64::MAX, i64::MAX]).unwrap();
        assert_eq!(built([i64::MAX, i64::MAX, -i64::MAX]), Ok(posted));
        assert_eq!(built([i64::MAX, 1, 0]), Err(AmountOverflow));
    }

    #[test]
    fn room_is_looked_for_on_every_later_day() {
        let movements = [(day(2, 1), i64::MAX - 5), (day(3, 1), 5 - i64::MAX)];
        let timeline =
            Timeline::new(movements.map(|(date, units)| DayMovement { date, movement: principal(units) })).unwrap();
        // Nothing was owed in January and nothing is owed today, but in February there was room for 5 only.
        let today = principal(0);
        assert_eq!(timeline.check_room(day(1, 1), &today, &principal(5)), Ok(()));
        assert_eq!(timeline.check_room(day(1, 1), &today, &principal(6)), Err(AmountOverflow));
        assert_eq!(timeline.check_room(day(3, 1), &today, &principal(6)), Ok(()), "March and later have room");
    }
}
