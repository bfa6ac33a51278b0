//! Owns what the intake learns of each event it brought.

use crate::core::event::{AcceptedEvent, Stage};
use crate::core::ids::Seq;
use crate::core::ledger::Posting;
use crate::core::time::Timestamp;
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
