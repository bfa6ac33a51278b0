//! Owns the interest oracle: `tests/data/interest.csv`, amounts from Apache Fineract (Apache-2.0) and from published worked
//! examples; each row names its source and its rounding.

use std::collections::BTreeMap;

use hpts::core::loan::{AnnualRate, DayCount, DaySpan, InterestTerms, Rounding, RoundingMode, RoundingTime, Segment};
use hpts::core::money::Minor;
use serde::Deserialize;

use super::{Cents, Reason, convention, is_rate_factor, span, told};

pub(super) const DATA: &str = include_str!("../../data/interest.csv");

/// How many rows the file has, and how many of them run.
const ROWS: usize = 34;
const RUN: usize = 22;

/// Every row that does not run.
const LEFT_OUT: [(&str, Reason); 12] = [
    ("int-021", Reason::AmountOfOtherDays),
    ("int-023", Reason::AmountOfOtherDays),
    ("int-029", Reason::ConventionNotOffered),
    ("int-030", Reason::ConventionNotOffered),
    ("int-032", Reason::ConventionNotOffered),
    ("int-033", Reason::ConventionNotOffered),
    ("int-034", Reason::ConventionNotOffered),
    ("int-036", Reason::ConventionNotOffered),
    ("int-046", Reason::PartMonthByActualDays),
    ("int-051", Reason::PartMonthByActualDays),
    ("int-052", Reason::PartMonthByActualDays),
    ("int-054", Reason::PartMonthByActualDays),
];

#[derive(Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    principal: String,
    pub(super) annual_rate_pct: String,
    pub(super) convention: String,
    start: String,
    end: String,
    days: i64,
    rate_factor: String,
    expected_interest: String,
    rounding: String,
}

impl Row {
    /// The row's days; where it only counts them, those from a first of January of a common year, as many.
    pub(super) fn days(&self, day_count: DayCount) -> DaySpan {
        if !self.start.is_empty() {
            return span(&self.start, &self.end);
        }
        let first: chrono::NaiveDate = "2025-01-01".parse().unwrap();
        let until = first + chrono::TimeDelta::days(self.days);
        match day_count {
            DayCount::Act365 | DayCount::Act360 | DayCount::ActAct | DayCount::Act36525 => DaySpan::new(first, until),
            DayCount::Thirty360 | DayCount::ThirtyE360 => {
                assert_eq!(self.days, 30, "{}: days of a convention, a month", self.id);
                DaySpan::new(first, "2025-02-01".parse().unwrap())
            }
        }
        .unwrap()
    }

    /// The policy, and principal and interest in the unit it rounds to: cents, once whole dollars.
    pub(super) fn rounding(&self) -> (Rounding, Minor, Minor) {
        let cents = |text: &String| Cents::try_from(text.clone()).unwrap().0;
        let dollars = |text: &String| text.strip_suffix(".00").unwrap().parse().map(Minor::new).unwrap();
        let (mode, time) = match self.rounding.as_str() {
            "half_even_once" => (RoundingMode::HalfEven, RoundingTime::Once),
            "half_even_per_segment" => (RoundingMode::HalfEven, RoundingTime::PerSegment),
            "once" => (RoundingMode::HalfUp, RoundingTime::Once),
            "truncated to whole dollars" => (RoundingMode::Down, RoundingTime::Once),
            other => panic!("{}: {other} is a policy nobody has judged", self.id),
        };
        let (principal, interest) = match mode {
            RoundingMode::Down => (dollars(&self.principal), dollars(&self.expected_interest)),
            RoundingMode::HalfUp | RoundingMode::HalfEven | RoundingMode::AwayFromZero => {
                (cents(&self.principal), cents(&self.expected_interest))
            }
        };
        (Rounding { mode, time }, principal, interest)
    }

    /// Runs the row, or says why not.
    pub(super) fn run(&self) -> Option<Reason> {
        let day_count = match convention(&self.convention) {
            Ok(day_count) => day_count,
            Err(reason) => return Some(reason),
        };
        let (rate, days) = (AnnualRate::parse(&self.annual_rate_pct).unwrap(), self.days(day_count));
        if !self.rate_factor.is_empty() && !is_rate_factor(&self.rate_factor, rate, day_count, days) {
            let whole_month = self.rounding == "half_even_once";
            return Some(if whole_month { Reason::AmountOfOtherDays } else { Reason::PartMonthByActualDays });
        }
        let (rounding, principal, expected) = self.rounding();
        let terms = InterestTerms { day_count, rounding };
        assert_eq!(terms.interest(&[Segment { principal, rate, days }], days), Ok(expected), "{}", self.id);
        None
    }
}

#[test]
fn every_row_of_the_interest_oracle_runs_or_says_why_not() {
    let mut rows = BTreeMap::new();
    for row in csv::Reader::from_reader(DATA.as_bytes()).deserialize::<Row>() {
        let row = row.unwrap();
        let left_out = row.run();
        assert_eq!(rows.insert(row.id.clone(), left_out), None, "{} stands twice", row.id);
    }
    let (ran, report) = told(&rows, &LEFT_OUT);
    println!("interest oracle: {report}");
    assert_eq!((rows.len(), ran), (ROWS, RUN));
}
