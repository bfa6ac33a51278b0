//! Owns the review of exceptions of files: their lists, and the transaction that ends one.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use crate::core::event::Resolution;
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::core::money::{Minor, Money};
use crate::core::time::Timestamp;
use crate::store::review::{REJECTED_MAX, has_rejected};
use crate::store::sqlite::accept::{accept, known_events};
use crate::store::sqlite::ach::file;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, bytes, get, id, instant, optional_bytes, sum, word};
use crate::store::sqlite::uploads::{begin, finish, progress};
use crate::store::{
    Acceptance, ExceptionTally, ExceptionsFilter, FileException, FileRejection, FileRow, FileTotals, NewReview,
    RejectedRow, RejectionsFilter, Resolved, ReviewDone, Reviews, RowCounts, StoreError, Tally, UploadBegun, UploadEnd,
    UploadException, UploadHold, UploadRef,
};

/// The columns that [`exception`] reads, of `batch_exceptions AS x`. The row that has a key may stand at another number
/// since the upload was sent again. A macro, because `concat!` joins literals only.
macro_rules! exception_columns {
    () => {
        "x.row_no, x.code, x.idempotency_key, x.event_id, coalesce((SELECT m.row_no FROM batch_exceptions AS m
            INDEXED BY batch_exceptions_moved WHERE m.event_id = x.event_id AND m.code = 'moved' AND m.batch_id = x.batch_id), x.first_row_no)
            AS first_row_no, x.first_batch_id, x.amount, x.currency,
        x.errors, x.resolution, x.resolution_reason, x.resolved_by, x.resolved_at"
    };
}

pub(super) use exception_columns;

/// The columns that [`file_exception`] reads. A macro for the same reason.
macro_rules! file_exceptions {
    ($exceptions:literal, $rest:literal) => {
        concat!(
            "SELECT x.batch_id, f.feed, f.received_at, b.completed_at IS NOT NULL AS is_received, ",
            exception_columns!(),
            " FROM ",
            $exceptions,
            " JOIN ach_files AS f ON f.batch_id = x.batch_id JOIN payment_batches AS b ON b.id = x.batch_id
            WHERE f.tenant = ?1 AND b.tenant = ?1 AND ",
            $rest
        )
    };
}

pub(super) const EXCEPTION: &str = file_exceptions!("batch_exceptions AS x", "x.batch_id = ?2 AND x.row_no = ?3");

/// A walk of `(open_for, code, batch_id, row_no)`. Two texts, because one reason is one stretch of it.
pub(super) const OPEN_EXCEPTIONS: &str = file_exceptions!(
    "batch_exceptions AS x INDEXED BY batch_exceptions_open",
    "x.open_for = ?1 AND (?2 IS NULL OR f.feed = ?2) AND (x.code, x.batch_id, x.row_no) > (?3, ?4, ?5)
    ORDER BY x.code, x.batch_id, x.row_no LIMIT ?6"
);

pub(super) const OPEN_EXCEPTIONS_OF_CODE: &str = file_exceptions!(
    "batch_exceptions AS x INDEXED BY batch_exceptions_open",
    "x.open_for = ?1 AND (?2 IS NULL OR f.feed = ?2) AND x.code = ?7
    AND (x.code, x.batch_id, x.row_no) > (?3, ?4, ?5) ORDER BY x.batch_id, x.row_no LIMIT ?6"
);

/// The same stretch, from its end.
pub(super) const NEWEST_EXCEPTIONS: &str = file_exceptions!(
    "batch_exceptions AS x INDEXED BY batch_exceptions_open",
    "x.open_for = ?1 AND x.code = ?2 AND (x.batch_id, x.row_no) < (?3, ?4)
    ORDER BY x.batch_id DESC, x.row_no DESC LIMIT ?5"
);

/// A file's rows that made no event; their cents are added up in Rust, because SQLite's sum has 64 bits.
pub(super) const AMOUNTS_OF_EXCEPTIONS: &str = "
    SELECT x.code, x.resolution, coalesce(x.amount, 0) AS amount, count(*) AS count FROM batch_exceptions AS x
    WHERE x.batch_id = ?1 AND x.resolution IS NOT 'posted'
    GROUP BY x.code, x.resolution, coalesce(x.amount, 0) ORDER BY x.code, x.resolution";

