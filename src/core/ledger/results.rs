//! Owns the message that carries results from a worker to the api process whose callers wait. Losing one is
//! harmless: the waiting room asks the store as well.

use serde::{Deserialize, Serialize};

use crate::core::ids::EventId;
use crate::core::ledger::posting::Finished;

const VERSION: u16 = 1;

/// The most results in one message.
pub const RESULTS_MAX: usize = 256;

/// Finished events, grouped for one api process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    v: u16,
    /// Each event with what came of it.
    pub results: Vec<(EventId, Finished)>,
}

impl Results {
    /// A message of this version.
    #[must_use]
    pub fn new(results: Vec<(EventId, Finished)>) -> Self {
        Self { v: VERSION, results }
    }

    /// The bytes that travel.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a message; `None` for one of another version or form, which the store will answer for.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|message| message.v == VERSION)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::core::ledger::{Outcome, RejectionCode};
    use crate::core::time::Timestamp;

    #[test]
    fn results_read_back_and_strangers_do_not() {
        let finished = Finished {
            outcome: Outcome::Rejected(RejectionCode::LoanNotFound),
            has_entry: false,
            allocation: None,
            fee_event_id: None,
            reverses_entry_id: None,
            correlation_id: None,
            loan_count: None,
            may_restate: false,
            refused_loans: Vec::new(),
            posted_at: Timestamp::from_micros(1_777_636_800_000_001).unwrap(),
        };
        let id = EventId(Uuid::from_u128(4));
        let returned = Finished { outcome: Outcome::Posted, fee_event_id: Some(id), ..finished.clone() };
        let message = Results::new(vec![(id, finished), (EventId(Uuid::from_u128(6)), returned)]);
        assert_eq!(Results::from_bytes(&message.to_bytes()), Some(message));
        assert_eq!(Results::from_bytes(br#"{"v":2,"results":[]}"#), None);
        assert_eq!(Results::from_bytes(b"\xff"), None);
    }
}
