//! Owns how a run goes over time: samples of what is accepted and what is posted, and the rate and backlog they mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::runtime::lifecycle::Lifecycle;

/// How often a sample is taken.
const EVERY: Duration = Duration::from_millis(250);
/// Over how many samples a rate is taken: one second, or single batches would show as spikes.
const SMOOTHED: usize = 4;

/// How far a run has come. The generator counts; what watches it reads.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Payments that servers have accepted.
    accepted: AtomicU64,
    /// Payments that are posted.
    posted: AtomicU64,
    /// Requests that servers have accepted, by the greatest number among them, from 1.
    requests: AtomicU64,
}

impl Progress {
    /// A request was accepted.
    pub(super) fn accept(&self, request: u64, payments: u64) {
        self.accepted.fetch_add(payments, Ordering::Relaxed);
        self.requests.fetch_max(request.saturating_add(1), Ordering::Relaxed);
    }

    /// Payments were posted.
    pub(super) fn post(&self, payments: u64) {
        self.posted.fetch_add(payments, Ordering::Relaxed);
    }

    /// The newest request that was accepted.
    pub(super) fn newest_request(&self) -> Option<u64> {
        self.requests.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// One look at a run.
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

/// Samples a run until it is told to stop, and once more then.
pub(super) fn sample(
    progress: &Arc<Progress>,
    lifecycle: &Lifecycle,
    stopping: CancellationToken,
) -> JoinHandle<Vec<Sample>> {
    let progress = Arc::clone(progress);
    lifecycle.spawn(async move {
        let begun = Instant::now();
        let look = || Sample {
            at_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            accepted: progress.accepted.load(Ordering::Relaxed),
            posted: progress.posted.load(Ordering::Relaxed),
        };
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut samples = Vec::new();
        while !stopping.is_cancelled() {
            tokio::select! {
                () = stopping.cancelled() => {}
                _ = ticks.tick() => {}
            }
            samples.push(look());
        }
        samples
    })
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
    pub(in crate::cli::bench) fn samples() -> Vec<Sample> {
        let sample = |quarter: u64| Sample {
            at_ms: quarter.saturating_mul(250),
            accepted: quarter.min(4).saturating_mul(2000),
            posted: quarter.saturating_mul(1000),
        };
        (0..=8).map(sample).collect()
    }

    #[test]
    fn a_rate_is_what_was_posted_in_the_second_before() {
        assert_eq!(rates(&samples()).last(), Some(&(2000, 4000)));
        assert_eq!(rates(&samples()).first(), Some(&(0, 0)));
        assert_eq!(backlog_max(&samples()), 4000);
        assert_eq!((rates(&[]), backlog_max(&[])), (vec![], 0));
    }

    #[tokio::test]
    async fn a_run_is_sampled_until_it_ends() {
        let (progress, lifecycle, stopping) =
            (Arc::new(Progress::default()), Lifecycle::new(), CancellationToken::new());
        let sampling = sample(&progress, &lifecycle, stopping.clone());
        assert_eq!(progress.newest_request(), None);
        progress.accept(6, 1000);
        progress.post(400);
        stopping.cancel();
        let last = sampling.await.unwrap().pop().unwrap();
        assert_eq!((last.accepted, last.posted, last.backlog()), (1000, 400, 600));
        assert_eq!(progress.newest_request(), Some(6));
    }
}
