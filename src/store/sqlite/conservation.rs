//! Owns the statements of conservation: events counted once below the sweeper's mark, and the rest counted as it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{EventId, PaymentBatchId, TenantId, WorkerId};
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, get, id, tenant as tenant_of};
use crate::store::{Conservation, StoreError};

/// How many events a window has: the one writer is busy with it for some 100 milliseconds.
const WINDOW: i64 = 50_000;

pub(super) const TAKE_RECONCILER: &str =
    "UPDATE reconciler SET holder = ?1, leased_to = ?2 WHERE holder = ?1 OR leased_to < ?3";

pub(super) const COUNTED: &str = "SELECT counted_to, (SELECT mark FROM sweeper) AS mark FROM reconciler";

/// Counts the events of a window, once and for all.
pub(super) const COUNT_WINDOW: &str = "
    INSERT INTO conservation_counts (tenant, posted, rejected)
    SELECT e.tenant, count(CASE WHEN p.outcome = 'posted' THEN 1 END), count(CASE WHEN p.outcome = 'rejected' THEN 1 END)
    FROM events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.seq > ?1 AND e.seq <= ?2 AND e.slot IS NOT NULL
    GROUP BY e.tenant
    ON CONFLICT (tenant) DO UPDATE SET posted = posted + excluded.posted, rejected = rejected + excluded.rejected";

/// Those of the window that have no posting.
pub(super) const KEEP_WAITING: &str = "
    INSERT INTO conservation_waiting (event_seq, tenant)
    SELECT e.seq, e.tenant FROM events AS e
    WHERE e.seq > ?1 AND e.seq <= ?2 AND e.slot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)";

pub(super) const MOVE_COUNTED: &str = "UPDATE reconciler SET counted_to = ?1";

/// Counted events that have got their posting since.
pub(super) const COUNT_FINISHED: &str = "
    INSERT INTO conservation_counts (tenant, posted, rejected)
    SELECT w.tenant, count(CASE WHEN p.outcome = 'posted' THEN 1 END), count(CASE WHEN p.outcome = 'rejected' THEN 1 END)
    FROM conservation_waiting AS w JOIN postings AS p ON p.event_seq = w.event_seq
    WHERE true
    GROUP BY w.tenant
    ON CONFLICT (tenant) DO UPDATE SET posted = posted + excluded.posted, rejected = rejected + excluded.rejected";

pub(super) const FORGET_FINISHED: &str =
    "DELETE FROM conservation_waiting WHERE event_seq IN (SELECT event_seq FROM postings)";

/// What has become of `events AS e` with its posting `p`. Nothing below the sweeper's mark is on its way; a release lowers
/// the mark.
macro_rules! outcome {
    () => {
        "CASE WHEN p.outcome IS NOT NULL THEN p.outcome
            WHEN EXISTS (SELECT 1 FROM parked AS k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) THEN 'parked'
            WHEN EXISTS (SELECT 1 FROM holds AS h WHERE h.loan_key = e.loan_key) THEN 'held'
            WHEN e.seq > (SELECT mark FROM sweeper) THEN 'in_flight' ELSE 'lost' END"
    };
}

/// Accepted by tenant, and what is there.
pub(super) const CONSERVATION: &str = concat!(
    "SELECT tenant, 'accepted' AS word, sum(accepted) AS events FROM publisher_totals GROUP BY tenant
    UNION ALL SELECT tenant, 'posted', posted FROM conservation_counts
    UNION ALL SELECT tenant, 'rejected', rejected FROM conservation_counts
    UNION ALL SELECT e.tenant, ",
    outcome!(),
    " AS word, count(*) FROM conservation_waiting AS w JOIN events AS e ON e.seq = w.event_seq
    LEFT JOIN postings AS p ON p.event_seq = e.seq GROUP BY 1, 2
    UNION ALL SELECT e.tenant, ",
    outcome!(),
    " AS word, count(*) FROM events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.seq > (SELECT counted_to FROM reconciler) AND e.slot IS NOT NULL GROUP BY 1, 2"
);

/// Events that nobody would ever post.
pub(super) const LOST: &str = concat!(
    "SELECT e.tenant, e.id FROM (SELECT w.event_seq AS seq FROM conservation_waiting AS w
        UNION ALL SELECT n.seq FROM events AS n
        WHERE n.seq > (SELECT counted_to FROM reconciler) AND n.seq <= (SELECT mark FROM sweeper)
            AND n.slot IS NOT NULL) AS s
    JOIN events AS e ON e.seq = s.seq LEFT JOIN postings AS p ON p.event_seq = e.seq
    WHERE ",
    outcome!(),
    " = 'lost' ORDER BY e.seq LIMIT 100"
);

