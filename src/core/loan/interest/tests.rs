//! Owns the tests of simple interest: published amounts, and the laws that rounding keeps.

use proptest::prelude::*;

use super::*;
use crate::core::loan::rounding::RoundingMode;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn span(from: &str, until: &str) -> DaySpan {
    DaySpan::new(day(from), day(until)).unwrap()
}

fn rate(text: &str) -> AnnualRate {
    text.parse().unwrap()
}

fn terms(day_count: DayCount, mode: RoundingMode, time: RoundingTime) -> InterestTerms {
    InterestTerms { day_count, rounding: Rounding { mode, time } }
}

fn segment(principal: i64, percent: &str, from: &str, until: &str) -> Segment {
    Segment { principal: Minor::new(principal), rate: rate(percent), days: span(from, until) }
}

/// Amounts in cents.
fn interest(terms: InterestTerms, segments: &[Segment]) -> i64 {
    let (first, last) = (segments.first().unwrap(), segments.last().unwrap());
    let days = DaySpan::new(first.days.from(), last.days.until()).unwrap();
    terms.interest(segments, days).unwrap().units()
}

#[test]
fn every_published_policy_gives_its_amount() {
    use RoundingMode::{AwayFromZero, Down, HalfUp};
    use RoundingTime::{Once, PerDiem, PerSegment};
    let of = |mode, time, segments: &[Segment]| interest(terms(DayCount::Act365, mode, time), segments);
    assert_eq!(of(HalfUp, Once, &[segment(10_000_000, "3", "2026-01-01", "2026-01-17")]), 13_151);
    assert_eq!(of(AwayFromZero, Once, &[segment(100_000, "12", "2026-01-01", "2026-01-24")]), 757, "exact 7.5616");
    assert_eq!(of(HalfUp, Once, &[segment(100_000, "12", "2026-01-01", "2026-01-24")]), 756);
    assert_eq!(of(Down, Once, &[segment(1_000_000, "9", "2026-01-01", "2026-01-02")]), 246, "exact 2.4657");
    let payoff = [segment(8_131_629, "10", "2026-01-01", "2026-01-11")];
    assert_eq!((of(HalfUp, PerDiem, &payoff), of(HalfUp, Once, &payoff)), (22_280, 22_278));
    let late = [segment(500_000, "12", "2022-12-01", "2022-12-05"), segment(418_732, "12", "2022-12-05", "2023-01-01")];
    assert_eq!((of(HalfUp, PerSegment, &late), of(HalfUp, Once, &late)), (4_375, 4_374));
}

#[test]
fn the_first_day_counts_and_the_last_does_not() {
    let terms = terms(DayCount::Act365, RoundingMode::HalfUp, RoundingTime::Once);
    // 26 days, as Apache Fineract has from 1 to 27 November.
    assert_eq!(interest(terms, &[segment(500_000, "12", "2022-11-01", "2022-11-27")]), 4_274);
    assert_eq!(interest(terms, &[segment(500_000, "12", "2022-11-01", "2022-11-01")]), 0);
}

#[test]
fn per_diem_follows_the_year_under_actual_actual() {
    let terms = terms(DayCount::ActAct, RoundingMode::HalfUp, RoundingTime::PerDiem);
    let per_diem = |day_text| terms.per_diem(Minor::new(10_000_000), rate("10"), day(day_text)).unwrap().units();
    assert_eq!((per_diem("2023-12-31"), per_diem("2024-01-01")), (2_740, 2_732));
    let days = [segment(10_000_000, "10", "2023-12-30", "2024-01-03")];
    assert_eq!(interest(terms, &days), 2 * 2_740 + 2 * 2_732);
}

#[test]
fn a_movement_counts_from_its_own_day() {
    let movements =
        [("2026-03-01", -250), ("2026-01-01", 1_000), ("2026-02-01", 500), ("2026-02-01", -500), ("2026-04-01", -750)];
    let movements = movements.map(|(date, units)| (day(date), Minor::new(units)));
    let found = segments(movements, rate("5"), day("2026-03-15")).unwrap();
    assert_eq!(
        found,
        [segment(1_000, "5", "2026-01-01", "2026-03-01"), segment(750, "5", "2026-03-01", "2026-03-15")],
        "a day that comes out even cuts nothing, and what lies beyond does not matter"
    );
    assert_eq!(segments(movements, rate("5"), day("2026-01-01")), Ok(vec![]));
    let overdrawn = [(day("2026-01-01"), Minor::new(-1))];
    assert_eq!(segments(overdrawn, rate("5"), day("2026-02-01")), Err(InterestError::NegativePrincipal));
}

