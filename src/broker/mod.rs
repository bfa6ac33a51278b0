//! Floor 1: how work travels. The broker carries hints; every hint may be lost, doubled, late or out of order.
//!
//! [`Broker`] has two real implementations, `rabbitmq` (the only place that names lapin) and `in_process`; one
//! conformance suite (`tests/it/broker/`) holds both to the contract written here.

pub mod in_process;
pub mod rabbitmq;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::core::ids::PublisherId;
use crate::core::slot::{Partition, PartitionMap};

/// The most messages one subscription holds unsettled.
pub const PREFETCH: u16 = 256;

/// Which of a partition's two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueClass {
    /// Payments whose caller waits.
    Single,
    /// Rows of uploads.
    Bulk,
}

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId {
    /// The partition.
    pub partition: Partition,
    /// Singles or bulk.
    pub class: QueueClass,
}

/// A message on its way to a queue.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub queue: QueueId,
    /// The envelope's bytes.
    pub payload: Vec<u8>,
}

/// A message from a queue, unsettled.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it came from.
    pub queue: QueueId,
    /// Settles it; rises inside a subscription.
    pub tag: u64,
    /// Whether the broker has handed it out before.
    pub redelivered: bool,
    /// How often it was handed out before, where the broker counts (0 otherwise).
    pub delivery_count: u32,
    /// The envelope's bytes.
    pub payload: Vec<u8>,
}

/// What a worker sends to the api process that waits: opaque bytes, grouped.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Which process waits.
    pub publisher: PublisherId,
    /// The results' bytes.
    pub payload: Vec<u8>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BrokerError {
    /// Not connected, connection lost, or no confirm in time: it may or may not have arrived.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// The queue is full: it has not been taken.
    #[error("the broker refused the message: the queue is full")]
    Refused,
    /// No such queue: the topology is missing.
    #[error("the broker has no such queue")]
    Unroutable,
    /// The topology exists with other arguments, or cannot be declared.
    #[error("the broker's topology is wrong: {0}")]
    Topology(String),
}

/// How the broker feels, for readiness and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerHealth {
    /// Both connections are up.
    pub connected: bool,
    /// The broker has blocked publishing (memory or disk alarm).
    pub blocked: bool,
    /// Published messages without a confirm yet.
    pub confirms_pending: u64,
}

/// How work travels. See the module.
#[async_trait]
pub trait Broker: Send + Sync + Debug + 'static {
    /// Declares the queues of a generation with their exact arguments. Safe to repeat.
    async fn declare(&self, map: &PartitionMap) -> Result<(), BrokerError>;

    /// The names of the queues of a generation that are not there, the one for dead letters included. Makes none.
    async fn missing(&self, map: &PartitionMap) -> Result<Vec<String>, BrokerError>;

    /// Publishes persistently and waits until the broker has confirmed each; results in the order given. Dropping
    /// the future abandons nothing: the confirms are still looked at.
    async fn publish(&self, generation: i32, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>>;

    /// Starts consuming a queue, in order, at most [`PREFETCH`] unsettled. Of several subscribers one is active.
    async fn subscribe(&self, generation: i32, queue: QueueId) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Sends results to the process that waits; lost without a sign if it is gone.
    async fn reply(&self, replies: Vec<Reply>) -> Result<(), BrokerError>;

    /// The results for `publisher`, from now on and over reconnections. Called once per process.
    async fn replies(&self, publisher: PublisherId) -> Result<mpsc::Receiver<Vec<u8>>, BrokerError>;

    /// How many messages wait in a queue, unsettled ones not counted.
    async fn depth(&self, generation: i32, queue: QueueId) -> Result<u64, BrokerError>;

    /// How many messages lie in the dead-letter queue.
    async fn dead_depth(&self) -> Result<u64, BrokerError>;

    /// How the broker feels.
    fn health(&self) -> BrokerHealth;

    /// Closes connections in order.
    async fn close(&self, within: Duration);
}

/// One queue being consumed, on a channel of its own. Dropping it closes the channel: unsettled messages go back.
#[async_trait]
pub trait Subscription: Send + Debug {
    /// The next message; `None` when the subscription has ended (connection lost, cancelled by the server): drop it
    /// and subscribe anew. Safe to drop the future.
    async fn next(&mut self) -> Option<Delivery>;

    /// Acknowledges every delivery up to and including `tag`. `false` when the channel is gone: they will come again.
    async fn ack_through(&mut self, tag: u64) -> bool;

    /// Gives one delivery back, for the dead-letter queue. `false` when the channel is gone.
    async fn reject(&mut self, tag: u64) -> bool;

    /// Closes the channel now; unsettled messages go back to the queue in order.
    async fn close(self: Box<Self>);
}
