//! Owns the cases of late items that architecture.md ("Late items") asks to keep, and their neighbours.

use super::servicing::{act, adjustment, fee, lines, refund, reversal, waiver};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::ledger::{RejectionCode, chain_hash};
use crate::core::loan::LossAccount;

fn chargeoff(date: NaiveDate) -> Command {
    let act_of = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    act(act_of, None, date)
}

/// Fee of 500 on 1 January; the payment of 1 April is posted first, that of 1 March second: March pays the fee, and what
/// April had paid of it is the borrower's.
#[test]
fn a_late_payment_pays_the_fee_that_a_later_one_had_paid() {
    let mut books = Books::of([opening([500, 0, 0], date(1, 1)), payment(500, date(4, 1))]);
    assert_eq!(books.last_split(), [500, 0, 0, 0]);
    books.post(&[accepted(3, payment(500, date(3, 1)))], at(3));
    assert_eq!((books.split(3), books.split(2)), ([500, 0, 0, 0], [0, 0, 0, 500]));
    assert_eq!(books.consequences(), [("payment_allocated", Some(2), lines(&[("1300", 500), ("2100", -500)]))]);
    assert_eq!(books.posted[1].posting.allocation.map(|split| parts(&split)), Some([500, 0, 0, 0]), "the row stays");
    assert_eq!(books.balances(), [0, 0, 0, 500]);
    assert_eq!(books.balances_on(date(3, 1)), [0, 0, 0, 0]);
}

/// The same in one batch: the second event sees what the first one moved.
#[test]
fn the_same_two_payments_in_one_batch_are_split_alike() {
    let mut books = Books::of([opening([500, 0, 0], date(1, 1))]);
    books.post(&[accepted(2, payment(500, date(4, 1))), accepted(3, payment(500, date(3, 1)))], at(3));
    assert_eq!(books.balances(), [0, 0, 0, 500]);
    assert_eq!((books.split(3), books.split(2)), ([500, 0, 0, 0], [0, 0, 0, 500]));
}

/// Fee of 10 May, payment of 1 May that is posted on 15 May: on 1 May nothing was owed, so it waits in suspense.
#[test]
fn a_payment_dated_before_the_debt_waits_in_suspense() {
    let books = Books::of([opening([0, 0, 0], date(4, 1)), fee("late", 500, date(5, 10)), payment(500, date(5, 1))]);
    assert_eq!(books.last_split(), [0, 0, 0, 500]);
    assert_eq!(books.balances(), [500, 0, 0, 500]);
}

/// Three payments, each dated before the last: each finds what was owed on its own day.
#[test]
fn payments_that_come_backwards_end_as_if_they_had_come_forwards() {
    let forwards = Books::of([
        opening([100, 40, 1000], date(1, 1)),
        payment(50, date(2, 1)),
        payment(50, date(3, 1)),
        payment(120, date(4, 1)),
    ]);
    let backwards = Books::of([
        opening([100, 40, 1000], date(1, 1)),
        payment(120, date(4, 1)),
        payment(50, date(3, 1)),
        payment(50, date(2, 1)),
    ]);
    assert_eq!([2, 3, 4].map(|seq| forwards.split(seq)), [4, 3, 2].map(|seq| backwards.split(seq)));
    assert_eq!(forwards.balances(), backwards.balances());
    assert_eq!(backwards.split(2), [0, 40, 80, 0]);
}

/// Of one day's events that were accepted at once either order is right: it is that in which they were posted.
#[test]
fn events_of_one_day_stand_in_the_order_of_posting() {
    let day = date(5, 10);
    let mut books = Books::of([opening([0, 0, 0], date(1, 1))]);
    books.post(&[accepted(3, disbursement(500, day))], at(3));
    books.post(&[accepted(5, payment(200, day))], at(5));
    // Accepted in front of the other, and seen behind it: it is posted as it comes, and reads no history.
    books.post(&[accepted(4, payment(400, day))], at(6));
    assert_eq!((books.split(4), books.split(5)), ([0, 0, 300, 100], [0, 0, 200, 0]));
    assert_eq!(books.consequences(), []);
    books.post(&[accepted(6, fee("late", 50, date(5, 9)))], at(7));
    assert_eq!((books.split(5), books.split(4)), ([50, 0, 150, 0], [0, 0, 350, 50]));
}

/// A replay without effect writes nothing (Fineract PR 6454: pairs that cancel).
#[test]
fn a_late_item_that_changes_no_split_has_no_consequence() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), payment(100, date(3, 1)), payment(100, date(4, 1))]);
    books.posts(payment(50, date(2, 1)));
    assert_eq!((books.consequences(), books.posted.len()), (vec![], 4));
    let back = returning(books.event(4), date(4, 5), 0);
    books.posts(back);
    assert_eq!((books.consequences(), books.posted.len()), (vec![], 5));
}

