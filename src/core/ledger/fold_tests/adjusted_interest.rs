//! Owns the cases of adjustments that took computed interest away which turns out not to have been there: nobody paid it,
//! so it is nobody's.

use super::accruals::books;
use super::servicing::{act, adjustment, fee, lines, reversal};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::loan::LossAccount;

/// 10,000.00 that bear 2.00 a day, accrued on 10 and 20 January, and on 25 January an adjustment.
fn adjusted(by: &[(&str, i64)]) -> Books {
    let mut books = books();
    assert_eq!([10, 20].map(|day| books.accrues(date(1, day))), [2_000; 2]);
    books.posts(adjustment(by, date(1, 25)));
    books
}

/// 5,010.00 of 16 January pay the 20.00 of the first accrual, and leave 15.01 to the second.
fn paid_late(books: &mut Books) {
    books.posts_late(payment(501_000, date(1, 16)));
}

/// What the last event that was sent has restated the adjustment by.
fn restated(books: &Books, seq: i64) -> Vec<Vec<(String, i64)>> {
    let of_it = books.consequences().into_iter().filter(|(_, restates, _)| *restates == Some(seq));
    of_it.map(|(.., lines)| lines).collect()
}

/// 30.00 of 40.00 were taken away. 15.01 are there in the end: so much is taken, and the lender does not bear 14.99.
#[test]
fn an_adjustment_takes_the_interest_that_is_there() {
    let mut books = adjusted(&[("1200", -3_000), ("5200", 3_000)]);
    paid_late(&mut books);
    assert_eq!(restated(&books, 4), [lines(&[("1200", 1_499), ("5200", -1_499)])]);
    assert_eq!(books.balances(), [0, 0, 501_000, 0], "nothing waits for the borrower");
    // The payment goes back, and the adjustment takes all that was asked, and no more.
    let back = returning(books.event(5), date(2, 1), 0);
    books.posts_late(back);
    assert_eq!(restated(&books, 4), [lines(&[("1200", -1_499), ("5200", 1_499)])]);
    assert_eq!(books.balances(), [0, 1_000, 1_000_000, 0]);
    books.posts_late(payment(100_000, date(1, 9)));
    assert!(restated(&books, 4).is_empty(), "37.60 are enough");
}

/// What was taken of it is taken back, and not what was asked.
#[test]
fn a_lowered_adjustment_is_taken_back_as_it_stands() {
    let mut books = adjusted(&[("1200", -3_000), ("5200", 3_000)]);
    paid_late(&mut books);
    let undo = reversal(&books, 4, date(2, 1));
    books.posts_late(undo);
    assert_eq!(books.balances(), [0, 1_501, 501_000, 0]);
    let borne = books.posted.iter().filter_map(|it| it.posting.entry.as_ref()).flat_map(JournalEntry::lines);
    let borne = borne.filter(|line| line.account.to_string() == "5200");
    assert_eq!(borne.map(|line| line.signed.units()).sum::<i64>(), 0);
}

/// The last line is spared first; what was capitalised is principal as long as anybody else bears anything.
#[test]
fn accounts_outside_the_loan_are_spared_last_line_first() {
    let mut books = adjusted(&[("5200", 1_100), ("1200", -3_000), ("1100", 1_400), ("4100", 500)]);
    paid_late(&mut books);
    assert_eq!(restated(&books, 4), [lines(&[("1200", 1_499), ("4100", -500), ("5200", -999)])]);
    assert_eq!(books.balances(), [0, 0, 502_400, 0]);
    let mut books = adjusted(&[("1200", -3_000), ("5200", 100), ("1100", 2_900)]);
    paid_late(&mut books);
    assert_eq!(restated(&books, 4), [lines(&[("1200", 1_499), ("1100", -1_399), ("5200", -100)])]);
    assert_eq!(books.balances(), [0, 0, 502_501, 0]);
    // 5,025.01 bear 1.005002 from 25 January on, and 5,010.00 bore 1.002 for four days: 10.038012.
    assert_eq!(books.accrues(date(1, 30)), 1_004);
}

