//! Owns the review of exceptions of files: their lists, and the transaction that ends one.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::accept::{accept_new, read_known};
use super::ach::{READ_FILE, file};
use super::connect::{BEGIN, BEGIN_SNAPSHOT, PostgresStore, finish};
use super::error::classify;
use super::rows::Columns;
use super::uploads::{end_upload, open, progress};
use crate::core::event::Resolution;
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::core::money::{Minor, Money};
use crate::store::review::{REJECTED_MAX, has_rejected};
use crate::store::{
    ExceptionTally, ExceptionsFilter, FileException, FileRejection, FileRow, FileTotals, NewReview, RejectedRow,
    RejectionsFilter, Resolved, ReviewDone, Reviews, RowCounts, StoreError, Tally, UploadBegun, UploadEnd,
    UploadException, UploadHold, UploadRef,
};

/// Where the row of an event stands since its upload came again in another order: `m`, whose `batch_id` is for the reader
/// to compare. Asked by the event alone, by OFFSET 0: the planner takes an upload that is younger than its statistics for
/// small, and would compare each row with all exceptions of it. A macro, because `concat!` joins literals only.
macro_rules! moved_rows {
    ($event_id:literal) => {
        concat!(
            "(SELECT m.batch_id, m.row_no FROM batch_exceptions m WHERE m.event_id = ",
            $event_id,
            " AND m.code = 'moved' OFFSET 0) AS m"
        )
    };
}

/// The columns that [`exception`] reads, of `batch_exceptions AS x`. The row that has a key may stand at another number
/// since the upload was sent again. A macro for the same reason.
macro_rules! exception_columns {
    () => {
        concat!(
            "x.row_no, x.code, x.idempotency_key, x.event_id, coalesce((SELECT m.row_no FROM ",
            $crate::store::postgres::review::moved_rows!("x.event_id"),
            " WHERE m.batch_id = x.batch_id), x.first_row_no), x.first_batch_id, x.amount, x.currency, \
             x.errors, x.resolution, x.resolution_reason, x.resolved_by, x.resolved_at"
        )
    };
}

pub(super) use {exception_columns, moved_rows};

/// The columns that [`file_exception`] reads. A macro for the same reason.
macro_rules! file_exceptions {
    ($rest:literal) => {
        concat!(
            "SELECT x.batch_id, f.feed, f.received_at, b.completed_at IS NOT NULL, ",
            exception_columns!(),
            " FROM batch_exceptions x JOIN ach_files f ON f.batch_id = x.batch_id \
             JOIN payment_batches b ON b.id = x.batch_id WHERE f.tenant = $1 AND b.tenant = $1 AND ",
            $rest
        )
    };
}

const READ_EXCEPTION: &str = file_exceptions!("x.batch_id = $2 AND x.row_no = $3");

/// A walk of `(open_for, code, batch_id, row_no)`. Two texts, because one reason is one stretch of it.
const OPEN_EXCEPTIONS: &str = file_exceptions!(
    "x.open_for = $1 AND ($2::text IS NULL OR f.feed = $2) AND (x.code, x.batch_id, x.row_no) > ($3, $4, $5) \
     ORDER BY x.code, x.batch_id, x.row_no LIMIT $6"
);

const OPEN_EXCEPTIONS_OF_CODE: &str = file_exceptions!(
    "x.open_for = $1 AND ($2::text IS NULL OR f.feed = $2) AND x.code = $7 AND (x.code, x.batch_id, x.row_no) > \
     ($3, $4, $5) ORDER BY x.batch_id, x.row_no LIMIT $6"
);

/// The same stretch, from its end.
const NEWEST_EXCEPTIONS: &str = file_exceptions!(
    "x.open_for = $1 AND x.code = $2 AND (x.batch_id, x.row_no) < ($3, $4) \
     ORDER BY x.batch_id DESC, x.row_no DESC LIMIT $5"
);

/// A file's rows that made no event, however many: read once by whoever asks for the file.
const COUNT_EXCEPTIONS: &str = "SELECT x.code, x.resolution, count(*), coalesce(sum(x.amount), 0)::text \
     FROM batch_exceptions x WHERE x.batch_id = $1 AND x.resolution IS DISTINCT FROM 'posted' \
     GROUP BY x.code, x.resolution ORDER BY x.code, x.resolution";

