//! Owns the tests of what the fold refuses: rules, one by one, and input that only a broken store can give.

use super::*;
use crate::core::ledger::{Calendar, ClosedPeriodRule, Period, RejectionCode};
use crate::core::loan::LoanStatus;

fn judged_last(commands: impl IntoIterator<Item = Command>) -> (Outcome, Option<i64>) {
    let books = Books::of(commands);
    (books.last().outcome, books.last().loan_version)
}

fn open() -> Command {
    opening([0, 0, 100], date(2, 1))
}

#[test]
fn each_rule_has_its_code_and_takes_a_version() {
    let stranger = BorrowerId(Uuid::from_u128(0x44));
    let euro = Currency::parse("EUR").unwrap();
    let cases = [
        (named(payment(1, date(2, 1)), stranger, Currency::USD), RejectionCode::BorrowerMismatch),
        (named(disbursement(1, date(2, 1)), BORROWER, euro), RejectionCode::CurrencyMismatch),
        (payment(1, date(1, 31)), RejectionCode::EffectiveBeforeOpening),
        (disbursement(i64::MAX, date(2, 1)), RejectionCode::AmountOverflow),
        (open(), RejectionCode::LoanExists),
        (named(open(), stranger, euro), RejectionCode::LoanExists),
    ];
    for (command, code) in cases {
        assert_eq!(judged_last([open(), command]), (Outcome::Rejected(code), Some(2)), "{code:?}");
    }
}

#[test]
fn what_comes_before_the_loan_takes_no_version() {
    let not_found = (Outcome::Rejected(RejectionCode::LoanNotFound), None);
    assert_eq!(judged_last([payment(1, date(2, 1))]), not_found);
    let too_much = opening([i64::MAX, 1, 0], date(2, 1));
    assert_eq!(judged_last([too_much]), (Outcome::Rejected(RejectionCode::AmountOverflow), None));
    let mut books = Books::default();
    books.post(&[accepted(1, payment(1, date(2, 1))), accepted(2, open())], at(0));
    assert_eq!(books.posted[0].posting.loan_version, None);
    assert_eq!(books.last().loan_version, Some(1));
}

#[test]
fn a_taken_loan_number_is_told_to_the_opening_only() {
    let code = |command| {
        post_event(None, true, &mut Past::default(), &accepted(1, command), at(0)).unwrap().posting.posting.outcome
    };
    assert_eq!(code(open()), Outcome::Rejected(RejectionCode::LoanExists));
    assert_eq!(code(payment(1, date(2, 1))), Outcome::Rejected(RejectionCode::LoanNotFound));
}

#[test]
fn a_closed_period_refuses_where_the_tenant_says_so_and_never_what_is_taken_back() {
    let books = Books::of([open(), payment(40, date(2, 1)), payment(1, date(3, 1))]);
    let state = books.state.unwrap();
    let february = Period::of(date(2, 1));
    let outcome = |rule, command: Command| {
        let event = accepted(4, command);
        let mut past = Past { calendar: Calendar::new(rule, [february]), ..books.past(&event) };
        let posting = post_event(Some(state), false, &mut past, &event, at(4)).unwrap().posting.posting;
        (posting.outcome, posting.booking_date)
    };
    let refused = Outcome::Rejected(RejectionCode::PeriodClosed);
    assert_eq!(outcome(ClosedPeriodRule::Refuse, payment(1, date(2, 28))).0, refused);
    assert_eq!(outcome(ClosedPeriodRule::Refuse, payment(1, date(3, 1))), (Outcome::Posted, date(3, 1)));
    assert_eq!(outcome(ClosedPeriodRule::NextOpenDay, payment(1, date(2, 28))), (Outcome::Posted, date(3, 1)));
    let back = returning(books.event(2), date(3, 2), 0);
    assert_eq!(outcome(ClosedPeriodRule::Refuse, back), (Outcome::Posted, date(3, 1)));
}

#[test]
fn a_hold_that_refuses_refuses_no_return_and_a_person_who_discards_one_does() {
    let books = Books::of([open(), payment(40, date(2, 1))]);
    let state = books.state.unwrap();
    let outcome = |refusal| {
        let event = accepted(3, returning(books.event(2), date(2, 4), 0));
        let mut past = Past { refusal: Some(refusal), ..books.past(&event) };
        post_event(Some(state), false, &mut past, &event, at(3)).unwrap().posting.posting.outcome
    };
    assert_eq!(outcome(RejectionCode::LoanOnHold), Outcome::Posted, "the bank has taken the money back");
    assert_eq!(outcome(RejectionCode::Discarded), Outcome::Rejected(RejectionCode::Discarded));
}

#[test]
fn a_written_off_loan_takes_nothing_more() {
    let state = LoanState { status: LoanStatus::WrittenOff, ..Books::of([open()]).state.unwrap() };
    for command in [payment(1, date(2, 1)), disbursement(1, date(2, 1))] {
        let step = post_event(Some(state), false, &mut Past::default(), &accepted(2, command), at(2)).unwrap();
        assert_eq!(step.posting.posting.outcome, Outcome::Rejected(RejectionCode::LoanClosed));
    }
}

/// An opening that fails leaves no terms behind for the next one.
#[test]
fn the_terms_of_a_refused_opening_do_not_bind_the_next() {
    let stranger = BorrowerId(Uuid::from_u128(0x44));
    let refused = named(opening([i64::MAX, 1, 0], date(2, 1)), stranger, Currency::parse("EUR").unwrap());
    let mut books = Books::default();
    books.post(&[accepted(1, refused), accepted(2, open())], at(0));
    let state = books.state.unwrap();
    assert_eq!((state.borrower_id, state.currency, state.version), (BORROWER, Currency::USD, 1));
}

/// A store that hands over both openings in one batch gets the second back unjudged, not posted on wrong terms.
#[test]
fn a_row_made_from_another_opening_is_not_posted_to() {
    let stranger = BorrowerId(Uuid::from_u128(0x44));
    for second in [open(), disbursement(5, date(2, 1))] {
        let refused = named(opening([i64::MAX, 1, 0], date(2, 1)), stranger, Currency::USD);
        let events = [accepted(1, refused), accepted(2, second)];
        let error = Books::default().post_batch(&events, at(0)).unwrap_err();
        assert_eq!(error, "the loan's row was made from another opening event");
    }
}

/// Without the loan's history a late event would be judged by today's balances, and a past day fall below zero.
#[test]
fn a_late_event_without_a_history_is_not_judged() {
    let state = Books::of([open(), payment(5, date(4, 1))]).state;
    for command in [payment(5, date(3, 1)), disbursement(5, date(3, 1))] {
        let error = post_event(state, false, &mut Past::default(), &accepted(3, command), at(3)).unwrap_err();
        assert_eq!(error, "a late event came without the loan's history");
    }
}
