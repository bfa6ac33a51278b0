//! Owns `hpts bench mixed`: how long single payments take while a load of batches is being posted.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::join;
use tokio_util::sync::CancellationToken;

use crate::cli::bench::BenchError;
use crate::cli::bench::answer::{Report, Telling};
use crate::cli::bench::batch::LoadArguments;
use crate::cli::bench::figures::{Case, CaseRun};
use crate::cli::bench::load::{self, Length, Plan};
use crate::cli::bench::session::{ServerArguments, Session};
use crate::cli::bench::upload::{self, Keys, Newest};
use crate::runtime::config::Config;

/// Single payments at a low rate, each waiting for its 201, while batches are accepted and posted.
#[derive(Args, Clone, Debug)]
pub struct BenchMixed {
    /// How many connections bring single payments.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    single_connections: u64,
    /// How long each of them waits between two payments, in milliseconds.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    single_pause_ms: u64,
    #[command(flatten)]
    load: LoadArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    telling: Telling,
}

impl BenchMixed {
    /// A load of batches with single payments beside it, for as long as it lasts.
    async fn run(&self, session: &Session) -> Result<[CaseRun; 2], BenchError> {
        let over = CancellationToken::new();
        let (keys, newest) = (Keys::new(), Arc::<Newest>::default());
        let batches = async {
            let loaded = upload::run(session, &session.loans, self.load.load(), &keys, &newest).await;
            over.cancel();
            loaded
        };
        let plan = Plan {
            targets: session.targets.iter().map(|target| target.at("/v1/payments")).collect(),
            connections: self.single_connections,
            warm_up: Duration::ZERO,
            length: Length::Until(over.clone()),
            pause: Duration::from_millis(self.single_pause_ms),
            run: Keys::new().request(0),
            seed: session.seed,
        };
        let singles = load::run(&plan, &session.loans, &session.authorization, &session.watch);
        let (loaded, singles) = join(batches, singles).await;
        // What processes cost meanwhile, the batches cost them.
        Ok([loaded?.run, CaseRun { costs: vec![], ..singles?.into() }])
    }
}

/// Measures single payments beside batches and prints the report.
pub(super) async fn run(arguments: BenchMixed, config: &Config) -> Result<(), BenchError> {
    let BenchMixed { load, servers, telling, .. } = &arguments;
    let session = Session::open(servers, telling, config).await?;
    let (mut batches, mut singles) = (Vec::new(), Vec::new());
    for _ in 0..telling.repeat {
        let [batch, single] = arguments.run(&session).await?;
        batches.push(batch);
        singles.push(single);
    }
    let posted = batches.iter().chain(&singles).map(|run| run.payments).sum();
    let (books, server) = (session.prove(posted).await?, session.server().await?);
    session.close().await;
    let cases = vec![Case::new("batch", &batches), Case::new("single", &singles)];
    let settings = load
        .settings(servers)
        .with("single_connections", arguments.single_connections)
        .with("single_pause_ms", arguments.single_pause_ms);
    telling.tell(&Report::new("mixed", settings, cases, books).on(server))
}
