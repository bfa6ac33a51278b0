//! Owns a lane: one batch after the other, from the messages that have arrived while the last one was committed.
//!
//! What one batch costs, for n events over m loans:
//!
//! | step | round trips | rows | bytes |
//! | --- | --- | --- | --- |
//! | begin, look | 2 | those of m loans read that the process has not posted to lately; all read and locked where not only payments in order are posted | 33 each sent, about 250 back |
//! | read | 1 | n events by `(loan_key, seq)`; n probes of `postings` where it was refused before | about 300 n back |
//! | read the past | 0; 1 where events take payments back, 1 where events are backdated | those payments; the loans' later postings | about 100 each back |
//! | fold | 0 | n allocations, entries and SHA-256 links | none |
//! | write | 1; 3 from 512 postings on, which are copied in first | n postings inserted, m loans updated in place, one `account_totals` row per account and day, one `changes` row per tenant | about 300 n + 150 m sent |
//! | commit | 1 | one flush of the log | about 0.7 KB of log per event |
//! | reply | 0 | one message per waiting api process and 256 results | about 250 n |
//! | acknowledge | 0 | one frame per queue | 21 |
//!
//! So a lone payment costs five round trips and one flush, and a thousand share them. Nothing waits for more to come:
//! a batch is what has arrived.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument;

use crate::broker::{Broker, QueueClass, QueueId};
use crate::core::event::{Envelope, WireError};
use crate::core::ids::EventId;
use crate::core::slot::{Partition, PartitionMap};
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{BAD_MESSAGES, BATCH_EVENTS, BATCH_SECONDS, EVENTS_POSTED, POST_SECONDS, REDELIVERIES};
use crate::store::{PhaseTimes, Store, Turn, Wanted};
use crate::worker::feed::{Delivered, Feed, Settle, Source};
use crate::worker::hand::{Hand, Picked, Singles};
use crate::worker::posting::{Done, Poster, Suspicion};
use crate::worker::trace::{Requests, record_batch};
use crate::worker::{Pulse, WorkerParts, replies};

/// Lane slots in `account_totals`: two lanes on one number only wait for each other.
const LANE_SLOTS: i64 = 256;
/// How long a message from a later release is kept before it goes to the dead letters: a rolling deploy's time.
const FUTURE_KEPT: Duration = Duration::from_secs(30);
/// Pause after a batch that settled nothing, so that a lane does not spin on loans held elsewhere.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

/// Messages that wait between the feeds and a lane. The prefetch of each queue bounds what the broker hands out; this
/// only smooths the hand-over.
const INBOX_MAX: usize = 1_024;

/// What reaches a lane.
#[derive(Debug)]
pub(super) enum LaneMessage {
    /// A message from a queue.
    Delivered(Delivered),
    /// A subscription is gone: what it delivered comes again.
    Lost(Source),
}

/// What the lanes of a process have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// The first of their numbers in `account_totals`.
    pub(super) first_slot: Arc<AtomicI64>,
    /// Whether single payments are about.
    pub(super) singles: Singles,
}

/// One lane. See the module.
#[derive(Debug)]
pub(super) struct Lane {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    map: PartitionMap,
    batch_max: usize,
    number: i16,
    first_slot: Arc<AtomicI64>,
    pulse: Pulse,
    inbox_sender: mpsc::Sender<LaneMessage>,
    inbox: mpsc::Receiver<LaneMessage>,
    dealt: watch::Receiver<Vec<Partition>>,
    feeds: HashMap<QueueId, (u64, Feed)>,
    feeds_opened: u64,
    hand: Hand,
    requests: Requests,
    quarantine: Vec<(Instant, Source, u64)>,
}

