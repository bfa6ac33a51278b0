//! Owns the reads of events. Every read for a caller takes the tenant first, and the tenant stands in its WHERE.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::PostgresStore;
use super::error::classify;
use super::intake_rows::Prepared;
use super::rows::{self, Columns, event_columns, key_column, posting_columns};
use crate::core::event::{EventKind, Stage};
use crate::core::ids::{EventId, KeyHash, LoanKey, Seq, TenantId};
use crate::core::ledger::AccountCode;
use crate::store::{EntriesPage, EventRecord, Progress, StoreError, Undoing};

/// The most unposted events that [`COUNT_BEFORE`] counts.
const POSITION_MAX: i64 = 10_000;

/// What every read of an event answers. Undoing and restating postings are found by partial indexes.
macro_rules! record_columns {
    () => {
        concat!(event_columns!(), ", ", posting_columns!(), ", ", $crate::store::postgres::read::progress_columns!())
    };
}

/// The end of what is answered of an event: whether it is parked or held, what undid it, and its newest split. Of what is
/// finished nobody looks whether it waits.
macro_rules! progress_columns {
    () => {
        "p.event_seq IS NULL AND EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL), \
         p.event_seq IS NULL AND EXISTS (SELECT FROM holds h WHERE h.loan_key = e.loan_key), undo.id, undo.kind, \
         r.alloc_fees, r.alloc_interest, r.alloc_principal, r.alloc_suspense"
    };
}

/// What came of the event `e` of [`record_columns`]. The split that stands is the one posted last: numbers are drawn when
/// an event is accepted, or by a consequence when it is posted, so they tell no order.
macro_rules! record_joins {
    () => {
        " LEFT JOIN postings p ON p.event_seq = e.seq LEFT JOIN LATERAL (SELECT s.alloc_fees, s.alloc_interest, \
         s.alloc_principal, s.alloc_suspense FROM postings s WHERE s.restates_seq = e.seq \
         ORDER BY s.posted_at DESC, s.loan_version DESC LIMIT 1) AS r ON true LEFT JOIN LATERAL (SELECT ue.id, ue.kind FROM postings u \
         JOIN events ue ON ue.seq = u.event_seq WHERE u.undoes_seq = e.seq LIMIT 1) AS undo ON true"
    };
}

/// The tables behind [`record_columns`].
macro_rules! record_tables {
    () => {
        concat!("events e", $crate::store::postgres::read::record_joins!())
    };
}

pub(super) use {progress_columns, record_columns, record_joins, record_tables};

const READ_EVENT: &str =
    concat!("SELECT ", record_columns!(), " FROM ", record_tables!(), " WHERE e.tenant = $1 AND e.id = $2");

const READ_EVENT_OF_KEY: &str =
    concat!("SELECT ", record_columns!(), " FROM ", record_tables!(), " WHERE e.tenant = $1 AND e.key_hash = $2");

/// A loan's entries: a walk of `(loan_key, loan_version)` from the page's beginning. A payment that moved the memo
/// accounts is a recovery, as [`Posting::event_type`](crate::core::ledger::Posting::event_type) has it.
const READ_ENTRIES: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM ",
    record_tables!(),
    " WHERE e.tenant = $1 AND p.loan_key = $2 AND p.loan_version > $3 AND cardinality(p.amounts) > 0 \
     AND ($4::date IS NULL OR p.effective_date >= $4) AND ($5::date IS NULL OR p.effective_date <= $5) \
     AND ($6::text[] IS NULL OR CASE WHEN e.kind = 'payment_received' AND $8 = ANY(p.accounts) THEN 'recovery' \
     ELSE e.kind END = ANY($6)) ORDER BY p.loan_version LIMIT $7"
);

/// Of these events, those that are finished.
const READ_FINISHED: &str =
    concat!("SELECT ", record_columns!(), " FROM ", record_tables!(), " WHERE e.id = ANY($1) AND p.event_seq > 0");

