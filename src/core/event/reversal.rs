//! Owns what a reversal says: which entry it takes back, and why.

use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::kind::EventKind;
use crate::core::event::servicing::EarlierEvent;
use crate::core::ids::EventId;

/// Why an entry is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReversalReason {
    /// Somebody made a mistake.
    ErrorCorrection,
    /// It was entered twice.
    Duplicate,
    /// The borrower disputes it.
    BorrowerDispute,
    /// The money went back.
    Returned,
    /// Fraud.
    Fraud,
    /// Something else; the description says what.
    Other,
}

impl ReversalReason {
    /// Every reason, in the contract's order.
    pub const ALL: [Self; 6] =
        [Self::ErrorCorrection, Self::Duplicate, Self::BorrowerDispute, Self::Returned, Self::Fraud, Self::Other];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ErrorCorrection => "error_correction",
            Self::Duplicate => "duplicate",
            Self::BorrowerDispute => "borrower_dispute",
            Self::Returned => "returned",
            Self::Fraud => "fraud",
            Self::Other => "other",
        }
    }
}

/// A text is not a reason for a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be error_correction, duplicate, borrower_dispute, returned, fraud or other")]
pub struct UnknownReversalReason;

impl FromStr for ReversalReason {
    type Err = UnknownReversalReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReversalReason)
    }
}

/// The entry that a reversal takes back, as it was read at acceptance, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReversedEntry {
    /// The entry's event.
    #[serde(flatten)]
    pub event: EarlierEvent,
    /// What sort of event.
    pub kind: EventKind,
    /// The day the entry counts from, and with it the reversal.
    pub effective_date: NaiveDate,
    /// The first event of the chain that the entry belongs to.
    pub correlation_id: EventId,
    /// Why.
    pub reason_code: ReversalReason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_description: Option<String>,
}
