//! Owns the callers that wait for a result: each has a seat by event id; replies and the store's answer fill it.

use std::time::Duration;

use crate::core::ids::EventId;
use crate::core::ledger::Finished;

/// The seats. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct WaitingRoom {}

/// One seat; leaving it (drop) frees it.
#[derive(Debug)]
pub struct Seat {}

impl WaitingRoom {
    /// Takes a seat. Take it before the event is handed to the intake, so that no result can come too early. Several
    /// callers may wait for one event.
    #[must_use]
    pub fn enter(&self, _id: EventId) -> Seat {
        Seat {}
    }
}

impl Seat {
    /// The result, if it comes within the time.
    pub async fn result(&mut self, _within: Duration) -> Option<Finished> {
        None
    }
}
