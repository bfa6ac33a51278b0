//! Owns the answer to a write: one pure function of the event and its posting. First answer, replay, status and
//! webhook all come from it, so that a replayed answer equals the first to the byte.

use serde::Serialize;

use crate::core::event::{EventKind, NamedId};
use crate::core::ids::{EntryId, EventId};
use crate::core::ledger::followed::RefusedFee;
use crate::core::ledger::late_fee_view::FeeToReviewView;
use crate::core::ledger::posting::{Finished, Outcome, RejectionCode};
use crate::core::ledger::restated::RestatedView;
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

/// The body of a 201, per kind of event: the event's id stands under the kind's own name. A reversal names its entry and
/// what it takes back instead, as the contract has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The event.
    #[serde(flatten)]
    pub event: Option<NamedId>,
    /// The entry; absent when the event moved nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_entry_id: Option<EntryId>,
    /// The entry that a reversal takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverses_entry_id: Option<EntryId>,
    /// How money that came in, or suspense, was divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationView>,
    /// The fee that a return brought with it, or that a waiver names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_event_id: Option<EventId>,
    /// Why a fee that the loan's program asks for was not charged with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_refused: Option<RefusedFee>,
    /// How much suspense was transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<String>,
    /// How many loans an accrual batch concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loan_count: Option<u32>,
    /// The interest of all loans of an accrual batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_accrued_minor: Option<String>,
    /// The earlier events that do something else now, in their order; only where it came late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restated: Vec<RestatedView>,
    /// The late fees that it has shown to be for payments on time; only where it came late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fees_to_review: Vec<FeeToReviewView>,
    /// When it was posted, RFC 3339 in UTC.
    pub posted_at: String,
    /// The first event of a reversal's chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<EventId>,
}

/// The answer of a finished event.
///
/// # Errors
/// The rejection code of an event that a posting rule refused.
pub fn answer(kind: EventKind, id: EventId, finished: &Finished) -> Result<Answer, RejectionCode> {
    match finished.outcome {
        Outcome::Rejected(code) => Err(code),
        Outcome::Posted | Outcome::Done => {
            let mut answer = Answer {
                event: (kind != EventKind::Reversal).then_some(NamedId { kind, id }),
                journal_entry_id: finished.has_entry.then(|| id.entry_id()),
                reverses_entry_id: finished.reverses_entry_id,
                allocation: finished.allocation.as_ref().map(AllocationView::from),
                fee_event_id: finished.fee_event_id,
                fee_refused: None,
                amount_minor: None,
                loan_count: None,
                total_accrued_minor: None,
                restated: Vec::new(),
                fees_to_review: Vec::new(),
                posted_at: finished.posted_at.to_string(),
                correlation_id: finished.correlation_id,
            };
            if kind == EventKind::Accrual {
                answer.loan_count = finished.loan_count;
                answer.total_accrued_minor = answer.allocation.take().map(|moved| moved.interest_minor);
            } else if kind == EventKind::SuspenseTransferred {
                answer.amount_minor = answer.allocation.take().map(|moved| moved.suspense_minor);
            } else if matches!(kind, EventKind::Refinance | EventKind::Restructure) {
                // What was moved is what was asked, and no split of a payment.
                answer.allocation = None;
            }
            Ok(answer)
        }
    }
}
