//! Owns what is done to an endpoint: another secret, off and on, a ping, telling again.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::DateTime;

use super::SCOPES;
use super::create::new_secret;
use super::operate::{KeyedOperation, endpoint, operate};
use super::view::{EndpointView, ReplayRequest, StartedView};
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::write::request::WriteRequest;
use crate::core::time::Timestamp;
use crate::core::webhook::{WebhookOperation, WebhookType, message_id};
use crate::store::{Disabled, DisabledReason, EndpointRecord, WebhookEffect};

/// How long the secret before a rotation signs as well: long enough to bring the other one to every receiver.
const SECRETS_OVERLAP: Duration = Duration::from_hours(24);

/// A request without fields, and the endpoint it is about.
async fn asked(state: &ApiState, request: Request, id: &str) -> Result<(WriteRequest, EndpointRecord), ApiError> {
    let request = WriteRequest::read(state, request, SCOPES).await?;
    request.parsed(|_: &mut Fields<'_>| Some(()))?;
    let endpoint = endpoint(state, request.caller.tenant, id).await?;
    Ok((request, endpoint))
}

/// Makes another secret, which signs from now on. The one before signs beside it for 24 hours.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{id}/rotate-secret", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint"),
        ("Idempotency-Key" = String, Header, description = "One key per intended rotation, kept over retries")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 201, description = "Made, with the other secret", body = EndpointView),
        (status = 200, description = "The first answer to this key again, without the secret", body = EndpointView),
        (status = 404, description = "No such endpoint", body = ProblemDocument)))]
pub(crate) async fn rotate_secret(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (request, record) = asked(&state, request, &id).await?;
    let secret = new_secret(&state, record.id)?;
    let view = EndpointView::settings_of(&record);
    let operation = KeyedOperation {
        id: state.intake().next_id(),
        operation: WebhookOperation::RotateSecret { endpoint: record.id },
        effect: WebhookEffect::Rotate { endpoint: record.id, secret: secret.stored, overlap: SECRETS_OVERLAP },
        status: StatusCode::CREATED,
        first: view.clone().with_secret(secret.shown),
        again: view.without_secret(),
    };
    operate(&state, &request, operation).await
}

/// Sends nothing more, until it is enabled again. What happens meanwhile is told then.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{id}/disable", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint"),
        ("Idempotency-Key" = String, Header, description = "One key per intended change, kept over retries")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 201, description = "Disabled", body = EndpointView),
        (status = 200, description = "The first answer to this key again", body = EndpointView),
        (status = 404, description = "No such endpoint", body = ProblemDocument)))]
pub(crate) async fn disable(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (request, mut record) = asked(&state, request, &id).await?;
    record.disabled = Some(Disabled { at: state.now(), reason: DisabledReason::Requested });
    let view = EndpointView::settings_of(&record);
    let operation = KeyedOperation {
        id: state.intake().next_id(),
        operation: WebhookOperation::Disable { endpoint: record.id },
        effect: WebhookEffect::Disable { endpoint: record.id },
        status: StatusCode::CREATED,
        first: view.clone(),
        again: view,
    };
    operate(&state, &request, operation).await
}

/// Sends again, from where it stopped; deliveries that failed are tried when their time has come.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{id}/enable", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint"),
        ("Idempotency-Key" = String, Header, description = "One key per intended change, kept over retries")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 201, description = "Enabled", body = EndpointView),
        (status = 200, description = "The first answer to this key again", body = EndpointView),
        (status = 404, description = "No such endpoint", body = ProblemDocument)))]
pub(crate) async fn enable(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (request, mut record) = asked(&state, request, &id).await?;
    record.disabled = None;
    let view = EndpointView::settings_of(&record);
    let operation = KeyedOperation {
        id: state.intake().next_id(),
        operation: WebhookOperation::Enable { endpoint: record.id },
        effect: WebhookEffect::Enable { endpoint: record.id },
        status: StatusCode::CREATED,
        first: view.clone(),
        again: view,
    };
    operate(&state, &request, operation).await
}

/// Sends a ping, soon; `GET …/deliveries` says what became of it.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{id}/test", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint"),
        ("Idempotency-Key" = String, Header, description = "One key per intended ping, kept over retries")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 202, description = "On its way", body = StartedView),
        (status = 200, description = "The first answer to this key again", body = StartedView),
        (status = 404, description = "No such endpoint", body = ProblemDocument),
        (status = 422, description = "It is disabled", body = ProblemDocument)))]
pub(crate) async fn test(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (request, record) = asked(&state, request, &id).await?;
    // A repeat gets its first answer, whatever became of the endpoint since.
    let is_repeat = async || state.store().event_of_key(record.tenant, request.key.as_str()).await;
    if record.disabled.is_some() && is_repeat().await?.is_none() {
        let error = FieldError::new("", "disabled", "the endpoint is disabled: enable it first");
        return Err(ApiError::Validation(vec![error]));
    }
    let ping = state.intake().next_id();
    let view = StartedView {
        webhook_endpoint_id: record.id,
        webhook_id: Some(message_id(record.id, ping, WebhookType::Ping)),
        since: None,
    };
    let operation = KeyedOperation {
        id: ping,
        operation: WebhookOperation::Test { endpoint: record.id },
        effect: WebhookEffect::Ping { endpoint: record.id },
        status: StatusCode::ACCEPTED,
        first: view.clone(),
        again: view,
    };
    operate(&state, &request, operation).await
}

/// Tells again what was finished since an instant, under the same message ids. Whoever dedupes by them misses nothing
/// and counts nothing twice.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{id}/replay", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint"),
        ("Idempotency-Key" = String, Header, description = "One key per intended replay, kept over retries")),
    request_body = ReplayRequest,
    responses((status = 202, description = "On its way", body = StartedView),
        (status = 200, description = "The first answer to this key again", body = StartedView),
        (status = 404, description = "No such endpoint", body = ProblemDocument)))]
pub(crate) async fn replay(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, SCOPES).await?;
    let since = request.parsed(|fields| fields.required("since", instant))?;
    let record = endpoint(&state, request.caller.tenant, &id).await?;
    let to = state.store().place_before(record.tenant, since).await?;
    let view = StartedView { webhook_endpoint_id: record.id, webhook_id: None, since: Some(since.to_string()) };
    let operation = KeyedOperation {
        id: state.intake().next_id(),
        operation: WebhookOperation::Replay { endpoint: record.id, since },
        effect: WebhookEffect::Rewind { endpoint: record.id, to },
        status: StatusCode::ACCEPTED,
        first: view.clone(),
        again: view,
    };
    operate(&state, &request, operation).await
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| "must be an instant as in RFC 3339")?;
    Ok(Timestamp::new(instant.to_utc()))
}
