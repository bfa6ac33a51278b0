//! Owns the statements of ACH feeds and files.

use std::collections::HashMap;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::ids::{BorrowerId, LoanId, PaymentBatchId, TenantId};
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::json;
use crate::store::sqlite::rows::{
    broken, bytes, date, decode_event, event_columns, get, id, instant, optional_bytes, word,
};
use crate::store::{
    EntryMark, FeedRecord, FileKept, FileRecord, FileRow, MarkedPayment, MarkedRow, NewFile, NumberedLoan, SeenRow,
    StoreError, UploadRef, UploadedFile,
};

pub(super) const INSERT_FEED: &str =
    "INSERT INTO ach_feeds (tenant, name, settings) VALUES (?1, ?2, ?3) ON CONFLICT (tenant, name) DO NOTHING";

pub(super) const FEED: &str = "SELECT name, settings FROM ach_feeds WHERE tenant = ?1 AND name = ?2";

pub(super) const FEEDS: &str = "SELECT name, settings FROM ach_feeds WHERE tenant = ?1 ORDER BY name";

/// What stands in the way of a file: its own bytes first, unless they were refused or have lost their identity.
pub(super) const FILE_KEPT: &str = "
    SELECT sha256 = ?2 AS is_same, batch_id FROM ach_files
    WHERE tenant = ?1 AND (sha256 = ?2 AND (identity IS NOT NULL OR batch_id IS NOT NULL)
        OR identity = ?3 AND batch_id IS NOT NULL)
    ORDER BY 1 DESC LIMIT 1";

/// Another file of an identity gives it up as long as it is no upload.
pub(super) const GIVE_UP_IDENTITY: &str = "
    UPDATE ach_files SET identity = NULL
    WHERE tenant = ?1 AND identity = ?2 AND sha256 <> ?3 AND batch_id IS NULL";

