//! Owns the cases of late items that architecture.md ("Late items") asks to keep, and their neighbours.

use super::*;
use crate::core::ledger::RejectionCode;

/// Fee of 500 on 1 January; the payment of 1 April is posted first, that of 1 March second. The fee was paid by the
/// April payment: the March one must not pay it again, though on 1 March it was still owed.
#[test]
fn a_fee_that_a_later_payment_has_paid_is_not_paid_again_by_an_earlier_dated_one() {
    let mut books = Books::of([opening([500, 0, 0], date(1, 1)), payment(500, date(4, 1))]);
    assert_eq!(books.last_split(), [500, 0, 0, 0]);
    books.post(&[accepted(3, payment(500, date(3, 1)))], at(3));
    assert_eq!(books.last_split(), [0, 0, 0, 500]);
    assert_eq!(books.balances(), [0, 0, 0, 500]);
}

/// The same in one batch: the second event sees what the first one moved.
#[test]
fn the_same_two_payments_in_one_batch_are_split_alike() {
    let mut books = Books::of([opening([500, 0, 0], date(1, 1))]);
    books.post(&[accepted(2, payment(500, date(4, 1))), accepted(3, payment(500, date(3, 1)))], at(3));
    assert_eq!(books.balances(), [0, 0, 0, 500]);
    assert_eq!(books.last_split(), [0, 0, 0, 500]);
}

/// Debt of 10 May, payment of 1 May that is posted on 15 May: on 1 May nothing was owed, so it waits in suspense.
///
/// The design speaks of a fee. In this release fees come with a loan's opening only, and nothing counts before that
/// day, so the debt of 10 May is a disbursement: a fee event, once there is one, moves its bucket on its own date the
/// same way.
#[test]
fn a_payment_dated_before_the_debt_waits_in_suspense() {
    let books = Books::of([opening([0, 0, 0], date(4, 1)), disbursement(500, date(5, 10)), payment(500, date(5, 1))]);
    assert_eq!(books.last_split(), [0, 0, 0, 500]);
    assert_eq!(books.balances(), [0, 0, 500, 500]);
}

/// A part of the debt is older than the payment: that part it may pay.
#[test]
fn a_backdated_payment_pays_what_was_owed_on_every_day_since() {
    let books =
        Books::of([opening([30, 0, 200], date(4, 1)), disbursement(500, date(5, 10)), payment(600, date(5, 1))]);
    assert_eq!(books.last_split(), [30, 0, 200, 370]);
    assert_eq!(books.balances(), [0, 0, 500, 370]);
}

/// Bucket by bucket: what the waterfall may not take from fees it takes from the next bucket.
#[test]
fn a_bucket_without_room_leaves_its_share_to_the_next() {
    let books = Books::of([
        opening([100, 40, 1000], date(1, 1)),
        payment(120, date(4, 1)),
        payment(50, date(3, 1)),
        payment(50, date(2, 1)),
    ]);
    // April took 100 of fees and 20 of interest; March finds 20 of interest, February none of either.
    assert_eq!(books.posted[2].posting.allocation.unwrap().interest, Minor::new(20));
    assert_eq!(books.last_split(), [0, 0, 50, 0]);
    assert_eq!(books.balances(), [0, 0, 920, 0]);
}

/// The day itself counts with all that moved on it, whichever came first.
#[test]
fn a_payment_on_the_day_of_the_last_movement_is_not_backdated() {
    let books = Books::of([
        opening([0, 0, 0], date(1, 1)),
        disbursement(500, date(5, 10)),
        payment(200, date(5, 10)),
        payment(400, date(5, 10)),
    ]);
    assert_eq!(books.last_split(), [0, 0, 300, 100]);
}

/// Suspense is not taken back by a debt that is dated before it: release is an event of its own.
#[test]
fn a_backdated_debt_leaves_suspense_alone() {
    let books = Books::of([opening([0, 0, 0], date(1, 1)), payment(500, date(4, 1)), disbursement(300, date(2, 1))]);
    assert_eq!(books.balances(), [0, 0, 300, 500]);
}

/// Today has room for the debt, but a day in between had not: a balance as of that day would leave 64 bits.
#[test]
fn a_backdated_debt_without_room_on_a_later_day_is_refused() {
    let books = Books::of([
        opening([0, 0, 0], date(1, 1)),
        disbursement(i64::MAX, date(3, 1)),
        payment(i64::MAX, date(4, 1)),
        disbursement(1, date(2, 1)),
    ]);
    assert_eq!(books.last().outcome, Outcome::Rejected(RejectionCode::AmountOverflow));
    assert_eq!(books.balances(), [0, 0, 0, 0]);
}

/// The same on the day of the great debt itself: it must be an outcome, and not an event that parks the loan.
#[test]
fn a_day_whose_movements_would_leave_64_bits_is_refused() {
    let mut books = Books::of([opening([0, 0, 0], date(1, 1))]);
    let events =
        [disbursement(i64::MAX, date(3, 1)), payment(i64::MAX, date(4, 1)), disbursement(i64::MAX, date(3, 1))];
    let events: Vec<_> = (2..).zip(events).map(|(seq, command)| accepted(seq, command)).collect();
    books.post(&events, at(2));
    assert_eq!(books.last().outcome, Outcome::Rejected(RejectionCode::AmountOverflow));
}