/// Unposted events of a loan before a place. Begins at the loan's mark: what is unposted below it was committed late
/// and is on its way.
const COUNT_BEFORE: &str = "SELECT count(*) FROM (SELECT e.seq FROM events e WHERE e.tenant = $1 AND e.loan_key = $2 \
     AND e.seq > coalesce((SELECT l.last_posted_seq FROM loans l WHERE l.loan_key = $2), 0) AND e.seq < $3 \
     AND e.slot IS NOT NULL AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) \
     LIMIT $4) AS unposted";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 5] = [
    ("read_event", READ_EVENT),
    ("read_event_of_key", READ_EVENT_OF_KEY),
    ("read_entries", READ_ENTRIES),
    ("read_finished", READ_FINISHED),
    ("count_before", COUNT_BEFORE),
];

impl PostgresStore {
    pub(super) async fn read_event(&self, tenant: TenantId, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        Ok(self.records(sqlx::query(READ_EVENT).bind(tenant.0).bind(id.0)).await?.pop())
    }

    pub(super) async fn read_event_of_key(
        &self,
        tenant: TenantId,
        key: String,
    ) -> Result<Option<EventRecord>, StoreError> {
        let hash = Uuid::from_bytes(KeyHash::of_caller_key(tenant, &key).bytes());
        let found = self.records(sqlx::query(READ_EVENT_OF_KEY).bind(tenant.0).bind(hash)).await?.pop();
        Ok(found.filter(|record| record.event.event.key.as_ref().is_some_and(|stored| stored.as_str() == key)))
    }

    pub(super) async fn read_entries(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        page: EntriesPage,
    ) -> Result<Option<Vec<EventRecord>>, StoreError> {
        if self.read_loan(tenant, loan).await?.is_none() {
            return Ok(None);
        }
        let kinds = page.event_type.map(|event_type| kinds_of(&event_type));
        let query = sqlx::query(READ_ENTRIES)
            .bind(tenant.0)
            .bind(key_column(loan))
            .bind(page.after_version)
            .bind(page.from)
            .bind(page.to)
            .bind(kinds)
            .bind(page.limit.saturating_add(1))
            .bind(AccountCode::CHARGED_OFF_MEMO.number());
        self.records(query).await.map(Some)
    }

    pub(super) async fn read_finished(&self, ids: Vec<EventId>) -> Result<Vec<EventRecord>, StoreError> {
        let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
        self.records(sqlx::query(READ_FINISHED).bind(ids)).await
    }

    pub(super) async fn count_before(&self, tenant: TenantId, loan: LoanKey, seq: Seq) -> Result<i64, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(COUNT_BEFORE).bind(tenant.0).bind(key_column(loan)).bind(seq.0).bind(POSITION_MAX);
        let row = query.fetch_one(&mut *connection).await.map_err(classify)?;
        Columns::of(&row).take()
    }

    async fn records(&self, query: Prepared<'_>) -> Result<Vec<EventRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
        rows.iter().map(record).collect()
    }
}

/// The stored kinds whose entries bear an event type of the contract.
fn kinds_of(event_type: &str) -> Vec<&'static str> {
    let kinds = EventKind::ALL.into_iter().filter(|kind| kind.event_type() == event_type);
    kinds.map(EventKind::as_str).collect()
}

/// Reads [`record_columns`].
pub(super) fn record(row: &PgRow) -> Result<EventRecord, StoreError> {
    record_of(&mut Columns::of(row))
}

/// Reads [`record_columns`] where more follow.
pub(super) fn record_of(columns: &mut Columns<'_>) -> Result<EventRecord, StoreError> {
    let event = rows::event(columns)?;
    let posting = rows::posting(columns, event.event.id)?;
    let stage: Stage = rows::stage(columns, posting.is_some())?;
    Ok(EventRecord { event, stage, posting, progress: progress(columns)? })
}

/// Reads what undid an event, and its newest split.
pub(super) fn progress(columns: &mut Columns<'_>) -> Result<Progress, StoreError> {
    let undoing: (Option<Uuid>, Option<&str>) = (columns.take()?, columns.take()?);
    let undone_by = undoing.0.zip(undoing.1).map(|(id, kind)| {
        let kind = kind.parse().map_err(|_| rows::broken("kind", kind))?;
        Ok(Undoing { id: EventId(id), kind })
    });
    Ok(Progress { undone_by: undone_by.transpose()?, current_allocation: rows::allocation(columns)? })
}
