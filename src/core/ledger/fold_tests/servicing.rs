//! Owns the tests of the operations on one loan: fees, suspense, settlements, adjustments and reversals.

use super::*;
use crate::core::event::{
    AdjustmentLine, Collectibility, EarlierEvent, FeeCode, NO_BORROWER, ReversalReason, ReversedEntry, ServicingAct,
    WaivedFee,
};
use crate::core::ledger::RejectionCode;
use crate::core::loan::LossAccount;

/// An act of a day, on so much.
pub(super) fn act(act: ServicingAct, amount: Option<i64>, effective_date: NaiveDate) -> Command {
    Command::Servicing(Servicing {
        loan_id: LOAN,
        party: Party { borrower_id: BORROWER, currency: Currency::USD },
        amount: amount.map(Minor::new),
        effective_date,
        metadata: None,
        act,
    })
}

/// A fee of a sort.
pub(super) fn fee(code: &str, units: i64, effective_date: NaiveDate) -> Command {
    Command::Fee(Fee {
        loan_id: LOAN,
        borrower_id: BORROWER,
        amount: usd(units),
        effective_date,
        fee_code: FeeCode::parse(code).unwrap(),
        due_on: None,
        charged_for: None,
        late_for: None,
        metadata: None,
    })
}

pub(super) fn waiver(code: &str, units: i64, date: NaiveDate) -> Command {
    act(ServicingAct::FeeWaived { fee_code: FeeCode::parse(code).unwrap(), fee: None }, Some(units), date)
}

/// A waiver of the fee that was posted at a place.
pub(super) fn waiver_of(books: &Books, seq: i64, units: i64, date: NaiveDate) -> Command {
    let event = books.event(seq).event.clone();
    let Command::Fee(fee) = &event.command else { unreachable!() };
    let named = WaivedFee { id: event.id, correlation_id: event.id, seq: Some(Seq(seq)) };
    act(ServicingAct::FeeWaived { fee_code: fee.fee_code.clone(), fee: Some(named) }, Some(units), date)
}

pub(super) fn apply(amount: Option<i64>, date: NaiveDate) -> Command {
    act(ServicingAct::SuspenseApplied { raised_by: None }, amount, date)
}

pub(super) fn refund(amount: Option<i64>, date: NaiveDate) -> Command {
    act(ServicingAct::SuspenseRefunded, amount, date)
}

pub(super) fn adjustment(lines: &[(&str, i64)], date: NaiveDate) -> Command {
    let line = |(account, units): &(&str, i64)| AdjustmentLine {
        account_code: AccountCode::parse(account).unwrap(),
        signed_minor: Minor::new(*units),
    };
    let lines = lines.iter().map(line).collect();
    act(ServicingAct::ManualAdjustment { lines, reason_description: "by hand".to_owned() }, None, date)
}

/// The reversal of what was posted at a place, as acceptance makes it.
pub(super) fn reversal(books: &Books, seq: i64, date: NaiveDate) -> Command {
    let posted = books.posted.iter().find(|posted| posted.event.seq == Seq(seq)).unwrap();
    let event = &posted.event.event;
    let reversed = ReversedEntry {
        event: EarlierEvent { id: event.id, seq: Seq(seq) },
        kind: event.kind,
        effective_date: posted.posting.effective_date,
        correlation_id: event.first_of_chain().unwrap_or(event.id),
        reason_code: ReversalReason::ErrorCorrection,
        reason_description: None,
    };
    act(ServicingAct::Reversal(reversed), None, date)
}

impl Books {
    /// Posts the next command.
    pub(super) fn next(&mut self, command: Command) -> Outcome {
        let seq = i64::try_from(self.posted.len()).unwrap() + 1;
        self.post(&[accepted(seq, command)], at(seq));
        self.last().outcome
    }

    /// The next command is posted; answers its lines.
    pub(super) fn posts(&mut self, command: Command) -> Vec<(String, i64)> {
        assert_eq!(self.next(command), Outcome::Posted, "{:?}", self.last());
        self.last_lines()
    }

    pub(super) fn last_lines(&self) -> Vec<(String, i64)> {
        let lines = self.last().entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
        lines.iter().map(|line| (line.account.to_string(), line.signed.units())).collect()
    }

    /// The next command is refused.
    pub(super) fn refuses(&mut self, command: Command, code: RejectionCode) {
        assert_eq!(self.next(command), Outcome::Rejected(code));
    }
}

pub(super) fn lines(of: &[(&str, i64)]) -> Vec<(String, i64)> {
    of.iter().map(|(account, units)| ((*account).to_owned(), *units)).collect()
}

