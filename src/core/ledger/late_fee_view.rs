//! Owns what is told of late fees: pure functions of what was found of them.

use serde::Serialize;

use crate::core::event::LateFor;
use crate::core::ids::EventId;
use crate::core::ledger::late_fees::FeeToReview;
use crate::core::money::Minor;

/// The payment that a late fee is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LateForView {
    /// The first day whose payments count.
    pub period_from: String,
    /// The day it was due.
    pub due_at: String,
    /// How many days after that day it is still on time.
    pub grace_days: u16,
    /// How much was due.
    pub due_minor: String,
    /// How much came in on time, where that was looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_minor: Option<String>,
}

impl From<&LateFor> for LateForView {
    fn from(late_for: &LateFor) -> Self {
        Self {
            period_from: late_for.period_from.to_string(),
            due_at: late_for.due_at.to_string(),
            grace_days: late_for.grace(),
            due_minor: late_for.due.to_string(),
            received_minor: None,
        }
    }
}

impl LateForView {
    /// With what came in on time.
    #[must_use]
    pub fn of(late_for: &LateFor, received: Minor) -> Self {
        Self { received_minor: Some(received.to_string()), ..Self::from(late_for) }
    }
}

/// A late fee that a late item has shown to be for a payment on time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeeToReviewView {
    /// The fee.
    pub fee_event_id: EventId,
    /// What sort of fee.
    pub fee_code: String,
    /// The day it counts from.
    pub effective_at: String,
    /// What was charged.
    pub amount_minor: String,
    /// The payment it was charged for.
    pub late_for: LateForView,
}

impl From<&FeeToReview> for FeeToReviewView {
    fn from(fee: &FeeToReview) -> Self {
        Self {
            fee_event_id: fee.item.event_id,
            fee_code: fee.item.sort.as_str().to_owned(),
            effective_at: fee.item.assessed_on.to_string(),
            amount_minor: fee.item.assessed.to_string(),
            late_for: LateForView::of(&fee.late_for, fee.received),
        }
    }
}
