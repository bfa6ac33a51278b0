//! Owns the monitoring listener: metrics, and the health of a process that may have no API.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use metrics::gauge;
use serde_json::json;

use crate::broker::Broker;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{BROKER_BLOCKED, BROKER_UP, CONFIRMS_PENDING, DATABASE_UP, GIT_SHA, Metrics, VERSION};
use crate::store::Store;

/// How long a dependency may take to answer before it counts as away.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Whether the process gets on with its work. The API floor does not know workers; whoever starts one says how to
/// ask it.
#[derive(Clone)]
pub struct Liveness(Arc<dyn Fn() -> bool + Send + Sync>);

impl Liveness {
    /// Asks by calling.
    #[must_use]
    pub fn new(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    fn is_live(&self) -> bool {
        (self.0)()
    }
}

impl std::fmt::Debug for Liveness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Liveness").field(&self.is_live()).finish()
    }
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Monitored {
    /// The process's metrics.
    pub metrics: Metrics,
    /// Whether it gets on.
    pub liveness: Liveness,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Its broker.
    pub broker: Arc<dyn Broker>,
    /// Whether it is stopping: then it is not ready.
    pub stopping: Lifecycle,
}

/// `/metrics`, `/health/live` and `/health/ready`.
pub fn router(monitored: Monitored) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(monitored)
}

/// Whether the database answers.
async fn is_database_up(monitored: &Monitored) -> bool {
    matches!(tokio::time::timeout(ANSWER_WITHIN, monitored.store.now()).await, Ok(Ok(_)))
}

async fn metrics(State(monitored): State<Monitored>) -> Response {
    let health = monitored.broker.health();
    let told = [
        (DATABASE_UP, is_database_up(&monitored).await),
        (BROKER_UP, health.connected),
        (BROKER_BLOCKED, health.blocked),
    ];
    for (name, is_so) in told {
        gauge!(name).set(f64::from(u8::from(is_so)));
    }
    gauge!(CONFIRMS_PENDING).set(f64::from(u32::try_from(health.confirms_pending).unwrap_or(u32::MAX)));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], monitored.metrics.render()).into_response()
}

async fn live(State(monitored): State<Monitored>) -> Response {
    let live = monitored.liveness.is_live();
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if live { "ok" } else { "stuck" };
    (status, Json(json!({ "status": word, "version": VERSION, "git_sha": GIT_SHA }))).into_response()
}

async fn ready(State(monitored): State<Monitored>) -> Response {
    let database = is_database_up(&monitored).await;
    let broker = monitored.broker.health().connected;
    let progress = monitored.liveness.is_live();
    let running = !monitored.stopping.is_stopping();
    let word = |good: bool| if good { "ok" } else { "failed" };
    let ready = database && broker && progress && running;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": word(ready), "database": word(database), "broker": word(broker), "progress": word(progress),
        "stopping": !running,
    });
    (status, Json(body)).into_response()
}