/// Read where counters say that there are some.
pub(super) const REJECTED_ROWS: &str = "
    SELECT e.row_no, e.id, p.rejection_code, e.currency, e.amount, d.resolution, d.resolution_reason, d.resolved_by,
        d.resolved_at
    FROM events AS e INDEXED BY events_batch_row
    JOIN postings AS p ON p.event_seq = e.seq AND p.outcome = 'rejected'
    LEFT JOIN ended_rejections AS d ON d.batch_id = e.batch_id AND d.event_seq = e.seq
    WHERE e.tenant = ?1 AND e.batch_id = ?2 ORDER BY e.row_no, e.seq LIMIT ?3";

/// The tenant's files that have some which nobody has ended, oldest first, with how many.
pub(super) const FILES_OF_REJECTIONS: &str = "
    SELECT f.batch_id, f.feed, f.received_at, (SELECT coalesce(sum(t.count), 0) FROM batch_totals AS t
            WHERE t.batch_id = f.batch_id AND t.outcome = 'rejected')
        - (SELECT count(*) FROM ended_rejections AS d WHERE d.batch_id = f.batch_id) AS open
    FROM ach_files AS f INDEXED BY ach_files_batch
    WHERE f.tenant = ?1 AND f.batch_id >= ?3 AND (?2 IS NULL OR f.feed = ?2) AND open > 0 ORDER BY f.batch_id LIMIT ?4";

/// Of a file those that nobody has ended, in row order: the walk of the file ends with the last of them.
pub(super) const REJECTIONS_OF_FILE: &str = "
    SELECT e.key, e.row_no, e.id, p.rejection_code, e.currency, e.amount, NULL AS resolution
    FROM events AS e INDEXED BY events_batch_row CROSS JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.tenant = ?1 AND e.batch_id = ?2 AND e.row_no > ?3 AND p.outcome = 'rejected'
        AND NOT EXISTS (SELECT 1 FROM ended_rejections AS d WHERE d.batch_id = ?2 AND d.event_seq = p.event_seq)
    ORDER BY e.row_no LIMIT ?4";

pub(super) const REJECTION: &str = "
    SELECT f.batch_id, f.feed, f.received_at, e.key, e.row_no, e.id, p.rejection_code, e.currency, e.amount,
        d.resolution, d.resolution_reason, d.resolved_by, d.resolved_at
    FROM ach_files AS f INDEXED BY ach_files_batch
    CROSS JOIN events AS e INDEXED BY events_batch_row ON e.batch_id = f.batch_id AND e.row_no = ?3
    CROSS JOIN postings AS p ON p.event_seq = e.seq
    LEFT JOIN ended_rejections AS d ON d.batch_id = e.batch_id AND d.event_seq = e.seq
    WHERE f.tenant = ?1 AND f.batch_id = ?2 AND e.tenant = ?1 AND p.outcome = 'rejected'
    ORDER BY d.event_seq IS NOT NULL, e.seq LIMIT 1";

pub(super) const REJECTION_OF_EVENT: &str = "
    SELECT d.resolution, d.resolution_reason, d.resolved_by, d.resolved_at FROM events AS e
    CROSS JOIN postings AS p ON p.event_seq = e.seq AND p.outcome = 'rejected'
    LEFT JOIN ended_rejections AS d ON d.batch_id = e.batch_id AND d.event_seq = e.seq WHERE e.id = ?1 AND e.batch_id = ?2";

pub(super) const END_REJECTION: &str = "
    INSERT INTO ended_rejections (batch_id, event_seq, resolution, resolution_reason, resolved_by, resolved_at)
    SELECT e.batch_id, e.seq, ?2, ?3, ?4, ?5 FROM events AS e WHERE e.id = ?1";

pub(super) const FILE_BYTES: &str = "SELECT sha256, bytes FROM ach_files WHERE tenant = ?1 AND batch_id = ?2";

pub(super) const EXCEPTION_OF_ROW: &str =
    concat!("SELECT ", exception_columns!(), " FROM batch_exceptions AS x WHERE x.batch_id = ?1 AND x.row_no = ?2");

pub(super) const RESOLVE: &str = "
    UPDATE batch_exceptions SET open_for = NULL, resolution = ?3, resolution_reason = ?4, resolved_by = ?5,
        resolved_at = ?6
    WHERE batch_id = ?1 AND row_no = ?2";

pub(super) const REVIEWED_AMOUNT: &str =
    "SELECT reviewed_amount FROM batch_accepted WHERE batch_id = ?1 AND currency = ?2";

/// The row is accepted in the same transaction, which raises what the file accepted; this says why. The sum comes whole.
pub(super) const COUNT_REVIEWED: &str = "
    UPDATE batch_accepted SET reviewed = reviewed + 1, reviewed_amount = ?3 WHERE batch_id = ?1 AND currency = ?2";

