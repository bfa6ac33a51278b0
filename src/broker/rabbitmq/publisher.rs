//! Owns publishing: one task that sends every message of the process and holds every confirm.
//!
//! One task, because lapin draws a publish's sequence number and queues its frames in two steps: two tasks on one
//! channel could swap them, and then a refusal is told to the wrong caller.
//!
//! It also settles returns. The server sends a return before the confirm of the same message; lapin gives it to
//! whichever confirm of the channel completes next, so whoever carries it completed no later than the message it
//! belongs to. Therefore no confirm is believed before every confirm that has completed is looked at: see
//! [`Publisher::drain`].
//!
//! What callers leave behind is bounded three times: the channel of calls, [`IN_FLIGHT_MAX`], and the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::calls::{Attempt, Call, Calls, Finished, MessageKey};
use super::connection::{self, LOOK_INTERVAL, LinkWatch};
use super::error::{exchange, meaning, unavailable};
use super::repair::Repairer;
use super::topology::{DeclareMode, Topology};
use crate::broker::BrokerError;

/// How long a message waits for its confirm before its caller is told that its fate is unknown. Confirms take about
/// a millisecond; a queue that has lost its majority gives none at all.
pub(super) const CONFIRM_MAX: Duration = Duration::from_secs(10);

/// The most messages without a confirm. 25,000 messages a second at a millisecond each keep 25 in flight, so this is
/// room for a server that stalls for 100 ms. A call that begins below the limit is sent whole.
const IN_FLIGHT_MAX: usize = 3_000;

/// The most messages whose deadline passed and whose confirm is still held. Beyond it the connection is made anew,
/// which settles them all.
const OVERDUE_MAX: usize = 10_000;

/// AMQP's delivery mode "persistent".
const PERSISTENT: u8 = 2;

/// What the publisher task needs.
pub(super) struct Publisher {
    pub(super) topology: Topology,
    pub(super) declare: DeclareMode,
    /// Makes message ids unique over processes.
    pub(super) run: String,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) link: LinkWatch,
    /// The channel for results, remade with the one for events.
    pub(super) replies: watch::Sender<Option<Arc<Channel>>>,
    pub(super) repairer: Arc<Repairer>,
    pub(super) confirms_pending: Arc<AtomicU64>,
}

/// A confirm, and whose it is.
struct Confirmed {
    key: MessageKey,
    outcome: lapin::Result<Confirmation>,
}

type Confirms = FuturesUnordered<BoxFuture<'static, Confirmed>>;

/// The two channels of the publishing connection.
struct Channels {
    events: Arc<Channel>,
    replies: Arc<Channel>,
}

impl Channels {
    async fn open(connection: &Connection) -> Result<Self, BrokerError> {
        exchange(async {
            let events = connection.create_channel().await?;
            events.confirm_select(ConfirmSelectOptions::default()).await?;
            let replies = connection.create_channel().await?;
            Ok(Self { events: Arc::new(events), replies: Arc::new(replies) })
        })
        .await
    }

    fn usable(&self) -> bool {
        self.events.status().connected() && self.replies.status().connected()
    }
}

impl Publisher {
    /// Publishes until the supervisor of its connection ends.
    pub(super) async fn run(mut self) {
        let mut last = None;
        while let Some(connection) = self.connected(last.as_ref()).await {
            match Channels::open(&connection).await {
                Ok(channels) => {
                    self.replies.send_replace(Some(Arc::clone(&channels.replies)));
                    let error = self.serve(&channels).await;
                    self.replies.send_replace(None);
                    if connection.status().connected() {
                        tracing::warn!(%error, "publishing failed, the connection is made anew");
                    }
                }
                Err(error) => tracing::warn!(%error, "channels for publishing could not be opened"),
            }
            connection::close(&connection).await;
            last = Some(connection);
        }
        self.calls.close();
        while let Some(call) = self.calls.recv().await {
            call.fail(&unavailable("it has been closed"));
        }
    }

    /// Waits for a connection, refusing calls meanwhile.
    async fn connected(&mut self, last: Option<&Arc<Connection>>) -> Option<Arc<Connection>> {
        loop {
            tokio::select! {
                biased;
                connection = self.link.up(last) => return connection,
                Some(call) = self.calls.recv() => call.fail(&unavailable("not connected")),
            }
        }
    }

