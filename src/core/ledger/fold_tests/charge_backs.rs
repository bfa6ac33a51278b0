//! Owns the cases of payments whose money goes back on a day of its own (domain rules 44, 46 and 50).

use super::servicing::{act, adjustment, fee, lines, reversal};
use super::*;
use crate::core::event::{Collectibility, CommandColumns, Fingerprint, ServicingAct};
use crate::core::ledger::RejectionCode;
use crate::core::loan::{LossAccount, ReturnFeeSetting, ReturnManner, ReturnPolicy};

/// What a program says whose returns are charged back in this order, and cost 25 for R01.
pub(super) fn policy(order: [&str; 3]) -> ReturnPolicy {
    let fee = ReturnFeeSetting { return_codes: vec!["R01".to_owned()], fee_minor: "25".to_owned() };
    ReturnPolicy::new(ReturnManner::Chargeback(Waterfall::from_words(order).unwrap()), &[fee]).unwrap()
}

const FEES_FIRST: [&str; 3] = ["fees", "interest", "principal"];

/// So much of a payment goes back, without a fee where none is named.
pub(super) fn charge_back(paid: &AcceptedEvent, units: i64, day: NaiveDate, fee: Option<i64>) -> Command {
    let code = ReturnCode::parse("R01").unwrap();
    let (amount, fee) = (Some(Minor::new(units)), fee.map(Minor::new));
    let terms = ReturnTerms { code, effective_date: day, amount, fee, metadata: None };
    Command::PaymentReturn(PaymentReturn::by_program(paid, terms, &policy(FEES_FIRST)).unwrap())
}

impl Books {
    /// So much of the payment at a place goes back; answers the lines of the entry.
    fn charges_back(&mut self, seq: i64, units: i64, day: NaiveDate) -> Vec<(String, i64)> {
        let command = charge_back(self.event(seq), units, day, Some(0));
        let (seq, count) = (i64::try_from(self.posted.len()).unwrap() + 1, self.posted.len());
        self.post(&[accepted(seq, command)], at(seq));
        let posting = &self.posted[count].posting;
        assert_eq!(posting.outcome, Outcome::Posted);
        let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
        lines.iter().map(|line| (line.account.to_string(), line.signed.units())).collect()
    }
}

/// 70 of fees and 312 of principal were paid; of 100 that go back 70 are fees again, and then the fees have gone back.
#[test]
fn buckets_are_owed_again_in_order_and_each_at_most_what_was_paid_there() {
    let mut books = Books::of([opening([70, 0, 1250], date(1, 1)), payment(382, date(1, 20))]);
    let first = books.charges_back(2, 100, date(2, 1));
    assert_eq!(first, lines(&[("1300", 70), ("1100", 30), ("1010", -100)]));
    assert_eq!(books.last().allocation.map(|split| parts(&split)), Some([70, 0, 30, 0]));
    assert_eq!((books.last().effective_date, books.last().undoes_seq), (date(2, 1), None));
    assert_eq!(books.charges_back(2, 100, date(2, 2)), lines(&[("1100", 100), ("1010", -100)]));
    assert_eq!(books.balances(), [70, 0, 1068, 0]);
    assert_eq!(books.balances_on(date(1, 31)), [0, 0, 938, 0], "until it goes back, the payment stands");
    assert_eq!(books.split(2), [70, 0, 312, 0]);
}

/// Not more than came in, in all.
#[test]
fn no_more_goes_back_than_came_in() {
    let mut books = Books::of([opening([0, 0, 500], date(1, 1)), payment(300, date(2, 1))]);
    books.charges_back(2, 200, date(3, 1));
    let more = charge_back(books.event(2), 101, date(3, 2), Some(0));
    books.refuses(more, RejectionCode::InsufficientBalance);
    books.charges_back(2, 100, date(3, 3));
    let again = charge_back(books.event(2), 1, date(3, 4), Some(0));
    books.refuses(again, RejectionCode::AlreadyUndone);
    let whole = returning(books.event(2), date(3, 5), 0);
    books.refuses(whole, RejectionCode::NotReversible);
    let undo = reversal(&books, 2, date(3, 5));
    books.refuses(undo, RejectionCode::NotReversible);
    assert_eq!(books.balances(), [0, 0, 500, 0]);
}

