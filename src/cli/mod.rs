//! Floor 2: the command line. Owns what operators type, and puts processes together from stores, brokers, API and
//! worker.
//!
//! Exit codes: 0 done, 1 failed (one line on stderr says why), 2 not understood. `verify` exits 1 when the books have
//! a problem, `bench` exits 3 when a run is not good, `import` exits 3 when a row was not posted.

#![expect(clippy::print_stdout, reason = "a command line answers on stdout")]

mod admin;
mod api_client;
mod bank;
pub mod bench;
mod chart;
mod connect;
mod demo;
mod error;
mod feed;
mod hold;
mod import;
mod keys;
mod migrate;
mod operation;
mod parked;
mod period;
mod serve;
mod token;
mod verify;

use clap::{CommandFactory, Parser, Subcommand};
use uuid::Uuid;

use crate::core::ids::TenantId;
use crate::core::money::Minor;
use crate::runtime::config::Config;
use crate::runtime::telemetry::{GIT_SHA, VERSION};

pub use api_client::ClientError;
pub use error::CliError;
pub use import::ImportError;

/// HPTS: a high-performance ledger that posts loan payments.
#[derive(Debug, Parser)]
#[command(name = "hpts", version = VERSION, about, long_about = None, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run API and workers in one process; embedded unless a database and a broker are named.
    Serve {
        /// Load the demo tenant, client, loan and feed first, and print lines to try.
        #[arg(long)]
        demo: bool,
    },
    /// Run an API process.
    Api,
    /// Run a worker process.
    Worker,
    /// Bring database schema and broker topology to this release.
    Migrate {
        /// Change nothing; fail when something would change.
        #[arg(long)]
        check: bool,
    },
    /// Load the demo tenant, client `demo` / `demo-secret`, loan and feed.
    Demo,
    /// Tenants.
    #[command(subcommand)]
    Tenant(admin::TenantCommand),
    /// API clients.
    #[command(subcommand)]
    Client(admin::ClientCommand),
    /// Accounting periods.
    #[command(subcommand)]
    Period(period::PeriodCommand),
    /// Make a loan stand still.
    Hold(hold::HoldArgs),
    /// Let a loan go on, in order.
    Release(hold::LoanArgs),
    /// Events that could not be posted, and loans on hold.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
    /// Feeds, which ACH files come through.
    #[command(subcommand)]
    Feed(feed::FeedCommand),
    /// The keys that sign our own tokens.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Statements of bank accounts.
    #[command(subcommand)]
    Bank(bank::BankCommand),
    /// Get a token from a running API.
    Token(token::TokenArgs),
    /// Send a file of payments to a running API, wait for its end, and tell what became of it.
    Import(Box<import::ImportArgs>),
    /// Prove the books.
    Verify {
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the effective configuration, secrets hidden.
    Config {
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Measure a running system, and what to compare it with.
    #[command(subcommand)]
    Bench(Box<bench::BenchCommand>),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`CliError`], whose display is the one line for the operator.
    pub async fn run(self) -> Result<(), CliError> {
        let Self { command, config } = self;
        // A measurement may name a database without a broker.
        if !matches!(command, Command::Bench(_)) {
            config.check()?;
        }
        match command {
            Command::Serve { demo } => serve::serve(&config, demo).await,
            Command::Api => serve::api(&config).await,
            Command::Worker => serve::worker(&config).await,
            Command::Migrate { check } => migrate::migrate(&config, check).await,
            Command::Demo => demo::demo(&config).await,
            Command::Tenant(command) => admin::tenant(&config, command).await,
            Command::Client(command) => admin::client(&config, command).await,
            Command::Period(command) => period::period(&config, command).await,
            Command::Hold(arguments) => hold::hold(&config, arguments).await,
            Command::Release(arguments) => hold::release(&config, arguments).await,
            Command::Parked(command) => parked::parked(&config, command).await,
            Command::Feed(command) => feed::feed(&config, command).await,
            Command::Keys(command) => keys::keys(&config, command).await,
            Command::Bank(command) => bank::bank(&config, command).await,
            Command::Token(arguments) => token::token(&config, arguments).await,
            Command::Import(arguments) => import::import(&config, *arguments).await,
            Command::Verify { json } => verify::verify(&config, json).await,
            Command::Config { json } => show_config(&config, json),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "hpts", &mut std::io::stdout());
                Ok(())
            }
            Command::Bench(command) => bench::run(*command, &config).await.map_err(CliError::from),
        }
    }
}

fn show_config(config: &Config, json: bool) -> Result<(), CliError> {
    if json {
        println!("{}", serde_json::to_string_pretty(&config.settings())?);
    } else {
        print!("{}", config.show());
    }
    Ok(())
}

/// The version line of the start-up log.
fn build() -> String {
    format!("hpts {VERSION} ({GIT_SHA})")
}

/// A new id for something an operator makes: time-ordered like all of ours.
fn new_id(clock: &crate::runtime::clock::Clock) -> Uuid {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    crate::core::ids::IdMaker::new(random).next(clock.now())
}

/// A tenant's id, as an argument.
fn parse_tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).map_err(|error| error.to_string())
}

/// Minor units, as an argument.
fn parse_minor(text: &str) -> Result<Minor, String> {
    Minor::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
