//! Owns fees: what a borrower is charged besides interest.

use std::fmt;

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::core::event::metadata::Metadata;
use crate::core::ids::{BorrowerId, EventId, LoanId};
use crate::core::loan::is_fee_code;
use crate::core::money::{Minor, Money};

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
        is_fee_code(text).then(|| Self(text.to_owned())).ok_or(FeeCodeError)
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

/// The payment that a late fee is charged for. The ledger keeps no schedule, so who charges the fee says what was due.
/// Stored among the details of the fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateFor {
    /// The first day whose payments count for it.
    pub period_from: NaiveDate,
    /// The day it was due.
    pub due_at: NaiveDate,
    /// How much was due; more than nothing.
    #[serde(rename = "due_minor")]
    pub due: Minor,
    /// How many days after that day it is still on time, as it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_days: Option<u16>,
    /// The same as the loan's program has it, where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_grace_days: Option<u16>,
}

impl LateFor {
    /// How many days after the due day a payment is still on time.
    #[must_use]
    pub fn grace(&self) -> u16 {
        self.grace_days.or(self.program_grace_days).unwrap_or(0)
    }

    /// The last day on which a payment is on time.
    #[must_use]
    pub fn on_time_until(&self) -> NaiveDate {
        self.due_at.checked_add_days(Days::new(u64::from(self.grace()))).unwrap_or(NaiveDate::MAX)
    }

    /// What makes it the same request: the contract's name of each field and its text.
    #[must_use]
    pub fn asked(&self) -> [(&'static str, Option<String>); 4] {
        [
            ("late_for.period_from", Some(self.period_from.to_string())),
            ("late_for.due_at", Some(self.due_at.to_string())),
            ("late_for.due_minor", Some(self.due.to_string())),
            ("late_for.grace_days", self.grace_days.map(|days| days.to_string())),
        ]
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
    /// Of a late fee: the payment that was late.
    pub late_for: Option<LateFor>,
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
