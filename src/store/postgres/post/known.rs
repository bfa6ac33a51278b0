//! Owns what a process knows of the loans it posts to: how they stood after its last commit.
//!
//! A payment in order needs of its loan's row what the process that posted before it has written there itself. So such a
//! batch neither locks its loans nor reads them again. It is written under the condition that each row still has the chain
//! head that is known: a hash over everything that was posted to the loan, so that neither what another process posted
//! meanwhile nor books restored from a backup pass for it. Whoever is refused forgets, and comes again with locks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::ids::LoanKey;
use crate::core::loan::LoanState;

/// The loans of one generation: what a table of 65,536 places holds before it doubles, some 20 MB.
const GENERATION_MAX: usize = 57_344;

/// Loans as they stood when they were last posted to. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::store::postgres) struct KnownLoans(Arc<Mutex<Generations>>);

/// What is posted to again moves to the newer one; what is not goes with the older one when the newer is full.
#[derive(Debug, Default)]
struct Generations {
    newer: HashMap<LoanKey, LoanState>,
    older: HashMap<LoanKey, LoanState>,
}

impl KnownLoans {
    /// Those of these loans that are known.
    pub(super) fn of(&self, keys: &BTreeSet<LoanKey>) -> BTreeMap<LoanKey, LoanState> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = |key: &LoanKey| known.newer.get(key).or_else(|| known.older.get(key)).map(|state| (*key, *state));
        keys.iter().filter_map(of_key).collect()
    }

    /// Loans as a commit has left them.
    pub(super) fn learn(&self, states: &[LoanState]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for state in states {
            if known.newer.len() >= GENERATION_MAX && !known.newer.contains_key(&state.key) {
                known.older = std::mem::take(&mut known.newer);
            }
            known.newer.insert(state.key, *state);
        }
    }

    /// Loans of which something else may be true by now.
    pub(in crate::store::postgres) fn forget(&self, keys: impl IntoIterator<Item = LoanKey>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            known.newer.remove(&key);
            known.older.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::*;
    use crate::core::ids::{BorrowerId, LoanId, TenantId};
    use crate::core::money::Currency;

    fn state(n: usize, version: i64) -> LoanState {
        let id = Uuid::from_u128(u128::try_from(n).unwrap());
        let key = (LoanKey::from_bytes(id.into_bytes()), TenantId(id));
        let unopened = LoanState::unopened(key, (LoanId(id), BorrowerId(id)), Currency::USD, NaiveDate::MIN);
        LoanState { version, ..unopened }
    }

    fn version(known: &KnownLoans, n: usize) -> Option<i64> {
        known.of(&BTreeSet::from([state(n, 0).key])).values().next().map(|state| state.version)
    }

    #[test]
    fn the_last_state_is_known_until_it_is_forgotten() {
        let known = KnownLoans::default();
        known.learn(&[state(1, 1), state(2, 1)]);
        known.learn(&[state(1, 2)]);
        assert_eq!((version(&known, 1), version(&known, 2), version(&known, 3)), (Some(2), Some(1), None));
        known.forget([state(1, 0).key]);
        assert_eq!((version(&known, 1), version(&known, 2)), (None, Some(1)));
    }

    #[test]
    fn what_is_not_posted_to_goes_with_its_generation() {
        let known = KnownLoans::default();
        let states: Vec<LoanState> = (0..GENERATION_MAX).map(|n| state(n, 1)).collect();
        known.learn(&states);
        known.learn(&[state(GENERATION_MAX, 1), state(0, 2)]);
        assert_eq!((version(&known, 0), version(&known, 1)), (Some(2), Some(1)), "the older generation is known");
        known.forget([state(0, 0).key]);
        assert_eq!(version(&known, 0), None, "in no generation");
        known.learn(&states[2..]);
        known.learn(&[state(GENERATION_MAX + 1, 1), state(GENERATION_MAX + 2, 1)]);
        assert_eq!((version(&known, 1), version(&known, 2)), (None, Some(1)));
    }
}
