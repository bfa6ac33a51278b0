//! Owns what a person decides about a loan that is to stand still, and about an event that cannot be posted.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::ids::{EventId, LoanId};

/// A stored word is not a mode of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode of a hold")]
pub struct UnknownHoldMode;

/// What becomes of the events of a loan on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldMode {
    /// They wait, and are posted in order once the loan is released.
    Wait,
    /// They are rejected, `loan_on_hold`.
    Refuse,
}

impl HoldMode {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
        }
    }

    /// From the contract's `refuse`.
    #[must_use]
    pub const fn of(refuse: bool) -> Self {
        if refuse { Self::Refuse } else { Self::Wait }
    }

    /// Whether it refuses.
    #[must_use]
    pub fn refuses(self) -> bool {
        self == Self::Refuse
    }
}

impl FromStr for HoldMode {
    type Err = UnknownHoldMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Wait, Self::Refuse].into_iter().find(|mode| mode.as_str() == text).ok_or(UnknownHoldMode)
    }
}

/// `POST /v1/loans/{loan_id}/hold` and `/release`, and `hpts parked discard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOperation {
    /// The loan stands still.
    Hold {
        /// Which loan.
        loan_id: LoanId,
        /// What becomes of its events.
        mode: HoldMode,
        /// Why.
        reason: String,
    },
    /// The loan goes on, with what waited.
    Release {
        /// Which loan.
        loan_id: LoanId,
        /// Why.
        reason: String,
    },
    /// A parked event is never posted.
    Discard {
        /// Which event.
        event_id: EventId,
        /// Why.
        reason: String,
    },
}

impl HoldOperation {
    /// The word it has in a fingerprint and in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "loan_hold",
            Self::Release { .. } => "loan_release",
            Self::Discard { .. } => "parked_discard",
        }
    }

    /// What makes it the same request, by the names of the contract.
    #[must_use]
    pub fn asked(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Hold { loan_id, mode, reason } => vec![
                ("loan_id", loan_id.to_string()),
                ("refuse", mode.refuses().to_string()),
                ("reason", reason.clone()),
            ],
            Self::Release { loan_id, reason } => vec![("loan_id", loan_id.to_string()), ("reason", reason.clone())],
            Self::Discard { event_id, reason } => vec![("event_id", event_id.to_string()), ("reason", reason.clone())],
        }
    }

    /// The names of what another request asks differently.
    pub(super) fn differing(&self, other: &Self) -> Vec<&'static str> {
        if self.as_str() != other.as_str() {
            return vec!["operation"];
        }
        let both = self.asked().into_iter().zip(other.asked());
        both.filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_differs_is_named() {
        let hold = |mode, reason: &str| HoldOperation::Hold {
            loan_id: LoanId(Uuid::from_u128(1)),
            mode,
            reason: reason.to_owned(),
        };
        let release = HoldOperation::Release { loan_id: LoanId(Uuid::from_u128(1)), reason: "over".to_owned() };
        let dispute = hold(HoldMode::Wait, "dispute");
        assert_eq!(dispute.differing(&dispute), Vec::<&str>::new());
        assert_eq!(dispute.differing(&hold(HoldMode::Refuse, "fraud")), ["refuse", "reason"]);
        assert_eq!(dispute.differing(&release), ["operation"]);
    }

    #[test]
    fn modes_read_back() {
        for mode in [HoldMode::Wait, HoldMode::Refuse] {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            assert_eq!(HoldMode::of(mode.refuses()), mode);
        }
        assert_eq!("held".parse::<HoldMode>(), Err(UnknownHoldMode));
    }
}
