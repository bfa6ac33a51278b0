//! Owns the statements of ACH feeds and files.

mod marks;

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::{PostgresStore, begin, finish};
use super::error::classify;
use super::rows::{self, Columns, event_columns};
use crate::core::ids::{BorrowerId, LoanId, PaymentBatchId, TenantId};
use crate::store::{
    EntryMark, FeedRecord, FileKept, FileRecord, MarkedPayment, NewFile, NumberedLoan, StoreError, UploadRef,
    UploadedFile,
};

pub(super) use marks::{COPY_ENTRIES, STATEMENTS as MARK_STATEMENTS};

const INSERT_FEED: &str =
    "INSERT INTO ach_feeds (tenant, name, settings) VALUES ($1, $2, $3) ON CONFLICT (tenant, name) DO NOTHING";

const READ_FEED: &str = "SELECT name, settings FROM ach_feeds WHERE tenant = $1 AND name = $2";

const READ_FEEDS: &str = "SELECT name, settings FROM ach_feeds WHERE tenant = $1 ORDER BY name";

/// A refused file gives way when it comes again under a feed that takes it.
const KEEP_FILE: &str = "INSERT INTO ach_files (tenant, sha256, feed, identity, received_at, bytes) \
     VALUES ($1, $2, $3, $4, clock_timestamp(), $5) ON CONFLICT (tenant, sha256) DO UPDATE \
     SET feed = excluded.feed, identity = excluded.identity \
     WHERE ach_files.identity IS NULL AND ach_files.batch_id IS NULL";

/// Another file of an identity gives it up as long as it is no upload. One that begins at the same time is waited for.
const GIVE_UP_IDENTITY: &str = "UPDATE ach_files SET identity = NULL \
     WHERE tenant = $1 AND identity = $2 AND sha256 <> $3 AND batch_id IS NULL";

/// What stands in the way of a file: its own bytes first, unless they were refused or have lost their identity.
const READ_FILE_KEPT: &str = "SELECT sha256 = $2, batch_id FROM ach_files WHERE tenant = $1 AND \
     (sha256 = $2 AND (identity IS NOT NULL OR batch_id IS NOT NULL) OR identity = $3 AND batch_id IS NOT NULL) \
     ORDER BY 1 DESC LIMIT 1";

/// Of several that bring the same bytes the first goes on; the others wait here and then see whose they are.
const LINK_FILE: &str = "UPDATE ach_files AS f SET batch_id = $3, summary = $4, feed = $5 WHERE f.tenant = $1 \
     AND f.sha256 = $2 AND (f.batch_id = $3 OR f.batch_id IS NULL AND f.identity IS NOT DISTINCT FROM $6) \
     AND NOT EXISTS (SELECT FROM ach_files o WHERE o.batch_id = $3 AND o.sha256 <> $2)";

const READ_FILE_UPLOAD: &str =
    "SELECT batch_id FROM ach_files WHERE tenant = $1 AND sha256 = $2 AND batch_id IS NOT NULL AND batch_id <> $3";

const READ_IDENTITY: &str = "SELECT identity FROM ach_files WHERE tenant = $1 AND sha256 = $2";

const DESCRIBE_FILE: &str = "UPDATE ach_files SET summary = $3 WHERE tenant = $1 AND batch_id = $2";

pub(super) const READ_FILE: &str =
    "SELECT sha256, feed, identity, received_at, summary FROM ach_files WHERE tenant = $1 AND batch_id = $2";

const READ_NUMBERED: &str = "SELECT l.loan_number_comparable, l.loan_id, l.borrower_id, l.currency, l.status, \
     l.opened_on, l.on_hold AND EXISTS (SELECT FROM refusing_holds r WHERE r.loan_key = l.loan_key) \
     AND NOT EXISTS (SELECT FROM holds h WHERE h.loan_key = l.loan_key) \
     FROM unnest($2::text[]) AS n (number) CROSS JOIN LATERAL (SELECT l.loan_number_comparable, l.loan_id, \
     l.borrower_id, l.currency, l.status, l.opened_on, l.on_hold, l.loan_key FROM loans l WHERE l.tenant = $1 AND l.loan_number_comparable = n.number OFFSET 0) AS l";

