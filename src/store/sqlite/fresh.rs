//! Owns the events that the transaction which runs now has accepted. A batch that posts them in the same transaction has
//! them from here: of the events it wants nothing has to be found, sorted and read back.

use std::collections::{BTreeMap, HashMap};

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, LoanKey, Seq};

/// Events that are written and not committed, by what a batch asks for. Empty outside of shared transactions.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    by_loan: BTreeMap<LoanKey, BTreeMap<Seq, AcceptedEvent>>,
    loans: HashMap<EventId, LoanKey>,
}

impl Fresh {
    /// Notes events as they were written.
    pub(super) fn note(&mut self, events: impl IntoIterator<Item = AcceptedEvent>) {
        for accepted in events {
            let (id, loan) = (accepted.event.id, accepted.event.loan_key);
            self.loans.insert(id, loan);
            self.by_loan.entry(loan).or_default().insert(accepted.seq, accepted);
        }
    }

    /// Forgets everything: the transaction is over.
    pub(super) fn clear(&mut self) {
        self.by_loan.clear();
        self.loans.clear();
    }

    /// The loan of an event; `None` where it was not accepted in this transaction, or is taken already.
    pub(super) fn loan(&self, event: EventId) -> Option<LoanKey> {
        self.loans.get(&event).copied()
    }

    /// The events of a loan, in order of acceptance.
    pub(super) fn of_loan(&self, loan: LoanKey) -> impl ExactSizeIterator<Item = &AcceptedEvent> {
        self.by_loan.get(&loan).map(BTreeMap::values).unwrap_or_default()
    }

    /// Takes the events of a loan: they are posted now.
    pub(super) fn take(&mut self, loan: LoanKey) -> Vec<AcceptedEvent> {
        let taken: Vec<AcceptedEvent> = self.by_loan.remove(&loan).unwrap_or_default().into_values().collect();
        for accepted in &taken {
            self.loans.remove(&accepted.event.id);
        }
        taken
    }
}
