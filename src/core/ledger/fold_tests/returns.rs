//! Owns the cases of returned payments (domain rules 24, 43 to 48).

use std::sync::Arc;

use super::servicing::refund;
use super::*;
use crate::core::event::{CommandColumns, EventKind, Fingerprint, PaymentReturnError};
use crate::core::ledger::{JournalEntry, Line, RejectionCode, SystemPosting};

fn rejected(code: RejectionCode) -> Outcome {
    Outcome::Rejected(code)
}

/// Account and signed amount of each line.
fn lines(posting: &Posting) -> Vec<(String, i64)> {
    let line = |line: &Line| (line.account.to_string(), line.signed.units());
    posting.entry.iter().flat_map(JournalEntry::lines).map(line).collect()
}

fn named(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines.iter().map(|(account, units)| ((*account).to_owned(), *units)).collect()
}

/// Returns the payment at `seq` as the event `at_seq`.
fn give_back(books: &mut Books, seq: i64, at_seq: i64, day: NaiveDate, fee: i64) {
    let command = returning(books.event(seq), day, fee);
    books.post(&[accepted(at_seq, command)], at(at_seq));
}

#[test]
fn a_return_is_the_mirror_of_the_split_on_the_payments_own_day() {
    let mut books = Books::of([opening([500, 10_000, 70_000], date(4, 1)), payment(88_849, date(5, 1))]);
    give_back(&mut books, 2, 3, date(5, 4), 0);
    let returned = books.last();
    assert_eq!((returned.outcome, returned.undoes_seq), (Outcome::Posted, Some(Seq(2))));
    assert_eq!((returned.effective_date, returned.booking_date), (date(5, 1), date(5, 1)));
    let mirror = [("1300", 500), ("1200", 10_000), ("1100", 70_000), ("2100", 8_349), ("1010", -88_849)];
    assert_eq!(lines(returned), named(&mirror));
    assert_eq!(books.balances(), [500, 10_000, 70_000, 0]);
    assert_eq!(books.balances_on(date(5, 1)), [500, 10_000, 70_000, 0], "it is owed again from the payment's day on");
}

#[test]
fn the_fee_is_an_event_of_its_own_on_the_day_of_the_return() {
    let mut books = Books::of([opening([0, 0, 1000], date(4, 1)), payment(300, date(5, 1))]);
    give_back(&mut books, 2, 3, date(5, 4), 25);
    let [.., returned, fee] = books.posted.as_slice() else { panic!("{books:?}") };
    let event = &fee.event.event;
    assert_eq!((event.kind, event.origin.cause_seq, event.slot), (EventKind::FeeAssessed, Some(Seq(3)), None));
    assert_eq!(
        (&event.key, &event.actor, event.publisher),
        (&None, &returned.event.event.actor, PublisherId(Uuid::nil()))
    );
    assert_eq!(fee.posting.effective_date, date(5, 4));
    assert_eq!(lines(&fee.posting), named(&[("1300", 25), ("4200", -25)]));
    assert_eq!(fee.posting.loan_version, returned.posting.loan_version.map(|version| version + 1));
    assert_eq!(books.balances_on(date(5, 3)), [0, 0, 1000, 0]);
    assert_eq!(books.balances_on(date(5, 4)), [25, 0, 1000, 0]);
    assert_eq!(books.state.unwrap().last_posted_seq, Seq(3), "a consequence does not move the mark");
}

/// The fold sees what it posted a moment earlier.
#[test]
fn a_payment_and_its_returns_in_one_batch_are_settled_by_their_order() {
    let mut books = Books::of([opening([0, 0, 1000], date(4, 1))]);
    let paid = accepted(2, payment(300, date(5, 1)));
    let (first, second) = (returning(&paid, date(5, 4), 25), returning(&paid, date(5, 5), 25));
    books.post(&[paid, accepted(3, first), accepted(4, second)], at(2));
    let outcomes: Vec<_> = books.posted.iter().map(|posted| posted.posting.outcome).collect();
    let again = rejected(RejectionCode::AlreadyUndone);
    assert_eq!(outcomes[1..], [Outcome::Posted, Outcome::Posted, Outcome::Posted, again]);
    assert_eq!(books.balances(), [25, 0, 1000, 0]);
}

