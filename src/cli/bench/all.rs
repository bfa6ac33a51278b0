//! Owns `hpts bench all`: every case in turn, over and over, so that what disturbs one disturbs the others as well, and
//! their ratios mean something on a machine that is not quiet.

use std::time::Duration;

use clap::Args;

use crate::cli::bench::answer::{Report, Settings, Telling};
use crate::cli::bench::batch::{LateArguments, LoadArguments, Runs, Spread};
use crate::cli::bench::figures::{Case, CaseRun};
use crate::cli::bench::limit::{Limit, LimitShape};
use crate::cli::bench::load::{self, Length, Plan};
use crate::cli::bench::naive::{Naive, NaiveShape};
use crate::cli::bench::plot::Panel;
use crate::cli::bench::session::{ServerArguments, Session};
use crate::cli::bench::upload::Keys;
use crate::cli::bench::{BenchError, database_url};
use crate::runtime::config::Config;

/// The load before single payments count.
const WARM_UP: Duration = Duration::from_secs(1);

/// Everything in one table: batches, batches on one loan and single payments against running servers, the raw limit of
/// their database and the usual worker, in turn.
#[derive(Args, Clone, Debug)]
pub struct BenchAll {
    /// How many payments a run of the limit writes.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    limit_payments: u64,
    /// How many connections of the limit write at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    limit_connections: u64,
    /// How many payments a run of the usual worker posts.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    naive_payments: u64,
    /// How many usual workers post at once; each number is a case of its own, and the fastest is compared with.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 32], value_parser = clap::value_parser!(u64).range(1..=1000))]
    naive_connections: Vec<u64>,
    /// How long single payments are measured; 0 leaves them out.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    single_seconds: u64,
    /// How many connections bring single payments.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    single_connections: u64,
    #[command(flatten)]
    load: LoadArguments,
    #[command(flatten)]
    late: LateArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    telling: Telling,
}

/// The runs of every case.
#[derive(Debug, Default)]
struct All {
    limit: Vec<CaseRun>,
    batch: Runs,
    late: Runs,
    hot_loan: Runs,
    single: Vec<CaseRun>,
    naive: Vec<(u64, Vec<CaseRun>)>,
}

impl All {
    /// Payments posted through servers.
    fn payments(&self) -> u64 {
        let single: u64 = self.single.iter().map(|run| run.payments).sum();
        let batches = [&self.batch, &self.late, &self.hot_loan].map(Runs::payments);
        batches.into_iter().fold(single, u64::saturating_add)
    }

    /// The table: each case beside the limit and the fastest usual worker of the same turn.
    fn cases(&self, late: LateArguments) -> Vec<Case> {
        let limit = Case::new("limit", &self.limit);
        let naive = self.naive.iter().map(|(connections, runs)| Case::new(format!("naive {connections}"), runs));
        let naive: Vec<Case> = naive.collect();
        let fastest = naive.iter().max_by_key(|case| case.median.rate_per_second).cloned();
        let single = (!self.single.is_empty()).then(|| Case::new("single", &self.single));
        let ours = [Case::new("batch", &self.batch.figures), Case::new("hot-loan", &self.hot_loan.figures)];
        let late = (!self.late.figures.is_empty()).then(|| Case::new(late.name(), &self.late.figures));
        let others = ours.into_iter().chain(late).chain(single).chain(naive);
        let compared = others.map(|case| case.compared(Some(&limit), fastest.as_ref()));
        let compared: Vec<Case> = compared.collect();
        std::iter::once(limit.clone().compared(None, fastest.as_ref())).chain(compared).collect()
    }
}

impl BenchAll {
    fn single(&self, session: &Session) -> Plan {
        Plan {
            targets: session.targets.iter().map(|target| target.at("/v1/payments")).collect(),
            connections: self.single_connections,
            warm_up: WARM_UP,
            length: Length::For(Duration::from_secs(self.single_seconds)),
            pause: Duration::ZERO,
            run: Keys::new().request(0),
            seed: session.seed,
        }
    }

    /// One turn of every case.
    async fn turn(
        &self,
        session: &Session,
        limit: &mut Limit,
        naive: &mut Naive,
        all: &mut All,
    ) -> Result<(), BenchError> {
        all.limit.push(limit.run(&session.watch).await?);
        all.batch.run(session, self.load.load(), Spread::Even).await?;
        if let Some(late) = self.late.of(self.load.load()) {
            all.late.run(session, late, Spread::Even).await?;
        }
        all.hot_loan.run(session, self.load.load(), Spread::Hot).await?;
        if self.single_seconds > 0 {
            let plan = self.single(session);
            let run = load::run(&plan, &session.loans, &session.authorization, &session.watch).await?;
            all.single.push(run.into());
        }
        for (connections, runs) in &mut all.naive {
            runs.push(naive.run(*connections, &session.watch).await?);
        }
        Ok(())
    }

