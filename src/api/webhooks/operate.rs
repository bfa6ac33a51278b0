//! Owns the way of a keyed operation on an endpoint: one transaction does it and keeps its answer for repeats.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::Response;
use serde::Serialize;

use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::http::headers::IDEMPOTENT_REPLAYED;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::write::request::WriteRequest;
use crate::core::event::{Decision, NewEvent, Upload, UploadOperation, decide};
use crate::core::ids::{EventId, TenantId, WebhookEndpointId};
use crate::core::webhook::WebhookOperation;
use crate::store::{EndpointRecord, EndpointRef, KnownEvent, NewOperation, Operated, Refusal, WebhookEffect};

/// The most endpoints of a tenant: each has turns and a place of its own. Disabled ones count, since they can be
/// enabled again.
pub(super) const ENDPOINTS_MAX: i64 = 1000;

/// An operation and its answers.
pub(super) struct KeyedOperation<V> {
    /// The id of its event.
    pub(super) id: EventId,
    pub(super) operation: WebhookOperation,
    pub(super) effect: WebhookEffect,
    pub(super) status: StatusCode,
    /// What its caller is answered.
    pub(super) first: V,
    /// What a repeat is answered.
    pub(super) again: V,
}

/// Does an operation, or answers it again.
pub(super) async fn operate<V: Serialize>(
    state: &ApiState,
    request: &WriteRequest,
    asked: KeyedOperation<V>,
) -> Result<Response, ApiError> {
    let now = state.now();
    let tenant = state.tenants().get(state.store(), request.caller.tenant, now).await?;
    let upload = Upload {
        operation: UploadOperation::Webhook(asked.operation),
        currency: tenant.base_currency,
        received_on: tenant.business_date(now),
    };
    let (of, actor, key) = (request.caller.tenant, request.caller.client_id.clone(), request.key.clone());
    let event = NewEvent::of_upload(asked.id, of, key, upload, state.publisher(), actor);
    let operation = NewOperation { event: event.clone(), effect: asked.effect, answer: json(&asked.again)? };
    match state.store().operate_webhook(operation).await? {
        Operated::Done => Ok(json_answer(asked.status, json(&asked.first)?, None)),
        Operated::Known(known, answer) => again(&known, answer, &event),
        Operated::Refused(Refusal::Missing) => Err(ApiError::NotFound),
        Operated::Refused(Refusal::Taken) => {
            Err(ApiError::Validation(vec![FieldError::new("url", "taken", "is the address of another endpoint")]))
        }
        Operated::Refused(Refusal::TooMany) => {
            let message = format!("a tenant has at most {ENDPOINTS_MAX} endpoints");
            Err(ApiError::Validation(vec![FieldError::new("", "too_many", message)]))
        }
    }
}

fn again(known: &KnownEvent, answer: Option<Vec<u8>>, asked: &NewEvent) -> Result<Response, ApiError> {
    let first = &known.event.event;
    match decide((&first.command, first.fingerprint), known.stage, (&asked.command, asked.fingerprint)) {
        Decision::Mismatch(fields) => Err(ApiError::Mismatch { fields, kind: first.kind, id: first.id }),
        Decision::InProgress(_) => Err(ApiError::Broken("an operation of one transaction is half done")),
        Decision::Replay => {
            let body = answer.ok_or(ApiError::Broken("a finished operation has no answer"))?;
            let mut response = json_answer(StatusCode::OK, body, None);
            response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|_| ApiError::Broken("an answer has no JSON"))
}

/// The answer with the place of the endpoint.
pub(super) fn with_location(mut response: Response, state: &ApiState, id: WebhookEndpointId) -> Response {
    let base = state.settings().public_url.as_deref().unwrap_or("").trim_end_matches('/');
    if let Ok(location) = HeaderValue::from_str(&format!("{base}/v1/webhook-endpoints/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The caller's endpoint that a path names.
pub(super) async fn endpoint(state: &ApiState, tenant: TenantId, id: &str) -> Result<EndpointRecord, ApiError> {
    let id = WebhookEndpointId::parse(id).map_err(|_| ApiError::NotFound)?;
    let found = state.store().webhook_endpoint(EndpointRef { tenant, id }).await?;
    found.ok_or(ApiError::NotFound)
}
