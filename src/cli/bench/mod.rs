//! Owns `hpts bench`: load against running servers, as an outside client would bring it, and what to compare it with.
//!
//! The generator knows the HTTP contract and nothing of our insides. It speaks to loopback addresses only, so that a
//! slip of the hand never loads somebody else's system. What it is compared with works below HTTP, in databases of its
//! own: `limit`, the raw limit of the database, and `naive`, the usual worker.
//!
//! A measurement whose books are not in order afterwards does not count, however fast it was.

#![expect(clippy::print_stdout, reason = "a measurement answers on stdout")]

mod all;
mod answer;
mod batch;
mod books;
mod caller;
mod figures;
mod growth;
mod latency;
mod limit;
mod link;
mod load;
mod loans;
mod machine;
mod make_nacha;
mod meter;
mod mixed;
mod naive;
mod peaks;
mod plot;
mod pollers;
mod processes;
mod raw;
mod report;
mod series;
mod session;
mod setup;
mod single;
mod stream;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod token;
mod upload;

use chrono::NaiveDate;
use clap::Subcommand;

use crate::core::ach::WriteError;
use crate::runtime::config::Config;
use crate::store::StoreError;
use crate::store::postgres::bench::BenchDatabaseError;

pub use all::BenchAll;
pub use batch::{BenchBatch, BenchHotLoan};
pub use growth::BenchGrowth;
pub use limit::BenchLimit;
pub use link::LinkError;
pub use make_nacha::BenchMakeNacha;
pub use mixed::BenchMixed;
pub use naive::BenchNaive;
pub use pollers::BenchPollers;
pub use single::BenchSingle;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Single payments, each waiting for its result.
    Single(BenchSingle),
    /// Batches of payments, until all are posted.
    Batch(BenchBatch),
    /// The same with all payments on one loan.
    HotLoan(BenchHotLoan),
    /// The raw limit of the database.
    Limit(BenchLimit),
    /// The usual worker: a transaction for each payment.
    Naive(BenchNaive),
    /// Single payments while batches are being posted.
    Mixed(BenchMixed),
    /// Batches with callers beside them who ask all the time.
    Pollers(BenchPollers),
    /// Batches before and after millions of postings are stored.
    Growth(BenchGrowth),
    /// Every case in turn, in one table.
    All(BenchAll),
    /// Make an ACH file, and the loans it names.
    MakeNacha(BenchMakeNacha),
}

/// Measures and prints the report.
///
/// # Errors
/// See [`BenchError`]; [`BenchError::NotGood`] and [`BenchError::Books`] after the report was printed.
pub async fn run(command: BenchCommand, config: &Config) -> Result<(), BenchError> {
    match command {
        BenchCommand::Single(arguments) => single::run(arguments).await,
        BenchCommand::Batch(arguments) => batch::run(arguments, config).await,
        BenchCommand::HotLoan(arguments) => batch::run_hot(arguments, config).await,
        BenchCommand::Limit(arguments) => limit::run(arguments, config).await,
        BenchCommand::Naive(arguments) => naive::run(arguments, config).await,
        BenchCommand::Mixed(arguments) => mixed::run(arguments, config).await,
        BenchCommand::Pollers(arguments) => pollers::run(arguments, config).await,
        BenchCommand::Growth(arguments) => growth::run(arguments, config).await,
        BenchCommand::All(arguments) => all::run(arguments, config).await,
        BenchCommand::MakeNacha(arguments) => make_nacha::run(arguments).await,
    }
}

/// The database that was named, with the rights to make others beside it. No broker has to be named with it.
fn database_url(config: &Config) -> Result<&str, BenchError> {
    config.migrate_database_url.as_deref().or(config.database_url.as_deref()).ok_or(BenchError::NoDatabase)
}

/// The day loans open, where nobody names another.
fn usual_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2020, 1, 2).unwrap_or_default()
}

/// Why there is no good measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An address we do not load.
    #[error("{url}: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that cannot be sent in a header.
    #[error("{0} cannot be sent in a header")]
    Header(&'static str),
    /// The connection failed where one failure is enough.
    #[error("no answer from {address}")]
    Link {
        /// Whose.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// The token endpoint refused us.
    #[error("no token: {status} {answer}")]
    Token {
        /// Its status.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// A loan was not registered.
    #[error("loan {index} was not registered: {status} {answer}")]
    Setup {
        /// Its number.
        index: u64,
        /// The status.
        status: u16,
        /// What the answer said.
        answer: String,
    },
    /// A process that was to be watched.
    #[error("process {name} ({pid}) cannot be read")]
    Process {
        /// As it was given.
        name: String,
        /// As it was given.
        pid: u32,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A task of the generator died: our bug.
    #[error("the generator failed")]
    Generator(#[from] tokio::task::JoinError),
    /// The histogram refused a value or a merge: our bug.
    #[error("a latency was not recorded")]
    Histogram,
    /// Rows that should have been written were not: our bug.
    #[error("the rows were not written: {0}")]
    Rows(String),
    /// A database is needed and none was named.
    #[error("name the database: --database-url or HPTS_DATABASE_URL")]
    NoDatabase,
    /// A database for the measurement.
    #[error(transparent)]
    Database(#[from] BenchDatabaseError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An answer that the contract does not know.
    #[error("{what} was answered {answer}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// Status and body.
        answer: String,
    },
    /// The picture of a run.
    #[error("the run cannot be drawn: {0}")]
    Plot(String),
    /// A file.
    #[error("cannot write {path}")]
    File {
        /// As it was given.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An ACH file: our bug.
    #[error("the file cannot be made")]
    Nacha(#[from] WriteError),
    /// The report as JSON.
    #[error("the report cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The run ended and was printed, but the books are not in order.
    #[error("the run is not good: the books are not in order")]
    Books,
    /// The run ended and was printed, but not everything was as it should be.
    #[error("the run is not good: not every answer was as it should be")]
    NotGood,
}

impl BenchError {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotGood | Self::Books => 3,
            Self::Url { .. } | Self::NoDatabase => 2,
            Self::Header(_)
            | Self::Link { .. }
            | Self::Token { .. }
            | Self::Setup { .. }
            | Self::Process { .. }
            | Self::Generator(_)
            | Self::Rows(_)
            | Self::Database(_)
            | Self::Store(_)
            | Self::Answer { .. }
            | Self::Plot(_)
            | Self::Nacha(_)
            | Self::File { .. }
            | Self::Json(_)
            | Self::Histogram => 1,
        }
    }
}
