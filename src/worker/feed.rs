//! Owns one queue being consumed: subscribes, forwards deliveries to its lane, settles what the lane says, subscribes
//! again when the subscription is lost.
//!
//! A lane that drops its [`Feed`] closes the channel; what is unsettled goes back to the queue in order.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::mpsc;

use crate::broker::{Broker, Delivery, QueueId, Subscription};
use crate::core::event::{Envelope, WireError};
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::chain;
use crate::worker::lane::LaneMessage;

/// Settlements that wait for a feed: a lane sends one a batch and queue.
const COMMANDS_MAX: usize = 64;
/// Pauses between attempts to subscribe.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Which subscription a delivery came from: a settlement for an earlier one is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The queue.
    pub(super) queue: QueueId,
    /// Which of the lane's feeds.
    pub(super) feed: u64,
    /// Which of the feed's subscriptions.
    pub(super) epoch: u64,
}

/// A delivery as a lane gets it.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) source: Source,
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) delivery_count: u32,
    pub(super) envelope: Result<Envelope, WireError>,
}

impl Delivered {
    fn new(source: Source, delivery: &Delivery) -> Self {
        Self {
            source,
            tag: delivery.tag,
            redelivered: delivery.redelivered,
            delivery_count: delivery.delivery_count,
            envelope: Envelope::from_bytes(&delivery.payload),
        }
    }
}

/// How a lane settles deliveries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settle {
    /// Everything up to and including the tag is done.
    AckThrough(u64),
    /// This one goes to the dead letters.
    Reject(u64),
}

/// Handle to a running feed; dropping it closes the channel.
#[derive(Debug)]
pub(super) struct Feed {
    commands: mpsc::Sender<(u64, Settle)>,
}

impl Feed {
    /// Starts consuming a queue for a lane.
    pub(super) fn open(
        (queue, feed): (QueueId, u64),
        (broker, generation): (Arc<dyn Broker>, i32),
        lane: mpsc::Sender<LaneMessage>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let source = Source { queue, feed, epoch: 0 };
        let task = FeedTask { source, broker, generation, lane, commands: waiting };
        lifecycle.spawn(task.run(lifecycle.clone()));
        Self { commands }
    }

    /// Settles deliveries of a subscription. Void if that subscription is gone: they will come again.
    pub(super) async fn settle(&self, source: Source, settle: Settle) {
        let _closed = self.commands.send((source.epoch, settle)).await.is_err();
    }
}

#[derive(Debug)]
struct FeedTask {
    source: Source,
    broker: Arc<dyn Broker>,
    generation: i32,
    lane: mpsc::Sender<LaneMessage>,
    commands: mpsc::Receiver<(u64, Settle)>,
}

/// Why a subscription is over.
enum Ended {
    /// The lane has dropped the feed.
    Closed,
    /// The broker ended it.
    Lost,
}

impl FeedTask {
    async fn run(mut self, lifecycle: Lifecycle) {
        while let Some(subscription) = self.subscribe(&lifecycle).await {
            self.source.epoch = self.source.epoch.saturating_add(1);
            match self.consume(subscription).await {
                Ended::Closed => return,
                Ended::Lost => {
                    tracing::warn!(queue = ?self.source.queue, "subscription lost; subscribing again");
                    if !self.tell_lost().await {
                        return;
                    }
                }
            }
        }
    }

    /// Tells the lane, which may be busy telling us: its settlements are void now, and taken so that nobody waits for
    /// the other. False when the lane has dropped the feed.
    async fn tell_lost(&mut self) -> bool {
        loop {
            tokio::select! {
                room = self.lane.reserve() => {
                    return room.map(|room| room.send(LaneMessage::Lost(self.source))).is_ok();
                }
                command = self.commands.recv() => if command.is_none() {
                    return false;
                },
            }
        }
    }

    /// A subscription, however long it takes; `None` when nobody wants it any more.
    async fn subscribe(&mut self, lifecycle: &Lifecycle) -> Option<Box<dyn Subscription>> {
        let pauses = ExponentialBuilder::default().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX).with_jitter();
        let mut pauses = pauses.without_max_times().build();
        loop {
            match self.broker.subscribe(self.generation, self.source.queue).await {
                Ok(subscription) => return Some(subscription),
                Err(error) => tracing::warn!(queue = ?self.source.queue, error = chain(&error), "cannot subscribe"),
            }
            let pause = tokio::time::sleep(pauses.next().unwrap_or(PAUSE_MAX));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = lifecycle.stopping() => return None,
                    // Settlements of a lost subscription are void; only the end of the channel matters.
                    command = self.commands.recv() => command.map(|_| ())?,
                }
            }
        }
    }

    async fn consume(&mut self, mut subscription: Box<dyn Subscription>) -> Ended {
        let mut forward: Option<Delivered> = None;
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    let Some((epoch, settle)) = command else {
                        subscription.close().await;
                        return Ended::Closed;
                    };
                    if epoch == self.source.epoch && !settled(subscription.as_mut(), settle).await {
                        return Ended::Lost;
                    }
                }
                // A full lane must not keep us from settling, so forwarding waits beside the commands.
                room = self.lane.reserve(), if forward.is_some() => match (room, forward.take()) {
                    (Ok(room), Some(delivered)) => room.send(LaneMessage::Delivered(delivered)),
                    (Ok(_), None) => {}
                    (Err(_), _) => {
                        subscription.close().await;
                        return Ended::Closed;
                    }
                },
                delivery = subscription.next(), if forward.is_none() => match delivery {
                    Some(delivery) => forward = Some(Delivered::new(self.source, &delivery)),
                    None => return Ended::Lost,
                },
            }
        }
    }
}

async fn settled(subscription: &mut dyn Subscription, settle: Settle) -> bool {
    match settle {
        Settle::AckThrough(tag) => subscription.ack_through(tag).await,
        Settle::Reject(tag) => subscription.reject(tag).await,
    }
}
