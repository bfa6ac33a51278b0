//! Owns the statements of uploads: their beginning, lease, end and progress.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::event::{Command, NewEvent, UploadOperation};
use crate::core::ids::{EventId, PaymentBatchId};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::sqlite::accept::{accept, insert_events, known_events};
use crate::store::sqlite::ach;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{EventRow, ExceptionRow, json};
use crate::store::sqlite::records::{select_records, stage};
use crate::store::sqlite::review::{exception, exception_columns};
use crate::store::sqlite::rows::{
    broken, decode_status, event_columns, get, id, instant, optional_bytes, posting_columns, sum, word,
};
use crate::store::{
    Acceptance, ControlTotals, NewUpload, RowCounts, StoreError, Tally, UploadBegun, UploadEnd, UploadException,
    UploadHold, UploadProgress, UploadRecord, UploadRef, UploadRows, UploadedFile, WholeAccepted, WholeUpload,
};

/// An upload's own event. It has no slot: nothing queues it.
pub(super) const INSERT_UPLOAD_EVENT: &str =
    concat!(insert_events!(), " ON CONFLICT (key_hash) DO NOTHING RETURNING seq, id");

pub(super) const INSERT_UPLOAD: &str = "
    INSERT INTO payment_batches (id, tenant, event_seq, created_at, holder, leased_to) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) const UPLOAD: &str = "
    SELECT b.id, e.details, b.created_at, b.completed_at, b.received, b.duplicates, b.mismatched, b.invalid,
        b.fingerprint, p.answer
    FROM payment_batches AS b
    JOIN events AS e ON e.seq = b.event_seq
    LEFT JOIN postings AS p ON p.event_seq = b.event_seq
    WHERE b.tenant = ?1 AND b.id = ?2";

/// Takes a lease that nobody holds.
pub(super) const TAKE_UPLOAD: &str = "
    UPDATE payment_batches SET holder = ?2, leased_to = ?3
    WHERE id = ?1 AND completed_at IS NULL AND leased_to < ?4";

pub(super) const FORGET_EXCEPTIONS: &str = "DELETE FROM batch_exceptions WHERE batch_id = ?1";

pub(super) const KEEP_UPLOAD: &str = "
    UPDATE payment_batches SET leased_to = ?3 WHERE id = ?1 AND holder = ?2 AND completed_at IS NULL";

pub(super) const RELEASE_UPLOAD: &str = "UPDATE payment_batches SET leased_to = 0 WHERE id = ?1 AND holder = ?2";

pub(super) const END_UPLOAD: &str = "
    UPDATE payment_batches SET completed_at = ?3, leased_to = 0, fingerprint = ?4, received = ?5, duplicates = ?6,
        mismatched = ?7, invalid = ?8
    WHERE id = ?1 AND holder = ?2 AND completed_at IS NULL";

/// The posting of an upload's event, with the answer.
pub(super) const POST_UPLOAD: &str = "
    INSERT INTO postings (event_seq, loan_key, outcome, accounts, amounts, layer, effective_date, booking_date,
        posted_at, answer)
    SELECT e.seq, e.loan_key, 'done', '[]', '[]', 'SETTLED', e.effective_date, e.effective_date, ?2, ?3
    FROM payment_batches AS b JOIN events AS e ON e.seq = b.event_seq WHERE b.id = ?1";

/// A row that comes again after a takeover says what is true of it now, and only from whoever took over. Rows of files wait
/// for a person.
pub(super) const ADD_EXCEPTIONS: &str = "
    INSERT INTO batch_exceptions (batch_id, row_no, code, idempotency_key, event_id, first_row_no, first_batch_id, amount,
        currency, errors, open_for)
    SELECT ?1, value ->> 'row_no', value ->> 'code', value ->> 'idempotency_key', unhex(value ->> 'event_id'),
        value ->> 'first_row_no', unhex(value ->> 'first_batch_id'), value ->> 'amount', value ->> 'currency',
        value ->> 'errors', (SELECT f.tenant FROM ach_files AS f WHERE f.batch_id = ?1)
    FROM jsonb_each(?2)
    WHERE EXISTS (SELECT 1 FROM payment_batches WHERE id = ?1 AND holder = ?3 AND completed_at IS NULL)
    ON CONFLICT (batch_id, row_no) DO UPDATE SET code = excluded.code, idempotency_key = excluded.idempotency_key,
        event_id = excluded.event_id, first_row_no = excluded.first_row_no, first_batch_id = excluded.first_batch_id,
        amount = excluded.amount, currency = excluded.currency, errors = excluded.errors";

