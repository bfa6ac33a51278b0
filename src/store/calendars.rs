//! Owns what a store remembers of closed periods between posting transactions.
//!
//! Each posting transaction reads the number of the last change and reads calendars only where that number is another
//! one, or of tenants it has not met. What is remembered under a number is exactly what the database said under it: the
//! number is read while no period can be closed or opened.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::ids::TenantId;
use crate::core::ledger::Calendar;

/// Calendars by tenant; a tenant whose periods are all open is left out.
pub(super) type Calendars = HashMap<TenantId, Calendar>;

/// The most tenants remembered; beyond that all are forgotten, and met again.
const TENANTS_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct Known {
    version: i64,
    calendars: HashMap<TenantId, Calendar>,
}

/// The calendars that a store has read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct CalendarCache(Arc<Mutex<Known>>);

impl CalendarCache {
    /// What is known under a number, and the tenants of which nothing is.
    pub(super) fn known(&self, version: i64, tenants: &BTreeSet<TenantId>) -> (Calendars, Vec<TenantId>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != version {
            return (Calendars::new(), tenants.iter().copied().collect());
        }
        let (mut calendars, mut unknown) = (Calendars::new(), Vec::new());
        for tenant in tenants {
            match known.calendars.get(tenant) {
                None => unknown.push(*tenant),
                Some(calendar) if calendar.is_open() => {}
                Some(calendar) => drop(calendars.insert(*tenant, calendar.clone())),
            }
        }
        (calendars, unknown)
    }

    /// Remembers what these tenants' calendars are under a number.
    pub(super) fn learn(&self, version: i64, tenants: &[TenantId], calendars: &Calendars) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != version || known.calendars.len() >= TENANTS_MAX {
            *known = Known { version, calendars: HashMap::new() };
        }
        for tenant in tenants {
            known.calendars.insert(*tenant, calendars.get(tenant).cloned().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ledger::{ClosedPeriodRule, Period};

    #[test]
    fn another_number_forgets_what_was_known() {
        let cache = CalendarCache::default();
        let (one, two) = (TenantId(uuid::Uuid::from_u128(1)), TenantId(uuid::Uuid::from_u128(2)));
        let asked = BTreeSet::from([one, two]);
        assert_eq!(cache.known(7, &asked).1, [one, two]);
        let closed = Calendar::new(ClosedPeriodRule::NextOpenDay, Period::parse("2026-04"));
        cache.learn(7, &[one, two], &Calendars::from([(one, closed.clone())]));
        assert_eq!(cache.known(7, &asked), (Calendars::from([(one, closed)]), Vec::new()), "two has all periods open");
        assert_eq!(cache.known(8, &asked).1, [one, two]);
        assert_eq!(cache.known(6, &asked).1, [one, two], "a restore may bring an older number back");
    }
}
