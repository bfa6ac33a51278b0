//! Floor 2: posting. A worker turns accepted events into journal entries.
//!
//! ```text
//! queue ──▶ feed (one task a queue) ──▶ lane (K a worker) ──▶ store.post_batch ──▶ replies ──▶ acknowledgements
//! heartbeat ──▶ dealing: which partitions are mine ──▶ lanes          sweeper: events whose hint was lost
//! change feed ──▶ webhooks: receivers are told of what was posted
//!                                                                     reconciler: whether the books agree
//! ```
//!
//! Invariants:
//! - Acknowledged means committed: a message is settled after the transaction that finished its events.
//! - A message decides nothing: the rows do. A message may come twice, late, or never.
//! - The order inside a loan is the order of acceptance, whatever order messages come in: a lane posts a prefix of
//!   the loan's unposted events, not the event a message names.
//! - One poisonous event stops its own loan only.
//!
//! What a batch costs: see `lane`.

mod backlog;
mod dealing;
mod directly;
mod feed;
mod fold;
mod groups;
mod hand;
mod lane;
mod posting;
mod reconciler;
mod replies;
mod sweeper;
mod trace;
#[cfg(test)]
mod try_store;
mod verdict;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::core::ids::WorkerId;
use crate::core::slot::PartitionMap;
use crate::runtime::clock::Clock;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::Store;

pub use directly::post_directly;
pub use fold::{lane_fold, lane_group_fold};
pub use reconciler::{Reconciler, run_all};
pub use webhooks::{WebhooksError, WebhooksParts, start_webhooks};

use dealing::Dealing;
use hand::Singles;
use lane::{Common, Lane};
use sweeper::Sweeper;

/// A worker with waiting work and no commit for this long reports itself dead.
pub const STUCK_AFTER: Duration = Duration::from_mins(1);

/// What a worker works with.
#[derive(Clone, Debug)]
pub struct WorkerParts {
    /// Where events are and postings go.
    pub store: Arc<dyn Store>,
    /// Where hints come from.
    pub broker: Arc<dyn Broker>,
    /// Which queues there are.
    pub map: PartitionMap,
    /// How many lanes.
    pub lanes: i16,
    /// The most events of one batch.
    pub batch_max: usize,
    /// For liveness.
    pub clock: Clock,
}

/// A running worker: the pulses of its lanes, for health checks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker {
    pulses: Vec<Pulse>,
}

impl Worker {
    /// Starts every task of a worker on `lifecycle`.
    #[must_use]
    pub fn start(parts: &WorkerParts, lifecycle: &Lifecycle) -> Self {
        let worker = WorkerId(uuid::Uuid::new_v4());
        let common = Common { first_slot: Arc::new(AtomicI64::new(-1)), singles: Singles::default() };
        let (mut lanes_dealt, mut pulses) = (Vec::new(), Vec::new());
        for number in 0..parts.lanes {
            let (dealt, partitions) = watch::channel(Vec::new());
            let pulse = Pulse::new(parts.clock.clone());
            let lane = Lane::new(parts, number, common.clone(), pulse.clone(), partitions);
            lifecycle.spawn_vital("lane", lane.run(lifecycle.clone()));
            lanes_dealt.push(dealt);
            pulses.push(pulse);
        }
        let dealing = Dealing::new(parts, worker, common.first_slot, lanes_dealt);
        lifecycle.spawn_vital("dealing", dealing.run(lifecycle.clone()));
        lifecycle.spawn_vital("sweeper", Sweeper::new(parts, worker).run(lifecycle.clone()));
        Self { pulses }
    }

    /// Whether every lane gets on with its work: false when one's has waited for [`STUCK_AFTER`] without a commit.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.pulses.iter().all(Pulse::is_live)
    }
}

/// When a lane last got on. Work that waits without progress makes the worker dead; an empty desk does not.
#[derive(Clone, Debug)]
struct Pulse {
    clock: Clock,
    waiting_since: Arc<AtomicI64>,
}

impl Pulse {
    fn new(clock: Clock) -> Self {
        Self { clock, waiting_since: Arc::new(AtomicI64::new(0)) }
    }

    /// A batch was committed, or there is nothing to do.
    fn progressed(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }

    /// A batch is wanted and not done yet.
    fn waits(&self) {
        let now = self.clock.now().micros();
        // Only the first wait since the last progress counts.
        let _earlier = self.waiting_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_err();
    }

    fn is_live(&self) -> bool {
        let since = self.waiting_since.load(Ordering::Relaxed);
        let waited = self.clock.now().micros().saturating_sub(since);
        since == 0 || u128::try_from(waited).unwrap_or(0) < STUCK_AFTER.as_micros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::WireError;
    use crate::core::time::Timestamp;
    use crate::runtime::telemetry::BAD_MESSAGE_REASONS;

    #[test]
    fn every_bad_message_is_counted_under_a_reason_that_begins_at_zero() {
        let all = [WireError::Malformed, WireError::TooLarge, WireError::FutureVersion(9), WireError::TooManyEvents];
        assert!(all.iter().all(|error| BAD_MESSAGE_REASONS.contains(&error.reason())));
    }

    #[test]
    fn a_worker_is_dead_when_work_waits_without_progress() {
        let clock = Clock::manual(Timestamp::from_micros(1_777_636_800_000_000).unwrap());
        let pulse = Pulse::new(clock.clone());
        assert!(pulse.is_live(), "nothing to do is not death");
        pulse.waits();
        clock.advance(STUCK_AFTER.checked_sub(Duration::from_secs(1)).unwrap());
        pulse.waits();
        assert!(pulse.is_live());
        clock.advance(Duration::from_secs(2));
        assert!(!pulse.is_live());
        pulse.progressed();
        assert!(pulse.is_live());
    }
}
