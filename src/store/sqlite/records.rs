//! Owns reads of events with what came of them. Each takes the tenant first, but the waiting room's.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::ids::{EventId, KeyHash, LoanKey, Seq, TenantId};
use crate::store::read::payment_kinds;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::event_ids;
use crate::store::sqlite::rows::{decode_record, decode_status, event_columns, get, posting_columns};
use crate::store::{EventRecord, PaymentsFilter, PaymentsPage, StoreError};

/// An event's stage in the words of the contract. A macro, because it is selected and filtered by.
macro_rules! stage {
    () => {
        "coalesce(p.outcome, CASE WHEN k.parked_at IS NOT NULL THEN 'parked'
            WHEN h.loan_key IS NOT NULL THEN 'held' ELSE 'accepted' END)"
    };
}

/// The head of every read of records, up to its WHERE.
macro_rules! select_records {
    ($from:literal) => {
        select_records!($from, "e.seq")
    };
    ($from:literal, $more:literal) => {
        concat!(
            "SELECT ",
            event_columns!(),
            ", ",
            posting_columns!(),
            ", ",
            stage!(),
            " AS stage, undoing.id AS undone_by, undoing.kind AS undone_by_kind,
            r.alloc_fees AS current_fees, r.alloc_interest AS current_interest,
            r.alloc_principal AS current_principal, r.alloc_suspense AS current_suspense, ",
            $more,
            " FROM ",
            $from,
            " LEFT JOIN parked AS k ON k.event_seq = e.seq
            LEFT JOIN holds AS h ON h.loan_key = e.loan_key
            LEFT JOIN postings AS r ON r.event_seq = (
                SELECT later.event_seq FROM postings AS later WHERE later.restates_seq = e.seq
                ORDER BY later.posted_at DESC, later.loan_version DESC LIMIT 1)
            LEFT JOIN postings AS undo ON undo.undoes_seq = e.seq
            LEFT JOIN events AS undoing ON undoing.seq = undo.event_seq"
        )
    };
}
pub(super) use {select_records, stage};

/// A payment's status in the words of the contract: its stage, unless an event has undone it.
macro_rules! payment_status {
    () => {
        concat!(
            "coalesce(CASE WHEN undoing.kind = 'payment_returned' THEN 'returned'
                WHEN undoing.kind IS NOT NULL THEN 'reversed' END, ",
            stage!(),
            ")"
        )
    };
}

