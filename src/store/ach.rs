//! Owns the shape of what ACH files need of the store: feeds, files with their bytes, loans by their numbers, and the
//! payments that returns name.

use bytes::Bytes;
use chrono::NaiveDate;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{BorrowerId, LoanId, PaymentBatchId, TenantId};
use crate::core::ledger::RejectionCode;
use crate::core::loan::LoanStatus;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;

/// A feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRecord {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// JSON of its settings.
    pub settings: String,
}

/// A file that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Whose.
    pub tenant: TenantId,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// The feed it came through.
    pub feed: String,
    /// What its header says it is; `None` for a file that is refused or has no header.
    pub identity: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

/// What a file met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKept {
    /// Nothing: it is kept.
    New,
    /// The same bytes, with the upload they became, if they did.
    Same(Option<PaymentBatchId>),
    /// Other bytes under the same identity, with the upload they became.
    Conflict(PaymentBatchId),
}

/// A file as the store holds it, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// The feed it came through.
    pub feed: String,
    /// What its header says it is.
    pub identity: Option<String>,
    /// When it came.
    pub received_at: Timestamp,
    /// JSON of what was found in it.
    pub summary: Option<String>,
}

/// A loan found by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedLoan {
    /// The number, without leading zeros.
    pub number: String,
    /// The loan.
    pub loan_id: LoanId,
    /// Who owes.
    pub borrower_id: BorrowerId,
    /// Its currency.
    pub currency: Currency,
    /// What it takes at all.
    pub status: LoanStatus,
    /// The first day that it takes anything for.
    pub opened_on: NaiveDate,
    /// Whether it is on a hold that refuses what comes.
    pub refuses: bool,
}

impl NumberedLoan {
    /// Why a payment of this day would be rejected, as far as the loan tells now; `None` where it would be posted.
    #[must_use]
    pub fn refusal(&self, effective_date: NaiveDate) -> Option<RejectionCode> {
        match self.status {
            LoanStatus::WrittenOff => Some(RejectionCode::LoanClosed),
            LoanStatus::Open | LoanStatus::ChargedOff if effective_date < self.opened_on => {
                Some(RejectionCode::EffectiveBeforeOpening)
            }
            LoanStatus::Open | LoanStatus::ChargedOff => self.refuses.then_some(RejectionCode::LoanOnHold),
        }
    }
}

/// What a return names, and a payment of a file is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryMark {
    /// Trace number of the payment.
    pub trace: String,
    /// Its amount.
    pub amount: Minor,
    /// The account it was taken from.
    pub account: String,
    /// The company it was collected for.
    pub company_id: String,
}

/// A payment of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedRow {
    /// Its row in the upload.
    pub row_no: i64,
    /// What a return will name.
    pub mark: EntryMark,
    /// How the sender knows the payer. With the mark and the day it tells whether another file had the entry.
    pub individual_id: String,
    /// The day the sender asked for.
    pub effective_entry_date: Option<NaiveDate>,
}

/// A payment of a file that has what a return names.
#[derive(Clone, Debug)]
pub struct MarkedPayment {
    /// The payment, or the receipt that it became.
    pub event: AcceptedEvent,
    /// The day that its sender asked for, where it is known.
    pub effective_entry_date: Option<NaiveDate>,
    /// Whether money of it can go back: nothing has undone it, and its charge-backs do not come to all of it.
    pub stands: bool,
    /// Of a receipt: whether it is assigned to a loan now.
    pub is_assigned: bool,
}

/// A payment of a file that another file had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Its row in the upload.
    pub row_no: i64,
    /// The entry of the other file.
    pub first: FileRow,
}

/// A row of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileRow {
    /// The upload that the file became.
    pub batch: PaymentBatchId,
    /// The row, from 1.
    pub row_no: i64,
}
