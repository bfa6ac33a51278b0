//! Owns the statements of conservation: events counted once below the sweeper's mark, and the rest counted as it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::connect::{BEGIN_SNAPSHOT, PostgresStore, begin, finish};
use super::error::classify;
use super::processes::interval;
use super::rows::{Columns, broken};
use super::verify::WITHOUT_HURRY;
use crate::core::ids::{EventId, PaymentBatchId, TenantId, WorkerId};
use crate::store::{Conservation, StoreError};

/// How many events a window has: about two seconds of reading.
const WINDOW: i64 = 1_000_000;

/// How many lost events are named.
const LOST_MAX: i64 = 100;

const TAKE_RECONCILER: &str = "UPDATE reconciler SET holder = $1, leased_to = clock_timestamp() + $2::interval \
     WHERE holder = $1 OR leased_to < clock_timestamp()";

/// How far events are counted, and how far they may be.
const READ_COUNTED: &str = "SELECT counted_to, (SELECT mark FROM sweeper) FROM reconciler";

/// Long walks over two keys side by side are merges; see the settings of a session.
const ALLOW_MERGES: &str = "SET LOCAL statement_timeout = '5min'; SET LOCAL enable_mergejoin = on";

/// Counts the events of a window, once and for all; those without a posting are remembered. Nothing is counted twice:
/// the window begins where the row says that the last one ended. Both sides of the merge are told where it begins.
const COUNT_WINDOW: &str = "WITH seen AS MATERIALIZED (SELECT e.seq, e.tenant, p.outcome FROM events e \
     LEFT JOIN postings p ON p.event_seq = e.seq AND p.event_seq > $1 \
     WHERE e.seq > $1 AND e.seq <= $2 AND e.slot IS NOT NULL), \
     moved AS (UPDATE reconciler SET counted_to = $2 WHERE counted_to = $1 RETURNING 1), \
     waiting AS (INSERT INTO conservation_waiting (event_seq, tenant) SELECT s.seq, s.tenant FROM seen s, moved \
     WHERE s.outcome IS NULL) \
     INSERT INTO conservation_counts (tenant, posted, rejected) \
     SELECT s.tenant, count(*) FILTER (WHERE s.outcome = 'posted'), count(*) FILTER (WHERE s.outcome = 'rejected') \
     FROM seen s, moved GROUP BY s.tenant ON CONFLICT (tenant) DO UPDATE \
     SET posted = conservation_counts.posted + excluded.posted, \
     rejected = conservation_counts.rejected + excluded.rejected";

/// Counted events that have got their posting since.
const COUNT_FINISHED: &str = "WITH finished AS (DELETE FROM conservation_waiting w USING postings p \
     WHERE p.event_seq = w.event_seq RETURNING w.tenant, p.outcome) \
     INSERT INTO conservation_counts (tenant, posted, rejected) \
     SELECT tenant, count(*) FILTER (WHERE outcome = 'posted'), count(*) FILTER (WHERE outcome = 'rejected') \
     FROM finished GROUP BY tenant ON CONFLICT (tenant) DO UPDATE \
     SET posted = conservation_counts.posted + excluded.posted, \
     rejected = conservation_counts.rejected + excluded.rejected";

/// What has become of `events AS e` with its posting `p`. Nothing below the sweeper's mark is on its way; a release lowers
/// the mark.
macro_rules! stage {
    () => {
        "CASE WHEN p.outcome IS NOT NULL THEN p.outcome \
         WHEN EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) THEN 'parked' \
         WHEN EXISTS (SELECT FROM holds h WHERE h.loan_key = e.loan_key) THEN 'held' \
         WHEN e.seq > (SELECT mark FROM sweeper) THEN 'in_flight' ELSE 'lost' END"
    };
}

/// Accepted by tenant, and what is there.
const READ_CONSERVATION: &str = concat!(
    "SELECT tenant, 'accepted', sum(accepted)::bigint FROM publisher_totals GROUP BY tenant \
     UNION ALL SELECT tenant, 'posted', posted FROM conservation_counts \
     UNION ALL SELECT tenant, 'rejected', rejected FROM conservation_counts \
     UNION ALL SELECT e.tenant, ",
    stage!(),
    ", count(*) FROM conservation_waiting w JOIN events e ON e.seq = w.event_seq \
     LEFT JOIN postings p ON p.event_seq = e.seq GROUP BY 1, 2 UNION ALL SELECT e.tenant, ",
    stage!(),
    ", count(*) FROM events e LEFT JOIN postings p ON p.event_seq = e.seq \
     AND p.event_seq > (SELECT counted_to FROM reconciler) \
     WHERE e.seq > (SELECT counted_to FROM reconciler) AND e.slot IS NOT NULL GROUP BY 1, 2"
);

/// Events that nobody would ever post.
const READ_LOST: &str = concat!(
    "SELECT e.tenant, e.id FROM (SELECT w.event_seq FROM conservation_waiting w UNION ALL SELECT n.seq FROM events n \
     WHERE n.seq > (SELECT counted_to FROM reconciler) AND n.seq <= (SELECT mark FROM sweeper) AND n.slot IS NOT NULL) \
     AS s (seq) JOIN events e ON e.seq = s.seq LEFT JOIN postings p ON p.event_seq = e.seq WHERE ",
    stage!(),
    " = 'lost' ORDER BY e.seq LIMIT $1"
);

