//! Owns the posting fold: accepted events and the loan's state in, postings and the new state out.
//!
//! One event at a time, state by value: a panic in one event leaves the state before it untouched in the caller's
//! hands. The store runs the fold inside its transaction, between its reads and its writes.

use crate::core::event::{AcceptedEvent, Command, LegTerms, NewEvent, Party, Servicing, ServicingAct};
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::chain::chain_hash;
use crate::core::ledger::entry::JournalEntry;
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::{Outcome, PostedEvent, Posting, RejectionCode, SystemPosting};
use crate::core::ledger::rules::{Refusal, Verdict, judge, movement_of};
use crate::core::loan::{DayMovement, LoanState, SuspenseRelease};
use crate::core::money::Minor;
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
    /// What its events need of its past.
    pub past: Past,
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
    /// What follows from it, in order.
    pub system: Vec<SystemPosting>,
}

/// Posts one event to its loan, with what follows from it.
///
/// `past` is read for backdated events and for those that name an earlier one, and gets this event added, so that the
/// next event of the batch sees it.
///
/// # Errors
/// A text when our own rule is broken; the event then counts as not judged.
pub fn post_event(
    state: Option<LoanState>,
    number_taken: bool,
    past: &mut Past,
    event: &AcceptedEvent,
    now: Timestamp,
) -> Result<Step, String> {
    let command = &event.event.command;
    let step = match state {
        None if number_taken && command.opens_loan() => without_loan(None, event, RejectionCode::LoanExists, now),
        None => without_loan(None, event, RejectionCode::LoanNotFound, now),
        Some(state) => post_to_loan(state, past, event, now)?,
    };
    past.earlier.note(event, &step.posting.posting);
    Ok(step)
}

fn post_to_loan(state: LoanState, past: &mut Past, event: &AcceptedEvent, now: Timestamp) -> Result<Step, String> {
    let judged = match past.refusal {
        Some(code) => Err(code),
        None => ruled(judge(&state, &event.event.command, past))?,
    };
    let verdict = match judged {
        Err(code) if state.version == 0 => return Ok(without_loan(Some(state), event, code, now)),
        verdict => verdict,
    };
    match NewEvent::fee_of_return(event) {
        Some(fee) if verdict.is_ok() => post_with_fee(state, past, (event, verdict), fee, now),
        Some(_) | None => post_alone(state, past, (event, verdict), now),
    }
}

/// A refusal by a rule is an outcome; any other is our own mistake.
pub(super) fn ruled(judged: Result<Verdict, Refusal>) -> Result<Result<Verdict, RejectionCode>, String> {
    match judged {
        Ok(verdict) => Ok(Ok(verdict)),
        Err(Refusal::Rule(code)) => Ok(Err(code)),
        Err(
            ours @ (Refusal::Broken(_)
            | Refusal::NoTimeline
            | Refusal::NoEarlierEvent
            | Refusal::NoFees
            | Refusal::NoAccruals
            | Refusal::Interest(_)
            | Refusal::OtherLeg
            | Refusal::OtherTerms),
        ) => Err(ours.to_string()),
    }
}

type Judged<'e> = (&'e AcceptedEvent, Result<Verdict, RejectionCode>);

/// Posts an event, and the release of suspense that it brings about.
fn post_alone(
    mut state: LoanState,
    past: &mut Past,
    (event, verdict): Judged<'_>,
    now: Timestamp,
) -> Result<Step, String> {
    let posting = book(&mut state, past, (&event.event, verdict), now)?;
    state.last_posted_seq = state.last_posted_seq.max(event.seq);
    let release = release_suspense(&mut state, past, event, (&event.event, &posting), now)?;
    let posting = PostedEvent { seq: event.seq, posting };
    Ok(Step { state: Some(state), posting, system: release.into_iter().collect() })
}

/// Posts an event and its fee, or neither: a fee that a rule refuses refuses the event.
fn post_with_fee(
    state: LoanState,
    past: &mut Past,
    judged: Judged<'_>,
    fee: NewEvent,
    now: Timestamp,
) -> Result<Step, String> {
    let (event, before) = (judged.0, past.clone());
    let mut step = post_alone(state, past, judged, now)?;
    let mut after = step.state.ok_or("an event was posted without its loan")?;
    match ruled(judge(&after, &fee.command, past))? {
        Ok(verdict) => {
            let posting = book(&mut after, past, (&fee, Ok(verdict)), now)?;
            let release = release_suspense(&mut after, past, event, (&fee, &posting), now)?;
            step.system.push(SystemPosting { event: fee, posting });
            step.system.extend(release);
            Ok(Step { state: Some(after), ..step })
        }
        Err(code) => {
            *past = before;
            post_alone(state, past, (event, Err(code)), now)
        }
    }
}

/// Which consequence of an event a release is: part of its id and key.
const RELEASE_SORT: &str = "suspense_release";

