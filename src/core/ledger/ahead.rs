//! Owns what an event would do: the fold over a loan's waiting events and then over one that is only imagined. The same
//! rules as posting, and nothing is kept.

use crate::core::event::AcceptedEvent;
use crate::core::ids::Seq;
use crate::core::ledger::fold::{LoanWork, Step, post_event};
use crate::core::loan::LoanState;
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
    let step = post_event(state, number_taken, &mut past, &imagined, now)?;
    Ok(Outlook { before, step, stuck })
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
