//! Owns the tests of accruals: every day once, whichever way the days are cut.

use chrono::Days;
use proptest::prelude::*;

use super::*;
use crate::core::loan::day_count::{DayCount, DaySpan};
use crate::core::loan::interest::{InterestTerms, segments};
use crate::core::loan::rate::AnnualRate;
use crate::core::loan::rounding::{Rounding, RoundingMode, RoundingTime};

fn day(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, day).unwrap()
}

fn nth(days: u16) -> NaiveDate {
    day(1, 1) + Days::new(u64::from(days))
}

fn rule(rate: &str, rounding: &str, day_count: DayCount) -> InterestRule {
    InterestRule {
        rate: rate.parse().unwrap(),
        terms: InterestTerms { day_count, rounding: rounding.parse().unwrap() },
    }
}

fn book(principal: &[(NaiveDate, i64)], accruals: &[NaiveDate]) -> AccrualBook {
    let mut book = AccrualBook::default();
    for (date, movement) in principal {
        book.note_principal(*date, Minor::new(*movement));
    }
    for date in accruals {
        book.note_accrual(*date);
    }
    book
}

/// What the open days before a day come to, at 1.00 a day.
fn open(book: &AccrualBook, until: NaiveDate) -> i64 {
    book.open_interest(&rule("10", "half_up,daily", DayCount::Act365), until).unwrap().units()
}

#[test]
fn every_day_is_accrued_once() {
    let lent = [(day(1, 5), 365_000)];
    assert_eq!(open(&book(&[], &[]), day(2, 1)), 0, "no principal, no interest");
    assert_eq!(open(&book(&lent, &[]), day(2, 1)), 2_700, "the first day counts");
    assert_eq!(open(&book(&lent, &[]), day(1, 5)), 0);
    let through_january = book(&lent, &[day(1, 31)]);
    assert_eq!(open(&through_january, day(2, 1)), 0);
    assert_eq!(open(&through_january, day(1, 20)), 0, "a day that is covered stays so");
    assert_eq!(open(&through_january, day(2, 3)), 200);
    assert_eq!(
        open(&book(&lent, &[day(1, 31), day(1, 10), day(1, 20)]), day(2, 3)),
        200,
        "in whatever order they came"
    );
    assert_eq!(open(&book(&lent, &[day(1, 2)]), day(1, 8)), 300, "before the first day there was none");
}

/// Principal that moves on the last day of an accrual, and on the first behind it.
#[test]
fn an_accrual_covers_its_day_by_the_principal_at_its_end() {
    let principal = [(day(1, 1), 365_000), (day(1, 10), 365_000), (day(1, 11), -365_000)];
    assert_eq!(open(&book(&principal, &[]), day(1, 11)), 900 + 200);
    assert_eq!(open(&book(&principal, &[day(1, 10)]), day(1, 13)), 200, "11 and 12 January");
    assert_eq!(open(&book(&principal, &[day(1, 9)]), day(1, 13)), 200 + 200, "and 10 January, of twice as much");
}

#[test]
fn interest_follows_the_principal_from_its_day_on() {
    // 3,650.00 at 10 % are 1.00 a day; after 1,825.00 were paid on 11 January, 0.50.
    let book = book(&[(day(1, 1), 365_000), (day(1, 11), -182_500)], &[]);
    let rule = rule("10", "half_up,daily", DayCount::Act365);
    assert_eq!(book.open_interest(&rule, day(1, 11)), Ok(Minor::new(1_000)), "10 days of 100");
    assert_eq!(book.open_interest(&rule, day(2, 1)), Ok(Minor::new(2_050)), "and 21 of 50");
}

#[test]
fn a_mark_holds_until_something_comes_that_it_does_not_know() {
    let rule = rule("10", "half_up,daily", DayCount::Act365);
    let lent = book(&[(day(1, 1), 365_000)], &[]);
    let mark = lent.mark_at(&rule, day(1, 11)).unwrap().unwrap();
    assert_eq!((mark.until, mark.since, mark.principal.units()), (day(1, 11), day(1, 1), 365_000));
    let mut later = AccrualBook::since(mark);
    later.note_principal(day(1, 11), Minor::new(-182_500));
    assert!(later.holds());
    assert_eq!(later.open_interest(&rule, day(1, 21)), Ok(Minor::new(500)), "10 days of 50");
    assert_eq!(open(&later, day(1, 10)), 0, "before the mark all is covered");
    let mut late = later.clone();
    late.note_principal(day(1, 10), Minor::new(-1));
    assert!(!late.holds(), "it came for a day that is accrued");
    later.doubt();
    assert!(!later.holds());
    let ahead = book(&[(day(1, 1), 365_000)], &[day(1, 31)]);
    assert_eq!(ahead.mark_at(&rule, day(1, 11)), Ok(None), "more is covered");
    assert!(ahead.mark_at(&rule, day(2, 1)).unwrap().is_some());
}

/// Accrues on each of these days in turn; answers the interest of each.
fn in_turn(principal: &[(NaiveDate, i64)], rule: &InterestRule, days: &[NaiveDate]) -> Vec<i64> {
    let mut accruals = Vec::new();
    let mut found = Vec::new();
    for date in days {
        let interest = book(principal, &accruals).open_interest(rule, date.succ_opt().unwrap()).unwrap();
        found.push(interest.units());
        accruals.push(*date);
    }
    found
}