/// A refused file gives way when it comes again under a feed that takes it.
pub(super) const KEEP_FILE: &str = "
    INSERT INTO ach_files (tenant, sha256, feed, identity, received_at, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (tenant, sha256) DO UPDATE SET feed = excluded.feed, identity = excluded.identity";

pub(super) const LINK_FILE: &str = "
    UPDATE ach_files SET batch_id = ?3, summary = ?4, feed = ?5
    WHERE tenant = ?1 AND sha256 = ?2 AND (batch_id = ?3 OR batch_id IS NULL AND identity IS ?6)
    AND NOT EXISTS (SELECT 1 FROM ach_files AS o WHERE o.batch_id = ?3 AND o.sha256 <> ?2)";

pub(super) const FILE: &str =
    "SELECT sha256, feed, identity, received_at, summary FROM ach_files WHERE tenant = ?1 AND batch_id = ?2";

pub(super) const NUMBERED: &str = "
    SELECT l.loan_number_comparable, l.loan_id, l.borrower_id, l.currency, l.status, l.opened_on,
        EXISTS (SELECT 1 FROM refusing_holds AS r WHERE r.loan_key = l.loan_key)
        AND NOT EXISTS (SELECT 1 FROM holds AS h WHERE h.loan_key = l.loan_key) AS refuses
    FROM jsonb_each(?2) AS n JOIN loans AS l ON l.tenant = ?1 AND l.loan_number_comparable = n.value";

/// Marks entries, and finds the same ones of other files. There is one writer, so exactly one of two files is the first.
/// Where `min` stands alone, the other columns are those of its row. A row that is there already keeps what was found
/// then; writing it is what makes it tell.
pub(super) const INSERT_ENTRIES: &str = "
    INSERT INTO ach_entries (tenant, batch_id, row_no, trace, amount, account, company_id, individual_id,
        effective_entry_date, first_batch_id, first_row_no)
    SELECT ?1, ?2, n.value ->> 'row_no', n.value ->> 'trace', n.value ->> 'amount', n.value ->> 'account',
        n.value ->> 'company_id', n.value ->> 'individual_id', n.value ->> 'effective_entry_date', min(a.batch_id),
        a.row_no
    FROM jsonb_each(?3) AS n
    LEFT JOIN ach_entries AS a INDEXED BY ach_entries_trace ON a.tenant = ?1 AND a.trace = n.value ->> 'trace'
        AND a.amount = n.value ->> 'amount' AND a.account = n.value ->> 'account'
        AND a.individual_id = n.value ->> 'individual_id'
        AND a.effective_entry_date IS n.value ->> 'effective_entry_date' AND a.batch_id <> ?2
    GROUP BY n.key
    ON CONFLICT (batch_id, row_no) DO UPDATE SET amount = amount
    RETURNING row_no, first_batch_id, first_row_no";

pub(super) const FILE_UPLOAD: &str =
    "SELECT batch_id FROM ach_files WHERE tenant = ?1 AND sha256 = ?2 AND batch_id IS NOT NULL AND batch_id <> ?3";

pub(super) const DESCRIBE_FILE: &str = "UPDATE ach_files SET summary = ?3 WHERE tenant = ?1 AND batch_id = ?2";

/// Payments that have what a return names, newest first, and whether they stand: nothing has undone them, and their
/// charge-backs, as far as those stand, do not come to all of their money.
pub(super) const MATCH_ENTRIES: &str = concat!(
    "SELECT n.key AS place, ",
    event_columns!(),
    ", a.effective_entry_date,
        NOT EXISTS (SELECT 1 FROM postings AS u WHERE u.undoes_seq = e.seq)
        AND e.amount > (SELECT coalesce(sum(c.amount), 0) FROM events AS c INDEXED BY events_loan_seq
            JOIN postings AS p ON p.event_seq = c.seq AND p.outcome = 'posted'
            WHERE c.loan_key = e.loan_key AND c.seq > e.seq AND c.kind = 'payment_returned'
                AND c.details ->> 'payment_seq' = e.seq
                AND NOT EXISTS (SELECT 1 FROM postings AS r WHERE r.undoes_seq = c.seq)) AS stands,
        e.kind = 'unidentified_receipt' AND coalesce((SELECT s.alloc_principal IS NOT NULL FROM postings AS s
            WHERE s.restates_seq = e.seq ORDER BY s.posted_at DESC, s.loan_version DESC LIMIT 1), 0) AS is_assigned
    FROM jsonb_each(?2) AS n
    JOIN ach_entries AS a ON a.tenant = ?1 AND a.trace = n.value ->> 'trace' AND a.amount = n.value ->> 'amount'
        AND a.account = n.value ->> 'account' AND a.company_id = n.value ->> 'company_id'
    JOIN events AS e INDEXED BY events_batch_row ON e.batch_id = a.batch_id AND e.row_no = a.row_no AND e.tenant = ?1
    ORDER BY n.key, e.seq DESC"
);

/// What a return names.
#[derive(Serialize)]
struct MarkRow<'a> {
    trace: &'a str,
    amount: i64,
    account: &'a str,
    company_id: &'a str,
}

impl<'a> From<&'a EntryMark> for MarkRow<'a> {
    fn from(mark: &'a EntryMark) -> Self {
        let EntryMark { trace, amount, account, company_id } = mark;
        Self { trace, amount: amount.units(), account, company_id }
    }
}

/// A row of `ach_entries`.
#[derive(Serialize)]
struct EntryRow<'a> {
    row_no: i64,
    #[serde(flatten)]
    mark: MarkRow<'a>,
    individual_id: &'a str,
    effective_entry_date: Option<NaiveDate>,
}

impl<'a> From<&'a MarkedRow> for EntryRow<'a> {
    fn from(row: &'a MarkedRow) -> Self {
        let MarkedRow { row_no, mark, individual_id, effective_entry_date } = row;
        let effective_entry_date = *effective_entry_date;
        Self { row_no: *row_no, mark: mark.into(), individual_id, effective_entry_date }
    }
}

