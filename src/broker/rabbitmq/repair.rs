//! Owns the repair of a missing queue: declare it again as recorded, then publish once more what it lacked.
//!
//! Someone deleted the queue, or the server came back without its data. The messages it held are hints; the sweeper
//! publishes them again. What matters here is that the process goes on by itself and says loudly what it did.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use lapin::Channel;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::calls::{Attempt, Call, Results};
use super::connection::LinkWatch;
use super::error::{exchange, unavailable};
use super::publisher::CONFIRM_MAX;
use super::topology::Topology;
use crate::broker::{BrokerError, Outgoing, QueueId};
use crate::runtime::lifecycle::Lifecycle;

/// Declares missing queues, and publishes to them again.
pub(super) struct Repairer {
    this: Weak<Self>,
    topology: Topology,
    /// The consuming connection: the publishing one may be blocked.
    link: LinkWatch,
    /// To the publisher task, which lives as long as it has a connection's supervisor, not as long as this sender.
    calls: mpsc::Sender<Call>,
    lifecycle: Lifecycle,
}

impl Repairer {
    pub(super) fn new(
        topology: Topology,
        link: LinkWatch,
        calls: mpsc::Sender<Call>,
        lifecycle: Lifecycle,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { this: Weak::clone(this), topology, link, calls, lifecycle })
    }

    /// Declares one queue exactly as recorded.
    pub(super) async fn declare(&self, generation: i32, queue: QueueId) -> Result<(), BrokerError> {
        let name = self.topology.queue_name(generation, queue);
        tracing::warn!(queue = %name, "the queue is missing and is declared again");
        let connection = self.link.get()?;
        exchange(async {
            let channel = connection.create_channel().await?;
            let declared = self.topology.declare_one(&channel, generation, queue).await;
            close(&channel).await;
            declared
        })
        .await
    }

    /// Repairs in a task of its own and answers the call when done.
    pub(super) fn start(&self, call: Call, results: Results) {
        let Some(this) = self.this.upgrade() else { return call.finish(results) };
        self.lifecycle.spawn(async move { this.repair(call, results).await });
    }

    async fn repair(&self, call: Call, mut results: Results) {
        let missing = |result: &Result<(), BrokerError>| matches!(result, Err(BrokerError::Unroutable));
        let unroutable: Vec<Outgoing> = call
            .messages
            .iter()
            .zip(&results)
            .filter(|(_, result)| missing(result))
            .map(|(message, _)| message.clone())
            .collect();
        let queues: BTreeSet<QueueId> = unroutable.iter().map(|message| message.queue).collect();
        let count = unroutable.len();
        let mut declared = Ok(());
        for queue in queues {
            declared = declared.and(self.declare(call.generation, queue).await);
        }
        let again = match declared {
            Ok(()) => self.publish(&call, unroutable).await,
            Err(error) => vec![Err(error); count],
        };
        let places = results.iter_mut().filter(|result| missing(result));
        for (place, result) in places.zip(again) {
            *place = result;
        }
        call.finish(results);
    }

    async fn publish(&self, call: &Call, messages: Vec<Outgoing>) -> Results {
        let count = messages.len();
        let (answer, answered) = oneshot::channel();
        let again = Call {
            generation: call.generation,
            messages: Arc::new(messages),
            attempt: Attempt::Last,
            deadline: deadline(),
            answer,
            held: call.held.clone(),
        };
        let lost = || vec![Err(unavailable("it has been closed")); count];
        if self.calls.send(again).await.is_err() {
            return lost();
        }
        answered.await.unwrap_or_else(|_closed| lost())
    }
}

/// The deadline of a call that starts now.
pub(super) fn deadline() -> Instant {
    let now = Instant::now();
    now.checked_add(CONFIRM_MAX).unwrap_or(now)
}

/// Closes a channel; one that an error has closed already is closed.
pub(super) async fn close(channel: &Channel) {
    if !channel.status().connected() {
        return;
    }
    if let Err(error) = channel.close(lapin::protocol::constants::REPLY_SUCCESS, "done".into()).await {
        tracing::debug!(%error, "a channel was not closed in order");
    }
}
