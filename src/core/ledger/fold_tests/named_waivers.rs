//! Owns the tests of waivers that name their fee.

use super::servicing::{fee, lines, reversal, waiver, waiver_of};
use super::*;
use crate::core::ledger::RejectionCode;

/// Fees of 10 and of 20 January, of one code, and of 40 and 60.
fn charged() -> Books {
    Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 40, date(1, 10)), fee("late", 60, date(1, 20))])
}

/// Paid, waived and owed of each fee.
fn items(books: &Books) -> Vec<[i64; 3]> {
    let of = |item: &crate::core::ledger::FeeItem| [item.paid, item.waived, item.outstanding().unwrap()];
    books.fees().items().iter().map(|item| of(item).map(Minor::units)).collect()
}

#[test]
fn a_waiver_takes_the_fee_that_it_names_and_no_other() {
    let mut books = charged();
    let named = waiver_of(&books, 3, 50, date(2, 1));
    assert_eq!(books.posts(named), lines(&[("5200", 50), ("1300", -50)]));
    assert_eq!(items(&books), [[0, 0, 40], [0, 50, 10]], "the older fee is not touched");
    let more = waiver_of(&books, 3, 11, date(2, 1));
    books.refuses(more, RejectionCode::InsufficientBalance);
    let early = waiver_of(&books, 3, 10, date(1, 19));
    books.refuses(early, RejectionCode::InsufficientBalance);
    books.posts(waiver("late", 50, date(2, 2)));
    assert_eq!(items(&books), [[0, 40, 0], [0, 60, 0]], "one that names none takes the youngest first");
    let undo = reversal(&books, 4, date(2, 3));
    books.posts(undo);
    assert_eq!(items(&books), [[0, 0, 40], [0, 50, 10]], "taken back, it leaves room for the other");
}

/// 40 had paid the older fee, 10 the younger. The older one is forgiven: its 40 pay the younger. That is forgiven as well: the
/// money finds no fee any more.
#[test]
fn what_was_paid_of_the_named_fee_pays_the_next_and_then_is_the_borrowers() {
    let mut books = charged();
    books.posts(payment(50, date(1, 25)));
    assert_eq!(items(&books), [[40, 0, 0], [10, 0, 50]]);
    let named = waiver_of(&books, 2, 40, date(2, 1));
    assert_eq!(books.posts(named), lines(&[("5200", 40), ("1300", -40)]));
    assert_eq!((books.balances(), items(&books)), ([10, 0, 1000, 0], vec![[0, 40, 0], [50, 0, 10]]));
    let named = waiver_of(&books, 3, 55, date(2, 1));
    assert_eq!(books.posts(named), lines(&[("5200", 55), ("1300", -10), ("2100", -45)]));
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 45], vec![[0, 40, 0], [5, 55, 0]]));
}

/// The same when the payment comes late, in front of both.
#[test]
fn a_payment_pays_what_is_not_forgiven_whenever_it_comes() {
    let mut books = charged();
    for (fee, amount) in [(2, 40), (3, 55)] {
        let named = waiver_of(&books, fee, amount, date(2, 1));
        books.posts(named);
    }
    books.posts_late(payment(50, date(1, 25)));
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 45], vec![[0, 40, 0], [5, 55, 0]]));
    let back = returning(books.event(6), date(2, 5), 0);
    books.posts_late(back);
    assert_eq!((books.balances(), items(&books)), ([5, 0, 1000, 0], vec![[0, 40, 0], [0, 55, 5]]));
}

/// A payment that comes late in front of the waiver: the fee that is waived is the named one still.
#[test]
fn a_late_payment_leaves_the_named_fee_waived() {
    let mut books = charged();
    let named = waiver_of(&books, 3, 60, date(2, 1));
    books.posts(named);
    // 40 pay the older fee, 10 of the 60 are paid before they are waived.
    books.posts(payment(50, date(1, 25)));
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), lines(&[("1300", 10), ("2100", -10)]))]);
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 10], vec![[40, 0, 0], [0, 60, 0]]));
    // And a late fee of another code, in front of all of them.
    books.posts(fee("nsf", 10, date(1, 5)));
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 0], vec![[10, 0, 0], [40, 0, 0], [0, 60, 0]]));
}

/// Its number was drawn before the fee's posting: it waits, and is not refused for good.
#[test]
fn a_waiver_that_stands_before_its_fee_is_not_judged() {
    let books = charged();
    let event = accepted(4, waiver_of(&books, 3, 50, date(2, 1)));
    let mut untold = Past { earlier: Earlier::default(), ..books.past(&event) };
    let error = post_event(books.state, false, &mut untold, &event, at(4)).unwrap_err();
    assert_eq!(error, "an event came without what became of the one it names");
}