#[test]
fn fractions_are_carried_from_accrual_to_accrual() {
    // 1,000.00 at 12 % are 0.32876… a day: 23 days are 7.5616….
    let principal = [(day(1, 1), 100_000)];
    let days: Vec<NaiveDate> = (0..23).map(nth).collect();
    for (rounding, total) in [
        ("half_up,daily", 756),
        ("half_up,once", 756),
        ("half_up,per_segment", 756),
        ("away_from_zero,once", 757),
        ("down,once", 756),
        ("half_up,per_diem", 23 * 33),
        ("down,per_diem", 23 * 32),
    ] {
        let rule = rule("12", rounding, DayCount::Act365);
        let found = in_turn(&principal, &rule, &days);
        assert_eq!(found.iter().sum::<i64>(), total, "{rounding} day by day");
        assert_eq!(in_turn(&principal, &rule, &days[22..]), [total], "{rounding} at once");
        // 32.876, 65.753, 98.630 cents.
        if rounding == "half_up,daily" {
            assert_eq!(found[..3], [33, 33, 33]);
            assert_eq!(found[3], 33, "131.507 rounds to 132, after 99");
            assert_eq!(found[4], 32, "164.384 rounds to 164");
        }
    }
}

fn roundings() -> impl Strategy<Value = Rounding> {
    let (modes, times) = (RoundingMode::ALL.to_vec(), RoundingTime::ALL.to_vec());
    (prop::sample::select(modes), prop::sample::select(times)).prop_map(|(mode, time)| Rounding { mode, time })
}

proptest! {
    /// More days are never worth less than fewer, by no convention and no rounding: interest that is booked is never above
    /// what its days come to with those behind them.
    #[test]
    fn more_days_are_never_worth_less(
        rounding in roundings(),
        day_count in prop::sample::select(DayCount::ALL.to_vec()),
        rate in 0..40_000_000_i64,
        lent in 1..50_000_000_i64,
        since in 0..400_u16,
        (moved, by) in (0..800_u16, -50_000_000..50_000_000_i64),
        days in 0..400_u16,
    ) {
        let terms = InterestTerms { day_count, rounding };
        let rule = InterestRule { rate: AnnualRate::from_parts(rate).unwrap(), terms };
        let principal = [(nth(since), lent), (nth(since.saturating_add(moved)), by.max(-lent))];
        let book = book(&principal, &[]);
        let totals = (days..days + 90).map(|days| book.open_interest(&rule, nth(since + days)).unwrap());
        let totals: Vec<Minor> = totals.collect();
        prop_assert!(totals.is_sorted(), "{:?}", totals);
    }

    /// However the days are cut, each accrual has what the policy says of the days behind the one before it; and what is
    /// taken back is caught up with.
    #[test]
    fn however_days_are_cut_the_sum_is_the_policys(
        rounding in roundings(),
        day_count in prop::sample::select(DayCount::ALL.to_vec()),
        rate in 0..40_000_000_i64,
        lent in 1..50_000_000_i64,
        paid in prop::collection::vec((1..400_u16, 0..1_000_000_i64), 0..6),
        mut cuts in prop::collection::vec(0..400_u16, 0..12),
        taken_back in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let terms = InterestTerms { day_count, rounding };
        let rule = InterestRule { rate: AnnualRate::from_parts(rate).unwrap(), terms };
        let mut principal = vec![(nth(0), lent)];
        let mut left = lent;
        for (days, amount) in paid {
            let amount = amount.min(left);
            left -= amount;
            principal.push((nth(days), -amount));
        }
        // What the policy says of some days, out of all segments from the first.
        let stretches = segments(principal.iter().map(|(date, sum)| (*date, Minor::new(*sum))), rule.rate, nth(400));
        let stretches = stretches.unwrap();
        let policys = |from, until| {
            terms.accrued(&stretches, DaySpan::new(from, until).unwrap()).unwrap().units()
        };
        let whole = policys(nth(0), nth(400));
        prop_assert_eq!(book(&principal, &[]).open_interest(&rule, nth(400)).unwrap().units(), whole);
        cuts.sort_unstable();
        let mut days: Vec<NaiveDate> = cuts.into_iter().map(nth).collect();
        for index in taken_back {
            if !days.is_empty() {
                days.remove(index.index(days.len()));
            }
        }
        days.push(nth(399));
        let found = in_turn(&principal, &rule, &days);
        let mut from = nth(0);
        for (date, interest) in days.iter().zip(&found) {
            let until = (*date + Days::new(1)).max(from);
            prop_assert_eq!(*interest, policys(from, until), "{} to {}", from, until);
            from = until;
        }
        prop_assert_eq!(found.iter().sum::<i64>(), whole);
        // From mark to mark the same cents come out as from the whole past, where principal moves as days go by.
        let (mut marked, mut sum, mut known) = (AccrualBook::default(), 0, NaiveDate::MIN);
        for until in [130, 131, 260, 391, 400].map(nth) {
            for (date, movement) in principal.iter().filter(|(date, _)| (known..until).contains(date)) {
                marked.note_principal(*date, Minor::new(*movement));
            }
            known = until;
            sum += marked.open_interest(&rule, until).unwrap().units();
            let mark = marked.mark_at(&rule, until).unwrap().unwrap();
            prop_assert!(Carried::from_parts(mark.carried.parts()).is_some());
            marked = AccrualBook::since(mark);
            prop_assert!(marked.holds());
            prop_assert_eq!(marked.open_interest(&rule, until).unwrap(), Minor::ZERO);
        }
        // What counts from a day ahead no mark tells of.
        let is_ahead = principal.iter().any(|(date, movement)| *date >= nth(130) && *movement != 0);
        prop_assert_eq!(book(&principal, &[]).mark_at(&rule, nth(130)).unwrap().is_none(), is_ahead);
        prop_assert_eq!(sum, whole);
    }
}
