//! Owns what stops a loan: failed attempts, parked events, holds, and their release.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{EventId, LoanKey, Seq};
use crate::core::slot::Slot;
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, bytes, get, id, tenant};
use crate::store::{Attempts, HoldRequest, ParkRequest, StoreError, SweepCandidate};

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

pub(super) const HOLD_LOAN: &str = "
    INSERT INTO holds (loan_key, tenant, reason, held_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (loan_key) DO NOTHING";

pub(super) const RELEASE_LOAN: &str = "DELETE FROM holds WHERE loan_key = ?1 AND tenant = ?2";

/// A released loan's events start with all their attempts again.
pub(super) const UNPARK_LOAN: &str = "
    DELETE FROM parked
    WHERE loan_key = ?1 AND EXISTS (SELECT 1 FROM events WHERE seq = parked.event_seq AND tenant = ?2)";

pub(super) const UNPOSTED_OF_LOAN: &str = "
    SELECT e.seq, e.id, e.tenant, e.loan_key, e.slot, e.batch_id IS NOT NULL AS bulk,
        0 AS overtaken, 0 AS orphaned
    FROM events AS e
    WHERE e.loan_key = ?1 AND e.tenant = ?2 AND e.slot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
    ORDER BY e.seq";

/// What is released is in flight again: the sweeper looks from there, and a round under way must not pass it.
pub(super) const PULL_MARK_BACK: &str =
    "UPDATE sweeper SET mark = min(mark, ?1 - 1), releases = releases + 1 WHERE only_row = 1";

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

/// Holds or releases a loan; see [`crate::store::Store::hold`].
pub(super) async fn hold(
    db: &mut SqliteConnection,
    request: HoldRequest,
    now: Timestamp,
) -> Result<Vec<SweepCandidate>, StoreError> {
    let (loan, tenant) = (request.loan_key.bytes().to_vec(), request.tenant.0);
    if let Some(reason) = request.reason {
        let hold = sqlx::query(HOLD_LOAN).bind(loan).bind(tenant).bind(reason).bind(now.micros());
        hold.execute(db).await.map_err(store_error)?;
        return Ok(Vec::new());
    }
    for statement in [RELEASE_LOAN, UNPARK_LOAN] {
        let release = sqlx::query(statement).bind(&loan).bind(tenant);
        release.execute(&mut *db).await.map_err(store_error)?;
    }
    let unposted = sqlx::query(UNPOSTED_OF_LOAN).bind(&loan).bind(tenant);
    let rows = unposted.fetch_all(&mut *db).await.map_err(store_error)?;
    let released: Vec<SweepCandidate> = rows.iter().map(decode_candidate).collect::<Result<_, _>>()?;
    if let Some(first) = released.first() {
        sqlx::query(PULL_MARK_BACK).bind(first.seq.0).execute(db).await.map_err(store_error)?;
    }
    Ok(released)
}

/// Reads an unposted event.
pub(super) fn decode_candidate(row: &SqliteRow) -> Result<SweepCandidate, StoreError> {
    Ok(SweepCandidate {
        seq: Seq(get(row, "seq")?),
        id: EventId(id(row, "id")?),
        tenant: tenant(row)?,
        loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        slot: Slot::from_number(get(row, "slot")?).ok_or_else(|| broken("slot"))?,
        bulk: get(row, "bulk")?,
        overtaken: get(row, "overtaken")?,
        orphaned: get(row, "orphaned")?,
    })
}