/// Makes a feed; false when its name is taken.
pub(super) async fn insert_feed(db: &mut SqliteConnection, feed: FeedRecord) -> Result<bool, StoreError> {
    let query = sqlx::query(INSERT_FEED).bind(feed.tenant.0).bind(feed.name).bind(feed.settings);
    Ok(query.execute(db).await.map_err(store_error)?.rows_affected() == 1)
}

/// A feed by its name.
pub(super) async fn feed(
    db: &mut SqliteConnection,
    tenant: TenantId,
    name: String,
) -> Result<Option<FeedRecord>, StoreError> {
    let row = sqlx::query(FEED).bind(tenant.0).bind(name).fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(|row| feed_row(tenant, row)).transpose()
}

/// A tenant's feeds, by name.
pub(super) async fn feeds(db: &mut SqliteConnection, tenant: TenantId) -> Result<Vec<FeedRecord>, StoreError> {
    let rows = sqlx::query(FEEDS).bind(tenant.0).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| feed_row(tenant, row)).collect()
}

/// Keeps a file, unless it or another of its identity is there.
pub(super) async fn keep_file(
    db: &mut SqliteConnection,
    file: NewFile,
    now: Timestamp,
) -> Result<FileKept, StoreError> {
    let sha256 = file.sha256.to_vec();
    let kept = sqlx::query(FILE_KEPT).bind(file.tenant.0).bind(sha256.clone()).bind(file.identity.clone());
    if let Some(row) = kept.fetch_optional(&mut *db).await.map_err(store_error)? {
        let batch = optional_bytes(&row, "batch_id")?.map(|id| PaymentBatchId(Uuid::from_bytes(id)));
        if get(&row, "is_same")? {
            return Ok(FileKept::Same(batch));
        }
        return batch.map(FileKept::Conflict).ok_or_else(|| broken("a file in the way of another is no upload"));
    }
    let give_up = sqlx::query(GIVE_UP_IDENTITY).bind(file.tenant.0).bind(file.identity.clone()).bind(sha256.clone());
    give_up.execute(&mut *db).await.map_err(store_error)?;
    let keep = sqlx::query(KEEP_FILE).bind(file.tenant.0).bind(sha256).bind(file.feed).bind(file.identity);
    keep.bind(now.micros()).bind(file.bytes.as_ref()).execute(db).await.map_err(store_error)?;
    Ok(FileKept::New)
}

/// Makes a file the upload's own. Where other bytes have taken its identity since it was kept, nothing is written.
pub(super) async fn link_file(
    db: &mut SqliteConnection,
    upload: UploadRef,
    file: UploadedFile,
) -> Result<(), StoreError> {
    let query = sqlx::query(LINK_FILE).bind(upload.tenant.0).bind(file.sha256.to_vec()).bind(upload.id.0);
    let query = query.bind(file.summary).bind(file.feed).bind(file.identity);
    let linked = query.execute(db).await.map_err(store_error)?.rows_affected();
    // Whose the file is was looked up before, by the one writer: only its identity is left to be in the way.
    let lost = || StoreError::Retry("another file has taken the identity of this one".into());
    if linked == 1 { Ok(()) } else { Err(lost()) }
}

/// The other upload that a file became.
pub(super) async fn file_upload(
    db: &mut SqliteConnection,
    upload: UploadRef,
    sha256: [u8; 32],
) -> Result<Option<PaymentBatchId>, StoreError> {
    let query = sqlx::query(FILE_UPLOAD).bind(upload.tenant.0).bind(sha256.to_vec()).bind(upload.id.0);
    let row = query.fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(|row| id(row, "batch_id").map(PaymentBatchId)).transpose()
}

/// Says what was found in a file.
pub(super) async fn describe_file(
    db: &mut SqliteConnection,
    upload: UploadRef,
    summary: String,
) -> Result<(), StoreError> {
    let query = sqlx::query(DESCRIBE_FILE).bind(upload.tenant.0).bind(upload.id.0).bind(summary);
    query.execute(db).await.map_err(store_error).map(drop)
}