/// Payments that have what a return names, newest first, and whether they stand: nothing has undone them, and their
/// charge-backs, as far as those stand, do not come to all of their money.
const MATCH_ENTRIES: &str = concat!(
    "SELECT n.place, ",
    event_columns!(),
    ", a.effective_entry_date, NOT EXISTS (SELECT FROM postings u WHERE u.undoes_seq = e.seq) \
     AND e.amount > (SELECT coalesce(sum(c.amount), 0) FROM events c \
     JOIN postings p ON p.event_seq = c.seq AND p.outcome = 'posted' \
     WHERE c.loan_key = e.loan_key AND c.seq > e.seq AND c.kind = 'payment_returned' \
     AND (c.details::json ->> 'payment_seq')::bigint = e.seq \
     AND NOT EXISTS (SELECT FROM postings r WHERE r.undoes_seq = c.seq)), \
     e.kind = 'unidentified_receipt' AND coalesce((SELECT s.alloc_principal IS NOT NULL FROM postings s \
     WHERE s.restates_seq = e.seq ORDER BY s.posted_at DESC, s.loan_version DESC LIMIT 1), false) \
     FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) \
     WITH ORDINALITY AS n (trace, amount, account, company_id, place) \
     JOIN ach_entries a ON a.tenant = $1 AND a.trace = n.trace AND a.amount = n.amount \
     AND a.account = n.account AND a.company_id = n.company_id \
     JOIN events e ON e.batch_id = a.batch_id AND e.row_no = a.row_no AND e.tenant = $1 \
     ORDER BY n.place, e.seq DESC"
);

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 13] = [
    ("insert_feed", INSERT_FEED),
    ("read_feed", READ_FEED),
    ("read_feeds", READ_FEEDS),
    ("keep_file", KEEP_FILE),
    ("give_up_identity", GIVE_UP_IDENTITY),
    ("read_file_kept", READ_FILE_KEPT),
    ("link_file", LINK_FILE),
    ("read_file_upload", READ_FILE_UPLOAD),
    ("read_identity", READ_IDENTITY),
    ("describe_file", DESCRIBE_FILE),
    ("read_file", READ_FILE),
    ("read_numbered", READ_NUMBERED),
    ("match_entries", MATCH_ENTRIES),
];

/// How often a file is kept anew that others of its identity are in the way of, which then took nothing.
const KEPT_TRIES: u32 = 5;

impl PostgresStore {
    pub(super) async fn insert_feed(&self, feed: FeedRecord) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(INSERT_FEED).bind(feed.tenant.0).bind(feed.name).bind(feed.settings);
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn read_feed(&self, tenant: TenantId, name: String) -> Result<Option<FeedRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_FEED).bind(tenant.0).bind(name);
        let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
        row.as_ref().map(|row| feed(tenant, row)).transpose()
    }

    pub(super) async fn read_feeds(&self, tenant: TenantId) -> Result<Vec<FeedRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_FEEDS).bind(tenant.0).fetch_all(&mut *connection).await.map_err(classify)?;
        rows.iter().map(|row| feed(tenant, row)).collect()
    }

    pub(super) async fn insert_file(&self, file: NewFile) -> Result<FileKept, StoreError> {
        let mut connection = self.connection().await?;
        for _ in 0..KEPT_TRIES {
            if keep(&mut connection, &file).await? {
                return Ok(FileKept::New);
            }
            if let Some(kept) = in_the_way(&mut connection, &file).await? {
                return Ok(kept);
            }
        }
        Err(StoreError::Retry("so many files of one identity come at once".into()))
    }

    pub(super) async fn set_file_summary(&self, upload: UploadRef, summary: String) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(DESCRIBE_FILE).bind(upload.tenant.0).bind(upload.id.0).bind(summary);
        query.execute(&mut *connection).await.map_err(classify).map(drop)
    }

    pub(super) async fn read_file(&self, upload: UploadRef) -> Result<Option<FileRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_FILE).bind(upload.tenant.0).bind(upload.id.0);
        query.fetch_optional(&mut *connection).await.map_err(classify)?.as_ref().map(file).transpose()
    }

    pub(super) async fn read_numbered(
        &self,
        tenant: TenantId,
        numbers: Vec<String>,
    ) -> Result<Vec<NumberedLoan>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_NUMBERED).bind(tenant.0).bind(numbers);
        let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
        let loan = |row: &PgRow| {
            let mut columns = Columns::of(row);
            Ok(NumberedLoan {
                number: columns.take()?,
                loan_id: LoanId(columns.take()?),
                borrower_id: BorrowerId(columns.take()?),
                currency: columns.word("currency")?,
                status: columns.word("status")?,
                opened_on: columns.take()?,
                refuses: columns.take()?,
            })
        };
        rows.iter().map(loan).collect()
    }

    pub(super) async fn read_matches(
        &self,
        tenant: TenantId,
        marks: Vec<EntryMark>,
    ) -> Result<Vec<Vec<MarkedPayment>>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(MATCH_ENTRIES)
            .bind(tenant.0)
            .bind(marks.iter().map(|mark| mark.trace.as_str()).collect::<Vec<_>>())
            .bind(marks.iter().map(|mark| mark.amount.units()).collect::<Vec<_>>())
            .bind(marks.iter().map(|mark| mark.account.as_str()).collect::<Vec<_>>())
            .bind(marks.iter().map(|mark| mark.company_id.as_str()).collect::<Vec<_>>());
        let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
        let mut found: HashMap<i64, Vec<MarkedPayment>> = HashMap::new();
        for row in &rows {
            let mut columns = Columns::of(row);
            let place: i64 = columns.take()?;
            found.entry(place).or_default().push(MarkedPayment {
                event: rows::event(&mut columns)?,
                effective_entry_date: columns.take()?,
                stands: columns.take()?,
                is_assigned: columns.take()?,
            });
        }
        Ok((1_i64..).zip(&marks).map(|(place, _)| found.remove(&place).unwrap_or_default()).collect())
    }
}

