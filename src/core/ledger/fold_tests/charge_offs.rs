//! Owns the tests of charge-offs, recoveries, and what is taken back around them.

use super::servicing::{act, adjustment, apply, fee, lines, refund, reversal, waiver};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::ledger::RejectionCode;
use crate::core::loan::{LoanStatus, LossAccount};

fn chargeoff(collectibility: Collectibility, date: NaiveDate) -> Command {
    act(ServicingAct::Chargeoff { collectibility, loss: LossAccount::Expense }, None, date)
}

fn recovery(units: i64, date: NaiveDate) -> Command {
    act(ServicingAct::Recovery, Some(units), date)
}

/// Fees 5, interest 10, principal 100; paid 20 on 1 February; charged off on 1 June.
fn charged_off(collectibility: Collectibility) -> Books {
    let mut books = Books::of([opening([5, 10, 100], date(1, 1)), payment(20, date(2, 1))]);
    books.posts(fee("late", 7, date(3, 1)));
    books.posts(chargeoff(collectibility, date(6, 1)));
    books
}

/// What stands on the memo accounts: fees, interest, principal; and the sum of the memo lines.
fn memo(books: &Books) -> ([i64; 3], i64) {
    let memo = books.state.unwrap().charged_off.map(|off| off.memo).unwrap_or_default();
    let on_memo = books.posted.iter().filter_map(|posted| posted.posting.entry.as_ref()).flat_map(JournalEntry::lines);
    let sum = on_memo.filter(|line| line.account == AccountCode::CHARGED_OFF_MEMO).map(|line| line.signed.units());
    ([memo.fees, memo.interest, memo.principal].map(Minor::units), sum.sum())
}

#[test]
fn a_charge_off_takes_all_off_the_balance_sheet() {
    let books = charged_off(Collectibility::Collectible);
    let expected = [("5100", 95), ("4290", 7), ("1100", -95), ("1300", -7), ("9100", 102), ("9900", -102)];
    assert_eq!(books.last_lines(), lines(&expected));
    assert_eq!((books.balances(), memo(&books)), ([0; 4], ([7, 0, 95], 102)));
    assert_eq!(books.state.unwrap().status, LoanStatus::ChargedOff);
    let items = books.fees().items();
    assert_eq!(items.iter().map(|item| item.charged_off.units()).collect::<Vec<_>>(), [0, 7]);
}

#[test]
fn a_payment_after_it_is_a_recovery_in_the_loans_order() {
    let mut books = charged_off(Collectibility::Collectible);
    let money = [("1010", 50), ("4300", -50), ("9900", 50), ("9100", -50)];
    assert_eq!(books.posts(payment(50, date(7, 1))), lines(&money));
    assert_eq!((books.last_split(), memo(&books)), ([7, 0, 43, 0], ([0, 0, 52], 52)));
    assert_eq!(books.last().event_type(EventKind::PaymentReceived), "recovery");
    let more = [("1010", 60), ("4300", -52), ("2100", -8), ("9900", 52), ("9100", -52)];
    assert_eq!(books.posts(recovery(60, date(7, 2))), lines(&more), "what is above the memo is the borrower's");
    assert_eq!((books.balances(), memo(&books)), ([0, 0, 0, 8], ([0, 0, 0], 0)));
}

#[test]
fn nothing_more_is_charged_and_nothing_charged_off_twice() {
    let mut books = charged_off(Collectibility::Collectible);
    for command in
        [chargeoff(Collectibility::Collectible, date(7, 1)), fee("late", 5, date(7, 1)), disbursement(5, date(7, 1))]
    {
        books.refuses(command, RejectionCode::LoanClosed);
    }
    let back = returning(books.event(2), date(7, 2), 25);
    books.refuses(back, RejectionCode::LoanClosed);
    let mut paid = Books::of([opening([0, 0, 0], date(1, 1))]);
    paid.refuses(chargeoff(Collectibility::Collectible, date(2, 1)), RejectionCode::InsufficientBalance);
}

/// A charge-off of a day after which something else is owed: what came since came to a loan that was not charged off.
#[test]
fn a_charge_off_before_a_later_payment_is_refused() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(20, date(4, 1))]);
    books.posts(disbursement(5, date(5, 1)));
    books.refuses(chargeoff(Collectibility::Collectible, date(4, 15)), RejectionCode::InsufficientBalance);
    books.posts(chargeoff(Collectibility::Collectible, date(5, 1)));
}