/// Void and post again: the books as before, the history longer (domain 5.3, identity 5).
#[test]
fn a_void_and_a_payment_again_leave_the_books_as_before() {
    let lives = [opening([30, 0, 500], date(1, 1)), payment(50, date(2, 1)), payment(60, date(3, 1))];
    let mut books = Books::of(lives);
    let before = (books.balances(), [2, 3].map(|seq| books.split(seq)));
    let undo = reversal(&books, 2, date(4, 1));
    books.posts(undo);
    assert_eq!(books.split(3), [30, 0, 30, 0]);
    books.posts(payment(50, date(2, 1)));
    let again = i64::try_from(books.posted.len() - 1).unwrap();
    assert_eq!((books.balances(), [again, 3].map(|seq| books.split(seq))), before);
}

/// A late fee, a late disbursement and a fee that should never have been: later payments pay what they would have.
#[test]
fn late_debts_and_debts_that_go_divide_later_payments_anew() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(80, date(3, 1)), payment(80, date(4, 1))]);
    books.posts(fee("late", 25, date(2, 1)));
    assert_eq!([2, 3].map(|seq| books.split(seq)), [[25, 0, 55, 0], [0, 0, 45, 35]]);
    books.posts(disbursement(30, date(3, 15)));
    assert_eq!([2, 3].map(|seq| books.split(seq)), [[25, 0, 55, 0], [0, 0, 75, 5]]);
    let never = reversal(&books, 4, date(4, 2));
    books.posts(never);
    assert_eq!([2, 3].map(|seq| books.split(seq)), [[0, 0, 80, 0], [0, 0, 50, 30]]);
    assert_eq!(books.balances(), [0, 0, 0, 30]);
    assert_eq!(books.fees().items(), []);
}

/// What money paid of fees goes with its split: no restatement charges a fee or leaves one paid that is not.
#[test]
fn fees_follow_the_splits_that_pay_them() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("nsf", 40, date(2, 1)), payment(40, date(3, 1))]);
    books.posts(fee("late", 25, date(1, 15)));
    let seen: Vec<_> = books.fees().items().iter().map(|it| (it.paid.units(), it.assessed.units())).collect();
    assert_eq!(seen, [(25, 25), (15, 40)]);
    books.posts(payment(25, date(1, 20)));
    assert_eq!((books.split(3), books.balances()), ([40, 0, 0, 0], [0, 0, 1000, 0]));
    assert!(books.fees().items().iter().all(|it| it.outstanding().unwrap().is_zero()));
}

/// Fee and payment of one day, in both orders (FINERACT-1905).
#[test]
fn a_fee_and_a_payment_of_one_day_go_by_acceptance() {
    let day = date(2, 1);
    let fee_first = Books::of([opening([0, 0, 100], date(1, 1)), fee("late", 10, day), payment(30, day)]);
    let payment_first = Books::of([opening([0, 0, 100], date(1, 1)), payment(30, day), fee("late", 10, day)]);
    assert_eq!((fee_first.split(3), payment_first.split(2)), ([10, 0, 20, 0], [0, 0, 30, 0]));
}

/// Refund, then a late payment before it; a void before it (FINERACT-2024).
#[test]
fn a_refund_is_replayed_with_what_it_was_paid_from() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(150, date(2, 1))]);
    books.posts(refund(None, date(3, 1)));
    books.posts(payment(20, date(1, 15)));
    assert_eq!((books.split(2), books.balances()), ([0, 0, 80, 70], [0, 0, 0, 20]));
    let back = returning(books.event(4), date(4, 1), 0);
    books.posts(back);
    assert_eq!((books.split(2), books.balances()), ([0, 0, 100, 50], [0, 0, 0, 0]));
}

/// A payment from before a charge-off goes back, and one comes late before it (FINERACT-1806, domain rule 63).
#[test]
fn a_charge_off_is_computed_anew() {
    let mut books = Books::of([opening([20, 0, 1000], date(1, 1)), payment(1000, date(3, 1))]);
    books.posts(chargeoff(date(6, 1)));
    books.posts(payment(5, date(7, 1)));
    let back = returning(books.event(2), date(7, 5), 0);
    books.posts(back);
    let off = [("1100", -980), ("1300", -20), ("5100", 980), ("4290", 20), ("9100", 1000), ("9900", -1000)];
    let mut told = books.consequences();
    for (.., lines) in &mut told {
        lines.sort();
    }
    let mut off = lines(&off);
    off.sort();
    assert_eq!(told[0], ("payment_allocated", Some(3), off));
    assert_eq!(books.split(4), [5, 0, 0, 0], "the recovery pays the fee now");
    let memo = |books: &Books| books.state.unwrap().charged_off.unwrap().memo;
    assert_eq!([memo(&books).fees, memo(&books).principal].map(Minor::units), [15, 1000]);
    books.posts(payment(100, date(5, 1)));
    assert_eq!(books.split(7 + 1), [20, 0, 80, 0], "of a day before the charge-off it is a payment");
    assert_eq!([memo(&books).fees, memo(&books).principal].map(Minor::units), [0, 915]);
    assert_eq!(books.balances(), [0, 0, 0, 0]);
}

