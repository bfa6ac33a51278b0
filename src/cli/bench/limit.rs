//! Owns `hpts bench limit`: how fast this database takes the rows of payments when nothing but the database is asked.

use std::sync::Arc;

use clap::Args;
use uuid::Uuid;

use crate::cli::bench::answer::{Report, Settings, Telling};
use crate::cli::bench::books::Books;
use crate::cli::bench::figures::{Case, CaseRun};
use crate::cli::bench::loans::Loans;
use crate::cli::bench::meter::Meter;
use crate::cli::bench::processes::Watch;
use crate::cli::bench::raw::{Cut, LANE_POOL, RawWriter};
use crate::cli::bench::{BenchError, database_url, usual_day};
use crate::core::ids::TenantId;
use crate::core::money::Currency;
use crate::runtime::config::Config;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::bench::{BenchDatabase, BenchPurpose};
use crate::store::{Store, TenantRecord};

/// How many batches a connection accepts before it posts them: as many as leave the clock running for a good part of
/// a second, and few enough to stay within some tens of megabytes.
const BATCHES: u64 = 25;
/// How many connections look at the database beside those that write.
const STORE_POOL: u32 = 2;

/// The raw limit of a database: the rows of payments written straight into it, in a database of its own beside the one
/// that is named, with the statements of the servers and without HTTP, broker and fold.
#[derive(Args, Clone, Debug)]
pub struct BenchLimit {
    /// How many payments a run writes.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    payments: u64,
    /// How many rows a transaction holds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rows: u64,
    /// How many connections write at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    connections: u64,
    /// How many loans are paid.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    loans: u64,
    #[command(flatten)]
    telling: Telling,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitShape {
    /// How many payments a run writes.
    pub(super) payments: u64,
    /// How many rows a transaction holds.
    pub(super) rows: u64,
    /// How many connections write at once.
    pub(super) connections: u64,
    /// How many loans are paid.
    pub(super) loans: u64,
}

impl LimitShape {
    fn settings(self) -> Settings {
        Settings::default()
            .with("payments", self.payments)
            .with("rows", self.rows)
            .with("connections", self.connections)
            .with("loans", self.loans)
    }
}

/// A database made for the limit, with its loans.
#[derive(Debug)]
pub(super) struct Limit {
    shape: LimitShape,
    database: BenchDatabase,
    store: PostgresStore,
    writer: RawWriter,
    posted: u64,
}

impl Limit {
    /// Makes the database and opens the loans.
    pub(super) async fn open(url: &str, shape: LimitShape) -> Result<Self, BenchError> {
        let database = BenchDatabase::create(url, BenchPurpose::Limit).await?;
        match Self::fill(&database, shape).await {
            Ok((store, writer)) => Ok(Self { shape, database, store, writer, posted: 0 }),
            Err(error) => {
                // The first error matters; a database that stays is dropped by the next measurement.
                let _dropped = database.drop_database().await;
                Err(error)
            }
        }
    }

    async fn fill(database: &BenchDatabase, shape: LimitShape) -> Result<(PostgresStore, RawWriter), BenchError> {
        let store = database.store(STORE_POOL).await?;
        store.migrate(1).await?;
        let tenant = TenantId(Uuid::new_v4());
        store.create_tenant(tenant_record(tenant)).await?;
        let loans = Arc::new(Loans::new(1, shape.loans, usual_day()));
        let mut lanes = Vec::new();
        for _ in 0..shape.connections.min(shape.loans) {
            lanes.push(database.store(LANE_POOL).await?);
        }
        let writer = RawWriter::open(lanes, tenant, loans).await?;
        Ok((store, writer))
    }

    /// One run.
    pub(super) async fn run(&mut self, watch: &Watch) -> Result<CaseRun, BenchError> {
        let cut = Cut { payments: self.shape.payments, rows: self.shape.rows, batches: BATCHES };
        let mut meter = Meter::new(watch, Some(&self.store));
        let written = self.writer.write(cut, &mut meter).await?;
        self.posted = self.posted.saturating_add(written.payments);
        Ok(CaseRun {
            payments: written.payments,
            elapsed: meter.elapsed(),
            wal_bytes: meter.wal_bytes(),
            costs: meter.costs(written.payments),
            accept: Some(written.accept),
            post: Some(written.post),
            faults: vec![],
        })
    }

    /// Proves the books.
    pub(super) async fn prove(&self) -> Result<Books, BenchError> {
        Books::prove(&self.store, self.posted).await
    }

    /// The server's settings.
    pub(super) async fn server(&self) -> Result<Settings, BenchError> {
        Ok(Settings::default().and(self.store.server_settings().await?))
    }

    /// Drops the database.
    pub(super) async fn close(self) -> Result<(), BenchError> {
        self.writer.close().await;
        self.store.close().await;
        self.database.drop_database().await.map_err(BenchError::from)
    }
}

/// A tenant for measurements.
fn tenant_record(id: TenantId) -> TenantRecord {
    TenantRecord {
        id,
        name: "bench".to_owned(),
        time_zone: "UTC".to_owned(),
        base_currency: Currency::USD,
        future_days: 0,
        payment_limit: None,
        loss_account: crate::core::loan::LossAccount::Expense,
    }
}

/// Measures the limit and prints the report.
pub(super) async fn run(arguments: BenchLimit, config: &Config) -> Result<(), BenchError> {
    let BenchLimit { payments, rows, connections, loans, telling } = arguments;
    let shape = LimitShape { payments, rows, connections, loans };
    let watch = telling.watch()?;
    let mut limit = Limit::open(database_url(config)?, shape).await?;
    let measured = measure(&mut limit, shape, &telling, &watch).await;
    limit.close().await?;
    telling.tell(&measured?)
}

async fn measure(limit: &mut Limit, shape: LimitShape, telling: &Telling, watch: &Watch) -> Result<Report, BenchError> {
    let mut runs = Vec::new();
    for _ in 0..telling.repeat {
        runs.push(limit.run(watch).await?);
    }
    let (books, server) = (limit.prove().await?, limit.server().await?);
    Ok(Report::new("limit", shape.settings(), vec![Case::new("limit", &runs)], books).on(Some(server)))
}