/// Keeps a file; false where it or another of its identity is there.
async fn keep(connection: &mut PgConnection, file: &NewFile) -> Result<bool, StoreError> {
    let mut transaction = begin(connection).await?;
    let give_up = sqlx::query(GIVE_UP_IDENTITY).bind(file.tenant.0).bind(file.identity.as_deref()).bind(file.sha256);
    give_up.execute(&mut *transaction).await.map_err(classify)?;
    let insert = sqlx::query(KEEP_FILE)
        .bind(file.tenant.0)
        .bind(file.sha256)
        .bind(file.feed.as_str())
        .bind(file.identity.as_deref())
        .bind(file.bytes.as_ref());
    match insert.execute(&mut *transaction).await.map_err(classify) {
        Ok(done) if done.rows_affected() == 1 => finish(transaction, Ok(true)).await,
        // Of the same bytes, or of the same identity: nothing of it stays.
        Ok(_) | Err(StoreError::Data { .. }) => transaction.rollback().await.map_err(classify).map(|()| false),
        Err(error) => finish(transaction, Err(error)).await,
    }
}

/// What was in the way of a file; `None` where another of its identity came at the same time and is no upload.
async fn in_the_way(connection: &mut PgConnection, file: &NewFile) -> Result<Option<FileKept>, StoreError> {
    let query = sqlx::query(READ_FILE_KEPT).bind(file.tenant.0).bind(file.sha256).bind(file.identity.as_deref());
    let Some(row) = query.fetch_optional(connection).await.map_err(classify)? else { return Ok(None) };
    let mut columns = Columns::of(&row);
    let is_same: bool = columns.take()?;
    let batch = columns.take::<Option<Uuid>>()?.map(PaymentBatchId);
    Ok(if is_same { Some(FileKept::Same(batch)) } else { batch.map(FileKept::Conflict) })
}

/// Makes a file the upload's own; where it cannot be, whose it is: `None` for an upload that is another file's.
pub(super) async fn link_file(
    connection: &mut PgConnection,
    upload: UploadRef,
    file: &UploadedFile,
) -> Result<Result<(), Option<PaymentBatchId>>, StoreError> {
    let link = sqlx::query(LINK_FILE).bind(upload.tenant.0).bind(file.sha256).bind(upload.id.0);
    let link = link.bind(&file.summary).bind(&file.feed).bind(file.identity.as_deref());
    if link.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1 {
        return Ok(Ok(()));
    }
    let other = sqlx::query_scalar(READ_FILE_UPLOAD).bind(upload.tenant.0).bind(file.sha256).bind(upload.id.0);
    let other: Option<Uuid> = other.fetch_optional(&mut *connection).await.map_err(classify)?;
    if other.is_none() {
        let identity = sqlx::query_scalar(READ_IDENTITY).bind(upload.tenant.0).bind(file.sha256);
        let identity: Option<Option<String>> = identity.fetch_optional(connection).await.map_err(classify)?;
        if identity.flatten() != file.identity {
            return Err(StoreError::Retry("another file has taken the identity of this one".into()));
        }
    }
    Ok(Err(other.map(PaymentBatchId)))
}

/// Reads [`READ_FILE`].
pub(super) fn file(row: &PgRow) -> Result<FileRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(FileRecord {
        sha256: columns.take()?,
        feed: columns.take()?,
        identity: columns.take()?,
        received_at: columns.instant()?,
        summary: columns.take()?,
    })
}

fn feed(tenant: TenantId, row: &PgRow) -> Result<FeedRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(FeedRecord { tenant, name: columns.take()?, settings: columns.take()? })
}
