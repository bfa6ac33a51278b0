//! Owns `hpts bench naive`: the rate of the usual worker, which posts each payment in a transaction of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use uuid::Uuid;

use crate::cli::bench::answer::{Report, Settings, Telling};
use crate::cli::bench::books::Books;
use crate::cli::bench::figures::{Case, CaseRun};
use crate::cli::bench::latency::Latencies;
use crate::cli::bench::loans::{Draws, Loans, PRINCIPAL_MINOR, amount_of, below};
use crate::cli::bench::meter::Meter;
use crate::cli::bench::processes::Watch;
use crate::cli::bench::{BenchError, database_url, usual_day};
use crate::core::ids::IdMaker;
use crate::core::money::Minor;
use crate::runtime::clock::{Clock, Stopwatch};
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::bench::{BenchDatabase, BenchPurpose, NaiveLoan, NaivePayment, NaiveWorker};

/// What each loan owes at first.
const PRINCIPAL: Minor = Minor::new(PRINCIPAL_MINOR);

/// The usual worker, to compare with: one transaction for each payment, the loan locked by SELECT … FOR UPDATE, in a
/// database of its own beside the one that is named.
#[derive(Args, Clone, Debug)]
pub struct BenchNaive {
    /// How many payments a run posts.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    payments: u64,
    /// How many workers post at once; each number is a case of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 32], value_parser = clap::value_parser!(u64).range(1..=1000))]
    connections: Vec<u64>,
    /// How many loans are paid.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    loans: u64,
    #[command(flatten)]
    telling: Telling,
}

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct NaiveShape {
    /// How many payments a run posts.
    pub(super) payments: u64,
    /// How many loans are paid.
    pub(super) loans: u64,
}

/// A database made for the usual worker, with its loans.
#[derive(Debug)]
pub(super) struct Naive {
    shape: NaiveShape,
    database: BenchDatabase,
    store: PostgresStore,
    loans: Arc<Loans>,
    posted: u64,
}

/// What the workers of a run share.
#[derive(Debug)]
struct Course {
    loans: Arc<Loans>,
    left: AtomicU64,
    run: Uuid,
}

impl Naive {
    /// Makes the database, its tables and its loans.
    pub(super) async fn open(url: &str, shape: NaiveShape) -> Result<Self, BenchError> {
        let database = BenchDatabase::create(url, BenchPurpose::Naive).await?;
        let loans = Arc::new(Loans::new(1, shape.loans, usual_day()));
        match Self::fill(&database, &loans).await {
            Ok(store) => Ok(Self { shape, database, store, loans, posted: 0 }),
            Err(error) => {
                // The first error matters; a database that stays is dropped by the next measurement.
                let _dropped = database.drop_database().await;
                Err(error)
            }
        }
    }

    async fn fill(database: &BenchDatabase, loans: &Loans) -> Result<PostgresStore, BenchError> {
        let store = database.store(2).await?;
        let all = (0..loans.count()).filter_map(|index| naive_loan(loans, index));
        store.make_naive_tables(all.collect(), PRINCIPAL).await?;
        Ok(store)
    }

    /// One run with so many workers.
    pub(super) async fn run(&mut self, connections: u64, watch: &Watch) -> Result<CaseRun, BenchError> {
        let mut workers = Vec::new();
        for _ in 0..connections {
            workers.push(self.store.naive_worker().await?);
        }
        let payments = self.shape.payments;
        let course = Course { loans: Arc::clone(&self.loans), left: AtomicU64::new(payments), run: Uuid::new_v4() };
        let (course, lifecycle) = (Arc::new(course), Lifecycle::new());
        let mut meter = Meter::new(watch, Some(&self.store));
        let stretch = meter.start().await?;
        let workers = (0_u64..).zip(workers);
        let tasks: Vec<_> =
            workers.map(|(number, worker)| lifecycle.spawn(work(Arc::clone(&course), number, worker))).collect();
        let mut post = Latencies::new()?;
        for task in tasks {
            post.add(&task.await??)?;
        }
        meter.stop(stretch).await?;
        self.posted = self.posted.saturating_add(payments);
        Ok(CaseRun {
            payments,
            elapsed: meter.elapsed(),
            wal_bytes: meter.wal_bytes(),
            costs: meter.costs(payments),
            accept: None,
            post: Some(post),
            faults: self.faults().await?,
        })
    }

    /// What the tables say against the run.
    async fn faults(&self) -> Result<Vec<String>, BenchError> {
        let books = self.store.naive_books(PRINCIPAL).await?;
        let whole = books.agree() && u64::try_from(books.payments) == Ok(self.posted);
        Ok(if whole { vec![] } else { vec![format!("the usual worker's tables do not add up: {books:?}")] })
    }

    /// The server's settings.
    async fn server(&self) -> Result<Settings, BenchError> {
        Ok(Settings::default().and(self.store.server_settings().await?))
    }

    /// Drops the database.
    pub(super) async fn close(self) -> Result<(), BenchError> {
        self.store.close().await;
        self.database.drop_database().await.map_err(BenchError::from)
    }
}

fn naive_loan(loans: &Loans, index: u64) -> Option<NaiveLoan> {
    loans.get(index).map(|loan| NaiveLoan { loan_id: loan.loan_id, borrower_id: loan.borrower_id })
}

/// One worker until nothing is left.
async fn work(course: Arc<Course>, number: u64, mut worker: NaiveWorker) -> Result<Latencies, BenchError> {
    let (high, low) = course.run.as_u64_pair();
    let mut draws = Draws::new(high.rotate_left(32) ^ number);
    let (mut ids, clock) = (IdMaker::new(low ^ number), Clock::system());
    let mut latencies = Latencies::new()?;
    let less = |left: u64| left.checked_sub(1);
    while let Ok(left) = course.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
        let draw = draws.next();
        let Some(loan) = naive_loan(&course.loans, below(draw, course.loans.count())) else { break };
        let payment = NaivePayment {
            id: ids.next(clock.now()),
            key: format!("bench:{}:{left}", course.run.simple()),
            loan,
            amount: amount_of(draw),
            effective_date: course.loans.date(),
        };
        let stopwatch = Stopwatch::start();
        worker.post(&payment).await?;
        latencies.record(stopwatch.elapsed());
    }
    worker.close().await;
    Ok(latencies)
}

/// Measures the usual worker and prints the report.
pub(super) async fn run(arguments: BenchNaive, config: &Config) -> Result<(), BenchError> {
    let BenchNaive { payments, connections, loans, telling } = arguments;
    let shape = NaiveShape { payments, loans };
    let watch = telling.watch()?;
    let mut naive = Naive::open(database_url(config)?, shape).await?;
    let measured = measure(&mut naive, &connections, &telling, &watch).await;
    naive.close().await?;
    telling.tell(&measured?)
}

async fn measure(
    naive: &mut Naive,
    connections: &[u64],
    telling: &Telling,
    watch: &Watch,
) -> Result<Report, BenchError> {
    let mut runs: Vec<(u64, Vec<CaseRun>)> = connections.iter().map(|count| (*count, vec![])).collect();
    for _ in 0..telling.repeat {
        for (connections, runs) in &mut runs {
            runs.push(naive.run(*connections, watch).await?);
        }
    }
    let cases = runs.iter().map(|(connections, runs)| Case::new(format!("naive {connections}"), runs)).collect();
    let server = naive.server().await?;
    let settings = Settings::default().with("payments", naive.shape.payments).with("loans", naive.shape.loans);
    Ok(Report::new("naive", settings, cases, Books::Apart).on(Some(server)))
}
