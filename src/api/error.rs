//! Owns the one table from errors to problem documents. Each error is logged here, once, with its causes.
//!
//! A handler that fails answers with the error itself, carried in the response's extensions;
//! [`crate::api::http::edge`] turns it into a document, because only the edge knows the request.

use std::sync::Arc;

use axum::http::header::{HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::auth::AuthError;
use crate::api::intake::IntakeError;
use crate::api::json::JsonError;
use crate::api::problem::{FieldError, Problem, ProblemCode};
use crate::core::event::{EventKind, Stage};
use crate::core::ids::EventId;
use crate::core::ledger::RejectionCode;
use crate::core::money::Minor;
use crate::store::StoreError;

/// Seconds after which a neighbour's failure is worth another try.
const RETRY_OUTAGE: &str = "5";
/// Seconds after which an unfinished event or a full queue is worth another look.
const RETRY_SOON: &str = "1";

/// Why a request gets no success. A variant exists where the answer differs.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nothing at this address, or another tenant's.
    #[error("no such resource")]
    NotFound,
    /// The address exists, the method does not.
    #[error("the method is not allowed")]
    MethodNotAllowed,
    /// The caller accepts nothing we have.
    #[error("no acceptable form")]
    NotAcceptable,
    /// The address is longer than 8 KiB.
    #[error("the address is too long")]
    UriTooLong,
    /// More than 100 headers, or 64 KiB of them.
    #[error("the headers are too large")]
    HeadersTooLarge,
    /// The body is not JSON in UTF-8, or compressed.
    #[error("the media type is not supported")]
    UnsupportedMediaType,
    /// The body is larger than the operation takes.
    #[error("the body is too large")]
    PayloadTooLarge,
    /// The body stopped arriving.
    #[error("the body did not arrive in time")]
    RequestTimeout,
    /// A header or the framing contradicts the protocol.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// The body is not JSON.
    #[error("malformed JSON")]
    MalformedJson(#[from] JsonError),
    /// No idempotency key.
    #[error("no idempotency key")]
    KeyMissing,
    /// Not exactly one idempotency key.
    #[error("invalid idempotency key: {0}")]
    KeyInvalid(&'static str),
    /// Parameters of the query fail.
    #[error("invalid parameters")]
    InvalidParameters(Vec<FieldError>),
    /// Fields of the body fail.
    #[error("invalid fields")]
    Validation(Vec<FieldError>),
    /// The amount is above the tenant's limit.
    #[error("above the limit")]
    LimitExceeded {
        /// The most one payment may be.
        limit: Minor,
    },
    /// A posting rule refused the event: an outcome, not a failure.
    #[error("rejected: {}", code.as_str())]
    Rejected {
        /// Why.
        code: RejectionCode,
        /// What sort of event.
        kind: EventKind,
        /// Which event.
        id: EventId,
    },
    /// The same request is being worked on.
    #[error("in progress")]
    InProgress {
        /// How far it is.
        stage: Stage,
        /// What sort of event.
        kind: EventKind,
        /// Which event.
        id: EventId,
        /// Where its status is.
        location: String,
    },
    /// The key belongs to another request.
    #[error("idempotency mismatch")]
    Mismatch {
        /// The fields that differ.
        fields: Vec<&'static str>,
        /// What sort of event the first one is.
        kind: EventKind,
        /// The first one.
        id: EventId,
    },
    /// The caller is not known, or not allowed.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The client sends more than it may.
    #[error("rate limited")]
    RateLimited {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// A dependency fails the readiness check.
    #[error("not ready")]
    NotReady {
        /// Which sort of dependency.
        code: ProblemCode,
        /// Each dependency and how it is.
        checks: serde_json::Value,
    },
    /// The intake did not take the event.
    #[error("the event was not taken")]
    Intake(#[from] IntakeError),
    /// The store did not answer.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Our own code made something it cannot: a bug.
    #[error("broken invariant: {0}")]
    Broken(&'static str),
    /// A handler panicked.
    #[error("a handler panicked")]
    Panicked,
}

/// The name under which answers carry the id of an event of this kind.
#[must_use]
pub(crate) const fn id_field(kind: EventKind) -> &'static str {
    match kind {
        EventKind::PaymentReceived => "payment_event_id",
        EventKind::Disbursement => "disbursement_event_id",
        EventKind::LoanOpened => "loan_event_id",
        EventKind::PaymentAllocated => "event_id",
    }
}

impl ApiError {
    /// The table.
    #[must_use]
    pub fn problem(&self) -> Problem {
        use ProblemCode as Code;
        match self {
            Self::NotFound => Problem::plain(Code::NotFound),
            Self::MethodNotAllowed => Problem::plain(Code::MethodNotAllowed),
            Self::NotAcceptable => Problem::plain(Code::NotAcceptable),
            Self::UriTooLong => Problem::plain(Code::UriTooLong),
            Self::HeadersTooLarge => Problem::plain(Code::HeadersTooLarge),
            Self::UnsupportedMediaType => Problem::plain(Code::UnsupportedMediaType),
            Self::PayloadTooLarge => Problem::plain(Code::PayloadTooLarge),
            Self::RequestTimeout => Problem::plain(Code::RequestTimeout),
            Self::InvalidRequest(detail) => Problem::new(Code::InvalidRequest, *detail),
            Self::MalformedJson(JsonError(detail)) => Problem::new(Code::MalformedJson, *detail),
            Self::KeyMissing => Problem::plain(Code::IdempotencyKeyMissing),
            Self::KeyInvalid(why) => Problem::new(Code::IdempotencyKeyInvalid, *why),
            Self::InvalidParameters(errors) => fields(Code::InvalidParameter, errors.clone()),
            Self::Validation(errors) => fields(Code::ValidationFailed, errors.clone()),
            Self::LimitExceeded { limit } => {
                Problem::new(Code::LimitExceeded, format!("one payment may be at most {limit} minor units"))
            }
            Self::Rejected { code, kind, id } => {
                Problem::plain((*code).into()).with_member(id_field(*kind), id.to_string())
            }
            Self::InProgress { .. } | Self::Mismatch { .. } => self.idempotency_problem(),
            Self::Auth(error) => error.problem(),
            Self::RateLimited { .. } => Problem::plain(Code::RateLimited),
            Self::NotReady { code, checks } => Problem::plain(*code).with_member("checks", checks.clone()),
            Self::Intake(error) => Problem::plain(match error {
                IntakeError::Overloaded | IntakeError::Stopping => Code::Overloaded,
                IntakeError::DatabaseUnavailable => Code::DatabaseUnavailable,
                IntakeError::Refused => Code::Internal,
            }),
            Self::Store(error) => Problem::plain(store_code(error)),
            Self::Broken(_) | Self::Panicked => Problem::plain(Code::Internal),
        }
    }

    fn idempotency_problem(&self) -> Problem {
        match self {
            Self::InProgress { stage, kind, id, .. } => Problem::plain(ProblemCode::IdempotencyInProgress)
                .with_member(id_field(*kind), id.to_string())
                .with_member("payment_status", stage.unfinished_status().unwrap_or("accepted")),
            Self::Mismatch { fields: differing, kind, id } => {
                let errors = differing
                    .iter()
                    .map(|field| FieldError::new(*field, "differs", "differs from the first request with this key"));
                fields(ProblemCode::IdempotencyMismatch, errors.collect()).with_member(id_field(*kind), id.to_string())
            }
            _ => Problem::plain(ProblemCode::Internal),
        }
    }

    /// Headers that belong to the answer besides the document.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let text = HeaderValue::from_static;
        match self {
            Self::KeyMissing => {
                vec![(LINK, text("</problems/idempotency_key_missing>; rel=\"describedby\""))]
            }
            Self::InProgress { location, .. } => {
                let mut headers = vec![(RETRY_AFTER, text(RETRY_SOON))];
                headers.extend(HeaderValue::from_str(location).map(|location| (LOCATION, location)));
                headers
            }
            Self::Auth(error) => {
                let mut headers: Vec<_> =
                    error.challenge().map(|challenge| (WWW_AUTHENTICATE, challenge)).into_iter().collect();
                if let AuthError::Unavailable(error) = error {
                    headers.extend(store_retry(error));
                }
                headers
            }
            Self::RateLimited { retry_after } => vec![(RETRY_AFTER, HeaderValue::from(*retry_after))],
            Self::NotReady { .. } => vec![(RETRY_AFTER, text(RETRY_OUTAGE))],
            Self::Intake(IntakeError::DatabaseUnavailable) => vec![(RETRY_AFTER, text(RETRY_OUTAGE))],
            Self::Intake(IntakeError::Overloaded | IntakeError::Stopping) => vec![(RETRY_AFTER, text(RETRY_SOON))],
            Self::Store(error) => store_retry(error).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Logs what someone must look at. What a caller got wrong is his to read, and is not logged.
    pub(crate) fn log(&self, request_id: &str, route: &str, trace_id: Option<&str>) {
        let causes = causes(self);
        let is_ours = match self {
            Self::Intake(IntakeError::Refused) | Self::Broken(_) | Self::Panicked => true,
            Self::Store(error) | Self::Auth(AuthError::Unavailable(error)) => !error.is_passing(),
            Self::Auth(AuthError::Broken(_)) => true,
            _ => false,
        };
        if is_ours {
            tracing::error!(
                request.id = request_id,
                http.route = route,
                trace.id = trace_id,
                "request failed: {causes}"
            );
        } else if self.problem().code.status() >= 500 {
            tracing::warn!(
                request.id = request_id,
                http.route = route,
                trace.id = trace_id,
                "request not served: {causes}"
            );
        } else {
            tracing::debug!(
                request.id = request_id,
                http.route = route,
                trace.id = trace_id,
                "request refused: {causes}"
            );
        }
    }
}

fn fields(code: ProblemCode, errors: Vec<FieldError>) -> Problem {
    let names: Vec<&str> = errors.iter().take(5).map(|error| error.field.as_str()).collect();
    let more = if errors.len() > names.len() { ", …" } else { "" };
    let detail = match code {
        ProblemCode::IdempotencyMismatch => {
            format!("the key was used with another request; different: {}", names.join(", "))
        }
        _ if names.iter().all(|name| name.is_empty()) => code.explanation().to_owned(),
        _ => format!("not valid: {}{more}", names.join(", ")),
    };
    Problem::new(code, detail).with_errors(errors)
}

/// The problem of a failed store call.
pub(crate) fn store_code(error: &StoreError) -> ProblemCode {
    match error {
        StoreError::Unavailable(_) | StoreError::Retry(_) => ProblemCode::DatabaseUnavailable,
        StoreError::Data { .. } | StoreError::Broken(_) | StoreError::WrongSchema => ProblemCode::Internal,
    }
}

fn store_retry(error: &StoreError) -> Option<(HeaderName, HeaderValue)> {
    error.is_passing().then(|| (RETRY_AFTER, HeaderValue::from_static(RETRY_OUTAGE)))
}

fn causes(error: &ApiError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        headers.extend(self.headers());
        let mut response = (status, headers).into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl ApiError {
    fn problem_status(&self) -> u16 {
        self.problem().code.status()
    }

    /// The error of an answer that came without one, from a library's own refusal.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_ACCEPTABLE => Self::NotAcceptable,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            other if other.is_client_error() => Self::InvalidRequest("the request is not well formed"),
            _ => Self::Broken("an answer of status 500 or more came without an error"),
        }
    }
}
