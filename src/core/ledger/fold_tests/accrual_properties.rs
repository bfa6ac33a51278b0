//! Owns the property tests of interest that is computed: random lives of a loan in random orders of arrival, held against the
//! same life in order, and against the policy's total.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::servicing::{fee, reversal};
use super::*;
use crate::core::loan::{DayCount, DaySpan, InterestTerms, SuspenseRelease, segments};

/// What counts from a day of a random life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Pay(i64),
    Lend(i64),
    Fee(i64),
    Given(i64),
    Accrue,
}

/// A fact: its day, what it is, and whether it is taken back in the end.
type Fact = (u8, Wish, bool);

/// The events of a life, at most one a day, and accruals, at most one a day.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let wish = prop_oneof![
        5 => (1..4_000_i64).prop_map(Wish::Pay),
        3 => (1..4_000_i64).prop_map(Wish::Lend),
        1 => (1..300_i64).prop_map(Wish::Fee),
        1 => (0..90_i64).prop_map(Wish::Given),
    ];
    let events = prop::collection::btree_map(1..60_u8, (wish, prop::bool::weighted(0.2)), 1..10);
    let accruals = prop::collection::btree_map(1..60_u8, prop::bool::weighted(0.2), 1..10);
    (events, accruals).prop_map(|(events, accruals)| {
        let events = events.into_iter().map(|(day, (wish, gone))| (day, wish, gone));
        events.chain(accruals.into_iter().map(|(day, gone)| (day, Wish::Accrue, gone))).collect()
    })
}

fn any_rule() -> impl Strategy<Value = InterestRule> {
    let roundings = ["half_up,daily", "half_even,once", "down,per_segment", "away_from_zero,per_diem"];
    (1..400_i64, prop::sample::select(roundings.to_vec()), prop::sample::select(DayCount::ALL.to_vec())).prop_map(
        |(percent, rounding, day_count)| InterestRule {
            rate: percent.to_string().parse().unwrap(),
            terms: InterestTerms { day_count, rounding: rounding.parse().unwrap() },
        },
    )
}

/// Posts facts in this order, and then takes back what is to go; answers the number of each.
fn live(books: &mut Books, facts: &[Fact]) -> BTreeMap<(u8, bool), i64> {
    let mut numbers = BTreeMap::new();
    for (day, wish, _) in facts {
        let on = nth_day(*day);
        let number = i64::try_from(books.posted.len()).unwrap() + 1;
        match wish {
            Wish::Pay(units) => books.posts_late(payment(*units, on)),
            Wish::Lend(units) => books.posts_late(disbursement(*units, on)),
            Wish::Fee(units) => books.posts_late(fee("late", *units, on)),
            Wish::Given(units) => assert_eq!(books.accrue_at(on, Some(*units)), number),
            Wish::Accrue => assert_eq!(books.accrue_at(on, None), number),
        }
        numbers.insert((*day, *wish == Wish::Accrue), number);
    }
    for (day, wish, is_gone) in facts {
        let number = numbers[&(*day, *wish == Wish::Accrue)];
        if *is_gone {
            match wish {
                Wish::Given(_) | Wish::Accrue => books.unaccrue(number),
                Wish::Pay(_) | Wish::Lend(_) | Wish::Fee(_) => {
                    let undo = reversal(books, number, nth_day(90));
                    books.posts_late(undo);
                }
            }
        }
    }
    numbers
}

fn by_account(books: &Books) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for line in books.posted.iter().filter_map(|it| it.posting.entry.as_ref()).flat_map(JournalEntry::lines) {
        *sums.entry(line.account.to_string()).or_default() += i128::from(line.signed.units());
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Facts that come in any order, some of them to be taken back, leave the books as those that stand do when they come
    /// in order: every balance of every day, every account, every split, and the interest of every accrual.
    #[test]
    fn any_order_of_arrival_ends_in_the_same_books(
        facts in facts().prop_shuffle(),
        rule in any_rule(),
        release in prop::sample::select(SuspenseRelease::ALL.to_vec()),
    ) {
        let mut found = Books::bearing(rule, release);
        let numbers = live(&mut found, &facts);
        let mut standing: Vec<Fact> = facts.iter().filter(|(.., gone)| !gone).copied().collect();
        standing.sort_by_key(|(day, wish, _)| (*day, *wish == Wish::Accrue));
        let mut expected = Books::bearing(rule, release);
        let in_order = live(&mut expected, &standing);

        let is_restated = expected.posted.iter().any(|it| it.posting.restates_seq.is_some());
        prop_assert!(!is_restated, "in order nothing is restated");
        for day in 0..61 {
            let (found, expected) = (found.balances_on(nth_day(day)), expected.balances_on(nth_day(day)));
            prop_assert_eq!(found, expected, "day {}", day);
            prop_assert!(found.iter().all(|part| *part >= 0), "{:?} on day {}", found, day);
        }
        prop_assert_eq!(by_account(&found), by_account(&expected));
        for (day, wish, _) in &standing {
            let key = (*day, *wish == Wish::Accrue);
            match wish {
                Wish::Pay(_) => prop_assert_eq!(found.split(numbers[&key]), expected.split(in_order[&key])),
                Wish::Given(_) | Wish::Accrue => {
                    prop_assert_eq!(found.interest_of(numbers[&key]), expected.interest_of(in_order[&key]));
                }
                Wish::Lend(_) | Wish::Fee(_) => {}
            }
        }
        // One more accrual: all of them together are the policy's total, by the principal as it is known now.
        let until = nth_day(61);
        found.accrue_at(nth_day(60), None);
        if standing.iter().all(|(_, wish, _)| !matches!(wish, Wish::Given(_))) {
            let stretches = segments(found.principal(), rule.rate, until).unwrap();
            let days = stretches.first().map(|first| DaySpan::new(first.days.from(), until).unwrap());
            let total = days.map_or(0, |days| rule.terms.accrued(&stretches, days).unwrap().units());
            prop_assert_eq!(by_account(&found).get("4100").map_or(0, |sum| -sum), i128::from(total));
        }
    }

    /// What is posted and taken back again leaves no account as it was not before.
    #[test]
    fn void_and_post_again_leaves_the_ledger_as_before(facts in facts(), units in 1..4_000_i64, day in 1..60_u8, rule in any_rule()) {
        let standing: Vec<Fact> = facts.into_iter().map(|(day, wish, _)| (day, wish, false)).collect();
        let mut books = Books::bearing(rule, SuspenseRelease::Manual);
        live(&mut books, &standing);
        let before = (by_account(&books), books.balances());
        let number = i64::try_from(books.posted.len()).unwrap() + 1;
        books.posts_late(payment(units, nth_day(day)));
        let after = (by_account(&books), books.balances());
        let undo = reversal(&books, number, nth_day(90));
        books.posts_late(undo);
        prop_assert_eq!((by_account(&books), books.balances()), before);
        books.posts_late(payment(units, nth_day(day)));
        prop_assert_eq!((by_account(&books), books.balances()), after);
    }
}