/// Domain rule 25: suspense first.
#[test]
fn suspense_goes_first() {
    let mut books = Books::of([opening([70, 0, 1250], date(1, 1)), payment(1370, date(1, 20))]);
    let back = books.charges_back(2, 100, date(1, 20));
    assert_eq!(back, lines(&[("1300", 50), ("2100", 50), ("1010", -100)]));
    assert_eq!(books.balances(), [50, 0, 0, 0]);
    let mut larger = Books::of([opening([0, 0, 250], date(1, 1)), payment(250, date(2, 1)), payment(150, date(2, 2))]);
    assert_eq!(larger.charges_back(2, 100, date(3, 1)), lines(&[("2100", 100), ("1010", -100)]));
    assert_eq!(larger.balances(), [0, 0, 0, 50]);
}

/// A payment comes late in front of the one that went back: what goes back follows what that paid.
#[test]
fn what_goes_back_is_told_anew_with_the_payment() {
    let mut books = Books::of([opening([70, 0, 1250], date(1, 1)), payment(382, date(1, 20))]);
    books.charges_back(2, 100, date(1, 20));
    books.charges_back(2, 100, date(1, 21));
    books.posts(payment(200, date(1, 19)));
    let restated = [
        ("payment_allocated", Some(2), lines(&[("1300", 70), ("1100", -70)])),
        ("payment_allocated", Some(3), lines(&[("1100", 70), ("1300", -70)])),
    ];
    let mut told = books.consequences();
    for (.., lines) in &mut told {
        lines.sort_by_key(|(_, units)| std::cmp::Reverse(*units));
    }
    assert_eq!(told, restated);
    assert_eq!((books.split(3), books.split(4)), ([0, 0, 100, 0], [0, 0, 100, 0]));
    assert_eq!(books.balances(), [0, 0, 938, 0]);
}

/// A late item of a day between the payment and its return, which says nothing of the payment itself.
#[test]
fn a_late_item_behind_the_payment_knows_what_it_paid() {
    let mut books = Books::of([opening([70, 0, 250], date(1, 1)), payment(320, date(1, 20)), payment(40, date(1, 25))]);
    assert_eq!(books.charges_back(2, 100, date(2, 1)), lines(&[("1300", 60), ("2100", 40), ("1010", -100)]));
    books.posts(disbursement(30, date(1, 22)));
    assert_eq!(books.balances(), [70, 0, 20, 0], "30 of the 40 pay the disbursement: 70 of fees go back, and 20 more");
}

/// On a loan that is charged off: a payment from before it makes the loss greater, a recovery lowers what was recovered.
#[test]
fn behind_a_charge_off_it_is_owed_on_the_memo_accounts() {
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    let mut books =
        Books::of([opening([0, 0, 500], date(1, 1)), fee("late", 30, date(2, 1)), payment(280, date(3, 1))]);
    books.posts(act(chargeoff, None, date(3, 15)));
    books.posts(payment(100, date(4, 1)));
    let of_payment = books.charges_back(3, 280, date(4, 5));
    let loss = [("5100", 250), ("4290", 30), ("9100", 280), ("9900", -280), ("1010", -280)];
    assert_eq!(of_payment, lines(&loss));
    let of_recovery = books.charges_back(5, 60, date(4, 6));
    assert_eq!(of_recovery, lines(&[("4300", 60), ("9100", 60), ("9900", -60), ("1010", -60)]));
    let memo = books.state.unwrap().charged_off.unwrap().memo;
    assert_eq!(
        [memo.fees, memo.principal].map(Minor::units),
        [30, 250 - 100 + 250 + 60],
        "of 500 of principal 250 were left"
    );
    assert_eq!(books.balances(), [0; 4]);
    let item = books.fees().items().remove(0);
    assert_eq!([item.paid, item.charged_off].map(Minor::units), [0, 30]);
    // What is told of it stands in the books: a late item rebuilds the same life.
    books.posts(payment(10, date(2, 15)));
    let memo = books.state.unwrap().charged_off.unwrap().memo;
    assert_eq!(memo.total().unwrap().units(), 30 + 460 - 10);
}

