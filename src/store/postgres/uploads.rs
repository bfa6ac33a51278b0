//! Owns the statements of uploads: their beginning, lease, end and progress.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::accept::{Accepted, accept_new, read_known};
use super::ach::link_file;
use super::connect::{BEGIN_SNAPSHOT, HotPath, PostgresStore, begin, finish};
use super::error::classify;
use super::intake_rows::{EventColumns, new_event_columns, new_events};
use super::read::record_joins;
use super::review::{exception, exception_columns, moved_rows};
use super::rows::{Columns, broken};
use super::status::{status, status_columns, status_event_columns};
use crate::core::event::{Command, NewEvent, UploadOperation};
use crate::core::ids::PaymentBatchId;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::{
    ControlTotals, KnownEvent, NewUpload, RowCounts, StoreError, UploadBegun, UploadEnd, UploadException, UploadHold,
    UploadProgress, UploadRecord, UploadRef, UploadRows, WholeAccepted, WholeUpload,
};

/// An upload's own event. It has no slot: nothing queues it.
pub(super) const INSERT_UPLOAD_EVENT: &str = concat!(
    "INSERT INTO events (seq, accepted_at, ",
    new_event_columns!(),
    ") SELECT nextval('events_seq'), clock_timestamp(), ",
    new_event_columns!(),
    " FROM ",
    new_events!(),
    " ON CONFLICT (key_hash) DO NOTHING RETURNING seq, accepted_at"
);

const INSERT_UPLOAD: &str = "INSERT INTO payment_batches (id, tenant, event_seq, created_at, holder, leased_to) \
     VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 millisecond')";

/// The columns that [`upload_row`] reads, of `payment_batches AS b`, its event `e` and its event's posting `p`.
macro_rules! upload_columns {
    () => {
        "b.id, e.details, b.created_at, b.completed_at, b.received, b.duplicates, b.mismatched, b.invalid, \
         b.fingerprint, p.answer"
    };
}

const READ_UPLOAD: &str = concat!(
    "SELECT ",
    upload_columns!(),
    ", clock_timestamp() FROM payment_batches b JOIN events e ON e.seq = b.event_seq \
     LEFT JOIN postings p ON p.event_seq = b.event_seq WHERE b.tenant = $1 AND b.id = $2"
);

/// Takes a lease that nobody holds.
const TAKE_UPLOAD: &str = "UPDATE payment_batches SET holder = $2, \
     leased_to = clock_timestamp() + $3 * interval '1 millisecond' \
     WHERE id = $1 AND completed_at IS NULL AND leased_to < clock_timestamp()";

const FORGET_EXCEPTIONS: &str = "DELETE FROM batch_exceptions WHERE batch_id = $1";

const KEEP_UPLOAD: &str = "UPDATE payment_batches SET leased_to = clock_timestamp() + $3 * interval '1 millisecond' \
     WHERE id = $1 AND holder = $2 AND completed_at IS NULL";

const RELEASE_UPLOAD: &str = "UPDATE payment_batches SET leased_to = '-infinity' WHERE id = $1 AND holder = $2";

/// Ends an upload: its counts, and the posting of its event with the answer.
const FINISH_UPLOAD: &str = "WITH ended AS (UPDATE payment_batches SET completed_at = clock_timestamp(), \
     leased_to = '-infinity', fingerprint = $3, received = $4, duplicates = $5, mismatched = $6, invalid = $7 \
     WHERE id = $1 AND holder = $2 AND completed_at IS NULL RETURNING event_seq, completed_at) \
     INSERT INTO postings (event_seq, loan_key, outcome, accounts, amounts, layer, effective_date, booking_date, \
     posted_at, answer) SELECT e.seq, e.loan_key, 'done', '{}', '{}', 'SETTLED', e.effective_date, e.effective_date, \
     ended.completed_at, $8 FROM ended JOIN events e ON e.seq = ended.event_seq";

