//! Owns the bookkeeping of publishing: which messages are out, what is known of each, whom to tell.
//!
//! Pure and synchronous; the publisher task feeds it. Invariants: every message put in is answered exactly once, as
//! taken, refused, unroutable, or unknown at its deadline; a confirm that comes after the deadline is still looked at.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::broker::{BrokerError, Outgoing};

/// What became of each message of a call, in its order.
pub(super) type Results = Vec<Result<(), BrokerError>>;

/// Whether unroutable messages may be tried again after their queue has been declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    Last,
}

/// One call of `publish`.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) generation: i32,
    pub(super) messages: Arc<Vec<Outgoing>>,
    pub(super) attempt: Attempt,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Results>,
    /// Lets `close` wait for calls that nobody awaits any more.
    pub(super) held: TaskTrackerToken,
}

impl Call {
    /// Answers every message alike.
    pub(super) fn fail(self, error: &BrokerError) {
        let results = vec![Err(error.clone()); self.messages.len()];
        self.finish(results);
    }

    /// Answers. The caller may have gone, which is fine: it abandoned only the answer.
    pub(super) fn finish(self, results: Results) {
        drop(self.answer.send(results));
    }
}

/// One message on its way. Its text form is the AMQP message id, by which a returned message is matched: lapin may
/// hand a return to any confirm of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageKey {
    pub(super) call: u64,
    pub(super) index: usize,
}

impl MessageKey {
    /// The message id, unique over processes because `run` is.
    pub(super) fn message_id(self, run: &str) -> String {
        format!("{run}.{:x}.{:x}", self.call, self.index)
    }

    /// Reads one of our message ids back; `None` for any other text.
    pub(super) fn parse(message_id: &str, run: &str) -> Option<Self> {
        let (call, index) = message_id.strip_prefix(run)?.strip_prefix('.')?.split_once('.')?;
        Some(Self { call: u64::from_str_radix(call, 16).ok()?, index: usize::from_str_radix(index, 16).ok()? })
    }
}

/// A call all of whose messages have an answer.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) call: Call,
    pub(super) results: Results,
}

/// The calls that are out.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    entries: HashMap<u64, Entry>,
    /// In order of arrival, which is the order of the deadlines.
    deadlines: VecDeque<(Instant, u64)>,
    in_time: usize,
    overdue: usize,
}

#[derive(Debug)]
struct Entry {
    /// `None` once it was answered at its deadline.
    call: Option<Call>,
    results: Vec<Option<Result<(), BrokerError>>>,
    /// Messages without a confirm.
    open: usize,
}

impl Calls {
    /// Notes a call whose messages are about to be sent, and numbers it. It must hold at least one message.
    pub(super) fn insert(&mut self, call: Call) -> u64 {
        self.last = self.last.wrapping_add(1);
        let open = call.messages.len();
        self.in_time = self.in_time.saturating_add(open);
        self.deadlines.push_back((call.deadline, self.last));
        self.entries.insert(self.last, Entry { call: Some(call), results: vec![None; open], open });
        self.last
    }

    /// Messages without a confirm whose deadline has not passed.
    pub(super) fn in_time(&self) -> usize {
        self.in_time
    }

    /// Messages without a confirm whose deadline has passed.
    pub(super) fn overdue(&self) -> usize {
        self.overdue
    }

    /// Messages without a confirm.
    pub(super) fn unconfirmed(&self) -> usize {
        self.in_time.saturating_add(self.overdue)
    }

    /// Notes that the server returned a message: there is no queue. Its confirm is still to come and says "taken".
    pub(super) fn returned(&mut self, key: MessageKey) {
        let result = self.entries.get_mut(&key.call).and_then(|entry| entry.results.get_mut(key.index));
        if let Some(result) = result {
            *result = Some(Err(BrokerError::Unroutable));
        }
    }

    /// Notes a confirm; answers the call if it was the last one.
    pub(super) fn confirmed(&mut self, key: MessageKey, outcome: Result<(), BrokerError>) -> Option<Finished> {
        let entry = self.entries.get_mut(&key.call)?;
        if let Some(result) = entry.results.get_mut(key.index) {
            result.get_or_insert(outcome);
        }
        entry.open = entry.open.saturating_sub(1);
        let unconfirmed = if entry.call.is_some() { &mut self.in_time } else { &mut self.overdue };
        *unconfirmed = unconfirmed.saturating_sub(1);
        if entry.open > 0 {
            return None;
        }
        let entry = self.entries.remove(&key.call)?;
        while self.deadlines.front().is_some_and(|(_, call)| !self.entries.contains_key(call)) {
            self.deadlines.pop_front();
        }
        entry.finished(&unknown())
    }

