//! Owns what a law runs in: a broker with queues of its own, and its end.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hpts::broker::in_process::InProcessBroker;
use hpts::broker::rabbitmq::{DeclareMode, RabbitBroker, RabbitOptions};
use hpts::broker::{Broker, Delivery, Outgoing, QueueClass, QueueId, Subscription};
use hpts::core::slot::{Partition, PartitionMap};
use hpts::runtime::lifecycle::Lifecycle;
use lapin::types::AMQPValue;
use uuid::Uuid;

use crate::support::amqp::{self, Raw};

/// How long a law waits for what must happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long it waits for what must not.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(300);

/// The generation every law uses.
pub(crate) const GENERATION: i32 = 7;

/// The queue most laws use.
pub(crate) const QUEUE: QueueId = QueueId { partition: Partition(0), class: QueueClass::Single };

/// Another one.
pub(crate) const OTHER: QueueId = QueueId { partition: Partition(0), class: QueueClass::Bulk };

/// One that nobody declares.
pub(crate) const MISSING: QueueId = QueueId { partition: Partition(1), class: QueueClass::Single };

/// A broker, and a server or process behind it.
pub(crate) struct World {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) map: PartitionMap,
    pub(crate) kind: Kind,
    lifecycle: Lifecycle,
}

/// Which implementation.
pub(crate) enum Kind {
    InProcess(InProcessBroker),
    RabbitMq { prefix: String, raw: Box<Raw> },
}

/// Runs a law and cleans up, also when it fails.
pub(crate) async fn holds<F: Future<Output = ()>>(world: World, law: impl FnOnce(Arc<World>) -> F) {
    let world = Arc::new(world);
    let result = AssertUnwindSafe(law(Arc::clone(&world))).catch_unwind().await;
    world.end().await;
    if let Err(failure) = result {
        std::panic::resume_unwind(failure);
    }
}

impl World {
    pub(crate) fn in_process() -> Self {
        let broker = InProcessBroker::default();
        Self {
            broker: Arc::new(broker.clone()),
            map: PartitionMap::even(GENERATION, 1),
            kind: Kind::InProcess(broker),
            lifecycle: Lifecycle::new(),
        }
    }

    pub(crate) async fn rabbitmq() -> Self {
        Self::rabbitmq_at(amqp::url(), DeclareMode::Never).await
    }

    pub(crate) async fn rabbitmq_at(url: String, declare: DeclareMode) -> Self {
        let prefix = format!("test-{}", Uuid::new_v4().simple());
        let lifecycle = Lifecycle::new();
        let broker = connect(url, &prefix, declare, &lifecycle).await;
        let raw = Box::new(Raw::connect().await);
        let map = PartitionMap::even(GENERATION, 1);
        Self { broker: Arc::new(broker), map, kind: Kind::RabbitMq { prefix, raw }, lifecycle }
    }

    /// Declares the queues.
    pub(crate) async fn declared(&self) {
        self.broker.declare(&self.map).await.unwrap();
    }

    /// A second process on the same queues.
    pub(crate) async fn another(&self) -> Arc<dyn Broker> {
        match &self.kind {
            Kind::InProcess(broker) => Arc::new(broker.clone()),
            Kind::RabbitMq { prefix, .. } => {
                Arc::new(connect(amqp::url(), prefix, DeclareMode::Never, &self.lifecycle).await)
            }
        }
    }

    /// Makes [`QUEUE`] so that it is full soon; answers how many messages are surely too many.
    pub(crate) async fn small_queue(&self) -> u32 {
        match &self.kind {
            Kind::InProcess(_) => {
                self.declared().await;
                10_001
            }
            Kind::RabbitMq { raw, .. } => {
                let text = |value: &str| AMQPValue::LongString(value.into());
                let length = AMQPValue::LongLongInt(10);
                let arguments = [
                    ("x-queue-type", text("quorum")),
                    ("x-overflow", text("reject-publish")),
                    ("x-max-length", length),
                    ("x-single-active-consumer", AMQPValue::Boolean(true)),
                ];
                raw.declare(&self.name(QUEUE), &arguments).await;
                2_000
            }
        }
    }

