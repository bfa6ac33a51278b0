//! Owns the tests of loans with many fees: how much a batch may ask of them.

use super::servicing::{fee, waiver};
use super::*;

/// Waivers of 10 of a code, numbered from a place on.
fn waivers(from: i64, count: i64, code: &str) -> Vec<AcceptedEvent> {
    (from..from + count).map(|seq| accepted(seq, waiver(code, 10, date(1, 20)))).collect()
}

/// A batch of waivers, on a loan that has many fees and has seen many waivers, is posted as a whole.
#[test]
fn a_batch_of_waivers_of_one_loan_is_one_transaction() {
    let codes = ["late", "nsf"].into_iter().cycle();
    let fees = codes.take(1_000).map(|code| fee(code, 10, date(1, 10)));
    let mut books = Books::of(std::iter::once(opening([0, 0, 1000], date(1, 1))).chain(fees));
    assert_eq!(books.post_batch(&waivers(2_000, 400, "nsf"), at(1)), Ok(400));
    assert_eq!(books.post_batch(&waivers(3_000, 500, "late"), at(2)), Ok(500));
    assert_eq!(books.balances(), [1_000, 0, 1000, 0]);
}

/// What is judged by fees waits when the batch has looked at enough of them. Everything else goes on.
#[test]
fn a_batch_stops_in_front_of_a_waiver_when_it_has_looked_at_enough_fees() {
    let books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 10, date(1, 10))]);
    let state = books.state.unwrap();
    let [forgives, pays] = [waiver("late", 10, date(1, 20)), payment(10, date(1, 20))].map(|it| accepted(3, it));
    let mut past = Past { fees: Some(books.fees()), ..Past::default() };
    assert!(!must_wait(&state, &past, &forgives));
    // There is one fee to look at.
    for _ in 0..10_000_001 {
        past.fees.as_mut().unwrap().note_question();
    }
    assert!(must_wait(&state, &past, &forgives));
    assert!(!must_wait(&state, &past, &pays));
}
