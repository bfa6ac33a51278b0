//! Owns the running processes: `serve`, `api` and `worker` are put together here, started, and ended in order.
//!
//! Ending: SIGTERM (or SIGINT) turns readiness off and lets the API finish its requests, then the worker its batch,
//! then closes broker and store; a second signal, or the drain time, ends it at once.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::auth::{KeyError, OutsideIssuer, ensure_signing_key};
use crate::api::intake::{Intake, IntakeParts};
use crate::api::monitoring::{self, Liveness, Monitored};
use crate::api::waiting_room::WaitingRoom;
use crate::api::{ApiParts, ApiSettings, ApiState, LookupLimits, RoomLimits, TlsSettings, router, server};
use crate::broker::Broker;
use crate::cli::connect::{self, DataLock};
use crate::cli::{CliError, build, demo};
use crate::core::ids::PublisherId;
use crate::core::slot::PartitionMap;
use crate::runtime::clock::Clock;
use crate::runtime::config::{Config, Deployment, LogFormat, MetricsListen};
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::sealing::SealingKey;
use crate::runtime::spans::SpanExport;
use crate::runtime::telemetry::{self, Metrics};
use crate::store::Store;
use crate::worker::{Reconciler, WebhooksParts, Worker, WorkerParts, start_webhooks};

/// Commands log warnings only, for people, whatever servers do.
pub(super) fn commands_log(config: &Config) -> Result<(), CliError> {
    let filter = if config.log == "info" { "warn" } else { &config.log };
    telemetry::init_logs(filter, LogFormat::Pretty, None).map_err(CliError::from)
}

/// The key that seals signing keys, where one is configured.
pub(super) fn sealing_key(config: &Config) -> Result<Option<SealingKey>, CliError> {
    let Some(path) = &config.key_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(CliError::io(format!("cannot read {}", path.display())))?;
    SealingKey::parse(&text).map(Some).map_err(|error| CliError::Refused(error.to_string()))
}

/// What every process has: its stages of life, its store and its broker. Stages end in the order of the fields.
struct Process {
    requests: Lifecycle,
    work: Lifecycle,
    base: Lifecycle,
    spans: Option<SpanExport>,
    clock: Clock,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    map: PartitionMap,
    metrics: Metrics,
    _lock: Option<DataLock>,
}

/// `hpts serve`.
pub(super) async fn serve(config: &Config, with_demo: bool) -> Result<(), CliError> {
    if with_demo && !config.listen.ip().is_loopback() {
        return Err(CliError::Refused(
            "--demo has a secret that everybody knows: it only listens on loopback".to_owned(),
        ));
    }
    if with_demo && config.jwks_url.is_some() {
        return Err(CliError::Refused(
            "--demo has a client of the built-in token issuer: it does not go with HPTS_JWKS_URL".to_owned(),
        ));
    }
    let process = Process::start(config, "hpts serve", with_demo).await?;
    let worker = process.worker(config)?;
    let api = process.api(config).await?;
    process.monitor(config, Some(worker)).await?;
    if with_demo {
        println!("{}", demo::lines_to_try(&format!("{}://{api}", config.scheme())));
    }
    process.until_stopped(config).await
}

/// `hpts api`.
pub(super) async fn api(config: &Config) -> Result<(), CliError> {
    needs_servers(config, "api")?;
    let process = Process::start(config, "hpts api", false).await?;
    process.api(config).await?;
    process.monitor(config, None).await?;
    process.until_stopped(config).await
}

/// `hpts worker`.
pub(super) async fn worker(config: &Config) -> Result<(), CliError> {
    needs_servers(config, "worker")?;
    let process = Process::start(config, "hpts worker", false).await?;
    let worker = process.worker(config)?;
    process.monitor(config, Some(worker)).await?;
    process.until_stopped(config).await
}

