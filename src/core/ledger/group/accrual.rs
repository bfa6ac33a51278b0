//! Owns accruals: interest that a loan has earned, DR 1200 CR 4100.

use crate::core::event::LegTerms;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::group::{LegWork, open_loan};
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::{Day, Refusal, Verdict};
use crate::core::loan::{Balances, LoanStatus};

/// Judges one loan's accrual: the loan is open, and owes in principal on that day what the caller says.
pub(super) fn judge(work: &LegWork) -> Result<Verdict, Refusal> {
    let leg = work.leg()?;
    let LegTerms::Accrual { outstanding_principal, interest } = leg.terms else { return Err(Refusal::OtherLeg) };
    let state = open_loan(work)?;
    match state.status {
        LoanStatus::Open => {}
        LoanStatus::ChargedOff | LoanStatus::WrittenOff => return Err(RejectionCode::LoanClosed.into()),
    }
    let day = Day::new(&state, leg.effective_date, &work.past)?;
    if day.balances()?.principal != outstanding_principal {
        return Err(RejectionCode::PrincipalMismatch.into());
    }
    let movement = Balances { interest, ..Balances::default() };
    day.check_room(&movement)?;
    let lines = [
        Line::debit(AccountCode::INTEREST_RECEIVABLE, interest),
        Line::credit(AccountCode::INTEREST_INCOME, interest)?,
    ];
    Ok(Verdict::new(lines, movement, day.date)?)
}