#[test]
fn a_second_return_of_a_payment_moves_nothing_and_charges_nothing() {
    let mut books = Books::of([opening([0, 0, 1000], date(4, 1)), payment(300, date(5, 1))]);
    give_back(&mut books, 2, 3, date(5, 4), 0);
    give_back(&mut books, 2, 4, date(5, 5), 25);
    assert_eq!(books.last().outcome, rejected(RejectionCode::AlreadyUndone));
    assert_eq!((books.last().undoes_seq, books.last().loan_version), (None, Some(4)));
    assert_eq!(books.balances(), [0, 0, 1000, 0]);
}

#[test]
fn a_rejected_payment_cannot_be_returned() {
    let stranger = BorrowerId(Uuid::from_u128(0x44));
    let refused = super::named(payment(300, date(5, 1)), stranger, Currency::USD);
    let mut books = Books::of([opening([0, 0, 1000], date(4, 1)), refused.clone()]);
    give_back(&mut books, 2, 3, date(5, 4), 25);
    assert_eq!(books.last().outcome, rejected(RejectionCode::NotReversible));
    let mut together = Books::of([opening([0, 0, 1000], date(4, 1))]);
    let paid = accepted(2, refused);
    let command = returning(&paid, date(5, 4), 25);
    together.post(&[paid, accepted(3, command)], at(2));
    assert_eq!(together.last().outcome, rejected(RejectionCode::NotReversible));
}

/// The payment came before the loan and was rejected; the loan is there when the return's turn comes.
#[test]
fn a_payment_that_came_before_its_loan_cannot_be_returned() {
    let paid = accepted(1, payment(300, date(5, 1)));
    let (early, late) = (returning(&paid, date(5, 4), 0), returning(&paid, date(5, 4), 0));
    let mut books = Books::default();
    let events = [paid, accepted(2, early), accepted(3, opening([0, 0, 9], date(4, 1))), accepted(4, late)];
    books.post(&events, at(1));
    assert_eq!(books.posted[1].posting.outcome, rejected(RejectionCode::LoanNotFound));
    assert_eq!(books.last().outcome, rejected(RejectionCode::NotReversible));
}

/// What the first one paid is owed again, and the second one pays of it what it would have paid.
#[test]
fn later_payments_are_divided_anew() {
    let mut books =
        Books::of([opening([100, 0, 1000], date(1, 1)), payment(150, date(2, 1)), payment(200, date(3, 1))]);
    give_back(&mut books, 2, 4, date(4, 1), 0);
    assert_eq!(books.balances(), [0, 0, 900, 0]);
    assert_eq!(books.consequences(), [("payment_allocated", Some(3), named(&[("1300", -100), ("1100", 100)]))]);
    assert_eq!(books.split(3), [100, 0, 100, 0]);
    assert_eq!(books.posted[2].posting.allocation.unwrap().principal, Minor::new(200), "the old row stays");
}

/// What is undone does not stand in the way of a payment dated later or earlier than it.
#[test]
fn backdated_payments_see_the_payment_as_undone() {
    let lent = [opening([500, 0, 1000], date(1, 1)), payment(600, date(4, 1))];
    let mut books = Books::of(lent);
    give_back(&mut books, 2, 3, date(4, 5), 0);
    books.post(&[accepted(4, payment(550, date(3, 1)))], at(4));
    assert_eq!(books.last_split(), [500, 0, 50, 0], "the fee is unpaid on every day since March");
    books.post(&[accepted(5, payment(100, date(4, 2)))], at(5));
    assert_eq!(books.last_split(), [0, 0, 100, 0]);
}

