//! Owns the review of exceptions of files: what waits for a person, and how it ends.
//!
//! Every row of a file that was neither posted nor is on its way is an exception. It is open until a person has its
//! entry posted or discards it. What a review posts becomes a row of the file in the same transaction that resolves the
//! exception, so at every moment a file's rows are what was accepted and what is an exception, in count and in cents.
//!
//! A row that was accepted and that a posting rule refused is no exception and stays rejected. The bank has moved its money
//! all the same, so it waits for a person, who says when it is dealt with.

use async_trait::async_trait;

use crate::core::event::{NewEvent, Resolution};
use crate::core::ids::{EventId, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::core::ledger::RejectionCode;
use crate::core::money::Money;
use crate::core::time::Timestamp;
use crate::store::ach::FileRow;
use crate::store::intake::KnownEvent;
use crate::store::uploads::{NewUpload, Tally, UploadBegun, UploadException, UploadProgress, UploadRef};
use crate::store::{FileRecord, StoreError};

/// How an exception ended, and who ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// How.
    pub resolution: Resolution,
    /// Why.
    pub reason: String,
    /// The client that said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An exception with the file it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileException {
    /// The file, and the row in it.
    pub row: FileRow,
    /// The feed it came through.
    pub feed: String,
    /// When the file came.
    pub received_at: Timestamp,
    /// What is wrong.
    pub exception: UploadException,
    /// Whether the file's last row was taken: until then it may be forgotten again.
    pub is_received: bool,
}

/// A place in the list of open exceptions: after this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionPlace {
    /// Its reason.
    pub code: String,
    /// Its row.
    pub row: FileRow,
}

/// Which open exceptions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExceptionsFilter {
    /// For this reason.
    pub code: Option<String>,
    /// Of this feed.
    pub feed: Option<String>,
    /// After this one.
    pub after: Option<ExceptionPlace>,
    /// The most rows; the store returns up to one more, to tell whether there is a next page.
    pub limit: i64,
}

/// Exceptions of a file for one reason, by how they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionTally {
    /// The reason.
    pub code: String,
    /// How they ended; `None` for those that are open.
    pub resolution: Option<Resolution>,
    /// How many, and their cents.
    pub tally: Tally,
}

/// A file, with everything that adds up to it, read in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTotals {
    /// The file.
    pub file: FileRecord,
    /// What was accepted, and how far it has come.
    pub progress: UploadProgress,
    /// What is an exception, by reason; what a person posted is not among it.
    pub exceptions: Vec<ExceptionTally>,
    /// The first rows that a posting rule refused, in row order; none while rows are in flight.
    pub rejected: Vec<RejectedRow>,
}

/// The most rejected rows that are told of a file.
pub(crate) const REJECTED_MAX: i64 = 100;

/// A row of a file that was accepted, and that a posting rule refused: the bank has moved its money all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// The row, from 1.
    pub row_no: i64,
    /// Its event.
    pub event_id: EventId,
    /// Why.
    pub code: RejectionCode,
    /// How much.
    pub money: Option<Money>,
    /// How it ended, if a person has dealt with it.
    pub resolved: Option<Resolved>,
}

/// A rejected row with the file it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRejection {
    /// The file.
    pub file: PaymentBatchId,
    /// The feed it came through.
    pub feed: String,
    /// When the file came.
    pub received_at: Timestamp,
    /// The row's key.
    pub key: Option<String>,
    /// The row.
    pub rejected: RejectedRow,
}

impl FileRejection {
    /// Where it stands.
    #[must_use]
    pub const fn row(&self) -> FileRow {
        FileRow { batch: self.file, row_no: self.rejected.row_no }
    }
}

/// Which rejected rows to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectionsFilter {
    /// Of this feed.
    pub feed: Option<String>,
    /// After this one.
    pub after: Option<FileRow>,
    /// The most rows; the store returns up to one more, to tell whether there is a next page.
    pub limit: i64,
}

/// Whether a file's rejected rows are to be read.
pub(super) fn has_rejected(progress: &UploadProgress) -> bool {
    let totals = || progress.totals.values();
    totals().all(|totals| totals.in_flight().count == 0) && totals().any(|totals| totals.rejected.count > 0)
}

/// A decision about one exception, or about one rejected row.
#[derive(Clone, Debug)]
pub struct NewReview {
    /// The operation: its event, made by [`NewEvent::of_upload`].
    pub upload: NewUpload,
    /// For the counts of what was accepted.
    pub publisher: PublisherId,
    /// The row.
    pub row: FileRow,
    /// The event that a posting rule refused, where the row is a rejected one; `None` for an exception.
    pub rejected: Option<EventId>,
    /// How it ends.
    pub resolution: Resolution,
    /// Why.
    pub reason: String,
    /// What is posted, as a row of the file; `None` where it is discarded.
    pub event: Option<NewEvent>,
    /// The body the caller gets.
    pub answer: Vec<u8>,
}

/// What became of a review.
#[derive(Clone, Debug)]
pub enum ReviewDone {
    /// It is decided; with the event that is posted, where one is.
    Decided(Option<(EventId, Seq)>),
    /// Nothing was written: somebody decided before.
    Resolved(Resolved),
    /// Nothing was written: the row's key belongs to another event.
    RowTaken(Box<KnownEvent>),
    /// Nothing was written: the review's own key was taken before.
    Known(UploadBegun),
    /// Nothing was written: there is no such exception or rejected row.
    Gone,
}

/// Reads of exceptions, and the one write that ends one.
#[async_trait]
pub trait Reviews {
    /// A file with its totals and those of its exceptions, in one snapshot.
    async fn file_totals(&self, upload: UploadRef) -> Result<Option<FileTotals>, StoreError>;

    /// The hash and the bytes of an upload's file.
    async fn file_bytes(&self, upload: UploadRef) -> Result<Option<([u8; 32], Vec<u8>)>, StoreError>;

    /// An exception of a file, open or not.
    async fn exception(&self, tenant: TenantId, row: FileRow) -> Result<Option<FileException>, StoreError>;

    /// The open exceptions of a tenant: by reason, oldest file first, in row order.
    async fn exceptions(&self, tenant: TenantId, filter: ExceptionsFilter) -> Result<Vec<FileException>, StoreError>;

    /// The open exceptions of a tenant for one reason, the newest file first and its last row first: at most `limit`, in
    /// front of a row.
    async fn newest_exceptions(
        &self,
        tenant: TenantId,
        code: &str,
        before: Option<FileRow>,
        limit: i64,
    ) -> Result<Vec<FileException>, StoreError>;

    /// A row of a file that a posting rule refused, ended or not. Of several of one number, which a cut may leave, the
    /// first that is not.
    async fn rejection(&self, tenant: TenantId, row: FileRow) -> Result<Option<FileRejection>, StoreError>;

    /// The rows of a tenant's files that a posting rule refused and that nobody has ended: oldest file first, in row order,
    /// also of files of which rows are in flight.
    async fn rejections(&self, tenant: TenantId, filter: RejectionsFilter) -> Result<Vec<FileRejection>, StoreError>;

    /// Ends an exception or a rejected row, in one short transaction that holds its row: of several who decide at once the
    /// first does. What it posts is accepted as a row of the file, numbered like any other event.
    async fn review(&self, review: NewReview) -> Result<ReviewDone, StoreError>;
}
