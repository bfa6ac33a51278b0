//! Owns the undo of groups: the mirror of every leg, each on its loan and at its own day.

use crate::core::event::LegTerms;
use crate::core::ledger::group::LegWork;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::{Day, Refusal, Verdict, judge_mirror};

/// Judges the undo of one leg. An assignment that is taken back leaves its receipt without a loan again.
pub(super) fn judge(work: &LegWork) -> Result<Verdict, Refusal> {
    let request = work.leg()?;
    let LegTerms::Reversal { leg, restates } = &request.terms else { return Err(Refusal::OtherLeg) };
    let state = work.standing().filter(|state| state.version > 0).ok_or(RejectionCode::LoanNotFound)?;
    let day = Day::new(&state, request.effective_date, &work.past)?;
    Ok(Verdict { restates_seq: *restates, ..judge_mirror(&day, *leg, &work.past)? })
}
