//! Owns the names and arguments of the queues: what `hpts migrate` declares and what a missing queue becomes again.
//!
//! The arguments are the record. Changing one means a new generation, because a server refuses to declare an existing
//! queue with other arguments, and that refusal is how a wrong topology is found.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::error::exchange;
use crate::broker::{BrokerError, QueueClass, QueueId};
use crate::core::ids::PublisherId;
use crate::core::slot::PartitionMap;

/// How often the server hands a message out before it dead-letters it itself. The worker judges poison from delivery
/// count 3 on, so the server must practically never do it: one crash costs every message of a prefetch window of 256 a
/// delivery, innocent or not, and servers from 4.0 on would drop after 20. Written out because without a limit
/// quorum queues up to 3.13 put what comes back at the *end* of the queue.
const DELIVERY_LIMIT: i64 = 1_000;

/// The most messages that wait in one queue before publishing is refused. At up to 256 events a message that is 25
/// million events; refused ones are in the store and are published again by the sweeper.
const QUEUE_MESSAGES_MAX: i64 = 100_000;

/// The most dead letters kept; the oldest go first. They are for people to look at, the store has the events.
const DEAD_LETTERS_MAX: i64 = 100_000;

/// The most groups of results that wait in one reply queue; the oldest go first. Who waits asks the store.
const REPLIES_WAITING_MAX: i64 = 10_000;

/// The longest prefix. Names are AMQP short strings of at most 255 bytes, and ours add less than 60.
const PREFIX_BYTES_MAX: usize = 100;

/// Whether a missing queue is declared again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclareMode {
    /// Yes, exactly as recorded, with a warning.
    Auto,
    /// No: it is reported, for users of the broker without the right to configure it.
    Never,
}

/// The queues under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    prefix: String,
}

impl Topology {
    /// Checks the prefix.
    pub(super) fn new(prefix: String) -> Result<Self, BrokerError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(allowed) {
            let rule = format!("1 to {PREFIX_BYTES_MAX} letters, digits, dots, hyphens and underscores");
            return Err(BrokerError::Topology(format!("a queue prefix has {rule}")));
        }
        Ok(Self { prefix })
    }

    /// `<prefix>.events.<generation>.p00`, with `.bulk` for bulk.
    pub(super) fn queue_name(&self, generation: i32, queue: QueueId) -> ShortString {
        let Self { prefix } = self;
        let number = queue.partition.0;
        match queue.class {
            QueueClass::Single => format!("{prefix}.events.{generation}.p{number:02}"),
            QueueClass::Bulk => format!("{prefix}.events.{generation}.p{number:02}.bulk"),
        }
        .into()
    }

    /// `<prefix>.reply.<uuid>`.
    pub(super) fn reply_name(&self, publisher: PublisherId) -> ShortString {
        format!("{}.reply.{publisher}", self.prefix).into()
    }

    /// `<prefix>.dead`.
    pub(super) fn dead_name(&self) -> ShortString {
        format!("{}.dead", self.prefix).into()
    }

    /// The names of the dead-letter queue and of every queue of a generation.
    pub(super) fn names(&self, map: &PartitionMap) -> Vec<ShortString> {
        let of_partitions = map.all().flat_map(|partition| {
            let of_class = move |class| self.queue_name(map.generation, QueueId { partition, class });
            [QueueClass::Single, QueueClass::Bulk].map(of_class)
        });
        std::iter::once(self.dead_name()).chain(of_partitions).collect()
    }

    /// Declares the dead-letter queue and every queue of a generation.
    pub(super) async fn declare(&self, channel: &Channel, map: &PartitionMap) -> Result<(), BrokerError> {
        exchange(self.declare_dead(channel)).await?;
        for partition in map.all() {
            for class in [QueueClass::Single, QueueClass::Bulk] {
                exchange(self.declare_events(channel, map.generation, QueueId { partition, class })).await?;
            }
        }
        Ok(())
    }

    /// Declares one queue, and the dead-letter queue it names.
    pub(super) async fn declare_one(&self, channel: &Channel, generation: i32, queue: QueueId) -> lapin::Result<()> {
        self.declare_dead(channel).await?;
        self.declare_events(channel, generation, queue).await
    }

    async fn declare_events(&self, channel: &Channel, generation: i32, queue: QueueId) -> lapin::Result<()> {
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
            ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            ("x-max-length", AMQPValue::LongLongInt(QUEUE_MESSAGES_MAX)),
            ("x-overflow", text("reject-publish")),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(self.dead_name().as_str())),
        ]);
        let name = self.queue_name(generation, queue);
        channel.queue_declare(name, QueueDeclareOptions::durable(), arguments).await.map(drop)
    }

    async fn declare_dead(&self, channel: &Channel) -> lapin::Result<()> {
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            ("x-max-length", AMQPValue::LongLongInt(DEAD_LETTERS_MAX)),
            ("x-overflow", text("drop-head")),
        ]);
        channel.queue_declare(self.dead_name(), QueueDeclareOptions::durable(), arguments).await.map(drop)
    }

    /// Declares the reply queue of one process: exclusive to the connection, gone with it.
    pub(super) async fn declare_reply(&self, channel: &Channel, publisher: PublisherId) -> lapin::Result<()> {
        let arguments = table([("x-max-length", AMQPValue::LongLongInt(REPLIES_WAITING_MAX))]);
        let options = QueueDeclareOptions::exclusive().auto_delete();
        channel.queue_declare(self.reply_name(publisher), options, arguments).await.map(drop)
    }
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::slot::Partition;

    #[test]
    fn names_are_golden() {
        let topology = Topology::new("hpts".to_owned()).unwrap();
        let queue = |number, class| QueueId { partition: Partition(number), class };
        assert_eq!(topology.queue_name(1, queue(0, QueueClass::Single)).as_str(), "hpts.events.1.p00");
        assert_eq!(topology.queue_name(12, queue(7, QueueClass::Bulk)).as_str(), "hpts.events.12.p07.bulk");
        assert_eq!(topology.queue_name(1, queue(4095, QueueClass::Bulk)).as_str(), "hpts.events.1.p4095.bulk");
        assert_eq!(topology.dead_name().as_str(), "hpts.dead");
    }

    #[test]
    fn a_prefix_is_short_and_plain() {
        for prefix in ["", "a b", "ä", &"x".repeat(101)] {
            assert!(Topology::new(prefix.to_owned()).is_err(), "{prefix}");
        }
    }
}