/// What every list of payments filters by; ?2 is the place it goes on after.
macro_rules! payments_filter {
    ($order:literal) => {
        concat!(
            " AND e.tenant = ?1 AND e.kind IN ",
            payment_kinds!(),
            " AND e.id >= ?3 AND e.id < ?4 AND (?9 IS NULL OR e.batch_id = ?9)
            AND (?5 IS NULL OR e.external_ref = ?5) AND (?6 IS NULL OR ",
            payment_status!(),
            " = ?6) ORDER BY ",
            $order,
            " LIMIT ?7"
        )
    };
}

pub(super) const EVENT_OF_ID: &str = concat!(
    select_records!("events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.tenant = ?1 AND e.id = ?2"
);

pub(super) const EVENT_OF_KEY: &str = concat!(
    select_records!("events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.tenant = ?1 AND e.key_hash = ?2 AND e.key = ?3"
);

pub(super) const PAYMENTS_OF_LOAN: &str = concat!(
    select_records!("events AS e INDEXED BY events_loan_seq LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.loan_key = ?8 AND e.seq > ?2",
    payments_filter!("e.seq")
);

pub(super) const PAYMENTS_OF_BATCH: &str = concat!(
    select_records!("events AS e INDEXED BY events_batch_row LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.batch_id = ?8
        AND (e.row_no, e.seq) > (coalesce((SELECT a.row_no FROM events AS a WHERE a.seq = ?2), 0), ?2)",
    payments_filter!("e.row_no, e.seq")
);

pub(super) const PAYMENTS_OF_TIME: &str = concat!(
    select_records!("events AS e INDEXED BY events_id LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE ?8 IS NULL AND e.id >= coalesce((SELECT a.id FROM events AS a WHERE a.seq = ?2), ?3) AND e.seq <> ?2",
    payments_filter!("e.id")
);

pub(super) const FINISHED_OF_IDS: &str = concat!(
    select_records!("events AS e JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.id IN (SELECT unhex(value) FROM jsonb_each(?1))"
);

/// `last_posted_seq` spares the walk along all that is posted.
pub(super) const POSITION: &str = "
    SELECT count(*) AS before FROM (
        SELECT 1 FROM events AS e
        WHERE e.loan_key = ?2 AND e.tenant = ?1 AND e.seq < ?3 AND e.slot IS NOT NULL
            AND e.seq > coalesce((SELECT last_posted_seq FROM loans WHERE loan_key = ?2), 0)
            AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
        LIMIT 10000)";

/// An event of a tenant.
pub(super) async fn event(
    db: &mut SqliteConnection,
    tenant: TenantId,
    id: EventId,
) -> Result<Option<EventRecord>, StoreError> {
    let row = sqlx::query(EVENT_OF_ID).bind(tenant.0).bind(id.0).fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(decode_record).transpose()
}

/// The event of a tenant's key.
pub(super) async fn event_of_key(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: String,
) -> Result<Option<EventRecord>, StoreError> {
    let hash = KeyHash::of_caller_key(tenant, &key).bytes().to_vec();
    let query = sqlx::query(EVENT_OF_KEY).bind(tenant.0).bind(hash).bind(key);
    query.fetch_optional(db).await.map_err(store_error)?.as_ref().map(decode_record).transpose()
}

/// A page of a tenant's payments, by the narrowest index the filter allows.
pub(super) async fn payments(
    db: &mut SqliteConnection,
    tenant: TenantId,
    filter: PaymentsFilter,
) -> Result<PaymentsPage, StoreError> {
    let (statement, of) = match (filter.loan, filter.batch) {
        (Some(loan), _) => (PAYMENTS_OF_LOAN, Some(loan.bytes())),
        (None, Some(batch)) => (PAYMENTS_OF_BATCH, Some(batch.0.into_bytes())),
        (None, None) => (PAYMENTS_OF_TIME, None),
    };
    let rows = sqlx::query(statement)
        .bind(tenant.0)
        .bind(filter.after.map_or(0, |seq| seq.0))
        .bind(filter.accepted_from.map_or(Uuid::nil(), |id| id.0))
        .bind(filter.accepted_before.map_or(Uuid::max(), |id| id.0))
        .bind(filter.external_ref)
        .bind(filter.status)
        .bind(filter.limit.saturating_add(1))
        .bind(of.map(Vec::from))
        .bind(filter.batch.map(|batch| batch.0));
    let rows = rows.fetch_all(db).await.map_err(store_error)?;
    // Not bounded: what is asked here is asked by one machine of itself.
    Ok(PaymentsPage { events: rows.iter().map(decode_status).collect::<Result<_, _>>()?, goes_on_after: None })
}

/// Of these events, those that are finished.
pub(super) async fn finished(db: &mut SqliteConnection, ids: Vec<EventId>) -> Result<Vec<EventRecord>, StoreError> {
    let rows = sqlx::query(FINISHED_OF_IDS).bind(event_ids(ids)?).fetch_all(db).await.map_err(store_error)?;
    decode_records(&rows)
}

/// How many unposted events of a loan stand before a place.
pub(super) async fn position(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
    seq: Seq,
) -> Result<i64, StoreError> {
    let query = sqlx::query(POSITION).bind(tenant.0).bind(loan.bytes().to_vec()).bind(seq.0);
    get(&query.fetch_one(db).await.map_err(store_error)?, "before")
}

/// Reads many records.
pub(super) fn decode_records(rows: &[SqliteRow]) -> Result<Vec<EventRecord>, StoreError> {
    rows.iter().map(decode_record).collect()
}
