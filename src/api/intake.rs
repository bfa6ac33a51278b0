//! Owns the handle through which handlers hand events to the intake task.

use crate::core::event::NewEvent;
use crate::core::ids::{EventId, Seq};
use crate::core::time::Timestamp;
use crate::store::KnownEvent;

/// What became of an event.
#[derive(Debug)]
pub enum Accepted {
    /// Durable and in the order.
    New {
        /// Its place.
        seq: Seq,
        /// When the database took it.
        accepted_at: Timestamp,
    },
    /// Its key was taken; judge with [`crate::core::event::decide`].
    Known(Box<KnownEvent>),
}

/// Why an event was not taken. Nothing is known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// More waits than the intake takes.
    #[error("the intake is full")]
    Overloaded,
    /// The database does not answer.
    #[error("the database is unavailable")]
    DatabaseUnavailable,
    /// The database refuses this very event, or our own code failed.
    #[error("the event was refused by the database")]
    Refused,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

/// Handle to the intake task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {}

impl Intake {
    /// Commits the event together with all that arrived meanwhile, then publishes its hint. Dropping the future does
    /// not take the event back.
    ///
    /// # Errors
    /// See [`IntakeError`].
    pub async fn accept(&self, _event: NewEvent) -> Result<Accepted, IntakeError> {
        Err(IntakeError::Stopping)
    }

    /// Publishes the hint of an unfinished event again; at most once a second per event.
    pub fn nudge(&self, _known: &KnownEvent) {}

    /// Makes the next event id.
    #[must_use]
    pub fn next_id(&self) -> EventId {
        EventId(uuid::Uuid::nil())
    }
}