    /// Publishes on these channels until they fail; answers why. Everything still out then is answered too.
    async fn serve(&mut self, channels: &Channels) -> BrokerError {
        let mut calls = Calls::default();
        let mut confirms = Confirms::new();
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let error = loop {
            tokio::select! {
                biased;
                now = look.tick() => {
                    for finished in calls.expire(now) {
                        finished.call.finish(finished.results);
                    }
                    if !channels.usable() {
                        break unavailable("the connection was lost");
                    }
                    if calls.overdue() > OVERDUE_MAX {
                        break unavailable("too many messages without a confirm");
                    }
                }
                Some(confirmed) = confirms.next() => {
                    if let Err(error) = self.drain(&mut calls, &mut confirms, confirmed).await {
                        break error;
                    }
                }
                Some(call) = self.calls.recv(), if calls.in_time() < IN_FLIGHT_MAX => {
                    self.send(channels, &mut calls, &confirms, call);
                }
            }
        };
        let finished = calls.end(&error);
        self.gauge(calls.unconfirmed());
        for finished in finished {
            finished.call.finish(finished.results);
        }
        error
    }

    fn gauge(&self, unconfirmed: usize) {
        self.confirms_pending.store(u64::try_from(unconfirmed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Puts every message of a call on its way, without waiting in between.
    fn send(&self, channels: &Channels, calls: &mut Calls, confirms: &Confirms, call: Call) {
        if call.deadline <= Instant::now() {
            return call.fail(&unavailable("too many messages wait for a confirm"));
        }
        if self.link.is_blocked() {
            return call.fail(&unavailable("the server has blocked publishing"));
        }
        let messages = Arc::clone(&call.messages);
        let generation = call.generation;
        let number = calls.insert(call);
        for (index, message) in messages.iter().enumerate() {
            let key = MessageKey { call: number, index };
            let queue = self.topology.queue_name(generation, message.queue);
            let properties = BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_message_id(key.message_id(&self.run).into());
            let channel = Arc::clone(&channels.events);
            let messages = Arc::clone(&messages);
            confirms.push(Box::pin(async move {
                let payload = messages.get(index).map_or(&[][..], |message| &message.payload);
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let outcome = match channel.basic_publish("".into(), queue, options, payload, properties).await {
                    Ok(confirm) => confirm.await,
                    Err(error) => Err(error),
                };
                Confirmed { key, outcome }
            }));
        }
        self.gauge(calls.unconfirmed());
    }

    /// Looks at a confirm and every other one that has completed, returns first. An error means that the channel is
    /// gone.
    ///
    /// One poll of [`FuturesUnordered`] that ends in "pending" has polled everything that was woken before it began:
    /// it hands out in the order of the wakes, and gives up no earlier than after as many polls as it holds futures.
    async fn drain(&self, calls: &mut Calls, confirms: &mut Confirms, first: Confirmed) -> Result<(), BrokerError> {
        let mut next = Some(first);
        let mut outcomes = Vec::new();
        let mut channel = Ok(());
        while let Some(Confirmed { key, outcome }) = next {
            match outcome {
                Ok(Confirmation::Ack(returned)) => {
                    self.note_return(calls, returned);
                    outcomes.push((key, Ok(())));
                }
                Ok(Confirmation::Nack(returned)) => {
                    self.note_return(calls, returned);
                    outcomes.push((key, Err(BrokerError::Refused)));
                }
                Ok(Confirmation::NotRequested) => channel = Err(unavailable("the channel does not confirm")),
                Err(error) => channel = Err(meaning(&error)),
            }
            next = match futures::poll!(confirms.next()) {
                Poll::Ready(next) => next,
                Poll::Pending => None,
            };
        }
        let finished: Vec<_> =
            outcomes.into_iter().filter_map(|(key, outcome)| calls.confirmed(key, outcome)).collect();
        self.gauge(calls.unconfirmed());
        for finished in finished {
            self.finish(finished);
        }
        channel
    }

    fn note_return(&self, calls: &mut Calls, returned: Option<BasicReturnMessage>) {
        let Some(returned) = returned else { return };
        let message_id = returned.properties.message_id().as_ref();
        if let Some(key) = message_id.and_then(|id| MessageKey::parse(id.as_str(), &self.run)) {
            calls.returned(key);
        } else {
            tracing::error!("the server returned a message that is not ours");
        }
    }

    fn finish(&self, finished: Finished) {
        let Finished { call, results } = finished;
        let unroutable = results.iter().any(|result| matches!(result, Err(BrokerError::Unroutable)));
        match (unroutable, self.declare, call.attempt) {
            (true, DeclareMode::Auto, Attempt::First) => self.repairer.start(call, results),
            (true, DeclareMode::Never, _) | (true, DeclareMode::Auto, Attempt::Last) | (false, _, _) => {
                call.finish(results);
            }
        }
    }
}