/// The sums are added up in Rust: they have 128 bits.
pub(super) const FINISHED_TOTALS: &str =
    "SELECT outcome AS word, currency, count, amount, last_posted_at FROM batch_totals WHERE batch_id = ?1";

pub(super) const ACCEPTED_TOTALS: &str =
    "SELECT 'accepted' AS word, currency, count, amount FROM batch_accepted WHERE batch_id = ?1
    UNION ALL SELECT 'reviewed', currency, reviewed, reviewed_amount FROM batch_accepted
    WHERE batch_id = ?1 AND reviewed > 0";

/// Rows that wait for a person: parked ones, and the unposted ones of loans on hold. Few, so CROSS JOIN keeps the way from
/// them to the upload: the other way would walk all of it.
pub(super) const WAITING_ROWS: &str = "
    SELECT 'parked' AS word, e.currency, 1 AS count, CAST(coalesce(e.amount, 0) AS TEXT) AS amount
    FROM parked AS k CROSS JOIN events AS e ON e.seq = k.event_seq
    WHERE e.batch_id = ?2 AND k.parked_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
    UNION ALL
    SELECT 'held', e.currency, 1, CAST(coalesce(e.amount, 0) AS TEXT)
    FROM holds AS h
    LEFT JOIN loans AS l ON l.loan_key = h.loan_key
    JOIN events AS e INDEXED BY events_loan_seq
        ON e.loan_key = h.loan_key AND e.seq > coalesce(l.last_posted_seq, 0)
    WHERE h.tenant = ?1 AND e.batch_id = ?2 AND e.slot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
        AND NOT EXISTS (SELECT 1 FROM parked AS k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL)";

