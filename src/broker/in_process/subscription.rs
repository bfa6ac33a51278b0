//! Owns one subscription: what it has handed out and not seen settled.
//!
//! The unsettled messages live here and nowhere else; dropping the subscription moves them back, so no message can be
//! in two places or in none.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::queue::Message;
use super::{DeadLetter, QueueKey, Shared, closed};
use crate::broker::{BrokerError, Delivery, PREFETCH, Subscription};

/// One queue being consumed.
pub(super) struct InProcessSubscription {
    shared: Arc<Shared>,
    key: QueueKey,
    number: u64,
    wake: Arc<Notify>,
    last_tag: u64,
    /// In the order handed out, so by rising tag.
    unsettled: VecDeque<(u64, Message)>,
}

/// What a look at the queue found.
enum Turn {
    Took(Message),
    Nothing,
    Ended,
}

impl InProcessSubscription {
    /// Joins the queue's line of subscribers.
    pub(super) fn start(shared: &Arc<Shared>, key: QueueKey) -> Result<Self, BrokerError> {
        let mut state = shared.lock();
        if state.closed {
            return Err(closed());
        }
        let number = state.subscribers_made.saturating_add(1);
        state.subscribers_made = number;
        let wake = Arc::new(Notify::new());
        state.queues.get_mut(&key).ok_or(BrokerError::Unroutable)?.join(number, Arc::clone(&wake));
        drop(state);
        Ok(Self { shared: Arc::clone(shared), key, number, wake, last_tag: 0, unsettled: VecDeque::new() })
    }

    fn look(&self) -> Turn {
        let mut state = self.shared.lock();
        if state.closed {
            return Turn::Ended;
        }
        let Some(queue) = state.queues.get_mut(&self.key) else { return Turn::Ended };
        if self.unsettled.len() >= usize::from(PREFETCH) {
            return Turn::Nothing;
        }
        queue.take(self.number).map_or(Turn::Nothing, Turn::Took)
    }

    fn hand_out(&mut self, message: Message) -> Delivery {
        self.last_tag = self.last_tag.saturating_add(1);
        let delivery = Delivery {
            queue: self.key.queue,
            tag: self.last_tag,
            redelivered: message.returned > 0,
            delivery_count: message.returned,
            payload: message.payload.clone(),
        };
        self.unsettled.push_back((self.last_tag, message));
        delivery
    }
}

#[async_trait]
impl Subscription for InProcessSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.look() {
                Turn::Took(message) => return Some(self.hand_out(message)),
                Turn::Ended => return None,
                // A wake between the look and this line is kept by `Notify`, so none is lost. A subscription that
                // holds all it may is only looked at again after it has settled something, which takes `&mut self`.
                Turn::Nothing => self.wake.notified().await,
            }
        }
    }

    async fn ack_through(&mut self, tag: u64) -> bool {
        if self.shared.lock().closed {
            return false;
        }
        while self.unsettled.front().is_some_and(|(first, _)| *first <= tag) {
            self.unsettled.pop_front();
        }
        true
    }

    async fn reject(&mut self, tag: u64) -> bool {
        let mut state = self.shared.lock();
        if state.closed {
            return false;
        }
        let position = self.unsettled.iter().position(|(unsettled, _)| *unsettled == tag);
        if let Some((_, message)) = position.and_then(|position| self.unsettled.remove(position)) {
            state.bury(DeadLetter { queue: self.key.queue, payload: message.payload });
        }
        true
    }

    async fn close(self: Box<Self>) {
        drop(self);
    }
}

impl Drop for InProcessSubscription {
    fn drop(&mut self) {
        let unsettled = std::mem::take(&mut self.unsettled).into_iter().map(|(_, message)| message);
        if let Some(queue) = self.shared.lock().queues.get_mut(&self.key) {
            queue.leave(self.number, unsettled);
        }
    }
}

impl fmt::Debug for InProcessSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessSubscription")
            .field("key", &self.key)
            .field("unsettled", &self.unsettled.len())
            .finish_non_exhaustive()
    }
}
