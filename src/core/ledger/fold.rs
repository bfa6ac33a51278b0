//! Owns the posting fold: accepted events and the loan's state in, postings and the new state out.
//!
//! One event at a time, state by value: a panic in one event leaves the state before it untouched in the caller's
//! hands. The store runs the fold inside its transaction, between its reads and its writes.

use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::chain::chain_hash;
use crate::core::ledger::posting::{Outcome, PostedEvent, Posting, RejectionCode, SystemPosting};
use crate::core::ledger::rules::{Refusal, Verdict, judge};
use crate::core::loan::{DayMovement, LoanState, Timeline, Waterfall};
use crate::core::time::Timestamp;

/// One loan's share of a batch.
#[derive(Clone, Debug)]
pub struct LoanWork {
    /// The loan.
    pub key: LoanKey,
    /// Its state, locked; an opened but unposted loan has version 0. `None` where there is no loan.
    pub state: Option<LoanState>,
    /// Whether opening it failed because its loan number belongs to another loan.
    pub number_taken: bool,
    /// Its movements after the earliest backdated event; `None` when no event is backdated.
    pub timeline: Option<Timeline>,
    /// Its events, in order of acceptance.
    pub events: Vec<AcceptedEvent>,
}

/// What the store hands to the fold.
#[derive(Clone, Debug)]
pub struct FoldInput {
    /// The database's clock.
    pub now: Timestamp,
    /// The loans of the batch.
    pub loans: Vec<LoanWork>,
}

/// An event that could not be judged: our bug, not an outcome. Its loan stops at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFailure {
    /// The event.
    pub seq: Seq,
    /// Its loan.
    pub loan_key: LoanKey,
    /// For the log and the `parked` row; never for a caller.
    pub reason: String,
}

/// What the fold hands back to the store.
#[derive(Clone, Debug, Default)]
pub struct FoldOutput {
    /// Finished events, loan by loan in order.
    pub postings: Vec<PostedEvent>,
    /// Consequences, in order.
    pub system: Vec<SystemPosting>,
    /// The new state of every loan that got a posting with a version.
    pub states: Vec<LoanState>,
    /// Events that could not be judged.
    pub failures: Vec<EventFailure>,
}

/// What became of one event.
#[derive(Clone, Debug)]
pub struct Step {
    /// The loan afterwards; unchanged where there is none or it is still unopened.
    pub state: Option<LoanState>,
    /// The record.
    pub posting: PostedEvent,
}

/// Posts one event to its loan.
///
/// `timeline` is read for backdated events and gets this event's movement added, so that the next event of the
/// batch sees it.
///
/// # Errors
/// A text when our own rule is broken; the event then counts as not judged.
pub fn post_event(
    state: Option<LoanState>,
    number_taken: bool,
    timeline: Option<&mut Timeline>,
    event: &AcceptedEvent,
    now: Timestamp,
) -> Result<Step, String> {
    let command = &event.event.command;
    let Some(state) = state else {
        let code =
            if number_taken && command.opens_loan() { RejectionCode::LoanExists } else { RejectionCode::LoanNotFound };
        return Ok(Step { state: None, posting: without_loan(event, code, now) });
    };
    let verdict = match judge(&state, command, timeline.as_deref()) {
        Ok(verdict) => Ok(verdict),
        Err(Refusal::Rule(code)) if state.version == 0 => {
            return Ok(Step { state: Some(state), posting: without_loan(event, code, now) });
        }
        Err(Refusal::Rule(code)) => Err(code),
        Err(ours @ (Refusal::Broken(_) | Refusal::NoTimeline | Refusal::OtherTerms)) => return Err(ours.to_string()),
    };
    let (state, posting) = book(state, event, verdict, timeline, now)?;
    Ok(Step { state: Some(state), posting })
}

fn without_loan(event: &AcceptedEvent, code: RejectionCode, now: Timestamp) -> PostedEvent {
    let effective_date = event.event.command.effective_date();
    let posting = Posting {
        event_id: event.event.id,
        loan_key: event.event.loan_key,
        loan_version: None,
        outcome: Outcome::Rejected(code),
        entry: None,
        allocation: None,
        undoes_seq: None,
        restates_seq: None,
        effective_date,
        booking_date: effective_date,
        posted_at: now,
        chain_hash: None,
    };
    PostedEvent { seq: event.seq, posting }
}

/// Links the outcome into the loan's chain and moves its balances.
fn book(
    mut state: LoanState,
    event: &AcceptedEvent,
    verdict: Result<Verdict, RejectionCode>,
    timeline: Option<&mut Timeline>,
    now: Timestamp,
) -> Result<(LoanState, PostedEvent), String> {
    let command = &event.event.command;
    let effective_date = command.effective_date();
    state.version = state.version.checked_add(1).ok_or("the loan has too many postings")?;
    state.last_posted_at = state.last_posted_at.max(now);
    state.last_posted_seq = state.last_posted_seq.max(event.seq);
    let (outcome, entry, allocation) = match verdict {
        Err(code) => (Outcome::Rejected(code), None, None),
        Ok(verdict) => {
            state.balances = state.balances.plus(&verdict.movement).map_err(|overflow| overflow.to_string())?;
            if state.balances.has_negative() {
                return Err("a balance would fall below zero".to_owned());
            }
            state.greatest_effective_date = state.greatest_effective_date.max(effective_date);
            if let Some(timeline) = timeline {
                let day = DayMovement { date: effective_date, movement: verdict.movement };
                timeline.add(day).map_err(|overflow| overflow.to_string())?;
            }
            take_terms(&mut state, command);
            (Outcome::Posted, verdict.entry, verdict.allocation)
        }
    };
    let mut posting = Posting {
        event_id: event.event.id,
        loan_key: state.key,
        loan_version: Some(state.version),
        outcome,
        entry,
        allocation,
        undoes_seq: None,
        restates_seq: None,
        effective_date,
        booking_date: effective_date,
        posted_at: state.last_posted_at,
        chain_hash: None,
    };
    state.chain_head = chain_hash(&state.chain_head, event.event.fingerprint, &posting);
    posting.chain_hash = Some(state.chain_head);
    Ok((state, PostedEvent { seq: event.seq, posting }))
}

/// An opening event sets the terms that later events only read.
fn take_terms(state: &mut LoanState, command: &Command) {
    match command {
        Command::LoanOpening(opening) => {
            state.program_id = opening.program_id;
            state.waterfall = opening.waterfall.unwrap_or_else(Waterfall::default);
        }
        Command::Payment(_) | Command::Disbursement(_) | Command::Upload(_) => {}
    }
}
