//! Owns accruals: interest that a loan has earned, DR 1200 CR 4100.
//!
//! The interest is the caller's, or what the days come to that no accrual of an earlier day covers, up to and including
//! the accrual's, by the rule of the loan's program ([`AccrualBook`](crate::core::loan::AccrualBook)). Of an accrual that
//! is late, what they come to in its place: accruals behind it are restated. Nothing accrues from a charge-off on; where
//! that is taken back, the next accrual catches up.

use crate::core::event::LegTerms;
use crate::core::ids::ProgramId;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::group::{LegWork, open_loan};
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::{Day, Refusal, Verdict};
use crate::core::loan::{AccrualMark, Balances, InterestError, InterestRule, LoanState, LoanStatus};
use crate::core::money::Minor;

/// Judges one loan's accrual: the loan is open, and owes in principal on that day what the caller says.
pub(super) fn judge(work: &LegWork, program: ProgramId, rule: Option<&InterestRule>) -> Result<Verdict, Refusal> {
    let leg = work.leg()?;
    let LegTerms::Accrual { outstanding_principal, interest } = leg.terms else { return Err(Refusal::OtherLeg) };
    let state = open_loan(work)?;
    match state.status {
        LoanStatus::Open => {}
        LoanStatus::ChargedOff | LoanStatus::WrittenOff => return Err(RejectionCode::LoanClosed.into()),
    }
    let day = Day::new(&state, leg.effective_date, &work.past)?;
    if day.balances().principal != outstanding_principal {
        return Err(RejectionCode::PrincipalMismatch.into());
    }
    let (interest, accrued) = match interest {
        Some(interest) => (interest, None),
        None => computed(work, &state, (program, rule))?,
    };
    let movement = Balances { interest, ..Balances::default() };
    day.check_room(&movement)?;
    let lines = [
        Line::debit(AccountCode::INTEREST_RECEIVABLE, interest),
        Line::credit(AccountCode::INTEREST_INCOME, interest)?,
    ];
    Ok(Verdict { accrued, ..Verdict::new(lines, movement, day.date)? })
}

/// The interest of the days that are not accrued yet, up to and including the leg's, and how far the loan is accrued then.
/// The program's rate is that of its own loans: it has no other.
fn computed(
    work: &LegWork,
    state: &LoanState,
    (program, rule): (ProgramId, Option<&InterestRule>),
) -> Result<(Minor, Option<AccrualMark>), Refusal> {
    if state.program_id != Some(program) {
        return Err(RejectionCode::LoanNotFound.into());
    }
    if let Some(looked) = &work.looked {
        return Ok((looked.interest(&work.event.event.command)?, None));
    }
    let (rule, book) = rule.zip(work.past.accruals.as_ref()).ok_or(Refusal::NoAccruals)?;
    let until = work.leg()?.effective_date.succ_opt().ok_or(InterestError::OutOfRange)?;
    Ok((book.open_interest(rule, until)?, book.mark_at(rule, until)?))
}