/// Read where counters say that there are some.
const READ_REJECTED: &str = "SELECT d.resolution, d.resolution_reason, d.resolved_by, d.resolved_at, e.row_no, e.id, \
     p.rejection_code, e.currency, e.amount FROM events e \
     JOIN postings p ON p.event_seq = e.seq AND p.outcome = 'rejected' \
     LEFT JOIN ended_rejections d ON d.batch_id = e.batch_id AND d.event_seq = e.seq \
     WHERE e.tenant = $1 AND e.batch_id = $2 ORDER BY e.row_no, e.seq LIMIT $3";

/// Walks the tenant's files that have some which nobody has ended, oldest first, and of each its rows in order, up to the
/// last of them: a page reads no further than it goes. What is asked of a file or a row is bounded inside, by OFFSET 0: the
/// planner would join all rows of all files before, or walk all postings there are for the few that were rejected.
const READ_REJECTIONS: &str = "SELECT f.batch_id, f.feed, f.received_at, r.key, NULL::text, NULL::text, NULL::text, \
     NULL::timestamptz, r.row_no, r.id, r.rejection_code, r.currency, r.amount FROM (SELECT f.batch_id, f.feed, \
     f.received_at, n.open FROM ach_files f CROSS JOIN LATERAL (SELECT (SELECT coalesce(sum(t.count), 0)::bigint \
     FROM batch_totals t WHERE t.batch_id = f.batch_id AND t.outcome = 'rejected') \
     - (SELECT count(*) FROM ended_rejections d WHERE d.batch_id = f.batch_id) AS open) AS n \
     WHERE f.tenant = $1 AND f.batch_id >= $3 AND ($2::text IS NULL OR f.feed = $2) AND n.open > 0 \
     ORDER BY f.batch_id OFFSET 0) AS f CROSS JOIN LATERAL (SELECT e.key, e.row_no, e.id, p.rejection_code, e.currency, \
     e.amount FROM events e CROSS JOIN LATERAL (SELECT q.rejection_code FROM postings q WHERE q.event_seq = e.seq \
     AND q.outcome = 'rejected' AND NOT EXISTS (SELECT FROM ended_rejections d WHERE d.batch_id = f.batch_id \
     AND d.event_seq = q.event_seq OFFSET 0) OFFSET 0) AS p WHERE e.tenant = $1 AND e.batch_id = f.batch_id \
     AND e.row_no > CASE WHEN f.batch_id = $3 THEN $4::bigint ELSE 0 END ORDER BY e.row_no LIMIT least($5, f.open)) AS r \
     ORDER BY f.batch_id, r.row_no LIMIT $5";

const READ_REJECTION: &str = "SELECT f.batch_id, f.feed, f.received_at, e.key, d.resolution, d.resolution_reason, \
     d.resolved_by, d.resolved_at, e.row_no, e.id, p.rejection_code, e.currency, e.amount FROM ach_files f \
     JOIN events e ON e.batch_id = f.batch_id AND e.tenant = $1 AND e.row_no = $3 \
     JOIN postings p ON p.event_seq = e.seq AND p.outcome = 'rejected' \
     LEFT JOIN ended_rejections d ON d.batch_id = e.batch_id AND d.event_seq = e.seq \
     WHERE f.tenant = $1 AND f.batch_id = $2 \
     ORDER BY d.event_seq IS NOT NULL, e.seq LIMIT 1";

/// Of several who end a rejected row the first does; the others wait here and then see what it decided.
const END_REJECTION: &str = "INSERT INTO ended_rejections (batch_id, event_seq, resolution, resolution_reason, \
     resolved_by, resolved_at) SELECT e.batch_id, e.seq, $3, $4, $5, clock_timestamp() FROM events e \
     JOIN postings p ON p.event_seq = e.seq AND p.outcome = 'rejected' WHERE e.batch_id = $1 AND e.id = $2 \
     ON CONFLICT (batch_id, event_seq) DO NOTHING";

const READ_END: &str = "SELECT d.resolution, d.resolution_reason, d.resolved_by, d.resolved_at FROM events e \
     JOIN ended_rejections d ON d.batch_id = e.batch_id AND d.event_seq = e.seq WHERE e.batch_id = $1 AND e.id = $2";

const READ_BYTES: &str = "SELECT sha256, bytes FROM ach_files WHERE tenant = $1 AND batch_id = $2";

/// The first of several reviews of a row goes on; the others wait here and then see what it decided.
const LOCK_EXCEPTION: &str = concat!(
    "SELECT ",
    exception_columns!(),
    " FROM batch_exceptions x WHERE x.batch_id = $1 AND x.row_no = $2 FOR UPDATE"
);

