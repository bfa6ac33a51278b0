//! Owns how a measurement is told: figures of each run, their medians, and the words around them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Serialize;

use crate::cli::bench::figures::{middle_of, rate};
use crate::cli::bench::latency::short;
use crate::cli::bench::load::Run;
use crate::cli::bench::machine::Machine;
use crate::cli::bench::processes::Cost;

/// The figures of one run, or the medians of many. Times in the unit their name ends in; latencies of 201 answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    /// Payments answered with 201.
    pub(super) payments: u64,
    elapsed_ms: u64,
    rate_per_second: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    max_us: u64,
    retries: u64,
    /// What processes cost.
    pub(super) processes: Vec<Cost>,
}

/// One run: its figures, and what may be wrong with them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RunReport {
    /// The figures.
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Whether every answer was 201.
    pub(super) good: bool,
    /// Answers by status.
    pub(super) answers: BTreeMap<u16, u64>,
    warm_up_bad: u64,
    given_up: u64,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Settings {
    /// The apis.
    pub(super) urls: Vec<String>,
    /// How many connections.
    pub(super) connections: u64,
    /// How long, where time ends a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<u64>,
    /// How many, where a number ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payments: Option<u64>,
    /// The warm-up.
    pub(super) warm_up_seconds: u64,
    /// How many loans are paid.
    pub(super) loans: u64,
    /// Which ones.
    pub(super) seed: u64,
}

/// Everything a measurement says.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    measurement: &'static str,
    /// Whether every run was good.
    pub(super) good: bool,
    machine: Machine,
    settings: Settings,
    /// Every run.
    pub(super) runs: Vec<RunReport>,
    /// The middle of each figure over the runs; of an even number of runs, the upper one of the two.
    pub(super) median: Figures,
}

impl From<&Run> for RunReport {
    fn from(run: &Run) -> Self {
        let Run { tally, elapsed, costs } = run;
        Self {
            figures: Figures {
                payments: tally.good(),
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                rate_per_second: rate(tally.good(), *elapsed),
                p50_us: tally.latency_at(0.5),
                p90_us: tally.latency_at(0.9),
                p99_us: tally.latency_at(0.99),
                max_us: tally.latency_max(),
                retries: tally.retries,
                processes: costs.clone(),
            },
            good: tally.is_good(),
            answers: tally.answers.clone(),
            warm_up_bad: tally.warm_up_bad,
            given_up: tally.given_up,
        }
    }
}

impl Report {
    /// Sums up some runs.
    pub(super) fn new(settings: Settings, runs: Vec<RunReport>) -> Self {
        let good = !runs.is_empty() && runs.iter().all(|run| run.good);
        let median = median_of(&runs.iter().map(|run| &run.figures).collect::<Vec<_>>());
        Self { measurement: "single", good, machine: Machine::read(), settings, runs, median }
    }
}

fn median_of(runs: &[&Figures]) -> Figures {
    let middle = |figure: fn(&Figures) -> u64| middle_of(runs.iter().map(|run| figure(run))).unwrap_or(0);
    Figures {
        payments: middle(|run| run.payments),
        elapsed_ms: middle(|run| run.elapsed_ms),
        rate_per_second: middle(|run| run.rate_per_second),
        p50_us: middle(|run| run.p50_us),
        p90_us: middle(|run| run.p90_us),
        p99_us: middle(|run| run.p99_us),
        max_us: middle(|run| run.max_us),
        retries: middle(|run| run.retries),
        processes: Cost::medians(&runs.iter().map(|run| run.processes.as_slice()).collect::<Vec<_>>()),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { good, machine, settings, runs, median, .. } = self;
        writeln!(f, "machine   {machine}")?;
        writeln!(f, "settings  {settings}")?;
        writeln!(f)?;
        writeln!(f, "{:<8}{HEADINGS}", "run")?;
        for (number, run) in (1_u32..).zip(runs) {
            writeln!(f, "{number:<8}{}  {}", run.figures, run.remarks())?;
        }
        writeln!(f, "{:<8}{median}  {}", "median", if *good { "good" } else { "not good" })?;
        writeln!(f)?;
        writeln!(f, "{:<16}{:>14}{:>12}{:>14}{:>14}", "process", "cpu/payment", "cpu", "memory start", "memory end")?;
        for process in &median.processes {
            writeln!(f, "{process}")?;
        }
        Ok(())
    }
}

