//! Owns `hpts import`: a file of payments goes to a running API, is waited for, and is accounted for.
//!
//! ```text
//! file ── read once: format, SHA-256, rows ── sent (again, where it breaks off) ── waited for ── totals, result file
//! ```
//!
//! The upload's key is made from the file and how it is read, so the command can be run again at any time: it goes on
//! where it was cut, and once the upload is complete it tells the same as the first time.
//!
//! | exit code | when |
//! | --- | --- |
//! | 0 | every row is posted, or repeats under its key a payment that is |
//! | 3 | the totals add up, and some rows are not posted: rejected, mismatched, invalid, parked, held, or a repeat of one that is not |
//! | 1 | no end: the API refused the file or stayed away, or the totals do not add up |
//! | 2 | the command is not understood |

mod batch;
mod columns;
mod course;
mod duplicates;
mod feed;
mod file;
mod format;
mod records;
mod report;
mod results;
mod screen;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::cli::CliError;
use crate::cli::api_client::{ApiArgs, ApiClient, ClientError};
use crate::cli::import::columns::{ColumnsError, CsvArgs};
use crate::cli::import::course::Course;
use crate::cli::import::file::{Asked, ImportFile, hex};
use crate::cli::import::format::Format;
use crate::cli::import::records::RecordError;
use crate::cli::import::report::Report;
use crate::cli::import::results::{ResultFile, ResultsFormat};
use crate::cli::import::screen::Screen;
use crate::cli::import::upload::{Answered, Upload};
use crate::cli::serve::commands_log;
use crate::core::event::IdempotencyKey;
use crate::runtime::config::Config;

/// What is imported, how it is read, and where it goes.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// The file: NDJSON, CSV or NACHA, plain or compressed with gzip.
    file: PathBuf,
    /// Its format; told from its name or its first bytes where absent.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The feed that a NACHA file came through.
    #[arg(long, value_name = "NAME")]
    feed: Option<String>,
    #[command(flatten)]
    csv: CsvArgs,
    #[command(flatten)]
    api: ApiArgs,
    /// The upload's idempotency key; made from the file and how it is read where absent.
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    key: Option<IdempotencyKey>,
    /// How often in a row a call is tried again that found no API, a busy one, or a connection that broke.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    retries: u16,
    /// Where the results go; FILE.results.ndjson (or .csv) where absent.
    #[arg(long, value_name = "PATH")]
    results: Option<PathBuf>,
    /// How the results are written.
    #[arg(long, value_enum, default_value = "ndjson")]
    results_format: ResultsFormat,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Why an import did not end with every row posted.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The command contradicts itself or the file.
    #[error("{0}")]
    NotUnderstood(String),
    /// A file that cannot be read or written.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be read to its end when it was sent.
    #[error("{name}")]
    File {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// A record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The header.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// The API.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The task that read the file: our bug.
    #[error("the file could not be read")]
    Reader(#[from] tokio::task::JoinError),
    /// The books; what was found is printed.
    #[error("the control totals of batch {0} do not add up")]
    Contradiction(uuid::Uuid),
    /// All is told, and some of it is not posted.
    #[error("{told}; see {}", results.display())]
    NotPosted {
        /// Which.
        told: String,
        /// Where it stands why.
        results: PathBuf,
    },
}

impl ImportError {
    /// The process's exit code.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::NotUnderstood(_) => 2,
            Self::NotPosted { .. } => 3,
            Self::Io { .. }
            | Self::File { .. }
            | Self::Record(_)
            | Self::Columns(_)
            | Self::Client(_)
            | Self::Reader(_)
            | Self::Contradiction(_) => 1,
        }
    }

    /// Whether another try may go well.
    const fn is_passing(&self) -> bool {
        match self {
            Self::Client(error) => error.is_passing(),
            Self::NotUnderstood(_)
            | Self::Io { .. }
            | Self::File { .. }
            | Self::Record(_)
            | Self::Columns(_)
            | Self::Reader(_)
            | Self::Contradiction(_)
            | Self::NotPosted { .. } => false,
        }
    }

    /// How long the server wants to be left alone.
    const fn after(&self) -> Option<Duration> {
        if let Self::Client(error) = self { error.after() } else { None }
    }
}

