//! Owns the one table from errors to problem documents. Each error is logged here, once, with its causes.
//!
//! A handler that fails answers with the error itself, carried in the response's extensions;
//! `api::http::edge` turns it into a document, because only the edge knows the request.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::header::{HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::auth::AuthError;
use crate::api::intake::IntakeError;
pub use crate::api::json::JsonError;
use crate::api::problem::{FieldError, Problem, ProblemCode};
use crate::core::event::{EventKind, Stage};
use crate::core::ids::{EventId, LoanId, PaymentBatchId};
use crate::core::ledger::{LateForView, RejectionCode};
use crate::core::money::Minor;
use crate::store::StoreError;

/// Seconds after which a neighbour's failure is worth another try.
const RETRY_OUTAGE: HeaderValue = HeaderValue::from_static("5");
/// Seconds after which an unfinished event or a full queue is worth another look.
const RETRY_SOON: HeaderValue = HeaderValue::from_static("1");
/// Where a missing key is explained.
const EXPLAINED: HeaderValue = HeaderValue::from_static("</problems/idempotency_key_missing>; rel=\"describedby\"");
/// The most fields that a detail names; `errors[]` names all.
const FIELDS_IN_DETAIL: usize = 5;

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
    /// An upload is refused as a whole.
    #[error("invalid file")]
    InvalidFile(Vec<FieldError>),
    /// Another file has the identity of this one.
    #[error("duplicate file")]
    DuplicateFile {
        /// The upload that file became.
        batch: PaymentBatchId,
    },
    /// A person decided about the exception before.
    #[error("already resolved")]
    AlreadyResolved {
        /// How.
        resolution: &'static str,
    },
    /// The entry of an exception cannot be posted.
    #[error("not postable")]
    NotPostable(Vec<FieldError>),
    /// More rows than the operation takes.
    #[error("the batch is too large")]
    BatchTooLarge,
    /// The operation is one that is not looked ahead to.
    #[error("no preview")]
    NoPreview,
    /// The amount is above the tenant's limit.
    #[error("above the limit")]
    LimitExceeded {
        /// The most one payment may be.
        limit: Minor,
    },
    /// The entry is undone by an operation of its own.
    #[error("not reversible")]
    NotReversible,
    /// A posting rule refused the event: an outcome, not a failure.
    #[error("rejected: {}", code.as_str())]
    Rejected {
        /// Why.
        code: RejectionCode,
        /// What sort of event.
        kind: EventKind,
        /// Which event.
        id: EventId,
        /// The loans that a group was refused for.
        loans: Vec<LoanId>,
        /// Of a late fee: the payment that it was for, with what had come in.
        late_for: Option<Box<LateForView>>,
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
    /// The process does as much of this at once as it may, or is stopping.
    #[error("at the limit")]
    Overloaded,
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

/// An error with what it answers.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The error.
    error: ApiError,
    /// Its document, without its request.
    pub(crate) problem: Problem,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

impl ApiError {
    /// Its problem.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.answer().0
    }

    /// The table: the problem of each error, and the headers that belong to the answer besides it.
    fn answer(&self) -> (Problem, Headers) {
        use ProblemCode as Code;
        match self {
            Self::NotFound => plain(Code::NotFound),
            Self::MethodNotAllowed => plain(Code::MethodNotAllowed),
            Self::NotAcceptable => plain(Code::NotAcceptable),
            Self::UriTooLong => plain(Code::UriTooLong),
            Self::HeadersTooLarge => plain(Code::HeadersTooLarge),
            Self::UnsupportedMediaType => plain(Code::UnsupportedMediaType),
            Self::PayloadTooLarge => plain(Code::PayloadTooLarge),
            Self::RequestTimeout => plain(Code::RequestTimeout),
            Self::InvalidRequest(detail) => (Problem::new(Code::InvalidRequest, *detail), Vec::new()),
            Self::MalformedJson(JsonError(detail)) => (Problem::new(Code::MalformedJson, *detail), Vec::new()),
            Self::KeyMissing => (Problem::plain(Code::IdempotencyKeyMissing), vec![(LINK, EXPLAINED)]),
            Self::KeyInvalid(why) => (Problem::new(Code::IdempotencyKeyInvalid, *why), Vec::new()),
            Self::InvalidParameters(errors) => (of_fields(Code::InvalidParameter, errors), Vec::new()),
            Self::Validation(errors) => (of_fields(Code::ValidationFailed, errors), Vec::new()),
            Self::InvalidFile(errors) => (of_fields(Code::InvalidFile, errors), Vec::new()),
            Self::DuplicateFile { batch } => {
                let problem = Problem::plain(Code::DuplicateFile);
                (problem.with_member("batch_id", batch.to_string()), Vec::new())
            }
            Self::AlreadyResolved { resolution } => {
                let problem = Problem::plain(Code::AlreadyResolved);
                (problem.with_member("resolution", *resolution), Vec::new())
            }
            Self::NotPostable(errors) => (of_fields(Code::NotPostable, errors), Vec::new()),
            Self::BatchTooLarge => plain(Code::BatchTooLarge),
            Self::NotReversible => plain(Code::NotReversible),
            Self::NoPreview => plain(Code::NoPreview),
            Self::LimitExceeded { limit } => {
                let detail = format!("one payment may be at most {limit} minor units");
                (Problem::new(Code::LimitExceeded, detail), Vec::new())
            }
            Self::Rejected { code, kind, id, loans, late_for } => {
                let problem = Problem::plain((*code).into()).with_member(kind.id_field(), id.to_string());
                let names: Vec<String> = loans.iter().map(LoanId::to_string).collect();
                let problem = if names.is_empty() { problem } else { problem.with_member("loans", names) };
                let late_for = late_for.as_ref().and_then(|late_for| serde_json::to_value(late_for).ok());
                let problem = late_for.into_iter().fold(problem, |it, late_for| it.with_member("late_for", late_for));
                (problem, Vec::new())
            }
            Self::InProgress { stage, kind, id, location } => {
                let problem = Problem::plain(Code::IdempotencyInProgress)
                    .with_member(kind.id_field(), id.to_string())
                    .with_member("payment_status", stage.unfinished_status().unwrap_or("accepted"));
                let location = HeaderValue::from_str(location).ok().map(|location| (LOCATION, location));
                (problem, [(RETRY_AFTER, RETRY_SOON)].into_iter().chain(location).collect())
            }
            Self::Mismatch { fields, kind, id } => {
                (mismatch(fields).with_member(kind.id_field(), id.to_string()), Vec::new())
            }
            Self::Auth(error) => (error.problem(), auth_headers(error)),
            Self::RateLimited { retry_after } => {
                (Problem::plain(Code::RateLimited), vec![(RETRY_AFTER, HeaderValue::from(*retry_after))])
            }
            Self::NotReady { code, checks } => {
                (Problem::plain(*code).with_member("checks", checks.clone()), vec![(RETRY_AFTER, RETRY_OUTAGE)])
            }
            Self::Overloaded | Self::Intake(IntakeError::Overloaded | IntakeError::Stopping) => {
                later(Code::Overloaded, RETRY_SOON)
            }
            Self::Intake(IntakeError::DatabaseUnavailable) => later(Code::DatabaseUnavailable, RETRY_OUTAGE),
            Self::Store(error) => (Problem::plain(store_code(error)), store_headers(error)),
            Self::Intake(IntakeError::Refused) | Self::Broken(_) | Self::Panicked => plain(Code::Internal),
        }
    }

    /// The error of a key that another file has.
    pub(crate) fn file_mismatch(batch: PaymentBatchId) -> Self {
        Self::Mismatch { fields: vec!["bytes"], kind: EventKind::Upload, id: EventId(batch.0) }
    }

    /// The error of one field.
    pub(crate) fn field(name: &'static str, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation(vec![FieldError::new(name, code, message)])
    }

    /// The error of an upload without rows.
    pub(crate) fn empty_file() -> Self {
        Self::InvalidFile(vec![FieldError::new("", "empty", "the upload has no rows")])
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

fn plain(code: ProblemCode) -> (Problem, Headers) {
    (Problem::plain(code), Vec::new())
}

fn later(code: ProblemCode, retry_after: HeaderValue) -> (Problem, Headers) {
    (Problem::plain(code), vec![(RETRY_AFTER, retry_after)])
}

fn of_fields(code: ProblemCode, errors: &[FieldError]) -> Problem {
    let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).filter(|name| !name.is_empty()).collect();
    let shown = named.get(..FIELDS_IN_DETAIL).unwrap_or(&named);
    let more = if named.len() > shown.len() { ", …" } else { "" };
    let problem = match errors.first() {
        Some(first) if named.is_empty() => Problem::new(code, first.message.clone()),
        Some(_) | None => Problem::new(code, format!("not valid: {}{more}", shown.join(", "))),
    };
    problem.with_errors(errors.to_vec())
}

fn mismatch(fields: &[&'static str]) -> Problem {
    let message = "differs from the first request with this key";
    let errors = fields.iter().map(|field| FieldError::new(*field, "differs", message));
    let detail = format!("the key was used with another request; different: {}", fields.join(", "));
    Problem::new(ProblemCode::IdempotencyMismatch, detail).with_errors(errors.collect())
}

fn auth_headers(error: &AuthError) -> Headers {
    let retry = match error {
        AuthError::Unavailable(error) => store_headers(error),
        AuthError::KeysUnavailable => vec![(RETRY_AFTER, RETRY_OUTAGE)],
        AuthError::NoCredentials
        | AuthError::SeveralTokens
        | AuthError::InvalidToken(_)
        | AuthError::Expired
        | AuthError::InsufficientScope(_)
        | AuthError::TenantUnknown
        | AuthError::Broken(_) => Vec::new(),
    };
    retry.into_iter().chain(error.challenge().map(|challenge| (WWW_AUTHENTICATE, challenge))).collect()
}

/// The problem of a failed store call.
pub(crate) fn store_code(error: &StoreError) -> ProblemCode {
    match error {
        StoreError::Unavailable(_) | StoreError::Retry(_) | StoreError::OutOfTime(_) => {
            ProblemCode::DatabaseUnavailable
        }
        StoreError::Data { .. } | StoreError::Broken(_) | StoreError::WrongSchema => ProblemCode::Internal,
    }
}

fn store_headers(error: &StoreError) -> Headers {
    if error.is_passing() { vec![(RETRY_AFTER, RETRY_OUTAGE)] } else { Vec::new() }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (problem, fields) = self.answer();
        let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        headers.extend(fields);
        let mut response = (status, headers).into_response();
        response.extensions_mut().insert(Arc::new(Failure { error: self, problem }));
        response
    }
}

impl Failure {
    /// The failure of an answer that came without one.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let error = ApiError::of_status(status);
        Self { problem: error.problem(), error }
    }

    /// Logs what someone must look at. What a caller got wrong is his to read, and is a matter of debugging only.
    pub(crate) fn log(&self, request_id: &str, route: &str, trace_id: Option<&str>) {
        let status = self.problem.code.status();
        let causes = || causes(&self.error);
        if self.problem.code == ProblemCode::Internal {
            let causes = causes();
            tracing::error!(
                request.id = request_id,
                http.route = route,
                trace.id = trace_id,
                "request failed: {causes}"
            );
        } else if status >= 500 {
            let causes = causes();
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
                http.status = status,
                trace.id = trace_id,
                "request refused: {}",
                causes()
            );
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::auth::Scope;

    #[test]
    fn refusals_carry_the_headers_their_status_asks_for() {
        let cases = [
            (ApiError::KeyMissing, 400, "link"),
            (AuthError::NoCredentials.into(), 401, "www-authenticate"),
            (AuthError::InsufficientScope(&[Scope::Ops]).into(), 403, "www-authenticate"),
            (ApiError::RateLimited { retry_after: 7 }, 429, "retry-after"),
            (AuthError::KeysUnavailable.into(), 503, "retry-after"),
            (IntakeError::Overloaded.into(), 503, "retry-after"),
            (StoreError::Unavailable("gone".into()).into(), 503, "retry-after"),
        ];
        for (error, status, header) in cases {
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert!(response.headers().contains_key(header), "{status} without {header}");
        }
        let bare = ApiError::from(AuthError::NoCredentials).into_response();
        assert_eq!(bare.headers()["www-authenticate"], "Bearer");
        let narrow = ApiError::from(AuthError::InsufficientScope(&[Scope::Ops])).into_response();
        assert_eq!(narrow.headers()["www-authenticate"], r#"Bearer error="insufficient_scope", scope="hpts:ops""#);
    }

    #[test]
    fn nothing_of_our_insides_reaches_a_caller() {
        let error = ApiError::from(StoreError::Broken("SELECT secret FROM events".to_owned()));
        assert!(causes(&error).contains("SELECT"), "the log has the chain");
        let document = String::from_utf8(error.problem().to_json("/v1/payments", "r")).unwrap();
        assert!(!document.contains("SELECT") && document.contains("\"code\":\"internal\""));
    }
}