/// A row that comes again after a takeover says what is true of it now, and only from whoever took over: the upload's row
/// is held, so that the lease cannot change hands meanwhile. Rows of files wait for a person.
const ADD_EXCEPTIONS: &str = "WITH held AS MATERIALIZED (SELECT FROM payment_batches WHERE id = $1 AND holder = $11 \
     AND completed_at IS NULL FOR SHARE) INSERT INTO batch_exceptions (batch_id, row_no, code, idempotency_key, event_id, \
     first_row_no, first_batch_id, amount, currency, errors, open_for) \
     SELECT $1, row_no, code, idempotency_key, event_id, first_row_no, first_batch_id, amount, currency, errors, \
     (SELECT f.tenant FROM ach_files f WHERE f.batch_id = $1) \
     FROM unnest($2::bigint[], $3::text[], $4::text[], $5::uuid[], $6::bigint[], $7::uuid[], $8::bigint[], $9::text[], \
     $10::text[]) AS n (row_no, code, idempotency_key, event_id, first_row_no, first_batch_id, amount, currency, errors) \
     WHERE EXISTS (SELECT FROM held) ORDER BY row_no ON CONFLICT (batch_id, row_no) DO UPDATE SET code = excluded.code, \
     idempotency_key = excluded.idempotency_key, event_id = excluded.event_id, first_row_no = excluded.first_row_no, \
     first_batch_id = excluded.first_batch_id, amount = excluded.amount, currency = excluded.currency, \
     errors = excluded.errors";

/// The control totals, in one snapshot: counters for what is finished, and the few rows that wait for a person. From those
/// to the upload, by OFFSET 0: the planner would rather walk the upload, a million rows each time somebody asks how far
/// it is.
const READ_CONTROL_TOTALS: &str = "SELECT 'accepted', currency, count, amount::text, NULL::timestamptz \
     FROM batch_accepted WHERE batch_id = $2 \
     UNION ALL SELECT 'reviewed', currency, reviewed, reviewed_amount::text, NULL \
     FROM batch_accepted WHERE batch_id = $2 AND reviewed > 0 \
     UNION ALL SELECT outcome, currency, sum(count)::bigint, sum(amount)::text, max(last_posted_at) \
     FROM batch_totals WHERE batch_id = $2 GROUP BY outcome, currency \
     UNION ALL SELECT 'parked', e.currency, count(*), coalesce(sum(e.amount), 0)::text, NULL \
     FROM parked k CROSS JOIN LATERAL (SELECT e.seq, e.currency, e.amount FROM events e \
     WHERE e.seq = k.event_seq AND e.batch_id = $2 OFFSET 0) AS e WHERE k.parked_at IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) GROUP BY e.currency \
     UNION ALL SELECT 'held', e.currency, count(*), coalesce(sum(e.amount), 0)::text, NULL \
     FROM holds h LEFT JOIN loans l ON l.loan_key = h.loan_key CROSS JOIN LATERAL (SELECT e.seq, e.currency, e.amount \
     FROM events e WHERE e.loan_key = h.loan_key AND e.seq > coalesce(l.last_posted_seq, 0) AND e.batch_id = $2 \
     AND e.slot IS NOT NULL OFFSET 0) AS e WHERE h.tenant = $1 \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) \
     AND NOT EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) GROUP BY e.currency";

/// The last row of an upload that is there: of an event or of an exception. One step into each index.
const READ_LAST_ROW: &str = "SELECT greatest(0, \
     (SELECT e.row_no FROM events e WHERE e.batch_id = b.id ORDER BY e.row_no DESC LIMIT 1), \
     (SELECT x.row_no FROM batch_exceptions x WHERE x.batch_id = b.id ORDER BY x.row_no DESC LIMIT 1)) \
     FROM payment_batches b WHERE b.tenant = $1 AND b.id = $2";

/// Rows that became events: a piece of `(batch_id, row_no)`, taken before anything is joined to it, whatever the planner
/// knows of the upload. After a takeover two rows may have one number. An upload that came again in another order says
/// where the first of them stands now.
const READ_UPLOAD_EVENTS: &str = concat!(
    "SELECT ",
    status_columns!(),
    " FROM (SELECT ",
    status_event_columns!(),
    ", e.loan_key FROM events e WHERE e.tenant = $1 AND e.batch_id = $2 AND e.row_no BETWEEN $3 AND $4 \
     AND NOT EXISTS (SELECT FROM ",
    moved_rows!("e.id"),
    " WHERE m.batch_id = $2) OFFSET 0) AS e",
    record_joins!(),
    " ORDER BY e.row_no, e.seq"
);

