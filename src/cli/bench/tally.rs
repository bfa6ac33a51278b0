//! Owns what a connection counts: answers by status, latencies of good ones, retries.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::bench::BenchError;
use crate::cli::bench::latency::Latencies;

/// The answer a payment should get.
pub(super) const GOOD: u16 = 201;

/// Counts of one connection, or of many together.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Answers by status, without those of the warm-up.
    pub(super) answers: BTreeMap<u16, u64>,
    /// The warm-up's answers that were not good.
    pub(super) warm_up_bad: u64,
    /// Requests sent again because their connection broke.
    pub(super) retries: u64,
    /// Payments given up after too many of those.
    pub(super) given_up: u64,
    latencies: Latencies,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new() -> Result<Self, BenchError> {
        let latencies = Latencies::new()?;
        Ok(Self { answers: BTreeMap::new(), warm_up_bad: 0, retries: 0, given_up: 0, latencies })
    }

    /// An answer of the measured time.
    pub(super) fn answer(&mut self, status: u16, latency: Duration) {
        let count = self.answers.entry(status).or_default();
        *count = count.saturating_add(1);
        if status == GOOD {
            self.latencies.record(latency);
        }
    }

    /// An answer of the warm-up.
    pub(super) fn warm_up(&mut self, status: u16) {
        if status != GOOD {
            self.warm_up_bad = self.warm_up_bad.saturating_add(1);
        }
    }

    /// A request that had to be sent again.
    pub(super) fn retry(&mut self) {
        self.retries = self.retries.saturating_add(1);
    }

    /// A payment without an answer.
    pub(super) fn give_up(&mut self) {
        self.given_up = self.given_up.saturating_add(1);
    }

    /// Adds another connection's counts.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), BenchError> {
        for (status, more) in &other.answers {
            let count = self.answers.entry(*status).or_default();
            *count = count.saturating_add(*more);
        }
        self.warm_up_bad = self.warm_up_bad.saturating_add(other.warm_up_bad);
        self.retries = self.retries.saturating_add(other.retries);
        self.given_up = self.given_up.saturating_add(other.given_up);
        self.latencies.add(&other.latencies)
    }

    /// Payments that were answered as they should be.
    pub(super) fn good(&self) -> u64 {
        self.answers.get(&GOOD).copied().unwrap_or(0)
    }

    /// How long the good answers took.
    pub(super) const fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// What was not as it should be.
    pub(super) fn faults(&self) -> Vec<String> {
        let bad = self.answers.iter().filter(|(status, _)| **status != GOOD);
        let mut faults: Vec<String> = bad.map(|(status, count)| format!("{count} answers were {status}")).collect();
        if self.warm_up_bad > 0 {
            faults.push(format!("{} answers of the warm-up were not {GOOD}", self.warm_up_bad));
        }
        if self.given_up > 0 {
            faults.push(format!("{} payments got no answer", self.given_up));
        }
        faults
    }

    /// Whether every single answer was as it should be, and there was one.
    pub(super) fn is_good(&self) -> bool {
        self.good() > 0 && self.answers.len() == 1 && self.warm_up_bad == 0 && self.given_up == 0
    }

    /// Microseconds that this share of the good answers took at most.
    pub(super) fn latency_at(&self, quantile: f64) -> u64 {
        self.latencies.at(quantile)
    }

    /// Microseconds of the slowest good answer.
    pub(super) fn latency_max(&self) -> u64 {
        self.latencies.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_one_bad_answer_spoils_them() {
        let (mut one, mut two) = (Tally::new().unwrap(), Tally::new().unwrap());
        for millis in 1..=100 {
            one.answer(201, Duration::from_millis(millis));
        }
        two.answer(201, Duration::from_secs(1));
        one.add(&two).unwrap();
        assert!(one.is_good());
        assert_eq!((one.good(), one.latency_at(0.5).abs_diff(51_000) < 100), (101, true));
        assert!(one.latency_max().abs_diff(1_000_000) < 1000);
        two.answer(422, Duration::from_secs(100));
        one.add(&two).unwrap();
        assert!(!one.is_good());
        assert!(one.latency_max() < 2_000_000, "only good answers have a latency");
    }

    #[test]
    fn the_warm_up_and_silence_can_spoil_a_run_and_nothing_is_not_good() {
        let mut tally = Tally::new().unwrap();
        assert!(!tally.is_good());
        tally.answer(201, Duration::from_millis(1));
        tally.warm_up(201);
        assert!(tally.is_good());
        let mut given_up = tally.clone();
        given_up.give_up();
        assert!(!given_up.is_good());
        tally.warm_up(202);
        assert!(!tally.is_good());
        tally.answer(422, Duration::from_millis(1));
        tally.give_up();
        let faults = ["1 answers were 422", "1 answers of the warm-up were not 201", "1 payments got no answer"];
        assert_eq!(tally.faults(), faults);
    }
}