fn needs_servers(config: &Config, what: &str) -> Result<(), CliError> {
    match config.deployment()? {
        Deployment::Distributed { .. } => Ok(()),
        Deployment::Embedded { .. } => Err(CliError::Refused(format!(
            "hpts {what} needs HPTS_DATABASE_URL and HPTS_AMQP_URL; without servers run `hpts serve`"
        ))),
    }
}

impl Process {
    async fn start(config: &Config, name: &str, with_demo: bool) -> Result<Self, CliError> {
        let (clock, base) = (Clock::system(), Lifecycle::new());
        let spans = config.otlp_endpoint.as_ref().map(|endpoint| SpanExport::start(endpoint, name, &base));
        let spans = spans.transpose().map_err(|error| CliError::Refused(telemetry::chain(&error)))?;
        telemetry::init_logs(&config.log, config.log_format, spans.as_ref())?;
        tracing::info!(process = name, "{} starts", build());
        let (lock, embedded) = match config.deployment()? {
            Deployment::Embedded { data_dir } => (Some(connect::lock(&data_dir)?), true),
            Deployment::Distributed { .. } => (None, false),
        };
        if embedded || with_demo {
            // An embedded store is ours alone while we hold its lock.
            connect::bring_up(config, &clock).await?;
        }
        let store = connect::current_store(config, &clock).await?;
        let map = store.partition_map().await?;
        let broker = connect::broker(config, name, &map, &base).await?;
        if embedded || with_demo {
            broker.declare(&map).await?;
        }
        if config.jwks_url.is_none() {
            ensure_signing_key(store.as_ref(), sealing_key(config)?.as_ref(), clock.now()).await?;
        }
        if with_demo {
            demo::load(&store, &base, &clock).await?;
        }
        // Before anything is counted that belongs to callers.
        let metrics = Metrics::install(&base)?;
        let (requests, work) = (Lifecycle::new(), Lifecycle::new());
        Ok(Self { requests, work, base, spans, clock, store, broker, map, metrics, _lock: lock })
    }

    /// Starts a worker, and the telling of webhooks beside it.
    fn worker(&self, config: &Config) -> Result<Worker, CliError> {
        let parts = WorkerParts {
            store: Arc::clone(&self.store),
            broker: Arc::clone(&self.broker),
            map: self.map.clone(),
            lanes: config.lanes,
            batch_max: usize::try_from(config.batch_max).unwrap_or(usize::MAX),
            clock: self.clock.clone(),
        };
        let webhooks = WebhooksParts {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            sealing_key: sealing_key(config)?.map(Arc::new),
            policy: config.webhook_policy(),
            patience: config.webhook_patience(),
        };
        start_webhooks(webhooks, &self.work).map_err(|error| CliError::Refused(telemetry::chain(&error)))?;
        let store = Arc::clone(&self.store);
        Reconciler::start(store, self.clock.clone(), config.reconcile_every(), &self.work);
        Ok(Worker::start(&parts, &self.work))
    }

    /// Starts the API; answers where it listens.
    async fn api(&self, config: &Config) -> Result<std::net::SocketAddr, CliError> {
        let publisher = PublisherId(uuid::Uuid::new_v4());
        let waiting_room = WaitingRoom::default();
        let replies = self.broker.replies(publisher).await?;
        waiting_room.run(&self.requests, Arc::clone(&self.store), replies);
        let parts = IntakeParts {
            store: Arc::clone(&self.store),
            broker: Arc::clone(&self.broker),
            map: self.map.clone(),
            publisher,
            clock: self.clock.clone(),
        };
        let intake = Intake::start(parts, &self.requests);
        let settings = ApiSettings {
            wait_default: std::time::Duration::from_millis(config.wait_ms),
            public_url: config.public_url.clone(),
            issuer: config.jwt_issuer.clone(),
            audience: config.jwt_audience.clone(),
            outside_issuer: config.jwks_url.clone().map(OutsideIssuer::at),
            rate_limit_per_second: config.rate_limit,
            webhook_policy: config.webhook_policy(),
            room: RoomLimits::default(),
            lookups: LookupLimits::default(),
            version: telemetry::VERSION.to_owned(),
            git_sha: telemetry::GIT_SHA.to_owned(),
        };
        let parts = ApiParts {
            store: Arc::clone(&self.store),
            intake,
            waiting_room,
            clock: self.clock.clone(),
            lifecycle: self.requests.clone(),
            publisher,
            broker: Arc::clone(&self.broker),
            settings,
            sealing_key: sealing_key(config)?.map(Arc::new),
        };
        let state = ApiState::new(parts).map_err(|error| CliError::Refused(telemetry::chain(&error)))?;
        let listener = listen(config.listen, "HPTS_LISTEN").await?;
        let address = listener.local_addr().map_err(CliError::io("cannot tell where the API listens"))?;
        let tls = tls(config)?;
        self.requests.spawn(server::serve(listener, router(state), self.requests.clone(), tls));
        tracing::info!(%address, "the API listens");
        Ok(address)
    }

