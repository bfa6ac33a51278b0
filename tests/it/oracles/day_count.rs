//! Owns the day count oracle: `tests/data/daycount.csv`, fractions from `DayCountTest` of `OpenGamma` Strata (Apache-2.0)
//! and `daycounters.cpp` of `QuantLib` (BSD style); each row names commit, path and line.

use std::collections::BTreeMap;

use hpts::core::loan::{DayCount, RoundingMode, YEAR_PARTS};
use serde::Deserialize;

use super::{Reason, TRILLION, convention, span};

const DATA: &str = include_str!("../../data/daycount.csv");

/// How many rows the file has, and how many of them run: all of the six conventions that are offered.
const ROWS: usize = 159;
const RUN: usize = 79;

/// How many rows of each convention do not run, for one reason: it is not offered.
const LEFT_OUT: [(&str, usize); 7] = [
    ("30E/360 ISDA", 32),
    ("30E/365", 8),
    ("30U/360 EOM", 20),
    ("ACT/364", 6),
    ("ACT/365 ACTUAL", 4),
    ("NL/360", 4),
    ("NL/365", 6),
];

#[derive(Deserialize)]
struct Row {
    id: String,
    convention: String,
    start: String,
    end: String,
    actual_days: i64,
    fraction_exact: String,
    fraction: String,
    convention_days: Option<i128>,
}

impl Row {
    fn check(&self, day_count: DayCount) {
        let days = span(&self.start, &self.end);
        let parts = day_count.year_parts(days);
        assert_eq!(days.calendar_days(), self.actual_days, "{}", self.id);
        if let Some((numerator, denominator)) = self.fraction_exact.split_once('/') {
            let (numerator, denominator): (i128, i128) = (numerator.parse().unwrap(), denominator.parse().unwrap());
            assert_eq!(parts * denominator, numerator * YEAR_PARTS, "{}", self.id);
        }
        let (whole, decimals) = self.fraction.split_once('.').unwrap();
        assert_eq!(decimals.len(), 12, "{}", self.id);
        let expected: i128 = format!("{whole}{decimals}").parse().unwrap();
        assert_eq!(RoundingMode::HalfUp.divide(parts * TRILLION, YEAR_PARTS), Some(expected), "{}", self.id);
        if let Some(count) = self.convention_days {
            assert_eq!(parts * 360, count * YEAR_PARTS, "{}", self.id);
        }
    }
}

#[test]
fn every_row_of_the_day_count_oracle_runs_or_says_why_not() {
    let (mut rows, mut ran) = (0, 0);
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    for row in csv::Reader::from_reader(DATA.as_bytes()).deserialize::<Row>() {
        let row = row.unwrap();
        rows += 1;
        match convention(&row.convention) {
            Ok(day_count) => {
                row.check(day_count);
                ran += 1;
            }
            Err(reason) => {
                assert_eq!(reason, Reason::ConventionNotOffered, "{}", row.id);
                *left_out.entry(row.convention).or_default() += 1;
            }
        }
    }
    println!("day count oracle: {ran} rows run; not offered, by convention: {left_out:?}");
    assert_eq!(left_out, LEFT_OUT.map(|(word, count)| (word.to_owned(), count)).into());
    assert_eq!((rows, ran), (ROWS, RUN));
}
