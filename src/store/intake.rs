//! Owns what the intake learns of each event it brought.

use crate::core::event::{AcceptedEvent, NewEvent, Stage};
use crate::core::ids::Seq;
use crate::core::ledger::Posting;
use crate::core::time::Timestamp;
use crate::store::StoreError;
use crate::store::read::EventRecord;

/// An event whose key was taken before.
#[derive(Clone, Debug)]
pub struct KnownEvent {
    /// The first event with the key.
    pub event: AcceptedEvent,
    /// How far it has come.
    pub stage: Stage,
    /// What came of it, once finished.
    pub posting: Option<Posting>,
}

impl From<EventRecord> for KnownEvent {
    fn from(record: EventRecord) -> Self {
        Self { event: record.event, stage: record.stage, posting: record.posting }
    }
}

/// What became of one event at the intake.
#[derive(Clone, Debug)]
pub enum Acceptance {
    /// It is ours, durable, and in the order.
    New {
        /// Its place.
        seq: Seq,
        /// When the database took it.
        accepted_at: Timestamp,
    },
    /// Its key was taken; nothing was written for it.
    Known(Box<KnownEvent>),
}

impl Acceptance {
    /// Whether the event is ours.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New { .. })
    }

    /// What became of an event whose key was taken: by its own row, in a call whose outcome the caller never learned, or
    /// by another event.
    pub(in crate::store) fn of_known(event: &NewEvent, known: KnownEvent) -> Result<Self, StoreError> {
        let first = &known.event;
        if first.event.id == event.id {
            return Ok(Self::New { seq: first.seq, accepted_at: first.accepted_at });
        }
        if first.event.tenant != event.tenant || first.event.key != event.key {
            return Err(StoreError::Broken(format!("event {} shares its key hash with another key", event.id)));
        }
        Ok(Self::Known(Box::new(known)))
    }
}
