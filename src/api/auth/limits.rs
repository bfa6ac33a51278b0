//! Owns how often a client may call, and how often a secret may be guessed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::core::time::Timestamp;

/// The most names that are counted at once; beyond, windows that have ended are dropped, and if none have, all.
const NAMES_MAX: usize = 10_000;

/// Counts per name in windows of fixed length.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_window: u32,
    window_seconds: u32,
    counts: Mutex<HashMap<String, (i64, u32)>>,
}

impl Limiter {
    pub(crate) fn new(per_window: u32, window_seconds: u32) -> Self {
        Self { per_window, window_seconds: window_seconds.max(1), counts: Mutex::new(HashMap::new()) }
    }

    /// Counts one call.
    ///
    /// # Errors
    /// The seconds to wait, when the window is full.
    pub(crate) fn take(&self, name: &str, now: Timestamp) -> Result<(), u32> {
        self.check(name, now)?;
        self.count(name, now);
        Ok(())
    }

    /// Whether there is room, without counting.
    ///
    /// # Errors
    /// The seconds to wait, when the window is full.
    pub(crate) fn check(&self, name: &str, now: Timestamp) -> Result<(), u32> {
        let window = self.window(now);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get(name) {
            Some((of, count)) if *of == window && *count >= self.per_window => Err(self.seconds_left(now)),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts one, whether or not there is room.
    pub(crate) fn count(&self, name: &str, now: Timestamp) {
        let window = self.window(now);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= NAMES_MAX && !counts.contains_key(name) {
            counts.retain(|_, (of, _)| *of == window);
            if counts.len() >= NAMES_MAX {
                counts.clear();
            }
        }
        match counts.get_mut(name) {
            Some((of, count)) if *of == window => *count = count.saturating_add(1),
            Some(slot) => *slot = (window, 1),
            None => {
                counts.insert(name.to_owned(), (window, 1));
            }
        }
    }

    fn window(&self, now: Timestamp) -> i64 {
        now.utc().timestamp().checked_div_euclid(i64::from(self.window_seconds)).unwrap_or(0)
    }

    fn seconds_left(&self, now: Timestamp) -> u32 {
        let past = now.utc().timestamp().checked_rem_euclid(i64::from(self.window_seconds)).unwrap_or(0);
        self.window_seconds.saturating_sub(u32::try_from(past).unwrap_or(0)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_says_how_long_to_wait() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let limiter = Limiter::new(2, 10);
        assert_eq!(limiter.take("a", at(100)), Ok(()));
        assert_eq!(limiter.take("a", at(103)), Ok(()));
        assert_eq!(limiter.take("a", at(104)), Err(6));
        assert_eq!(limiter.take("b", at(104)), Ok(()), "names do not share");
        assert_eq!(limiter.take("a", at(110)), Ok(()), "a new window");
    }
}
