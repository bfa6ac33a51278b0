//! Owns what a sweeper has seen finished, and the places where its looks begin and end.

use tokio::time::Instant;

use super::AWAY_MAX;
use crate::core::ids::Seq;
use crate::store::SweepRound;

/// What this sweeper has seen finished.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Up to where, by the last round: a quick one begins here.
    pub(super) quick_from: Option<Seq>,
    /// Up to where at the last two slow rounds, the older first.
    pub(super) passed: [Option<Seq>; 2],
    /// A full look that did not come to its end.
    pub(super) full: Option<Walk>,
    /// Since when another process has the lease.
    pub(super) away_since: Option<Instant>,
}

impl Seen {
    /// Another process has the lease.
    pub(super) fn lose(&mut self, now: Instant) {
        let since = *self.away_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= AWAY_MAX {
            *self = Self { away_since: self.away_since, ..Self::default() };
        }
    }

    /// A look at what was passed before the last slow round: who numbered an event that it did not see has committed by now.
    pub(super) const fn slow_walk(&self) -> Walk {
        let [above, up_to] = self.passed;
        Walk { up_to, ..Walk::from(above) }
    }

    /// A walk came to its end. The next slow one begins where this one found something, if it did.
    pub(super) fn walked(&mut self, walk: &Walk) {
        self.quick_from = self.quick_from.max(walk.finished_to);
        let passed = self.passed[1];
        self.passed = [if walk.waits { passed.min(walk.finished_to) } else { passed }, self.quick_from];
    }

    /// Whether this sweeper begins from the beginning.
    pub(super) fn is_empty(&self) -> bool {
        self.quick_from.is_none() && self.full.is_none() && self.passed == [None; 2]
    }
}

/// A look on its way, window after window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// Where it goes on: `None` is the stored mark.
    pub(super) above: Option<Seq>,
    /// Where it ends: `None` is the last event.
    pub(super) up_to: Option<Seq>,
    /// Up to where everything is finished, as its windows have seen it.
    pub(super) finished_to: Option<Seq>,
    /// Whether something waits there.
    waits: bool,
}

impl Walk {
    /// A look at all that lies above a place.
    pub(super) const fn from(above: Option<Seq>) -> Self {
        Self { above, up_to: None, finished_to: None, waits: false }
    }

    /// Goes on behind a window. Answers whether there was nothing to look at any more.
    pub(super) fn saw(&mut self, round: &SweepRound) -> bool {
        let is_end = self.above.is_some_and(|above| round.looked_to <= above);
        if !self.waits {
            self.finished_to = Some(round.finished_to);
            self.waits = round.finished_to < round.looked_to;
        }
        self.above = Some(round.looked_to);
        is_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::sweeper::SLOW_EVERY;

    #[test]
    fn who_gets_the_lease_back_soon_goes_on_where_it_was() {
        let began = Instant::now();
        let swept = || Seen {
            quick_from: Some(Seq(30)),
            passed: [Some(Seq(10)), Some(Seq(20))],
            full: Some(Walk { above: Some(Seq(5)), up_to: None, finished_to: Some(Seq(2)), waits: false }),
            away_since: None,
        };
        let mut seen = swept();
        seen.lose(began);
        seen.lose(began.checked_add(SLOW_EVERY).unwrap());
        assert_eq!(seen, Seen { away_since: Some(began), ..swept() });
        seen.lose(began.checked_add(AWAY_MAX).unwrap());
        assert!(seen.is_empty(), "after a long time it begins from the beginning");
    }

    #[test]
    fn a_slow_round_looks_once_more_at_what_was_passed_before_the_last() {
        let mut seen = Seen { quick_from: Some(Seq(30)), passed: [Some(Seq(10)), Some(Seq(20))], ..Seen::default() };
        let places = |walk: Walk| (walk.above, walk.up_to);
        assert_eq!(places(seen.slow_walk()), (Some(Seq(10)), Some(Seq(20))));
        let walked = |mut walk: Walk, windows: &[(i64, i64)]| {
            for (finished_to, looked_to) in windows {
                let (finished_to, looked_to) = (Seq(*finished_to), Seq(*looked_to));
                walk.saw(&SweepRound { finished_to, looked_to, ..SweepRound::default() });
            }
            walk
        };
        seen.walked(&walked(seen.slow_walk(), &[(15, 15), (20, 20), (20, 20)]));
        assert_eq!(places(seen.slow_walk()), (Some(Seq(20)), Some(Seq(30))), "window after window, all finished");
        seen.quick_from = Some(Seq(40));
        seen.walked(&walked(seen.slow_walk(), &[(25, 27), (30, 30), (30, 30)]));
        assert_eq!(places(seen.slow_walk()), (Some(Seq(25)), Some(Seq(40))), "until what came late is finished");
        seen.walked(&walked(Walk::from(None), &[(50, 50), (60, 60), (65, 70), (70, 70)]));
        assert_eq!(
            places(seen.slow_walk()),
            (Some(Seq(40)), Some(Seq(65))),
            "one over everything sees what is new, too"
        );
    }
}
