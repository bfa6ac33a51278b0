//! Owns the gauges of the backlog, which one process tells for all: the one that sweeps.
//!
//! What is not known is told as not a number, neither as what it was nor as 0: an old number would hide that nobody looks,
//! and an alert for a number that is missing finds it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Broker, QueueClass, QueueId};
use crate::core::slot::{Partition, PartitionMap};
use crate::runtime::telemetry::{
    DEAD_LETTERS, HELD_EVENTS, OLDEST_UNPOSTED_AGE, PARKED_EVENTS, PARTITION_READY, SECONDS_TO_DRAIN, UNPOSTED_EVENTS,
    chain,
};
use crate::store::{Counts, Store};

/// How often the gauges are read.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// What the database says.
const OF_STORE: [&str; 5] = [UNPOSTED_EVENTS, OLDEST_UNPOSTED_AGE, PARKED_EVENTS, HELD_EVENTS, SECONDS_TO_DRAIN];

/// The gauges, and what they are made from.
#[derive(Debug)]
pub(super) struct Backlog {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    map: PartitionMap,
    told_at: Option<Instant>,
    /// The last counts, to make rates of.
    before: Option<(Counts, Instant)>,
}

impl Backlog {
    pub(super) fn new(store: Arc<dyn Store>, broker: Arc<dyn Broker>, map: PartitionMap) -> Self {
        Self { store, broker, map, told_at: None, before: None }
    }

    /// Tells the gauges, where that is due.
    pub(super) async fn tell(&mut self) {
        if self.told_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        self.told_at = Some(Instant::now());
        self.tell_store().await;
        self.tell_broker().await;
    }

    /// Another process tells them now, or nobody can.
    pub(super) fn withdraw(&mut self) {
        if self.told_at.take().is_none() {
            return;
        }
        self.withdraw_store();
        metrics::gauge!(DEAD_LETTERS).set(f64::NAN);
        for partition in self.map.all() {
            tell_ready(partition, None);
        }
    }

    fn withdraw_store(&mut self) {
        self.before = None;
        for name in OF_STORE {
            metrics::gauge!(name).set(f64::NAN);
        }
    }

    async fn tell_store(&mut self) {
        let counts = match self.store.counts().await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(error = chain(&error), "the backlog could not be counted");
                return self.withdraw_store();
            }
        };
        metrics::gauge!(UNPOSTED_EVENTS).set(gauge(counts.unposted));
        metrics::gauge!(OLDEST_UNPOSTED_AGE).set(counts.oldest_unposted.as_secs_f64());
        metrics::gauge!(PARKED_EVENTS).set(gauge(counts.parked));
        metrics::gauge!(HELD_EVENTS).set(gauge(counts.held));
        if let Some((before, at)) = self.before.replace((counts, Instant::now())) {
            metrics::gauge!(SECONDS_TO_DRAIN).set(seconds_to_drain(before, counts, at.elapsed()));
        }
    }

    async fn tell_broker(&self) {
        let dead = self.broker.dead_depth().await;
        metrics::gauge!(DEAD_LETTERS).set(dead.map_or(f64::NAN, gauge_unsigned));
        for partition in self.map.all() {
            let mut ready = Some(0_u64);
            for class in [QueueClass::Single, QueueClass::Bulk] {
                let depth = self.broker.depth(self.map.generation, QueueId { partition, class }).await;
                ready = ready.zip(depth.ok()).map(|(sum, depth)| sum.saturating_add(depth));
            }
            tell_ready(partition, ready);
        }
    }
}

/// How long what waits takes at the rate of the postings between two looks. Not of what is left less: of a long backlog only
/// a million is counted, and that stays a million however fast it goes. Infinite where nothing is posted.
#[expect(clippy::float_arithmetic, reason = "a rate for people; no money")]
fn seconds_to_drain(before: Counts, now: Counts, between: Duration) -> f64 {
    let went = before.unposted.saturating_sub(now.unposted);
    // The server's statistics may be switched off, or have begun anew.
    let posted = now.posted.saturating_sub(before.posted).max(went);
    if now.unposted == 0 {
        0.0
    } else if posted <= 0 {
        f64::INFINITY
    } else {
        gauge(now.unposted) * between.as_secs_f64() / gauge(posted)
    }
}

/// What waits in the queues of a partition; `None` where one of them does not say.
fn tell_ready(partition: Partition, ready: Option<u64>) {
    let label = partition.0.to_string();
    metrics::gauge!(PARTITION_READY, "partition" => label).set(ready.map_or(f64::NAN, gauge_unsigned));
}

/// A count as a gauge wants it; exact up to 2^53.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "metrics are floats; counts stay far below 2^53"
)]
fn gauge(count: i64) -> f64 {
    count as f64
}

/// The same of a count that has no sign.
pub(super) fn gauge_unsigned(count: u64) -> f64 {
    gauge(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::broker::in_process::InProcessBroker;
    use crate::worker::try_store::TryStore;

    #[test]
    fn a_backlog_beyond_what_is_counted_drains_at_the_rate_of_the_postings() {
        let counts = |unposted, posted| Counts { unposted, posted, ..Counts::default() };
        let seconds = |before, now| format!("{:.1}", seconds_to_drain(before, now, Duration::from_secs(10)));
        assert_eq!(seconds(counts(1_000_000, 5), counts(1_000_000, 200_005)), "50.0");
        assert_eq!(seconds(counts(900, 0), counts(1_000, 100)), "100.0", "while it grows, too");
        assert_eq!(seconds(counts(200, 7), counts(100, 0)), "10.0", "without statistics");
        assert_eq!(seconds(counts(5, 7), counts(5, 7)), "inf");
        assert_eq!(seconds(counts(5, 7), counts(0, 7)), "0.0");
    }

    #[tokio::test]
    async fn what_is_not_known_is_no_number() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recorded_here = metrics::set_default_local_recorder(&recorder);
        let shown = |line: &str| {
            let text = recorder.handle().render();
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        };
        let files = TryStore::open().await;
        let (map, queues) = (PartitionMap::even(1, 2), PartitionMap::even(1, 1));
        let broker = Arc::new(InProcessBroker::new(&queues));
        let mut backlog = Backlog::new(files.store(), broker, map);
        backlog.withdraw();
        assert_eq!(recorder.handle().render(), "", "it has told nothing");
        backlog.tell().await;
        shown("hpts_unposted_events 0");
        shown("hpts_dead_letters 0");
        shown("hpts_partition_ready{partition=\"0\"} 0");
        shown("hpts_partition_ready{partition=\"1\"} NaN");
        files.store().close().await;
        backlog.told_at = None;
        backlog.tell().await;
        shown("hpts_unposted_events NaN");
        shown("hpts_oldest_unposted_age_seconds NaN");
        shown("hpts_partition_ready{partition=\"0\"} 0");
        backlog.withdraw();
        shown("hpts_partition_ready{partition=\"0\"} NaN");
        shown("hpts_dead_letters NaN");
    }
}