/// The rows of an upload.
pub(super) const BATCH_CONSERVATION: &str = concat!(
    "SELECT 'accepted' AS word, coalesce(sum(count), 0) AS events FROM batch_accepted WHERE batch_id = ?2
    UNION ALL SELECT ",
    outcome!(),
    " AS word, count(*) FROM events AS e INDEXED BY events_batch_row LEFT JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.batch_id = ?2 AND e.tenant = ?1 AND e.slot IS NOT NULL GROUP BY 1"
);

pub(super) const BATCH_LOST: &str = concat!(
    "SELECT e.tenant, e.id FROM events AS e INDEXED BY events_batch_row LEFT JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.batch_id = ?2 AND e.tenant = ?1 AND e.slot IS NOT NULL AND ",
    outcome!(),
    " = 'lost' ORDER BY e.seq LIMIT 100"
);

pub(super) const HAS_BATCH: &str = "SELECT count(*) AS found FROM payment_batches WHERE tenant = ?1 AND id = ?2";

/// Takes or renews the reconciler's lease.
pub(super) async fn take(
    db: &mut SqliteConnection,
    worker: WorkerId,
    lease: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let until = now.micros().saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
    let query = sqlx::query(TAKE_RECONCILER).bind(worker.0).bind(until).bind(now.micros());
    Ok(query.execute(db).await.map_err(store_error)?.rows_affected() == 1)
}

/// Counts the next window; true when everything up to the mark is counted.
pub(super) async fn count_on(db: &mut SqliteConnection) -> Result<bool, StoreError> {
    let row = sqlx::query(COUNTED).fetch_one(&mut *db).await.map_err(store_error)?;
    let (counted_to, mark): (i64, i64) = (get(&row, "counted_to")?, get(&row, "mark")?);
    let to = mark.min(counted_to.saturating_add(WINDOW));
    if to > counted_to {
        for statement in [COUNT_WINDOW, KEEP_WAITING] {
            sqlx::query(statement).bind(counted_to).bind(to).execute(&mut *db).await.map_err(store_error)?;
        }
        sqlx::query(MOVE_COUNTED).bind(to).execute(&mut *db).await.map_err(store_error)?;
    }
    sqlx::query(COUNT_FINISHED).execute(&mut *db).await.map_err(store_error)?;
    sqlx::query(FORGET_FINISHED).execute(db).await.map_err(store_error)?;
    Ok(to >= mark)
}

/// The conservation of every tenant.
pub(super) async fn conservation(db: &mut SqliteConnection) -> Result<BTreeMap<TenantId, Conservation>, StoreError> {
    let mut tenants: BTreeMap<TenantId, Conservation> = BTreeMap::new();
    for row in sqlx::query(CONSERVATION).fetch_all(&mut *db).await.map_err(store_error)? {
        count(tenants.entry(tenant_of(&row)?).or_default(), &row)?;
    }
    if tenants.values().any(|counts| counts.difference() > 0) {
        for row in sqlx::query(LOST).fetch_all(db).await.map_err(store_error)? {
            tenants.entry(tenant_of(&row)?).or_default().lost.push(EventId(id(&row, "id")?));
        }
    }
    Ok(tenants)
}

/// The conservation of an upload.
pub(super) async fn of_batch(
    db: &mut SqliteConnection,
    tenant: TenantId,
    batch: PaymentBatchId,
) -> Result<Option<Conservation>, StoreError> {
    let found = sqlx::query(HAS_BATCH).bind(tenant.0).bind(batch.0).fetch_one(&mut *db).await.map_err(store_error)?;
    if get::<i64>(&found, "found")? == 0 {
        return Ok(None);
    }
    let mut counts = Conservation::default();
    let query = sqlx::query(BATCH_CONSERVATION).bind(tenant.0).bind(batch.0);
    for row in query.fetch_all(&mut *db).await.map_err(store_error)? {
        count(&mut counts, &row)?;
    }
    if counts.difference() > 0 {
        let query = sqlx::query(BATCH_LOST).bind(tenant.0).bind(batch.0);
        for row in query.fetch_all(db).await.map_err(store_error)? {
            counts.lost.push(EventId(id(&row, "id")?));
        }
    }
    Ok(Some(counts))
}

fn count(counts: &mut Conservation, row: &SqliteRow) -> Result<(), StoreError> {
    if counts.add(get(row, "word")?, get(row, "events")?) { Ok(()) } else { Err(broken("postings.outcome")) }
}
