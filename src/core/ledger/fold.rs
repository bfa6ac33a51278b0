//! Owns the posting fold: accepted events and the loan's state in, postings and the new state out.
//!
//! One event at a time, state by value: a panic in one event leaves the state before it untouched in the caller's
//! hands. The store runs the fold inside its transaction, between its reads and its writes.

use std::collections::BTreeSet;

use crate::core::event::{AcceptedEvent, Command, EventNames, LegTerms, NewEvent, Party, Servicing, ServicingAct};
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::chain::chain_hash;
use crate::core::ledger::entry::JournalEntry;
use crate::core::ledger::fees::FeeBook;
use crate::core::ledger::late::{History, Looked, Own, Settlement, Settling, is_late_on, look, reached_by};
use crate::core::ledger::past::{Past, computes_interest, is_judged_by_fees};
use crate::core::ledger::posting::{Outcome, PostedEvent, Posting, RejectionCode, SystemPosting};
use crate::core::ledger::rules::{Refusal, Verdict, judge, movement_of};
use crate::core::loan::{Balances, LoanState, SuspenseRelease, Waterfalls};
use crate::core::money::{AmountOverflow, Minor};
use crate::core::time::Timestamp;

/// One loan's share of a batch.
#[derive(Clone, Debug)]
pub struct LoanWork {
    /// The loan.
    pub key: LoanKey,
    /// Its state, locked or proved when it is written; an opened but unposted loan has version 0. `None` where there is no loan.
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
    pub event: EventNames,
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
    /// Late events that may have shown late fees to be for payments on time: who answers looks.
    pub reviewing: BTreeSet<Seq>,
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
    let judged = judge_on(&state, past, &event.event)?;
    if let (Err(code), 0) = (&judged.verdict, state.version) {
        return Ok(without_loan(Some(state), event, *code, now));
    }
    match NewEvent::fee_of_return(event) {
        Some(fee) if judged.verdict.is_ok() && charges_fee(past, &event.event) => {
            post_with_fee(state, past, (event, judged), fee, now)
        }
        Some(_) | None => Ok(post_judged(state, past, event, judged, now)?.step(event)),
    }
}

/// A refusal by a rule is an outcome; any other is our own mistake.
pub(super) fn ruled(judged: Result<Verdict, Refusal>) -> Result<Result<Verdict, RejectionCode>, String> {
    match judged {
        Ok(verdict) => Ok(Ok(verdict)),
        Err(Refusal::Rule(code)) => Ok(Err(code)),
        Err(
            ours @ (Refusal::Broken(_)
            | Refusal::NoHistory
            | Refusal::NoEarlierEvent
            | Refusal::NoFees
            | Refusal::NoReceipts
            | Refusal::NoAccruals
            | Refusal::Interest(_)
            | Refusal::OtherLeg
            | Refusal::OtherTerms),
        ) => Err(ours.to_string()),
    }
}

/// An event that a rule has judged, with the loan around it where it is late.
pub(super) struct Judged {
    /// What a late event sees.
    pub(super) looked: Option<Looked>,
    /// What it does, or why it is refused.
    pub(super) verdict: Result<Verdict, RejectionCode>,
}

/// An event in the books, with what follows from it.
pub(super) struct Posted {
    pub(super) state: LoanState,
    pub(super) posting: Posting,
    pub(super) system: Vec<SystemPosting>,
}

impl Posted {
    fn step(self, event: &AcceptedEvent) -> Step {
        let posting = PostedEvent { seq: event.seq, posting: self.posting };
        Step { state: Some(self.state), posting, system: self.system }
    }
}

/// Judges an event where it stands.
fn judge_on(state: &LoanState, past: &mut Past, event: &NewEvent) -> Result<Judged, String> {
    // Money that a bank has moved, in or back, is booked whatever a hold says: the line it came on is closed already, and
    // a payment that went back does not stand.
    let has_moved =
        matches!(event.command, Command::Receipt(_) | Command::BankSettlement(_) | Command::PaymentReturn(_));
    if let Some(code) = past.refusal.filter(|code| !(has_moved && *code == RejectionCode::LoanOnHold)) {
        return Ok(Judged { looked: None, verdict: Err(code) });
    }
    let looked = match look(state, past, event) {
        Ok(looked) => looked,
        Err(refusal) => return Ok(Judged { looked: None, verdict: ruled(Err(refusal))? }),
    };
    if let (Some(_), Some(history)) = (&looked, &mut past.history) {
        history.note_replay();
    }
    if let Some(fees) = past.fees.as_mut().filter(|_| is_judged_by_fees(&event.command)) {
        fees.note_question();
    }
    past.view = looked.as_ref().map(|looked| looked.view.clone());
    let then = looked.as_ref().map_or(state, |looked| &looked.then);
    let verdict = ruled(judge(then, &event.command, past));
    past.view = None;
    Ok(Judged { looked, verdict: verdict? })
}

