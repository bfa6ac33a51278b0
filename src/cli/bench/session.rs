//! Owns what every measurement of running servers needs: where they are, a token, the loans, the processes to watch, and
//! their database, to read its log and to prove the books.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use clap::Args;

use crate::cli::bench::answer::{Settings, Telling};
use crate::cli::bench::books::Books;
use crate::cli::bench::caller::Caller;
use crate::cli::bench::loans::Loans;
use crate::cli::bench::meter::Meter;
use crate::cli::bench::processes::Watch;
use crate::cli::bench::target::Target;
use crate::cli::bench::token::{Authorization, TokenSource};
use crate::cli::bench::{BenchError, setup};
use crate::cli::connect;
use crate::core::time::parse_date;
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;

/// Over how many connections loans are registered.
pub(super) const SETUP_CONNECTIONS: u64 = 64;
/// How many connections read the servers' database.
const DATABASE_CONNECTIONS: u32 = 2;

/// Which servers, and which loans.
#[derive(Args, Clone, Debug)]
pub(super) struct ServerArguments {
    /// An API; repeated, callers are spread over all of them.
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    urls: Vec<String>,
    /// Where tokens come from; `/oauth2/token` of the first API where absent.
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// The client.
    #[arg(long, env = "HPTS_CLIENT_ID")]
    pub(super) client_id: String,
    /// Its secret.
    #[arg(long, env = "HPTS_CLIENT_SECRET", hide_env_values = true)]
    client_secret: String,
    /// How many loans are paid.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    loans: u64,
    /// Which loans: another seed means other loans.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Register the loans first. Needed once for a seed and date; repeating it changes nothing.
    #[arg(long)]
    setup: bool,
    /// The day the loans open; payments count from the next.
    #[arg(long, value_name = "DATE", default_value = "2020-01-02", value_parser = parse_date)]
    effective_date: NaiveDate,
}

impl ServerArguments {
    /// What a reader must know of them.
    pub(super) fn settings(&self) -> Settings {
        Settings::default().with("urls", self.urls.clone()).with("loans", self.loans).with("seed", self.seed)
    }

    fn all_loans(&self, count: u64) -> Arc<Loans> {
        Arc::new(Loans::new(self.seed, count, self.effective_date))
    }
}

/// Everything that is there before the clock starts.
#[derive(Debug)]
pub(super) struct Session {
    /// The apis.
    pub(super) targets: Vec<Target>,
    /// The token, kept fresh.
    pub(super) authorization: Authorization,
    /// The loans that are paid.
    pub(super) loans: Arc<Loans>,
    /// The first of them alone.
    pub(super) hot_loan: Arc<Loans>,
    /// The processes to watch.
    pub(super) watch: Watch,
    /// Which loans are drawn when.
    pub(super) seed: u64,
    database: Option<PostgresStore>,
    file: Option<PathBuf>,
    lifecycle: Lifecycle,
}

impl Session {
    /// Gets a token, registers the loans where asked to, and connects to the servers' database where it is named.
    pub(super) async fn open(
        arguments: &ServerArguments,
        telling: &Telling,
        config: &Config,
    ) -> Result<Self, BenchError> {
        let targets: Vec<Target> = arguments.urls.iter().map(|url| Target::parse(url)).collect::<Result<_, _>>()?;
        let first = targets.first().ok_or(BenchError::Header("an empty list of apis"))?;
        let token_endpoint =
            arguments.token_url.as_deref().map_or_else(|| Ok(first.at("/oauth2/token")), Target::parse)?;
        let watch = telling.watch()?;
        let database = match &config.database_url {
            Some(url) => Some(PostgresStore::connect(url, DATABASE_CONNECTIONS).await?),
            None => None,
        };
        let file = database.is_none().then(|| connect::database_file(&config.data_dir)).filter(|file| file.exists());
        let lifecycle = Lifecycle::new();
        let tokens = TokenSource::new(token_endpoint, &arguments.client_id, &arguments.client_secret);
        let authorization = tokens.start(&lifecycle).await?;
        let (loans, hot_loan) = (arguments.all_loans(arguments.loans), arguments.all_loans(1));
        if arguments.setup {
            setup::register(&targets, SETUP_CONNECTIONS, &loans, &authorization).await?;
        }
        let seed = arguments.seed;
        Ok(Self { targets, authorization, loans, hot_loan, watch, seed, database, file, lifecycle })
    }

    /// So many callers, spread over the apis.
    pub(super) fn callers(&self, count: u64) -> Vec<Caller> {
        let targets = self.targets.iter().cycle().zip(0..count);
        targets.map(|(target, _)| Caller::new(target.clone(), self.authorization.clone())).collect()
    }

    /// A meter of the servers' processes and their database.
    pub(super) fn meter(&self) -> Meter<'_> {
        Meter::new(&self.watch, self.database.as_ref())
    }

    /// Proves the books of the servers' database, where so many payments were posted.
    pub(super) async fn prove(&self, payments: u64) -> Result<Books, BenchError> {
        if let Some(database) = &self.database {
            return Books::prove(database, payments).await;
        }
        let Some(file) = &self.file else { return Ok(Books::NotLooked) };
        let store = SqliteStore::open(file, Clock::system()).await?;
        let books = Books::prove(&store, payments).await;
        store.close().await;
        books
    }

    /// The settings of the database server, where there is one.
    pub(super) async fn server(&self) -> Result<Option<Settings>, BenchError> {
        match &self.database {
            Some(database) => Ok(Some(Settings::default().and(database.server_settings().await?))),
            None => Ok(None),
        }
    }

    /// Lets everything go.
    pub(super) async fn close(self) {
        self.lifecycle.stop();
        if let Some(database) = self.database {
            database.close().await;
        }
    }
}