const RESOLVE: &str = "UPDATE batch_exceptions SET open_for = NULL, resolution = $3, resolution_reason = $4, \
     resolved_by = $5, resolved_at = clock_timestamp() WHERE batch_id = $1 AND row_no = $2";

/// The row is accepted in the same transaction, which raises what the file accepted; this says why.
const COUNT_REVIEWED: &str = "UPDATE batch_accepted SET reviewed = reviewed + 1, reviewed_amount = reviewed_amount + $3 \
     WHERE batch_id = $1 AND currency = $2";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 14] = [
    ("read_exception", READ_EXCEPTION),
    ("open_exceptions", OPEN_EXCEPTIONS),
    ("open_exceptions_of_code", OPEN_EXCEPTIONS_OF_CODE),
    ("newest_exceptions", NEWEST_EXCEPTIONS),
    ("count_exceptions", COUNT_EXCEPTIONS),
    ("read_rejected", READ_REJECTED),
    ("read_rejections", READ_REJECTIONS),
    ("read_rejection", READ_REJECTION),
    ("end_rejection", END_REJECTION),
    ("read_end", READ_END),
    ("read_bytes", READ_BYTES),
    ("lock_exception", LOCK_EXCEPTION),
    ("resolve", RESOLVE),
    ("count_reviewed", COUNT_REVIEWED),
];

#[async_trait]
impl Reviews for PostgresStore {
    async fn file_totals(&self, upload: UploadRef) -> Result<Option<FileTotals>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let mut snapshot = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
            let totals = file_totals(&mut snapshot, upload).await;
            finish(snapshot, totals).await
        })
        .await
    }

    async fn file_bytes(&self, upload: UploadRef) -> Result<Option<([u8; 32], Vec<u8>)>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let query = sqlx::query(READ_BYTES).bind(upload.tenant.0).bind(upload.id.0);
            let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
            let read = |row: &PgRow| {
                let mut columns = Columns::of(row);
                Ok((columns.take()?, columns.take()?))
            };
            row.as_ref().map(read).transpose()
        })
        .await
    }

    async fn exception(&self, tenant: TenantId, row: FileRow) -> Result<Option<FileException>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let query = sqlx::query(READ_EXCEPTION).bind(tenant.0).bind(row.batch.0).bind(row.row_no);
            let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
            row.as_ref().map(file_exception).transpose()
        })
        .await
    }

    async fn exceptions(&self, tenant: TenantId, filter: ExceptionsFilter) -> Result<Vec<FileException>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let (code, batch, row_no) = match filter.after {
                Some(after) => (after.code, after.row.batch.0, after.row.row_no),
                None => (String::new(), Uuid::nil(), 0),
            };
            let text = if filter.code.is_some() { OPEN_EXCEPTIONS_OF_CODE } else { OPEN_EXCEPTIONS };
            let query = sqlx::query(text).bind(tenant.0).bind(filter.feed).bind(code).bind(batch).bind(row_no);
            let query = query.bind(filter.limit.saturating_add(1));
            let query = if filter.code.is_some() { query.bind(filter.code) } else { query };
            let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
            rows.iter().map(file_exception).collect()
        })
        .await
    }

    async fn newest_exceptions(
        &self,
        tenant: TenantId,
        code: &str,
        before: Option<FileRow>,
        limit: i64,
    ) -> Result<Vec<FileException>, StoreError> {
        let code = code.to_owned();
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let (batch, row_no) = before.map_or((Uuid::max(), i64::MAX), |before| (before.batch.0, before.row_no));
            let query = sqlx::query(NEWEST_EXCEPTIONS).bind(tenant.0).bind(code).bind(batch).bind(row_no).bind(limit);
            query.fetch_all(&mut *connection).await.map_err(classify)?.iter().map(file_exception).collect()
        })
        .await
    }

    async fn rejection(&self, tenant: TenantId, row: FileRow) -> Result<Option<FileRejection>, StoreError> {
        self.owned(move |store| async move {
            let query = sqlx::query(READ_REJECTION).bind(tenant.0).bind(row.batch.0).bind(row.row_no);
            Ok(store.many(query, rejection).await?.pop())
        })
        .await
    }

    async fn rejections(&self, tenant: TenantId, filter: RejectionsFilter) -> Result<Vec<FileRejection>, StoreError> {
        self.owned(move |store| async move {
            let (batch, row_no) = filter.after.map_or((Uuid::nil(), 0), |after| (after.batch.0, after.row_no));
            let query = sqlx::query(READ_REJECTIONS).bind(tenant.0).bind(filter.feed).bind(batch).bind(row_no);
            store.many(query.bind(filter.limit.saturating_add(1)), rejection).await
        })
        .await
    }

    async fn review(&self, review: NewReview) -> Result<ReviewDone, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let mut transaction = connection.begin_with(BEGIN).await.map_err(classify)?;
            match decide(&mut transaction, review).await {
                Ok(done @ ReviewDone::Decided(_)) => finish(transaction, Ok(done)).await,
                // Nothing of it stays.
                Ok(other) => transaction.rollback().await.map_err(classify).map(|()| other),
                Err(error) => finish(transaction, Err(error)).await,
            }
        })
        .await
    }
}