impl Lane {
    pub(super) fn new(
        parts: &WorkerParts,
        number: i16,
        common: Common,
        pulse: Pulse,
        dealt: watch::Receiver<Vec<Partition>>,
    ) -> Self {
        let (inbox_sender, inbox) = mpsc::channel(INBOX_MAX);
        Self {
            store: Arc::clone(&parts.store),
            broker: Arc::clone(&parts.broker),
            map: parts.map.clone(),
            batch_max: parts.batch_max,
            number,
            first_slot: common.first_slot,
            pulse,
            inbox_sender,
            inbox,
            dealt,
            feeds: HashMap::new(),
            feeds_opened: 0,
            hand: Hand::beside(common.singles),
            requests: Requests::default(),
            quarantine: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, lifecycle: Lifecycle) {
        let (store, events_max) = (Arc::clone(&self.store), self.batch_max);
        let poster = Poster { store, events_max, lifecycle: lifecycle.clone() };
        while self.gather(&lifecycle).await {
            // What is delivered while the store is busy goes into this batch.
            let turn = if self.hand.has_work() { Some(self.store.turn().await) } else { None };
            self.take_delivered();
            let picked = self.hand.next_batch(self.batch_max);
            if !picked.wanted.is_empty() {
                self.pulse.waits();
                let ids: Vec<EventId> = picked.wanted.iter().map(|wanted| wanted.id).collect();
                let span = self.requests.batch_span(self.number, ids.len());
                let done = self.post(&poster, picked, turn).instrument(span.clone()).await;
                record_batch(&span, &done);
                drop(span);
                let settled_any = self.settle(&ids, &done).await;
                self.pulse.progressed();
                if !settled_any {
                    tokio::time::sleep(IDLE_PAUSE).await;
                }
            }
            self.reject_overdue().await;
            self.acknowledge().await;
        }
        // Dropping the feeds closes their channels: what is unsettled goes back in order.
    }

    async fn post(&mut self, poster: &Poster, picked: Picked, turn: Option<Turn>) -> Done {
        let suspect = picked.wanted.first().copied().filter(|_| picked.suspect);
        if let Some(suspect) = suspect
            && self.hand.count_once(suspect.id)
        {
            match poster.suspect(suspect).await {
                Suspicion::Try => {}
                // Its loan is held: its messages are done.
                Suspicion::Parked => return Done { dismissed: vec![suspect.id], ..Done::default() },
                Suspicion::Refused(group) => return poster.refuse_group(group, self.lane_slot()).await,
            }
        }
        poster.post(picked, self.lane_slot(), turn).await
    }

    fn lane_slot(&self) -> i16 {
        let slot = self.first_slot.load(Ordering::Relaxed).max(0).saturating_add(i64::from(self.number));
        i16::try_from(slot.rem_euclid(LANE_SLOTS)).unwrap_or(0)
    }

    /// Takes what has arrived; waits only when there is nothing to do. False when the process stops.
    async fn gather(&mut self, lifecycle: &Lifecycle) -> bool {
        if lifecycle.is_stopping() {
            return false;
        }
        if !self.hand.has_work() && !self.dealt.has_changed().unwrap_or(false) {
            let overdue = self.quarantine.first().map(|(deadline, ..)| *deadline);
            let deadline = overdue.unwrap_or_else(|| far_future(Instant::now()));
            tokio::select! {
                Some(message) = self.inbox.recv() => self.handle(message),
                Ok(()) = self.dealt.changed() => self.dealt.mark_changed(),
                () = tokio::time::sleep_until(deadline) => {}
                () = lifecycle.stopping() => return false,
            }
        }
        self.take_delivered();
        if self.dealt.has_changed().unwrap_or(false) {
            let partitions = self.dealt.borrow_and_update().clone();
            self.serve(&partitions, lifecycle);
        }
        true
    }

    fn take_delivered(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            self.handle(message);
        }
    }

    fn handle(&mut self, message: LaneMessage) {
        match message {
            LaneMessage::Lost(source) => self.hand.forget(|gone| *gone == source),
            LaneMessage::Delivered(delivered) => {
                let feed = self.feeds.get(&delivered.source.queue).map(|(number, _)| *number);
                // A message of a feed that was closed meanwhile has gone back to its queue.
                if feed == Some(delivered.source.feed) {
                    self.take(&delivered);
                }
            }
        }
    }

    /// Opens feeds for partitions that became ours, closes those of partitions that are not any more.
    fn serve(&mut self, partitions: &[Partition], lifecycle: &Lifecycle) {
        let queues: HashSet<QueueId> = partitions
            .iter()
            .flat_map(|&partition| [QueueClass::Single, QueueClass::Bulk].map(|class| QueueId { partition, class }))
            .collect();
        let lost: Vec<QueueId> = self.feeds.keys().filter(|queue| !queues.contains(queue)).copied().collect();
        for queue in lost {
            if let Some((number, feed)) = self.feeds.remove(&queue) {
                self.hand.forget(|source| source.feed == number);
                drop(feed);
            }
        }
        for queue in queues {
            if !self.feeds.contains_key(&queue) {
                self.feeds_opened = self.feeds_opened.saturating_add(1);
                let work = (Arc::clone(&self.broker), self.map.generation);
                let feed = Feed::open((queue, self.feeds_opened), work, self.inbox_sender.clone(), lifecycle);
                self.feeds.insert(queue, (self.feeds_opened, feed));
            }
        }
    }