#[test]
fn suspense_pays_in_the_loans_order_and_the_rest_stays() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(300, date(2, 1))]);
    books.posts(fee("late", 30, date(2, 5)));
    books.posts(disbursement(50, date(2, 6)));
    assert_eq!(books.posts(apply(None, date(2, 7))), lines(&[("2100", 80), ("1300", -30), ("1100", -50)]));
    assert_eq!((books.balances(), books.last_split()), ([0, 0, 0, 120], [30, 0, 50, 0]));
    books.refuses(apply(None, date(2, 8)), RejectionCode::InsufficientBalance);
    books.refuses(apply(Some(121), date(2, 8)), RejectionCode::InsufficientBalance);
    assert_eq!(books.posts(refund(Some(20), date(2, 8))), lines(&[("2100", 20), ("2300", -20)]));
    assert_eq!(books.posts(refund(None, date(2, 8))), lines(&[("2100", 100), ("2300", -100)]));
    books.refuses(refund(None, date(2, 9)), RejectionCode::InsufficientBalance);
}

/// At most the smallest suspense balance from its day on.
#[test]
fn backdated_suspense_is_only_what_is_there_on_every_later_day() {
    let mut books = Books::of([opening([0, 0, 0], date(1, 1)), payment(100, date(2, 1))]);
    books.posts(refund(Some(60), date(3, 1)));
    books.posts(payment(500, date(4, 1)));
    books.refuses(refund(Some(41), date(2, 15)), RejectionCode::InsufficientBalance);
    assert_eq!(books.posts(refund(None, date(2, 15))), lines(&[("2100", 40), ("2300", -40)]));
    assert_eq!(books.balances_on(date(3, 1)), [0, 0, 0, 0]);
    books.refuses(refund(None, date(1, 15)), RejectionCode::InsufficientBalance);
}

/// The unpaid part is owed no more; the paid part is the borrower's again, where no other fee is owed (domain 54).
#[test]
fn a_waiver_forgives_what_is_unpaid_and_gives_back_what_was_paid() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
    books.posts(payment(20, date(1, 12)));
    assert_eq!(books.posts(waiver("late", 40, date(1, 15))), lines(&[("5200", 40), ("1300", -30), ("2100", -10)]));
    assert_eq!(books.balances(), [0, 0, 1000, 10]);
    let items = books.fees().items();
    let [opened] = items.as_slice() else { panic!("{items:?}") };
    let parts = [opened.assessed, opened.paid, opened.waived, opened.outstanding().unwrap()].map(Minor::units);
    assert_eq!(parts, [50, 10, 40, 0]);
    books.refuses(waiver("late", 11, date(1, 16)), RejectionCode::InsufficientBalance);
    books.refuses(waiver("nsf", 1, date(1, 16)), RejectionCode::InsufficientBalance);
    books.refuses(waiver("late", 1, date(1, 9)), RejectionCode::InsufficientBalance);
}

/// Money that paid a fee, and was given back by a waiver, turns out not to have come: as in time the waiver has forgiven
/// what was owed, and gives nothing.
#[test]
fn a_waiver_gives_back_no_money_that_never_came() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
    books.posts(payment(50, date(1, 12)));
    books.posts(waiver("late", 50, date(1, 15)));
    assert_eq!(books.balances(), [0, 0, 1000, 50]);
    let back = returning(books.event(3), date(1, 20), 0);
    books.posts_late(back);
    assert_eq!(books.consequences(), [("payment_allocated", Some(4), lines(&[("1300", -50), ("2100", 50)]))]);
    assert_eq!(books.balances(), [0, 0, 1000, 0]);
    let item = books.fees().items().remove(0);
    assert_eq!([item.paid, item.waived, item.outstanding().unwrap()].map(Minor::units), [0, 50, 0]);
}

#[test]
fn a_fee_that_is_waived_is_not_taken_back_before_its_waiver() {
    let mut books = Books::of([opening([20, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
    books.posts(waiver("late", 14, date(1, 15)));
    let undo = reversal(&books, 2, date(1, 20));
    books.refuses(undo.clone(), RejectionCode::NotReversible);
    let of_waiver = reversal(&books, 3, date(1, 21));
    books.posts(of_waiver);
    books.posts(undo);
    assert_eq!((books.balances(), books.fees().items().len()), ([20, 0, 1000, 0], 1));
}

/// What a hand has forgiven nobody has paid: it is forgiven once. What a hand booked as money has paid it.
#[test]
fn what_was_forgiven_by_hand_is_not_given_back() {
    let charged = || Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10))]);
    let mut books = charged();
    books.posts(adjustment(&[("5200", 30), ("1300", -30)], date(1, 12)));
    let item = |books: &Books| {
        let item = books.fees().items().remove(0);
        [item.paid, item.waived, item.outstanding().unwrap()].map(Minor::units)
    };
    assert_eq!(item(&books), [0, 30, 20]);
    books.refuses(waiver("late", 21, date(1, 15)), RejectionCode::InsufficientBalance);
    books.posts(waiver("late", 20, date(1, 15)));
    assert_eq!((books.balances(), item(&books)), ([0, 0, 1000, 0], [0, 50, 0]));
    let undo = reversal(&books, 3, date(1, 20));
    books.posts(undo);
    assert_eq!((books.balances(), item(&books)), ([30, 0, 1000, 0], [0, 20, 30]));

    let mut books = charged();
    books.posts(adjustment(&[("1010", 30), ("1300", -30)], date(1, 12)));
    assert_eq!(item(&books), [30, 0, 20]);
    books.posts(waiver("late", 50, date(1, 15)));
    assert_eq!((books.balances(), item(&books)), ([0, 0, 1000, 30], [0, 50, 0]));
}