/// Rows that became events, in row order. After a takeover two may have one number, unless the upload came again in
/// another order and says where the first of them stands now.
pub(super) const UPLOAD_EVENTS: &str = concat!(
    select_records!("events AS e INDEXED BY events_batch_row LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.batch_id = ?2 AND e.tenant = ?1 AND e.row_no BETWEEN ?3 AND ?4
        AND NOT EXISTS (SELECT 1 FROM batch_exceptions AS m
            INDEXED BY batch_exceptions_moved WHERE m.event_id = e.id AND m.code = 'moved' AND m.batch_id = ?2)
    ORDER BY e.row_no, e.seq"
);

/// What a person posted is an event, and no exception any more.
pub(super) const UPLOAD_EXCEPTIONS: &str = concat!(
    "SELECT ",
    exception_columns!(),
    " FROM payment_batches AS b JOIN batch_exceptions AS x ON x.batch_id = b.id
    WHERE b.tenant = ?1 AND b.id = ?2 AND x.row_no BETWEEN ?3 AND ?4 AND x.resolution IS NOT 'posted' ORDER BY x.row_no"
);

/// The last row of an upload that is there: of an event or of an exception.
pub(super) const LAST_ROW: &str = "
    SELECT max(coalesce((SELECT max(e.row_no) FROM events AS e INDEXED BY events_batch_row WHERE e.batch_id = b.id), 0),
        coalesce((SELECT max(x.row_no) FROM batch_exceptions AS x WHERE x.batch_id = b.id), 0)) AS row_no
    FROM payment_batches AS b WHERE b.tenant = ?1 AND b.id = ?2";

/// Begins an upload, or takes over one that was cut off. The one writer looks before it writes, so nothing has to be
/// taken back.
pub(super) async fn begin(
    db: &mut SqliteConnection,
    upload: NewUpload,
    now: Timestamp,
) -> Result<UploadBegun, StoreError> {
    let event = &upload.event;
    let known = known_events(db, &[event]).await?.remove(&event.key_hash);
    let Some(known) = known else {
        let own = UploadRef { tenant: event.tenant, id: PaymentBatchId(event.id.0) };
        if let Some(other) = other_upload(db, own, upload.file.as_ref()).await? {
            return Ok(UploadBegun::FileTaken(other));
        }
        let record = insert(db, &upload, now).await?.ok_or_else(|| broken("a key was taken between two looks"))?;
        link(db, own, upload.file).await?;
        return Ok(UploadBegun::New(record));
    };
    if known.event.event.fingerprint != event.fingerprint {
        return Ok(UploadBegun::Taken(Box::new(known)));
    }
    let own = UploadRef { tenant: event.tenant, id: PaymentBatchId(known.event.event.id.0) };
    if let Some(file) = &upload.file {
        let record = read(db, own).await?.ok_or_else(|| broken("payment_batches"))?;
        let its_own = ach::file(db, own).await?;
        if record.completed_at.is_none() && its_own.is_some_and(|its_own| its_own.sha256 != file.sha256) {
            return Ok(UploadBegun::OtherFile(record));
        }
        if let Some(other) = other_upload(db, own, upload.file.as_ref()).await? {
            return Ok(UploadBegun::FileTaken(other));
        }
    }
    let taken = sqlx::query(TAKE_UPLOAD).bind(own.id.0).bind(upload.holder).bind(until(now, upload.lease));
    let taken = taken.bind(now.micros()).execute(&mut *db).await.map_err(store_error)?.rows_affected() == 1;
    if taken {
        sqlx::query(FORGET_EXCEPTIONS).bind(own.id.0).execute(&mut *db).await.map_err(store_error)?;
        link(db, own, upload.file).await?;
    }
    let record = read(db, own).await?.ok_or_else(|| broken("payment_batches"))?;
    Ok(match (taken, record.completed_at) {
        (true, _) => UploadBegun::Resumed(record),
        (false, Some(_)) => UploadBegun::Complete(record),
        (false, None) => UploadBegun::Busy(record),
    })
}

async fn other_upload(
    db: &mut SqliteConnection,
    own: UploadRef,
    file: Option<&UploadedFile>,
) -> Result<Option<PaymentBatchId>, StoreError> {
    let Some(file) = file else { return Ok(None) };
    ach::file_upload(db, own, file.sha256).await
}

async fn link(db: &mut SqliteConnection, own: UploadRef, file: Option<UploadedFile>) -> Result<(), StoreError> {
    let Some(file) = file else { return Ok(()) };
    ach::link_file(db, own, file).await
}

/// Begins an upload whose key is new; `None` where it was taken.
async fn insert(
    db: &mut SqliteConnection,
    upload: &NewUpload,
    now: Timestamp,
) -> Result<Option<UploadRecord>, StoreError> {
    let event = &upload.event;
    let Command::Upload(command) = &event.command else {
        return Err(broken("an upload's event is no upload"));
    };
    let row = sqlx::query_with(INSERT_UPLOAD_EVENT, EventRow { event, accepted_at: now }.alone()?);
    let Some(row) = row.fetch_optional(&mut *db).await.map_err(store_error)? else {
        return Ok(None);
    };
    let seq: i64 = get(&row, "seq")?;
    let insert = sqlx::query(INSERT_UPLOAD).bind(event.id.0).bind(event.tenant.0).bind(seq).bind(now.micros());
    let insert = insert.bind(upload.holder).bind(until(now, upload.lease));
    insert.execute(db).await.map_err(store_error)?;
    Ok(Some(UploadRecord {
        id: PaymentBatchId(event.id.0),
        operation: command.operation.clone(),
        created_at: now,
        completed_at: None,
        rows: RowCounts::default(),
        fingerprint: None,
        answer: None,
    }))
}

/// Renews a lease; false when it is lost.
pub(super) async fn keep(
    db: &mut SqliteConnection,
    hold: UploadHold,
    lease: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let query = sqlx::query(KEEP_UPLOAD).bind(hold.id.0).bind(hold.holder).bind(until(now, lease));
    Ok(query.execute(db).await.map_err(store_error)?.rows_affected() == 1)
}

/// Gives a lease back.
pub(super) async fn release(db: &mut SqliteConnection, hold: UploadHold) -> Result<(), StoreError> {
    let query = sqlx::query(RELEASE_UPLOAD).bind(hold.id.0).bind(hold.holder);
    query.execute(db).await.map_err(store_error).map(drop)
}

/// Ends an upload; false when the lease is lost or it ended before.
pub(super) async fn finish(
    db: &mut SqliteConnection,
    hold: UploadHold,
    end: UploadEnd,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let ended = sqlx::query(END_UPLOAD)
        .bind(hold.id.0)
        .bind(hold.holder)
        .bind(now.micros())
        .bind(end.fingerprint.to_vec())
        .bind(end.rows.received)
        .bind(end.rows.duplicates)
        .bind(end.rows.mismatched)
        .bind(end.rows.invalid)
        .execute(&mut *db)
        .await
        .map_err(store_error)?;
    if ended.rows_affected() == 0 {
        return Ok(false);
    }
    let post = sqlx::query(POST_UPLOAD).bind(hold.id.0).bind(now.micros()).bind(end.answer);
    post.execute(db).await.map_err(store_error)?;
    Ok(true)
}

/// Keeps rows that made no event; false when the lease is lost.
pub(super) async fn add_exceptions(
    db: &mut SqliteConnection,
    hold: UploadHold,
    rows: Vec<UploadException>,
) -> Result<bool, StoreError> {
    let rows: Vec<ExceptionRow<'_>> = rows.iter().map(ExceptionRow::from).collect();
    let query = sqlx::query(ADD_EXCEPTIONS).bind(hold.id.0).bind(json(&rows)?).bind(hold.holder);
    let written = query.execute(db).await.map_err(store_error)?.rows_affected();
    Ok(usize::try_from(written) == Ok(rows.len()))
}

/// Accepts all rows of an upload or none. The one writer looks before it writes, so nothing has to be taken back.
pub(super) async fn accept_whole(
    db: &mut SqliteConnection,
    whole: WholeUpload,
    now: Timestamp,
) -> Result<WholeAccepted, StoreError> {
    let WholeUpload { upload, publisher, rows, end } = whole;
    if known_events(db, &[&upload.event]).await?.is_empty() {
        let known = known_events(db, &rows.iter().collect::<Vec<_>>()).await?;
        if !known.is_empty() {
            let mut known: Vec<_> = known.into_values().collect();
            known.sort_by_key(|known| known.event.seq);
            return Ok(WholeAccepted::Conflicts(known));
        }
    }
    let holder = upload.holder;
    let begun = begin(db, upload, now).await?;
    let UploadBegun::New(record) = begun else {
        return Ok(WholeAccepted::Known(begun));
    };
    let ids: Vec<EventId> = rows.iter().map(|row: &NewEvent| row.id).collect();
    let accepted = accept(db, publisher, rows, now).await?;
    let place = |(id, acceptance): (EventId, Acceptance)| match acceptance {
        Acceptance::New { seq, .. } => Ok((id, seq)),
        Acceptance::Known(_) => Err(broken("a key was taken between two looks of the one writer")),
    };
    let places = ids.into_iter().zip(accepted).map(place).collect::<Result<_, _>>()?;
    if !finish(db, UploadHold { id: record.id, holder }, end, now).await? {
        return Err(broken("an upload could not be ended"));
    }
    Ok(WholeAccepted::All(places))
}

/// How far an upload has come.
pub(super) async fn progress(
    db: &mut SqliteConnection,
    upload: UploadRef,
    now: Timestamp,
) -> Result<Option<UploadProgress>, StoreError> {
    let Some(record) = read(db, upload).await? else {
        return Ok(None);
    };
    let mut totals = BTreeMap::new();
    let mut last_posted_at = None;
    for row in sqlx::query(FINISHED_TOTALS).bind(upload.id.0).fetch_all(&mut *db).await.map_err(store_error)? {
        add_total(&mut totals, &row)?;
        last_posted_at = last_posted_at.max(Some(instant(&row, "last_posted_at")?));
    }
    for row in sqlx::query(ACCEPTED_TOTALS).bind(upload.id.0).fetch_all(&mut *db).await.map_err(store_error)? {
        add_total(&mut totals, &row)?;
    }
    let waiting = sqlx::query(WAITING_ROWS).bind(upload.tenant.0).bind(upload.id.0);
    for row in waiting.fetch_all(db).await.map_err(store_error)? {
        add_total(&mut totals, &row)?;
    }
    Ok(Some(UploadProgress { record, totals, last_posted_at, now }))
}

fn add_total(totals: &mut BTreeMap<Currency, ControlTotals>, row: &SqliteRow) -> Result<(), StoreError> {
    let currency: Currency = word(row, "currency")?;
    let tally = totals.entry(currency).or_default().tally_mut(get(row, "word")?);
    let tally = tally.ok_or_else(|| broken("batch_totals.outcome"))?;
    *tally = tally.plus(Tally { count: get(row, "count")?, amount: sum(row, "amount")? });
    Ok(())
}

/// The last row of an upload.
pub(super) async fn last_row(db: &mut SqliteConnection, upload: UploadRef) -> Result<Option<i64>, StoreError> {
    let query = sqlx::query(LAST_ROW).bind(upload.tenant.0).bind(upload.id.0);
    let row = query.fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(|row| get(row, "row_no")).transpose()
}

/// Rows of an upload.
pub(super) async fn rows(
    db: &mut SqliteConnection,
    upload: UploadRef,
    rows: RangeInclusive<i64>,
) -> Result<UploadRows, StoreError> {
    let bound = |statement| {
        sqlx::query(statement).bind(upload.tenant.0).bind(upload.id.0).bind(*rows.start()).bind(*rows.end())
    };
    let events = bound(UPLOAD_EVENTS).fetch_all(&mut *db).await.map_err(store_error)?;
    let exceptions = bound(UPLOAD_EXCEPTIONS).fetch_all(db).await.map_err(store_error)?;
    Ok(UploadRows {
        events: events.iter().map(decode_status).collect::<Result<_, _>>()?,
        exceptions: exceptions.iter().map(exception).collect::<Result<_, _>>()?,
    })
}

async fn read(db: &mut SqliteConnection, upload: UploadRef) -> Result<Option<UploadRecord>, StoreError> {
    let query = sqlx::query(UPLOAD).bind(upload.tenant.0).bind(upload.id.0);
    query.fetch_optional(db).await.map_err(store_error)?.as_ref().map(record).transpose()
}

fn record(row: &SqliteRow) -> Result<UploadRecord, StoreError> {
    let operation: UploadOperation =
        serde_json::from_str(get(row, "details")?).map_err(|_| broken("details of an upload"))?;
    let completed_at: Option<i64> = get(row, "completed_at")?;
    Ok(UploadRecord {
        id: PaymentBatchId(id(row, "id")?),
        operation,
        created_at: instant(row, "created_at")?,
        completed_at: completed_at.map(|_| instant(row, "completed_at")).transpose()?,
        rows: RowCounts {
            received: get(row, "received")?,
            duplicates: get(row, "duplicates")?,
            mismatched: get(row, "mismatched")?,
            invalid: get(row, "invalid")?,
        },
        fingerprint: optional_bytes(row, "fingerprint")?,
        answer: get(row, "answer")?,
    })
}

/// When a lease taken now ends.
fn until(now: Timestamp, lease: Duration) -> i64 {
    now.micros().saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
}