#[async_trait]
impl Reviews for SqliteStore {
    async fn file_totals(&self, upload: UploadRef) -> Result<Option<FileTotals>, StoreError> {
        let now = self.clock.now();
        self.read(move |db| Box::pin(file_totals(db, upload, now))).await
    }

    async fn file_bytes(&self, upload: UploadRef) -> Result<Option<([u8; 32], Vec<u8>)>, StoreError> {
        self.read(move |db| Box::pin(file_bytes(db, upload))).await
    }

    async fn exception(&self, tenant: TenantId, row: FileRow) -> Result<Option<FileException>, StoreError> {
        self.read(move |db| Box::pin(of_row(db, EXCEPTION, (tenant, row), file_exception))).await
    }

    async fn exceptions(&self, tenant: TenantId, filter: ExceptionsFilter) -> Result<Vec<FileException>, StoreError> {
        self.read(move |db| Box::pin(open_exceptions(db, tenant, filter))).await
    }

    async fn newest_exceptions(
        &self,
        tenant: TenantId,
        code: &str,
        before: Option<FileRow>,
        limit: i64,
    ) -> Result<Vec<FileException>, StoreError> {
        let code = code.to_owned();
        self.read(move |db| Box::pin(newest_exceptions(db, (tenant, code), before, limit))).await
    }

    async fn rejection(&self, tenant: TenantId, row: FileRow) -> Result<Option<FileRejection>, StoreError> {
        self.read(move |db| Box::pin(of_row(db, REJECTION, (tenant, row), |row| rejection(row, row)))).await
    }

    async fn rejections(&self, tenant: TenantId, filter: RejectionsFilter) -> Result<Vec<FileRejection>, StoreError> {
        self.read(move |db| Box::pin(rejections(db, tenant, filter))).await
    }

    async fn review(&self, review: NewReview) -> Result<ReviewDone, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("review", move |db| Box::pin(decide(db, review, clock.now()))).await
    }
}

async fn file_totals(
    db: &mut SqliteConnection,
    upload: UploadRef,
    now: Timestamp,
) -> Result<Option<FileTotals>, StoreError> {
    let Some(file) = file(db, upload).await? else { return Ok(None) };
    let progress = progress(db, upload, now).await?.ok_or_else(|| broken("the upload of a file"))?;
    let rejected = if has_rejected(&progress) { rejected_rows(db, upload).await? } else { Vec::new() };
    let rows = sqlx::query(AMOUNTS_OF_EXCEPTIONS).bind(upload.id.0).fetch_all(db).await.map_err(store_error)?;
    let mut exceptions: Vec<ExceptionTally> = Vec::new();
    for row in &rows {
        let (code, resolution): (String, _) = (get(row, "code")?, resolution(row)?);
        let count: i64 = get(row, "count")?;
        let amount = i128::from(get::<i64>(row, "amount")?).checked_mul(i128::from(count));
        let tally = Tally { count, amount: amount.ok_or_else(|| broken("batch_exceptions.amount"))? };
        match exceptions.last_mut() {
            Some(last) if last.code == code && last.resolution == resolution => last.tally = last.tally.plus(tally),
            Some(_) | None => exceptions.push(ExceptionTally { code, resolution, tally }),
        }
    }
    Ok(Some(FileTotals { file, progress, exceptions, rejected }))
}

async fn rejected_rows(db: &mut SqliteConnection, upload: UploadRef) -> Result<Vec<RejectedRow>, StoreError> {
    let query = sqlx::query(REJECTED_ROWS).bind(upload.tenant.0).bind(upload.id.0).bind(REJECTED_MAX);
    query.fetch_all(db).await.map_err(store_error)?.iter().map(rejected_row).collect()
}

fn rejected_row(row: &SqliteRow) -> Result<RejectedRow, StoreError> {
    let currency = word(row, "currency")?;
    Ok(RejectedRow {
        row_no: get(row, "row_no")?,
        event_id: EventId(id(row, "id")?),
        code: word(row, "rejection_code")?,
        money: get::<Option<i64>>(row, "amount")?.map(|units| Money::new(Minor::new(units), currency)),
        resolved: resolved(row)?,
    })
}