    fn take(&mut self, delivered: &Delivered) {
        if delivered.redelivered {
            metrics::counter!(REDELIVERIES).increment(1);
        }
        match &delivered.envelope {
            Ok(envelope) => {
                if envelope.events.is_empty() {
                    tracing::warn!(queue = ?delivered.source.queue, "a message names no event");
                }
                self.count_strays(delivered, envelope);
                self.requests.note(envelope);
                let wanted = envelope.events.iter().map(|event| Wanted {
                    seq: event.seq,
                    id: event.id,
                    loan_key: event.loan_key,
                });
                self.hand.take(delivered, wanted);
            }
            Err(error) => {
                metrics::counter!(BAD_MESSAGES, "reason" => error.reason()).increment(1);
                tracing::warn!(queue = ?delivered.source.queue, %error, "a message cannot be read");
                let now = Instant::now();
                let deadline = match error {
                    WireError::FutureVersion(_) => now.checked_add(FUTURE_KEPT).unwrap_or(now),
                    WireError::Malformed | WireError::TooLarge | WireError::TooManyEvents => now,
                };
                self.hand.take_unreadable(delivered.source, delivered.tag);
                self.quarantine.push((deadline, delivered.source, delivered.tag));
                self.quarantine.sort_by_key(|(deadline, ..)| *deadline);
            }
        }
    }

    /// Events on another partition's queue are posted all the same; the locks make that right.
    fn count_strays(&self, delivered: &Delivered, envelope: &Envelope) {
        let partition = delivered.source.queue.partition;
        let is_home = |slot| self.map.homes(slot).any(|home| home == partition);
        let strays = envelope.events.iter().filter(|event| !is_home(event.loan_key.slot()));
        let count = u64::try_from(strays.count()).unwrap_or(u64::MAX);
        if count > 0 {
            metrics::counter!(BAD_MESSAGES, "reason" => "wrong_partition").increment(count);
        }
    }

    /// Answers the callers, then marks the events settled. Says whether anything was.
    async fn settle(&mut self, picked: &[EventId], done: &Done) -> bool {
        record(done);
        let posted = done.posted.iter().map(|(event, posting)| (event, posting));
        replies::send(&self.broker, posted, |seq| done.restating.contains(&seq)).await;
        self.reply_again(done).await;
        for (event, _) in &done.posted {
            self.hand.remember(event.event.id);
        }
        let others = done.already.iter().map(|(id, _)| *id).chain(done.dismissed.iter().copied());
        let settled: HashSet<EventId> = others.chain(done.posted.iter().map(|(event, _)| event.event.id)).collect();
        for id in &settled {
            self.hand.settle(*id);
        }
        self.hand.put_back(picked.iter().copied().filter(|id| !settled.contains(id)));
        !settled.is_empty()
    }

    /// A message that was handed out before may have been posted by a worker that died before it replied.
    async fn reply_again(&self, done: &Done) {
        let unsure: Vec<EventId> =
            done.already.iter().map(|(id, _)| *id).filter(|id| self.hand.was_redelivered(*id)).collect();
        if unsure.is_empty() {
            return;
        }
        if let Ok(records) = self.store.finished(unsure).await {
            let results = records.iter().filter_map(|record| Some((&record.event, record.posting.as_ref()?)));
            replies::send(&self.broker, results, |_| true).await;
        }
    }

    async fn reject_overdue(&mut self) {
        let now = Instant::now();
        let overdue = self.quarantine.partition_point(|(deadline, ..)| *deadline <= now);
        let rejected: Vec<_> = self.quarantine.drain(..overdue).collect();
        for (_, source, tag) in rejected {
            self.tell(source, Settle::Reject(tag)).await;
            self.hand.rejected(source, tag);
        }
    }

    async fn acknowledge(&mut self) {
        for (source, tag) in self.hand.settled() {
            self.tell(source, Settle::AckThrough(tag)).await;
        }
    }

    async fn tell(&self, source: Source, settle: Settle) {
        if let Some((_, feed)) = self.feeds.get(&source.queue).filter(|(number, _)| *number == source.feed) {
            feed.settle(source, settle).await;
        }
    }
}

/// An instant that never comes.
fn far_future(now: Instant) -> Instant {
    now.checked_add(Duration::from_hours(24)).unwrap_or(now)
}

fn record(done: &Done) {
    if done.posted.is_empty() {
        return;
    }
    let mut counted: HashMap<(&'static str, &'static str), u64> = HashMap::new();
    let waited = metrics::histogram!(POST_SECONDS);
    for (event, posting) in &done.posted {
        let count = counted.entry((event.event.kind.as_str(), posting.outcome.as_str())).or_default();
        *count = count.saturating_add(1);
        let micros = posting.posted_at.micros().saturating_sub(event.accepted_at.micros());
        waited.record(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64());
    }
    for ((kind, outcome), count) in counted {
        metrics::counter!(EVENTS_POSTED, "kind" => kind, "outcome" => outcome).increment(count);
    }
    metrics::histogram!(BATCH_EVENTS).record(f64::from(u32::try_from(done.posted.len()).unwrap_or(u32::MAX)));
    let PhaseTimes { begin, lock, read, fold, write, commit } = done.times;
    let phases =
        [("begin", begin), ("lock", lock), ("read", read), ("fold", fold), ("write", write), ("commit", commit)];
    for (phase, time) in phases {
        metrics::histogram!(BATCH_SECONDS, "phase" => phase).record(time.as_secs_f64());
    }
}
