//! Owns uploads: operations that bring many payments at once and stand on no loan themselves.
//!
//! An upload takes its idempotency key like any other POST, so it is an event; it is never queued, and the api that
//! receives it finishes it. Its fingerprint covers what it is, not its rows: those are known only at its end.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::hold::HoldOperation;
use crate::core::event::review::Review;
use crate::core::ids::{BorrowerId, LoanId, PaymentBatchId};
use crate::core::money::Currency;
use crate::core::webhook::WebhookOperation;

/// Stands where a row names a loan: an upload is on none.
pub(super) const NO_LOAN: LoanId = LoanId(uuid::Uuid::nil());
/// Stands where a row names a borrower and there is none.
pub const NO_BORROWER: BorrowerId = BorrowerId(uuid::Uuid::nil());

/// What an upload does about rows it cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadMode {
    /// The good rows are taken; the others are named.
    BestEffort,
    /// All rows are accepted, or none.
    AllOrNothing,
}

impl UploadMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::BestEffort, Self::AllOrNothing];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "best_effort",
            Self::AllOrNothing => "all_or_nothing",
        }
    }

    /// Reads the contract's word; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What is uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadOperation {
    /// `POST /v1/payments/batch`.
    PaymentBatch {
        /// What becomes of rows that cannot be taken.
        mode: UploadMode,
    },
    /// `POST /v1/ach/feeds`: no rows, but finished by the api all the same.
    AchFeed {
        /// JSON of its settings.
        settings: String,
    },
    /// `POST /v1/programs`: no rows, but finished by the api all the same.
    Program {
        /// JSON of its terms.
        settings: String,
    },
    /// `POST /v1/ach/files`.
    AchFile {
        /// The feed it came through.
        feed: String,
    },
    /// `POST /v1/ach/files/{batch_id}/exceptions/{row}/post` and `/discard`: a decision about one row of a file.
    AchReview(Review),
    /// `POST /v1/bank-statements`.
    BankStatement {
        /// The bank account.
        bank_account_ref: String,
        /// The day of the statement.
        statement_date: NaiveDate,
        /// SHA-256 of all that it says, in hexadecimal digits.
        sha256: String,
    },
    /// `POST /v1/bank-statements/{statement_id}/lines/{line}/resolution`: a decision about one line.
    BankLineResolution {
        /// The statement.
        statement_id: PaymentBatchId,
        /// The line, from 1.
        line_no: i64,
        /// The event it is said to be, or the account it is posted on.
        target: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// `POST /v1/periods/{period}/close`: no rows.
    PeriodClose {
        /// The month, `YYYY-MM`.
        period: String,
        /// Why.
        reason: String,
    },
    /// `POST /v1/periods/{period}/reopen`: no rows.
    PeriodReopen {
        /// The month, `YYYY-MM`.
        period: String,
        /// Why.
        reason: String,
    },
    /// A loan stands still or goes on, or a parked event is discarded: no rows.
    Hold(HoldOperation),
    /// What is asked of a webhook endpoint: no rows, and finished by the api all the same.
    Webhook(WebhookOperation),
}

impl UploadOperation {
    /// The word it has in a fingerprint and in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::PaymentBatch { .. } => "payment_batch",
            Self::AchFeed { .. } => "ach_feed",
            Self::Program { .. } => "program",
            Self::AchFile { .. } => "ach_file",
            Self::AchReview(_) => "ach_review",
            Self::BankStatement { .. } => "bank_statement",
            Self::BankLineResolution { .. } => "bank_line_resolution",
            Self::PeriodClose { .. } => "period_close",
            Self::PeriodReopen { .. } => "period_reopen",
            Self::Hold(operation) => operation.as_str(),
            Self::Webhook(operation) => operation.as_str(),
        }
    }
}

/// An upload as the caller began it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What is uploaded.
    pub operation: UploadOperation,
    /// The tenant's own currency: rows have theirs.
    pub currency: Currency,
    /// The tenant's business date when it began.
    pub received_on: NaiveDate,
}
