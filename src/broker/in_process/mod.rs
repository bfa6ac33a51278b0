//! Owns the broker of the embedded deployment: bounded queues in this process's memory.
//!
//! It keeps the contract of [`Broker`] to the letter (the conformance suite holds it to it): one active subscriber
//! per queue, order kept, unsettled messages back at the front, a full queue refuses, a missing one is told. What it
//! cannot keep is messages over a restart, and nothing rests on that: the sweeper finds accepted events in the store.
//!
//! One lock guards all queues; it is held for a few pushes or pops and never across an await.

mod queue;
mod subscription;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::broker::{Broker, BrokerError, BrokerHealth, Outgoing, QueueClass, QueueId, Reply, Subscription};
use crate::core::ids::PublisherId;
use crate::core::slot::PartitionMap;

use queue::Queue;
use subscription::InProcessSubscription;

/// The most messages that wait in one queue. At 256 events a message that is 2.5 million events, minutes of backlog
/// for one SQLite file; what is refused is in the store and published again by the sweeper.
pub const QUEUE_MESSAGES_MAX: usize = 10_000;

/// The most dead letters kept; the oldest go first. They are for people to look at, the store has the events.
pub const DEAD_LETTERS_MAX: usize = 1_000;

/// The most groups of results that wait for one api process. Beyond it results are dropped, which is harmless: who
/// waits asks the store.
pub const REPLIES_WAITING_MAX: usize = 4_096;

/// A message a worker has rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue it was rejected from.
    pub queue: QueueId,
    /// The envelope's bytes.
    pub payload: Vec<u8>,
}

/// The broker inside this process. Cheap to clone; all clones are one broker.
#[derive(Clone, Default)]
pub struct InProcessBroker {
    shared: Arc<Shared>,
}

/// What the broker and its subscriptions share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

/// Everything that changes.
#[derive(Default)]
struct State {
    queues: HashMap<QueueKey, Queue>,
    dead: VecDeque<DeadLetter>,
    replies: HashMap<PublisherId, mpsc::Sender<Vec<u8>>>,
    subscribers_made: u64,
    closed: bool,
}

/// A queue's full name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct QueueKey {
    generation: i32,
    queue: QueueId,
}

impl QueueKey {
    /// The queues of a generation.
    fn all(map: &PartitionMap) -> impl Iterator<Item = Self> {
        let generation = map.generation;
        map.all().flat_map(move |partition| {
            let of_class = |class| Self { generation, queue: QueueId { partition, class } };
            [QueueClass::Single, QueueClass::Bulk].map(of_class)
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn declare(&mut self, map: &PartitionMap) {
        for key in QueueKey::all(map) {
            self.queues.entry(key).or_default();
        }
    }

    fn publish(&mut self, generation: i32, message: Outgoing) -> Result<(), BrokerError> {
        if self.closed {
            return Err(closed());
        }
        let key = QueueKey { generation, queue: message.queue };
        let queue = self.queues.get_mut(&key).ok_or(BrokerError::Unroutable)?;
        if queue.depth() >= QUEUE_MESSAGES_MAX {
            return Err(BrokerError::Refused);
        }
        queue.push(message.payload);
        Ok(())
    }

    fn bury(&mut self, letter: DeadLetter) {
        if self.dead.len() >= DEAD_LETTERS_MAX {
            self.dead.pop_front();
        }
        self.dead.push_back(letter);
    }
}

fn closed() -> BrokerError {
    BrokerError::Unavailable("it has been closed".to_owned())
}

impl InProcessBroker {
    /// A broker with the queues of `map`.
    #[must_use]
    pub fn new(map: &PartitionMap) -> Self {
        let broker = Self::default();
        broker.shared.lock().declare(map);
        broker
    }

    /// The rejected messages, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.lock().dead.iter().cloned().collect()
    }
}

impl fmt::Debug for InProcessBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("InProcessBroker").field("queues", &state.queues.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for InProcessBroker {
    async fn declare(&self, map: &PartitionMap) -> Result<(), BrokerError> {
        self.shared.lock().declare(map);
        Ok(())
    }

    async fn missing(&self, map: &PartitionMap) -> Result<Vec<String>, BrokerError> {
        let state = self.shared.lock();
        let missing = QueueKey::all(map).filter(|key| !state.queues.contains_key(key));
        Ok(missing.map(|key| format!("{:?}", key.queue)).collect())
    }

    async fn publish(&self, generation: i32, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        let mut state = self.shared.lock();
        messages.into_iter().map(|message| state.publish(generation, message)).collect()
    }

    async fn subscribe(&self, generation: i32, queue: QueueId) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = InProcessSubscription::start(&self.shared, QueueKey { generation, queue })?;
        Ok(Box::new(subscription))
    }

    async fn reply(&self, replies: Vec<Reply>) -> Result<(), BrokerError> {
        let state = self.shared.lock();
        for reply in replies {
            let sent = state.replies.get(&reply.publisher).map(|waiting| waiting.try_send(reply.payload));
            if let Some(Err(mpsc::error::TrySendError::Full(_))) = sent {
                tracing::warn!("results dropped: {REPLIES_WAITING_MAX} groups already wait for this process");
            }
        }
        Ok(())
    }

    async fn replies(&self, publisher: PublisherId) -> Result<mpsc::Receiver<Vec<u8>>, BrokerError> {
        let (sender, receiver) = mpsc::channel(REPLIES_WAITING_MAX);
        let mut state = self.shared.lock();
        if state.closed {
            return Err(closed());
        }
        state.replies.insert(publisher, sender);
        Ok(receiver)
    }

    async fn depth(&self, generation: i32, queue: QueueId) -> Result<u64, BrokerError> {
        let state = self.shared.lock();
        let queue = state.queues.get(&QueueKey { generation, queue }).ok_or(BrokerError::Unroutable)?;
        Ok(u64::try_from(queue.depth()).unwrap_or(u64::MAX))
    }

    async fn dead_depth(&self) -> Result<u64, BrokerError> {
        Ok(u64::try_from(self.shared.lock().dead.len()).unwrap_or(u64::MAX))
    }

    fn health(&self) -> BrokerHealth {
        BrokerHealth { connected: !self.shared.lock().closed, blocked: false, confirms_pending: 0 }
    }

    async fn close(&self, _within: Duration) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.replies.clear();
        state.queues.values().for_each(Queue::wake_all);
    }
}