/// A waiver that names no fee forgives another one of its code, where there is one.
#[test]
fn a_fee_is_taken_back_where_its_waiver_finds_another() {
    let mut books =
        Books::of([opening([0, 0, 1000], date(1, 1)), fee("late", 50, date(1, 10)), fee("late", 30, date(1, 12))]);
    books.posts(waiver("late", 30, date(1, 15)));
    let undo = reversal(&books, 3, date(1, 20));
    books.posts(undo);
    let item = books.fees().items().remove(0);
    assert_eq!([item.waived, item.outstanding().unwrap()].map(Minor::units), [30, 20]);
    assert_eq!(books.balances(), [20, 0, 1000, 0]);
}

#[test]
fn payments_pay_the_oldest_fee_first_whatever_the_order_of_arrival() {
    let mut books = Books::of([opening([7, 0, 1000], date(1, 1)), fee("nsf", 30, date(2, 1))]);
    books.posts(fee("late", 20, date(1, 10)));
    books.posts(payment(37, date(2, 5)));
    let seen = |books: &Books| {
        let items = books.fees().items();
        items.iter().map(|item| (item.sort.as_str().to_owned(), item.paid.units())).collect::<Vec<_>>()
    };
    assert_eq!(seen(&books), lines(&[("loan_opened", 7), ("late", 20), ("nsf", 10)]));
    let back = returning(books.event(4), date(2, 7), 25);
    books.posts(back);
    assert_eq!(seen(&books), lines(&[("loan_opened", 0), ("late", 0), ("nsf", 0), ("returned_payment", 0)]));
    books.posts(reversal(&books, 2, date(2, 8)));
    books.posts(payment(30, date(2, 9)));
    assert_eq!(seen(&books), lines(&[("loan_opened", 7), ("late", 20), ("returned_payment", 3)]));
}

#[test]
fn a_disbursement_is_settled_once() {
    let mut books = Books::of([disbursement(500, date(1, 1))]);
    let named = EarlierEvent { id: books.event(1).event.id, seq: Seq(1) };
    let settlement = |day| act(ServicingAct::DisbursementSettled { disbursement: named }, None, day);
    assert_eq!(books.posts(settlement(date(1, 2))), lines(&[("1020", 500), ("1000", -500)]));
    books.refuses(settlement(date(1, 3)), RejectionCode::InsufficientBalance);
    books.posts(reversal(&books, 2, date(1, 4)));
    assert_eq!(books.last_lines(), lines(&[("1020", -500), ("1000", 500)]));
    books.posts(settlement(date(1, 5)));
    assert_eq!(books.balances(), [0, 0, 500, 0], "no balance of the loan moves");
    let twice = [accepted(9, settlement(date(1, 6))), accepted(10, settlement(date(1, 6)))];
    books.post(&twice, at(9));
    assert_eq!(books.last().outcome, Outcome::Rejected(RejectionCode::InsufficientBalance));
}

#[test]
fn an_adjustment_moves_the_buckets_of_its_lines_and_none_below_nothing() {
    let mut books = Books::of([opening([10, 20, 30], date(1, 1))]);
    books.posts(adjustment(&[("1200", 5), ("4100", -5)], date(1, 5)));
    books.posts(adjustment(&[("1100", -30), ("1200", -25), ("5200", 55)], date(1, 10)));
    assert_eq!(books.balances(), [10, 0, 0, 0]);
    books.posts(adjustment(&[("1010", 40), ("2100", -40)], date(1, 11)));
    assert_eq!(books.balances(), [10, 0, 0, 40]);
    books.refuses(adjustment(&[("1300", -11), ("5200", 11)], date(1, 12)), RejectionCode::InsufficientBalance);
    let backdated = adjustment(&[("1200", -1), ("5200", 1)], date(1, 7));
    books.refuses(backdated, RejectionCode::InsufficientBalance);
    assert_eq!(books.balances_on(date(1, 7)), [10, 25, 30, 0], "there was interest then, but none since the 10th");
}

