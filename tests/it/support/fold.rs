//! The plain fold: every event through `post_event`, without the worker's care for panics.

use std::sync::Arc;

use hpts::core::event::{AcceptedEvent, EventNames};
use hpts::core::ledger::{
    EventFailure, FoldInput, FoldOutput, LoanWork, PostedEvent, chain_hash, must_wait, post_event,
};
use hpts::core::loan::LoanState;
use hpts::store::Fold;

/// Posts every event.
pub(crate) fn plain() -> Fold {
    Arc::new(fold)
}

/// Posts every event and then lets `change` work on each posting before it is chained.
pub(crate) fn changing<F>(change: F) -> Fold
where
    F: Fn(&AcceptedEvent, &mut PostedEvent) + Send + Sync + 'static,
{
    Arc::new(move |input| {
        let mut output = FoldOutput::default();
        for loan in input.loans {
            let (mut state, mut past) = (loan.state, loan.past);
            for event in &loan.events {
                let head = state.map_or([0; 32], |state| state.chain_head);
                let mut step = post_event(state, loan.number_taken, &mut past, event, input.now).unwrap();
                change(event, &mut step.posting);
                step.state = step.state.map(|after| rechain(&head, event, &mut step.posting, after));
                state = step.state;
                output.postings.push(step.posting);
            }
            output.states.extend(state.filter(|state| state.version > 0));
        }
        output
    })
}

fn rechain(head: &[u8; 32], event: &AcceptedEvent, posted: &mut PostedEvent, mut state: LoanState) -> LoanState {
    if posted.posting.loan_version.is_some() {
        state.chain_head = chain_hash(head, event.event.fingerprint, &posted.posting);
        posted.posting.chain_hash = Some(state.chain_head);
    }
    state
}

/// Posts only events that `wanted` likes; the others fail, which stops nothing here.
pub(crate) fn only<F>(wanted: F) -> Fold
where
    F: Fn(&AcceptedEvent) -> bool + Send + Sync + 'static,
{
    Arc::new(move |mut input| {
        let mut failures = Vec::new();
        for loan in &mut input.loans {
            let (taken, refused): (Vec<_>, Vec<_>) = loan.events.drain(..).partition(|event| wanted(event));
            failures.extend(
                refused
                    .into_iter()
                    .map(|event| EventFailure { event: EventNames::of(&event), reason: "not wanted".to_owned() }),
            );
            loan.events = taken;
        }
        FoldOutput { failures, ..fold(input) }
    })
}

/// The fold itself.
pub(crate) fn fold(input: FoldInput) -> FoldOutput {
    let mut output = FoldOutput::default();
    for loan in input.loans {
        fold_loan(loan, input.now, &mut output);
    }
    output
}

fn fold_loan(loan: LoanWork, now: hpts::core::time::Timestamp, output: &mut FoldOutput) {
    let mut state = loan.state;
    let mut past = loan.past;
    let before = state.map_or(0, |state| state.version);
    for event in &loan.events {
        if state.is_some_and(|state| must_wait(&state, &past, event)) {
            break;
        }
        match post_event(state, loan.number_taken, &mut past, event, now) {
            Ok(step) => {
                state = step.state;
                output.postings.push(step.posting);
                output.system.extend(step.system);
            }
            Err(reason) => {
                output.failures.push(EventFailure { event: EventNames::of(event), reason });
                break;
            }
        }
    }
    output.states.extend(state.filter(|state| state.version > before));
}
