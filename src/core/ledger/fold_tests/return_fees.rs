//! Owns the cases of fees that programs and feeds ask for returned payments: one for each payment (domain rule 48).

use super::charge_backs::charge_back;
use super::servicing::{act, reversal, waiver_of};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::loan::LossAccount;

/// Principal 500, of which a payment of 100 has paid as much.
fn paid() -> Books {
    Books::of([opening([0, 0, 500], date(1, 1)), payment(100, date(2, 1))])
}

/// The part of the payment that goes back on a day of March, for the program's fee of 25 where none is named.
fn part(books: &Books, units: i64, day: u32, fee: Option<i64>) -> Command {
    charge_back(books.event(2), units, date(3, day), fee)
}

/// The fees that the return brought which was sent last, and how each ended.
fn fees_brought(books: &Books) -> Vec<(i64, Outcome)> {
    let last = books.posted.iter().rposition(|posted| posted.event.event.slot.is_some()).unwrap();
    assert_eq!(books.posted[last].posting.outcome, Outcome::Posted, "{:?}", books.posted[last]);
    let fees = books.posted[last + 1..].iter().filter(|posted| posted.event.event.kind == EventKind::FeeAssessed);
    fees.map(|fee| (fee.event.event.command.amount().unwrap().units(), fee.posting.outcome)).collect()
}

impl Books {
    /// The place of the fee that the last return brought.
    fn last_fee(&self) -> i64 {
        self.posted.iter().rfind(|posted| posted.event.event.kind == EventKind::FeeAssessed).unwrap().event.seq.0
    }
}

const CHARGED: [(i64, Outcome); 1] = [(25, Outcome::Posted)];

#[test]
fn a_payment_that_goes_back_in_parts_is_charged_once() {
    let mut books = paid();
    books.next(part(&books, 40, 1, None));
    assert_eq!(fees_brought(&books), CHARGED);
    for day in 2..5 {
        books.next(part(&books, 20, day, None));
        assert_eq!(fees_brought(&books), [], "on {day} March");
    }
    assert_eq!(books.balances(), [25, 0, 500, 0]);
}

/// The fold sees the return that it posted a moment earlier; of an earlier day it is the later one all the same.
#[test]
fn two_parts_of_one_batch_are_charged_once() {
    let (mut together, mut apart) = (paid(), paid());
    let parts = [accepted(3, part(&together, 60, 9, None)), accepted(4, part(&together, 40, 5, None))];
    assert_eq!(together.post_batch(&parts, at(3)), Ok(2));
    for event in &parts {
        apart.post(std::slice::from_ref(event), at(3));
    }
    assert_eq!(together, apart);
    assert_eq!(fees_brought(&together), []);
    assert_eq!((together.balances_on(date(3, 8)), together.balances()), ([0, 0, 440, 0], [25, 0, 500, 0]));
}

/// Each payment has a fee of its own.
#[test]
fn another_payment_is_charged_as_well() {
    let mut books = paid();
    books.next(payment(100, date(2, 2)));
    books.next(part(&books, 40, 1, None));
    books.next(charge_back(books.event(3), 40, date(3, 2), None));
    assert_eq!((fees_brought(&books), books.balances()[0]), (CHARGED.to_vec(), 50));
}

/// What a caller names is charged as named, with every part; and a first return that was free is the first one.
#[test]
fn a_fee_that_is_named_is_charged_as_it_is_named() {
    let mut books = paid();
    for (day, fee, brought) in [(1, Some(0), 0), (2, None, 0), (3, Some(7), 7), (4, Some(8), 8), (5, None, 0)] {
        books.next(part(&books, 10, day, fee));
        assert_eq!(fees_brought(&books).iter().map(|(fee, _)| *fee).sum::<i64>(), brought, "on {day} March");
    }
}

#[test]
fn a_fee_that_was_refused_does_not_come_again() {
    let mut books = Books::of([opening([0, 0, 500], date(1, 1)), payment(100, date(2, 1))]);
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.next(act(chargeoff, None, date(2, 15)));
    books.next(part(&books, 40, 1, None));
    assert!(matches!(fees_brought(&books)[..], [(25, Outcome::Rejected(_))]), "{books:?}");
    books.next(part(&books, 60, 2, None));
    assert_eq!(fees_brought(&books), []);
}

#[test]
fn a_fee_that_was_taken_back_or_waived_does_not_come_again() {
    let mut books = paid();
    books.next(part(&books, 40, 1, None));
    books.posts(reversal(&books, books.last_fee(), date(3, 2)));
    books.next(part(&books, 30, 3, None));
    assert_eq!((fees_brought(&books), books.balances()[0]), (vec![], 0));
    let mut books = paid();
    books.next(part(&books, 40, 1, None));
    books.posts(waiver_of(&books, books.last_fee(), 25, date(3, 2)));
    books.next(part(&books, 30, 3, None));
    assert_eq!((fees_brought(&books), books.balances()[0]), (vec![], 0));
}

/// Without its first return the payment has not gone back; but as long as that one's fee stands, the payment has its fee.
#[test]
fn a_return_that_was_reversed_does_not_count_and_its_fee_does() {
    let mut books = paid();
    books.next(part(&books, 40, 1, None));
    let fee = books.last_fee();
    books.posts(reversal(&books, 3, date(3, 2)));
    books.next(part(&books, 40, 3, None));
    assert_eq!((fees_brought(&books), books.balances()[0]), (vec![], 25));
    let second = books.posted.last().unwrap().event.seq.0;
    books.posts(reversal(&books, second, date(3, 4)));
    books.posts(reversal(&books, fee, date(3, 4)));
    books.next(part(&books, 40, 5, None));
    assert_eq!((fees_brought(&books), books.balances()[0]), (CHARGED.to_vec(), 25));
}