/// Over the columns of [`Figures`].
const HEADINGS: &str = "  payments    rate/s       p50       p90       p99       max  retries  answers";

impl Display for Figures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}{:>10}", self.payments, self.rate_per_second)?;
        for micros in [self.p50_us, self.p90_us, self.p99_us, self.max_us] {
            write!(f, "{:>10}", short(Duration::from_micros(micros)))?;
        }
        write!(f, "{:>9}", self.retries)
    }
}

impl Display for Settings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { urls, connections, seconds, payments, warm_up_seconds, loans, seed } = self;
        write!(f, "{connections} connections to {}, ", urls.join(" "))?;
        if let Some(seconds) = seconds {
            write!(f, "{seconds} s ")?;
        }
        if let Some(payments) = payments {
            write!(f, "{payments} payments ")?;
        }
        write!(f, "after {warm_up_seconds} s of warm-up, {loans} loans of seed {seed}")
    }
}

impl RunReport {
    /// Counts by status, and what else spoils the run.
    fn remarks(&self) -> String {
        let mut words: Vec<String> = self.answers.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        if self.warm_up_bad > 0 {
            words.push(format!("warm-up not 201: {}", self.warm_up_bad));
        }
        if self.given_up > 0 {
            words.push(format!("no answer: {}", self.given_up));
        }
        if !self.good {
            words.push("not good".to_owned());
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rate_per_second: u64, max_us: u64) -> Figures {
        let process = Cost {
            name: "api".to_owned(),
            cpu_ms: 500,
            cpu_ns_per_payment: rate_per_second,
            resident_kib_start: 2048,
            resident_kib_end: 4096,
        };
        Figures {
            payments: 1000,
            elapsed_ms: 100,
            rate_per_second,
            p50_us: 1500,
            p90_us: 2500,
            p99_us: 10_000,
            max_us,
            retries: 0,
            processes: vec![process],
        }
    }

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let runs = [figures(10, 7), figures(30, 5), figures(20, 6)];
        assert_eq!(median_of(&runs.iter().collect::<Vec<_>>()), figures(20, 6));
        assert_eq!(median_of(&[&figures(1, 1), &figures(2, 2)]), figures(2, 2));
    }

    #[test]
    fn the_table_says_what_a_reader_needs() {
        let settings = Settings {
            urls: vec!["http://127.0.0.1:8080".to_owned()],
            connections: 256,
            seconds: Some(10),
            payments: None,
            warm_up_seconds: 2,
            loans: 100_000,
            seed: 1,
        };
        let answers = BTreeMap::from([(201, 1000), (422, 1)]);
        let run = RunReport { figures: figures(19_000, 40_000), good: false, answers, warm_up_bad: 0, given_up: 2 };
        let text = Report::new(settings, vec![run]).to_string();
        let told: Vec<&str> = text.lines().skip(1).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        settings  256 connections to http://127.0.0.1:8080, 10 s after 2 s of warm-up, 100000 loans of seed 1

        run       payments    rate/s       p50       p90       p99       max  retries  answers
        1             1000     19000    1.50ms    2.50ms   10.00ms   40.00ms        0  201: 1000, 422: 1, no answer: 2, not good
        median        1000     19000    1.50ms    2.50ms   10.00ms   40.00ms        0  not good

        process            cpu/payment         cpu  memory start    memory end
        api                    19.00µs    500.00ms         2 MiB         4 MiB
        ");
    }
}
