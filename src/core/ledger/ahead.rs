//! Owns what an event would do: the fold over a loan's waiting events and then over one that is only imagined. The same
//! rules as posting, and nothing is kept.

use std::collections::BTreeSet;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::fold::{LoanWork, Step, post_event};
use crate::core::ledger::late_fees::{FeeToReview, LateFeeBook, late_for_of, without};
use crate::core::ledger::past::Past;
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
    let LoanWork { mut state, number_taken, mut past, mut events, key: _ } = work;
    let imagined = events.pop().ok_or("there is no event to look ahead to")?;
    let mut stuck = Vec::new();
    for event in &events {
        state = terms_of(state, event);
        match post_event(state, number_taken, &mut past, event, now) {
            Ok(step) => {
                state = step.state;
                // What is only imagined is never written, so a later event may restate it at once.
                if let Some(history) = &mut past.history {
                    history.imagine_numbers();
                }
            }
            Err(_) => stuck.push(event.seq),
        }
    }
    let before = state.filter(|state| state.version > 0);
    let to_review = |past: &Past| past.late_fees.as_ref().map(LateFeeBook::to_review).unwrap_or_default();
    let known: BTreeSet<EventId> = to_review(&past).into_iter().map(|fee| fee.item.event_id).collect();
    let received = late_for_of(&imagined.event.command).zip(past.receipts.as_ref());
    let received = received.map(|(late_for, receipts)| receipts.in_time_for(late_for));
    let step = post_event(state, number_taken, &mut past, &imagined, now)?;
    Ok(Outlook { before, step, stuck, fees_to_review: without(to_review(&past), &known), received })
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
