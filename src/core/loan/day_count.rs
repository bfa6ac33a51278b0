//! Owns day counts: which fraction of a year lies between two days.
//!
//! Exact, without decimals: years of 360, 365, 365.25 and 366 days have a common denominator, [`YEAR_PARTS`], of which
//! every convention's day is a whole number. So fractions add and compare as integers.
//!
//! The first day counts and the last does not (decision D3 of the domain): a payment of day D finds interest up to and
//! including the day before.
//!
//! Part months of `30_360` are counted by the convention's own rule (14/360 from 1 to 15 February), not pro rata of the
//! month's real days, which is what Apache Fineract does (14/29 of a month; domain rule 31).

use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// The parts of a year in which fractions are counted: the least common multiple of 360, 365, 366 and 1461/4.
pub const YEAR_PARTS: i128 = 780_699_960;

/// A day of a year of 360, 365, 366 and 365.25 days, in parts of a year.
const DAY_OF_360: i128 = 2_168_611;
const DAY_OF_365: i128 = 2_138_904;
const DAY_OF_366: i128 = 2_133_060;
const DAY_OF_365_25: i128 = 2_137_440;

/// A text is not a day count convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be ACT_365, ACT_360, 30_360, 30E_360, ACT_ACT or ACT_365_25")]
pub struct DayCountError;

/// How days become a fraction of a year. By default `ACT_365`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DayCount {
    /// Actual days over 365, leap year or not (Actual/365 Fixed).
    #[default]
    Act365,
    /// Actual days over 360.
    Act360,
    /// Months of 30 days, 30/360 US without the end-of-February rule ("bond basis", ISDA 2006 4.16(f)): a 31st at the
    /// start is the 30th; a 31st at the end is the 30th where the start is the 30th or 31st.
    Thirty360,
    /// Months of 30 days, every 31st is the 30th ("Eurobond basis", ISDA 2006 4.16(g)).
    ThirtyE360,
    /// Actual days, those in leap years over 366 and the others over 365 (ISDA 2006 4.16(b)).
    ActAct,
    /// Actual days over 365.25, as student loans count.
    Act36525,
}

/// Days from one up to, not counting, another; never backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DaySpan {
    from: NaiveDate,
    until: NaiveDate,
}

/// The fraction of a year that some days make, by the length of year they are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DaysCounted(pub(super) [(i64, i128); 2]);

impl DaySpan {
    /// The days `from`, and so on, up to the day before `until`; `None` where `until` lies before `from`.
    #[must_use]
    pub fn new(from: NaiveDate, until: NaiveDate) -> Option<Self> {
        (from <= until).then_some(Self { from, until })
    }

    /// One day; `None` for the calendar's last.
    #[must_use]
    pub fn day(day: NaiveDate) -> Option<Self> {
        Some(Self { from: day, until: day.succ_opt()? })
    }

    /// The first day, which counts.
    #[must_use]
    pub const fn from(self) -> NaiveDate {
        self.from
    }

    /// The last day, which does not count.
    #[must_use]
    pub const fn until(self) -> NaiveDate {
        self.until
    }

    /// How many days of the calendar.
    #[must_use]
    pub fn calendar_days(self) -> i64 {
        self.until.signed_duration_since(self.from).num_days()
    }

    /// The days in both; `None` where there are none, not even the border.
    #[must_use]
    pub fn overlap(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.until.min(other.until))
    }
}

