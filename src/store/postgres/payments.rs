//! Owns the lists of payments. Each page is a walk of one index, of a bounded number of entries: a state, a reference or a
//! tenant among others may be found late or never, and nobody waits for half a minute to be told so.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::connect::{BEGIN_SNAPSHOT, PostgresStore, finish};
use super::error::classify;
use super::read::record_joins;
use super::rows::{Columns, key_column};
use super::status::{status, status_columns, status_events_by};
use crate::core::ids::{Seq, TenantId};
use crate::store::read::payment_kinds;
use crate::store::{EventStatus, PaymentsFilter, PaymentsPage, StoreError};

/// A list of payments, as [`PaymentsFilter`] asks for it: $3 the smallest id, $4 the first that is too great, $5 tenant, $6
/// reference, $7 state, $8 limit, $9 upload. The path, from $1 on and after the place $2, walks an index in its order, and no
/// more of it than $10; what is behind an entry is looked at in that order, and no further than the page goes.
macro_rules! payments {
    ($path:expr, $by:literal, $order:literal) => {
        concat!(
            "SELECT ",
            status_columns!(),
            " FROM (SELECT e.seq, ",
            $by,
            " FROM events e WHERE ",
            $path,
            " ORDER BY ",
            $by,
            ", e.seq LIMIT $10) AS asked CROSS JOIN LATERAL ",
            status_events_by!("e.seq = asked.seq"),
            record_joins!(),
            " WHERE e.tenant = $5 AND e.kind IN ",
            payment_kinds!(),
            " AND e.id >= $3 AND e.id < $4 AND ($9::uuid IS NULL OR e.batch_id = $9) \
             AND ($6::text IS NULL OR e.external_ref = $6) \
             AND ($7::text IS NULL OR $7 = coalesce(CASE WHEN undo.kind = 'payment_returned' \
             THEN 'returned' WHEN undo.kind IS NOT NULL THEN 'reversed' END, p.outcome, CASE \
             WHEN EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) THEN 'parked' \
             WHEN EXISTS (SELECT FROM holds h WHERE h.loan_key = e.loan_key) THEN 'held' ELSE 'accepted' END)) ORDER BY ",
            $order,
            ", asked.seq LIMIT $8"
        )
    };
}

/// Where such a walk ends when $3 entries lie before its last.
macro_rules! last_walked {
    ($path:expr, $by:literal) => {
        concat!("SELECT e.seq FROM events e WHERE ", $path, " ORDER BY ", $by, ", e.seq OFFSET $3 LIMIT 1")
    };
}

/// A walk of `(loan_key, seq)`. The planner is left no other: for a loan with a part of all events it would walk the
/// primary key.
macro_rules! of_loan {
    () => {
        "(e.loan_key, e.seq) > ($1, $2) AND (e.loan_key, e.seq) < ($1, 9223372036854775807)"
    };
}

/// A walk of `(batch_id, row_no)`. After a takeover two rows may have one number.
macro_rules! of_batch {
    () => {
        "e.batch_id = $1 \
         AND (e.row_no, e.seq) > (coalesce((SELECT a.row_no FROM events a WHERE a.seq = $2), 0), $2)"
    };
}

/// A walk of ids.
macro_rules! of_span {
    () => {
        "e.id >= $1 AND e.id < $4 AND e.id > coalesce((SELECT a.id FROM events a WHERE a.seq = $2), \
         '00000000-0000-0000-0000-000000000000')"
    };
}

const PAYMENTS_OF_LOAN: &str = payments!(of_loan!(), "e.loan_key", "asked.loan_key");
const LAST_WALKED_OF_LOAN: &str = last_walked!(of_loan!(), "e.loan_key");

const PAYMENTS_OF_BATCH: &str = payments!(of_batch!(), "e.row_no", "asked.row_no");
const LAST_WALKED_OF_BATCH: &str = last_walked!(of_batch!(), "e.row_no");

const PAYMENTS_OF_SPAN: &str = payments!(of_span!(), "e.id", "asked.id");
const LAST_WALKED_OF_SPAN: &str = last_walked!(of_span!(), "e.id");

/// The walk's order has a part that its index has not. An upload that is younger than the planner's statistics it takes for
/// one row, and would sort all of it; what is left is to sort rows of one number.
const WITHOUT_SORTS: &str = "SET LOCAL enable_sort = off";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 6] = [
    ("payments_of_loan", PAYMENTS_OF_LOAN),
    ("payments_of_batch", PAYMENTS_OF_BATCH),
    ("payments_of_span", PAYMENTS_OF_SPAN),
    ("last_walked_of_loan", LAST_WALKED_OF_LOAN),
    ("last_walked_of_batch", LAST_WALKED_OF_BATCH),
    ("last_walked_of_span", LAST_WALKED_OF_SPAN),
];

impl PostgresStore {
    pub(super) async fn read_payments(
        &self,
        tenant: TenantId,
        filter: PaymentsFilter,
    ) -> Result<PaymentsPage, StoreError> {
        let mut connection = self.connection().await?;
        let mut snapshot = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        sqlx::query(WITHOUT_SORTS).execute(&mut *snapshot).await.map_err(classify)?;
        let page = payments(&mut snapshot, tenant, filter).await;
        finish(snapshot, page).await
    }
}

/// A page of payments, and where its walk ended if that was before the page was full. In one snapshot: the end is counted
/// from the same beginning.
async fn payments(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: PaymentsFilter,
) -> Result<PaymentsPage, StoreError> {
    let from = filter.accepted_from.map_or(Uuid::nil(), |id| id.0);
    let before = filter.accepted_before.map_or(Uuid::max(), |id| id.0);
    let (statement, last_walked, path) = match (filter.loan, filter.batch) {
        (Some(loan), _) => (PAYMENTS_OF_LOAN, LAST_WALKED_OF_LOAN, key_column(loan)),
        (None, Some(batch)) => (PAYMENTS_OF_BATCH, LAST_WALKED_OF_BATCH, batch.0),
        (None, None) => (PAYMENTS_OF_SPAN, LAST_WALKED_OF_SPAN, from),
    };
    let after = filter.after.map_or(0, |seq| seq.0);
    let query = sqlx::query(statement)
        .bind(path)
        .bind(after)
        .bind(from)
        .bind(before)
        .bind(tenant.0)
        .bind(filter.external_ref)
        .bind(filter.status)
        .bind(filter.limit.saturating_add(1))
        .bind(filter.batch.map(|batch| batch.0))
        .bind(filter.walked_max);
    let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
    let events: Vec<EventStatus> = rows.iter().map(status).collect::<Result<_, _>>()?;
    let is_full = i64::try_from(events.len()).is_ok_and(|length| length > filter.limit);
    let Some(walked) = filter.walked_max.filter(|_| !is_full) else {
        return Ok(PaymentsPage { events, goes_on_after: None });
    };
    let query = sqlx::query(last_walked).bind(path).bind(after).bind(walked.saturating_sub(1));
    let of_span = filter.loan.is_none() && filter.batch.is_none();
    let query = if of_span { query.bind(before) } else { query };
    let last = query.fetch_optional(connection).await.map_err(classify)?;
    let goes_on_after = last.as_ref().map(|row| Columns::of(row).take().map(Seq)).transpose()?;
    Ok(PaymentsPage { events, goes_on_after })
}