async fn rejections(
    db: &mut SqliteConnection,
    tenant: TenantId,
    filter: RejectionsFilter,
) -> Result<Vec<FileRejection>, StoreError> {
    let after = filter.after.unwrap_or(FileRow { batch: PaymentBatchId(Uuid::nil()), row_no: 0 });
    // Each has one at least, but for the first, whose rows may all stand before the page.
    let files_max = filter.limit.saturating_add(2);
    let query = sqlx::query(FILES_OF_REJECTIONS).bind(tenant.0).bind(filter.feed).bind(after.batch.0).bind(files_max);
    let files = query.fetch_all(&mut *db).await.map_err(store_error)?;
    let mut left = filter.limit.saturating_add(1);
    let mut rejections = Vec::new();
    for file in files {
        let (batch, open): (Uuid, i64) = (id(&file, "batch_id")?, get(&file, "open")?);
        let after = if batch == after.batch.0 { after.row_no } else { 0 };
        let query = sqlx::query(REJECTIONS_OF_FILE).bind(tenant.0).bind(batch).bind(after).bind(open.min(left));
        let rows = query.fetch_all(&mut *db).await.map_err(store_error)?;
        for row in &rows {
            rejections.push(rejection(&file, row)?);
            left = left.saturating_sub(1);
        }
        if left == 0 {
            break;
        }
    }
    Ok(rejections)
}

/// What a statement finds at a row of a tenant's files.
async fn of_row<T>(
    db: &mut SqliteConnection,
    statement: &'static str,
    (tenant, row): (TenantId, FileRow),
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let query = sqlx::query(statement).bind(tenant.0).bind(row.batch.0).bind(row.row_no);
    query.fetch_optional(db).await.map_err(store_error)?.as_ref().map(read).transpose()
}

/// A rejected row and its file, of one row or of two.
fn rejection(file: &SqliteRow, row: &SqliteRow) -> Result<FileRejection, StoreError> {
    Ok(FileRejection {
        file: PaymentBatchId(id(file, "batch_id")?),
        feed: get(file, "feed")?,
        received_at: instant(file, "received_at")?,
        key: get(row, "key")?,
        rejected: rejected_row(row)?,
    })
}

async fn file_bytes(db: &mut SqliteConnection, upload: UploadRef) -> Result<Option<([u8; 32], Vec<u8>)>, StoreError> {
    let query = sqlx::query(FILE_BYTES).bind(upload.tenant.0).bind(upload.id.0);
    let row = query.fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(|row| Ok((bytes(row, "sha256")?, get(row, "bytes")?))).transpose()
}

async fn open_exceptions(
    db: &mut SqliteConnection,
    tenant: TenantId,
    filter: ExceptionsFilter,
) -> Result<Vec<FileException>, StoreError> {
    let (code, batch, row_no) = match filter.after {
        Some(after) => (after.code, after.row.batch.0, after.row.row_no),
        None => (String::new(), Uuid::nil(), 0),
    };
    let text = if filter.code.is_some() { OPEN_EXCEPTIONS_OF_CODE } else { OPEN_EXCEPTIONS };
    let query = sqlx::query(text).bind(tenant.0).bind(filter.feed).bind(code).bind(batch).bind(row_no);
    let query = query.bind(filter.limit.saturating_add(1));
    let query = if filter.code.is_some() { query.bind(filter.code) } else { query };
    query.fetch_all(db).await.map_err(store_error)?.iter().map(file_exception).collect()
}

async fn newest_exceptions(
    db: &mut SqliteConnection,
    (tenant, code): (TenantId, String),
    before: Option<FileRow>,
    limit: i64,
) -> Result<Vec<FileException>, StoreError> {
    let (batch, row_no) = before.map_or((Uuid::max(), i64::MAX), |before| (before.batch.0, before.row_no));
    let query = sqlx::query(NEWEST_EXCEPTIONS).bind(tenant.0).bind(code).bind(batch).bind(row_no).bind(limit);
    query.fetch_all(db).await.map_err(store_error)?.iter().map(file_exception).collect()
}