/// Books an event that was judged, the release of suspense that it brings about, and of a late one all that becomes
/// different behind it.
pub(super) fn post_judged(
    mut state: LoanState,
    past: &mut Past,
    event: &AcceptedEvent,
    judged: Judged,
    now: Timestamp,
) -> Result<Posted, String> {
    let Judged { looked, mut verdict } = judged;
    let mut settlement = None;
    if let (Some(looked), Ok(done)) = (looked, &verdict) {
        match looked.settlement(&event.event, done) {
            Ok(settled) => settlement = Some(settled),
            Err(AmountOverflow) => verdict = Err(RejectionCode::AmountOverflow),
        }
    }
    let (posting, system) = match (settlement, verdict) {
        (Some(settlement), Ok(verdict)) => settlement.book(&mut state, past, Own { event, verdict, fee: None }, now)?,
        (_, verdict) => {
            let own = Booking { seq: Some(event.seq), event: &event.event, verdict };
            let posting = book(&mut state, past, own, now)?;
            let release = release_suspense(&mut state, past, event, &posting, now)?;
            (posting, release.into_iter().collect())
        }
    };
    state.last_posted_seq = state.last_posted_seq.max(event.seq);
    if posting.outcome == Outcome::Posted {
        // Behind the release: what suspense pays of a day's interest is in front of the next day as well.
        let reached = reached_by(&event.event.command, posting.effective_date);
        state.greatest_effective_date = state.greatest_effective_date.max(reached);
    }
    if state.balances.has_negative() {
        Err("a balance would fall below zero".to_owned())
    } else {
        Ok(Posted { state, posting, system })
    }
}

/// Posts an event and its fee, or neither: a fee that a rule refuses refuses the event. One that only the loan's program
/// asks for is refused alone: the bank has moved the money, and nobody said that it goes with a fee or not at all.
fn post_with_fee(
    mut state: LoanState,
    past: &mut Past,
    (event, judged): (&AcceptedEvent, Judged),
    fee: NewEvent,
    now: Timestamp,
) -> Result<Step, String> {
    let refusal = match judged {
        Judged { looked: Some(looked), verdict: Ok(verdict) } => {
            match settle_with_fee(&state, past, (looked.clone(), &event.event, &verdict), &fee)? {
                Ok((settlement, charged)) => {
                    let own = Own { event, verdict, fee: Some((fee, charged)) };
                    let (posting, system) = settlement.book(&mut state, past, own, now)?;
                    state.last_posted_seq = state.last_posted_seq.max(event.seq);
                    return Ok(Posted { state, posting, system }.step(event));
                }
                Err(code) if is_fee_of_program(event) => {
                    let alone = Judged { looked: Some(looked), verdict: Ok(verdict) };
                    let mut posted = post_judged(state, past, event, alone, now)?;
                    let refused = Booking { seq: None, event: &fee, verdict: Err(code) };
                    let posting = book(&mut posted.state, past, refused, now)?;
                    posted.system.push(SystemPosting { event: fee, posting });
                    return Ok(posted.step(event));
                }
                Err(code) => code,
            }
        }
        Judged { looked: None, verdict: Ok(_) } => return Err("a fee came with an event that is in order".to_owned()),
        Judged { verdict: Err(code), .. } => code,
    };
    let refused = Judged { looked: None, verdict: Err(refusal) };
    Ok(post_judged(state, past, event, refused, now)?.step(event))
}

/// Whether a return is charged with its fee. What a caller says is charged as said; the program's fee is the payment's, and
/// charged once, however many parts it goes back in (domain rule 48).
fn charges_fee(past: &Past, event: &NewEvent) -> bool {
    let Some(returned) = event.command.payment_return() else { return false };
    let went_back = |history: &History| history.went_back(returned.payment.id);
    returned.fee.is_some() || !past.history.as_ref().is_some_and(went_back)
}

/// Whether nobody said what a return costs its borrower but the program.
fn is_fee_of_program(event: &AcceptedEvent) -> bool {
    event.event.command.payment_return().is_some_and(|returned| returned.fee.is_none())
}

/// What a late event and its fee change together. The fee is judged by the loan as it stands there, the event done.
fn settle_with_fee(
    state: &LoanState,
    past: &Past,
    (looked, event, verdict): (Looked, &NewEvent, &Verdict),
    fee: &NewEvent,
) -> Result<Result<(Settlement, Verdict), RejectionCode>, String> {
    let charged = looked.settling(event, verdict).and_then(|settling| {
        let then = settling.found_by_fee(state, fee.command.effective_date())?;
        Ok((settling, judge(&then, &fee.command, past)))
    });
    let (settling, charged) = match charged {
        Ok((settling, charged)) => (settling, ruled(charged)?),
        Err(AmountOverflow) => return Ok(Err(RejectionCode::AmountOverflow)),
    };
    let charged = match charged {
        Ok(charged) => charged,
        Err(code) => return Ok(Err(code)),
    };
    let settlement = settling.with_fee(fee, &charged).and_then(Settling::settled);
    Ok(settlement.map(|settlement| (settlement, charged)).map_err(|AmountOverflow| RejectionCode::AmountOverflow))
}

