//! Owns the search for events whose hint was lost. One process at a time has the sweeper's lease.
//!
//! A quick round looks only above what this sweeper has seen finished. Since a number drawn before a commit can appear
//! later than a higher one, a slow round looks again at what was passed between the last two slow rounds: by now
//! every such commit is over. Every quarter of an hour one begins at the stored mark and moves it; at the start and daily
//! one looks at everything. So an event is looked at three or four times, not each minute until the mark has passed it.
//!
//! Rounds take at most a tenth of the time, or one begins every four seconds. Where lost events were found the next one begins
//! after a second: a round names 20,000 at most, and there may be more.
//!
//! # The lease
//! It runs from the beginning of a round, and outlives what that round publishes, the gauges and the pause. Where a database
//! is so slow that it does not, another process may take it, and leave it in the same way. So who loses it keeps for a while
//! what it has seen finished, and goes on from there when the lease comes back. That is safe: what is finished stays so,
//! whoever looks; only a release makes events wait again that were passed, and each round says how often there was one. A
//! number that appears late lies above what was passed at the slow round before the last, which is kept as well.
//!
//! # What is published again
//! Nothing is judged while the first event that waits is another one at each round: lanes work off a backlog, and what is
//! lost in it becomes the first before long. Where it stands still, and every half a minute, an event is published again
//! if it was overtaken by a later one of its slot and kind of queue, or if its publisher is dead or says that it was not
//! confirmed; and where it stands still, if its queue is empty, which it is as well while a lane holds all of it. So a
//! legitimate backlog is not doubled. Each further time the pause doubles.

mod seen;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Broker, Outgoing, QueueClass, QueueId};
use crate::core::event::{ENVELOPE_EVENTS_MAX, Envelope, EventRef};
use crate::core::ids::{Seq, WorkerId};
use crate::core::slot::{Partition, PartitionMap};
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{SWEEPER_REPUBLISHED, chain};
use crate::store::{Store, StoreError, SweepCandidate, SweepPlan, SweepRound, stands_still};
use crate::worker::WorkerParts;
use crate::worker::backlog::Backlog;
use crate::worker::sweeper::seen::{Seen, Walk};

/// How often a quick round runs.
const QUICK_EVERY: Duration = Duration::from_secs(1);
/// A round is followed by a pause of so many times what it took. Where a backlog is older than a second, all of it is
/// judged, which must not take the time from those who work it off, nor hold their old row versions.
const PAUSE_PER_ROUND: u32 = 9;
/// The longest of these pauses.
const ROUND_PAUSE_MAX: Duration = Duration::from_secs(4);
/// How often a slow round runs.
const SLOW_EVERY: Duration = Duration::from_mins(1);
/// How often the stored mark is moved. Whoever starts later begins there, and all above it is read again each time.
const MARK_EVERY: Duration = Duration::from_mins(15);
/// How often a full round runs.
const FULL_EVERY: Duration = Duration::from_hours(24);
/// What a round with its publishing, and the gauges behind it, may take: on a database that is not overloaded they take
/// less, whatever the backlog.
const WORK_MAX: Duration = Duration::from_secs(20);
/// By how much the lease outlives them and the longest pause.
const LEASE_MARGIN: Duration = Duration::from_secs(6);
/// The lease, from the beginning of a round: 30 s. When its holder dies, so long nobody sweeps.
const LEASE: Duration = WORK_MAX.saturating_add(ROUND_PAUSE_MAX).saturating_add(LEASE_MARGIN);
/// A lease that comes back after a longer time finds nothing that is kept.
const AWAY_MAX: Duration = MARK_EVERY;
/// An event younger than this is on its way.
const OLDER_THAN: Duration = Duration::from_secs(1);
/// The stored mark moves only over events at least this old: far longer than any intake statement may run.
const MARK_OLDER_THAN: Duration = Duration::from_mins(5);
/// A publisher silent for this long is dead: five of its beats.
const PUBLISHER_DEAD_AFTER: Duration = Duration::from_secs(10);
/// How long nothing is judged at most while lanes work: they may work on one slow loan alone.
const JUDGED_EVERY: Duration = Duration::from_secs(30);
/// The most events of one round.
const ROUND_MAX: i64 = 20_000;
/// First pause before an event is published once more.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// Events whose pauses are remembered.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Sweeper {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    map: PartitionMap,
    worker: WorkerId,
    pauses: HashMap<Seq, (Instant, Duration)>,
    seen: Seen,
    /// When events that wait were judged for the last time.
    judged: Option<Instant>,
    /// How often loans were released when a quick round last looked.
    releases: Option<i64>,
    backlog: Backlog,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Another process has the lease.
    Elsewhere,
    /// Nothing was published.
    Quiet,
    /// Lost events were published again.
    Republished,
}

