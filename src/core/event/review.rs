//! Owns what a person decides about an entry of a file that was not posted by itself.
//!
//! A review takes an idempotency key like any other POST, so it is an operation that the api finishes itself; the payment
//! that it posts is an event of its own, under the key of its row, so that an entry is posted once whoever decides.

use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::ids::PaymentBatchId;

/// A stored word is not a resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown resolution")]
pub struct UnknownResolution;

/// How an exception ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Its entry was posted.
    Posted,
    /// Nothing is to be posted.
    Discarded,
}

impl Resolution {
    /// The stored word, and that of answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Discarded => "discarded",
        }
    }
}

impl FromStr for Resolution {
    type Err = UnknownResolution;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Posted, Self::Discarded].into_iter().find(|it| it.as_str() == text).ok_or(UnknownResolution)
    }
}

/// A decision about one row of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The file, as its upload was answered.
    pub batch_id: PaymentBatchId,
    /// The row, from 1.
    pub row_no: i64,
    /// What was decided.
    pub resolution: Resolution,
    /// Why.
    pub reason: String,
    /// The day it counts from, where the person says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<NaiveDate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_read_back() {
        for resolution in [Resolution::Posted, Resolution::Discarded] {
            assert_eq!(resolution.as_str().parse(), Ok(resolution));
        }
        assert_eq!("held".parse::<Resolution>(), Err(UnknownResolution));
    }
}
