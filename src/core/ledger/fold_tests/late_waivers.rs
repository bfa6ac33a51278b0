//! Owns the tests of waivers that count from a day on which their fee was still owed: what paid it later is divided anew.

use super::servicing::{act, adjustment, fee, lines, reversal, waiver};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::ledger::{FeeItem, RejectionCode};
use crate::core::loan::LossAccount;

/// A fee of 40 of 10 January.
fn charged() -> Books {
    Books::of([opening([0, 100, 1000], date(1, 1)), fee("late", 40, date(1, 10))])
}

/// Paid, waived and owed of each fee.
fn items(books: &Books) -> Vec<[i64; 3]> {
    let of = |item: &FeeItem| [item.paid, item.waived, item.outstanding().unwrap()];
    books.fees().items().iter().map(|item| of(item).map(Minor::units)).collect()
}

/// The lines of what was sent last.
fn sent(books: &Books) -> Vec<(String, i64)> {
    let lines = books.last_sent().entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
    lines.iter().map(|line| (line.account.to_string(), line.signed.units())).collect()
}

/// 50 of 25 January paid the 40, and 10 of interest. Waived on the twentieth, they were not owed any more.
#[test]
fn a_later_payment_pays_something_else() {
    let mut books = charged();
    books.posts(payment(50, date(1, 25)));
    assert_eq!(books.balances(), [0, 90, 1000, 0]);
    books.posts_late(waiver("late", 40, date(1, 20)));
    assert_eq!(sent(&books), lines(&[("5200", 40), ("1300", -40)]));
    assert_eq!(books.consequences(), [("payment_allocated", Some(3), lines(&[("1300", 40), ("1200", -40)]))]);
    assert_eq!((books.balances(), items(&books)), ([0, 50, 1000, 0], vec![[0, 40, 0]]));
    // It is taken back, and all is as it was.
    let undo = reversal(&books, 4, date(2, 1));
    books.posts(undo);
    assert_eq!((books.balances(), items(&books)), ([0, 90, 1000, 0], vec![[40, 0, 0]]));
}

/// The same in time.
#[test]
fn it_is_as_if_the_waiver_had_come_in_time() {
    let mut books = charged();
    books.posts(waiver("late", 40, date(1, 20)));
    books.posts(payment(50, date(1, 25)));
    assert_eq!((books.balances(), items(&books)), ([0, 50, 1000, 0], vec![[0, 40, 0]]));
}

/// 15 were paid before the day, 25 after it: those are the borrower's, these are divided anew.
#[test]
fn what_was_paid_before_is_the_borrowers() {
    let mut books = charged();
    books.posts(payment(15, date(1, 15)));
    books.posts(payment(25, date(1, 25)));
    books.posts_late(waiver("late", 40, date(1, 20)));
    assert_eq!(sent(&books), lines(&[("5200", 40), ("1300", -25), ("2100", -15)]));
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), lines(&[("1300", 25), ("1200", -25)]))]);
    assert_eq!((books.balances(), items(&books)), ([0, 75, 1000, 15], vec![[0, 40, 0]]));
}

/// A payment paid it, and a fee of a later day takes what it had paid.
#[test]
fn the_money_pays_the_next_fee() {
    let mut books = charged();
    books.posts(fee("late", 30, date(1, 22)));
    books.posts(payment(60, date(1, 25)));
    books.posts(waiver("late", 40, date(1, 20)));
    assert_eq!((books.balances(), items(&books)), ([0, 70, 1000, 0], vec![[0, 40, 0], [30, 0, 0]]));
}

/// What no money took, nobody gets twice.
#[test]
fn what_was_forgiven_later_is_not_forgiven_again() {
    let mut books = charged();
    books.posts(waiver("late", 40, date(1, 25)));
    books.refuses(waiver("late", 1, date(1, 20)), RejectionCode::InsufficientBalance);
    let mut books = charged();
    books.posts(adjustment(&[("1300", -30), ("5200", 30)], date(1, 25)));
    books.refuses(waiver("late", 11, date(1, 20)), RejectionCode::InsufficientBalance);
    books.posts(waiver("late", 10, date(1, 20)));
    assert_eq!(books.balances(), [0, 100, 1000, 0]);
}

