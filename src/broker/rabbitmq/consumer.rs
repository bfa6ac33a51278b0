//! Owns one subscription: a channel of its own, one consumer on it, and their end.
//!
//! A channel belongs to one queue because a `multiple` acknowledgement covers the whole channel. It is closed before
//! the consumer is dropped: a cancelled consumer's queue goes on to the next one *behind* the messages that are still
//! unsettled here, a closed channel gives them back first.
//!
//! An acknowledgement that was written is not yet settled: a channel on the server holds back those that a busy quorum
//! queue has not taken, and forgets them when it is closed (seen on 3.10.8: 1,000 single acknowledgements, then a
//! close). Such messages come again, like after any crash, and the store has their postings.

use std::fmt;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::error::exchange;
use super::repair::close;
use crate::broker::{BrokerError, Delivery, PREFETCH, QueueId, Subscription};
use crate::runtime::lifecycle::Lifecycle;

/// Where the server counts how often a message came back. From 4.3 on it counts failures only, which the closing of a
/// channel or connection still is; `x-acquired-count` counts all there.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// One queue being consumed.
pub(super) struct RabbitSubscription {
    queue: QueueId,
    lifecycle: Lifecycle,
    /// `None` once it has ended.
    open: Option<Open>,
}

/// The channel, and what consumes on it.
struct Open {
    channel: Channel,
    consumer: Consumer,
}

impl Open {
    async fn start(connection: &Connection, name: ShortString) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions { global: false }).await?;
        // Fresh for each subscription: RabbitMQ 3.10.8 loses the channel over a tag that is used again.
        let tag = format!("hpts-{}", Uuid::new_v4().simple());
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(name, tag.into(), options, FieldTable::default()).await?;
        Ok(Self { channel, consumer })
    }

    async fn close(self) {
        close(&self.channel).await;
        drop(self.consumer);
    }
}

impl RabbitSubscription {
    /// Opens a channel and consumes.
    pub(super) async fn start(
        connection: &Connection,
        name: ShortString,
        queue: QueueId,
        lifecycle: &Lifecycle,
    ) -> Result<Self, BrokerError> {
        let open = exchange(Open::start(connection, name)).await?;
        Ok(Self { queue, lifecycle: lifecycle.clone(), open: Some(open) })
    }

    /// Closes the channel in a task of its own, for it must happen even if nobody waits for it.
    fn end(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let open = self.open.take()?;
        // Without a runtime the process is ending; lapin then closes the socket, and the server everything on it.
        Handle::try_current().ok()?;
        Some(self.lifecycle.spawn(open.close()))
    }
}

#[async_trait]
impl Subscription for RabbitSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        let open = self.open.as_mut()?;
        match open.consumer.next().await {
            Some(Ok(delivery)) => Some(Delivery {
                queue: self.queue,
                tag: delivery.delivery_tag,
                redelivered: delivery.redelivered,
                delivery_count: delivery_count(&delivery.properties),
                payload: delivery.data,
            }),
            Some(Err(error)) => {
                tracing::debug!(%error, "a subscription ended");
                self.end();
                None
            }
            None => {
                self.end();
                None
            }
        }
    }

    async fn ack_through(&mut self, tag: u64) -> bool {
        // Tag 0 would acknowledge what has not even been handed out.
        if tag == 0 {
            return self.open.is_some();
        }
        let Some(open) = &self.open else { return false };
        // `Ok` says that the frame is written; a channel that has died answers with its error. The `Acker` of a
        // delivery would answer `Ok(false)` for the same, but holds one delivery, not a prefix of them.
        open.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await.is_ok()
    }

    async fn reject(&mut self, tag: u64) -> bool {
        let Some(open) = &self.open else { return false };
        open.channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await.is_ok()
    }

    async fn close(mut self: Box<Self>) {
        if let Some(closing) = self.end()
            && let Err(error) = closing.await
        {
            tracing::error!(%error, "closing a subscription failed");
        }
    }
}

impl Drop for RabbitSubscription {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for RabbitSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitSubscription")
            .field("queue", &self.queue)
            .field("open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}

fn delivery_count(properties: &BasicProperties) -> u32 {
    let headers = properties.headers().as_ref();
    let count = headers.and_then(|headers| headers.inner().get(DELIVERY_COUNT));
    count
        .and_then(lapin::types::AMQPValue::as_long_long_int)
        .map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}
