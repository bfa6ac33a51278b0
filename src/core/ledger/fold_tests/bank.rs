//! Owns the tests of cash that the bank has moved.

use super::servicing::lines;
use super::*;
use crate::core::event::{BankSettlement, CashFlow};
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
