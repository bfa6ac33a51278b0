//! Owns logs and metrics: the names, the recorder and the output format.
//!
//! Metric names are constants here; labels have few values and never an id. Logs go to stderr.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::runtime::config::LogFormat;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::spans::{self, SpanExport};

/// Events taken by the intake, by `kind`.
pub const EVENTS_ACCEPTED: &str = "hpts_events_accepted_total";
/// Events finished by the workers, by `kind` and `outcome`.
pub const EVENTS_POSTED: &str = "hpts_events_posted_total";
/// From the request's arrival at the intake to its commit.
pub const ACCEPT_SECONDS: &str = "hpts_accept_seconds";
/// From acceptance to posting, by the database's clock.
pub const POST_SECONDS: &str = "hpts_post_seconds";
/// Events per posting transaction.
pub const BATCH_EVENTS: &str = "hpts_batch_events";
/// Time of a posting transaction by `phase`.
pub const BATCH_SECONDS: &str = "hpts_batch_seconds";
/// Age of the oldest event that waits to be posted.
pub const OLDEST_UNPOSTED_AGE: &str = "hpts_oldest_unposted_age_seconds";
/// Events that wait to be posted; counted up to a million.
pub const UNPOSTED_EVENTS: &str = "hpts_unposted_events";
/// Messages ready in a partition's queues, by `partition`; not a number where the broker does not say.
pub const PARTITION_READY: &str = "hpts_partition_ready";
/// Unposted events, as far as they are counted, divided by the recent posting rate.
pub const SECONDS_TO_DRAIN: &str = "hpts_seconds_to_drain";
/// Messages the broker handed out again.
pub const REDELIVERIES: &str = "hpts_redeliveries_total";
/// Messages that could not be acted on, by `reason`.
pub const BAD_MESSAGES: &str = "hpts_amqp_bad_message_total";
/// Messages in the dead-letter queue.
pub const DEAD_LETTERS: &str = "hpts_dead_letters";
/// Events parked for a person.
pub const PARKED_EVENTS: &str = "hpts_parked_events";
/// Events that wait because their loan is on hold; counted up to a million.
pub const HELD_EVENTS: &str = "hpts_held_events";
/// Published messages without a confirm yet.
pub const CONFIRMS_PENDING: &str = "hpts_confirms_pending";
/// 1 while the database answers this process, 0 while it does not.
pub const DATABASE_UP: &str = "hpts_database_up";
/// 1 while both connections to the broker are up, 0 while one is not.
pub const BROKER_UP: &str = "hpts_broker_up";
/// 1 while the broker blocks publishing.
pub const BROKER_BLOCKED: &str = "hpts_broker_blocked";
/// Hints published again by the sweeper.
pub const SWEEPER_REPUBLISHED: &str = "hpts_sweeper_republished_total";
/// Requests answered, by `route` and `status`.
pub const HTTP_REQUESTS: &str = "hpts_http_requests_total";
/// Age of the oldest change that is committed and not shown to pollers yet.
pub const CHANGES_DELAY: &str = "hpts_changes_delay_seconds";
/// Attempts to deliver a webhook, by `outcome`.
pub const WEBHOOK_DELIVERIES: &str = "hpts_webhook_deliveries_total";
/// Accepted events that are nowhere, over all tenants; must be 0.
pub const CONSERVATION_DIFFERENCE: &str = "hpts_conservation_difference";
/// Books whose sums disagreed in the last scheduled run.
pub const RECONCILIATION_MISMATCHES: &str = "hpts_reconciliation_mismatches";
/// Bank accounts that held something else than the ledger, or had an open line, in the last scheduled run.
pub const BANKS_UNRECONCILED: &str = "hpts_bank_accounts_unreconciled";
/// Lines of bank statements that waited for a person in the last scheduled run.
pub const BANK_OPEN_LINES: &str = "hpts_bank_open_lines";
/// Loans that do not hold what their postings say, at the last look at all of them.
pub const LOAN_FAULTS: &str = "hpts_loan_faults";
/// Waiting for a database connection from the pool.
pub const DB_POOL_WAIT: &str = "hpts_db_pool_wait_seconds";
/// Always 1, with `version` and `git_sha`.
pub const BUILD_INFO: &str = "hpts_build_info";

