//! Owns how a run goes over time: what is accepted and what is posted, and the rate and backlog they mean.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::time::Timestamp;

/// The time between two samples.
const EVERY_MS: u64 = 250;
/// Over how many samples a rate is taken: one second, or single batches would show as spikes.
const SMOOTHED: usize = 4;

/// When how many payments were accepted, or posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// When.
    pub(super) at: Timestamp,
    /// How many.
    pub(super) payments: u64,
}

/// A run at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sample {
    /// Milliseconds since it began.
    pub(super) at_ms: u64,
    /// Payments accepted by then.
    pub(super) accepted: u64,
    /// Payments posted by then.
    pub(super) posted: u64,
}

impl Sample {
    /// What is accepted and not posted.
    pub(super) const fn backlog(&self) -> u64 {
        self.accepted.saturating_sub(self.posted)
    }
}

/// Samples of a run, evenly spaced from its beginning to the first one at which all is posted.
pub(super) fn samples(begun: Timestamp, accepted: &[Mark], posted: &[Mark]) -> Vec<Sample> {
    let (accepted, posted) = (by_sample(begun, accepted), by_sample(begun, posted));
    let last = accepted.keys().chain(posted.keys()).copied().max().unwrap_or(0);
    let mut sum = Sample { at_ms: 0, accepted: 0, posted: 0 };
    let sample = |number: u64| {
        let new = |marks: &BTreeMap<u64, u64>| marks.get(&number).copied().unwrap_or(0);
        sum.at_ms = number.saturating_mul(EVERY_MS);
        sum.accepted = sum.accepted.saturating_add(new(&accepted));
        sum.posted = sum.posted.saturating_add(new(&posted));
        sum
    };
    (0..=last).map(sample).collect()
}

/// How many payments are new at each sample.
fn by_sample(begun: Timestamp, marks: &[Mark]) -> BTreeMap<u64, u64> {
    let mut new = BTreeMap::new();
    for mark in marks {
        let micros = u64::try_from(mark.at.micros().saturating_sub(begun.micros())).unwrap_or(0);
        let count: &mut u64 = new.entry(micros.div_ceil(EVERY_MS.saturating_mul(1000))).or_default();
        *count = count.saturating_add(mark.payments);
    }
    new
}

/// Payments posted a second, at each sample over the second before it.
pub(super) fn rates(samples: &[Sample]) -> Vec<(u64, u64)> {
    let before = |index: usize| samples.get(index.saturating_sub(SMOOTHED));
    let rate = |(index, sample): (usize, &Sample)| {
        let before = before(index)?;
        let posted = sample.posted.saturating_sub(before.posted);
        let millis = sample.at_ms.saturating_sub(before.at_ms);
        Some((sample.at_ms, posted.saturating_mul(1000).checked_div(millis).unwrap_or(0)))
    };
    samples.iter().enumerate().filter_map(rate).collect()
}

/// The greatest backlog.
pub(super) fn backlog_max(samples: &[Sample]) -> u64 {
    samples.iter().map(Sample::backlog).max().unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run that accepts 2000 and posts 1000 in each quarter of a second, and then catches up.
    pub(in crate::cli::bench) fn run() -> Vec<Sample> {
        let mark = |quarter: i64, payments| {
            let at = Timestamp::from_micros(quarter.saturating_mul(250_000).saturating_sub(100)).unwrap();
            Mark { at, payments }
        };
        let accepted: Vec<Mark> = (1..=4).map(|quarter| mark(quarter, 2000)).collect();
        let posted: Vec<Mark> = (1..=8).map(|quarter| mark(quarter, 1000)).collect();
        samples(Timestamp::EPOCH, &accepted, &posted)
    }

    #[test]
    fn samples_add_up_what_has_happened_by_then() {
        let all = run();
        assert_eq!(all.len(), 9);
        assert_eq!(all[0], Sample { at_ms: 0, accepted: 0, posted: 0 });
        assert_eq!(all[3], Sample { at_ms: 750, accepted: 6000, posted: 3000 });
        assert_eq!(all[8], Sample { at_ms: 2000, accepted: 8000, posted: 8000 });
        assert_eq!(samples(Timestamp::EPOCH, &[], &[]).len(), 1);
    }

    #[test]
    fn a_rate_is_what_was_posted_in_the_second_before() {
        assert_eq!(rates(&run()).last(), Some(&(2000, 4000)));
        assert_eq!(rates(&run()).first(), Some(&(0, 0)));
        assert_eq!(backlog_max(&run()), 4000);
        assert_eq!((rates(&[]), backlog_max(&[])), (vec![], 0));
    }
}