impl DayCount {
    /// Every convention.
    pub const ALL: [Self; 6] =
        [Self::Act365, Self::Act360, Self::Thirty360, Self::ThirtyE360, Self::ActAct, Self::Act36525];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Act365 => "ACT_365",
            Self::Act360 => "ACT_360",
            Self::Thirty360 => "30_360",
            Self::ThirtyE360 => "30E_360",
            Self::ActAct => "ACT_ACT",
            Self::Act36525 => "ACT_365_25",
        }
    }

    /// The fraction of a year that these days make, in [`YEAR_PARTS`].
    #[must_use]
    pub fn year_parts(self, days: DaySpan) -> i128 {
        self.count(days).year_parts()
    }

    /// One day's fraction of a year, in [`YEAR_PARTS`]; under `ACT_ACT` it depends on the day's year.
    #[must_use]
    pub fn day_parts(self, day: NaiveDate) -> i128 {
        match self {
            Self::Act365 => DAY_OF_365,
            Self::Act360 | Self::Thirty360 | Self::ThirtyE360 => DAY_OF_360,
            Self::ActAct => {
                if day.leap_year() {
                    DAY_OF_366
                } else {
                    DAY_OF_365
                }
            }
            Self::Act36525 => DAY_OF_365_25,
        }
    }

    /// The days as the convention counts them, each sort with one day's fraction of a year.
    pub(super) fn count(self, days: DaySpan) -> DaysCounted {
        let one_sort = |count, parts| DaysCounted([(count, parts), (0, parts)]);
        match self {
            Self::Act365 => one_sort(days.calendar_days(), DAY_OF_365),
            Self::Act360 => one_sort(days.calendar_days(), DAY_OF_360),
            Self::Act36525 => one_sort(days.calendar_days(), DAY_OF_365_25),
            Self::Thirty360 => one_sort(days_of_30(days, Ends::Bond), DAY_OF_360),
            Self::ThirtyE360 => one_sort(days_of_30(days, Ends::Eurobond), DAY_OF_360),
            Self::ActAct => {
                let leap = days_in_leap_years(days);
                DaysCounted([(days.calendar_days().saturating_sub(leap), DAY_OF_365), (leap, DAY_OF_366)])
            }
        }
    }
}

impl DaysCounted {
    /// The fraction of a year in [`YEAR_PARTS`].
    pub(super) fn year_parts(self) -> i128 {
        // A calendar of 10,000 years has fewer than 2^23 days, and a day fewer than 2^22 parts.
        self.0.into_iter().fold(0, |sum, (days, parts)| sum.saturating_add(i128::from(days).saturating_mul(parts)))
    }

    /// Without the days of `earlier`, which were counted from the same first day by the same convention.
    pub(super) fn after(self, earlier: Self) -> Self {
        let ([(first, first_parts), (second, second_parts)], [(before, _), (before_too, _)]) = (self.0, earlier.0);
        Self([(first.saturating_sub(before), first_parts), (second.saturating_sub(before_too), second_parts)])
    }
}

impl From<DayCount> for String {
    fn from(convention: DayCount) -> Self {
        convention.as_str().to_owned()
    }
}

impl TryFrom<String> for DayCount {
    type Error = DayCountError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for DayCount {
    type Err = DayCountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|convention| convention.as_str() == text).ok_or(DayCountError)
    }
}

/// What becomes of a 31st.
#[derive(Clone, Copy)]
enum Ends {
    Bond,
    Eurobond,
}

/// Days between where every month has 30.
fn days_of_30(days: DaySpan, ends: Ends) -> i64 {
    let (from, until) = (days.from, days.until);
    let first = from.day().min(30);
    let last = match ends {
        Ends::Bond if first < 30 => until.day(),
        Ends::Bond | Ends::Eurobond => until.day().min(30),
    };
    let day_number = |date: NaiveDate, day: u32| {
        let months = i64::from(date.year()).saturating_mul(12).saturating_add(i64::from(date.month()));
        months.saturating_mul(30).saturating_add(i64::from(day))
    };
    day_number(until, last).saturating_sub(day_number(from, first))
}

