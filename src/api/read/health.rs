//! Owns `GET /v1/health/live` and `GET /v1/health/ready`. Neither needs a token.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::api::auth::IssuerCheck;
use crate::api::error::ApiError;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::ProblemCode;
use crate::api::state::ApiState;
use crate::core::time::Timestamp;
use crate::store::Counts;

/// How long the database may take to answer.
const DATABASE_ANSWERS_IN: Duration = Duration::from_secs(2);
/// Workers that have work and finish none for this long do not make progress.
const PROGRESS_WITHIN: Duration = Duration::from_mins(1);
/// Probes inside this time share one look.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    #[schema(example = "0.1.0")]
    version: String,
    git_sha: String,
}

/// Each dependency and how it is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Checks {
    /// `ok` or `unavailable`.
    #[schema(value_type = String, example = "ok")]
    database: &'static str,
    /// `ok`, `unavailable` or `blocked`.
    #[schema(value_type = String, example = "ok")]
    broker: &'static str,
    /// `ok` or `stalled`.
    #[schema(value_type = String, example = "ok")]
    workers: &'static str,
    /// `ok` or `stopping`.
    #[schema(value_type = String, example = "ok")]
    process: &'static str,
    /// `ok`, `stale` (its last good keys serve) or `unavailable`; absent where we issue the tokens.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issuer: Option<&'static str>,
}

/// Everything the process needs is there.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    checks: Checks,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/v1/health/live", tag = "health",
    responses((status = 200, description = "It lives", body = Live)))]
pub(crate) async fn live(State(state): State<ApiState>) -> Json<Live> {
    let settings = state.settings();
    Json(Live { status: "ok", version: settings.version.clone(), git_sha: settings.git_sha.clone() })
}

/// Whether the process can do its work.
#[utoipa::path(get, path = "/v1/health/ready", tag = "health",
    responses((status = 200, description = "It can", body = Ready),
        (status = 503, description = "A dependency fails", body = ProblemDocument)))]
pub(crate) async fn ready(State(state): State<ApiState>) -> Result<Json<Ready>, ApiError> {
    let now = state.now();
    let seen = match state.readiness().recent(now) {
        Some(checks) => checks,
        None => look(&state, now).await,
    };
    let process = if state.lifecycle().is_stopping() { "stopping" } else { "ok" };
    let token_issuer = state.auth().outside().map(IssuerCheck::as_str);
    let checks = Checks { process, token_issuer, ..seen };
    match checks.failing() {
        None => Ok(Json(Ready { status: "ok", checks })),
        Some(code) => Err(ApiError::NotReady { code, checks: json!(checks) }),
    }
}

async fn look(state: &ApiState, now: Timestamp) -> Checks {
    let counts = tokio::time::timeout(DATABASE_ANSWERS_IN, state.store().counts()).await;
    let counts = counts.ok().and_then(Result::ok);
    let health = state.broker().health();
    let broker = match (health.connected, health.blocked) {
        (true, false) => "ok",
        (true, true) => "blocked",
        (false, _) => "unavailable",
    };
    let database = if counts.is_some() { "ok" } else { "unavailable" };
    let workers = state.readiness().judge(counts.as_ref(), now);
    let checks = Checks { database, broker, workers, process: "ok", token_issuer: None };
    state.readiness().remember(checks, now);
    checks
}

impl Checks {
    /// The problem of the first dependency that fails.
    fn failing(&self) -> Option<ProblemCode> {
        if self.database != "ok" {
            Some(ProblemCode::DatabaseUnavailable)
        } else if self.broker != "ok" {
            Some(ProblemCode::BrokerUnavailable)
        } else if self.workers != "ok" || self.process != "ok" || self.token_issuer == Some("unavailable") {
            Some(ProblemCode::Overloaded)
        } else {
            None
        }
    }
}

/// What the last probe saw, and since when the oldest unposted event is the oldest.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    checks: Option<(Checks, Timestamp)>,
    oldest: Option<Oldest>,
}

/// The oldest unposted event, by the time it was accepted.
#[derive(Clone, Copy, Debug)]
struct Oldest {
    accepted: i64,
    first_seen: Timestamp,
}

impl Readiness {
    fn recent(&self, now: Timestamp) -> Option<Checks> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.checks.filter(|(_, at)| elapsed(*at, now) < LOOK_AT_MOST_EVERY).map(|(checks, _)| checks)
    }

    fn remember(&self, checks: Checks, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checks = Some((checks, now));
    }

    /// Judges the workers by progress, not by age: a long backlog that shrinks is healthy, one whose oldest event
    /// stays the oldest is not.
    fn judge(&self, counts: Option<&Counts>, now: Timestamp) -> &'static str {
        let Some(counts) = counts else { return "ok" };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.unposted == 0 {
            seen.oldest = None;
            return "ok";
        }
        let age = i64::try_from(counts.oldest_unposted.as_micros()).unwrap_or(i64::MAX);
        let accepted = now.micros().saturating_sub(age);
        let oldest = match seen.oldest {
            // The age is measured on two clocks; a second either way is the same event.
            Some(oldest) if accepted.abs_diff(oldest.accepted) < 1_000_000 => oldest,
            Some(_) | None => Oldest { accepted, first_seen: now },
        };
        seen.oldest = Some(oldest);
        if elapsed(oldest.first_seen, now) >= PROGRESS_WITHIN { "stalled" } else { "ok" }
    }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.micros().saturating_sub(since.micros())).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_stalled_only_when_its_oldest_event_stays() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let aged =
            |seconds: u64| Counts { unposted: 5, oldest_unposted: Duration::from_secs(seconds), ..Counts::default() };
        let readiness = Readiness::default();
        assert_eq!(readiness.judge(Some(&aged(300)), at(1000)), "ok");
        assert_eq!(readiness.judge(Some(&aged(310)), at(1030)), "ok", "an older age, but a later event");
        assert_eq!(readiness.judge(Some(&aged(340)), at(1060)), "ok", "the same event for 30 seconds");
        assert_eq!(readiness.judge(Some(&aged(370)), at(1090)), "stalled");
        assert_eq!(readiness.judge(Some(&Counts::default()), at(1091)), "ok");
    }
}
