//! Owns `hpts bench batch` and `hpts bench hot-loan`: batches end to end, over many loans or on one.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::bench::BenchError;
use crate::cli::bench::answer::{Report, Settings, Telling, write_file};
use crate::cli::bench::figures::{Case, CaseRun};
use crate::cli::bench::plot::{self, Panel};
use crate::cli::bench::series::{Sample, backlog_max};
use crate::cli::bench::session::{ServerArguments, Session};
use crate::cli::bench::stream::{self, Stream};
use crate::cli::bench::upload::{self, Keys, Load, Newest};
use crate::runtime::config::Config;

/// Batches of payments against running servers of this machine, until all of them are posted.
#[derive(Args, Clone, Debug)]
pub struct BenchBatch {
    #[command(flatten)]
    load: LoadArguments,
    /// Instead of JSON batches, stream so many rows of NDJSON in one request, and tell how even the rate is.
    #[arg(long, value_name = "ROWS", conflicts_with_all = ["callers", "rows", "payments", "plot"], value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    ndjson: Option<u64>,
    #[command(flatten)]
    late: LateArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    telling: Telling,
}

/// The same with all payments on one loan.
#[derive(Args, Clone, Debug)]
pub struct BenchHotLoan {
    #[command(flatten)]
    load: LoadArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    telling: Telling,
}

/// How much load.
#[derive(Args, Clone, Debug)]
pub(super) struct LoadArguments {
    /// How many callers, one request in flight on each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=256))]
    callers: u64,
    /// Payments of a request.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rows: u64,
    /// Payments of a run.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    payments: u64,
    /// Draw rate and backlog over the time of the last run, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// How much of a second load comes late.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct LateArguments {
    /// Beside each run one of which so many in a hundred payments are backdated: before payments that are posted on the same
    /// loans. Tells how much slower it is.
    #[arg(long = "late", value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(super) percent: u64,
}

impl LateArguments {
    /// The same load with late payments in it; `None` where nobody asks for it.
    pub(super) fn of(self, load: Load) -> Option<Load> {
        (self.percent > 0).then_some(Load { late_percent: self.percent, ..load })
    }

    /// The name of its case.
    pub(super) fn name(self) -> String {
        format!("late {} %", self.percent)
    }

    /// What a reader must know of it, and what it comes to beside a load without.
    pub(super) fn findings(self, findings: Settings, late: &[CaseRun], in_order: &[CaseRun]) -> Settings {
        let ratio = Case::new(self.name(), late).ratio_to(Some(&Case::new("batch", in_order)));
        match ratio.map(serde_json::to_value) {
            Some(Ok(ratio)) => findings.with("late_percent", self.percent).with("late_of_batch", ratio),
            Some(Err(_)) | None => findings,
        }
    }
}

impl LoadArguments {
    /// The load.
    pub(super) const fn load(&self) -> Load {
        Load { callers: self.callers, rows: self.rows, payments: self.payments, late_percent: 0 }
    }

    /// What a reader must know of it.
    pub(super) fn settings(&self, servers: &ServerArguments) -> Settings {
        let settings = servers.settings();
        settings.with("callers", self.callers).with("rows", self.rows).with("payments", self.payments)
    }

    /// Draws the last runs of some cases, where asked to.
    pub(super) fn draw(&self, panels: &[Panel<'_>]) -> Result<(), BenchError> {
        match &self.plot {
            Some(path) => write_file(path, plot::draw(panels)?.as_bytes()),
            None => Ok(()),
        }
    }
}

/// The loans a load pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// All of them.
    Even,
    /// One.
    Hot,
}

/// Some runs of a load, with how the last one went over time.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// What each gave.
    pub(super) figures: Vec<CaseRun>,
    /// How the last one went.
    pub(super) samples: Vec<Sample>,
    /// The greatest backlog of each.
    pub(super) backlogs: Vec<u64>,
}

impl Runs {
    /// One more run, watched by nobody else.
    pub(super) async fn run(&mut self, session: &Session, load: Load, spread: Spread) -> Result<(), BenchError> {
        let loans = match spread {
            Spread::Even => &session.loans,
            Spread::Hot => &session.hot_loan,
        };
        let loaded = upload::run(session, loans, load, &Keys::new(), &Arc::new(Newest::default())).await?;
        self.backlogs.push(backlog_max(&loaded.samples));
        self.samples = loaded.samples;
        self.figures.push(loaded.run);
        Ok(())
    }

    /// Payments posted in all runs.
    pub(super) fn payments(&self) -> u64 {
        self.figures.iter().map(|run| run.payments).sum()
    }

    /// The greatest backlog of all runs.
    pub(super) fn backlog_max(&self) -> u64 {
        self.backlogs.iter().copied().max().unwrap_or(0)
    }
}

/// Measures batches and prints the report.
pub(super) async fn run(arguments: BenchBatch, config: &Config) -> Result<(), BenchError> {
    let BenchBatch { load, ndjson, late, servers, telling } = arguments;
    match ndjson {
        None => telling.tell(&measure(Spread::Even, (&load, Some(late), &servers, &telling), config).await?),
        Some(rows) => stream::run(Stream { rows }, (&servers, &telling), config).await,
    }
}

/// Measures batches on one loan and prints the report.
pub(super) async fn run_hot(arguments: BenchHotLoan, config: &Config) -> Result<(), BenchError> {
    let BenchHotLoan { load, servers, telling } = arguments;
    telling.tell(&measure(Spread::Hot, (&load, None, &servers, &telling), config).await?)
}

/// The arguments that every load has.
type Arguments<'a> = (&'a LoadArguments, Option<LateArguments>, &'a ServerArguments, &'a Telling);

/// Measures batches.
async fn measure(
    spread: Spread,
    (load, late, servers, telling): Arguments<'_>,
    config: &Config,
) -> Result<Report, BenchError> {
    let name = match spread {
        Spread::Even => "batch",
        Spread::Hot => "hot-loan",
    };
    let session = Session::open(servers, telling, config).await?;
    let (mut runs, mut late_runs) = (Runs::default(), Runs::default());
    for _ in 0..telling.repeat {
        runs.run(&session, load.load(), spread).await?;
        if let Some(late) = late.and_then(|late| late.of(load.load())) {
            late_runs.run(&session, late, spread).await?;
        }
    }
    let payments = runs.payments().saturating_add(late_runs.payments());
    let (books, server) = (session.prove(payments).await?, session.server().await?);
    session.close().await;
    load.draw(&[Panel { name, samples: &runs.samples }])?;
    let mut cases = vec![Case::new(name, &runs.figures)];
    let mut findings = Settings::default().with("backlog_max", runs.backlog_max());
    if let Some(late) = late.filter(|_| !late_runs.figures.is_empty()) {
        cases.push(Case::new(late.name(), &late_runs.figures));
        findings = late.findings(findings, &late_runs.figures, &runs.figures);
    }
    let report = Report::new(name, load.settings(servers), cases, books);
    Ok(report.on(server).finding(findings))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl BenchBatch {
        /// The report, untold.
        pub(in crate::cli::bench) async fn report(&self, config: &Config) -> Result<Report, BenchError> {
            measure(Spread::Even, (&self.load, Some(self.late), &self.servers, &self.telling), config).await
        }
    }
}
