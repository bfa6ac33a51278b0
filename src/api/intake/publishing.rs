//! Owns the hints of accepted events on their way to the broker.
//!
//! One message per queue and commit, at most [`ENVELOPE_EVENTS_MAX`] events each; the singles of a small commit share
//! one queue (see [`PartitionMap::width_for`]). Publishing never delays a commit or
//! an answer: a hint that the broker did not confirm is tried again from a bounded list, and what does not fit there
//! is left to the sweeper, which the heartbeat tells (`unconfirmed_from`). A lost hint costs time, never a payment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api::intake::IntakeParts;
use crate::broker::{Broker, Outgoing, QueueClass, QueueId};
use crate::core::event::{ENVELOPE_EVENTS_MAX, Envelope, EventRef, NewEvent};
use crate::core::ids::{EventId, PublisherId, Seq};
use crate::core::slot::{PartitionMap, Slot};
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::spans::TracePlace;
use crate::runtime::telemetry::chain;
use crate::store::{PublisherBeat, Store, SweepCandidate};

/// Commits whose hints may wait to be published.
const COMMITS_MAX: usize = 1_024;
/// Hints that may wait to be tried again: about 20 MB.
const RETRY_MAX: usize = 100_000;
/// Pause before unconfirmed hints are tried again.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How often the process says it lives.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How often one event is nudged at most.
const NUDGE_EVERY: Duration = Duration::from_secs(1);
/// Nudged events remembered at most.
const NUDGED_MAX: usize = 10_000;
/// How long an overflow of the retry list is reported: by then the sweeper has looked.
const OVERFLOW_REPORTED: Duration = Duration::from_mins(10);

/// One event's hint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hint {
    event: EventRef,
    slot: Slot,
    class: QueueClass,
    trace: Option<TracePlace>,
}

impl Hint {
    /// The hint of an event, on behalf of a request; `None` for events that are never queued.
    pub(super) fn of(event: &NewEvent, seq: Seq, trace: Option<TracePlace>) -> Option<Self> {
        let class = if event.is_bulk() { QueueClass::Bulk } else { QueueClass::Single };
        let reference = EventRef { seq, id: event.id, tenant: event.tenant, loan_key: event.loan_key };
        event.slot.map(|slot| Self { event: reference, slot, class, trace })
    }

    /// The hint of an event that was accepted before.
    pub(super) fn again(event: &SweepCandidate) -> Self {
        let class = if event.bulk { QueueClass::Bulk } else { QueueClass::Single };
        let reference = EventRef { seq: event.seq, id: event.id, tenant: event.tenant, loan_key: event.loan_key };
        Self { event: reference, slot: event.slot, class, trace: None }
    }

    /// The same hint with the place the event got.
    pub(super) fn at(mut self, seq: Seq) -> Self {
        self.event.seq = seq;
        self
    }
}

#[derive(Debug, Default)]
struct Unconfirmed {
    retry: Vec<Hint>,
    overflow: Option<(Seq, Instant)>,
    nudged: HashMap<EventId, Instant>,
}

/// Handle to publishing. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Publishing {
    commits: mpsc::Sender<Vec<Hint>>,
    unconfirmed: Arc<Mutex<Unconfirmed>>,
}

impl Publishing {
    pub(super) fn start(parts: &IntakeParts, lifecycle: &Lifecycle) -> Self {
        let (commits, waiting) = mpsc::channel(COMMITS_MAX);
        let publishing = Self { commits, unconfirmed: Arc::default() };
        let press = Press {
            broker: Arc::clone(&parts.broker),
            map: parts.map.clone(),
            publisher: parts.publisher,
            unconfirmed: Arc::clone(&publishing.unconfirmed),
        };
        lifecycle.spawn_vital("publishing", press.clone().run(waiting, lifecycle.clone()));
        lifecycle.spawn_vital("heartbeat", press.beat(Arc::clone(&parts.store), lifecycle.clone()));
        publishing
    }

    /// Hands over the hints of one commit; never waits.
    pub(super) fn publish(&self, hints: Vec<Hint>) {
        if hints.is_empty() {
            return;
        }
        if let Err(refused) = self.commits.try_send(hints) {
            let (mpsc::error::TrySendError::Full(hints) | mpsc::error::TrySendError::Closed(hints)) = refused;
            self.lock().keep(hints);
        }
    }

