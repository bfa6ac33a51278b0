//! Owns the amortization oracle: `tests/data/amortization.json`, level-payment schedules, rate factors, interest over
//! several segments and payoff quotes from Apache Fineract (Apache-2.0) and a published example.

use std::collections::BTreeMap;

use hpts::core::loan::{
    AnnualRate, Balances, DayCount, DaySpan, InterestRule, InterestTerms, LoanDay, LoanHistory, Payoff, Rounding,
    RoundingMode, RoundingTime, Segment,
};
use hpts::core::money::Minor;
use serde::Deserialize;

use super::{Cents, Reason, convention, is_rate_factor, span, told};

pub(super) const DATA: &str = include_str!("../../data/amortization.json");

/// How many rows the file has: periods of schedules, months, sets of segments, quotes. How many of them run.
const ROWS: usize = 60;
const RUN: usize = 43;

/// Every row that does not run.
const LEFT_OUT: [(&str, Reason); 17] = [
    ("emi-1014 period 1", Reason::ConventionNotOffered),
    ("emi-1014 period 2", Reason::ConventionNotOffered),
    ("emi-1014 period 3", Reason::ConventionNotOffered),
    ("emi-359 period 2", Reason::AmountOfOtherDays),
    ("emi-911 period 1", Reason::YearDividedElsewhere),
    ("emi-911 period 3", Reason::AmountOfOtherDays),
    ("emi-911 period 4", Reason::AmountOfOtherDays),
    ("emi-911 period 5", Reason::AmountOfOtherDays),
    ("emi-911 period 6", Reason::AmountOfOtherDays),
    ("emi-978 period 1", Reason::ConventionNotOffered),
    ("emi-978 period 2", Reason::ConventionNotOffered),
    ("emi-978 period 3", Reason::ConventionNotOffered),
    ("emi-978 period 4", Reason::ConventionNotOffered),
    ("emi-978 period 5", Reason::ConventionNotOffered),
    ("emi-978 period 6", Reason::ConventionNotOffered),
    ("payoff-till-date", Reason::PartMonthByActualDays),
    ("payoff-till-period-end", Reason::InterestToPeriodEnd),
];

/// Upstream rounds half even.
const fn half_even(time: RoundingTime) -> Rounding {
    Rounding { mode: RoundingMode::HalfEven, time }
}

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) schedules: Vec<Schedule>,
    pub(super) rate_factors: Vec<RateFactors>,
    pub(super) multi_segment: Vec<MultiSegment>,
    pub(super) payoff_quotes: Vec<PayoffQuote>,
}

#[derive(Deserialize)]
pub(super) struct Schedule {
    pub(super) id: String,
    pub(super) annual_rate_pct: AnnualRateText,
    pub(super) convention: String,
    pub(super) disbursed: Cents,
    pub(super) periods: Vec<Period>,
}

#[derive(Deserialize)]
pub(super) struct Period {
    nr: u32,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) installment: Cents,
    rate_factor: String,
    pub(super) interest: Cents,
    pub(super) principal: Cents,
    pub(super) balance_after: Cents,
}

#[derive(Deserialize)]
pub(super) struct RateFactors {
    pub(super) id: String,
    annual_rate_pct: AnnualRateText,
    convention: String,
    months: Vec<String>,
    factors: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct MultiSegment {
    pub(super) id: String,
    pub(super) annual_rate_pct: AnnualRateText,
    pub(super) convention: String,
    pub(super) segments: Vec<SegmentRow>,
    pub(super) expected_interest: Cents,
}

#[derive(Deserialize)]
pub(super) struct SegmentRow {
    pub(super) principal: Cents,
    pub(super) start: String,
    pub(super) end: String,
    days: i64,
    interest: Cents,
}

#[derive(Deserialize)]
pub(super) struct PayoffQuote {
    pub(super) id: String,
    pub(super) annual_rate_pct: AnnualRateText,
    pub(super) convention: String,
    pub(super) principal: Cents,
    payoff_on: Option<String>,
    pub(super) days: Option<i64>,
    pub(super) per_diem: Option<Cents>,
    pub(super) expected: QuotedAmounts,
}

#[derive(Deserialize)]
pub(super) struct QuotedAmounts {
    pub(super) principal: Cents,
    pub(super) interest: Cents,
    pub(super) total: Cents,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AnnualRateText(pub(super) AnnualRate);

impl TryFrom<String> for AnnualRateText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        AnnualRate::parse(&text).map(Self).map_err(|error| error.to_string())
    }
}

/// Why a row does not run: its convention, or what `run` says.
fn reason_of(word: &str, run: impl FnOnce(DayCount) -> Option<Reason>) -> Option<Reason> {
    match convention(word) {
        Ok(day_count) => run(day_count),
        Err(reason) => Some(reason),
    }
}

impl Schedule {
    fn run(&self, day_count: DayCount, period: &Period, principal: Minor) -> Option<Reason> {
        let rate = self.annual_rate_pct.0;
        let days = span(&period.start, &period.end);
        if !is_rate_factor(&period.rate_factor, rate, day_count, days) {
            let two_years = day_count == DayCount::ActAct && period.start.get(..4) != period.end.get(..4);
            return Some(if two_years { Reason::YearDividedElsewhere } else { Reason::AmountOfOtherDays });
        }
        let terms = InterestTerms { day_count, rounding: half_even(RoundingTime::Once) };
        let interest = terms.interest(&[Segment { principal, rate, days }], days);
        assert_eq!(interest, Ok(period.interest.0), "{} period {}", self.id, period.nr);
        None
    }