#[test]
fn a_written_off_loan_takes_recoveries_returns_and_reversals_only() {
    let mut books = charged_off(Collectibility::Uncollectible);
    books.refuses(payment(10, date(7, 1)), RejectionCode::LoanClosed);
    books.refuses(apply(None, date(7, 1)), RejectionCode::LoanClosed);
    books.posts(recovery(10, date(7, 1)));
    let seq = i64::try_from(books.posted.len()).unwrap();
    let of_payment = reversal(&books, 2, date(7, 2));
    books.refuses(of_payment, RejectionCode::NotReversible);
    let of_recovery = reversal(&books, seq, date(7, 2));
    let expected = [("4300", 10), ("9100", 10), ("1010", -10), ("9900", -10)];
    assert_eq!(books.posts(of_recovery), lines(&expected), "in the recovery accounts (domain 50)");
    let back = returning(books.event(2), date(7, 3), 0);
    books.posts(back);
    assert_eq!(memo(&books), ([12, 10, 100], 122));
}

/// Domain 5.2, chargeback after charge-off of an earlier payment.
#[test]
fn a_payment_from_before_it_that_goes_back_makes_the_loss_greater() {
    let mut books = charged_off(Collectibility::Collectible);
    let back = returning(books.event(2), date(7, 2), 0);
    books.posts(back);
    let returned = &books.posted[4].posting;
    let mirror = returned.entry.iter().flat_map(JournalEntry::lines);
    let mirror: Vec<_> = mirror.map(|line| (line.account.to_string(), line.signed.units())).collect();
    assert_eq!(mirror, lines(&[("1300", 5), ("1200", 10), ("1100", 5), ("1010", -20)]));
    let loss = [("1300", -5), ("1200", -10), ("1100", -5), ("5100", 5), ("4190", 10), ("4290", 5)];
    let loss = lines(&[loss.as_slice(), &[("9100", 20), ("9900", -20)]].concat());
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), loss)]);
    assert_eq!((books.balances(), memo(&books)), ([0; 4], ([12, 10, 100], 122)));
    assert_eq!((books.posted[4].posting.effective_date, books.last().effective_date), (date(2, 1), date(6, 1)));
    let undo = reversal(&books, 4, date(7, 3));
    books.posts(undo);
    assert_eq!((books.balances(), memo(&books)), ([12, 10, 100, 0], ([0; 3], 0)));
}

#[test]
fn a_charge_off_is_undone_as_long_as_nothing_was_recovered() {
    let mut books = charged_off(Collectibility::Collectible);
    books.posts(payment(10, date(7, 1)));
    let undo = |books: &Books| reversal(books, 4, date(7, 2));
    let command = undo(&books);
    books.refuses(command, RejectionCode::NotReversible);
    let back = returning(books.event(5), date(7, 3), 0);
    books.posts(back);
    let command = undo(&books);
    books.posts(command);
    assert_eq!((books.balances(), memo(&books)), ([7, 0, 95, 0], ([0; 3], 0)));
    assert_eq!(books.state.unwrap().status, LoanStatus::Open);
    books.posts(payment(7, date(7, 4)));
    assert_eq!(books.last().event_type(EventKind::PaymentReceived), "payment_received");
    assert_eq!(books.fees().items().iter().map(|item| item.paid.units()).collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn suspense_pays_the_memo_and_is_given_back_by_a_reversal() {
    let mut books = charged_off(Collectibility::Collectible);
    books.posts(adjustment(&[("1010", 30), ("2100", -30)], date(7, 2)));
    assert_eq!(memo(&books), ([7, 0, 95], 102));
    let expected = [("2100", 30), ("4300", -30), ("9900", 30), ("9100", -30)];
    assert_eq!(books.posts(apply(None, date(7, 4))), lines(&expected));
    let seq = i64::try_from(books.posted.len()).unwrap();
    let command = reversal(&books, seq, date(7, 5));
    books.posts(command);
    assert_eq!((books.balances(), memo(&books)), ([0, 0, 0, 30], ([7, 0, 95], 102)));
}

/// A recovery goes back, and the next one pays what it had paid.
#[test]
fn recoveries_are_divided_anew() {
    let mut books = charged_off(Collectibility::Collectible);
    books.posts(payment(102, date(7, 1)));
    books.posts(payment(30, date(7, 2)));
    let back = returning(books.event(5), date(7, 3), 0);
    books.posts(back);
    let restated = lines(&[("2100", 30), ("4300", -30), ("9100", -30), ("9900", 30)]);
    assert_eq!(books.consequences(), [("payment_allocated", Some(6), restated)]);
    assert_eq!((books.split(6), memo(&books), books.balances()), ([7, 0, 23, 0], ([0, 0, 72], 72), [0; 4]));
}

/// Domain rule 63: a payment of a day before it is no recovery, and the charge-off takes less.
#[test]
fn money_of_a_day_before_it_pays_what_was_owed_then() {
    let mut books = charged_off(Collectibility::Collectible);
    books.posts(payment(30, date(5, 1)));
    assert_eq!((books.split(5), memo(&books)), ([7, 0, 23, 0], ([0, 0, 72], 72)));
    let less = [("1300", 7), ("1100", 23), ("5100", -23), ("4290", -7), ("9100", -30), ("9900", 30)];
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), lines(&less))]);
    assert_eq!(books.fees().items().iter().map(|item| item.charged_off.units()).collect::<Vec<_>>(), [0, 0]);
}