/// Whether an event has to wait for the next batch: it may restate consequences of this one, which have no numbers yet, or
/// this batch has looked at the loan's past for long enough.
#[must_use]
pub fn must_wait(state: &LoanState, past: &Past, event: &AcceptedEvent) -> bool {
    let command = &event.event.command;
    let cannot = |history: &History| history.awaits_numbers_for(command) || history.is_worn();
    (past.history.as_ref().is_some_and(cannot) && is_late_on(state, command))
        || (past.fees.as_ref().is_some_and(FeeBook::is_worn) && is_judged_by_fees(command))
}

/// Which consequence of an event a release is: part of its id and key.
pub(super) const RELEASE_SORT: &str = "suspense_release";

/// Lets suspense pay the debt that an event has brought, on the day the debt arose, where the loan's program says so
/// (domain decision D6 and rule 25).
fn release_suspense(
    state: &mut LoanState,
    past: &mut Past,
    cause: &AcceptedEvent,
    posting: &Posting,
    now: Timestamp,
) -> Result<Option<SystemPosting>, String> {
    let is_due = state.suspense_release == SuspenseRelease::Automatic && !state.balances.suspense.is_zero();
    if !is_due || !raises_debt(&cause.event, posting) {
        return Ok(None);
    }
    let mut release = Servicing {
        loan_id: state.loan_id,
        party: Party { borrower_id: state.borrower_id, currency: state.currency },
        amount: None,
        effective_date: posting.effective_date,
        metadata: None,
        act: ServicingAct::SuspenseApplied { raised_by: Some(cause.event.id) },
    };
    let seen = seen_by_release(state, &cause.event.command, posting).map_err(|overflow| overflow.to_string())?;
    let Ok(verdict) = ruled(judge(&seen, &Command::Servicing(release.clone()), past))? else { return Ok(None) };
    let applied = verdict.movement.suspense.mirrored().map_err(|overflow| overflow.to_string())?;
    release.amount = Some(applied);
    let event = NewEvent::of_consequence(cause, cause.event.id, RELEASE_SORT, Command::Servicing(release));
    let posting = book(state, past, Booking { seq: None, event: &event, verdict: Ok(verdict) }, now)?;
    Ok(Some(SystemPosting { event, posting }))
}

/// The loan as a release behind an event sees it. Behind interest that is computed it sees that interest and no other
/// debt: were principal paid there, the day would have borne interest on it all the same.
fn seen_by_release(state: &LoanState, cause: &Command, posting: &Posting) -> Result<LoanState, AmountOverflow> {
    if !computes_interest(cause) {
        return Ok(*state);
    }
    let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
    let interest = movement_of(lines)?.interest.min(state.balances.interest);
    Ok(LoanState {
        balances: Balances { interest, suspense: state.balances.suspense, ..Balances::default() },
        ..*state
    })
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

/// What is booked of an event.
pub(super) struct Booking<'e> {
    /// Its number; a consequence has none yet.
    pub(super) seq: Option<Seq>,
    /// The event.
    pub(super) event: &'e NewEvent,
    /// What it does, or why it is refused.
    pub(super) verdict: Result<Verdict, RejectionCode>,
}

/// Links the outcome into the loan's chain and moves its balances.
pub(super) fn book(
    state: &mut LoanState,
    past: &mut Past,
    Booking { seq, event, verdict }: Booking<'_>,
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
            state.balances = state.balances.plus(&verdict.movement).map_err(|overflow| overflow.to_string())?;
            state.greatest_effective_date = state.greatest_effective_date.max(date);
            take_terms(state, &event.command);
            (posting.entry, posting.allocation) = (verdict.entry, verdict.allocation);
            (posting.effective_date, posting.booking_date) = (date, past.calendar.booking_date(date));
            (posting.undoes_seq, posting.restates_seq) = (verdict.undoes_seq, verdict.restates_seq);
            if let Some(standing) = verdict.standing {
                (state.status, state.charged_off) = (standing.status, standing.charged_off);
            }
        }
    }
    past.note_booked(seq, event, &posting);
    state.chain_head = chain_hash(&state.chain_head, event.fingerprint, &posting);
    posting.chain_hash = Some(state.chain_head);
    Ok(posting)
}

/// An opening event sets the terms that later events only read.
fn take_terms(state: &mut LoanState, command: &Command) {
    match command {
        Command::LoanOpening(opening) => {
            state.program_id = opening.program_id;
            let defaults = opening.program_defaults.unwrap_or_default();
            state.waterfalls = opening.waterfall.map_or(defaults.waterfalls, Waterfalls::from);
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
                state.waterfalls = terms.waterfall.map_or(defaults.waterfalls, Waterfalls::from);
                state.suspense_release = defaults.suspense_release;
            }
        }
    }
}
