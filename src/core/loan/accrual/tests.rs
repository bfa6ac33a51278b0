//! Owns the tests of accruals: every day once, whichever way the days are cut.

use chrono::Days;
use proptest::prelude::*;

use super::*;
use crate::core::loan::day_count::DayCount;
use crate::core::loan::interest::InterestTerms;
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

fn book(principal: &[(NaiveDate, i64)], accruals: &[(i64, NaiveDate, Option<i64>)]) -> AccrualBook {
    let mut book = AccrualBook::default();
    for (date, movement) in principal {
        book.note_principal(*date, Minor::new(*movement));
    }
    for (version, date, undone) in accruals {
        book.note_accrual(PostedAccrual { version: *version, date: *date, undone: *undone });
    }
    book
}

/// The open days before a day, as first day and the one after the last.
fn open(book: &AccrualBook, until: NaiveDate) -> Vec<(NaiveDate, NaiveDate)> {
    book.open_days(until).into_iter().map(|days| (days.from(), days.until())).collect()
}

#[test]
fn every_day_is_accrued_once() {
    let lent = [(day(1, 5), 1_000)];
    assert_eq!(open(&book(&[], &[]), day(2, 1)), [], "no principal, no interest");
    assert_eq!(open(&book(&lent, &[]), day(2, 1)), [(day(1, 5), day(2, 1))], "the first day counts");
    assert_eq!(open(&book(&lent, &[]), day(1, 5)), []);
    let through_january = book(&lent, &[(2, day(1, 31), None)]);
    assert_eq!(open(&through_january, day(2, 1)), []);
    assert_eq!(open(&through_january, day(1, 20)), [], "a day that is covered stays so");
    assert_eq!(open(&through_january, day(2, 3)), [(day(2, 1), day(2, 3))]);
}

#[test]
fn days_of_an_accrual_that_was_taken_back_are_open_again() {
    let lent = [(day(1, 1), 1_000)];
    let accruals = [(2, day(1, 10), None), (3, day(1, 20), Some(5)), (4, day(1, 31), None)];
    assert_eq!(open(&book(&lent, &accruals), day(3, 1)), [(day(1, 11), day(1, 21)), (day(2, 1), day(3, 1))]);
    // What is posted after the taking back covers them, up to its own day.
    let halfway = [accruals[0], accruals[1], accruals[2], (6, day(1, 15), None)];
    assert_eq!(open(&book(&lent, &halfway), day(2, 1)), [(day(1, 16), day(1, 21))]);
    let all = [halfway[0], halfway[1], halfway[2], halfway[3], (7, day(2, 28), None)];
    assert_eq!(open(&book(&lent, &all), day(3, 1)), []);
    // The accrual of 15 January had only the days that were left to it.
    let again = [all[0], all[1], all[2], (6, day(1, 15), Some(8)), all[4]];
    assert_eq!(open(&book(&lent, &again), day(3, 1)), [(day(1, 11), day(1, 16))]);
    let nothing = accruals.map(|(version, date, _)| (version, date, Some(version + 10)));
    assert_eq!(open(&book(&lent, &nothing), day(2, 1)), [(day(1, 1), day(2, 1))]);
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
    assert_eq!(open(&later, day(1, 10)), [], "before the mark all is covered");
    let mut late = later.clone();
    late.note_principal(day(1, 10), Minor::new(-1));
    assert!(!late.holds(), "it came for a day that is accrued");
    later.note_accrual(PostedAccrual { version: 9, date: day(1, 12), undone: None });
    assert!(!later.holds());
    let ahead = book(&[(day(1, 1), 365_000)], &[(2, day(1, 31), None), (3, day(1, 20), Some(4))]);
    assert_eq!(ahead.mark_at(&rule, day(1, 11)), Ok(None), "more is covered");
    assert!(ahead.mark_at(&rule, day(2, 1)).unwrap().is_some());
}

/// Accrues on each of these days in turn; answers the interest of each.
fn in_turn(principal: &[(NaiveDate, i64)], rule: &InterestRule, days: &[NaiveDate]) -> Vec<i64> {
    let mut accruals = Vec::new();
    let mut found = Vec::new();
    for (date, version) in days.iter().zip(1..) {
        let interest = book(principal, &accruals).open_interest(rule, date.succ_opt().unwrap()).unwrap();
        found.push(interest.units());
        accruals.push((version, *date, None));
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
    /// However the days are cut, and in whatever order the accruals come, they add up to the policy's whole, each day
    /// once; and what is taken back is caught up with.
    #[test]
    fn however_days_are_cut_the_sum_is_the_policys(
        rounding in roundings(),
        day_count in prop::sample::select(DayCount::ALL.to_vec()),
        rate in 0..40_000_000_i64,
        lent in 1..50_000_000_i64,
        paid in prop::collection::vec((1..400_u16, 0..1_000_000_i64), 0..6),
        cuts in prop::collection::vec(0..400_u16, 0..12),
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
        let whole = book(&principal, &[]).open_interest(&rule, nth(400)).unwrap().units();
        let mut accruals: Vec<(i64, NaiveDate, Option<i64>)> = Vec::new();
        let mut booked: Vec<i64> = Vec::new();
        let mut version = 0;
        let mut accrue = |date: NaiveDate, accruals: &mut Vec<_>, booked: &mut Vec<i64>| {
            let interest = book(&principal, accruals).open_interest(&rule, date + Days::new(1)).unwrap().units();
            version += 1;
            accruals.push((version, date, None));
            booked.push(interest);
            version
        };
        for cut in cuts {
            accrue(nth(cut), &mut accruals, &mut booked);
        }
        for index in taken_back {
            if !accruals.is_empty() {
                let index = index.index(accruals.len());
                if accruals[index].2.is_none() {
                    accruals[index].2 = Some(1_000 + i64::try_from(index).unwrap());
                    booked[index] = 0;
                }
            }
        }
        // From mark to mark the same cents come out as from the whole past, where principal moves as days go by.
        let (mut marked, mut sum, mut known) = (AccrualBook::default(), 0, NaiveDate::MIN);
        for until in [130, 131, 260, 391, 400].map(nth) {
            for (date, movement) in principal.iter().filter(|(date, _)| (known..until).contains(date)) {
                marked.note_principal(*date, Minor::new(*movement));
            }
            known = until;
            sum += marked.open_interest(&rule, until).unwrap().units();
            marked = AccrualBook::since(marked.mark_at(&rule, until).unwrap().unwrap());
            prop_assert!(marked.holds());
            prop_assert_eq!(marked.open_interest(&rule, until).unwrap(), Minor::ZERO);
        }
        // What counts from a day ahead no mark tells of.
        let is_ahead = principal.iter().any(|(date, movement)| *date >= nth(130) && *movement != 0);
        prop_assert_eq!(book(&principal, &[]).mark_at(&rule, nth(130)).unwrap().is_none(), is_ahead);
        prop_assert_eq!(sum, whole);
        // One more, whose number is after all the others'.
        let interest = book(&principal, &accruals).open_interest(&rule, nth(400)).unwrap().units();
        prop_assert!(interest >= 0);
        prop_assert_eq!(booked.iter().sum::<i64>() + interest, whole);
        prop_assert!(booked.iter().all(|interest| *interest >= 0));
    }
}