    /// Why one of its periods does not run, and so not all of them behind each other.
    pub(super) fn reason(&self) -> Option<Reason> {
        let mut principal = self.disbursed.0;
        self.periods.iter().find_map(|period| {
            let reason = reason_of(&self.convention, |day_count| self.run(day_count, period, principal));
            principal = period.balance_after.0;
            reason
        })
    }

    /// Each period's interest on the balance that the period before it left.
    fn run_all(&self, rows: &mut BTreeMap<String, Option<Reason>>) {
        let mut principal = self.disbursed.0;
        for period in &self.periods {
            rows.insert(
                format!("{} period {}", self.id, period.nr),
                reason_of(&self.convention, |day_count| self.run(day_count, period, principal)),
            );
            assert_eq!(period.interest.0.plus(period.principal.0), Ok(period.installment.0), "{}", self.id);
            principal = principal.minus(period.principal.0).unwrap();
            assert_eq!(principal, period.balance_after.0, "{} period {}", self.id, period.nr);
        }
        assert_eq!(principal, Minor::ZERO, "{}", self.id);
    }
}

impl RateFactors {
    fn run_all(&self, rows: &mut BTreeMap<String, Option<Reason>>) {
        let day_count = convention(&self.convention).unwrap();
        for (month, factor) in self.months.iter().zip(&self.factors) {
            let first: chrono::NaiveDate = month.parse().unwrap();
            let days = DaySpan::new(first, first + chrono::Months::new(1)).unwrap();
            assert!(is_rate_factor(factor, self.annual_rate_pct.0, day_count, days), "{} {month}", self.id);
            rows.insert(format!("{} {month}", self.id), None);
        }
        assert_eq!(self.months.len(), self.factors.len());
    }
}

impl MultiSegment {
    fn run(&self, day_count: DayCount) -> Option<Reason> {
        let rate = self.annual_rate_pct.0;
        let terms = InterestTerms { day_count, rounding: half_even(RoundingTime::PerSegment) };
        let mut segments = Vec::new();
        for row in &self.segments {
            let segment = Segment { principal: row.principal.0, rate, days: span(&row.start, &row.end) };
            assert_eq!(segment.days.calendar_days(), row.days, "{}", self.id);
            assert_eq!(terms.interest(&[segment], segment.days), Ok(row.interest.0), "{}", self.id);
            segments.push(segment);
        }
        let days = span(&self.segments[0].start, &self.segments.last().unwrap().end);
        assert_eq!(terms.interest(&segments, days), Ok(self.expected_interest.0), "{}", self.id);
        None
    }
}

impl PayoffQuote {
    /// Why it does not run, if it does not.
    pub(super) fn reason(&self) -> Option<Reason> {
        reason_of(&self.convention, |day_count| self.run(day_count))
    }

    fn run(&self, day_count: DayCount) -> Option<Reason> {
        let rate = self.annual_rate_pct.0;
        let (Some(days), Some(per_diem)) = (self.days, self.per_diem) else {
            assert!(self.payoff_on.is_some(), "{}", self.id);
            return Some(Reason::InterestToPeriodEnd);
        };
        let first: chrono::NaiveDate = "2026-01-01".parse().unwrap();
        let days = DaySpan::new(first, first + chrono::TimeDelta::days(days)).unwrap();
        let rounding = Rounding { mode: RoundingMode::HalfUp, time: RoundingTime::PerDiem };
        let terms = InterestTerms { day_count, rounding };
        let rule = InterestRule { rate, terms };
        let lent = Balances { principal: self.principal.0, ..Balances::default() };
        let history = LoanHistory::new([LoanDay { date: first, movement: lent, accrued: Minor::ZERO }]).unwrap();
        let payoff = Payoff { history: &history, rule: Some(&rule), charged_off: None };
        let quote = payoff.on(days.until()).unwrap();
        let found = (quote.principal, quote.interest_unbooked, quote.payoff);
        let expected = (self.expected.principal.0, self.expected.interest.0, self.expected.total.0);
        assert_eq!(found, expected, "{}", self.id);
        assert_eq!(payoff.per_diem(days.until()), Ok(Some(per_diem.0)), "{}", self.id);
        None
    }
}

#[test]
fn every_row_of_the_amortization_oracle_runs_or_says_why_not() {
    let file: File = serde_json::from_str(DATA).unwrap();
    let mut rows = BTreeMap::new();
    for schedule in &file.schedules {
        schedule.run_all(&mut rows);
    }
    for factors in &file.rate_factors {
        factors.run_all(&mut rows);
    }
    for row in &file.multi_segment {
        rows.insert(row.id.clone(), reason_of(&row.convention, |day_count| row.run(day_count)));
    }
    for quote in &file.payoff_quotes {
        rows.insert(quote.id.clone(), quote.reason());
    }
    let (ran, report) = told(&rows, &LEFT_OUT);
    println!("amortization oracle: {report}");
    assert_eq!((rows.len(), ran), (ROWS, RUN));
}
