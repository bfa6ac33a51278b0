//! Owns heartbeats and lane slots.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use super::connect::{PostgresStore, begin, finish};
use super::error::classify;
use super::rows::Columns;
use crate::core::ids::WorkerId;
use crate::store::{PublisherBeat, StoreError, WorkerBeat, WorkerView};

/// How many lane slots there are; `account_totals` has a row per slot.
const LANE_SLOTS: i16 = 256;

const PUBLISHER_BEAT: &str = "INSERT INTO publishers (publisher, generation, unconfirmed_from, seen_at) \
     VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (publisher) DO UPDATE SET generation = excluded.generation, \
     unconfirmed_from = excluded.unconfirmed_from, seen_at = excluded.seen_at";

/// One beat at a time: lane slots are dealt from what the others have.
const LOCK_WORKERS: &str = "LOCK TABLE workers IN EXCLUSIVE MODE";

const FORGET_SILENT: &str = "DELETE FROM workers WHERE seen_at < clock_timestamp() - $1::interval AND worker <> $2";

const READ_WORKERS: &str = "SELECT worker, lanes, first_lane_slot FROM workers ORDER BY worker";

const WORKER_BEAT: &str = "INSERT INTO workers (worker, lanes, first_lane_slot, seen_at) \
     VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (worker) DO UPDATE SET lanes = excluded.lanes, \
     first_lane_slot = excluded.first_lane_slot, seen_at = excluded.seen_at";

const WORKER_GONE: &str = "DELETE FROM workers WHERE worker = $1";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 6] = [
    ("publisher_beat", PUBLISHER_BEAT),
    ("lock_workers", LOCK_WORKERS),
    ("forget_silent", FORGET_SILENT),
    ("read_workers", READ_WORKERS),
    ("worker_beat", WORKER_BEAT),
    ("worker_gone", WORKER_GONE),
];

/// A worker's row: who, how many lanes, from which slot on.
type Lease = (WorkerId, i16, i16);

impl PostgresStore {
    pub(super) async fn beat_publisher(&self, beat: PublisherBeat) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(PUBLISHER_BEAT)
            .bind(beat.publisher.0)
            .bind(beat.generation)
            .bind(beat.unconfirmed_from.map(|seq| seq.0));
        query.execute(&mut *connection).await.map_err(classify)?;
        Ok(())
    }

    pub(super) async fn beat_worker(&self, beat: WorkerBeat) -> Result<WorkerView, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = lease_slots(&mut transaction, &beat).await;
        finish(transaction, done).await
    }

    pub(super) async fn forget_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        sqlx::query(WORKER_GONE).bind(worker.0).execute(&mut *connection).await.map_err(classify)?;
        Ok(())
    }
}

async fn lease_slots(connection: &mut PgConnection, beat: &WorkerBeat) -> Result<WorkerView, StoreError> {
    sqlx::query(LOCK_WORKERS).execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(FORGET_SILENT).bind(interval(beat.dead_after)?).bind(beat.worker.0);
    query.execute(&mut *connection).await.map_err(classify)?;
    let rows = sqlx::query(READ_WORKERS).fetch_all(&mut *connection).await.map_err(classify)?;
    let read = rows.iter().map(|row| {
        let mut columns = Columns::of(row);
        Ok((WorkerId(columns.take()?), columns.take()?, columns.take()?))
    });
    let leases: Vec<Lease> = read.collect::<Result<_, StoreError>>()?;
    let lanes = beat.lanes.clamp(1, LANE_SLOTS);
    let first_lane_slot = first_lane_slot(beat.worker, lanes, &leases);
    let query = sqlx::query(WORKER_BEAT).bind(beat.worker.0).bind(lanes).bind(first_lane_slot);
    query.execute(connection).await.map_err(classify)?;
    let mut live: Vec<WorkerId> = leases.into_iter().map(|(worker, _, _)| worker).collect();
    live.push(beat.worker);
    live.sort_unstable();
    live.dedup();
    Ok(WorkerView { live, first_lane_slot })
}

/// The slot the worker has, or the first one from which on its lanes fit beside the others'; 0 where none is left,
/// since two lanes on one slot only wait for each other.
fn first_lane_slot(worker: WorkerId, lanes: i16, leases: &[Lease]) -> i16 {
    if let Some((_, _, first)) = leases.iter().find(|(holder, held, _)| *holder == worker && *held == lanes) {
        return *first;
    }
    let others: Vec<(i16, i16)> = leases
        .iter()
        .filter(|(holder, _, _)| *holder != worker)
        .map(|(_, held, first)| (*first, first.saturating_add(*held)))
        .collect();
    let fits = |first: i16| {
        let end = first.saturating_add(lanes);
        end <= LANE_SLOTS && others.iter().all(|(other, other_end)| end <= *other || *other_end <= first)
    };
    (0..LANE_SLOTS).find(|first| fits(*first)).unwrap_or(0)
}

/// A length of time as the database takes it.
pub(super) fn interval(length: Duration) -> Result<PgInterval, StoreError> {
    // The database keeps microseconds; what is finer than that says nothing about processes.
    let micros = i64::try_from(length.as_micros()).map_err(|_| StoreError::Broken("a length of time".to_owned()))?;
    Ok(PgInterval { months: 0, days: 0, microseconds: micros })
}
