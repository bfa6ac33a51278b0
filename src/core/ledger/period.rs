//! Owns accounting periods: calendar months, which of them take no more bookings, and the day an event is booked on.
//!
//! The effective date says when something counts and never moves. The booking date says in which period it is booked:
//! the effective date, or the first day of the next open month where its own month is closed (domain, decision D8).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{Datelike, Months, NaiveDate};

use crate::core::time::parse_date;

/// A text is not an accounting period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a month written YYYY-MM")]
pub struct NotAPeriod;

/// A stored word is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown word for a period")]
pub struct UnknownPeriodWord;

/// An accounting period: a calendar month, known by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(NaiveDate);

impl Period {
    /// Reads `YYYY-MM`.
    ///
    /// # Errors
    /// [`NotAPeriod`] for any other form and for months the calendar does not have.
    pub fn parse(text: &str) -> Result<Self, NotAPeriod> {
        // The date's reader knows the form; a longer text would smuggle in a day of its own.
        if text.len() != 7 {
            return Err(NotAPeriod);
        }
        parse_date(&format!("{text}-01")).map(Self).map_err(|_| NotAPeriod)
    }

    /// The period of a day.
    #[must_use]
    pub fn of(date: NaiveDate) -> Self {
        Self(date.with_day(1).unwrap_or(date))
    }

    /// Its first day.
    #[must_use]
    pub const fn first_day(self) -> NaiveDate {
        self.0
    }

    fn next(self) -> Option<Self> {
        self.0.checked_add_months(Months::new(1)).map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// Whether a period takes bookings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodStatus {
    /// It does.
    Open,
    /// It does not, until it is opened again.
    Closed,
}

impl PeriodStatus {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for PeriodStatus {
    type Err = UnknownPeriodWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Open, Self::Closed].into_iter().find(|status| status.as_str() == text).ok_or(UnknownPeriodWord)
    }
}

/// What becomes of an event that is dated in a closed period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClosedPeriodRule {
    /// It keeps its effective date and is booked on the first open day after it.
    #[default]
    NextOpenDay,
    /// It is rejected, `period_closed`.
    Refuse,
}

impl ClosedPeriodRule {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NextOpenDay => "next_open_day",
            Self::Refuse => "refuse",
        }
    }
}

impl FromStr for ClosedPeriodRule {
    type Err = UnknownPeriodWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::NextOpenDay, Self::Refuse].into_iter().find(|rule| rule.as_str() == text).ok_or(UnknownPeriodWord)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Closed {
    rule: ClosedPeriodRule,
    periods: BTreeSet<Period>,
}

/// A tenant's closed periods, as the fold is told of them. Nothing is closed by default. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar(Option<Arc<Closed>>);

impl Calendar {
    /// A calendar with these periods closed.
    #[must_use]
    pub fn new(rule: ClosedPeriodRule, closed: impl IntoIterator<Item = Period>) -> Self {
        let periods: BTreeSet<Period> = closed.into_iter().collect();
        Self((!periods.is_empty()).then(|| Arc::new(Closed { rule, periods })))
    }

    /// Whether every period is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether an event of this day is refused.
    #[must_use]
    pub fn refuses(&self, date: NaiveDate) -> bool {
        self.0.as_ref().is_some_and(|closed| match closed.rule {
            ClosedPeriodRule::Refuse => closed.periods.contains(&Period::of(date)),
            ClosedPeriodRule::NextOpenDay => false,
        })
    }

    /// The day on which an event of this day is booked: the day itself, or the first open one after it.
    #[must_use]
    pub fn booking_date(&self, date: NaiveDate) -> NaiveDate {
        let Some(closed) = &self.0 else { return date };
        let own = Period::of(date);
        if !closed.periods.contains(&own) {
            return date;
        }
        let mut period = own.next();
        while let Some(closed_too) = period.filter(|period| closed.periods.contains(period)) {
            period = closed_too.next();
        }
        // The calendar of days ends long after that of dates we accept.
        period.map_or(date, Period::first_day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        parse_date(text).unwrap()
    }

    fn period(text: &str) -> Period {
        Period::parse(text).unwrap()
    }

    #[test]
    fn periods_have_one_form() {
        assert_eq!(period("2026-04").to_string(), "2026-04");
        assert_eq!(Period::of(day("2026-02-28")), period("2026-02"));
        for bad in
            ["", "2026", "2026-4", "2026-13", "2026-00", "2026-04-01", "26-04", "2026/04", "２０２６-04", "0000-01"]
        {
            assert_eq!(Period::parse(bad), Err(NotAPeriod), "{bad}");
        }
    }

    #[test]
    fn an_event_of_a_closed_month_is_booked_on_the_first_open_day() {
        let calendar = Calendar::new(ClosedPeriodRule::NextOpenDay, ["2026-11", "2026-12", "2026-02"].map(period));
        let booked = |text: &str| calendar.booking_date(day(text)).to_string();
        assert_eq!(booked("2026-10-31"), "2026-10-31");
        assert_eq!(booked("2026-11-01"), "2027-01-01");
        assert_eq!(booked("2026-12-31"), "2027-01-01");
        assert_eq!(booked("2026-02-14"), "2026-03-01");
        assert!(!calendar.refuses(day("2026-11-01")));
        assert_eq!(Calendar::default().booking_date(day("2026-11-01")), day("2026-11-01"));
    }

    #[test]
    fn only_the_rule_refuse_refuses() {
        let calendar = Calendar::new(ClosedPeriodRule::Refuse, [period("2026-04")]);
        assert!(calendar.refuses(day("2026-04-30")) && !calendar.refuses(day("2026-05-01")));
        assert!(Calendar::new(ClosedPeriodRule::Refuse, []).is_open());
    }
}
