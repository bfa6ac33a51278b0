//! Owns what stops a loan: failed attempts, and parked events, each of which makes its loan wait for a person.

use sqlx::SqliteConnection;

use crate::core::ids::Seq;
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::get;
use crate::store::{Attempts, ParkRequest, StoreError};

/// One more attempt. Only the first unposted event of its loan counts: one that is posted did not fail, and one behind
/// another was not tried.
pub(super) const COUNT_FAILURE: &str = "
    INSERT INTO parked (event_seq, loan_key, attempts, reason, failed_at)
    SELECT e.seq, e.loan_key, 1, ?2, ?3 FROM events AS e
    WHERE e.seq = ?1 AND e.slot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
        AND NOT EXISTS (
            SELECT 1 FROM events AS before
            WHERE before.loan_key = e.loan_key AND before.seq < e.seq AND before.slot IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = before.seq))
    ON CONFLICT (event_seq) DO UPDATE SET attempts = attempts + 1, reason = excluded.reason,
        failed_at = excluded.failed_at
    RETURNING attempts";

/// Counts an attempt at a group, for its parent. Nothing is parked: after the last one the lane refuses the group.
pub(super) const COUNT_GROUP_FAILURE: &str = "
    INSERT INTO parked (event_seq, loan_key, attempts, reason, failed_at)
    SELECT e.seq, e.loan_key, 1, ?2, ?3 FROM events AS e
    WHERE e.seq = ?1 AND e.slot IS NULL AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
    ON CONFLICT (event_seq) DO UPDATE SET attempts = attempts + 1, reason = excluded.reason,
        failed_at = excluded.failed_at
    RETURNING attempts";

/// The group of a leg, or of a parent, which is the group itself.
pub(super) const GROUP_OF_EVENT: &str = "
    SELECT coalesce(e.group_seq, (SELECT l.group_seq FROM events AS l WHERE l.group_seq = e.seq LIMIT 1)) AS group_seq
    FROM events AS e WHERE e.seq = ?1";

pub(super) const PARK_EVENT: &str = "UPDATE parked SET parked_at = ?2 WHERE event_seq = ?1 AND parked_at IS NULL";

pub(super) const HOLD_LOAN_OF_EVENT: &str = "
    INSERT INTO holds (loan_key, tenant, reason, held_at)
    SELECT loan_key, tenant, ?2, ?3 FROM events WHERE seq = ?1
    ON CONFLICT (loan_key) DO NOTHING";

/// Counts a failed attempt; see [`crate::store::Store::park`].
pub(super) async fn park(
    db: &mut SqliteConnection,
    request: ParkRequest,
    now: Timestamp,
) -> Result<Attempts, StoreError> {
    let group = sqlx::query(GROUP_OF_EVENT).bind(request.seq.0).fetch_optional(&mut *db).await.map_err(store_error)?;
    let group = group.map(|row| get::<Option<i64>>(&row, "group_seq")).transpose()?.flatten();
    if let Some(group) = group {
        let count = sqlx::query(COUNT_GROUP_FAILURE).bind(group).bind(&request.reason).bind(now.micros());
        let row = count.fetch_optional(db).await.map_err(store_error)?;
        let count = row.map_or(Ok(0), |row| get(&row, "attempts"))?;
        return Ok(Attempts { count, group: Some(Seq(group)) });
    }
    let count = sqlx::query(COUNT_FAILURE).bind(request.seq.0).bind(&request.reason).bind(now.micros());
    let Some(row) = count.fetch_optional(&mut *db).await.map_err(store_error)? else {
        return Ok(Attempts::default());
    };
    let attempts: i32 = get(&row, "attempts")?;
    if attempts >= request.attempts_max {
        let park = sqlx::query(PARK_EVENT).bind(request.seq.0).bind(now.micros());
        park.execute(&mut *db).await.map_err(store_error)?;
        let hold = sqlx::query(HOLD_LOAN_OF_EVENT).bind(request.seq.0).bind(&request.reason).bind(now.micros());
        hold.execute(db).await.map_err(store_error)?;
    }
    Ok(Attempts { count: attempts, group: None })
}
