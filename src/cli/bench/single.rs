//! Owns `hpts bench single`: what can be asked, and the way from there to a report.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use uuid::Uuid;

use crate::cli::bench::BenchError;
use crate::cli::bench::load::{self, Length, Plan};
use crate::cli::bench::loans::Loans;
use crate::cli::bench::processes::{Named, Watch};
use crate::cli::bench::report::{Report, RunReport, Settings};
use crate::cli::bench::setup;
use crate::cli::bench::target::Target;
use crate::cli::bench::token::TokenSource;
use crate::core::time::parse_date;
use crate::runtime::lifecycle::Lifecycle;

/// Single payments against running servers of this machine: each call waits for its 201.
#[derive(Args, Clone, Debug)]
pub struct BenchSingle {
    /// An API; repeated, connections are spread over all of them.
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    urls: Vec<String>,
    /// Where tokens come from; `/oauth2/token` of the first API where absent.
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// The client.
    #[arg(long, env = "HPTS_CLIENT_ID")]
    client_id: String,
    /// Its secret.
    #[arg(long, env = "HPTS_CLIENT_SECRET", hide_env_values = true)]
    client_secret: String,
    /// How many connections, one request in flight on each.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// How long a run is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Ends a run after so many payments instead.
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    payments: Option<u64>,
    /// How long the same load runs before anything is counted.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warmup_seconds: u64,
    /// How many loans are paid.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    loans: u64,
    /// Pay one loan only: the first.
    #[arg(long)]
    one_loan: bool,
    /// Which loans: another seed means other loans.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Register the loans first. Needed once for a seed and date; repeating it changes nothing.
    #[arg(long)]
    setup: bool,
    /// The day the loans open and every payment counts from.
    #[arg(long, value_name = "DATE", default_value = "2020-01-02", value_parser = parse_date)]
    effective_date: NaiveDate,
    /// How many runs; their medians are told.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// A process whose CPU time and memory are told as well; repeatable.
    #[arg(long = "pid", value_name = "NAME=PID")]
    pids: Vec<Named>,
    /// The same of a process with all that descend from it, such as a database server; repeatable.
    #[arg(long = "pid-tree", value_name = "NAME=PID")]
    pid_trees: Vec<Named>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Measures single payments and prints the report.
pub(super) async fn run(arguments: BenchSingle) -> Result<(), BenchError> {
    let report = measure(&arguments).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print!("{report}");
    }
    if report.good { Ok(()) } else { Err(BenchError::NotGood) }
}

/// Measures single payments.
pub(super) async fn measure(arguments: &BenchSingle) -> Result<Report, BenchError> {
    let targets: Vec<Target> = arguments.urls.iter().map(|url| Target::parse(url)).collect::<Result<_, _>>()?;
    let first = targets.first().ok_or(BenchError::Header("an empty list of apis"))?;
    let token_endpoint = arguments.token_url.as_deref().map_or_else(|| Ok(first.at("/oauth2/token")), Target::parse)?;
    let watch = Watch::new(&arguments.pids, &arguments.pid_trees);
    watch.sample()?;
    let lifecycle = Lifecycle::new();
    let tokens = TokenSource::new(token_endpoint, &arguments.client_id, &arguments.client_secret);
    let authorization = tokens.start(&lifecycle).await?;
    let loans = Arc::new(Loans::new(arguments.seed, arguments.loan_count(), arguments.effective_date));
    if arguments.setup {
        setup::register(&targets, arguments.connections, &loans, &authorization).await?;
    }
    let mut runs = vec![];
    for _ in 0..arguments.repeat {
        let run = load::run(&arguments.plan(&targets), &loans, &authorization, &watch).await?;
        runs.push(RunReport::from(&run));
    }
    lifecycle.stop();
    Ok(Report::new(arguments.settings(), runs))
}

impl BenchSingle {
    fn loan_count(&self) -> u64 {
        if self.one_loan { 1 } else { self.loans }
    }

    fn plan(&self, targets: &[Target]) -> Plan {
        Plan {
            targets: targets.iter().map(|target| target.at("/v1/payments")).collect(),
            connections: self.connections,
            warm_up: Duration::from_secs(self.warmup_seconds),
            length: self.payments.map_or(Length::For(Duration::from_secs(self.seconds)), Length::Payments),
            pause: Duration::ZERO,
            run: format!("bench:{}", Uuid::new_v4().simple()),
            seed: self.seed,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            urls: self.urls.clone(),
            connections: self.connections,
            seconds: self.payments.is_none().then_some(self.seconds),
            payments: self.payments,
            warm_up_seconds: self.warmup_seconds,
            loans: self.loan_count(),
            seed: self.seed,
        }
    }
}