    async fn measure(&self, session: &Session, limit: &mut Limit, naive: &mut Naive) -> Result<Report, BenchError> {
        let naive_runs = self.naive_connections.iter().map(|connections| (*connections, vec![])).collect();
        let mut all = All { naive: naive_runs, ..All::default() };
        for _ in 0..self.telling.repeat {
            self.turn(session, limit, naive, &mut all).await?;
        }
        let books = session.prove(all.payments()).await?.and(limit.prove().await?);
        let server = limit.server().await?;
        let panels = [
            Panel { name: "batch", samples: &all.batch.samples },
            Panel { name: "hot-loan", samples: &all.hot_loan.samples },
        ];
        self.load.draw(&panels)?;
        let findings = Settings::default()
            .with("batch_backlog_max", all.batch.backlog_max())
            .with("hot_loan_backlog_max", all.hot_loan.backlog_max());
        let findings = self.late.findings(findings, &all.late.figures, &all.batch.figures);
        let settings = self
            .load
            .settings(&self.servers)
            .with("limit_payments", self.limit_payments)
            .with("limit_connections", self.limit_connections)
            .with("naive_payments", self.naive_payments)
            .with("single_seconds", self.single_seconds)
            .with("single_connections", self.single_connections)
            .with("repeat", self.telling.repeat);
        Ok(Report::new("all", settings, all.cases(self.late), books).on(Some(server)).finding(findings))
    }
}

/// Measures everything and prints one table.
pub(super) async fn run(arguments: BenchAll, config: &Config) -> Result<(), BenchError> {
    let url = database_url(config)?;
    let session = Session::open(&arguments.servers, &arguments.telling, config).await?;
    let loans = session.loans.count();
    let limit = LimitShape {
        payments: arguments.limit_payments,
        rows: arguments.load.load().rows,
        connections: arguments.limit_connections,
        loans,
    };
    let mut limit = Limit::open(url, limit).await?;
    let measured = match Naive::open(url, NaiveShape { payments: arguments.naive_payments, loans }).await {
        Ok(mut naive) => {
            let measured = arguments.measure(&session, &mut limit, &mut naive).await;
            naive.close().await?;
            measured
        }
        Err(error) => Err(error),
    };
    limit.close().await?;
    session.close().await;
    arguments.telling.tell(&measured?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::figures::tests::run;
    use crate::cli::bench::upload::Load;

    #[test]
    fn every_case_stands_beside_the_limit_and_the_fastest_usual_worker() {
        let runs = |millis| Runs { figures: vec![run(millis)], ..Runs::default() };
        let all = All {
            limit: vec![run(10)],
            batch: runs(20),
            late: runs(30),
            hot_loan: runs(25),
            single: vec![],
            naive: vec![(8, vec![run(500)]), (32, vec![run(400)])],
        };
        assert_eq!(all.payments(), 3000);
        let late = LateArguments { percent: 10 };
        let findings = late.findings(Settings::default(), &all.late.figures, &all.batch.figures);
        let told = serde_json::to_value(findings).unwrap();
        assert_eq!(told, serde_json::json!({"late_percent": 10, "late_of_batch": 0.666}), "20 ms of 30");
        assert!(
            late.of(Load { callers: 1, rows: 1, payments: 1, late_percent: 0 }).is_some_and(|it| it.late_percent == 10)
        );
        let cases = serde_json::to_value(all.cases(late)).unwrap();
        let told = |index: usize, name: &str| cases[index][name].clone();
        let names: Vec<_> = (0..6).map(|index| told(index, "name")).collect();
        assert_eq!(names, ["limit", "batch", "hot-loan", "late 10 %", "naive 8", "naive 32"]);
        assert_eq!((told(0, "of_limit"), told(0, "of_naive")), (serde_json::Value::Null, 40.0.into()));
        assert_eq!((told(1, "of_limit"), told(1, "of_naive")), (0.5.into(), 20.0.into()));
        assert_eq!((told(4, "of_limit"), told(4, "of_naive")), (0.02.into(), 0.8.into()));
    }
}