#[test]
fn what_cannot_be_is_an_error() {
    let terms = InterestTerms::default();
    let days = span("2026-01-01", "2026-02-01");
    let of = |segments: &[Segment]| terms.interest(segments, days);
    assert_eq!(of(&[]), Ok(Minor::ZERO));
    assert_eq!(of(&[segment(-1, "5", "2026-01-01", "2026-02-01")]), Err(InterestError::NegativePrincipal));
    let (early, late) = (segment(1, "5", "2026-01-01", "2026-01-20"), segment(1, "5", "2026-01-19", "2026-02-01"));
    assert_eq!(of(&[early, late]), Err(InterestError::Disorder));
    assert_eq!(of(&[segment(1, "5", "2026-01-20", "2026-02-01"), early]), Err(InterestError::Disorder));
    let most = segment(i64::MAX, "1000", "0001-01-01", "9999-12-31");
    for time in RoundingTime::ALL {
        let terms = InterestTerms { rounding: Rounding { time, ..Rounding::default() }, ..terms };
        assert_eq!(terms.interest(&[most], most.days), Err(InterestError::OutOfRange), "{time:?}");
    }
    let year = segment(i64::MAX, "100", "2026-01-01", "2027-01-01");
    assert_eq!(terms.interest(&[year], year.days), Ok(Minor::new(i64::MAX)), "what fits is exact");
}

/// Segments without a gap, and the span they make.
fn run() -> impl Strategy<Value = (Vec<Segment>, DaySpan)> {
    let stretch = (0..50_000_000_i64, 0..=40_000_000_i64, 0..70_i64);
    (0..20_000_i64, prop::collection::vec(stretch, 1..6)).prop_map(|(start, stretches)| {
        let first = day("1990-01-01") + chrono::TimeDelta::days(start);
        let mut from = first;
        let mut segments = Vec::new();
        for (principal, parts, days) in stretches {
            let until = from + chrono::TimeDelta::days(days);
            let rate = AnnualRate::from_parts(parts).unwrap();
            let days = DaySpan::new(from, until).unwrap();
            segments.push(Segment { principal: Minor::new(principal), rate, days });
            from = until;
        }
        (segments, DaySpan::new(first, from).unwrap())
    })
}

proptest! {
    /// Decision D4: what the days are booked with is the interest of the whole, rounded once, in every convention.
    #[test]
    fn days_booked_one_by_one_add_up_to_the_whole((segments, days) in run(), mode in 0..4_usize) {
        for day_count in DayCount::ALL {
            let mode = RoundingMode::ALL[mode];
            let daily = terms(day_count, mode, RoundingTime::Daily);
            let whole = interest(terms(day_count, mode, RoundingTime::Once), &segments);
            let of_day = |day| daily.interest(&segments, DaySpan::day(day).unwrap()).unwrap().units();
            let count = usize::try_from(days.calendar_days()).unwrap();
            let by_day: Vec<i64> = days.from().iter_days().take(count).map(of_day).collect();
            prop_assert_eq!(by_day.iter().sum::<i64>(), whole, "{:?}", day_count);
            prop_assert!(by_day.iter().all(|interest| *interest >= 0));
            prop_assert_eq!(daily.interest(&segments, days).unwrap().units(), whole);
        }
    }

    /// The naive model adds up decimals with 28 digits and rounds them.
    #[test]
    fn decimals_give_the_same_amount((segments, days) in run()) {
        use rust_decimal::{Decimal, RoundingStrategy};
        let sum: Decimal = segments.iter().map(|segment| {
            let days = Decimal::from(segment.days.calendar_days());
            let yearly = Decimal::from(segment.principal.units()) * Decimal::from(segment.rate.parts());
            yearly * days / Decimal::from(36_500_000_000_i64)
        }).sum();
        for (mode, strategy) in [
            (RoundingMode::Down, RoundingStrategy::ToZero),
            (RoundingMode::AwayFromZero, RoundingStrategy::AwayFromZero),
        ] {
            // Twelve digits are more than a fraction over 365 by 10^8 needs to be told from a whole number.
            let expected = sum.round_dp(12).round_dp_with_strategy(0, strategy);
            let found = terms(DayCount::Act365, mode, RoundingTime::Once).interest(&segments, days).unwrap();
            prop_assert_eq!(Decimal::from(found.units()), expected);
        }
    }

    #[test]
    fn policies_differ_by_less_than_a_unit_for_each_rounding((segments, days) in run()) {
        let once = interest(terms(DayCount::Act360, RoundingMode::HalfUp, RoundingTime::Once), &segments);
        let each = interest(terms(DayCount::Act360, RoundingMode::HalfUp, RoundingTime::PerSegment), &segments);
        let by_day = interest(terms(DayCount::Act360, RoundingMode::HalfUp, RoundingTime::PerDiem), &segments);
        prop_assert!((each - once).unsigned_abs() <= u64::try_from(segments.len()).unwrap());
        prop_assert!((by_day - once).abs() * 2 <= days.calendar_days() + 2);
    }
}
