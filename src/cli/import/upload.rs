//! Owns the way of a file to its end: sent, sent again under the same key where that did not work, and waited for.
//!
//! A try that breaks off costs nothing but time: the server finds by their keys the rows that it has, and goes on. It
//! holds an upload for whoever sends it, for 45 s after a connection that died unseen; until then another try is
//! answered 409 and waits.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::cli::api_client::{ApiClient, ClientError};
use crate::cli::import::ImportError;
use crate::cli::import::batch::Batch;
use crate::cli::import::course::{Course, Stage};
use crate::cli::import::duplicates;
use crate::cli::import::feed::{self, FeedFault};
use crate::cli::import::file::ImportFile;
use crate::cli::import::format::{Format, Packing};
use crate::cli::import::results::{ResultFile, ResultsFormat};
use crate::cli::import::screen::Screen;
use crate::core::event::IdempotencyKey;
use crate::runtime::telemetry::chain;

/// The first pause before another try; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause. Ten tries are more than a minute: longer than the server holds an upload for a lost connection.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A server that takes nothing for so long, while there is something to take, is gone. It waits itself for a database
/// that is away, for less.
const NOTHING_TAKEN_MAX: Duration = Duration::from_mins(2);
/// The same after the last byte: the rows of a NACHA file are accepted only then.
const NO_ANSWER_MAX: Duration = Duration::from_mins(15);
/// How often it is looked whether something was taken.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// How long the API holds a call that asks how far an upload is.
const WAIT_SECONDS: u64 = 1;

/// A file, and how it is sent.
pub(super) struct Upload<'a> {
    pub(super) client: &'a ApiClient,
    pub(super) file: &'a ImportFile,
    /// The feed of a NACHA file.
    pub(super) feed: Option<&'a str>,
    pub(super) key: &'a IdempotencyKey,
    pub(super) retries: usize,
    pub(super) course: &'a Arc<Course>,
    pub(super) screen: &'a Screen,
}

/// What an upload was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Its rows were taken.
    New,
    /// They were taken before, under the same key.
    Again,
}

#[derive(Deserialize)]
struct UploadAnswer {
    batch_id: uuid::Uuid,
}

