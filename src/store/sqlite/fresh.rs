//! Owns the events that the shared transaction which runs now has accepted and not posted. A batch that posts them in the
//! same transaction has them from here: of the events it wants nothing has to be found, sorted and read back.

use std::collections::{BTreeMap, HashMap};

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, LoanKey, Seq};

/// Events that are written and not committed, by what a batch asks for. Empty outside of shared transactions.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    by_loan: BTreeMap<LoanKey, BTreeMap<Seq, AcceptedEvent>>,
    places: HashMap<EventId, (LoanKey, Seq)>,
}

impl Fresh {
    /// Notes events as they were written.
    pub(super) fn note(&mut self, events: impl IntoIterator<Item = AcceptedEvent>) {
        for accepted in events {
            let (id, loan, seq) = (accepted.event.id, accepted.event.loan_key, accepted.seq);
            self.places.insert(id, (loan, seq));
            self.by_loan.entry(loan).or_default().insert(seq, accepted);
        }
    }

    /// Forgets everything: the transaction is over.
    pub(super) fn clear(&mut self) {
        self.by_loan.clear();
        self.places.clear();
    }

    /// Where an event stands; `None` where it was not accepted in this transaction, or is taken already.
    pub(super) fn place(&self, event: EventId) -> Option<(LoanKey, Seq)> {
        self.places.get(&event).copied()
    }

    /// The events of a loan, in order of acceptance.
    pub(super) fn of_loan(&self, loan: LoanKey) -> impl ExactSizeIterator<Item = &AcceptedEvent> {
        self.by_loan.get(&loan).map(BTreeMap::values).unwrap_or_default()
    }

    /// Takes the events of a loan: whoever posts on it posts them all, or leaves them to be found the long way.
    pub(super) fn take(&mut self, loan: LoanKey) -> Vec<AcceptedEvent> {
        let taken: Vec<AcceptedEvent> = self.by_loan.remove(&loan).unwrap_or_default().into_values().collect();
        for accepted in &taken {
            self.places.remove(&accepted.event.id);
        }
        taken
    }
}