async fn file_totals(connection: &mut PgConnection, upload: UploadRef) -> Result<Option<FileTotals>, StoreError> {
    let row = sqlx::query(READ_FILE).bind(upload.tenant.0).bind(upload.id.0);
    let Some(row) = row.fetch_optional(&mut *connection).await.map_err(classify)? else { return Ok(None) };
    let file = file(&row)?;
    let progress = progress(connection, upload).await?;
    let progress = progress.ok_or_else(|| StoreError::Broken(format!("the file of {} has no upload", upload.id)))?;
    let rejected = if has_rejected(&progress) { rejected(connection, upload).await? } else { Vec::new() };
    let rows = sqlx::query(COUNT_EXCEPTIONS).bind(upload.id.0).fetch_all(connection).await.map_err(classify)?;
    let tally = |row: &PgRow| {
        let mut columns = Columns::of(row);
        let code = columns.take()?;
        let resolution = resolution(&mut columns)?;
        let tally = Tally { count: columns.take()?, amount: columns.word("amount")? };
        Ok(ExceptionTally { code, resolution, tally })
    };
    let exceptions = rows.iter().map(tally).collect::<Result<_, StoreError>>()?;
    Ok(Some(FileTotals { file, progress, exceptions, rejected }))
}

async fn rejected(connection: &mut PgConnection, upload: UploadRef) -> Result<Vec<RejectedRow>, StoreError> {
    let query = sqlx::query(READ_REJECTED).bind(upload.tenant.0).bind(upload.id.0).bind(REJECTED_MAX);
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(|row| rejected_row(&mut Columns::of(row))).collect()
}

fn rejected_row(columns: &mut Columns<'_>) -> Result<RejectedRow, StoreError> {
    let resolved = resolved(columns)?;
    let (row_no, event_id, code) = (columns.take()?, EventId(columns.take()?), columns.word("rejection code")?);
    let currency = columns.word("currency")?;
    let money = columns.optional_amount()?.map(|minor| Money::new(minor, currency));
    Ok(RejectedRow { row_no, event_id, code, money, resolved })
}

fn rejection(row: &PgRow) -> Result<FileRejection, StoreError> {
    let mut columns = Columns::of(row);
    let (file, feed) = (PaymentBatchId(columns.take()?), columns.take()?);
    let (received_at, key) = (columns.instant()?, columns.take()?);
    Ok(FileRejection { file, feed, received_at, key, rejected: rejected_row(&mut columns)? })
}

/// Locks the exception or the rejected row, and decides if nobody has.
async fn decide(connection: &mut PgConnection, review: NewReview) -> Result<ReviewDone, StoreError> {
    let begun = open(connection, &review.upload).await?;
    if !matches!(begun, UploadBegun::New(_)) {
        return Ok(ReviewDone::Known(begun));
    }
    let in_the_way = match review.rejected {
        None => end_exception(connection, &review).await?,
        Some(rejected) => end_rejection(connection, &review, rejected).await?,
    };
    if let Some(done) = in_the_way {
        return Ok(done);
    }
    let NewReview { upload, publisher, row, event, answer, .. } = review;
    let mut place = None;
    if let Some(event) = event {
        let events = std::slice::from_ref(&event);
        let accepted = accept_new(connection, publisher, events).await?;
        let Some((seq, _)) = accepted.get(&event.id) else {
            let known = read_known(connection, events, &accepted).await?.into_values().next();
            let known =
                known.ok_or_else(|| StoreError::Broken(format!("event {} was refused for no row", event.id)))?;
            return Ok(ReviewDone::RowTaken(Box::new(known)));
        };
        let amount = event.command.amount().map_or(0, Minor::units);
        let count = sqlx::query(COUNT_REVIEWED).bind(row.batch.0).bind(event.command.currency().code().to_owned());
        count.bind(amount).execute(&mut *connection).await.map_err(classify)?;
        place = Some((event.id, *seq));
    }
    let hold = UploadHold { id: PaymentBatchId(upload.event.id.0), holder: upload.holder };
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: upload.event.fingerprint.bytes(), answer };
    if !end_upload(connection, hold, &end).await? {
        return Err(StoreError::Broken(format!("review {} could not be ended", hold.id)));
    }
    Ok(ReviewDone::Decided(place))
}

