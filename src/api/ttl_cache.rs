//! Owns a bounded cache whose entries grow stale: verified tokens, checked secrets, tenant settings.
//!
//! An entry is fresh for a while. Then the first who asks is told to look again, while the others go on with the old
//! value until it is dropped, so that no herd runs to the database.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::core::time::Timestamp;

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TtlLimits {
    /// Served without a question.
    pub(crate) fresh: Duration,
    /// Never served after.
    pub(crate) kept: Duration,
    /// The most entries; beyond, stale ones are dropped, and if none are, all.
    pub(crate) entries_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    since: Timestamp,
    refreshing: bool,
}

/// The cache. See the module.
#[derive(Debug)]
pub(crate) struct TtlCache<K, V> {
    limits: TtlLimits,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

impl<K: Eq + Hash, V: Clone> TtlCache<K, V> {
    pub(crate) fn new(limits: TtlLimits) -> Self {
        Self { limits, entries: Mutex::new(HashMap::new()) }
    }

    /// The value, or `None` when the caller must fetch it and [`TtlCache::put`] it.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let mut entries = self.lock();
        let entry = entries.get_mut(key)?;
        let age = age(entry.since, now);
        let serves = age < self.limits.fresh || (age < self.limits.kept && entry.refreshing);
        if !serves {
            entry.refreshing = true;
        }
        serves.then(|| entry.value.clone())
    }

    /// Keeps a value fetched at `now`.
    pub(crate) fn put(&self, key: K, value: V, now: Timestamp) {
        let mut entries = self.lock();
        if entries.len() >= self.limits.entries_max && !entries.contains_key(&key) {
            entries.retain(|_, entry| age(entry.since, now) < self.limits.fresh);
            if entries.len() >= self.limits.entries_max {
                entries.clear();
            }
        }
        entries.insert(key, Entry { value, since: now, refreshing: false });
    }

    /// Drops a value that turned out wrong.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        // A map of copies is whole after every statement, whoever panicked.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.micros().saturating_sub(since.micros())).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds.saturating_mul(1_000_000)).unwrap()
    }

    fn cache() -> TtlCache<u8, &'static str> {
        let limits = TtlLimits { fresh: Duration::from_secs(5), kept: Duration::from_secs(10), entries_max: 2 };
        TtlCache::new(limits)
    }

    #[test]
    fn one_refreshes_while_the_others_go_on() {
        let cache = cache();
        assert_eq!(cache.get(&1, at(0)), None);
        cache.put(1, "old", at(0));
        assert_eq!(cache.get(&1, at(4)), Some("old"));
        assert_eq!(cache.get(&1, at(6)), None, "the first to find it stale fetches");
        assert_eq!(cache.get(&1, at(6)), Some("old"), "the others go on");
        assert_eq!(cache.get(&1, at(10)), None, "nobody gets it after its time");
        cache.put(1, "new", at(10));
        assert_eq!(cache.get(&1, at(11)), Some("new"));
    }

    #[test]
    fn it_holds_no_more_than_its_limit() {
        let cache = cache();
        for key in 0..10 {
            cache.put(key, "x", at(0));
        }
        assert!(cache.lock().len() <= 2);
        assert_eq!(cache.get(&9, at(0)), Some("x"));
    }
}