/// The file of an upload.
pub(super) async fn file(db: &mut SqliteConnection, upload: UploadRef) -> Result<Option<FileRecord>, StoreError> {
    let query = sqlx::query(FILE).bind(upload.tenant.0).bind(upload.id.0);
    let Some(row) = query.fetch_optional(db).await.map_err(store_error)? else { return Ok(None) };
    Ok(Some(FileRecord {
        sha256: bytes(&row, "sha256")?,
        feed: get(&row, "feed")?,
        identity: get(&row, "identity")?,
        received_at: instant(&row, "received_at")?,
        summary: get(&row, "summary")?,
    }))
}

/// Loans by their numbers, compared without leading zeros.
pub(super) async fn numbered(
    db: &mut SqliteConnection,
    tenant: TenantId,
    numbers: Vec<String>,
) -> Result<Vec<NumberedLoan>, StoreError> {
    let rows = sqlx::query(NUMBERED).bind(tenant.0).bind(json(&numbers)?).fetch_all(db).await.map_err(store_error)?;
    let loan = |row: &SqliteRow| {
        Ok(NumberedLoan {
            number: get(row, "loan_number_comparable")?,
            loan_id: LoanId(id(row, "loan_id")?),
            borrower_id: BorrowerId(id(row, "borrower_id")?),
            currency: word(row, "currency")?,
            status: word(row, "status")?,
            opened_on: date(row, "opened_on")?,
            refuses: get(row, "refuses")?,
        })
    };
    rows.iter().map(loan).collect()
}

/// Keeps what returns will name, and says what another file had before.
pub(super) async fn insert_entries(
    db: &mut SqliteConnection,
    upload: UploadRef,
    entries: Vec<MarkedRow>,
) -> Result<Vec<SeenRow>, StoreError> {
    let rows: Vec<EntryRow<'_>> = entries.iter().map(EntryRow::from).collect();
    let query = sqlx::query(INSERT_ENTRIES).bind(upload.tenant.0).bind(upload.id.0).bind(json(&rows)?);
    let mut seen = Vec::new();
    for row in query.fetch_all(db).await.map_err(store_error)? {
        let Some(batch) = optional_bytes(&row, "first_batch_id")? else { continue };
        let first = FileRow { batch: PaymentBatchId(Uuid::from_bytes(batch)), row_no: get(&row, "first_row_no")? };
        seen.push(SeenRow { row_no: get(&row, "row_no")?, first });
    }
    Ok(seen)
}

/// The payments that returns name, for each in the order given.
pub(super) async fn match_entries(
    db: &mut SqliteConnection,
    tenant: TenantId,
    marks: Vec<EntryMark>,
) -> Result<Vec<Vec<MarkedPayment>>, StoreError> {
    let rows: Vec<MarkRow<'_>> = marks.iter().map(MarkRow::from).collect();
    let query = sqlx::query(MATCH_ENTRIES).bind(tenant.0).bind(json(&rows)?);
    let mut found: HashMap<i64, Vec<MarkedPayment>> = HashMap::new();
    for row in query.fetch_all(db).await.map_err(store_error)? {
        found.entry(get(&row, "place")?).or_default().push(MarkedPayment {
            event: decode_event(&row)?,
            effective_entry_date: get(&row, "effective_entry_date")?,
            stands: get(&row, "stands")?,
            is_assigned: get(&row, "is_assigned")?,
        });
    }
    Ok((0_i64..).zip(&marks).map(|(place, _)| found.remove(&place).unwrap_or_default()).collect())
}

fn feed_row(tenant: TenantId, row: &SqliteRow) -> Result<FeedRecord, StoreError> {
    Ok(FeedRecord { tenant, name: get(row, "name")?, settings: get(row, "settings")? })
}
