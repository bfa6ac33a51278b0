//! Owns how long things took: counted in constant memory, told as percentiles.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cli::bench::BenchError;

/// The longest time told apart: 10 minutes, in microseconds. Longer ones count as this.
const LONGEST: u64 = 600_000_000;
/// Digits of a time that are kept.
const DIGITS: u8 = 3;

/// Times that things took.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(super) fn new() -> Result<Self, BenchError> {
        Histogram::new_with_bounds(1, LONGEST, DIGITS).map(Self).map_err(|_| BenchError::Histogram)
    }

    /// One more.
    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// All of another's.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), BenchError> {
        self.0.add(&other.0).map_err(|_| BenchError::Histogram)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that this share of them took at most.
    pub(super) fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// Microseconds of the longest.
    pub(super) fn max(&self) -> u64 {
        self.0.max()
    }

    /// The percentiles; `None` of nothing.
    pub(super) fn summary(&self) -> Option<Latency> {
        let told = || Latency { p50_us: self.at(0.5), p99_us: self.at(0.99), max_us: self.max() };
        (!self.0.is_empty()).then(told)
    }
}

/// Percentiles of some times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "a time in JSON names its unit")]
pub(super) struct Latency {
    /// Half of them took at most this.
    pub(super) p50_us: u64,
    /// 99 of 100 took at most this.
    pub(super) p99_us: u64,
    /// The longest.
    pub(super) max_us: u64,
}

impl Display for Latency {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p99_us, max_us } = *self;
        let [p50, p99, max] = [p50_us, p99_us, max_us].map(|micros| short(Duration::from_micros(micros)));
        write!(f, "{p50:>10}{p99:>10}{max:>10}")
    }
}

/// A time with two decimals in its natural unit.
pub(super) fn short(time: Duration) -> String {
    format!("{time:.2?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times_given() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.summary(), None);
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        let Latency { p50_us, p99_us, max_us } = latencies.summary().unwrap();
        assert!(p50_us.abs_diff(500_000) < 1000, "{p50_us}");
        assert!(p99_us.abs_diff(990_000) < 1000, "{p99_us}");
        assert!(max_us.abs_diff(1_000_000) < 1000, "{max_us}");
    }

    #[test]
    fn what_is_added_counts_like_what_was_recorded() {
        let (mut one, mut two) = (Latencies::new().unwrap(), Latencies::new().unwrap());
        one.record(Duration::from_millis(1));
        two.record(Duration::from_hours(1));
        one.add(&two).unwrap();
        let told = one.summary().unwrap();
        assert!(told.p50_us <= 1001, "{told:?}");
        assert!(told.max_us >= LONGEST, "longer ones count as the longest");
    }

    #[test]
    fn times_are_told_in_their_unit() {
        let told = Latency { p50_us: 950, p99_us: 1500, max_us: 2_000_000 };
        assert_eq!(told.to_string(), "  950.00µs    1.50ms     2.00s");
    }
}