    /// Answers the calls whose deadline has passed with what is known.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Finished> {
        let mut expired = Vec::new();
        while self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now) {
            let Some(entry) = self.deadlines.pop_front().and_then(|(_, call)| self.entries.get_mut(&call)) else {
                continue;
            };
            self.in_time = self.in_time.saturating_sub(entry.open);
            self.overdue = self.overdue.saturating_add(entry.open);
            let known = Entry { call: entry.call.take(), results: entry.results.clone(), open: 0 };
            expired.extend(known.finished(&unknown()));
        }
        expired
    }

    /// Answers everything with what is known and `error` for the rest: the channel is gone, no confirm will come.
    pub(super) fn end(&mut self, error: &BrokerError) -> Vec<Finished> {
        let entries = std::mem::take(&mut self.entries);
        self.deadlines.clear();
        self.in_time = 0;
        self.overdue = 0;
        entries.into_values().filter_map(|entry| entry.finished(error)).collect()
    }
}

impl Entry {
    fn finished(self, otherwise: &BrokerError) -> Option<Finished> {
        let results = self.results.into_iter().map(|result| result.unwrap_or_else(|| Err(otherwise.clone()))).collect();
        self.call.map(|call| Finished { call, results })
    }
}

fn unknown() -> BrokerError {
    BrokerError::Unavailable("no confirm in time".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::broker::{QueueClass, QueueId};
    use crate::core::slot::Partition;

    fn call(messages: usize, deadline: Instant) -> (Call, oneshot::Receiver<Results>) {
        let queue = QueueId { partition: Partition(0), class: QueueClass::Single };
        let messages = Arc::new(vec![Outgoing { queue, payload: Vec::new() }; messages]);
        let (answer, receiver) = oneshot::channel();
        let held = TaskTracker::new().token();
        (Call { generation: 1, messages, attempt: Attempt::First, deadline, answer, held }, receiver)
    }

    #[test]
    fn message_ids_are_read_back() {
        let key = MessageKey { call: 300, index: 17 };
        let id = key.message_id("run");
        assert_eq!(id, "run.12c.11");
        assert_eq!(MessageKey::parse(&id, "run"), Some(key));
        for other in ["", "run", "run.1", "other.1.2", "run.x.y", "run.1.2.3"] {
            assert_eq!(MessageKey::parse(other, "run"), None, "{other}");
        }
    }

    #[test]
    fn a_return_counts_for_its_own_message_whoever_carried_it() {
        let mut calls = Calls::default();
        let later = Instant::now() + Duration::from_secs(10);
        let first = calls.insert(call(2, later).0);
        let second = calls.insert(call(1, later).0);
        // The return of the second call's message came with the first call's confirm.
        calls.returned(MessageKey { call: second, index: 0 });
        assert!(calls.confirmed(MessageKey { call: first, index: 1 }, Ok(())).is_none());
        let second = calls.confirmed(MessageKey { call: second, index: 0 }, Ok(())).unwrap();
        assert!(matches!(second.results.as_slice(), [Err(BrokerError::Unroutable)]));
        let first = calls.confirmed(MessageKey { call: first, index: 0 }, Err(BrokerError::Refused)).unwrap();
        assert!(matches!(first.results.as_slice(), [Err(BrokerError::Refused), Ok(())]));
        assert_eq!(calls.unconfirmed(), 0);
    }

    #[test]
    fn at_the_deadline_what_is_known_is_said_and_late_confirms_are_still_looked_at() {
        let mut calls = Calls::default();
        let now = Instant::now();
        let number = calls.insert(call(2, now).0);
        assert!(calls.confirmed(MessageKey { call: number, index: 0 }, Ok(())).is_none());
        let expired = calls.expire(now);
        assert!(matches!(expired.as_slice(), [Finished { results, .. }]
            if matches!(results.as_slice(), [Ok(()), Err(BrokerError::Unavailable(_))])));
        assert_eq!((calls.in_time(), calls.overdue()), (0, 1));
        assert!(calls.confirmed(MessageKey { call: number, index: 1 }, Ok(())).is_none());
        assert_eq!(calls.unconfirmed(), 0);
    }

    #[test]
    fn the_end_answers_everything() {
        let mut calls = Calls::default();
        let later = Instant::now() + Duration::from_secs(10);
        let (made, mut answer) = call(1, later);
        calls.insert(made);
        for finished in calls.end(&BrokerError::Unavailable("gone".to_owned())) {
            finished.call.finish(finished.results);
        }
        assert!(matches!(answer.try_recv().unwrap().as_slice(), [Err(BrokerError::Unavailable(_))]));
        assert_eq!(calls.unconfirmed(), 0);
    }
}
