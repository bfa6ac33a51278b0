//! Owns parking: events that could not be posted, each of which makes its loan wait for a person.

use sqlx::PgConnection;

use super::connect::{PostgresStore, begin, finish};
use super::error::classify;
use super::rows::{Columns, key_column};
use crate::core::ids::{LoanKey, Seq, TenantId};
use crate::store::{Attempts, ParkRequest, StoreError};

/// Locks the event's loan, where it exists: nobody has written it and not yet committed when the event is looked at.
const LOCK_LOAN_OF_EVENT: &str = "SELECT FROM loans l WHERE l.loan_key = (SELECT e.loan_key FROM events e \
     WHERE e.seq = $1) FOR NO KEY UPDATE";

/// Counts an attempt, and parks the event with the last one. Only the first unposted event of its loan counts: one
/// that is posted did not fail, and one behind another was not tried.
const COUNT_ATTEMPT: &str = "INSERT INTO parked (event_seq, loan_key, attempts, reason, failed_at, parked_at) \
     SELECT e.seq, e.loan_key, 1, $2, clock_timestamp(), CASE WHEN $3 <= 1 THEN clock_timestamp() END \
     FROM events e WHERE e.seq = $1 AND e.slot IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) \
     AND NOT EXISTS (SELECT FROM events b WHERE b.loan_key = e.loan_key AND b.seq < e.seq AND b.slot IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = b.seq OFFSET 0) OFFSET 0) \
     ON CONFLICT (event_seq) DO UPDATE SET attempts = parked.attempts + 1, reason = excluded.reason, \
     failed_at = excluded.failed_at, parked_at = coalesce(parked.parked_at, \
     CASE WHEN parked.attempts + 1 >= $3 THEN excluded.failed_at END) RETURNING attempts, loan_key";

/// Counts an attempt at a group, for its parent. Nothing is parked: after the last one the lane refuses the group.
const COUNT_GROUP_ATTEMPT: &str = "INSERT INTO parked (event_seq, loan_key, attempts, reason, failed_at) \
     SELECT e.seq, e.loan_key, 1, $2, clock_timestamp() FROM events e WHERE e.seq = $1 AND e.slot IS NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) ON CONFLICT (event_seq) DO UPDATE \
     SET attempts = parked.attempts + 1, reason = excluded.reason, failed_at = excluded.failed_at RETURNING attempts";

/// The group of a leg, or of a parent, which is the group itself.
const GROUP_OF_EVENT: &str = "SELECT coalesce(e.group_seq, (SELECT l.group_seq FROM events l WHERE l.group_seq = e.seq \
     LIMIT 1)) FROM events e WHERE e.seq = $1";

/// Marks a loan's row; none where the loan does not exist yet. Taken before `holds`: loans come first.
const MARK_LOAN: &str = "UPDATE loans SET on_hold = $2 WHERE loan_key = $1 AND ($3::uuid IS NULL OR tenant = $3)";

/// The hold of a loan whose event was parked.
const HOLD_PARKED: &str = "INSERT INTO holds (loan_key, tenant, reason, held_at) \
     SELECT loan_key, tenant, $2, clock_timestamp() FROM events WHERE seq = $1 ON CONFLICT (loan_key) DO NOTHING";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 6] = [
    ("count_group_attempt", COUNT_GROUP_ATTEMPT),
    ("group_of_event", GROUP_OF_EVENT),
    ("lock_loan_of_event", LOCK_LOAN_OF_EVENT),
    ("count_attempt", COUNT_ATTEMPT),
    ("mark_loan", MARK_LOAN),
    ("hold_parked", HOLD_PARKED),
];

impl PostgresStore {
    pub(super) async fn park_event(&self, request: ParkRequest) -> Result<Attempts, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let loan = request.loan_key;
        let done = park(&mut transaction, request).await;
        let attempts = finish(transaction, done).await;
        // It may be on hold now.
        self.known_loans.forget([loan]);
        attempts
    }
}

async fn park(connection: &mut PgConnection, request: ParkRequest) -> Result<Attempts, StoreError> {
    let row =
        sqlx::query(GROUP_OF_EVENT).bind(request.seq.0).fetch_optional(&mut *connection).await.map_err(classify)?;
    let group = row.map(|row| Columns::of(&row).take::<Option<i64>>()).transpose()?.flatten();
    if let Some(group) = group {
        let query = sqlx::query(COUNT_GROUP_ATTEMPT).bind(group).bind(&request.reason);
        let row = query.fetch_optional(connection).await.map_err(classify)?;
        let count = row.map_or(Ok(0), |row| Columns::of(&row).take())?;
        return Ok(Attempts { count, group: Some(Seq(group)) });
    }
    let query = sqlx::query(LOCK_LOAN_OF_EVENT).bind(request.seq.0);
    query.execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(COUNT_ATTEMPT).bind(request.seq.0).bind(&request.reason).bind(request.attempts_max);
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return Ok(Attempts::default());
    };
    let mut columns = Columns::of(&row);
    let (attempts, loan): (i32, LoanKey) = (columns.take()?, columns.loan_key()?);
    if attempts >= request.attempts_max {
        mark_loan(connection, None, loan, true).await?;
        let query = sqlx::query(HOLD_PARKED).bind(request.seq.0);
        query.bind(request.reason).execute(connection).await.map_err(classify)?;
    }
    Ok(Attempts { count: attempts, group: None })
}

pub(super) async fn mark_loan(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    loan: LoanKey,
    on_hold: bool,
) -> Result<(), StoreError> {
    let query = sqlx::query(MARK_LOAN).bind(key_column(loan)).bind(on_hold).bind(tenant.map(|tenant| tenant.0));
    query.execute(connection).await.map_err(classify)?;
    Ok(())
}