/// The fee of a return counts from the return's own day, which a payment of the same batch may lie before.
#[test]
fn a_payment_behind_a_fee_in_the_batch_and_before_it_in_time_does_not_pay_it() {
    let mut books = Books::of([opening([0, 0, 1000], date(1, 1)), payment(300, date(2, 1))]);
    let returned = returning(books.event(2), date(3, 1), 25);
    books.post(&[accepted(3, returned), accepted(4, payment(40, date(2, 15)))], at(3));
    assert_eq!(books.last_split(), [0, 0, 40, 0]);
    assert_eq!(books.balances(), [25, 0, 960, 0]);
}

/// Suspense that has gone out otherwise is owed as principal (rule 24): the refund says so, not the return.
#[test]
fn suspense_that_is_gone_becomes_debt() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(400, date(2, 1))]);
    books.posts(refund(Some(180), date(2, 2)));
    assert_eq!(books.balances(), [0, 0, 0, 120]);
    give_back(&mut books, 2, 4, date(2, 3), 0);
    assert_eq!(lines(&books.posted[3].posting), named(&[("1100", 100), ("2100", 300), ("1010", -400)]));
    assert_eq!(books.consequences(), [("payment_allocated", Some(3), named(&[("1100", 180), ("2100", -180)]))]);
    assert_eq!(books.balances(), [0, 0, 280, 0]);
}

/// The same where the suspense was there today but not on a day in between.
#[test]
fn suspense_that_was_gone_on_a_day_since_becomes_debt() {
    let mut books = Books::of([opening([0, 0, 0], date(1, 1)), payment(300, date(2, 1))]);
    books.posts(refund(Some(200), date(3, 1)));
    books.posts(payment(500, date(4, 1)));
    give_back(&mut books, 2, 5, date(4, 3), 0);
    let restated = [
        ("payment_allocated", Some(3), named(&[("1100", 200), ("2100", -200)])),
        ("payment_allocated", Some(4), named(&[("1100", -200), ("2100", 200)])),
    ];
    assert_eq!(books.consequences(), restated, "what was refunded was owed, and the next payment paid it");
    assert_eq!((books.balances(), books.balances_on(date(3, 1))), ([0, 0, 0, 300], [0, 0, 200, 0]));
}

/// Neither the return nor its fee is posted where one of them cannot be.
#[test]
fn a_fee_that_cannot_be_charged_refuses_the_return() {
    let mut books = Books::of([opening([0, 0, i64::MAX], date(1, 1)), payment(300, date(2, 1))]);
    let before = books.state.unwrap();
    give_back(&mut books, 2, 3, date(2, 3), 1);
    assert_eq!(books.last().outcome, rejected(RejectionCode::AmountOverflow));
    assert_eq!((books.posted.len(), books.state.unwrap().balances), (3, before.balances));
    give_back(&mut books, 2, 4, date(2, 3), 0);
    assert_eq!(books.last().outcome, Outcome::Posted, "without its fee there is room");
}

/// A refused return leaves no trace in what later events of the batch are told.
#[test]
fn a_return_refused_for_its_fee_can_be_followed_by_one_without() {
    let mut books = Books::of([opening([0, 0, i64::MAX], date(1, 1)), payment(300, date(2, 1))]);
    let (dear, free) = (returning(books.event(2), date(2, 3), 1), returning(books.event(2), date(2, 3), 0));
    books.post(&[accepted(3, dear), accepted(4, free)], at(3));
    let outcomes: Vec<_> = books.posted[2..].iter().map(|posted| posted.posting.outcome).collect();
    assert_eq!(outcomes, [rejected(RejectionCode::AmountOverflow), Outcome::Posted]);
}

#[test]
fn a_written_off_loan_takes_returns() {
    let books = Books::of([opening([0, 0, 100], date(1, 1)), payment(40, date(2, 1))]);
    let state = LoanState { status: crate::core::loan::LoanStatus::WrittenOff, ..books.state.unwrap() };
    let event = accepted(3, returning(books.event(2), date(2, 3), 0));
    let mut past = books.past(&event);
    let step = post_event(Some(state), false, &mut past, &event, at(3)).unwrap();
    assert_eq!(step.posting.posting.outcome, Outcome::Posted);
}