/// Every `outcome` of a webhook's delivery.
pub const DELIVERY_OUTCOMES: [&str; 4] = ["delivered", "failed", "blocked", "gone"];
/// Every `reason` of a message that could not be acted on.
pub const BAD_MESSAGE_REASONS: [&str; 7] =
    ["unknown_event", "misnamed", "wrong_partition", "malformed", "too_large", "future_version", "too_many_events"];

/// Upper bounds of the time histograms, in seconds.
const TIME_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of the batch size histogram, in events.
const SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0, 2000.0];
/// How often the recorder drains its histogram samples, so that they cannot pile up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit of this build, where the build was told (`HPTS_GIT_SHA` at compile time).
pub const GIT_SHA: &str = match option_env!("HPTS_GIT_SHA") {
    Some(sha) => sha,
    None => "unknown",
};

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter does not parse.
    #[error("HPTS_LOG is not a log filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Another recorder is installed.
    #[error("metrics cannot be recorded")]
    Recorder(#[source] metrics_exporter_prometheus::BuildError),
}

/// Sends logs to stderr, and spans on where they leave the process. Only the first call of a process has an effect.
///
/// # Errors
/// [`TelemetryError::Filter`] for an unreadable filter.
pub fn init_logs(filter: &str, format: LogFormat, spans: Option<&SpanExport>) -> Result<(), TelemetryError> {
    // lapin logs every message that comes back, payload and all; the broker says what matters itself. Logs do not show
    // the spans that leave the process: without an export that switches them off altogether.
    let filter = format!("lapin=error,{}=off,{filter}", spans::TARGET);
    let filter = EnvFilter::builder().parse(filter).map_err(TelemetryError::Filter)?;
    let registry = tracing_subscriber::registry();
    // A subscriber that is set already (tests) stays.
    let _already_set = match spans {
        None => registry.with(filter).with(lines(format)).try_init().is_err(),
        Some(spans) => registry.with(spans.layer()).with(lines(format).with_filter(filter)).try_init().is_err(),
    };
    Ok(())
}

/// Log lines on stderr.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Pretty => layer.with_target(false).boxed(),
    }
}

/// The process's metrics, readable as Prometheus text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

static METRICS: OnceLock<Metrics> = OnceLock::new();

impl Metrics {
    /// Installs the recorder, once per process, with an upkeep task on `lifecycle`.
    ///
    /// # Errors
    /// [`TelemetryError::Recorder`] if another recorder is installed.
    pub fn install(lifecycle: &Lifecycle) -> Result<Self, TelemetryError> {
        if let Some(installed) = METRICS.get() {
            return Ok(installed.clone());
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &TIME_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(BATCH_EVENTS.to_owned()), &SIZE_BUCKETS))
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(TelemetryError::Recorder)?;
        let upkeep = handle.clone();
        let stopping = lifecycle.token();
        lifecycle.spawn(async move {
            while stopping.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_some() {
                upkeep.run_upkeep();
            }
        });
        metrics::gauge!(BUILD_INFO, "version" => VERSION, "git_sha" => GIT_SHA).set(1.0);
        begin_at_zero();
        Ok(METRICS.get_or_init(|| Self(handle)).clone())
    }

    /// Everything recorded, as Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// The counters that alerts look at begin at 0: a series that comes with its first count has risen nowhere.
fn begin_at_zero() {
    metrics::counter!(SWEEPER_REPUBLISHED).increment(0);
    for outcome in DELIVERY_OUTCOMES {
        metrics::counter!(WEBHOOK_DELIVERIES, "outcome" => outcome).increment(0);
    }
    for reason in BAD_MESSAGE_REASONS {
        metrics::counter!(BAD_MESSAGES, "reason" => reason).increment(0);
    }
}

/// An error with its chain of causes, for the one place that logs it.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
