//! Owns fees: what a borrower is charged besides interest.

use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::metadata::Metadata;
use crate::core::ids::{BorrowerId, EventId, LoanId};
use crate::core::money::Money;

/// A text is not a fee code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 lower-case letters, digits and underscores")]
pub struct FeeCodeError;

/// What sort of fee it is: `^[a-z0-9_]{1,64}$`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeeCode(String);

impl TryFrom<String> for FeeCode {
    type Error = FeeCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<FeeCode> for String {
    fn from(code: FeeCode) -> Self {
        code.0
    }
}

impl FeeCode {
    /// Reads a code.
    ///
    /// # Errors
    /// [`FeeCodeError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FeeCodeError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let well_formed = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        well_formed.then(|| Self(text.to_owned())).ok_or(FeeCodeError)
    }

    /// Of a payment that the bank took back.
    #[must_use]
    pub fn returned_payment() -> Self {
        Self("returned_payment".to_owned())
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FeeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fee charged to a loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// The loan it is charged to.
    pub loan_id: LoanId,
    /// Who owes it.
    pub borrower_id: BorrowerId,
    /// How much; more than nothing.
    pub amount: Money,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// What sort.
    pub fee_code: FeeCode,
    /// The day it is due; payments can pay it from its own day on.
    pub due_on: Option<NaiveDate>,
    /// The event it is charged for, where there is one: the first of the chain that the fee belongs to.
    pub charged_for: Option<EventId>,
    /// Free data.
    pub metadata: Option<Metadata>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fee_codes_are_words_of_ours() {
        let ours = FeeCode::returned_payment();
        assert_eq!(FeeCode::parse(ours.as_str()), Ok(ours));
        for bad in ["", "NSF", "a b", "a-b", "é", &"a".repeat(65)] {
            assert_eq!(FeeCode::parse(bad), Err(FeeCodeError), "{bad:?}");
        }
    }
}
