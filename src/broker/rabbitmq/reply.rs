//! Owns results on their way back: sending them without a confirm, and the exclusive queue that receives them.
//!
//! A lost result is harmless, because who waits asks the store after a moment. So nothing here is confirmed, retried
//! or stored, and what nobody takes is dropped.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection::LinkWatch;
use super::error::{exchange, meaning, unavailable};
use super::topology::Topology;
use crate::broker::{BrokerError, Reply};
use crate::core::ids::PublisherId;

/// The most groups of results that wait inside this process.
const WAITING_MAX: usize = 4_096;

/// How long sending may take. It is a write to a socket; a socket that takes longer is not worth a worker's time.
const SEND_MAX: Duration = Duration::from_secs(1);

/// The pause before a reply queue that could not be declared is tried again. The server may still hold the one of the
/// connection that was lost.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends results, in order, each to the queue of its publisher.
pub(super) async fn send(channel: &Channel, topology: &Topology, replies: &[Reply]) -> Result<(), BrokerError> {
    let sends = replies.iter().map(|reply| {
        let name = topology.reply_name(reply.publisher);
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), name, options, &reply.payload, BasicProperties::default())
    });
    match tokio::time::timeout(SEND_MAX, try_join_all(sends)).await {
        Ok(sent) => sent.map(drop).map_err(|error| meaning(&error)),
        Err(_elapsed) => Err(unavailable("results could not be sent in time")),
    }
}

/// A reply queue, consumed over reconnections.
pub(super) struct Inbox {
    topology: Topology,
    publisher: PublisherId,
    link: LinkWatch,
    waiting: mpsc::Sender<Vec<u8>>,
    ended: CancellationToken,
}

/// A consumer, and the channel it lives on.
struct Open {
    connection: Arc<Connection>,
    channel: Channel,
    consumer: Consumer,
}

impl Inbox {
    /// An inbox, and the end that the process reads.
    pub(super) fn new(
        topology: Topology,
        publisher: PublisherId,
        link: LinkWatch,
        ended: CancellationToken,
    ) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (waiting, receiver) = mpsc::channel(WAITING_MAX);
        (Self { topology, publisher, link, waiting, ended }, receiver)
    }

    /// Declares the queue and consumes it, then keeps doing so in the task returned.
    pub(super) async fn start(mut self) -> Result<impl Future<Output = ()> + Send + 'static, BrokerError> {
        let connection = self.link.get()?;
        let open = self.open(connection).await?;
        Ok(async move {
            let ended = self.ended.clone();
            ended.run_until_cancelled(self.run(open)).await;
        })
    }

    async fn open(&self, connection: Arc<Connection>) -> Result<Open, BrokerError> {
        exchange(async {
            let channel = connection.create_channel().await?;
            self.topology.declare_reply(&channel, self.publisher).await?;
            let name = self.topology.reply_name(self.publisher);
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            let consumer = channel.basic_consume(name, "".into(), options, FieldTable::default()).await?;
            Ok(Open { connection: Arc::clone(&connection), channel, consumer })
        })
        .await
    }

    /// Ends when the process no longer reads, or its connection's supervisor ends.
    async fn run(&mut self, first: Open) {
        let mut open = first;
        loop {
            if !self.receive(&mut open).await {
                return;
            }
            tracing::warn!(publisher.id = %self.publisher, "the reply queue was lost and is declared again");
            open = loop {
                let dead = Some(&open.connection).filter(|connection| !connection.status().connected());
                let Some(connection) = self.link.up(dead).await else { return };
                match self.open(connection).await {
                    Ok(open) => break open,
                    Err(error) => tracing::warn!(%error, "the reply queue could not be declared"),
                }
                tokio::time::sleep(PAUSE).await;
            };
        }
    }

    /// Receives until the consumer ends (`true`) or nobody reads (`false`).
    async fn receive(&self, open: &mut Open) -> bool {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.waiting.closed() => return false,
                delivery = open.consumer.next() => delivery,
            };
            let Some(Ok(delivery)) = delivery else {
                super::repair::close(&open.channel).await;
                return true;
            };
            if let Err(mpsc::error::TrySendError::Full(_)) = self.waiting.try_send(delivery.data) {
                tracing::warn!("results dropped: {WAITING_MAX} groups already wait");
            }
        }
    }
}
