//! Owns what is told of the events that a late one has restated: one pure function of the restating event and its posting.

use serde::Serialize;

use crate::core::event::{Command, EventKind, NewEvent, ServicingAct};
use crate::core::ids::{EntryId, EventId};
use crate::core::ledger::answer::AllocationView;
use crate::core::ledger::entry::JournalEntry;
use crate::core::ledger::posting::Posting;
use crate::core::loan::Allocation;
use crate::core::money::Minor;

/// An earlier event that does something else now, because of a late one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestatedView {
    /// The event.
    pub event_id: EventId,
    /// Its kind, in the contract's words.
    pub event_type: &'static str,
    /// The day it counts from.
    pub effective_at: String,
    /// The event that states it anew; its entry has the difference.
    pub restated_by_event_id: EventId,
    /// That entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_entry_id: Option<EntryId>,
    /// How its money was divided; of an accrual, the interest of its days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_before: Option<AllocationView>,
    /// How its money is divided now; of an accrual, the interest of its days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationView>,
}

impl RestatedView {
    /// What an event of our own restates; `None` for any other consequence.
    #[must_use]
    pub fn of(event: &NewEvent, posting: &Posting) -> Option<Self> {
        let Command::Servicing(servicing) = &event.command else { return None };
        let ServicingAct::Restated { event: earlier, kind, replaces } = &servicing.act else { return None };
        Some(Self {
            event_id: earlier.id,
            event_type: kind.event_type(),
            effective_at: posting.effective_date.to_string(),
            restated_by_event_id: event.id,
            journal_entry_id: posting.entry.as_ref().map(|_| event.id.entry_id()),
            allocation_before: replaces.as_ref().map(AllocationView::from),
            allocation: posting
                .allocation
                .or_else(|| accrued(*kind, *replaces, posting))
                .as_ref()
                .map(AllocationView::from),
        })
    }
}

/// The interest of an accrual's days now: what was, and what its restatement has added to the income.
fn accrued(kind: EventKind, replaces: Option<Allocation>, posting: &Posting) -> Option<Allocation> {
    let before = replaces.filter(|_| kind == EventKind::Accrual)?;
    let added = posting.entry.as_ref().map_or(Ok(Minor::ZERO), JournalEntry::accrued).ok()?;
    Some(Allocation { interest: before.interest.plus(added).ok()?, ..before })
}