/// Lets suspense pay the debt that an event has brought, on the day the debt arose, where the loan's program says so
/// (domain decision D6 and rule 25). `cause` is the event that a caller sent, `raised` what raised the debt: the cause
/// itself or its fee.
pub(super) fn release_suspense(
    state: &mut LoanState,
    past: &mut Past,
    cause: &AcceptedEvent,
    (raised, posting): (&NewEvent, &Posting),
    now: Timestamp,
) -> Result<Option<SystemPosting>, String> {
    let is_due = state.suspense_release == SuspenseRelease::Automatic && !state.balances.suspense.is_zero();
    if !is_due || !raises_debt(raised, posting) {
        return Ok(None);
    }
    let mut release = Servicing {
        loan_id: state.loan_id,
        party: Party { borrower_id: state.borrower_id, currency: state.currency },
        amount: None,
        effective_date: posting.effective_date,
        metadata: None,
        act: ServicingAct::SuspenseApplied,
    };
    let Ok(verdict) = ruled(judge(state, &Command::Servicing(release.clone()), past))? else { return Ok(None) };
    let applied = verdict.movement.suspense.mirrored().map_err(|overflow| overflow.to_string())?;
    release.amount = Some(applied);
    let event = NewEvent::of_consequence(cause, raised.id, RELEASE_SORT, Command::Servicing(release));
    let posting = book(state, past, (&event, Ok(verdict)), now)?;
    Ok(Some(SystemPosting { event, posting }))
}

/// Whether there is debt, or suspense to pay it with, that was not there before. Money that comes in is divided as it
/// comes, and an application that was taken back stays so.
fn raises_debt(event: &NewEvent, posting: &Posting) -> bool {
    let is_divided = match &event.command {
        Command::Payment(_) => true,
        Command::Servicing(servicing) => servicing.act.takes_back_an_application(),
        Command::Leg(leg) => matches!(leg.terms, LegTerms::ReceiptIn { .. }),
        Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::PaymentReturn(_)
        | Command::Group(_)
        | Command::Fee(_) => false,
    };
    let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
    !is_divided
        && movement_of(lines).is_ok_and(|moved| {
            [moved.fees, moved.interest, moved.principal, moved.suspense].into_iter().any(|part| part > Minor::ZERO)
        })
}

pub(super) fn without_loan(
    state: Option<LoanState>,
    event: &AcceptedEvent,
    code: RejectionCode,
    now: Timestamp,
) -> Step {
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
        refused_loans: Vec::new(),
    };
    Step { state, posting: PostedEvent { seq: event.seq, posting }, system: Vec::new() }
}

/// Links the outcome into the loan's chain and moves its balances.
pub(super) fn book(
    state: &mut LoanState,
    past: &mut Past,
    (event, verdict): (&NewEvent, Result<Verdict, RejectionCode>),
    now: Timestamp,
) -> Result<Posting, String> {
    state.version = state.version.checked_add(1).ok_or("the loan has too many postings")?;
    state.last_posted_at = state.last_posted_at.max(now);
    let mut posting = Posting {
        event_id: event.id,
        loan_key: state.key,
        loan_version: Some(state.version),
        outcome: Outcome::Posted,
        entry: None,
        allocation: None,
        undoes_seq: None,
        restates_seq: None,
        effective_date: event.command.effective_date(),
        booking_date: event.command.effective_date(),
        posted_at: state.last_posted_at,
        chain_hash: None,
        refused_loans: Vec::new(),
    };
    match verdict {
        Err(code) => posting.outcome = Outcome::Rejected(code),
        Ok(verdict) => {
            let date = verdict.effective_date;
            move_balances(state, past, DayMovement { date, movement: verdict.movement })?;
            take_terms(state, &event.command);
            (posting.entry, posting.allocation) = (verdict.entry, verdict.allocation);
            (posting.effective_date, posting.booking_date) = (date, past.calendar.booking_date(date));
            (posting.undoes_seq, posting.restates_seq) = (verdict.undoes_seq, verdict.restates_seq);
            if let Some(standing) = verdict.standing {
                (state.status, state.charged_off) = (standing.status, standing.charged_off);
            }
        }
    }
    past.note_booked(event, &posting);
    state.chain_head = chain_hash(&state.chain_head, event.fingerprint, &posting);
    posting.chain_hash = Some(state.chain_head);
    Ok(posting)
}

fn move_balances(state: &mut LoanState, past: &mut Past, day: DayMovement) -> Result<(), String> {
    state.balances = state.balances.plus(&day.movement).map_err(|overflow| overflow.to_string())?;
    if state.balances.has_negative() {
        return Err("a balance would fall below zero".to_owned());
    }
    state.greatest_effective_date = state.greatest_effective_date.max(day.date);
    let timeline = past.timeline.as_mut();
    timeline.map_or(Ok(()), |timeline| timeline.add(day)).map_err(|overflow| overflow.to_string())
}

/// An opening event sets the terms that later events only read.
fn take_terms(state: &mut LoanState, command: &Command) {
    match command {
        Command::LoanOpening(opening) => {
            state.program_id = opening.program_id;
            let defaults = opening.program_defaults.unwrap_or_default();
            state.waterfall = opening.waterfall.unwrap_or(defaults.waterfall);
            state.suspense_release = defaults.suspense_release;
        }
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Servicing(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_) => {}
        Command::Leg(leg) => {
            if let Some(terms) = leg.terms.new_loan() {
                state.program_id = terms.program_id;
                let defaults = terms.program_defaults.unwrap_or_default();
                state.waterfall = terms.waterfall.unwrap_or(defaults.waterfall);
                state.suspense_release = defaults.suspense_release;
            }
        }
    }
}
