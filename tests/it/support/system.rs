//! A fold with a consequence: what a re-split will look like once replay is built.

use std::sync::Arc;

use hpts::core::event::{AcceptedEvent, EventKind, NewEvent, Origin};
use hpts::core::ids::{EventId, KeyHash};
use hpts::core::ledger::{
    AccountCode, FoldOutput, JournalEntry, Layer, Line, Outcome, Posting, SystemPosting, chain_hash,
};
use hpts::core::loan::{Allocation, LoanState};
use hpts::core::money::Minor;
use hpts::store::Fold;
use uuid::Uuid;

use super::fold;

/// Posts payments, then moves `units` of each from principal to suspense by a system event.
pub(crate) fn resplitting(units: i64) -> Fold {
    Arc::new(move |input| {
        let events: Vec<AcceptedEvent> = input.loans.iter().flat_map(|loan| loan.events.clone()).collect();
        let mut output = fold::fold(input);
        for index in 0..output.postings.len() {
            let event = events.iter().find(|event| event.seq == output.postings[index].seq).unwrap();
            resplit(event, Minor::new(units), &mut output, index);
        }
        output
    })
}

fn resplit(cause: &AcceptedEvent, units: Minor, output: &mut FoldOutput, index: usize) {
    let first = output.postings[index].posting.clone();
    let state: &mut LoanState = output.states.iter_mut().find(|state| state.key == first.loan_key).unwrap();
    let split = first.allocation.unwrap();
    let id = EventId(Uuid::from_u128(cause.event.id.0.as_u128() ^ (1 << 60)));
    state.version += 1;
    state.balances.principal = state.balances.principal.plus(units).unwrap();
    state.balances.suspense = state.balances.suspense.plus(units).unwrap();
    let lines = vec![
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, units),
        Line::credit(AccountCode::BORROWER_SUSPENSE, units).unwrap(),
    ];
    let mut posting = Posting {
        event_id: id,
        loan_version: Some(state.version),
        outcome: Outcome::Posted,
        entry: Some(JournalEntry::new(lines, Layer::Settled).unwrap()),
        allocation: Some(Allocation {
            principal: split.principal.minus(units).unwrap(),
            suspense: split.suspense.plus(units).unwrap(),
            ..split
        }),
        restates_seq: Some(cause.seq),
        chain_hash: None,
        ..first
    };
    state.chain_head = chain_hash(&state.chain_head, cause.event.fingerprint, &posting);
    posting.chain_hash = Some(state.chain_head);
    let event = NewEvent {
        id,
        kind: EventKind::PaymentAllocated,
        key: None,
        key_hash: KeyHash::of_system_event(cause.event.id, cause.event.id, "resplit"),
        origin: Origin { cause_seq: Some(cause.seq), ..Origin::default() },
        slot: None,
        ..NewEvent::clone(&cause.event)
    };
    output.system.push(SystemPosting { event, posting });
}
