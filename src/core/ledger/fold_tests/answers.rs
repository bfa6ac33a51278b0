//! Owns the snapshots of the bodies that callers get, from the fold to the JSON.

use super::*;
use crate::core::ledger::{Finished, answer};

/// The bytes of the last event's 201, or the code of its rejection.
fn body(commands: impl IntoIterator<Item = Command>) -> String {
    body_of(Books::of(commands).posted.last().unwrap())
}

fn body_of(posted: &Posted) -> String {
    let event = &posted.event.event;
    match answer(event.kind, event.id, &Finished::of(event, &posted.posting)) {
        Ok(answer) => serde_json::to_string(&answer).unwrap(),
        Err(code) => format!("rejected: {}", code.as_str()),
    }
}

/// The contract's example: 1,000,000 of principal, 10,000 of interest and 500 of fees meet 88,849.
#[test]
fn a_posted_payment_shows_its_split() {
    let commands = [opening([500, 10_000, 1_000_000], date(4, 1)), payment(88_849, date(5, 1))];
    insta::assert_snapshot!(body(commands), @r#"{"payment_event_id":"00000000-0000-0000-0000-000000000004","journal_entry_id":"00000000-0000-0000-0000-000000000005","allocation":{"fees_minor":"500","interest_minor":"10000","principal_minor":"78349","suspense_minor":"0"},"posted_at":"2026-05-01T12:00:00.000002Z"}"#);
}

#[test]
fn a_rejected_payment_has_a_code_and_no_body() {
    insta::assert_snapshot!(body([payment(88_849, date(5, 1))]), @"rejected: loan_not_found");
}

#[test]
fn a_disbursement_names_its_own_event_and_its_entry() {
    insta::assert_snapshot!(body([disbursement(1_000_000, date(4, 1))]), @r#"{"disbursement_event_id":"00000000-0000-0000-0000-000000000002","journal_entry_id":"00000000-0000-0000-0000-000000000003","posted_at":"2026-05-01T12:00:00.000001Z"}"#);
}

#[test]
fn a_loan_opened_with_balances_has_an_entry() {
    insta::assert_snapshot!(body([opening([500, 10_000, 1_000_000], date(4, 1))]), @r#"{"loan_event_id":"00000000-0000-0000-0000-000000000002","journal_entry_id":"00000000-0000-0000-0000-000000000003","posted_at":"2026-05-01T12:00:00.000001Z"}"#);
}

#[test]
fn a_loan_opened_without_balances_has_none() {
    insta::assert_snapshot!(body([opening([0, 0, 0], date(4, 1))]), @r#"{"loan_event_id":"00000000-0000-0000-0000-000000000002","posted_at":"2026-05-01T12:00:00.000001Z"}"#);
}

/// A loan, a payment, and its return with a fee of so much.
fn returned(fee: i64) -> Books {
    let mut books = Books::of([opening([500, 10_000, 1_000_000], date(4, 1)), payment(88_849, date(5, 1))]);
    let command = returning(books.event(2), date(5, 4), fee);
    books.post(&[accepted(3, command)], at(3));
    books
}

#[test]
fn a_return_names_its_own_event_and_its_entry() {
    insta::assert_snapshot!(body_of(returned(0).posted.last().unwrap()), @r#"{"payment_returned_event_id":"00000000-0000-0000-0000-000000000006","journal_entry_id":"00000000-0000-0000-0000-000000000007","posted_at":"2026-05-01T12:00:00.000003Z"}"#);
}

#[test]
fn a_return_with_a_fee_names_the_fees_event() {
    let books = returned(2500);
    let [.., returned, fee] = books.posted.as_slice() else { panic!("{books:?}") };
    insta::assert_snapshot!(body_of(returned), @r#"{"payment_returned_event_id":"00000000-0000-0000-0000-000000000006","journal_entry_id":"00000000-0000-0000-0000-000000000007","fee_event_id":"00000000-0000-0a85-0112-84726db71458","posted_at":"2026-05-01T12:00:00.000003Z"}"#);
    insta::assert_snapshot!(body_of(fee), @r#"{"fee_event_id":"00000000-0000-0a85-0112-84726db71458","journal_entry_id":"00000000-0000-0a85-0112-84726db71459","posted_at":"2026-05-01T12:00:00.000003Z"}"#);
}

#[test]
fn a_second_return_has_a_code_and_no_body() {
    let mut books = returned(0);
    let command = returning(books.event(2), date(5, 5), 2500);
    books.post(&[accepted(4, command)], at(4));
    insta::assert_snapshot!(body_of(books.posted.last().unwrap()), @"rejected: already_undone");
}
