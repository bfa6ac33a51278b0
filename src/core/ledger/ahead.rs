//! Owns what an event would do: the fold over a loan's waiting events and then over one that is only imagined, or, of a
//! group, over the loans of all its legs. The same rules as posting, and nothing is kept.

use crate::core::event::AcceptedEvent;
use crate::core::ids::Seq;
use crate::core::ledger::fold::{LoanWork, Step, post_event};
use crate::core::ledger::group::{GroupInput, GroupOutput, LegWork, post_group};
use crate::core::ledger::late_fees::{FeeToReview, LateFeeBook, late_for_of, without};
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::{Outcome, Posting, SystemPosting};
use crate::core::ledger::rules::movement_of;
use crate::core::loan::LoanState;
use crate::core::money::Minor;
use crate::core::time::Timestamp;

/// What the last event of some work would do.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// The loan before it, when everything that waits is posted; `None` where there is none.
    pub before: Option<LoanState>,
    /// What would come of it.
    pub step: Step,
    /// Waiting events that cannot be judged: they stop their loan, and a person looks at them first.
    pub stuck: Vec<Seq>,
    /// The late fees that it would show to be for payments on time.
    pub fees_to_review: Vec<FeeToReview>,
    /// Of a late fee: what has come in on time for the payment that it is for.
    pub received: Option<Minor>,
}

/// Posts the work's events in order, in the mind only, and tells what the last one does.
///
/// # Errors
/// A text when there is no event, or our own rule is broken.
pub fn look_ahead(work: LoanWork, now: Timestamp) -> Result<Outlook, String> {
    let Waited { work, stuck } = wait_out(work, now)?;
    let LoanWork { state, number_taken, mut past, mut events, key: _ } = work;
    let imagined = events.pop().ok_or(NO_EVENT)?;
    let before = state.filter(|state| state.version > 0);
    let known = to_review(past.late_fees.as_ref()).into_iter().map(|fee| fee.item.event_id).collect();
    let received = late_for_of(&imagined.event.command).zip(past.receipts.as_ref());
    let received = received.map(|(late_for, receipts)| receipts.in_time_for(late_for));
    let step = post_event(state, number_taken, &mut past, &imagined, now)?;
    let fees_to_review = without(to_review(past.late_fees.as_ref()), &known);
    Ok(Outlook { before, step, stuck, fees_to_review, received })
}

/// The loan of a leg of a group that is only imagined, the leg last among its events.
#[derive(Clone, Debug)]
pub struct LegAhead {
    /// The loan's work.
    pub work: LoanWork,
    /// Whether the loan waits for a person.
    pub on_hold: bool,
}

/// What a group would do.
#[derive(Clone, Debug)]
pub struct GroupOutlook {
    /// The parent's posting.
    pub parent: Posting,
    /// Each leg with what it would do, by number.
    pub legs: Vec<(AcceptedEvent, Outlook)>,
}

/// Posts what waits for the loans of a group, and then the group, in the mind only.
///
/// # Errors
/// A text when a leg is missing, or our own rule is broken.
pub fn look_ahead_group(parent: AcceptedEvent, legs: Vec<LegAhead>, now: Timestamp) -> Result<GroupOutlook, String> {
    let mut works = Vec::with_capacity(legs.len());
    let mut loans = Vec::with_capacity(legs.len());
    for LegAhead { work, on_hold } in legs {
        let Waited { work, stuck } = wait_out(work, now)?;
        let (state, late_fees) = (work.state, work.past.late_fees.clone());
        let leg = LegWork::of(work, on_hold).ok_or(NO_EVENT)?;
        loans.push((leg.event.clone(), state, late_fees, stuck));
        works.push(leg);
    }
    let done = post_group(GroupInput { now, parent, legs: works, refusal: None })?;
    let GroupOutput { parent, legs, system, states, accrued: _, is_reviewing: _ } = done;
    let legs = loans.into_iter().zip(legs).map(|((event, state, late_fees, stuck), posting)| {
        let key = event.event.loan_key;
        let system: Vec<SystemPosting> = system.iter().filter(|done| done.event.loan_key == key).cloned().collect();
        let fees_to_review = shown_to_review(late_fees, (&event, &posting.posting), &system);
        let after = states.iter().find(|state| state.key == key).copied();
        let step = Step { state: after.or(state), posting, system };
        let before = state.filter(|state| state.version > 0);
        (event, Outlook { before, step, stuck, fees_to_review, received: None })
    });
    Ok(GroupOutlook { parent, legs: legs.collect() })
}

const NO_EVENT: &str = "there is no event to look ahead to";

/// A loan behind what waits for it, with the event that is imagined.
struct Waited {
    work: LoanWork,
    stuck: Vec<Seq>,
}

/// Posts all events of a loan but the last.
fn wait_out(work: LoanWork, now: Timestamp) -> Result<Waited, String> {
    let LoanWork { mut state, number_taken, mut past, mut events, key } = work;
    let imagined = events.pop().ok_or(NO_EVENT)?;
    let mut stuck = Vec::new();
    for event in &events {
        state = terms_of(state, event);
        match post_event(state, number_taken, &mut past, event, now) {
            Ok(step) => {
                state = step.state;
                note_principal(&mut past, &step)?;
                // What is only imagined is never written, so a later event may restate it at once.
                if let Some(history) = &mut past.history {
                    history.imagine_numbers();
                }
            }
            Err(_) => stuck.push(event.seq),
        }
    }
    let work = LoanWork { key, state: terms_of(state, &imagined), number_taken, past, events: vec![imagined] };
    Ok(Waited { work, stuck })
}

/// Notes what moved principal for an accrual behind it: of its days, as the book was read up to their end.
fn note_principal(past: &mut Past, step: &Step) -> Result<(), String> {
    let Some(book) = &mut past.accruals else { return Ok(()) };
    let postings = std::iter::once(&step.posting.posting).chain(step.system.iter().map(|done| &done.posting));
    for posting in postings {
        if let Some(entry) = &posting.entry {
            let moved = movement_of(entry.lines()).map_err(|overflow| overflow.to_string())?;
            book.note_principal(posting.effective_date, moved.principal);
        }
    }
    Ok(())
}

fn to_review(late_fees: Option<&LateFeeBook>) -> Vec<FeeToReview> {
    late_fees.map(LateFeeBook::to_review).unwrap_or_default()
}

/// The late fees that a leg would show to be for payments on time, of those that the loan has in front of it.
fn shown_to_review(
    late_fees: Option<LateFeeBook>,
    (event, posting): (&AcceptedEvent, &Posting),
    system: &[SystemPosting],
) -> Vec<FeeToReview> {
    let Some(mut book) = late_fees.filter(|_| posting.outcome == Outcome::Posted) else { return Vec::new() };
    let known = book.to_review().into_iter().map(|fee| fee.item.event_id).collect();
    book.note(Some(event.seq), &event.event, posting);
    for done in system {
        book.note(None, &done.event, &done.posting);
    }
    without(book.to_review(), &known)
}

/// A loan that is not open has the terms of the event that opens it next, as the store would make it.
fn terms_of(state: Option<LoanState>, event: &AcceptedEvent) -> Option<LoanState> {
    let (new, command) = (&event.event, &event.event.command);
    match state {
        Some(unopened) if unopened.version == 0 && command.opens_loan() => Some(LoanState::unopened(
            (new.loan_key, new.tenant),
            (command.loan_id(), command.borrower_id()),
            command.currency(),
            command.effective_date(),
        )),
        state => state,
    }
}