/// Decides if nobody has. The one writer looks before it writes, so nothing has to be taken back.
async fn decide(db: &mut SqliteConnection, review: NewReview, now: Timestamp) -> Result<ReviewDone, StoreError> {
    let NewReview { upload, publisher, row, rejected, resolution, reason, event, answer } = review;
    if known_events(db, &[&upload.event]).await?.is_empty() {
        if let Some(done) = in_the_way(db, row, rejected).await? {
            return Ok(done);
        }
        let events: Vec<_> = event.iter().collect();
        if let Some(known) = known_events(db, &events).await?.into_values().next() {
            return Ok(ReviewDone::RowTaken(Box::new(known)));
        }
    }
    let hold = UploadHold { id: PaymentBatchId(upload.event.id.0), holder: upload.holder };
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: upload.event.fingerprint.bytes(), answer };
    let actor = upload.event.actor.clone();
    let begun = begin(db, upload, now).await?;
    if !matches!(begun, UploadBegun::New(_)) {
        return Ok(ReviewDone::Known(begun));
    }
    let resolve = match rejected {
        None => sqlx::query(RESOLVE).bind(row.batch.0).bind(row.row_no),
        Some(rejected) => sqlx::query(END_REJECTION).bind(rejected.0),
    };
    let resolve = resolve.bind(resolution.as_str()).bind(reason);
    resolve.bind(actor).bind(now.micros()).execute(&mut *db).await.map_err(store_error)?;
    let mut place = None;
    if let Some(event) = event {
        let (id, command) = (event.id, event.command.clone());
        let accepted = accept(db, publisher, vec![event], now).await?;
        let [Acceptance::New { seq, .. }] = accepted[..] else {
            return Err(broken("a key was taken between two looks of the one writer"));
        };
        count_reviewed(db, row.batch, (command.currency().code(), command.amount())).await?;
        place = Some((id, seq));
    }
    if !finish(db, hold, end, now).await? {
        return Err(broken("a review could not be ended"));
    }
    Ok(ReviewDone::Decided(place))
}

/// Why an exception or a rejected row cannot be ended; `None` where it can.
async fn in_the_way(
    db: &mut SqliteConnection,
    row: FileRow,
    rejected: Option<EventId>,
) -> Result<Option<ReviewDone>, StoreError> {
    let found = match rejected {
        None => sqlx::query(EXCEPTION_OF_ROW).bind(row.batch.0).bind(row.row_no),
        Some(rejected) => sqlx::query(REJECTION_OF_EVENT).bind(rejected.0).bind(row.batch.0),
    };
    let Some(found) = found.fetch_optional(db).await.map_err(store_error)? else {
        return Ok(Some(ReviewDone::Gone));
    };
    Ok(resolved(&found)?.map(ReviewDone::Resolved))
}

async fn count_reviewed(
    db: &mut SqliteConnection,
    batch: PaymentBatchId,
    (currency, amount): (&str, Option<Minor>),
) -> Result<(), StoreError> {
    let before = sqlx::query(REVIEWED_AMOUNT).bind(batch.0).bind(currency.to_owned());
    let before = sum(&before.fetch_one(&mut *db).await.map_err(store_error)?, "reviewed_amount")?;
    let after = before.checked_add(i128::from(amount.map_or(0, Minor::units)));
    let after = after.ok_or_else(|| broken("batch_accepted.reviewed_amount"))?;
    let count = sqlx::query(COUNT_REVIEWED).bind(batch.0).bind(currency.to_owned()).bind(after.to_string());
    count.execute(db).await.map_err(store_error).map(drop)
}

fn file_exception(row: &SqliteRow) -> Result<FileException, StoreError> {
    let exception = exception(row)?;
    Ok(FileException {
        row: FileRow { batch: PaymentBatchId(id(row, "batch_id")?), row_no: exception.row_no },
        feed: get(row, "feed")?,
        received_at: instant(row, "received_at")?,
        exception,
        is_received: get(row, "is_received")?,
    })
}

/// Reads [`exception_columns`].
pub(super) fn exception(row: &SqliteRow) -> Result<UploadException, StoreError> {
    Ok(UploadException {
        row_no: get(row, "row_no")?,
        code: get(row, "code")?,
        idempotency_key: get(row, "idempotency_key")?,
        event_id: optional_bytes(row, "event_id")?.map(|id| EventId(Uuid::from_bytes(id))),
        first_row_no: get(row, "first_row_no")?,
        first_batch_id: optional_bytes(row, "first_batch_id")?.map(|id| PaymentBatchId(Uuid::from_bytes(id))),
        amount: get::<Option<i64>>(row, "amount")?.map(Minor::new),
        currency: get(row, "currency")?,
        errors: get(row, "errors")?,
        resolved: resolved(row)?,
    })
}

fn resolved(row: &SqliteRow) -> Result<Option<Resolved>, StoreError> {
    let Some(resolution) = resolution(row)? else { return Ok(None) };
    Ok(Some(Resolved {
        resolution,
        reason: get(row, "resolution_reason")?,
        by: get(row, "resolved_by")?,
        at: instant(row, "resolved_at")?,
    }))
}

fn resolution(row: &SqliteRow) -> Result<Option<Resolution>, StoreError> {
    let word: Option<&str> = get(row, "resolution")?;
    word.map(|word| word.parse().map_err(|_| broken("batch_exceptions.resolution"))).transpose()
}