    /// Publishes one hint again, unless that was done a moment ago.
    pub(super) fn nudge(&self, hint: Hint) {
        let now = Instant::now();
        let mut unconfirmed = self.lock();
        if unconfirmed.nudged.len() >= NUDGED_MAX {
            unconfirmed.nudged.retain(|_, at| now.duration_since(*at) < NUDGE_EVERY);
        }
        let recent = unconfirmed.nudged.get(&hint.event.id).is_some_and(|at| now.duration_since(*at) < NUDGE_EVERY);
        if !recent && unconfirmed.nudged.len() < NUDGED_MAX {
            unconfirmed.nudged.insert(hint.event.id, now);
            drop(unconfirmed);
            self.publish(vec![hint]);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Unconfirmed> {
        self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unconfirmed {
    /// Keeps hints to be tried again; beyond the limit the sweeper takes over.
    fn keep(&mut self, hints: impl IntoIterator<Item = Hint>) {
        for hint in hints {
            if self.retry.len() < RETRY_MAX {
                self.retry.push(hint);
            } else {
                let from = self.overflow.map_or(hint.event.seq, |(from, _)| from.min(hint.event.seq));
                self.overflow = Some((from, Instant::now()));
            }
        }
    }
}

/// The printing side of publishing.
#[derive(Clone, Debug)]
struct Press {
    broker: Arc<dyn Broker>,
    map: PartitionMap,
    publisher: PublisherId,
    unconfirmed: Arc<Mutex<Unconfirmed>>,
}

impl Press {
    async fn run(self, mut waiting: mpsc::Receiver<Vec<Hint>>, lifecycle: Lifecycle) {
        let mut again = tokio::time::interval(RETRY_EVERY);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                hints = waiting.recv() => match hints {
                    // The confirms are awaited beside the next commit's messages.
                    Some(hints) => { lifecycle.spawn(self.clone().print(hints)); }
                    None => return,
                },
                _ = again.tick() => {
                    let hints = std::mem::take(&mut self.lock().retry);
                    if !hints.is_empty() {
                        self.clone().print(hints).await;
                    }
                }
                () = lifecycle.stopping() => {
                    // What is unconfirmed now is the sweeper's: this publisher's heartbeat ends here.
                    while let Ok(Some(hints)) = tokio::time::timeout(RETRY_EVERY, waiting.recv()).await {
                        self.clone().print(hints).await;
                    }
                    return;
                }
            }
        }
    }

    /// Publishes hints, one message per queue, and keeps those that were not confirmed.
    async fn print(self, hints: Vec<Hint>) {
        let mut by_queue: BTreeMap<QueueId, Vec<Hint>> = BTreeMap::new();
        let width = self.map.width_for(hints.len());
        for hint in hints {
            let partition = match hint.class {
                QueueClass::Single => self.map.gathered(hint.slot, width),
                QueueClass::Bulk => self.map.partition(hint.slot),
            };
            by_queue.entry(QueueId { partition, class: hint.class }).or_default().push(hint);
        }
        let mut groups = Vec::new();
        let mut messages = Vec::new();
        for (queue, hints) in by_queue {
            for group in hints.chunks(ENVELOPE_EVENTS_MAX) {
                let events = group.iter().map(|hint| hint.event).collect();
                let trace = group.iter().find_map(|hint| hint.trace).map(|place| place.to_string());
                let envelope = Envelope::new(events, Some(self.publisher), trace);
                messages.push(Outgoing { queue, payload: envelope.to_bytes() });
                groups.push(group.to_vec());
            }
        }
        let verdicts = self.broker.publish(self.map.generation, messages).await;
        for (verdict, group) in verdicts.into_iter().zip(groups) {
            if let Err(error) = verdict {
                tracing::warn!(events = group.len(), error = chain(&error), "hints are not confirmed; trying again");
                self.lock().keep(group);
            }
        }
    }

    async fn beat(self, store: Arc<dyn Store>, lifecycle: Lifecycle) {
        let stopping = lifecycle.token();
        loop {
            let beat = PublisherBeat {
                publisher: self.publisher,
                generation: self.map.generation,
                unconfirmed_from: self.unconfirmed_from(),
            };
            if let Err(error) = store.publisher_beat(beat).await {
                tracing::warn!(error = chain(&error), "the publisher's heartbeat failed");
            }
            if stopping.run_until_cancelled(tokio::time::sleep(BEAT_EVERY)).await.is_none() {
                return;
            }
        }
    }

    fn unconfirmed_from(&self) -> Option<Seq> {
        let mut unconfirmed = self.lock();
        let (from, since) = unconfirmed.overflow?;
        if since.elapsed() > OVERFLOW_REPORTED {
            unconfirmed.overflow = None;
        }
        Some(from)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Unconfirmed> {
        self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