impl Upload<'_> {
    /// Sends the file until it was taken, and waits until nothing of it is in flight.
    ///
    /// # Errors
    /// The API refuses it, or stays away for longer than the retries last.
    pub(super) async fn run(&self) -> Result<(Batch, Answered), ImportError> {
        let send = self.retried(|| self.attempt());
        let (batch_id, answered) = tokio::select! {
            taken = send => taken?,
            never = self.look_ahead() => match never {},
        };
        self.course.begin(Stage::Posting);
        loop {
            // A file is told with its exceptions.
            let resource = if self.file.format == Format::Nacha { "ach/files" } else { "batches" };
            let path = format!("/v1/{resource}/{batch_id}?wait={WAIT_SECONDS}");
            let batch = self.retried(async || Ok(batch_of(self.client.get(&path).await?)?)).await?;
            self.course.note(|stand| stand.batch = Some(batch.clone()));
            if batch.is_finished() {
                return Ok((batch, answered));
            }
        }
    }

    /// Fetches what became of each row.
    ///
    /// # Errors
    /// The API does not give it, or it cannot be written.
    pub(super) async fn results(
        &self,
        file: &ResultFile,
        batch_id: uuid::Uuid,
        format: ResultsFormat,
    ) -> Result<(), ImportError> {
        self.retried(|| file.fetch(self.client, batch_id, format, self.course)).await
    }

    /// How many rows repeat a payment that is not posted, of the results in `file`.
    ///
    /// # Errors
    /// The API does not say, or the results cannot be read.
    pub(super) async fn repeats_not_posted(
        &self,
        file: &ResultFile,
        format: ResultsFormat,
    ) -> Result<i64, ImportError> {
        let repeated = file.repeated(format).await?;
        self.retried(|| duplicates::not_posted(self.client, repeated.clone())).await
    }

    /// Does it again while what fails may pass.
    async fn retried<T>(&self, work: impl AsyncFn() -> Result<T, ImportError>) -> Result<T, ImportError> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .with_max_times(self.retries)
            .with_jitter();
        let work = || work();
        work.retry(pauses)
            .when(ImportError::is_passing)
            .adjust(|error: &ImportError, pause| pause.map(|pause| pause.max(error.after().unwrap_or_default())))
            .notify(|error: &ImportError, pause| {
                self.screen.say(&format!("{}; trying again in {}.{} s", chain(error), pause.as_secs(), tenth(pause)));
            })
            .await
    }

    async fn attempt(&self) -> Result<(uuid::Uuid, Answered), ImportError> {
        self.course.begin(Stage::Sending);
        let fault = FeedFault::default();
        let send = self.client.send(|http, base| {
            let path = match (self.file.format, self.feed) {
                (Format::Nacha, feed) => format!("/v1/ach/files?feed={}", percent(feed.unwrap_or_default())),
                (Format::Ndjson | Format::Csv, _) => "/v1/payments/batch".to_owned(),
            };
            let media_type = match self.file.format {
                Format::Nacha => "text/plain",
                Format::Ndjson | Format::Csv => "application/x-ndjson",
            };
            let mut request = http.post(format!("{base}{path}")).header(CONTENT_TYPE, media_type);
            if self.file.packing == Packing::Gzip && self.file.format != Format::Csv {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
            let body = feed::body(self.file, self.course, &fault)?;
            Ok::<_, ImportError>(request.header("idempotency-key", self.key.as_str()).body(body))
        });
        let answer = tokio::select! {
            answer = send => answer,
            () = self.silence() => Err(self.client.silent().into()),
        };
        if let Some(error) = fault.take() {
            return Err(ImportError::File { name: self.file.name(), source: error });
        }
        if let Err(ImportError::Client(ClientError::Broken { .. })) = &answer {
            // A server that no longer takes the token says so and hangs up; what it said may be lost on the way.
            self.client.forget_token();
        }
        let answer = answer?;
        let answered = if answer.status() == 202 { Answered::New } else { Answered::Again };
        let UploadAnswer { batch_id } =
            serde_json::from_value(self.client.json(answer).await?).map_err(ClientError::NotUnderstood)?;
        Ok((batch_id, answered))
    }

    /// Ends when the connection has taken nothing for too long.
    async fn silence(&self) {
        let (mut seen, mut since) = (self.course.look().pieces, Instant::now());
        loop {
            tokio::time::sleep(LOOKED_EVERY).await;
            let stand = self.course.look();
            if stand.pieces != seen {
                (seen, since) = (stand.pieces, Instant::now());
            }
            let most = if stand.is_sent { NO_ANSWER_MAX } else { NOTHING_TAKEN_MAX };
            if since.elapsed() > most {
                return;
            }
        }
    }

    /// Looks what is posted of an upload that is not answered yet: it is shown, and nothing rests on it.
    async fn look_ahead(&self) -> std::convert::Infallible {
        let path = format!("/v1/batches?idempotency_key={}", percent(self.key.as_str()));
        loop {
            tokio::time::sleep(LOOKED_EVERY).await;
            let Ok(found) = self.client.get(&path).await else { continue };
            let first = found.pointer("/items/0").cloned();
            if let Some(Ok(batch)) = first.map(batch_of) {
                self.look_at_file(batch.batch_id).await;
                self.course.note(|stand| stand.batch = Some(batch));
            }
        }
    }

    /// Asks how many entries an ACH file has: the API has read all of it before it takes the first.
    async fn look_at_file(&self, batch_id: uuid::Uuid) {
        let stand = self.course.look();
        if self.file.format != Format::Nacha || !stand.is_sent || stand.rows > 0 {
            return;
        }
        let Ok(file) = self.client.get(&format!("/v1/ach/files/{batch_id}")).await else { return };
        if let Some(entries) = file.pointer("/summary/entries").and_then(Value::as_u64) {
            self.course.note(|stand| (stand.rows, stand.rows_all) = (entries, Some(entries)));
        }
    }
}

fn batch_of(value: Value) -> Result<Batch, ClientError> {
    serde_json::from_value(value).map_err(ClientError::NotUnderstood)
}

fn tenth(pause: Duration) -> u32 {
    pause.subsec_millis().checked_div(100).unwrap_or(0)
}

/// A value as a query carries it.
fn percent(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
