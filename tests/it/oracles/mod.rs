//! Owns the public oracles: expected numbers of other people's programs and of published examples.
//!
//! Each file has a test that runs every row which can be expressed here and lists every other with its reason. A row in
//! neither place, a row in both, a wrong reason or another number of rows fails: nothing is skipped in silence.

mod amortization;
mod day_count;
mod interest;
mod path;
mod waterfall;

use std::collections::BTreeMap;
use std::fmt::Debug;

use hpts::core::loan::{AnnualRate, DayCount, DaySpan, RoundingMode, YEAR_PARTS};
use hpts::core::money::Minor;
use serde::Deserialize;

/// An amount with exactly two decimals, as minor units.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Cents(Minor);

impl TryFrom<String> for Cents {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (whole, cents) = text.split_once('.').filter(|(_, cents)| cents.len() == 2).ok_or("no two decimals")?;
        let units = format!("{whole}{cents}").parse().map_err(|_| format!("{text} is no amount"))?;
        Ok(Self(Minor::new(units)))
    }
}

/// Twelve decimals, as the files have them.
const TRILLION: i128 = 1_000_000_000_000;

/// Why a row of interest or of days cannot run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// A day count convention that the contract does not list.
    ConventionNotOffered,
    /// A part month of 30/360 by the month's real days; plain 30/360 counts its own.
    PartMonthByActualDays,
    /// The amount is that of other days than the row's.
    AmountOfOtherDays,
    /// Leap-year days divided at another day than 1 January.
    YearDividedElsewhere,
    /// Interest to the end of the period; a quote here goes up to its day.
    InterestToPeriodEnd,
    /// A word that stands in no list here: never expected.
    Unjudged,
}

/// The convention of a file's word.
fn convention(word: &str) -> Result<DayCount, Reason> {
    match word {
        "ACT/365F" => Ok(DayCount::Act365),
        "ACT/360" => Ok(DayCount::Act360),
        "30/360" => Ok(DayCount::Thirty360),
        "30E/360" => Ok(DayCount::ThirtyE360),
        // The year of the period's start is the year of each of its days where the period lies in one year.
        "ACT/ACT ISDA" | "ACT/ACT (year of period start)" | "ACT/ACT (leap year 2024 = 366)" => Ok(DayCount::ActAct),
        "ACT/365.25" => Ok(DayCount::Act36525),
        "30/360 month pro-rated by actual days (14/29)" => Err(Reason::PartMonthByActualDays),
        "ACT/364" | "ACT/365 ACTUAL" | "30E/360 ISDA" | "30E/365" | "30U/360 EOM" | "NL/360" | "NL/365" => {
            Err(Reason::ConventionNotOffered)
        }
        _ => Err(Reason::Unjudged),
    }
}

/// Our order for one of the files: penalties and fees are both fees. `None` where another bucket stands between them, or
/// where only some buckets are named. Only the sorts that a row charges count; where it charges none, the first one's
/// place is as good as any.
fn order_of(words: &[&str], charged: &[&str]) -> Option<Vec<&'static str>> {
    let mut order: Vec<&str> = Vec::new();
    for word in words {
        let bucket = match *word {
            "penalty" | "fee" if charged.contains(&other_of(word)) && !charged.contains(word) => continue,
            "penalty" | "fee" if charged.is_empty() && order.contains(&"fees") => continue,
            "penalty" | "fee" => "fees",
            "interest" => "interest",
            "principal" => "principal",
            _ => return None,
        };
        order.push(bucket);
    }
    order.dedup();
    (order.len() == 3).then_some(order)
}

fn other_of(word: &str) -> &'static str {
    if word == "fee" { "penalty" } else { "fee" }
}

/// Days from a file's dates.
fn span(from: &str, until: &str) -> DaySpan {
    DaySpan::new(from.parse().unwrap(), until.parse().unwrap()).unwrap()
}

/// The factor by which a file multiplies principal, to twelve decimals, half up; the last may be off by one, since
/// upstream rounds on the way.
fn is_rate_factor(factor: &str, rate: AnnualRate, day_count: DayCount, days: DaySpan) -> bool {
    let (whole, decimals) = factor.split_once('.').unwrap();
    let expected: i128 = format!("{whole}{decimals:0<12}").parse().unwrap();
    let parts = i128::from(rate.parts()) * day_count.year_parts(days) * TRILLION;
    let found = RoundingMode::HalfUp.divide(parts, AnnualRate::PARTS_PER_UNIT * YEAR_PARTS).unwrap();
    (found - expected).abs() <= 1
}

/// Holds the rows left out to their list; answers how many ran, and a report to print.
fn told<R: Copy + Debug + PartialEq>(rows: &BTreeMap<String, Option<R>>, expected: &[(&str, R)]) -> (usize, String) {
    let left_out: Vec<(&str, R)> = rows.iter().filter_map(|(id, reason)| Some((id.as_str(), (*reason)?))).collect();
    let ran = rows.len() - left_out.len();
    assert_eq!(left_out, expected, "the rows left out");
    let lines: Vec<String> = left_out.iter().map(|(id, reason)| format!("{id}: {reason:?}")).collect();
    (ran, format!("{ran} rows run, {} left out:\n  {}", left_out.len(), lines.join("\n  ")))
}