    /// Takes a message out of the dead letters.
    pub(crate) async fn dead_letter(&self) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::InProcess(broker) => broker.dead_letters().pop().map(|letter| letter.payload),
            Kind::RabbitMq { prefix, raw } => raw.take(&format!("{prefix}.dead")).await,
        }
    }

    /// A queue's name on the server.
    pub(crate) fn name(&self, queue: QueueId) -> String {
        let Kind::RabbitMq { prefix, .. } = &self.kind else { return String::new() };
        let name = format!("{prefix}.events.{GENERATION}.p{:02}", queue.partition.0);
        match queue.class {
            QueueClass::Single => name,
            QueueClass::Bulk => format!("{name}.bulk"),
        }
    }

    /// The tests' own connection.
    pub(crate) fn raw(&self) -> &Raw {
        let Kind::RabbitMq { raw, .. } = &self.kind else { panic!("only RabbitMQ has one") };
        raw
    }

    /// Publishes numbered messages in one call, and expects all to be taken.
    pub(crate) async fn publish(&self, numbers: std::ops::Range<u32>) {
        let results = self.broker.publish(GENERATION, numbers.map(|number| message(QUEUE, number)).collect()).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// Subscribes to [`QUEUE`].
    pub(crate) async fn subscribe(&self) -> Box<dyn Subscription> {
        self.broker.subscribe(GENERATION, QUEUE).await.unwrap()
    }

    async fn end(&self) {
        self.broker.close(SOON).await;
        if let Kind::RabbitMq { prefix, raw } = &self.kind {
            let queues = [QUEUE, OTHER, MISSING].map(|queue| self.name(queue));
            raw.delete(&[&queues[..], &[format!("{prefix}.dead")]].concat()).await;
        }
        self.lifecycle.stop();
        assert!(self.lifecycle.finished(SOON).await, "every task has ended");
    }
}

async fn connect(url: String, prefix: &str, declare: DeclareMode, lifecycle: &Lifecycle) -> RabbitBroker {
    let options = RabbitOptions { url, prefix: prefix.to_owned(), declare, name: "hpts test".to_owned() };
    RabbitBroker::connect(options, lifecycle.clone()).await.expect("RabbitMQ runs (./scripts/services up)")
}

/// A message that carries a number.
pub(crate) fn message(queue: QueueId, number: u32) -> Outgoing {
    Outgoing { queue, payload: number.to_be_bytes().to_vec() }
}

/// The number a delivery carries.
pub(crate) fn number(delivery: &Delivery) -> u32 {
    u32::from_be_bytes(delivery.payload.as_slice().try_into().unwrap())
}

/// The next delivery, which must come soon.
pub(crate) async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    let next = tokio::time::timeout(SOON, subscription.next()).await;
    next.expect("a message comes soon").expect("the subscription goes on")
}

/// The next deliveries.
pub(crate) async fn take(subscription: &mut Box<dyn Subscription>, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.push(next(subscription).await);
    }
    deliveries
}

/// The numbers the next deliveries carry.
pub(crate) async fn take_numbers(subscription: &mut Box<dyn Subscription>, count: usize) -> Vec<u32> {
    take(subscription, count).await.iter().map(number).collect()
}

/// Nothing is delivered for a moment.
pub(crate) async fn nothing_comes(subscription: &mut Box<dyn Subscription>) {
    let next = tokio::time::timeout(A_MOMENT, subscription.next()).await;
    assert!(next.is_err(), "{next:?}");
}

/// The subscription ends soon, whatever it still hands out before.
pub(crate) async fn ends(subscription: &mut Box<dyn Subscription>) {
    let end = async { while subscription.next().await.is_some() {} };
    tokio::time::timeout(SOON, end).await.expect("the subscription ends");
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("in time: {what}"));
}