/// What a person posted is an event, and no exception any more.
const READ_EXCEPTIONS: &str = concat!(
    "SELECT ",
    exception_columns!(),
    " FROM payment_batches b JOIN batch_exceptions x ON x.batch_id = b.id WHERE b.tenant = $1 AND b.id = $2 \
     AND x.row_no BETWEEN $3 AND $4 AND x.resolution IS DISTINCT FROM 'posted' ORDER BY x.row_no"
);

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 13] = [
    ("insert_upload_event", INSERT_UPLOAD_EVENT),
    ("insert_upload", INSERT_UPLOAD),
    ("read_upload", READ_UPLOAD),
    ("take_upload", TAKE_UPLOAD),
    ("forget_exceptions", FORGET_EXCEPTIONS),
    ("keep_upload", KEEP_UPLOAD),
    ("release_upload", RELEASE_UPLOAD),
    ("finish_upload", FINISH_UPLOAD),
    ("add_exceptions", ADD_EXCEPTIONS),
    ("read_control_totals", READ_CONTROL_TOTALS),
    ("read_last_row", READ_LAST_ROW),
    ("read_upload_events", READ_UPLOAD_EVENTS),
    ("read_exceptions", READ_EXCEPTIONS),
];

impl PostgresStore {
    pub(super) async fn open_upload(&self, upload: NewUpload) -> Result<UploadBegun, StoreError> {
        let mut connection = self.hot_connection(HotPath::Upload).await?;
        let begun = begin_and_open(&mut connection, &upload).await.inspect_err(|error| self.doubt(error))?;
        self.rest(connection);
        Ok(begun)
    }

    pub(super) async fn renew_upload(&self, hold: UploadHold, lease: Duration) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(KEEP_UPLOAD).bind(hold.id.0).bind(hold.holder).bind(millis(lease));
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn give_back_upload(&self, hold: UploadHold) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(RELEASE_UPLOAD).bind(hold.id.0).bind(hold.holder);
        query.execute(&mut *connection).await.map_err(classify).map(drop)
    }

    pub(super) async fn end_upload(&self, hold: UploadHold, end: UploadEnd) -> Result<bool, StoreError> {
        let mut connection = self.hot_connection(HotPath::Upload).await?;
        let ended = end_upload(&mut connection, hold, &end).await.inspect_err(|error| self.doubt(error))?;
        self.rest(connection);
        Ok(ended)
    }

    pub(super) async fn insert_exceptions(
        &self,
        hold: UploadHold,
        rows: Vec<UploadException>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(ADD_EXCEPTIONS)
            .bind(hold.id.0)
            .bind(rows.iter().map(|row| row.row_no).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.code.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.idempotency_key.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.event_id.map(|id| id.0)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.first_row_no).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.first_batch_id.map(|id| id.0)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.amount.map(Minor::units)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.currency.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.errors.as_deref()).collect::<Vec<_>>())
            .bind(hold.holder);
        let written = query.execute(&mut *connection).await.map_err(classify)?.rows_affected();
        Ok(usize::try_from(written) == Ok(rows.len()))
    }

    pub(super) async fn take_whole(&self, whole: WholeUpload) -> Result<WholeAccepted, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(super::connect::BEGIN).await.map_err(classify)?;
        match whole_upload(&mut transaction, &whole).await {
            Ok(accepted @ WholeAccepted::All(_)) => finish(transaction, Ok(accepted)).await,
            // Nothing of it stays.
            Ok(other) => transaction.rollback().await.map_err(classify).map(|()| other),
            Err(error) => finish(transaction, Err(error)).await,
        }
    }

    pub(super) async fn read_progress(&self, upload: UploadRef) -> Result<Option<UploadProgress>, StoreError> {
        let mut connection = self.hot_connection(HotPath::Upload).await?;
        let progress = progress(&mut connection, upload).await.inspect_err(|error| self.doubt(error))?;
        self.rest(connection);
        Ok(progress)
    }

    pub(super) async fn read_last_row(&self, upload: UploadRef) -> Result<Option<i64>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query_scalar(READ_LAST_ROW).bind(upload.tenant.0).bind(upload.id.0);
        query.fetch_optional(&mut *connection).await.map_err(classify)
    }

    pub(super) async fn read_rows(
        &self,
        upload: UploadRef,
        rows: RangeInclusive<i64>,
    ) -> Result<UploadRows, StoreError> {
        let mut connection = self.connection().await?;
        let mut snapshot = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        let read = both_lists(&mut snapshot, upload, &rows).await;
        let (events, exceptions) = finish(snapshot, read).await?;
        drop(connection);
        Ok(UploadRows {
            events: events.iter().map(status).collect::<Result<_, _>>()?,
            exceptions: exceptions.iter().map(|row| exception(&mut Columns::of(row))).collect::<Result<_, _>>()?,
        })
    }
}