    async fn monitor(&self, config: &Config, worker: Option<Worker>) -> Result<(), CliError> {
        let metrics = self.metrics.clone();
        let MetricsListen::On(address) = config.metrics_listen else { return Ok(()) };
        let listener = listen(address, "HPTS_METRICS_LISTEN").await?;
        let (store, broker) = (Arc::clone(&self.store), Arc::clone(&self.broker));
        let liveness = Liveness::new(move || worker.as_ref().is_none_or(Worker::is_live));
        let monitored = Monitored { metrics, liveness, store, broker, stopping: self.requests.clone() };
        self.base.spawn(server::serve(listener, monitoring::router(monitored), self.base.clone(), None));
        Ok(())
    }

    /// Waits for a signal, then ends the stages in order.
    async fn until_stopped(self, config: &Config) -> Result<(), CliError> {
        let no_signals = || CliError::io("cannot listen for signals");
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals())?;
        let broken = tokio::select! {
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
            () = self.requests.broken() => true,
            () = self.work.broken() => true,
        };
        tracing::info!("stopping: finishing what is held");
        let ended = tokio::select! {
            ended = tokio::time::timeout(config.drain(), self.end(config)) => ended.is_ok(),
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
        };
        if broken {
            Err(CliError::Refused("a task panicked; nothing accepted is lost".to_owned()))
        } else if ended {
            tracing::info!("stopped");
            Ok(())
        } else {
            Err(CliError::Refused("stopped before everything held was finished; nothing accepted is lost".to_owned()))
        }
    }

    async fn end(&self, config: &Config) {
        // A slow upload must not eat the worker's time: requests get half, what follows gets half of the rest.
        let mut share = config.drain();
        for stage in [&self.requests, &self.work] {
            share = half(share);
            stage.stop();
            stage.finished(share).await;
        }
        self.broker.close(half(share)).await;
        share = half(share);
        if let Some(spans) = self.spans.clone() {
            spans.finish(half(share)).await;
        }
        self.base.stop();
        self.base.finished(half(share)).await;
        self.store.close().await;
    }
}

fn half(time: std::time::Duration) -> std::time::Duration {
    time.checked_div(2).unwrap_or(time)
}

async fn listen(address: std::net::SocketAddr, setting: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(CliError::io(format!("cannot listen on {address} ({setting})")))
}

/// The listener's TLS; files that cannot be used stop the start.
fn tls(config: &Config) -> Result<Option<TlsSettings>, CliError> {
    let (Some(cert), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else { return Ok(None) };
    let settings = TlsSettings { cert, key, client_ca: config.tls_client_ca.clone() };
    settings.acceptor().map_err(|error| CliError::Refused(telemetry::chain(&error)))?;
    Ok(Some(settings))
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => Self::Store(error),
            KeyError::NotMade | KeyError::Sealing(_) | KeyError::Closed { .. } | KeyError::StandsOpen => {
                Self::Refused(telemetry::chain(&error))
            }
        }
    }
}