/// A store that forgets to tell is our bug, not an outcome.
#[test]
fn a_return_without_word_of_its_payment_is_not_judged() {
    let books = Books::of([opening([0, 0, 100], date(1, 1)), payment(40, date(2, 1))]);
    let event = accepted(3, returning(books.event(2), date(2, 3), 0));
    let mut untold = Past { earlier: Earlier::default(), ..books.past(&event) };
    let error = post_event(books.state, false, &mut untold, &event, at(3)).unwrap_err();
    assert_eq!(error, "an event came without what became of the one it names");
    let mut untold = Past { history: None, ..books.past(&event) };
    let error = post_event(books.state, false, &mut untold, &event, at(3)).unwrap_err();
    assert_eq!(error, "a late event came without the loan's history");
}

#[test]
fn only_payments_are_returned_and_not_before_they_came() {
    let books = Books::of([opening([0, 0, 100], date(1, 1)), payment(40, date(2, 1))]);
    let terms = |day| ReturnTerms {
        code: ReturnCode::parse("R09").unwrap(),
        effective_date: day,
        amount: None,
        fee: None,
        metadata: None,
    };
    let of = |seq, day| PaymentReturn::of(books.event(seq), terms(day)).map(|returned| returned.payment.seq);
    assert_eq!(of(1, date(2, 1)), Err(PaymentReturnError::NotAPayment));
    assert_eq!(of(2, date(1, 31)), Err(PaymentReturnError::BeforePayment(date(2, 1))));
    assert_eq!(of(2, date(2, 1)), Ok(Seq(2)));
    let mut resplit = books.event(2).clone();
    Arc::make_mut(&mut resplit.event).kind = EventKind::PaymentAllocated;
    let refused = PaymentReturn::of(&resplit, terms(date(2, 1))).map(|returned| returned.payment.seq);
    assert_eq!(refused, Err(PaymentReturnError::NotAPayment), "a consequence is no payment");
}

/// What a row holds is what was asked for.
#[test]
fn returns_and_fees_read_back_from_their_columns() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(40, date(2, 1))]);
    give_back(&mut books, 2, 3, date(2, 3), 25);
    for event in books.posted[2..].iter().map(|posted| &posted.event.event) {
        let command = &event.command;
        let columns = CommandColumns {
            kind: event.kind,
            loan_id: command.loan_id(),
            borrower_id: command.borrower_id(),
            amount: command.amount(),
            currency: command.currency(),
            effective_date: command.effective_date(),
            source_method: command.source_method(),
            external_ref: command.external_ref().map(str::to_owned),
            metadata: None,
            details: command.details(),
        };
        assert_eq!(Command::from_columns(columns.clone()).as_ref(), Ok(command));
        assert!(Command::from_columns(CommandColumns { details: None, ..columns }).is_err());
        assert_eq!(Fingerprint::of(command), event.fingerprint);
    }
}

/// One consequence of each sort: the same cause makes the same event, whoever judges it and however often.
#[test]
fn a_fee_has_one_id_and_one_key() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(40, date(2, 1))]);
    let event = accepted(3, returning(books.event(2), date(2, 3), 25));
    let fee = || -> SystemPosting {
        let mut past = books.past(&event);
        post_event(books.state, false, &mut past, &event, at(3)).unwrap().system.remove(0)
    };
    assert_eq!((fee().event.id, fee().event.key_hash), (fee().event.id, fee().event.key_hash));
    let Command::PaymentReturn(returned) = &event.event.command else { panic!("not a return") };
    assert_eq!(Some(fee().event.id), returned.fee_event_id(event.event.id));
    books.post(std::slice::from_ref(&event), at(3));
    assert_eq!(books.posted.last().unwrap().event.event.id, returned.fee_event_id(event.event.id).unwrap());
}