/// The money has come again: the return is taken back, and the payment may go back once more.
#[test]
fn a_charge_back_can_be_taken_back() {
    let mut books = Books::of([opening([10, 0, 500], date(1, 1)), payment(300, date(2, 1))]);
    books.charges_back(2, 300, date(3, 1));
    let undo = reversal(&books, 3, date(3, 2));
    assert_eq!(books.posts(undo), lines(&[("1010", 300), ("1300", -10), ("1100", -290)]));
    assert_eq!(books.balances(), [0, 0, 210, 0]);
    books.charges_back(2, 300, date(3, 3));
    assert_eq!(books.balances(), [10, 0, 500, 0]);
    let void = returning(books.event(2), date(3, 4), 0);
    books.refuses(void, RejectionCode::NotReversible);
}

/// The fee is the program's where nobody says so, and an event of its own as for any return.
#[test]
fn the_programs_fee_is_charged_on_the_same_day() {
    let mut books = Books::of([opening([0, 0, 500], date(1, 1)), payment(300, date(2, 1)), payment(40, date(4, 1))]);
    let back = charge_back(books.event(2), 300, date(3, 1), None);
    books.posts(back);
    let (kinds, fee) = (books.consequences(), &books.posted[4]);
    assert_eq!(kinds[0], ("fee_assessed", None, lines(&[("1300", 25), ("4200", -25)])));
    assert_eq!(kinds[1], ("payment_allocated", Some(3), lines(&[("1300", -25), ("1100", 25)])), "April pays the fee");
    assert_eq!(fee.posting.effective_date, date(3, 1));
    assert_eq!(books.balances(), [0, 0, 485, 0]);
    let Command::PaymentReturn(returned) = &books.posted[3].event.event.command else { panic!("no return") };
    assert_eq!((returned.fee, returned.program_fee), (None, Some(Minor::new(25))));
    assert_eq!(returned.fee_event_id(books.posted[3].event.event.id), Some(fee.event.event.id));
}

/// The bank has moved the money: a fee that nobody asked for must not keep that out of the books.
#[test]
fn a_return_is_booked_without_a_fee_of_the_program_that_is_refused() {
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    let mut books = Books::of([opening([0, 0, 500], date(1, 1))]);
    books.posts(act(chargeoff, None, date(3, 15)));
    books.posts(payment(100, date(4, 1)));
    let of_program = charge_back(books.event(3), 60, date(4, 5), None);
    let posted = books.posted.len();
    let outcome = books.next(of_program);
    let [returned, fee] = &books.posted[posted..] else { panic!("a return and its fee") };
    let line = |line: &Line| (line.account.to_string(), line.signed.units());
    let lines_of_return: Vec<_> = returned.posting.entry.iter().flat_map(JournalEntry::lines).map(line).collect();
    assert_eq!(lines_of_return, lines(&[("4300", 60), ("9100", 60), ("9900", -60), ("1010", -60)]));
    assert_eq!((fee.event.event.kind, &fee.posting.entry), (EventKind::FeeAssessed, &None));
    assert_eq!(outcome, Outcome::Rejected(RejectionCode::LoanClosed), "an event that says why");
    books.refuses(charge_back(books.event(3), 40, date(4, 6), Some(25)), RejectionCode::LoanClosed);
}

/// What a row holds is what was accepted; the program's word is no part of the request.
#[test]
fn a_charge_back_reads_back_from_its_columns() {
    let books = Books::of([opening([0, 0, 500], date(1, 1)), payment(300, date(2, 1))]);
    let command = charge_back(books.event(2), 120, date(3, 1), None);
    let columns = CommandColumns {
        kind: command.kind(),
        loan_id: command.loan_id(),
        borrower_id: command.borrower_id(),
        amount: command.amount(),
        currency: command.currency(),
        effective_date: command.effective_date(),
        source_method: None,
        external_ref: None,
        metadata: None,
        details: command.details(),
    };
    assert_eq!(Command::from_columns(columns).as_ref(), Ok(&command));
    let whole = charge_back(books.event(2), 300, date(3, 1), None);
    let void = returning(books.event(2), date(3, 1), 0);
    assert_eq!(Fingerprint::of(&whole), Fingerprint::of(&void));
    assert_ne!(Fingerprint::of(&command), Fingerprint::of(&whole));
}

/// Suspense that is given later does not pay what went back before it was there; a program that releases it says so.
#[test]
fn money_given_later_is_applied_by_hand() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(100, date(2, 1))]);
    books.charges_back(2, 100, date(3, 1));
    books.posts(adjustment(&[("5200", 20), ("2100", -20)], date(3, 2)));
    assert_eq!(books.balances(), [0, 0, 100, 20]);
}