/// A penalty half paid, then a charge-off, then a replay: it takes what is owed, not what was charged.
#[test]
fn a_charge_off_takes_of_a_fee_what_is_still_owed() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), fee("late", 40, date(2, 1)), payment(20, date(3, 1))]);
    books.posts(chargeoff(date(4, 1)));
    books.posts(payment(10, date(2, 15)));
    let memo = books.state.unwrap().charged_off.unwrap().memo;
    assert_eq!([memo.fees, memo.principal].map(Minor::units), [10, 100]);
}

/// All is repaid, then a payment goes back (FINERACT-2326); and a loan is overpaid by a cent.
#[test]
fn a_paid_off_loan_takes_a_payment_back() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(60, date(2, 1)), payment(41, date(3, 1))]);
    assert_eq!(books.balances(), [0, 0, 0, 1]);
    let back = returning(books.event(2), date(3, 5), 0);
    books.posts(back);
    assert_eq!((books.split(3), books.balances()), ([0, 0, 41, 0], [0, 0, 59, 0]));
}

/// Backdated twice: each event is restated once for each, and entries of earlier events are never made again
/// (FINERACT-1841, 2081).
#[test]
fn two_late_items_restate_once_each() {
    let mut books = Books::of([opening([30, 0, 100], date(1, 1)), payment(50, date(4, 1))]);
    books.posts(payment(10, date(3, 1)));
    assert_eq!(books.consequences().len(), 1);
    books.posts(payment(10, date(2, 1)));
    assert_eq!(books.consequences().len(), 1, "the payment of March pays fees in either case");
    assert_eq!([2, 3, 5].map(|seq| books.split(seq)), [[10, 0, 40, 0], [10, 0, 0, 0], [10, 0, 0, 0]]);
    assert_eq!(books.posted.len(), 6);
}

/// What is taken of the loan is not taken where a later day had it not.
#[test]
fn what_is_taken_late_is_there_on_every_later_day() {
    let mut books = Books::of([opening([0, 20, 100], date(1, 1)), payment(300, date(2, 1))]);
    books.posts(refund(Some(150), date(3, 1)));
    books.refuses(refund(Some(31), date(2, 10)), RejectionCode::InsufficientBalance);
    books.refuses(adjustment(&[("1200", -1), ("5200", 1)], date(1, 15)), RejectionCode::InsufficientBalance);
    books.refuses(chargeoff(date(1, 15)), RejectionCode::InsufficientBalance);
}

/// A waiver whose fee an earlier payment turns out to have paid gives the money back.
#[test]
fn a_waiver_is_replayed() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), fee("late", 40, date(2, 1))]);
    books.posts(waiver("late", 40, date(3, 1)));
    books.posts(payment(30, date(2, 15)));
    assert_eq!((books.split(4), books.balances()), ([30, 0, 0, 0], [0, 0, 100, 30]));
    let item = books.fees().items().remove(0);
    assert_eq!([item.paid, item.waived, item.outstanding().unwrap()].map(Minor::units), [0, 40, 0]);
}

/// Today has room for the debt, but a day in between had not: a balance as of that day would leave 64 bits.
#[test]
fn a_late_debt_without_room_on_a_later_day_is_refused() {
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

/// A restatement is a link of the loan's chain like any other posting, and a consequence that names its cause.
#[test]
fn a_restatement_goes_on_with_version_and_chain() {
    let mut books = Books::of([opening([500, 0, 0], date(1, 1)), payment(500, date(4, 1))]);
    books.post(&[accepted(3, payment(500, date(3, 1)))], at(3));
    let [.., late, restated] = books.posted.as_slice() else { panic!("{books:?}") };
    let event = &restated.event.event;
    assert_eq!(
        (event.origin.cause_seq, event.slot, event.command.amount()),
        (Some(Seq(3)), None, Some(Minor::new(500)))
    );
    assert_eq!((late.posting.loan_version, restated.posting.loan_version), (Some(3), Some(4)));
    assert_eq!((restated.posting.effective_date, restated.posting.posted_at), (date(4, 1), at(3)));
    let head = late.posting.chain_hash.unwrap();
    assert_eq!(restated.posting.chain_hash, Some(chain_hash(&head, event.fingerprint, &restated.posting)));
    assert_eq!(books.state.unwrap().chain_head, restated.posting.chain_hash.unwrap());
}
