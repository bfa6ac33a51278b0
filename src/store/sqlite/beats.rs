//! Owns heartbeats and the lane slots leased to workers.

use std::time::Duration;

use sqlx::SqliteConnection;

use crate::core::ids::WorkerId;
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{get, id};
use crate::store::{PublisherBeat, StoreError, WorkerBeat, WorkerView};

/// Lane slots there are: two lanes on one number only wait for each other.
const LANE_SLOTS: i16 = 256;

pub(super) const BEAT_PUBLISHER: &str = "
    INSERT INTO publishers (publisher, generation, unconfirmed_from, beat_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (publisher) DO UPDATE SET generation = excluded.generation,
        unconfirmed_from = excluded.unconfirmed_from, beat_at = excluded.beat_at";

pub(super) const LIVE_WORKERS: &str =
    "SELECT worker, lanes, first_lane_slot FROM workers WHERE beat_at >= ?1 ORDER BY worker";

pub(super) const FORGET_DEAD_WORKERS: &str = "DELETE FROM workers WHERE beat_at < ?1";

pub(super) const BEAT_WORKER: &str = "
    INSERT INTO workers (worker, lanes, first_lane_slot, beat_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (worker) DO UPDATE SET lanes = excluded.lanes, first_lane_slot = excluded.first_lane_slot,
        beat_at = excluded.beat_at";

pub(super) const FORGET_WORKER: &str = "DELETE FROM workers WHERE worker = ?1";

/// The instant so long ago.
pub(super) fn before(now: Timestamp, by: Duration) -> i64 {
    now.micros().saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// A publisher says it lives.
pub(super) async fn publisher_beat(
    db: &mut SqliteConnection,
    beat: PublisherBeat,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(BEAT_PUBLISHER).bind(beat.publisher.0).bind(beat.generation);
    let query = query.bind(beat.unconfirmed_from.map(|seq| seq.0)).bind(now.micros());
    query.execute(db).await.map_err(store_error)?;
    Ok(())
}

#[derive(Clone, Copy)]
struct Lease {
    worker: WorkerId,
    lanes: i16,
    first: i16,
}

/// A worker says it lives; see [`crate::store::Store::worker_beat`].
pub(super) async fn worker_beat(
    db: &mut SqliteConnection,
    beat: WorkerBeat,
    now: Timestamp,
) -> Result<WorkerView, StoreError> {
    let since = before(now, beat.dead_after);
    sqlx::query(FORGET_DEAD_WORKERS).bind(since).execute(&mut *db).await.map_err(store_error)?;
    let rows = sqlx::query(LIVE_WORKERS).bind(since).fetch_all(&mut *db).await.map_err(store_error)?;
    let mut leases = Vec::with_capacity(rows.len());
    for row in &rows {
        let worker = WorkerId(id(row, "worker")?);
        leases.push(Lease { worker, lanes: get(row, "lanes")?, first: get(row, "first_lane_slot")? });
    }
    let lanes = beat.lanes.clamp(1, LANE_SLOTS);
    let own = leases.iter().find(|lease| lease.worker == beat.worker && lease.lanes == lanes);
    let first_lane_slot = own.map(|lease| lease.first);
    leases.retain(|lease| lease.worker != beat.worker);
    let first_lane_slot = first_lane_slot.unwrap_or_else(|| first_free(&leases, lanes));
    let query = sqlx::query(BEAT_WORKER).bind(beat.worker.0).bind(lanes).bind(first_lane_slot);
    query.bind(now.micros()).execute(db).await.map_err(store_error)?;
    let mut live: Vec<WorkerId> = leases.into_iter().map(|lease| lease.worker).collect();
    live.push(beat.worker);
    live.sort_unstable();
    Ok(WorkerView { live, first_lane_slot })
}

/// The first run of `lanes` slots that nobody leases; the first slot of all where there is none: sharing is allowed.
fn first_free(leases: &[Lease], lanes: i16) -> i16 {
    let is_free = |slot: i16| {
        leases.iter().all(|lease| {
            let end = lease.first.saturating_add(lease.lanes);
            let wrapped = slot.saturating_add(LANE_SLOTS);
            !(lease.first..end).contains(&slot) && !(lease.first..end).contains(&wrapped)
        })
    };
    let last_start = LANE_SLOTS.saturating_sub(lanes);
    let fits = |start: &i16| (*start..start.saturating_add(lanes)).all(is_free);
    (0..=last_start).find(fits).unwrap_or(0)
}

/// A worker says goodbye.
pub(super) async fn worker_gone(db: &mut SqliteConnection, worker: WorkerId) -> Result<(), StoreError> {
    sqlx::query(FORGET_WORKER).bind(worker.0).execute(db).await.map_err(store_error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn lease(first: i16, lanes: i16) -> Lease {
        Lease { worker: WorkerId(Uuid::nil()), lanes, first }
    }

    #[test]
    fn lane_slots_are_leased_without_overlap_while_there_are_enough() {
        assert_eq!(first_free(&[], 2), 0);
        assert_eq!(first_free(&[lease(0, 2)], 2), 2);
        assert_eq!(first_free(&[lease(0, 2), lease(4, 2)], 2), 2);
        assert_eq!(first_free(&[lease(0, 2), lease(3, 2)], 2), 5);
        assert_eq!(first_free(&[lease(255, 2)], 2), 1, "a lease may wrap");
        assert_eq!(first_free(&[lease(0, 200)], 100), 0, "too many lanes share");
    }
}