/// How many of the days lie in leap years.
fn days_in_leap_years(days: DaySpan) -> i64 {
    let first_of = |year: i32| NaiveDate::from_ymd_opt(year, 1, 1);
    let in_year = |year: i32| {
        let from = first_of(year).map_or(days.from, |first| first.max(days.from));
        let until = year.checked_add(1).and_then(first_of).map_or(days.until, |next| next.min(days.until));
        if from.leap_year() { until.signed_duration_since(from).num_days() } else { 0 }
    };
    (days.from.year()..=days.until.year()).map(in_year).sum()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADDITIVE: [DayCount; 5] =
        [DayCount::Act365, DayCount::Act360, DayCount::ThirtyE360, DayCount::ActAct, DayCount::Act36525];

    fn span(from: (i32, u32, u32), until: (i32, u32, u32)) -> DaySpan {
        let date = |(year, month, day)| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        DaySpan::new(date(from), date(until)).unwrap()
    }

    #[test]
    fn every_day_is_a_whole_number_of_parts() {
        for (days, of_year, parts) in
            [(360, 1, DAY_OF_360), (365, 1, DAY_OF_365), (366, 1, DAY_OF_366), (1461, 4, DAY_OF_365_25)]
        {
            assert_eq!(days * parts, of_year * YEAR_PARTS);
        }
    }

    #[test]
    fn words_read_back() {
        for convention in DayCount::ALL {
            assert_eq!(convention.as_str().parse(), Ok(convention));
        }
        for bad in ["", "act_365", "ACT/365", "30/360", "ACT_364"] {
            assert_eq!(bad.parse::<DayCount>(), Err(DayCountError), "{bad}");
        }
    }

    #[test]
    fn a_calendar_year_is_a_year_where_it_should_be() {
        for (year, days) in [(2023, 365), (2024, 366), (1900, 365), (2000, 366)] {
            let days_of_year = span((year, 1, 1), (year + 1, 1, 1));
            assert_eq!(DayCount::ActAct.year_parts(days_of_year), YEAR_PARTS, "{year}");
            assert_eq!(DayCount::Thirty360.year_parts(days_of_year), YEAR_PARTS, "{year}");
            assert_eq!(DayCount::ThirtyE360.year_parts(days_of_year), YEAR_PARTS, "{year}");
            assert_eq!(DayCount::Act365.year_parts(days_of_year), days * DAY_OF_365, "{year}");
        }
    }

    #[test]
    fn edges_of_months_follow_the_convention() {
        for (from, until, bond, eurobond) in [
            ((2026, 1, 30), (2026, 1, 31), 0, 0),
            ((2026, 1, 31), (2026, 2, 1), 1, 1),
            ((2026, 1, 15), (2026, 1, 31), 16, 15),
            ((2026, 1, 15), (2026, 2, 15), 30, 30),
            ((2026, 2, 28), (2026, 3, 1), 3, 3),
            ((2026, 2, 28), (2026, 3, 31), 33, 32),
            ((2028, 2, 29), (2028, 3, 31), 32, 31),
        ] {
            let days = span(from, until);
            let parts = |convention: DayCount| convention.year_parts(days);
            let expected = (bond * DAY_OF_360, eurobond * DAY_OF_360);
            assert_eq!((parts(DayCount::Thirty360), parts(DayCount::ThirtyE360)), expected, "{days:?}");
        }
    }

    #[test]
    fn spans_do_not_run_backwards() {
        let (early, late) = (NaiveDate::MIN, NaiveDate::MAX);
        assert_eq!(DaySpan::new(late, early), None);
        assert_eq!(DaySpan::day(late), None);
        assert_eq!(DaySpan::day(early).unwrap().calendar_days(), 1);
    }

    fn date() -> impl Strategy<Value = NaiveDate> {
        (0..60_000_i64).prop_map(|days| NaiveDate::from_ymd_opt(1950, 1, 1).unwrap() + chrono::TimeDelta::days(days))
    }

    proptest! {
        #[test]
        fn fractions_add_up_where_days_are_counted_one_by_one(dates in prop::array::uniform3(date())) {
            let mut dates = dates;
            dates.sort_unstable();
            let parts = |convention: DayCount, from: usize, until: usize| {
                convention.year_parts(DaySpan::new(dates[from], dates[until]).unwrap())
            };
            for convention in ADDITIVE {
                prop_assert_eq!(
                    parts(convention, 0, 1) + parts(convention, 1, 2), parts(convention, 0, 2), "{:?}", convention
                );
            }
        }

        /// The naive model asks each day for its year.
        #[test]
        fn actual_actual_is_the_sum_of_its_days(from in date(), days in 0..1500_usize) {
            let until = from + chrono::TimeDelta::days(i64::try_from(days).unwrap());
            let naive: i128 = from.iter_days().take(days).map(|day| DayCount::ActAct.day_parts(day)).sum();
            prop_assert_eq!(DayCount::ActAct.year_parts(DaySpan::new(from, until).unwrap()), naive);
        }

        #[test]
        fn a_fraction_never_shrinks_as_days_pass(from in date(), days in 0..800_i64) {
            let until = from + chrono::TimeDelta::days(days);
            for convention in DayCount::ALL {
                let parts = |until| convention.year_parts(DaySpan::new(from, until).unwrap());
                prop_assert!(parts(until) >= 0);
                prop_assert!(parts(until) <= parts(until.succ_opt().unwrap()), "{:?}", convention);
            }
        }
    }
}