/// Imports a file.
pub(super) async fn import(config: &Config, arguments: ImportArgs) -> Result<(), CliError> {
    commands_log(config)?;
    let screen = Screen::of_stderr();
    let course = Arc::new(Course::default());
    let work = Box::pin(run(config, &arguments, &screen, &course));
    let ended = screen.follow(&course, work).await;
    screen.clear();
    let report = ended?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    judged(report).map_err(CliError::from)
}

async fn run(
    config: &Config,
    arguments: &ImportArgs,
    screen: &Screen,
    course: &Arc<Course>,
) -> Result<Report, ImportError> {
    let begun = Instant::now();
    let client = ApiClient::new(&arguments.api, config)?;
    let file = survey(arguments, course).await?;
    check_feed(file.format, arguments.feed.as_deref())?;
    let key = arguments.key.clone().map_or_else(|| made_key(&file, arguments.feed.as_deref()), Ok)?;
    let results = ResultFile::create(&arguments.file, arguments.results.clone(), arguments.results_format).await?;
    if let Some(columns) = &file.columns {
        screen.say(&columns.describe());
        if !columns.have_keys() {
            screen
                .say("there is no column idempotency_key: keys are made from the file's SHA-256 and the row's number");
        }
    }
    // Who cannot get a token now has named the wrong API or the wrong client: no reason to try again.
    client.sign_in().await?;
    let retries = usize::from(arguments.retries);
    let upload =
        Upload { client: &client, file: &file, feed: arguments.feed.as_deref(), key: &key, retries, course, screen };
    let (batch, answered) = upload.run().await?;
    let posted = begun.elapsed();
    upload.results(&results, batch.batch_id, arguments.results_format).await?;
    let repeats_not_posted = match batch.duplicates {
        None | Some(0) => 0,
        Some(_) => upload.repeats_not_posted(&results, arguments.results_format).await?,
    };
    Ok(Report {
        file: file.name(),
        format: file.format,
        sha256: file.sha256.clone(),
        idempotency_key: key.as_str().to_owned(),
        replayed: answered == Answered::Again,
        posted,
        elapsed: begun.elapsed(),
        contradictions: batch.contradictions(),
        batch,
        repeats_not_posted,
        results: results.keep().await?,
    })
}

/// Reads the file once, beside the runtime's own threads.
async fn survey(arguments: &ImportArgs, course: &Arc<Course>) -> Result<ImportFile, ImportError> {
    let asked = Asked { path: arguments.file.clone(), format: arguments.format, csv: arguments.csv.clone() };
    let shared = Arc::clone(course);
    let file = tokio::task::spawn_blocking(move || ImportFile::survey(&asked, &shared)).await??;
    course.note(|stand| stand.rows_all = file.rows);
    Ok(file)
}

fn check_feed(format: Format, feed: Option<&str>) -> Result<(), ImportError> {
    match (format, feed) {
        (Format::Nacha, None) => Err(ImportError::NotUnderstood("a NACHA file needs --feed".to_owned())),
        (Format::Ndjson | Format::Csv, Some(_)) => {
            Err(ImportError::NotUnderstood("--feed is for NACHA files".to_owned()))
        }
        (Format::Nacha, Some(_)) | (Format::Ndjson | Format::Csv, None) => Ok(()),
    }
}

/// The key of a file that is read like this: the same file, read the same way, is the same upload.
fn made_key(file: &ImportFile, feed: Option<&str>) -> Result<IdempotencyKey, ImportError> {
    let reading = file.columns.as_ref().map(|columns| columns.describe()).unwrap_or_default();
    let parts = [file.format.as_str(), feed.unwrap_or_default(), &reading, &file.sha256];
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0]));
    IdempotencyKey::parse(&format!("import:{}", hex(&hash.finalize())))
        .map_err(|error| ImportError::NotUnderstood(error.to_string()))
}

/// What a printed report means for the exit code.
fn judged(report: Report) -> Result<(), ImportError> {
    if !report.contradictions.is_empty() {
        return Err(ImportError::Contradiction(report.batch.batch_id));
    }
    match report.batch.not_posted(report.repeats_not_posted) {
        None => Ok(()),
        Some(told) => Err(ImportError::NotPosted { told, results: report.results }),
    }
}

#[cfg(test)]
mod tests;
