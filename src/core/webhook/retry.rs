//! Owns how long to wait: a delivery that failed, by how often it was tried; an endpoint that takes nothing, by how
//! often in a row.

use std::time::Duration;

/// Pauses of one delivery after its first, second, … failure: near together while the receiver may be restarting, far
/// apart while a person has to mend it. Together 118 hours, a little less than the five days after which the endpoint
/// itself is disabled.
const LADDER: [Duration; 12] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(12),
    Duration::from_hours(24),
    Duration::from_hours(24),
    Duration::from_hours(24),
    Duration::from_hours(24),
];

/// How often a delivery is tried.
pub const ATTEMPTS_MAX: usize = LADDER.len() + 1;

/// Pauses of an endpoint that took nothing of what was sent at once, once, twice, … in a row. The last one bounds how
/// long a receiver that is back waits for what came later.
const ENDPOINT_LADDER: [Duration; 5] =
    [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(5)];

/// Chance, so that receivers of many senders are not tried all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u8);

impl Jitter {
    /// From 90 to 110 hundredths.
    fn percent(self) -> u32 {
        u32::from(self.0).saturating_mul(20).checked_div(255).unwrap_or(10).saturating_add(90)
    }
}

/// How long a delivery waits after its `failures`-th failure; `None` where it is given up.
#[must_use]
pub fn pause_after_failure(failures: usize, jitter: Jitter) -> Option<Duration> {
    let pause = LADDER.get(failures.max(1).saturating_sub(1))?;
    pause.saturating_mul(jitter.percent()).checked_div(100)
}

/// How long nothing is sent to an endpoint that has taken nothing `rounds` times in a row.
#[must_use]
pub fn pause_of_endpoint(rounds: usize) -> Duration {
    let step = rounds.max(1).saturating_sub(1).min(ENDPOINT_LADDER.len().saturating_sub(1));
    ENDPOINT_LADDER.get(step).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_thirteen_times_within_five_days() {
        let pauses: Vec<Duration> = (1..).map_while(|failures| pause_after_failure(failures, Jitter(255))).collect();
        assert_eq!(pauses.len().saturating_add(1), ATTEMPTS_MAX);
        assert!(pauses.is_sorted() && pauses.iter().sum::<Duration>() < Duration::from_hours(24 * 6));
        assert_eq!(pause_after_failure(ATTEMPTS_MAX, Jitter(0)), None);
        assert_eq!(pause_after_failure(usize::MAX, Jitter(0)), None);
        let middle: Duration = LADDER.iter().sum();
        assert!(middle < Duration::from_hours(24 * 5), "the endpoint is disabled after its deliveries are given up");
    }

    #[test]
    fn chance_stays_within_a_tenth() {
        let of = |chance| pause_after_failure(1, Jitter(chance)).unwrap();
        assert_eq!((of(0), of(255)), (Duration::from_millis(4500), Duration::from_millis(5500)));
        assert!((0..=255).all(|chance| (of(0)..=of(255)).contains(&of(chance))));
    }

    #[test]
    fn an_endpoint_that_is_back_waits_five_minutes_at_most() {
        let pauses: Vec<u64> = (0..8).map(|rounds| pause_of_endpoint(rounds).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 5, 30, 120, 300, 300, 300]);
    }
}
