//! Owns what callers send and see of endpoints and deliveries.

use serde::Serialize;
use utoipa::ToSchema;

use crate::core::ids::WebhookEndpointId;
use crate::core::webhook::{WebhookType, message_id};
use crate::store::{DeliveryRecord, EndpointRecord};

/// Stands in place of a secret that was shown before.
const SECRET_NOTICE: &str = "shown once, in the first answer; POST …/rotate-secret makes another";

/// An endpoint that is asked for.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"url": "https://hooks.example.com/hpts", "event_types": ["journalEntryPosted",
    "payment.posted"], "description": "servicing"}))]
pub struct EndpointRequest {
    /// Where to: https, a public host, port 443 or one from 1024 on; no user, password or fragment.
    pub url: String,
    /// What it is told; everything where absent.
    pub event_types: Option<Vec<String>>,
    /// For people: 1 to 255 printable characters.
    pub description: Option<String>,
}

/// Since when to tell again.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"since": "2026-05-01T12:00:00Z"}))]
pub struct ReplayRequest {
    /// RFC 3339, with an offset.
    pub since: chrono::DateTime<chrono::Utc>,
}

/// An endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"webhook_endpoint_id": "0198f2d0-a1b2-7c3d-8e4f-000000000002",
    "url": "https://hooks.example.com/hpts", "event_types": ["journalEntryPosted", "payment.posted"],
    "description": "servicing", "status": "enabled", "created_at": "2026-05-01T12:00:00Z",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}))]
pub struct EndpointView {
    #[schema(value_type = uuid::Uuid)]
    pub(super) webhook_endpoint_id: WebhookEndpointId,
    /// As it was understood: the host in lower case and punycode.
    pub(super) url: String,
    #[schema(value_type = Vec<String>)]
    pub(super) event_types: Vec<WebhookType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// `enabled` or `disabled`.
    #[schema(value_type = String, example = "enabled")]
    pub(super) status: &'static str,
    /// Since when nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disabled_at: Option<String>,
    /// Why: `requested`, `gone` (it answered 410) or `failing` (for days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "failing")]
    pub(super) disabled_reason: Option<&'static str>,
    pub(super) created_at: String,
    /// Signs the messages. Shown once, when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// Why there is no secret, where one was made under this key before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) secret_notice: Option<&'static str>,
    /// Until when the secret before it signs as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_secret_expires_at: Option<String>,
    /// Since when nothing was delivered although it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<String>,
    /// When something was delivered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_delivered_at: Option<String>,
    /// Deliveries that will be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pending_deliveries: Option<i64>,
}

impl EndpointView {
    /// An endpoint as it stands.
    pub(super) fn of(record: &EndpointRecord) -> Self {
        let previous = record.previous_secret.as_ref().map(|(_, until)| until.to_string());
        Self {
            disabled_at: record.disabled.map(|disabled| disabled.at.to_string()),
            disabled_reason: record.disabled.map(|disabled| disabled.reason.as_str()),
            previous_secret_expires_at: previous,
            failing_since: record.failing_since.map(|since| since.to_string()),
            last_delivered_at: record.delivered_at.map(|at| at.to_string()),
            pending_deliveries: Some(record.pending),
            ..Self::settings_of(record)
        }
    }

    /// What does not change by itself: what an operation answers, first and ever after.
    pub(super) fn settings_of(record: &EndpointRecord) -> Self {
        Self {
            webhook_endpoint_id: record.id,
            url: record.url.clone(),
            event_types: record.event_types.clone(),
            description: record.description.clone(),
            status: if record.disabled.is_some() { "disabled" } else { "enabled" },
            disabled_at: None,
            disabled_reason: None,
            created_at: record.created_at.to_string(),
            secret: None,
            secret_notice: None,
            previous_secret_expires_at: None,
            failing_since: None,
            last_delivered_at: None,
            pending_deliveries: None,
        }
    }

    /// With the secret that was just made.
    pub(super) fn with_secret(self, secret: String) -> Self {
        Self { secret: Some(secret), ..self }
    }

    /// As it is answered again: what was shown once is not shown twice.
    pub(super) fn without_secret(self) -> Self {
        Self { secret: None, secret_notice: Some(SECRET_NOTICE), ..self }
    }
}

/// A tenant's endpoints, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointsList {
    pub(super) items: Vec<EndpointView>,
}

/// What was set going.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"webhook_endpoint_id": "0198f2d0-a1b2-7c3d-8e4f-000000000002",
    "webhook_id": "msg_1c3f0a9d8b7e6f5a4b3c2d1e0f9a8b7c"}))]
pub struct StartedView {
    #[schema(value_type = uuid::Uuid)]
    pub(super) webhook_endpoint_id: WebhookEndpointId,
    /// The id of the ping's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webhook_id: Option<String>,
    /// Since when is told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
}

/// A delivery that failed at least once, or a ping.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"webhook_id": "msg_1c3f0a9d8b7e6f5a4b3c2d1e0f9a8b7c", "event_type": "payment.posted",
    "event_id": "0198f2d0-a1b2-7c3d-8e4f-000000000004", "status": "pending", "attempts": 2,
    "created_at": "2026-05-01T12:00:00Z", "last_attempt_at": "2026-05-01T12:00:05Z",
    "next_attempt_at": "2026-05-01T12:00:35Z", "response_status": 500, "error": "status", "duration_ms": 12}))]
pub struct DeliveryView {
    /// The message: `webhook-id` of every attempt.
    webhook_id: String,
    #[schema(value_type = String)]
    event_type: WebhookType,
    /// The event that is told.
    event_id: String,
    /// `pending` (will be tried again), `delivered`, or `failed` (given up).
    #[schema(value_type = String, example = "pending")]
    status: &'static str,
    attempts: i32,
    /// When it was tried first; of a ping, when it was asked for.
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<String>,
    /// What the receiver answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<i32>,
    /// Why the last attempt failed: `status`, `gone`, `redirect`, `answer_too_long`, `timeout`, `unreachable`,
    /// `blocked_address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How long the last attempt took.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
}

impl DeliveryView {
    pub(super) fn of(endpoint: WebhookEndpointId, record: DeliveryRecord) -> Self {
        let status = match (record.next_attempt_at, record.delivered_at) {
            (Some(_), _) => "pending",
            (None, Some(_)) => "delivered",
            (None, None) => "failed",
        };
        Self {
            webhook_id: message_id(endpoint, record.told.event_id, record.told.event_type),
            event_type: record.told.event_type,
            event_id: record.told.event_id.to_string(),
            status,
            attempts: record.attempts,
            created_at: record.created_at.to_string(),
            last_attempt_at: record.last_attempt_at.map(|at| at.to_string()),
            next_attempt_at: record.next_attempt_at.map(|at| at.to_string()),
            delivered_at: record.delivered_at.map(|at| at.to_string()),
            response_status: record.status,
            error: record.error,
            duration_ms: record.duration_ms,
        }
    }
}

/// The newest deliveries of an endpoint that failed at least once, and its pings. What was delivered at once is not
/// listed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveriesList {
    pub(super) items: Vec<DeliveryView>,
}