/// `None` where it is ended.
async fn end_exception(connection: &mut PgConnection, review: &NewReview) -> Result<Option<ReviewDone>, StoreError> {
    let NewReview { upload, row, resolution, reason, .. } = review;
    let found = sqlx::query(LOCK_EXCEPTION).bind(row.batch.0).bind(row.row_no);
    let Some(found) = found.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return Ok(Some(ReviewDone::Gone));
    };
    if let Some(resolved) = exception(&mut Columns::of(&found))?.resolved {
        return Ok(Some(ReviewDone::Resolved(resolved)));
    }
    let resolve = sqlx::query(RESOLVE).bind(row.batch.0).bind(row.row_no).bind(resolution.as_str()).bind(reason);
    resolve.bind(&upload.event.actor).execute(connection).await.map_err(classify)?;
    Ok(None)
}

/// `None` where it is ended.
async fn end_rejection(
    connection: &mut PgConnection,
    review: &NewReview,
    rejected: EventId,
) -> Result<Option<ReviewDone>, StoreError> {
    let NewReview { upload, row, resolution, reason, .. } = review;
    let end = sqlx::query(END_REJECTION).bind(row.batch.0).bind(rejected.0).bind(resolution.as_str()).bind(reason);
    let end = end.bind(&upload.event.actor);
    if end.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1 {
        return Ok(None);
    }
    let found = sqlx::query(READ_END).bind(row.batch.0).bind(rejected.0);
    let found = found.fetch_optional(connection).await.map_err(classify)?;
    let before = found.as_ref().map(|row| resolved(&mut Columns::of(row))).transpose()?.flatten();
    Ok(Some(before.map_or(ReviewDone::Gone, ReviewDone::Resolved)))
}

fn file_exception(row: &PgRow) -> Result<FileException, StoreError> {
    let mut columns = Columns::of(row);
    let batch = PaymentBatchId(columns.take()?);
    let (feed, received_at, is_received) = (columns.take()?, columns.instant()?, columns.take()?);
    let exception = exception(&mut columns)?;
    let row = FileRow { batch, row_no: exception.row_no };
    Ok(FileException { row, feed, received_at, exception, is_received })
}

/// Reads [`exception_columns`].
pub(super) fn exception(columns: &mut Columns<'_>) -> Result<UploadException, StoreError> {
    Ok(UploadException {
        row_no: columns.take()?,
        code: columns.take()?,
        idempotency_key: columns.take()?,
        event_id: columns.take::<Option<Uuid>>()?.map(EventId),
        first_row_no: columns.take()?,
        first_batch_id: columns.take::<Option<Uuid>>()?.map(PaymentBatchId),
        amount: columns.optional_amount()?,
        currency: columns.take()?,
        errors: columns.take()?,
        resolved: resolved(columns)?,
    })
}

fn resolved(columns: &mut Columns<'_>) -> Result<Option<Resolved>, StoreError> {
    let resolution = resolution(columns)?;
    let (reason, by): (Option<String>, Option<String>) = (columns.take()?, columns.take()?);
    let at = columns.optional_instant()?;
    match (resolution, reason, by, at) {
        (Some(resolution), Some(reason), Some(by), Some(at)) => Ok(Some(Resolved { resolution, reason, by, at })),
        (None, None, None, None) => Ok(None),
        (_, _, _, _) => Err(StoreError::Broken("an exception is half resolved".to_owned())),
    }
}

fn resolution(columns: &mut Columns<'_>) -> Result<Option<Resolution>, StoreError> {
    let word: Option<&str> = columns.take()?;
    word.map(|word| word.parse().map_err(|_| super::rows::broken("resolution", word))).transpose()
}
