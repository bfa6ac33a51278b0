//! Owns `hpts bench growth`: whether the rate holds when millions of postings are stored already.
//!
//! The store is filled by the fast way of [`limit`](super::limit), under the client's tenant and on loans of its own, so
//! that servers and books see what they would have written themselves.

use std::sync::Arc;

use clap::Args;
use uuid::Uuid;

use crate::cli::bench::answer::{Report, Settings, Telling};
use crate::cli::bench::batch::{LoadArguments, Runs, Spread};
use crate::cli::bench::figures::{Case, rate};
use crate::cli::bench::loans::Loans;
use crate::cli::bench::pollers::told;
use crate::cli::bench::raw::{Cut, LANE_POOL, RawWriter};
use crate::cli::bench::session::{ServerArguments, Session};
use crate::cli::bench::{BenchError, database_url};
use crate::runtime::config::Config;
use crate::store::Store;
use crate::store::postgres::PostgresStore;

/// How many rows a filling transaction holds, and how many connections fill.
const ROWS: u64 = 1000;
const CONNECTIONS: u64 = 2;

/// Batches before and after the servers' database is filled. It stays filled: use one made for this.
#[derive(Args, Clone, Debug)]
pub struct BenchGrowth {
    /// How many postings to store between the two measurements.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    stored: u64,
    /// Over how many loans of their own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    stored_loans: u64,
    #[command(flatten)]
    load: LoadArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    telling: Telling,
}

impl BenchGrowth {
    /// Stores the postings; answers the rate at which they were.
    async fn fill(&self, session: &Session, url: &str) -> Result<u64, BenchError> {
        let mut lanes = Vec::new();
        for _ in 0..CONNECTIONS.min(self.stored_loans) {
            lanes.push(PostgresStore::connect(url, LANE_POOL).await?);
        }
        let asked = lanes.first().ok_or(BenchError::NoDatabase)?.client(&self.servers.client_id).await?;
        let client = asked.ok_or_else(|| BenchError::Rows("the database does not know the client".to_owned()))?;
        // Nobody else has loans of this seed, so that a database can be filled more than once.
        let seed = Uuid::new_v4().as_u64_pair().0;
        let loans = Arc::new(Loans::new(seed, self.stored_loans, session.loans.opened_on()));
        let mut writer = RawWriter::open(lanes, client.tenant, loans).await?;
        // Nothing waits long enough between acceptance and posting for a sweeper to take it up.
        let cut = Cut { payments: self.stored, rows: ROWS, batches: 1 };
        let mut meter = session.meter();
        let written = writer.write(cut, &mut meter).await;
        writer.close().await;
        Ok(rate(written?.payments, meter.elapsed()))
    }
}

/// Measures batches before and after filling and prints the report.
pub(super) async fn run(arguments: BenchGrowth, config: &Config) -> Result<(), BenchError> {
    let BenchGrowth { load, servers, telling, .. } = &arguments;
    let url = database_url(config)?;
    let session = Session::open(servers, telling, config).await?;
    let (mut before, mut after) = (Runs::default(), Runs::default());
    for _ in 0..telling.repeat {
        before.run(&session, load.load(), Spread::Even).await?;
    }
    let filled_at = arguments.fill(&session, url).await?;
    for _ in 0..telling.repeat {
        after.run(&session, load.load(), Spread::Even).await?;
    }
    let posted = before.payments().saturating_add(after.payments()).saturating_add(arguments.stored);
    let (books, server) = (session.prove(posted).await?, session.server().await?);
    session.close().await;
    let (before, after) = (Case::new("before", &before.figures), Case::new("after", &after.figures));
    let findings = Settings::default()
        .with("rate_after_over_before", told(after.ratio_to(Some(&before))))
        .with("filled_per_second", filled_at);
    let settings = load.settings(servers).with("stored", arguments.stored).with("stored_loans", arguments.stored_loans);
    telling.tell(&Report::new("growth", settings, vec![before, after], books).on(server).finding(findings))
}
