//! Owns the tests of cash that the bank has moved.

use super::servicing::{lines, reversal};
use super::*;
use crate::core::event::{BankSettlement, CashFlow, NO_BORROWER};
use crate::core::ledger::RejectionCode;

fn settlement(flow: CashFlow, account: AccountCode, date: NaiveDate) -> Command {
    let (amount, settles, external_ref) = (usd(50), None, None);
    Command::BankSettlement(BankSettlement {
        loan_id: LOAN,
        amount,
        flow,
        account,
        settles,
        effective_date: date,
        external_ref,
    })
}

#[test]
fn cash_in_is_a_debit_and_cash_out_a_credit_whatever_the_order_of_days() {
    let mut books = Books::of([settlement(CashFlow::In, AccountCode::PAYMENT_CLEARING, date(5, 3))]);
    assert_eq!(books.last_lines(), lines(&[("1000", 50), ("1010", -50)]));
    let out = settlement(CashFlow::Out, AccountCode::FEE_WAIVER_EXPENSE, date(5, 1));
    assert_eq!(books.posts(out), lines(&[("1000", -50), ("5200", 50)]), "an earlier day needs no timeline");
    assert_eq!((books.balances(), books.state.unwrap().version), ([0; 4], 2));
}

#[test]
fn accounts_of_loans_are_not_moved_by_the_bank() {
    let mut books = Books::of([settlement(CashFlow::In, AccountCode::PAYMENT_CLEARING, date(5, 3))]);
    for account in [AccountCode::PRINCIPAL_RECEIVABLE, AccountCode::BORROWER_SUSPENSE] {
        let refused = settlement(CashFlow::In, account, date(5, 4));
        books.refuses(refused, RejectionCode::LoanNotFound);
    }
}

/// Judged, though cash of a later day is there: an error would hold the loan, and all cash of its account with it.
#[test]
fn an_older_settlement_is_not_reversed_behind_a_later_one() {
    let settled = |day| settlement(CashFlow::In, AccountCode::PAYMENT_CLEARING, date(5, day));
    let mut books = Books::of([settled(3), settled(5)]);
    let Command::Servicing(mut reversed) = reversal(&books, 1, date(5, 6)) else { panic!("not a reversal") };
    reversed.party.borrower_id = NO_BORROWER;
    books.refuses(Command::Servicing(reversed), RejectionCode::LoanNotFound);
}

/// The line of a statement is closed when its settlement is posted: a refusal would leave cash that no line explains.
#[test]
fn a_hold_that_refuses_does_not_refuse_cash_that_has_moved() {
    let books = Books::of([settlement(CashFlow::In, AccountCode::PAYMENT_CLEARING, date(5, 3))]);
    let more = accepted(2, settlement(CashFlow::In, AccountCode::PAYMENT_CLEARING, date(5, 4)));
    for (refusal, expected) in [
        (RejectionCode::LoanOnHold, Outcome::Posted),
        (RejectionCode::Discarded, Outcome::Rejected(RejectionCode::Discarded)),
    ] {
        let mut past = Past { refusal: Some(refusal), ..Past::default() };
        let step = post_event(books.state, false, &mut past, &more, at(2)).unwrap();
        assert_eq!(step.posting.posting.outcome, expected);
    }
}