/// The rows of an upload: a walk of `(batch_id, row_no)`.
const READ_BATCH_CONSERVATION: &str = concat!(
    "SELECT 'accepted', coalesce(sum(count), 0)::bigint FROM batch_accepted WHERE batch_id = $2 UNION ALL SELECT ",
    stage!(),
    ", count(*) FROM events e LEFT JOIN postings p ON p.event_seq = e.seq \
     WHERE e.tenant = $1 AND e.batch_id = $2 AND e.slot IS NOT NULL GROUP BY 1"
);

const READ_BATCH_LOST: &str = concat!(
    "SELECT e.tenant, e.id FROM events e LEFT JOIN postings p ON p.event_seq = e.seq \
     WHERE e.tenant = $2 AND e.batch_id = $3 AND e.slot IS NOT NULL AND ",
    stage!(),
    " = 'lost' ORDER BY e.seq LIMIT $1"
);

const HAS_BATCH: &str = "SELECT EXISTS (SELECT FROM payment_batches WHERE tenant = $1 AND id = $2)";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 9] = [
    ("take_reconciler", TAKE_RECONCILER),
    ("read_counted", READ_COUNTED),
    ("count_window", COUNT_WINDOW),
    ("count_finished", COUNT_FINISHED),
    ("read_conservation", READ_CONSERVATION),
    ("read_lost", READ_LOST),
    ("read_batch_conservation", READ_BATCH_CONSERVATION),
    ("read_batch_lost", READ_BATCH_LOST),
    ("has_batch", HAS_BATCH),
];

impl PostgresStore {
    pub(super) async fn take_reconciler_lease(&self, worker: WorkerId, lease: Duration) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(TAKE_RECONCILER).bind(worker.0).bind(interval(lease)?);
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn count_window(&self) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = count_window(&mut transaction).await;
        finish(transaction, done).await
    }

    pub(super) async fn read_conservation(&self) -> Result<BTreeMap<TenantId, Conservation>, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        let done = read_conservation(&mut transaction).await;
        finish(transaction, done).await
    }

    pub(super) async fn read_batch_conservation(
        &self,
        tenant: TenantId,
        batch: PaymentBatchId,
    ) -> Result<Option<Conservation>, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        let done = read_batch(&mut transaction, tenant, batch).await;
        finish(transaction, done).await
    }
}

async fn count_window(connection: &mut PgConnection) -> Result<bool, StoreError> {
    sqlx::raw_sql(ALLOW_MERGES).execute(&mut *connection).await.map_err(classify)?;
    let row = sqlx::query(READ_COUNTED).fetch_one(&mut *connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let (counted_to, mark): (i64, i64) = (columns.take()?, columns.take()?);
    let to = mark.min(counted_to.saturating_add(WINDOW));
    if to > counted_to {
        let query = sqlx::query(COUNT_WINDOW).bind(counted_to).bind(to);
        query.execute(&mut *connection).await.map_err(classify)?;
    }
    sqlx::query(COUNT_FINISHED).execute(connection).await.map_err(classify)?;
    Ok(to >= mark)
}

async fn read_conservation(connection: &mut PgConnection) -> Result<BTreeMap<TenantId, Conservation>, StoreError> {
    sqlx::raw_sql(WITHOUT_HURRY).execute(&mut *connection).await.map_err(classify)?;
    let mut tenants: BTreeMap<TenantId, Conservation> = BTreeMap::new();
    for row in sqlx::query(READ_CONSERVATION).fetch_all(&mut *connection).await.map_err(classify)? {
        let mut columns = Columns::of(&row);
        let tenant = TenantId(columns.take()?);
        count(tenants.entry(tenant).or_default(), &mut columns)?;
    }
    if tenants.values().any(|counts| counts.difference() > 0) {
        for row in sqlx::query(READ_LOST).bind(LOST_MAX).fetch_all(connection).await.map_err(classify)? {
            let (tenant, id) = lost(&row)?;
            tenants.entry(tenant).or_default().lost.push(id);
        }
    }
    Ok(tenants)
}

async fn read_batch(
    connection: &mut PgConnection,
    tenant: TenantId,
    batch: PaymentBatchId,
) -> Result<Option<Conservation>, StoreError> {
    let row =
        sqlx::query(HAS_BATCH).bind(tenant.0).bind(batch.0).fetch_one(&mut *connection).await.map_err(classify)?;
    if !Columns::of(&row).take::<bool>()? {
        return Ok(None);
    }
    let mut counts = Conservation::default();
    let query = sqlx::query(READ_BATCH_CONSERVATION).bind(tenant.0).bind(batch.0);
    for row in query.fetch_all(&mut *connection).await.map_err(classify)? {
        count(&mut counts, &mut Columns::of(&row))?;
    }
    if counts.difference() > 0 {
        let query = sqlx::query(READ_BATCH_LOST).bind(LOST_MAX).bind(tenant.0).bind(batch.0);
        for row in query.fetch_all(connection).await.map_err(classify)? {
            counts.lost.push(lost(&row)?.1);
        }
    }
    Ok(Some(counts))
}

fn count(counts: &mut Conservation, columns: &mut Columns<'_>) -> Result<(), StoreError> {
    let word: &str = columns.take()?;
    let events: i64 = columns.take()?;
    if counts.add(word, events) { Ok(()) } else { Err(broken("outcome", word)) }
}

fn lost(row: &PgRow) -> Result<(TenantId, EventId), StoreError> {
    let mut columns = Columns::of(row);
    Ok((TenantId(columns.take()?), EventId(columns.take()?)))
}