/// What counts from a day before the charge-off finds the loan open, written off or not: it is posted, and the charge-off
/// takes what is owed then. What takes debt must find it on every later day, and a loan is charged off once.
#[test]
fn what_comes_late_finds_the_loan_as_it_stood_on_its_day() {
    for collectibility in [Collectibility::Collectible, Collectibility::Uncollectible] {
        let mut books = charged_off(collectibility);
        books.posts_late(payment(30, date(5, 1)));
        assert_eq!((books.split(5), memo(&books)), ([7, 0, 23, 0], ([0, 0, 72], 72)));
        books.posts_late(fee("late", 4, date(5, 2)));
        books.posts_late(disbursement(6, date(5, 3)));
        books.posts_late(adjustment(&[("1100", 2), ("5200", -2)], date(5, 4)));
        assert_eq!((books.balances(), memo(&books)), ([0; 4], ([4, 0, 80], 84)));
        books.posts_late(adjustment(&[("1010", 9), ("2100", -9)], date(5, 5)));
        books.posts_late(refund(Some(3), date(5, 6)));
        books.posts_late(apply(Some(2), date(5, 7)));
        books.posts_late(waiver("late", 7, date(5, 8)));
        let told = (books.balances(), memo(&books));
        assert_eq!(told, ([0, 0, 0, 9], ([0, 0, 80], 80)), "2 were owed on that day, 9 were paid");
        let taken = [waiver("late", 12, date(5, 8)), adjustment(&[("1100", -1), ("5200", 1)], date(5, 9))];
        for command in taken.into_iter().chain([recovery(1, date(5, 9))]) {
            books.refuses(command, RejectionCode::InsufficientBalance);
        }
        for command in [chargeoff(collectibility, date(5, 9)), fee("late", 1, date(6, 1)), fee("late", 1, date(7, 1))] {
            books.refuses(command, RejectionCode::LoanClosed);
        }
        // A return, of a day before the charge-off as well, and its fee.
        let back = returning(books.event(2), date(5, 10), 25);
        books.posts_late(back);
        assert_eq!((books.balances(), memo(&books)), ([0, 0, 0, 9], ([25, 0, 100], 125)));
    }
}

/// A lender with an allowance charges off against it and recovers into it (domain 5.2).
#[test]
fn an_allowance_bears_the_loss_and_gets_the_recoveries() {
    let loss = LossAccount::Allowance;
    let mut books = Books::of([opening([0, 10, 100], date(1, 1))]);
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss };
    let off = [("1150", 100), ("4190", 10), ("1100", -100), ("1200", -10), ("9100", 110), ("9900", -110)];
    assert_eq!(books.posts(act(chargeoff, None, date(6, 1))), lines(&off));
    let money = [("1010", 15), ("1150", -15), ("9900", 15), ("9100", -15)];
    assert_eq!(books.posts(payment(15, date(7, 1))), lines(&money));
}

