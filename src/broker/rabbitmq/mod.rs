//! Owns the broker of the distributed deployment: RabbitMQ 3.10 to 4.x. The only place that names lapin.
//!
//! Two connections a process: one publishes (an alarm on the server stops everything written to it), one consumes,
//! receives results and declares. Each has a supervisor; the publisher task holds every confirm; a subscription is a
//! channel. All tasks are tracked by the process's [`Lifecycle`] and end with [`Broker::close`] or when the broker is
//! dropped.

mod calls;
mod connection;
mod consumer;
mod error;
mod publisher;
mod repair;
mod reply;
mod topology;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Queue};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::calls::{Attempt, Call};
use self::connection::{Address, LinkWatch};
use self::consumer::RabbitSubscription;
use self::error::{exchange, unavailable};
use self::publisher::Publisher;
use self::repair::Repairer;
use self::topology::Topology;
use crate::broker::{Broker, BrokerError, BrokerHealth, Outgoing, QueueId, Reply, Subscription};
use crate::core::ids::PublisherId;
use crate::core::slot::PartitionMap;
use crate::runtime::lifecycle::Lifecycle;

pub use self::topology::DeclareMode;

/// How long the first connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The most calls of `publish` that wait for the publisher task.
const CALLS_WAITING_MAX: usize = 1_024;

/// Where the server is and how we use it.
#[derive(Clone)]
pub struct RabbitOptions {
    /// `amqp://user:password@host:port/vhost`, or `amqps`.
    pub url: String,
    /// What every queue's name begins with.
    pub prefix: String,
    /// Whether missing queues are declared again.
    pub declare: DeclareMode,
    /// What the connections are called on the server.
    pub name: String,
}

/// The broker on a RabbitMQ server.
pub struct RabbitBroker {
    topology: Topology,
    declare: DeclareMode,
    lifecycle: Lifecycle,
    publish_link: LinkWatch,
    consume_link: LinkWatch,
    calls: mpsc::Sender<Call>,
    replies: watch::Receiver<Option<Arc<Channel>>>,
    repairer: Arc<Repairer>,
    confirms_pending: Arc<AtomicU64>,
    /// Calls that have no answer yet, so that `close` can wait for them.
    unanswered: TaskTracker,
    closing: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    ended: CancellationToken,
    _ends_with_us: DropGuard,
}

impl RabbitBroker {
    /// Connects, and stays connected until it is closed or dropped.
    ///
    /// # Errors
    /// [`BrokerError::Topology`] for a bad prefix; [`BrokerError::Unavailable`] for an unreadable address, when both
    /// connections are not up within ten seconds, or when the process is asked to stop.
    pub async fn connect(options: RabbitOptions, lifecycle: Lifecycle) -> Result<Self, BrokerError> {
        let topology = Topology::new(options.prefix)?;
        let address = Arc::new(Address::parse(&options.url, options.name)?);
        let mut broker = Self::start(topology, options.declare, &address, lifecycle);
        let stopping = broker.lifecycle.token();
        let up = broker.first_connection();
        let connected = match stopping.run_until_cancelled(tokio::time::timeout(CONNECT_MAX, up)).await {
            Some(Ok(connected)) => connected,
            Some(Err(_elapsed)) => false,
            None => return Err(unavailable("the process stops")),
        };
        if connected {
            return Ok(broker);
        }
        broker.publish_link.get().and(broker.consume_link.get()).map(drop)?;
        Err(unavailable("it did not answer in time"))
    }

    fn start(topology: Topology, declare: DeclareMode, address: &Arc<Address>, lifecycle: Lifecycle) -> Self {
        let ended = CancellationToken::new();
        let (publish_sender, publish_link) = connection::link();
        let (consume_sender, consume_link) = connection::link();
        let (calls, calls_receiver) = mpsc::channel(CALLS_WAITING_MAX);
        let (replies_sender, replies) = watch::channel(None);
        let repairer = Repairer::new(topology.clone(), consume_link.clone(), calls.clone(), lifecycle.clone());
        let confirms_pending = Arc::new(AtomicU64::new(0));
        let publisher = Publisher {
            topology: topology.clone(),
            declare,
            run: Uuid::new_v4().simple().to_string(),
            calls: calls_receiver,
            link: publish_link.clone(),
            replies: replies_sender,
            repairer: Arc::clone(&repairer),
            confirms_pending: Arc::clone(&confirms_pending),
        };
        let supervise =
            |role, sender| lifecycle.spawn(connection::supervise(Arc::clone(address), role, sender, ended.clone()));
        let tasks = vec![
            supervise("publish", publish_sender),
            supervise("consume", consume_sender),
            lifecycle.spawn(publisher.run()),
        ];
        Self {
            topology,
            declare,
            publish_link,
            consume_link,
            calls,
            replies,
            repairer,
            confirms_pending,
            unanswered: TaskTracker::new(),
            closing: AtomicBool::new(false),
            tasks: Mutex::new(tasks),
            _ends_with_us: ended.clone().drop_guard(),
            ended,
            lifecycle,
        }
    }

    /// Waits until both connections and the channels for publishing are up.
    async fn first_connection(&mut self) -> bool {
        let consuming = self.consume_link.up(None).await.is_some();
        let publishing = self.replies.wait_for(Option::is_some).await.is_ok();
        consuming && publishing
    }