/// When the slower rounds are due. Those from the mark and over everything take the place of a slow one, so that each walk
/// begins long after the last: what was passed by then has committed.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    slow: Option<Instant>,
    mark: Option<Instant>,
    full: Option<Instant>,
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// How long after a look that took so long the next one begins.
fn pause_after(look: Look, took: Duration) -> Duration {
    match look {
        Look::Republished => QUICK_EVERY,
        Look::Quiet | Look::Elsewhere => took.saturating_mul(PAUSE_PER_ROUND).clamp(QUICK_EVERY, ROUND_PAUSE_MAX),
    }
}

impl Sweeper {
    pub(super) fn new(parts: &WorkerParts, worker: WorkerId) -> Self {
        let (store, broker) = (Arc::clone(&parts.store), Arc::clone(&parts.broker));
        let backlog = Backlog::new(Arc::clone(&store), Arc::clone(&broker), parts.map.clone());
        Self {
            store,
            broker,
            map: parts.map.clone(),
            worker,
            pauses: HashMap::new(),
            seen: Seen::default(),
            judged: None,
            releases: None,
            backlog,
        }
    }

    pub(super) async fn run(mut self, lifecycle: Lifecycle) {
        let stopping = lifecycle.token();
        let (mut due, mut pause) = (Due::default(), QUICK_EVERY);
        while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let (began, was_due) = (Instant::now(), due);
            let look = if is_due(&mut due.slow, SLOW_EVERY) {
                let look = if is_due(&mut due.full, FULL_EVERY) {
                    self.full_look(&lifecycle).await
                } else if is_due(&mut due.mark, MARK_EVERY) {
                    self.walk(&mut Walk::from(None), &lifecycle).await
                } else {
                    self.walk(&mut self.seen.slow_walk(), &lifecycle).await
                };
                // A walk that takes its time is no reason to begin the next one at once.
                due.slow = Some(Instant::now());
                look
            } else {
                self.quick_look().await
            };
            pause = pause_after(*look.as_ref().unwrap_or(&Look::Quiet), began.elapsed());
            match look {
                Ok(Look::Elsewhere) => {
                    self.backlog.withdraw();
                    self.seen.lose(Instant::now());
                    due = if self.seen.is_empty() { Due::default() } else { was_due };
                }
                Ok(Look::Quiet | Look::Republished) => {
                    self.seen.away_since = None;
                    self.backlog.tell().await;
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "a round of the sweep failed");
                    self.backlog.withdraw();
                    self.seen.away_since = None;
                }
            }
        }
    }

    /// One round above what was seen finished. After a release the next one, quick or slow, begins at the stored mark, so that
    /// what an operator released beside us goes on.
    async fn quick_look(&mut self) -> Result<Look, StoreError> {
        let Some((round, look)) = self.round(self.seen.quick_from, None).await? else { return Ok(Look::Elsewhere) };
        let is_released = self.releases.replace(round.releases).is_some_and(|known| known != round.releases);
        self.seen.quick_from = (!is_released).then_some(round.finished_to);
        if is_released {
            self.seen.passed = [None; 2];
        }
        Ok(look)
    }

    /// Looks at everything, or at what was left of that when another process got the lease.
    async fn full_look(&mut self, lifecycle: &Lifecycle) -> Result<Look, StoreError> {
        let mut walk = self.seen.full.take().unwrap_or(Walk::from(Some(Seq(0))));
        let look = self.walk(&mut walk, lifecycle).await;
        if matches!(look, Ok(Look::Elsewhere)) {
            self.seen.full = walk.finished_to.map(|_| walk);
        }
        look
    }

    /// Rounds, window after window, from a place to another. What the quick looks have seen beyond it stays seen.
    async fn walk(&mut self, walk: &mut Walk, lifecycle: &Lifecycle) -> Result<Look, StoreError> {
        let mut all = Look::Quiet;
        loop {
            let Some((round, look)) = self.round(walk.above, walk.up_to).await? else { return Ok(Look::Elsewhere) };
            if look == Look::Republished {
                all = look;
            }
            if walk.saw(&round) || lifecycle.is_stopping() {
                self.seen.walked(walk);
                return Ok(all);
            }
            // A walk over everything takes minutes, which is long for an old number.
            self.backlog.tell().await;
        }
    }

    /// One window; `None` when another process has the lease.
    async fn round(
        &mut self,
        above: Option<Seq>,
        up_to: Option<Seq>,
    ) -> Result<Option<(SweepRound, Look)>, StoreError> {
        let is_patient = self.judged.is_some_and(|judged| judged.elapsed() < JUDGED_EVERY);
        let front = self.seen.quick_from;
        let plan = SweepPlan {
            worker: self.worker,
            lease: LEASE,
            above,
            up_to,
            front: front.filter(|_| is_patient),
            older_than: OLDER_THAN,
            mark_older_than: MARK_OLDER_THAN,
            publisher_dead_after: PUBLISHER_DEAD_AFTER,
            limit: ROUND_MAX,
        };
        let Some(mut round) = self.store.sweep(plan).await? else {
            return Ok(None);
        };
        let stands_still = stands_still(front, round.finished_to);
        if stands_still || !is_patient {
            self.judged = Some(Instant::now());
        }
        let lost = self.choose(std::mem::take(&mut round.candidates), stands_still).await;
        // Where the broker takes none, the next round would not do better for coming soon.
        let look = if !lost.is_empty() && self.publish(&lost).await { Look::Republished } else { Look::Quiet };
        Ok(Some((round, look)))
    }

    /// The events that are published again now. That a queue is empty says nothing while lanes work.
    async fn choose(&mut self, candidates: Vec<SweepCandidate>, stands_still: bool) -> Vec<SweepCandidate> {
        let now = Instant::now();
        // What has not come up again for long after its pause is finished, or parked.
        self.pauses.retain(|_, (until, _)| now.saturating_duration_since(*until) < PAUSE_MAX);
        let mut empty: HashMap<QueueId, bool> = HashMap::new();
        let mut lost = Vec::new();
        for candidate in candidates {
            if self.pauses.get(&candidate.seq).is_some_and(|(until, _)| *until > now) {
                continue;
            }
            let is_lost = candidate.overtaken || candidate.orphaned;
            if is_lost || (stands_still && self.is_empty(&mut empty, &candidate).await) {
                lost.push(candidate);
            }
        }
        lost
    }

    fn pause(&mut self, seq: Seq, now: Instant) {
        let pause = self.pauses.get(&seq).map_or(PAUSE_MIN, |(_, pause)| pause.saturating_mul(2).min(PAUSE_MAX));
        if self.pauses.len() < REMEMBERED_MAX || self.pauses.contains_key(&seq) {
            self.pauses.insert(seq, (now.checked_add(pause).unwrap_or(now), pause));
        }
    }

    /// Whether no queue that may carry the event's hint has a message ready.
    async fn is_empty(&self, known: &mut HashMap<QueueId, bool>, candidate: &SweepCandidate) -> bool {
        let class = self.queue_of(candidate).class;
        let homes: Vec<Partition> = self.map.homes(candidate.slot).collect();
        for partition in homes {
            let queue = QueueId { partition, class };
            let empty = match known.get(&queue) {
                Some(empty) => *empty,
                None => self.broker.depth(self.map.generation, queue).await.is_ok_and(|depth| depth == 0),
            };
            known.insert(queue, empty);
            if !empty {
                return false;
            }
        }
        true
    }

    fn queue_of(&self, candidate: &SweepCandidate) -> QueueId {
        let class = if candidate.bulk { QueueClass::Bulk } else { QueueClass::Single };
        QueueId { partition: self.map.partition(candidate.slot), class }
    }

    /// Publishes hints; only those that the broker took pause before they are sent once more. Answers whether it took any.
    async fn publish(&mut self, lost: &[SweepCandidate]) -> bool {
        let mut by_queue: BTreeMap<QueueId, Vec<EventRef>> = BTreeMap::new();
        for candidate in lost {
            let SweepCandidate { seq, id, tenant, loan_key, .. } = *candidate;
            by_queue.entry(self.queue_of(candidate)).or_default().push(EventRef { seq, id, tenant, loan_key });
        }
        let (mut messages, mut groups) = (Vec::new(), Vec::new());
        for (queue, events) in by_queue {
            for group in events.chunks(ENVELOPE_EVENTS_MAX) {
                messages.push(Outgoing { queue, payload: Envelope::new(group.to_vec(), None, None).to_bytes() });
                groups.push(group.to_vec());
            }
        }
        let verdicts = self.broker.publish(self.map.generation, messages).await;
        let taken = verdicts.iter().zip(groups).filter(|(verdict, _)| verdict.is_ok());
        let taken: Vec<Seq> = taken.flat_map(|(_, group)| group).map(|event| event.seq).collect();
        let now = Instant::now();
        for seq in &taken {
            self.pause(*seq, now);
        }
        metrics::counter!(SWEEPER_REPUBLISHED).increment(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        let refused = lost.len().saturating_sub(taken.len());
        tracing::warn!(events = lost.len(), refused, "events wait longer than expected; their hints are sent again");
        !taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use uuid::Uuid;

    use super::*;
    use crate::broker::in_process::InProcessBroker;
    use crate::core::ids::{EventId, LoanKey, TenantId};
    use crate::runtime::clock::Clock;
    use crate::worker::try_store::TryStore;

    #[test]
    fn rounds_take_a_tenth_of_the_time() {
        assert_eq!(pause_after(Look::Quiet, Duration::from_millis(20)), QUICK_EVERY);
        assert_eq!(pause_after(Look::Quiet, Duration::from_millis(200)), Duration::from_millis(1_800));
        assert_eq!(pause_after(Look::Quiet, Duration::from_secs(3)), ROUND_PAUSE_MAX);
    }

    /// A purge of a million is named twenty thousand at a time.
    #[test]
    fn who_found_lost_events_looks_again_soon() {
        assert_eq!(pause_after(Look::Republished, Duration::from_secs(3)), QUICK_EVERY);
    }

    #[test]
    fn the_lease_outlives_a_round_the_gauges_and_the_pause() {
        for took in [Duration::ZERO, Duration::from_secs(1), WORK_MAX] {
            let next = took.saturating_add(pause_after(Look::Quiet, took));
            assert!(next.saturating_add(LEASE_MARGIN) <= LEASE, "{next:?}");
        }
        assert_eq!(LEASE, Duration::from_secs(30), "the README says so");
    }

    #[tokio::test]
    async fn hints_are_counted_that_the_broker_took() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recorded_here = metrics::set_default_local_recorder(&recorder);
        let files = TryStore::open().await;
        let all = PartitionMap::even(1, 2);
        let mut sweeper = sweeper(&files, &all);
        let lost: Vec<SweepCandidate> = (1..=40).map(candidate).collect();
        let taken = lost.iter().filter(|lost| all.partition(lost.slot) == Partition(0)).count();
        assert!(0 < taken && taken < lost.len(), "of both partitions, and one has a queue");

        assert!(sweeper.publish(&lost).await);

        let text = recorder.handle().render();
        assert!(text.contains(&format!("hpts_sweeper_republished_total {taken}\n")), "{taken}: {text}");
        assert_eq!(sweeper.pauses.len(), taken);
    }

    #[tokio::test]
    async fn an_empty_queue_says_nothing_while_lanes_work() {
        let files = TryStore::open().await;
        let mut sweeper = sweeper(&files, &PartitionMap::even(1, 1));
        let candidates = || vec![candidate(1), SweepCandidate { overtaken: false, ..candidate(2) }];
        let numbers = |chosen: Vec<SweepCandidate>| chosen.iter().map(|chosen| chosen.seq.0).collect::<Vec<_>>();

        assert_eq!(numbers(sweeper.choose(candidates(), false).await), [1]);
        assert_eq!(numbers(sweeper.choose(candidates(), true).await), [1, 2]);
    }

    /// One that has the queues of one partition, whatever the map says.
    fn sweeper(files: &TryStore, map: &PartitionMap) -> Sweeper {
        let parts = WorkerParts {
            store: files.store(),
            broker: Arc::new(InProcessBroker::new(&PartitionMap::even(1, 1))),
            map: map.clone(),
            lanes: 1,
            batch_max: 1,
            clock: Clock::system(),
        };
        Sweeper::new(&parts, WorkerId(Uuid::from_u128(1)))
    }

    fn candidate(number: u8) -> SweepCandidate {
        let loan_key = LoanKey::from_bytes([number.wrapping_mul(37); 16]);
        SweepCandidate {
            seq: Seq(i64::from(number)),
            id: EventId(Uuid::from_u128(u128::from(number))),
            tenant: TenantId(Uuid::from_u128(1)),
            loan_key,
            slot: loan_key.slot(),
            bulk: false,
            overtaken: true,
            orphaned: false,
        }
    }
}