#[test]
fn a_reversal_is_the_mirror_of_the_entry_on_its_own_day_once() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), fee("late", 25, date(1, 10))]);
    books.posts(disbursement(50, date(1, 20)));
    assert_eq!(books.posts(reversal(&books, 2, date(2, 1))), lines(&[("1300", -25), ("4200", 25)]));
    let (undoes, day) = (books.last().undoes_seq, books.last().effective_date);
    assert_eq!((undoes, day), (Some(Seq(2)), date(1, 10)), "the fee was never there");
    books.refuses(reversal(&books, 2, date(2, 2)), RejectionCode::AlreadyUndone);
    books.refuses(reversal(&books, 4, date(2, 2)), RejectionCode::NotReversible);
    books.posts(payment(120, date(2, 3)));
    books.posts(reversal(&books, 3, date(2, 4)));
    assert_eq!(books.consequences(), [("payment_allocated", Some(7), lines(&[("1100", 20), ("2100", -20)]))]);
    assert_eq!(books.balances(), [0, 0, 0, 20], "what the payment paid of it is the borrower's");
}

#[test]
fn a_reversed_payment_is_taken_back_as_a_return_is() {
    let start = || Books::of([opening([5, 10, 100], date(1, 1)), payment(200, date(2, 1))]);
    let (mut reversed, mut returned) = (start(), start());
    reversed.posts(refund(Some(50), date(2, 10)));
    returned.posts(refund(Some(50), date(2, 10)));
    let (undo, back) = (reversal(&reversed, 2, date(2, 20)), returning(returned.event(2), date(2, 20), 0));
    assert_eq!(reversed.posts(undo), returned.posts(back));
    assert_eq!(reversed.balances(), [5, 10, 150, 0], "what was refunded is owed again");
    reversed.refuses(reversal(&reversed, 2, date(2, 21)), RejectionCode::AlreadyUndone);
}

#[test]
fn what_names_no_loan_is_refused_in_its_turn() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1))]);
    let unknown = named(apply(None, date(1, 2)), NO_BORROWER, Currency::USD);
    books.refuses(unknown, RejectionCode::LoanNotFound);
    let foreign = named(refund(None, date(1, 2)), BORROWER, "EUR".parse().unwrap());
    books.refuses(foreign, RejectionCode::CurrencyMismatch);
    books.refuses(apply(None, date(1, 1).pred_opt().unwrap()), RejectionCode::EffectiveBeforeOpening);
    let recovery = act(ServicingAct::Recovery, Some(5), date(1, 2));
    books.refuses(recovery, RejectionCode::InsufficientBalance);
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::default(), loss: LossAccount::Expense };
    let mut unopened = Books::default();
    unopened.refuses(act(chargeoff, None, date(1, 2)), RejectionCode::LoanNotFound);
}

/// Of 100 in suspense 50 paid a fee and 50 were refunded: none of it is there for an application of a day before. Without the
/// refund it is, and the later application pays what is left.
#[test]
fn a_late_application_takes_what_later_ones_took_and_no_refund() {
    for (refunds, late) in [(true, false), (false, true)] {
        let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(200, date(1, 1))]);
        books.posts(fee("late", 50, date(1, 2)));
        books.posts(fee("nsf", 50, date(1, 2)));
        books.posts(apply(Some(50), date(1, 5)));
        if refunds {
            books.posts(refund(None, date(1, 10)));
        }
        if late {
            books.posts_late(apply(Some(50), date(1, 3)));
            assert_eq!(books.balances(), [0, 0, 0, 0]);
        } else {
            books.refuses(apply(Some(1), date(1, 3)), RejectionCode::InsufficientBalance);
            assert_eq!(books.balances(), [50, 0, 0, 0]);
        }
    }
}

/// What a hand charged stays as long as it is forgiven.
#[test]
fn fees_by_hand_are_not_taken_back_before_what_forgave_them() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1))]);
    books.posts(adjustment(&[("1300", 50), ("4200", -50)], date(1, 10)));
    books.posts(adjustment(&[("5200", 50), ("1300", -50)], date(1, 12)));
    let (charged, forgiven) = (reversal(&books, 2, date(1, 20)), reversal(&books, 3, date(1, 20)));
    books.refuses(charged.clone(), RejectionCode::NotReversible);
    books.posts(forgiven);
    books.posts(charged);
    assert_eq!(books.balances(), [0, 0, 1000, 0]);
}
