//! Owns the callers that wait for a result: each has a seat by event id.
//!
//! A seat is filled by a worker's reply or, where that was lost or went to another process, by the store: one task
//! asks for all ids that still wait in one statement, after [`FIRST_ASK`] and then every [`ASK_AGAIN`]. A result that
//! nobody waits for is dropped; it is in the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::core::ids::EventId;
use crate::core::ledger::{Finished, Results};
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::chain;
use crate::store::Store;

/// How long a reply may take before the store is asked.
const FIRST_ASK: Duration = Duration::from_millis(250);
/// How often the store is asked for the same id after that.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The most ids asked for in one statement.
const ASK_MAX: usize = 5_000;

#[derive(Debug)]
struct Table {
    seats: Vec<(u64, oneshot::Sender<Finished>)>,
    ask_at: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    tables: Mutex<HashMap<EventId, Table>>,
    next_seat: AtomicU64,
}

/// The seats. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct WaitingRoom {
    inner: Arc<Inner>,
}

/// One seat; leaving it (drop) frees it.
#[derive(Debug)]
pub struct Seat {
    room: WaitingRoom,
    id: EventId,
    number: u64,
    result: oneshot::Receiver<Finished>,
}

impl WaitingRoom {
    /// Takes a seat. Take it before the event is handed to the intake, so that no result can come too early. Several
    /// callers may wait for one event.
    #[must_use]
    pub fn enter(&self, id: EventId) -> Seat {
        let (sender, result) = oneshot::channel();
        let number = self.inner.next_seat.fetch_add(1, Ordering::Relaxed);
        let ask_at = Instant::now().checked_add(FIRST_ASK).unwrap_or_else(Instant::now);
        let mut tables = self.tables();
        tables.entry(id).or_insert_with(|| Table { seats: Vec::new(), ask_at }).seats.push((number, sender));
        drop(tables);
        Seat { room: self.clone(), id, number, result }
    }

    /// Hands a result to everybody who waits for it.
    pub fn deliver(&self, id: EventId, finished: &Finished) {
        let table = self.tables().remove(&id);
        for (_, seat) in table.into_iter().flat_map(|table| table.seats) {
            // A caller that has left needs no result.
            let _left = seat.send(finished.clone()).is_err();
        }
    }

    /// Hands out every result of a worker's message.
    fn deliver_all(&self, message: &[u8]) {
        let results = Results::from_bytes(message).map(|message| message.results);
        for (id, finished) in results.into_iter().flatten() {
            self.deliver(id, &finished);
        }
    }

    /// Whether somebody waits for this event here.
    #[must_use]
    pub fn waits_for(&self, id: EventId) -> bool {
        self.tables().contains_key(&id)
    }

    /// How many events are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables().len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables().is_empty()
    }

    /// Starts the tasks that fill seats: from `replies`, and by asking the store.
    pub fn run(&self, lifecycle: &Lifecycle, store: Arc<dyn Store>, mut replies: mpsc::Receiver<Vec<u8>>) {
        let room = self.clone();
        let stopping = lifecycle.token();
        lifecycle.spawn_vital("replies", async move {
            while let Some(Some(bytes)) = stopping.run_until_cancelled(replies.recv()).await {
                room.deliver_all(&bytes);
            }
            // Requests in flight still get their results while the server drains.
            while let Ok(Some(bytes)) = tokio::time::timeout(ASK_AGAIN, replies.recv()).await {
                room.deliver_all(&bytes);
            }
        });
        let room = self.clone();
        let stopping = lifecycle.token();
        lifecycle.spawn_vital("waiting room", async move {
            while stopping.run_until_cancelled(tokio::time::sleep(FIRST_ASK)).await.is_some() {
                room.ask(store.as_ref()).await;
            }
        });
    }

    async fn ask(&self, store: &dyn Store) {
        let due = self.take_due();
        if due.is_empty() {
            return;
        }
        match store.finished(due).await {
            Ok(records) => {
                for record in records {
                    if let Some(posting) = &record.posting {
                        let event = &record.event.event;
                        self.deliver(event.id, &Finished::of(event, posting));
                    }
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "the store does not answer for waiting callers"),
        }
    }

    fn take_due(&self) -> Vec<EventId> {
        let now = Instant::now();
        let again = now.checked_add(ASK_AGAIN).unwrap_or(now);
        let mut tables = self.tables();
        let due = tables.iter_mut().filter(|(_, table)| table.ask_at <= now).take(ASK_MAX);
        due.map(|(id, table)| {
            table.ask_at = again;
            *id
        })
        .collect()
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, HashMap<EventId, Table>> {
        // The map is whole after every statement that could panic.
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The result, if it comes within the time.
    pub async fn result(&mut self, within: Duration) -> Option<Finished> {
        tokio::time::timeout(within, &mut self.result).await.ok().and_then(Result::ok)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut tables = self.room.tables();
        if let Some(table) = tables.get_mut(&self.id) {
            table.seats.retain(|(number, _)| *number != self.number);
            if table.seats.is_empty() {
                tables.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::core::ledger::Outcome;
    use crate::core::time::Timestamp;

    fn finished() -> Finished {
        let (outcome, posted_at) = (Outcome::Posted, Timestamp::EPOCH);
        Finished {
            outcome,
            has_entry: true,
            allocation: None,
            fee_event_id: None,
            reverses_entry_id: None,
            correlation_id: None,
            loan_count: None,
            refused_loans: Vec::new(),
            may_restate: false,
            posted_at,
        }
    }

    #[tokio::test]
    async fn everybody_who_waits_gets_the_result_and_seats_are_freed() {
        let room = WaitingRoom::default();
        let id = EventId(Uuid::from_u128(2));
        let (mut one, mut two, gone) = (room.enter(id), room.enter(id), room.enter(id));
        drop(gone);
        room.deliver(id, &finished());
        assert_eq!(one.result(Duration::from_secs(1)).await, Some(finished()));
        assert_eq!(two.result(Duration::from_secs(1)).await, Some(finished()));
        assert!(room.is_empty());
        let mut late = room.enter(id);
        assert_eq!(late.result(Duration::ZERO).await, None);
        drop(late);
        assert_eq!(room.len(), 0);
    }
}
