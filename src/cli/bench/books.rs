//! Owns the proof that what was measured is in the books: the same as `hpts verify`, on the database of the servers.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::cli::bench::BenchError;
use crate::store::{Store, VerifyReport};

/// What was seen of the books after the last run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Books {
    /// They were looked at.
    Looked(Proof),
    /// No database was named.
    NotLooked,
    /// The measurement has tables of its own, whose sums were checked after each run.
    Apart,
}

/// The numbers of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Proof {
    /// Events in the books.
    pub(super) events: i64,
    /// Of them posted.
    pub(super) posted: i64,
    /// Of them rejected.
    pub(super) rejected: i64,
    /// Of them parked.
    pub(super) parked: i64,
    /// Of them waiting for a loan on hold.
    pub(super) held: i64,
    /// Of them still in flight.
    pub(super) in_flight: i64,
    /// What is wrong.
    pub(super) problems: Vec<String>,
}

impl Books {
    /// Proves the books of a store. `payments` were posted there by the measurement.
    pub(super) async fn prove(store: &dyn Store, payments: u64) -> Result<Self, BenchError> {
        Ok(Self::Looked(Proof::of(&store.verify().await?, payments)))
    }

    /// These, unless only the others are not in order.
    #[must_use]
    pub(super) fn and(self, others: Self) -> Self {
        if others.is_broken() && !self.is_broken() { others } else { self }
    }

    /// Whether they were looked at and are not in order.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Looked(proof) => !proof.problems.is_empty(),
            Self::NotLooked | Self::Apart => false,
        }
    }
}

impl Proof {
    fn of(report: &VerifyReport, payments: u64) -> Self {
        let found = report.problems.iter().map(|problem| format!("{}: {}", problem.check, problem.detail));
        let mut problems: Vec<String> = found.collect();
        for (count, what) in [(report.in_flight, "in flight"), (report.parked, "parked"), (report.held, "held")] {
            if count > 0 {
                problems.push(format!("{count} events are {what}"));
            }
        }
        if u64::try_from(report.posted).unwrap_or(0) < payments {
            problems.push(format!("fewer than {payments} events are posted: is this the servers' database?"));
        }
        Self {
            events: report.events,
            posted: report.posted,
            rejected: report.rejected,
            parked: report.parked,
            held: report.held,
            in_flight: report.in_flight,
            problems,
        }
    }
}

impl Display for Books {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLooked => f.write_str("not proved: no database was named"),
            Self::Apart => f.write_str("none: the sums of its own tables were checked after each run"),
            Self::Looked(proof) if proof.problems.is_empty() => {
                write!(f, "proved: {} events, {} posted, {} rejected", proof.events, proof.posted, proof.rejected)
            }
            Self::Looked(proof) => {
                write!(f, "NOT in order:")?;
                proof.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::VerifyProblem;

    fn report() -> VerifyReport {
        VerifyReport { events: 10, posted: 9, rejected: 1, ..VerifyReport::default() }
    }

    fn problems(report: &VerifyReport, payments: u64) -> Vec<String> {
        Proof::of(report, payments).problems
    }

    #[test]
    fn books_in_order_have_nothing_open_and_hold_what_was_posted() {
        assert_eq!(problems(&report(), 9), Vec::<String>::new());
        assert_eq!(problems(&report(), 10), ["fewer than 10 events are posted: is this the servers' database?"]);
        let open = VerifyReport { in_flight: 1, parked: 2, held: 3, ..report() };
        assert_eq!(problems(&open, 9), ["1 events are in flight", "2 events are parked", "3 events are held"]);
        let problem = VerifyProblem { check: "chain", detail: "loan 7".to_owned() };
        assert_eq!(problems(&VerifyReport { problems: vec![problem], ..report() }, 9), ["chain: loan 7"]);
    }

    #[test]
    fn broken_books_win() {
        let looked = |payments| Books::Looked(Proof::of(&report(), payments));
        assert!(!looked(9).and(looked(9)).is_broken());
        assert!(looked(9).and(looked(10)).is_broken() && looked(10).and(looked(9)).is_broken());
        assert!(!Books::NotLooked.and(looked(9)).is_broken());
    }
}
