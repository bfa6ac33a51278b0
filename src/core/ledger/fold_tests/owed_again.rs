//! Owns the tests of fees that are owed although they were forgiven: their waiver gave back what had paid them, and the
//! borrower had it no more when it was charged back.

use super::charge_backs::charge_back;
use super::servicing::{fee, refund, reversal, waiver, waiver_of};
use super::*;
use crate::core::ledger::{FeeItem, RejectionCode};

/// A fee of 50 was paid, forgiven, refunded and charged back; number 6 is the charge-back.
fn owed_again() -> Books {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
    books.posts(payment(50, date(1, 12)));
    books.posts(waiver("late", 50, date(1, 15)));
    books.posts(refund(None, date(1, 16)));
    let back = charge_back(books.event(3), 50, date(1, 20), Some(0));
    books.posts(back);
    books
}

/// Paid, waived and owed of each fee; what is owed of all is what the bucket has.
fn items(books: &Books) -> Vec<[i64; 3]> {
    let of = |item: &FeeItem| [item.paid, item.waived, item.outstanding().unwrap()];
    let items: Vec<[i64; 3]> = books.fees().items().iter().map(|item| of(item).map(Minor::units)).collect();
    assert_eq!(items.iter().map(|item| item[2]).sum::<i64>(), books.balances()[0], "{items:?}");
    items
}

#[test]
fn it_may_be_forgiven_again_and_no_more_than_that() {
    let mut books = owed_again();
    assert_eq!((books.balances(), items(&books)), ([50, 0, 1000, 0], vec![[0, 0, 50]]));
    books.refuses(waiver("late", 51, date(1, 21)), RejectionCode::InsufficientBalance);
    books.posts(waiver("late", 50, date(1, 21)));
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 0], vec![[0, 50, 0]]));
}

#[test]
fn it_is_no_room_for_a_waiver_of_another_fee() {
    for day in [17, 21] {
        let mut books = owed_again();
        books.refuses(waiver("other", 50, date(1, day)), RejectionCode::InsufficientBalance);
    }
    let mut books = owed_again();
    books.posts(fee("nsf", 30, date(1, 21)));
    let (named, undo) = (waiver_of(&books, 7, 30, date(1, 23)), reversal(&books, 7, date(1, 22)));
    books.posts(undo);
    books.refuses(named, RejectionCode::InsufficientBalance);
}

/// Fees of later days are charged, paid, forgiven and taken back as ever.
#[test]
fn later_fees_do_not_know_of_it() {
    let mut books = owed_again();
    books.posts(waiver("late", 50, date(1, 21)));
    books.posts(fee("nsf", 30, date(1, 22)));
    assert_eq!(items(&books), [[0, 50, 0], [0, 0, 30]]);
    books.posts(payment(30, date(1, 23)));
    assert_eq!(items(&books), [[0, 50, 0], [30, 0, 0]]);
    books.posts(fee("wire", 40, date(1, 24)));
    books.posts(waiver("wire", 15, date(1, 25)));
    assert_eq!(items(&books), [[0, 50, 0], [30, 0, 0], [0, 15, 25]]);
    let (of_waiver, of_fee) = (reversal(&books, 11, date(1, 26)), reversal(&books, 10, date(1, 26)));
    books.refuses(of_fee.clone(), RejectionCode::NotReversible);
    books.posts(of_waiver);
    books.posts(of_fee);
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 0], vec![[0, 50, 0], [30, 0, 0]]));
}

/// Were the charge-back taken back beside the second waiver, that would give out money nobody paid.
#[test]
fn the_charge_back_stays_until_the_second_waiver_is_taken_back() {
    let mut books = owed_again();
    books.posts(waiver("late", 50, date(1, 21)));
    let (of_back, of_waiver) = (reversal(&books, 6, date(1, 26)), reversal(&books, 7, date(1, 26)));
    books.refuses(of_back.clone(), RejectionCode::NotReversible);
    books.posts(of_waiver);
    books.posts(of_back);
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 0], vec![[0, 50, 0]]));
}