/// Suspense that was to pay it keeps the rest, and a fee that was made of it is smaller.
#[test]
fn what_was_given_within_the_loan_is_smaller() {
    let mut books = books();
    assert_eq!([10, 20].map(|day| books.accrues(date(1, day))), [2_000; 2]);
    books.posts(adjustment(&[("1010", 3_000), ("2100", -3_000)], date(1, 24)));
    books.posts(adjustment(&[("1200", -3_500), ("2100", 3_000), ("1300", 500)], date(1, 25)));
    paid_late(&mut books);
    assert_eq!(restated(&books, 5), [lines(&[("1200", 1_999), ("2100", -1_999)])]);
    assert_eq!(books.balances(), [500, 0, 501_000, 1_999]);
    let mut books = adjusted(&[("1200", -3_500), ("1300", 3_500)]);
    paid_late(&mut books);
    assert_eq!(books.balances(), [1_501, 0, 501_000, 0]);
    assert_eq!(books.fees().items()[0].outstanding().unwrap().units(), 1_501);
}

/// An adjustment that takes no interest is what it was.
#[test]
fn what_adds_interest_or_takes_other_debt_keeps_its_rule() {
    let mut books = adjusted(&[("1200", 500), ("5200", -500)]);
    books.posts(fee("late", 700, date(1, 26)));
    books.posts(adjustment(&[("1300", -700), ("5200", 700)], date(1, 27)));
    paid_late(&mut books);
    assert_eq!(books.consequences().len(), 1, "the second accrual alone");
    books.posts_late(payment(300, date(1, 26)));
    assert_eq!(restated(&books, 6), [lines(&[("1300", 300), ("2100", -300)])], "300 of the fee are paid: rule 54");
}

/// Interest that a caller gave and that is taken back is nobody's either.
#[test]
fn given_interest_that_goes_leaves_nothing_to_the_borrower() {
    let mut books = books();
    let given = books.accrue_at(date(1, 10), Some(2_000));
    books.posts(adjustment(&[("1200", -1_500), ("5200", 1_500)], date(1, 25)));
    books.unaccrue(given);
    assert_eq!(restated(&books, 3), [lines(&[("1200", 1_500), ("5200", -1_500)])]);
    assert_eq!(books.balances(), [0, 0, 1_000_000, 0]);
}

/// A charge-off comes in front of it, and then a recovery pays interest that it took: both move the same account, which the
/// adjustment debits too, and what stands of it is told from the books all the same.
#[test]
fn on_the_memo_accounts_it_takes_what_is_there() {
    let mut books = books();
    assert_eq!(books.accrues(date(1, 10)), 2_000);
    books.posts(adjustment(&[("1200", 500), ("5200", -500)], date(1, 12)));
    books.posts(adjustment(&[("1200", -500), ("4190", 500)], date(1, 14)));
    let off = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.posts_late(act(off, None, date(1, 11)));
    assert_eq!(restated(&books, 4), [lines(&[("1200", 500), ("4190", -500), ("9100", -500), ("9900", 500)])]);
    let memo = |books: &Books| books.state.unwrap().charged_off.unwrap().memo.interest.units();
    assert_eq!((memo(&books), books.balances()), (2_000, [0; 4]));
    books.posts_late(payment(2_300, date(1, 13)));
    assert_eq!(restated(&books, 4), [lines(&[("9100", 300), ("9900", -300)])]);
    assert_eq!((memo(&books), books.balances()), (0, [0; 4]));
    let paid = books.posted.iter().find(|it| it.event.event.kind == EventKind::PaymentReceived).unwrap().event.clone();
    books.posts_late(returning(&paid, date(2, 1), 0));
    assert_eq!(restated(&books, 4), [lines(&[("9100", -300), ("9900", 300)])]);
    assert_eq!((memo(&books), books.balances()), (2_000, [0; 4]));
}

/// Its counter account is the one that bears fees which are charged off: no fee is charged off by it.
#[test]
fn no_fee_is_charged_off_by_an_adjustment_of_interest() {
    let mut books = books();
    books.posts(fee("late", 700, date(1, 5)));
    assert_eq!(books.accrues(date(1, 10)), 2_000);
    books.posts(adjustment(&[("1200", -2_000), ("4290", 2_000)], date(1, 25)));
    books.posts_late(payment(500_700, date(1, 6)));
    assert_eq!(restated(&books, 4), [lines(&[("1200", 500), ("4290", -500)])]);
    let item = books.fees().items().remove(0);
    assert_eq!([item.paid, item.charged_off].map(Minor::units), [700, 0]);
}