/// Rows of both lists, events and exceptions. In one snapshot, for a review takes a row from the one to the other: between
/// two it would be seen in neither.
async fn both_lists(
    connection: &mut PgConnection,
    upload: UploadRef,
    rows: &RangeInclusive<i64>,
) -> Result<(Vec<PgRow>, Vec<PgRow>), StoreError> {
    let bound = |statement| {
        sqlx::query(statement).bind(upload.tenant.0).bind(upload.id.0).bind(*rows.start()).bind(*rows.end())
    };
    let events = bound(READ_UPLOAD_EVENTS).fetch_all(&mut *connection).await.map_err(classify)?;
    let exceptions = bound(READ_EXCEPTIONS).fetch_all(connection).await.map_err(classify)?;
    Ok((events, exceptions))
}

/// How far an upload has come.
pub(super) async fn progress(
    connection: &mut PgConnection,
    upload: UploadRef,
) -> Result<Option<UploadProgress>, StoreError> {
    // The upload first: the totals of one that is seen as complete then count all that it accepted.
    let Some((record, now)) = read_upload(connection, upload).await? else {
        return Ok(None);
    };
    let totals = sqlx::query(READ_CONTROL_TOTALS).bind(upload.tenant.0).bind(upload.id.0);
    let rows = totals.fetch_all(connection).await.map_err(classify)?;
    let (totals, last_posted_at) = control_totals(&rows)?;
    Ok(Some(UploadProgress { record, totals, last_posted_at, now }))
}

async fn begin_and_open(connection: &mut PgConnection, upload: &NewUpload) -> Result<UploadBegun, StoreError> {
    let mut transaction = begin(connection).await?;
    match open(&mut transaction, upload).await {
        // Nothing of it stays.
        Ok(refused @ (UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_))) => {
            transaction.rollback().await.map_err(classify).map(|()| refused)
        }
        done => finish(transaction, done).await,
    }
}

/// Begins an upload, or takes over one that was cut off.
pub(super) async fn open(connection: &mut PgConnection, upload: &NewUpload) -> Result<UploadBegun, StoreError> {
    let event = &upload.event;
    if let Some(record) = insert_upload(connection, upload).await? {
        return with_file(connection, upload, UploadBegun::New(record)).await;
    }
    let events = std::slice::from_ref(event);
    let known = read_known(connection, events, &Accepted::new()).await?.remove(&event.key_hash.bytes());
    let known = known.ok_or_else(|| StoreError::Broken(format!("upload {} was refused for no row", event.id)))?;
    if known.event.event.fingerprint != event.fingerprint {
        return Ok(UploadBegun::Taken(Box::new(known)));
    }
    let id = PaymentBatchId(known.event.event.id.0);
    let taken = sqlx::query(TAKE_UPLOAD).bind(id.0).bind(upload.holder).bind(millis(upload.lease));
    let is_taken = taken.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1;
    if is_taken {
        sqlx::query(FORGET_EXCEPTIONS).bind(id.0).execute(&mut *connection).await.map_err(classify)?;
    }
    let record = read_upload(connection, UploadRef { tenant: event.tenant, id }).await?;
    let (record, _) = record.ok_or_else(|| StoreError::Broken(format!("upload {id} has no row")))?;
    match (is_taken, record.completed_at) {
        (true, _) => with_file(connection, upload, UploadBegun::Resumed(record)).await,
        (false, Some(_)) => Ok(UploadBegun::Complete(record)),
        (false, None) => Ok(UploadBegun::Busy(record)),
    }
}

/// An upload that is held, with the file it brings as its own.
async fn with_file(
    connection: &mut PgConnection,
    upload: &NewUpload,
    begun: UploadBegun,
) -> Result<UploadBegun, StoreError> {
    let (Some(file), UploadBegun::New(record) | UploadBegun::Resumed(record)) = (&upload.file, &begun) else {
        return Ok(begun);
    };
    let linked = link_file(connection, UploadRef { tenant: upload.event.tenant, id: record.id }, file).await?;
    Ok(match linked {
        Ok(()) => begun,
        Err(Some(other)) => UploadBegun::FileTaken(other),
        Err(None) => UploadBegun::OtherFile(record.clone()),
    })
}

