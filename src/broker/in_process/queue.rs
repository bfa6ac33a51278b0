//! Owns one queue: what waits, who subscribes, and whose turn it is.
//!
//! Invariant: of all subscribers the first is active, and whoever becomes active, or could take a message, is woken
//! by the call that made it so. Everything here runs under the broker's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

/// A message that waits, or that one subscription holds unsettled.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) payload: Vec<u8>,
    /// How often it was handed out and came back.
    pub(super) returned: u32,
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Message>,
    subscribers: VecDeque<Subscriber>,
}

/// One that has subscribed.
#[derive(Debug)]
struct Subscriber {
    number: u64,
    wake: Arc<Notify>,
}

impl Queue {
    /// How many messages wait.
    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }

    /// Appends a message and wakes the active subscriber.
    pub(super) fn push(&mut self, payload: Vec<u8>) {
        self.waiting.push_back(Message { payload, returned: 0 });
        self.wake_active();
    }

    /// Puts a subscriber at the end of the line.
    pub(super) fn join(&mut self, number: u64, wake: Arc<Notify>) {
        self.subscribers.push_back(Subscriber { number, wake });
    }

    /// Takes the next message if it is this subscriber's turn.
    pub(super) fn take(&mut self, number: u64) -> Option<Message> {
        let active = self.subscribers.front().is_some_and(|first| first.number == number);
        if active { self.waiting.pop_front() } else { None }
    }

    /// Removes a subscriber, puts what it held back at the front in order, and wakes the next one.
    pub(super) fn leave(&mut self, number: u64, unsettled: impl DoubleEndedIterator<Item = Message>) {
        for mut message in unsettled.rev() {
            message.returned = message.returned.saturating_add(1);
            self.waiting.push_front(message);
        }
        self.subscribers.retain(|subscriber| subscriber.number != number);
        self.wake_active();
    }

    /// Wakes every subscriber, so that each sees that the broker has closed.
    pub(super) fn wake_all(&self) {
        self.subscribers.iter().for_each(|subscriber| subscriber.wake.notify_one());
    }

    fn wake_active(&self) {
        if let Some(active) = self.subscribers.front() {
            active.wake.notify_one();
        }
    }
}
