//! Owns who serves which partition: dealt out over the sorted list of live workers, then over a worker's lanes.
//!
//! Only efficiency depends on it. Two workers that see different lists for a moment both post correctly; the queues'
//! single active consumer and the loans' locks see to that.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::core::ids::WorkerId;
use crate::core::slot::Partition;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::chain;
use crate::store::{Store, WorkerBeat};
use crate::worker::WorkerParts;

/// How often a worker says it lives and looks at who else does.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A worker silent for this long is dead: four beats missed. Until then nobody serves its partitions, so this is also
/// how long payments wait after a crash.
const DEAD_AFTER: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Dealing {
    store: Arc<dyn Store>,
    worker: WorkerId,
    lanes: i16,
    partitions: Vec<Partition>,
    first_slot: Arc<AtomicI64>,
    lanes_dealt: Vec<watch::Sender<Vec<Partition>>>,
}

impl Dealing {
    pub(super) fn new(
        parts: &WorkerParts,
        worker: WorkerId,
        first_slot: Arc<AtomicI64>,
        lanes_dealt: Vec<watch::Sender<Vec<Partition>>>,
    ) -> Self {
        let (store, partitions) = (Arc::clone(&parts.store), parts.map.all().collect());
        Self { store, worker, lanes: parts.lanes, partitions, first_slot, lanes_dealt }
    }

    pub(super) async fn run(self, lifecycle: Lifecycle) {
        let stopping = lifecycle.token();
        let mut dealt: Option<Vec<Partition>> = None;
        loop {
            let beat = WorkerBeat { worker: self.worker, lanes: self.lanes, dead_after: DEAD_AFTER };
            match self.store.worker_beat(beat).await {
                Ok(view) => {
                    self.first_slot.store(i64::from(view.first_lane_slot), Ordering::Relaxed);
                    let mine = deal(&self.partitions, &view.live, self.worker);
                    if dealt.as_ref() != Some(&mine) {
                        tracing::info!(partitions = mine.len(), workers = view.live.len(), "partitions are dealt");
                        self.hand_out(&mine);
                        dealt = Some(mine);
                    }
                }
                // The old deal stands: posting does not depend on it.
                Err(error) => tracing::warn!(error = chain(&error), "the worker's heartbeat failed"),
            }
            if stopping.run_until_cancelled(tokio::time::sleep(BEAT_EVERY)).await.is_none() {
                break;
            }
        }
        if let Err(error) = self.store.worker_gone(self.worker).await {
            tracing::warn!(
                error = chain(&error),
                "the others will notice after {DEAD_AFTER:?} that this worker is gone"
            );
        }
    }

    fn hand_out(&self, mine: &[Partition]) {
        for (number, lane) in self.lanes_dealt.iter().enumerate() {
            // A lane that is busy looks after its batch; one that is gone has stopped with the process.
            lane.send_replace(every_nth(mine, number, self.lanes_dealt.len()));
        }
    }
}

/// The partitions of one worker among the live ones; all of them when it does not see itself.
fn deal(partitions: &[Partition], live: &[WorkerId], me: WorkerId) -> Vec<Partition> {
    match live.iter().position(|worker| *worker == me) {
        Some(place) => every_nth(partitions, place, live.len()),
        None => partitions.to_vec(),
    }
}

fn every_nth(partitions: &[Partition], first: usize, step: usize) -> Vec<Partition> {
    partitions.iter().copied().skip(first).step_by(step.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_partition_is_served_by_exactly_one_live_worker() {
        let partitions: Vec<Partition> = (0..8).map(Partition).collect();
        for count in 1..=10_u128 {
            let live: Vec<WorkerId> = (1..=count).map(|n| WorkerId(Uuid::from_u128(n))).collect();
            let mut served: Vec<Partition> = live.iter().flat_map(|me| deal(&partitions, &live, *me)).collect();
            served.sort_unstable();
            assert_eq!(served, partitions, "{count} workers");
        }
        assert_eq!(deal(&partitions, &[], WorkerId(Uuid::nil())), partitions);
    }
}