    /// Why nothing can be published now.
    fn publishable(&self) -> Result<(), BrokerError> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(unavailable("it has been closed"));
        }
        self.publish_link.get()?;
        if self.publish_link.is_blocked() { Err(unavailable("the server has blocked publishing")) } else { Ok(()) }
    }

    async fn try_subscribe(&self, generation: i32, queue: QueueId) -> Result<RabbitSubscription, BrokerError> {
        let connection = self.consume_link.get()?;
        let name = self.topology.queue_name(generation, queue);
        RabbitSubscription::start(&connection, name, queue, &self.lifecycle).await
    }

    /// How many messages of a queue are ready.
    async fn messages_in(&self, name: ShortString) -> Result<u64, BrokerError> {
        self.look_at(name).await.map(|queue| u64::from(queue.message_count()))
    }

    /// A channel for one question: a refused one closes its channel.
    async fn channel(&self) -> Result<Channel, BrokerError> {
        let connection = self.consume_link.get()?;
        exchange(connection.create_channel()).await
    }

    /// A queue that is there, with how many messages wait in it. Makes none.
    async fn look_at(&self, name: ShortString) -> Result<Queue, BrokerError> {
        let options = QueueDeclareOptions::durable().passive();
        let channel = self.channel().await?;
        let found = exchange(channel.queue_declare(name, options, FieldTable::default())).await;
        repair::close(&channel).await;
        found
    }
}

impl fmt::Debug for RabbitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address holds a password.
        f.debug_struct("RabbitOptions")
            .field("prefix", &self.prefix)
            .field("declare", &self.declare)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RabbitBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitBroker").field("topology", &self.topology).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn declare(&self, map: &PartitionMap) -> Result<(), BrokerError> {
        let channel = self.channel().await?;
        let declared = self.topology.declare(&channel, map).await;
        repair::close(&channel).await;
        declared
    }

    async fn missing(&self, map: &PartitionMap) -> Result<Vec<String>, BrokerError> {
        let mut missing = Vec::new();
        for name in self.topology.names(map) {
            match self.look_at(name.clone()).await {
                Ok(_) => {}
                Err(BrokerError::Unroutable) => missing.push(name.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(missing)
    }

    async fn publish(&self, generation: i32, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        let count = messages.len();
        if count == 0 {
            return Vec::new();
        }
        if let Err(error) = self.publishable() {
            return vec![Err(error); count];
        }
        let (answer, answered) = oneshot::channel();
        let call = Call {
            generation,
            messages: Arc::new(messages),
            attempt: Attempt::First,
            deadline: repair::deadline(),
            answer,
            held: self.unanswered.token(),
        };
        // From here on the publisher task owns the messages. Only while it is a thousand calls behind does a caller
        // wait for it, and then no longer than for a confirm.
        let deadline = call.deadline;
        let closed = || unavailable("it has been closed");
        let handed_over = match self.calls.try_send(call) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(closed()),
            Err(mpsc::error::TrySendError::Full(call)) => {
                match tokio::time::timeout_at(deadline, self.calls.send(call)).await {
                    Ok(sent) => sent.map_err(|_closed| closed()),
                    Err(_elapsed) => Err(unavailable("too many messages wait for a confirm")),
                }
            }
        };
        match handed_over {
            Ok(()) => answered.await.unwrap_or_else(|_dropped| vec![Err(closed()); count]),
            Err(error) => vec![Err(error); count],
        }
    }

    async fn subscribe(&self, generation: i32, queue: QueueId) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = match (self.try_subscribe(generation, queue).await, self.declare) {
            (Err(BrokerError::Unroutable), DeclareMode::Auto) => {
                self.repairer.declare(generation, queue).await?;
                self.try_subscribe(generation, queue).await?
            }
            (subscribed, DeclareMode::Auto | DeclareMode::Never) => subscribed?,
        };
        Ok(Box::new(subscription))
    }

    async fn reply(&self, replies: Vec<Reply>) -> Result<(), BrokerError> {
        self.publishable()?;
        let channel = self.replies.borrow().clone();
        let channel = channel.ok_or_else(|| unavailable("not connected"))?;
        reply::send(&channel, &self.topology, &replies).await
    }

    async fn replies(&self, publisher: PublisherId) -> Result<mpsc::Receiver<Vec<u8>>, BrokerError> {
        let link = self.consume_link.clone();
        let (inbox, receiver) = reply::Inbox::new(self.topology.clone(), publisher, link, self.ended.clone());
        self.lifecycle.spawn(inbox.start().await?);
        Ok(receiver)
    }

    async fn depth(&self, generation: i32, queue: QueueId) -> Result<u64, BrokerError> {
        self.messages_in(self.topology.queue_name(generation, queue)).await
    }

    async fn dead_depth(&self) -> Result<u64, BrokerError> {
        self.messages_in(self.topology.dead_name()).await
    }

    fn health(&self) -> BrokerHealth {
        BrokerHealth {
            connected: self.publish_link.get().is_ok() && self.consume_link.get().is_ok(),
            blocked: self.publish_link.is_blocked(),
            confirms_pending: self.confirms_pending.load(Ordering::Relaxed),
        }
    }

    async fn close(&self, within: Duration) {
        self.closing.store(true, Ordering::Relaxed);
        self.unanswered.close();
        let closing = async {
            self.unanswered.wait().await;
            self.ended.cancel();
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            futures::future::join_all(tasks).await;
        };
        if tokio::time::timeout(within, closing).await.is_err() {
            tracing::warn!("the broker was not closed in time");
        }
        self.ended.cancel();
    }
}
