//! Owns `POST /v1/webhook-endpoints`, and the making of secrets.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::SCOPES;
use super::operate::{ENDPOINTS_MAX, KeyedOperation, operate, with_location};
use super::view::{EndpointRequest, EndpointView};
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::api::write::request::WriteRequest;
use crate::core::ids::WebhookEndpointId;
use crate::core::time::Timestamp;
use crate::core::webhook::{WebhookOperation, WebhookType};
use crate::runtime::sealing::sealed;
use crate::runtime::webhook_target::TargetPolicy;
use crate::store::{ChangePlace, EndpointRecord, NewEndpoint, WebhookEffect};

/// The bytes of a secret: as many as the hash has.
const SECRET_BYTES: usize = 32;

/// A secret, as its owner gets it and as the store keeps it.
pub(super) struct Secret {
    pub(super) shown: String,
    pub(super) stored: Vec<u8>,
}

/// Makes the secret of an endpoint.
pub(super) fn new_secret(state: &ApiState, endpoint: WebhookEndpointId) -> Result<Secret, ApiError> {
    let mut bytes = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ApiError::Broken("the system gave no randomness"))?;
    let shown = format!("whsec_{}", STANDARD.encode(bytes));
    let stored = sealed(state.sealing_key(), &endpoint.to_string(), shown.as_bytes())
        .map_err(|_| ApiError::Broken("a secret cannot be sealed"))?;
    Ok(Secret { shown, stored })
}

/// What a caller asks for.
#[derive(Debug)]
struct Asked {
    url: String,
    event_types: Vec<WebhookType>,
    description: Option<String>,
}

fn parse(fields: &mut Fields<'_>, policy: &TargetPolicy) -> Option<Asked> {
    let url = fields.required("url", |text| policy.judge(text).map(|target| target.as_str().to_owned()));
    let event_types = if fields.has("event_types") {
        fields.list("event_types", WebhookType::SUBSCRIBED.len(), WebhookType::parse_subscribed)
    } else {
        Some(WebhookType::SUBSCRIBED.to_vec())
    };
    let description = fields.reference("description");
    let (url, mut event_types) = (url?, event_types?);
    event_types.sort_unstable();
    event_types.dedup();
    Some(Asked { url, event_types, description })
}

/// Makes an endpoint. It is told of what is finished from now on.
///
/// The secret is shown in this answer only; a repeat of the call answers without it.
#[utoipa::path(post, path = "/v1/webhook-endpoints", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended endpoint, kept over retries")),
    request_body = EndpointRequest,
    responses((status = 201, description = "Made, with its secret", body = EndpointView),
        (status = 200, description = "The first answer to this key again, without the secret", body = EndpointView),
        (status = 422, description = "Not valid, another endpoint's address, or one too many",
            body = ProblemDocument)))]
pub(crate) async fn post_endpoint(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, SCOPES).await?;
    let asked = request.parsed(|fields| parse(fields, &state.settings().webhook_policy))?;
    let (tenant, id) = (request.caller.tenant, state.intake().next_id());
    let endpoint = WebhookEndpointId(id.0);
    let secret = new_secret(&state, endpoint)?;
    let ends = state.store().changed(vec![(tenant, ChangePlace::START)]).await?;
    let place = ends.first().map_or(ChangePlace::START, |(_, end)| *end);
    let created_at: Timestamp = state.store().now().await?;
    let record = EndpointRecord {
        id: endpoint,
        tenant,
        created_at,
        url: asked.url.clone(),
        description: asked.description.clone(),
        event_types: asked.event_types.clone(),
        secret: Vec::new(),
        previous_secret: None,
        disabled: None,
        place,
        failures: 0,
        failing_since: None,
        delivered_at: None,
        pending: 0,
    };
    let view = EndpointView::settings_of(&record);
    let effect = WebhookEffect::Create(NewEndpoint {
        created_at,
        url: asked.url.clone(),
        description: asked.description.clone(),
        event_types: asked.event_types.clone(),
        secret: secret.stored,
        place,
        endpoints_max: ENDPOINTS_MAX,
    });
    let Asked { url, event_types, description } = asked;
    let operation = KeyedOperation {
        id,
        operation: WebhookOperation::Create { url, event_types, description },
        effect,
        status: StatusCode::CREATED,
        first: view.clone().with_secret(secret.shown),
        again: view.without_secret(),
    };
    let response = operate(&state, &request, operation).await?;
    let is_new = response.status() == StatusCode::CREATED;
    Ok(if is_new { with_location(response, &state, endpoint) } else { response })
}