/// Begins an upload whose key is new; `None` where it was taken.
async fn insert_upload(connection: &mut PgConnection, upload: &NewUpload) -> Result<Option<UploadRecord>, StoreError> {
    let event = &upload.event;
    let Command::Upload(command) = &event.command else {
        return Err(StoreError::Broken(format!("event {} is no upload", event.id)));
    };
    let query = EventColumns::of([event]).bind(sqlx::query(INSERT_UPLOAD_EVENT));
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return Ok(None);
    };
    let mut columns = Columns::of(&row);
    let (seq, created_at): (i64, Timestamp) = (columns.take()?, columns.instant()?);
    let insert = sqlx::query(INSERT_UPLOAD)
        .bind(event.id.0)
        .bind(event.tenant.0)
        .bind(seq)
        .bind(created_at.utc())
        .bind(upload.holder)
        .bind(millis(upload.lease));
    insert.execute(&mut *connection).await.map_err(classify)?;
    Ok(Some(UploadRecord {
        id: PaymentBatchId(event.id.0),
        operation: command.operation.clone(),
        created_at,
        completed_at: None,
        rows: RowCounts::default(),
        fingerprint: None,
        answer: None,
    }))
}

/// Ends an upload; false when the lease is lost or it ended before.
pub(super) async fn end_upload(
    connection: &mut PgConnection,
    hold: UploadHold,
    end: &UploadEnd,
) -> Result<bool, StoreError> {
    let query = sqlx::query(FINISH_UPLOAD)
        .bind(hold.id.0)
        .bind(hold.holder)
        .bind(end.fingerprint)
        .bind(end.rows.received)
        .bind(end.rows.duplicates)
        .bind(end.rows.mismatched)
        .bind(end.rows.invalid)
        .bind(end.answer.as_slice());
    Ok(query.execute(connection).await.map_err(classify)?.rows_affected() == 1)
}

async fn whole_upload(connection: &mut PgConnection, whole: &WholeUpload) -> Result<WholeAccepted, StoreError> {
    let begun = open(connection, &whole.upload).await?;
    let UploadBegun::New(record) = begun else {
        return Ok(WholeAccepted::Known(begun));
    };
    let accepted = accept_new(connection, whole.publisher, &whole.rows).await?;
    if accepted.len() < whole.rows.len() {
        let known = read_known(connection, &whole.rows, &accepted).await?;
        let mut known: Vec<KnownEvent> = known.into_values().collect();
        known.sort_by_key(|known| known.event.seq);
        return Ok(WholeAccepted::Conflicts(known));
    }
    let hold = UploadHold { id: record.id, holder: whole.upload.holder };
    if !end_upload(connection, hold, &whole.end).await? {
        return Err(StoreError::Broken(format!("upload {} could not be ended", record.id)));
    }
    let place = |row: &NewEvent| accepted.get(&row.id).map(|(seq, _)| (row.id, *seq));
    Ok(WholeAccepted::All(whole.rows.iter().filter_map(place).collect()))
}

async fn read_upload(
    connection: &mut PgConnection,
    upload: UploadRef,
) -> Result<Option<(UploadRecord, Timestamp)>, StoreError> {
    let query = sqlx::query(READ_UPLOAD).bind(upload.tenant.0).bind(upload.id.0);
    let row = query.fetch_optional(connection).await.map_err(classify)?;
    row.as_ref().map(upload_row).transpose()
}

/// Reads [`upload_columns`] and the clock.
fn upload_row(row: &PgRow) -> Result<(UploadRecord, Timestamp), StoreError> {
    let mut columns = Columns::of(row);
    let id = PaymentBatchId(columns.take()?);
    let details: &str = columns.take()?;
    let operation: UploadOperation = serde_json::from_str(details).map_err(|_| broken("upload", details))?;
    let created_at = columns.instant()?;
    let completed_at = columns.optional_instant()?;
    let rows = RowCounts {
        received: columns.take()?,
        duplicates: columns.take()?,
        mismatched: columns.take()?,
        invalid: columns.take()?,
    };
    let (fingerprint, answer) = (columns.take()?, columns.take()?);
    let record = UploadRecord { id, operation, created_at, completed_at, rows, fingerprint, answer };
    Ok((record, columns.instant()?))
}

type Totals = (BTreeMap<Currency, ControlTotals>, Option<Timestamp>);

fn control_totals(rows: &[PgRow]) -> Result<Totals, StoreError> {
    let mut totals: BTreeMap<Currency, ControlTotals> = BTreeMap::new();
    let mut last: Option<Timestamp> = None;
    for row in rows {
        let mut columns = Columns::of(row);
        let word: &str = columns.take()?;
        let currency: Currency = columns.word("currency")?;
        let tally = totals.entry(currency).or_default().tally_mut(word).ok_or_else(|| broken("batch total", word))?;
        tally.count = columns.take()?;
        tally.amount = columns.word("amount")?;
        last = last.max(columns.optional_instant()?);
    }
    Ok((totals, last))
}

fn millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}
