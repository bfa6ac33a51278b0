//! Owns the time. The only place that reads the machine's clocks; tests move a manual one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::core::time::Timestamp;

/// Wall-clock time, or a hand-moved one in tests. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual_micros: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `now` until it is moved.
    #[must_use]
    pub fn manual(now: Timestamp) -> Self {
        Self { manual_micros: Some(Arc::new(AtomicI64::new(now.micros()))) }
    }

    /// The instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.manual_micros {
            Some(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)).unwrap_or(Timestamp::EPOCH),
            None => machine_now(),
        }
    }

    /// Moves a manual clock; the machine's stays.
    pub fn advance(&self, by: Duration) {
        if let Some(micros) = &self.manual_micros {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            micros.fetch_add(by, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's wall clock")]
fn machine_now() -> Timestamp {
    Timestamp::new(chrono::Utc::now())
}

/// A running stopwatch, for durations that are measured and never decided on.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock for measurement")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Time since the start or the last lap, and starts anew.
    pub fn lap(&mut self) -> Duration {
        let elapsed = self.0.elapsed();
        *self = Self::start();
        elapsed
    }
}