/// Principal 100 is charged off, 150 comes in, 50 of it is refunded, and the 150 go back: the refund was not the
/// borrower's. It is owed on the memo accounts, and the lender bears it as it bears the rest.
#[test]
fn a_refund_whose_money_goes_back_is_owed_on_the_memo_accounts() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1))]);
    books.posts(chargeoff(Collectibility::Collectible, date(6, 1)));
    books.posts(payment(150, date(7, 1)));
    books.posts(refund(Some(50), date(7, 2)));
    let back = returning(books.event(3), date(7, 5), 0);
    books.posts(back);
    let restated = lines(&[("2100", -50), ("5100", 50), ("9100", 50), ("9900", -50)]);
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), restated)]);
    assert_eq!((books.balances(), memo(&books)), ([0; 4], ([0, 0, 150], 150)));
    books.posts(payment(120, date(7, 1)));
    let restated = lines(&[("2100", 20), ("5100", -20), ("9100", -20), ("9900", 20)]);
    assert_eq!(
        books.consequences(),
        [("payment_allocated", Some(4), restated)],
        "20 of the refund were the borrower's"
    );
    assert_eq!((books.balances(), memo(&books)), ([0; 4], ([0, 0, 30], 30)));
}

/// The same, and then the charge-off is taken back: what was refunded is principal like the rest.
#[test]
fn a_charge_off_is_undone_with_what_came_to_it_since() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1))]);
    books.posts(chargeoff(Collectibility::Collectible, date(6, 1)));
    books.posts(payment(150, date(7, 1)));
    books.posts(refund(Some(50), date(7, 2)));
    let back = returning(books.event(3), date(7, 5), 0);
    books.posts(back);
    let undo = reversal(&books, 2, date(7, 6));
    books.posts(undo);
    let restated = lines(&[("1100", 50), ("5100", -50), ("9100", -50), ("9900", 50)]);
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), restated)]);
    assert_eq!((books.balances(), memo(&books)), ([0, 0, 150, 0], ([0; 3], 0)));
}

/// A charge-off that comes late in front of a fee that was paid, and of one that was waived: all is owed, paid and
/// forgiven on the memo accounts.
#[test]
fn no_debt_is_left_on_the_balance_sheet_behind_a_late_charge_off() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), fee("late", 5, date(2, 1)), payment(5, date(3, 1))]);
    books.posts(fee("nsf", 7, date(4, 1)));
    books.posts(waiver("nsf", 7, date(5, 1)));
    books.posts(chargeoff(Collectibility::Collectible, date(1, 15)));
    let told = books.consequences();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0].2, lines(&[("1300", -5), ("4290", 5), ("9100", 5), ("9900", -5)]));
    assert_eq!(told[1].2, lines(&[("1300", 5), ("4300", -5), ("9100", -5), ("9900", 5)]));
    assert_eq!(told[3].2, lines(&[("1300", 7), ("4290", -7), ("9100", -7), ("9900", 7)]));
    assert_eq!((books.balances(), memo(&books)), ([0; 4], ([0, 0, 100], 100)));
    let undo = reversal(&books, 6, date(6, 1));
    books.posts(undo);
    assert_eq!((books.balances(), memo(&books)), ([0, 0, 100, 0], ([0; 3], 0)));
    let seen: Vec<_> =
        books.fees().items().iter().map(|it| [it.paid, it.waived, it.charged_off].map(Minor::units)).collect();
    assert_eq!(seen, [[5, 0, 0], [0, 7, 0]]);
}

/// A return brings a fee, and a charge-off of a day before it has that fee owed on the memo accounts: what states the fee
/// anew must name it, so the charge-off waits until the fee has its number. Nothing else waits for that.
#[test]
fn a_charge_off_waits_for_the_number_of_a_returns_fee() {
    let lived = [
        opening([0, 0, 1000], date(1, 1)),
        payment(100, date(1, 5)),
        fee("late", 25, date(2, 1)),
        payment(25, date(3, 10)),
    ];
    let (mut together, mut apart) = (Books::of(lived.clone()), Books::of(lived));
    let back = accepted(5, returning(together.event(2), date(3, 10), 25));
    let charged = accepted(6, fee("late", 3, date(2, 20)));
    let off = accepted(7, chargeoff(Collectibility::Collectible, date(3, 1)));
    let batch = [back, charged, off];
    assert_eq!(together.post_batch(&batch, at(5)), Ok(2), "the charge-off waits, the late fee does not");
    assert_eq!(together.post_batch(&batch[2..], at(5)), Ok(1));
    for event in &batch {
        apart.post(std::slice::from_ref(event), at(5));
    }
    assert_eq!(together, apart);
    assert_eq!((together.balances(), memo(&together)), ([0; 4], ([25 + 3, 0, 1000], 1028)));
}