/// Only the first fee is there on the day of the adjustment, and a waiver has forgiven that one. So had they come in order,
/// the waiver would have found nothing.
#[test]
fn what_was_waived_later_is_not_forgiven_by_hand() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
    books.posts(fee("nsf", 50, date(1, 20)));
    books.posts(waiver("late", 50, date(1, 25)));
    let by_hand = |units: i64, day: u32| adjustment(&[("1300", -units), ("5200", units)], date(1, day));
    books.refuses(by_hand(1, 15), RejectionCode::InsufficientBalance);
    assert_eq!((books.balances(), items(&books)), ([50, 0, 1000, 0], vec![[0, 50, 0], [0, 0, 50]]));
    // Against money it is a payment, which pays the other fee.
    books.posts(adjustment(&[("1300", -10), ("1010", 10)], date(1, 15)));
    assert_eq!((books.balances(), items(&books)), ([40, 0, 1000, 0], vec![[0, 50, 0], [10, 0, 40]]));
    books.posts_late(by_hand(40, 21));
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 0], vec![[0, 50, 0], [10, 40, 0]]));
    books.refuses(waiver("nsf", 11, date(1, 26)), RejectionCode::InsufficientBalance);
    books.posts(waiver("nsf", 10, date(1, 26)));
    assert_eq!((books.balances(), items(&books)), ([0, 0, 1000, 10], vec![[0, 50, 0], [0, 50, 0]]));
}

/// 50 had paid the first fee. They pay the second, which was forgiven, and so are the borrower's; the third was taken by hand.
#[test]
fn what_a_hand_took_later_of_a_later_fee_is_not_missed() {
    let waivers = [waiver("nsf", 50, date(1, 20)), waiver("late", 50, date(1, 15))];
    let by_hand = adjustment(&[("1300", -30), ("5200", 30)], date(1, 22));
    let rest = [fee("wire", 30, date(1, 21)), by_hand];
    let mut ends = Vec::new();
    for is_late in [true, false] {
        let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
        books.posts(payment(50, date(1, 12)));
        books.posts(fee("nsf", 50, date(1, 14)));
        let [nsf, late] = waivers.clone();
        let [first, last] = if is_late { [nsf, late] } else { [late, nsf] };
        books.posts(first);
        if is_late {
            rest.clone().into_iter().for_each(|it| drop(books.posts(it)));
            books.posts_late(last);
        } else {
            books.posts(last);
            rest.clone().into_iter().for_each(|it| drop(books.posts(it)));
        }
        ends.push((books.balances(), items(&books)));
    }
    assert_eq!(ends[0], ([0, 0, 1000, 50], vec![[0, 50, 0], [0, 50, 0], [0, 30, 0]]));
    assert_eq!(ends[0], ends[1]);
}

/// What a hand took of the very fee that is there is there no more.
#[test]
fn what_a_hand_took_later_of_these_fees_is_missed() {
    let mut books = charged();
    books.posts(fee("nsf", 30, date(1, 22)));
    books.posts(adjustment(&[("1300", -70), ("1010", 70)], date(1, 23)));
    books.posts(waiver("nsf", 30, date(1, 24)));
    // Of 70 the third day needs 30 from here on, beside the 40 that are there.
    books.refuses(waiver("late", 1, date(1, 20)), RejectionCode::InsufficientBalance);
}

/// A charge-off of a later day takes what is owed then.
#[test]
fn a_later_charge_off_is_lower() {
    let mut books = charged();
    let off = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.posts(act(off, None, date(1, 25)));
    books.posts(waiver("late", 40, date(1, 20)));
    let memo = books.state.unwrap().charged_off.unwrap().memo;
    assert_eq!([memo.fees, memo.interest, memo.principal].map(Minor::units), [0, 100, 1000]);
    assert_eq!(items(&books), [[0, 40, 0]]);
}

/// 120 of 150 were paid. A later waiver of 100 leaves the late one what is there in front of it.
#[test]
fn a_waiver_in_front_of_another_is_as_in_time() {
    let waivers = [waiver("nsf", 50, date(1, 14)), waiver("late", 100, date(1, 15))];
    let mut ends = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 100, date(1, 2))]);
        books.posts(fee("nsf", 50, date(1, 2)));
        books.posts(payment(120, date(1, 3)));
        for at in order {
            books.posts_late(waivers[at].clone());
        }
        ends.push((books.balances(), items(&books)));
    }
    assert_eq!(ends[0], ([0, 0, 1000, 120], vec![[0, 100, 0], [0, 50, 0]]));
    assert_eq!(ends[0], ends[1]);
}
