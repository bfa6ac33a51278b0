//! Owns the shape of uploads: how one begins, goes on after a cut, ends, and what it has come to.
//!
//! An upload is received by one request at a time, the holder of its lease. Its rows become events by
//! [`Store::accept`](super::Store::accept), which raises what the upload has accepted in the same statement; rows that
//! make no event are kept as exceptions. Progress is read from counters, never by counting rows.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::core::event::{NewEvent, UploadOperation};
use crate::core::ids::{EventId, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::intake::KnownEvent;
use crate::store::read::EventStatus;
use crate::store::review::Resolved;

/// An upload that is about to begin, or to go on.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Its event, made by [`NewEvent::of_upload`]; the upload has the same id.
    pub event: NewEvent,
    /// The request that receives it.
    pub holder: Uuid,
    /// How long the request may be silent before another may take over.
    pub lease: Duration,
    /// The file whose rows it brings: it becomes this upload's, for good.
    pub file: Option<UploadedFile>,
}

/// A file on its way to become an upload. It is kept already.
#[derive(Clone, Debug)]
pub struct UploadedFile {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// The feed it comes through: a refused beginning may have kept it under another.
    pub feed: String,
    /// What it was kept as. It has to be that still: as long as a file is no upload, other bytes may take its identity.
    pub identity: Option<String>,
    /// JSON of what was found in it.
    pub summary: String,
}

/// Which upload is received by whom.
#[derive(Clone, Copy, Debug)]
pub struct UploadHold {
    /// The upload.
    pub id: PaymentBatchId,
    /// The request that receives it.
    pub holder: Uuid,
}

/// What an upload's beginning found.
#[derive(Clone, Debug)]
pub enum UploadBegun {
    /// It is new and held.
    New(UploadRecord),
    /// It was cut off; it is held, its exceptions are forgotten, and all its rows come again.
    Resumed(UploadRecord),
    /// Another request receives it.
    Busy(UploadRecord),
    /// It ended.
    Complete(UploadRecord),
    /// The key belongs to something else.
    Taken(Box<KnownEvent>),
    /// Nothing was written: the file became this other upload.
    FileTaken(PaymentBatchId),
    /// Nothing was written: the upload is another file's.
    OtherFile(UploadRecord),
}

/// Rows by what they came to; what was accepted is counted by the store itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// All rows.
    pub received: i64,
    /// Rows whose key was taken by the same payment.
    pub duplicates: i64,
    /// Rows whose key was taken by another payment.
    pub mismatched: i64,
    /// Rows that are no payment.
    pub invalid: i64,
}

/// An upload as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its id.
    pub id: PaymentBatchId,
    /// What is uploaded.
    pub operation: UploadOperation,
    /// When it began.
    pub created_at: Timestamp,
    /// When its last row was taken.
    pub completed_at: Option<Timestamp>,
    /// Its rows, once complete.
    pub rows: RowCounts,
    /// Over the fingerprints of its rows, once complete.
    pub fingerprint: Option<[u8; 32]>,
    /// The body its caller got, once complete.
    pub answer: Option<Vec<u8>>,
}

/// What an upload's end writes.
#[derive(Clone, Debug)]
pub struct UploadEnd {
    /// Its rows.
    pub rows: RowCounts,
    /// Over the fingerprints of its rows.
    pub fingerprint: [u8; 32],
    /// The body its caller gets.
    pub answer: Vec<u8>,
}

/// An upload whose rows are accepted together or not at all.
#[derive(Clone, Debug)]
pub struct WholeUpload {
    /// The upload.
    pub upload: NewUpload,
    /// For the counts of what was accepted.
    pub publisher: PublisherId,
    /// Its rows, with distinct keys.
    pub rows: Vec<NewEvent>,
    /// Its end.
    pub end: UploadEnd,
}

/// What became of a whole upload.
#[derive(Clone, Debug)]
pub enum WholeAccepted {
    /// All rows are accepted, in this order, and the upload is complete.
    All(Vec<(EventId, Seq)>),
    /// Nothing was written: these keys were taken before.
    Conflicts(Vec<KnownEvent>),
    /// Nothing was written: the upload's own key was taken before.
    Known(UploadBegun),
}

/// A row of an upload that made no event of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadException {
    /// The row, from 1.
    pub row_no: i64,
    /// Why: `duplicate`, `mismatched`, or the code of its failure.
    pub code: String,
    /// Its key, where it has one.
    pub idempotency_key: Option<String>,
    /// The payment that has the key.
    pub event_id: Option<EventId>,
    /// The row of this upload that has the key, or the row of another file that is the same entry.
    pub first_row_no: Option<i64>,
    /// That other file.
    pub first_batch_id: Option<PaymentBatchId>,
    /// Its amount, where it is known.
    pub amount: Option<Minor>,
    /// Its currency, where it is known.
    pub currency: Option<String>,
    /// JSON of its failing fields.
    pub errors: Option<String>,
    /// What a person decided about it, if one did.
    pub resolved: Option<Resolved>,
}

/// A number of payments and their sum, in minor units of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: i64,
    /// Their sum.
    pub amount: i128,
}

impl Tally {
    /// What is left of this without `other`.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self { count: self.count.saturating_sub(other.count), amount: self.amount.saturating_sub(other.amount) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), amount: self.amount.saturating_add(other.amount) }
    }
}

/// An upload's control totals in one currency: accepted = posted + rejected + parked + held + in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlTotals {
    /// Rows that became events.
    pub accepted: Tally,
    /// Of them posted.
    pub posted: Tally,
    /// Of them refused by a posting rule.
    pub rejected: Tally,
    /// Of them waiting for a person.
    pub parked: Tally,
    /// Of them waiting for a loan on hold.
    pub held: Tally,
    /// Of what was accepted: rows that were exceptions first, and that a person posted.
    pub reviewed: Tally,
}

impl ControlTotals {
    /// What is accepted and neither finished nor waiting for a person.
    #[must_use]
    pub fn in_flight(&self) -> Tally {
        self.accepted.less(self.posted).less(self.rejected).less(self.parked).less(self.held)
    }

    /// The tally of a stored word; `None` for any other.
    pub(crate) fn tally_mut(&mut self, word: &str) -> Option<&mut Tally> {
        match word {
            "accepted" => Some(&mut self.accepted),
            "posted" => Some(&mut self.posted),
            "rejected" => Some(&mut self.rejected),
            "parked" => Some(&mut self.parked),
            "held" => Some(&mut self.held),
            "reviewed" => Some(&mut self.reviewed),
            _ => None,
        }
    }
}

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// The upload.
    pub record: UploadRecord,
    /// By currency.
    pub totals: BTreeMap<Currency, ControlTotals>,
    /// When its newest row was posted or rejected.
    pub last_posted_at: Option<Timestamp>,
    /// The database's clock.
    pub now: Timestamp,
}

/// Some of an upload's rows, each list in row order.
#[derive(Clone, Debug, Default)]
pub struct UploadRows {
    /// Rows that became events.
    pub events: Vec<EventStatus>,
    /// Rows that did not.
    pub exceptions: Vec<UploadException>,
}

/// Which upload to read.
#[derive(Clone, Copy, Debug)]
pub struct UploadRef {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: PaymentBatchId,
}
