//! Owns the answer to a write: one pure function of the event and its posting. First answer, replay, status and
//! webhook all come from it, so that a replayed answer equals the first to the byte.

use serde::Serialize;

use crate::core::event::EventKind;
use crate::core::ids::{EntryId, EventId};
use crate::core::ledger::posting::{Finished, Outcome, RejectionCode};
use crate::core::loan::Allocation;

/// A payment's split as the contract shows it: digit strings in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllocationView {
    /// Paid on fees.
    pub fees_minor: String,
    /// Paid on interest.
    pub interest_minor: String,
    /// Paid on principal.
    pub principal_minor: String,
    /// Kept in suspense.
    pub suspense_minor: String,
}

impl From<&Allocation> for AllocationView {
    fn from(split: &Allocation) -> Self {
        Self {
            fees_minor: split.fees.to_string(),
            interest_minor: split.interest.to_string(),
            principal_minor: split.principal.to_string(),
            suspense_minor: split.suspense.to_string(),
        }
    }
}

/// The body of a 201, per kind of event: the event's id stands under the kind's own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Of a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_event_id: Option<EventId>,
    /// Of a disbursement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disbursement_event_id: Option<EventId>,
    /// Of a loan's registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loan_event_id: Option<EventId>,
    /// Of a payment's return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_returned_event_id: Option<EventId>,
    /// Of a consequence that has no name of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// The entry; absent when the event moved nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_entry_id: Option<EntryId>,
    /// The split of a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationView>,
    /// Of a fee; beside a return's own id, that of the fee it brought with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_event_id: Option<EventId>,
    /// When it was posted, RFC 3339 in UTC.
    pub posted_at: String,
}

impl Answer {
    /// The event's id, under whichever name.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        let of_caller = self.payment_event_id.or(self.disbursement_event_id).or(self.loan_event_id);
        of_caller.or(self.payment_returned_event_id).or(self.event_id).or(self.fee_event_id)
    }

    /// An answer that names the event and nothing else, for the kind's field name.
    fn naming(kind: EventKind, id: EventId, posted_at: String) -> Self {
        let mut answer = Self {
            payment_event_id: None,
            disbursement_event_id: None,
            loan_event_id: None,
            payment_returned_event_id: None,
            event_id: None,
            journal_entry_id: None,
            allocation: None,
            fee_event_id: None,
            posted_at,
        };
        match kind {
            EventKind::PaymentReceived | EventKind::UnidentifiedReceipt => answer.payment_event_id = Some(id),
            EventKind::Disbursement => answer.disbursement_event_id = Some(id),
            EventKind::LoanOpened => answer.loan_event_id = Some(id),
            EventKind::PaymentAllocated | EventKind::Upload => answer.event_id = Some(id),
            EventKind::PaymentReturned => answer.payment_returned_event_id = Some(id),
            EventKind::FeeAssessed => answer.fee_event_id = Some(id),
        }
        answer
    }
}

/// The answer of a finished event.
///
/// # Errors
/// The rejection code of an event that a posting rule refused.
pub fn answer(kind: EventKind, id: EventId, finished: &Finished) -> Result<Answer, RejectionCode> {
    match finished.outcome {
        Outcome::Rejected(code) => Err(code),
        Outcome::Posted | Outcome::Done => {
            let mut answer = Answer::naming(kind, id, finished.posted_at.to_string());
            answer.journal_entry_id = finished.has_entry.then(|| id.entry_id());
            answer.allocation = finished.allocation.as_ref().map(AllocationView::from);
            answer.fee_event_id = answer.fee_event_id.or(finished.fee_event_id);
            Ok(answer)
        }
    }
}
