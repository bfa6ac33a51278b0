//! Owns the span of a request, for those who collect spans: one a request, a child of its caller's.

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, Method, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use crate::api::http::headers::TRACEPARENT;
use crate::runtime::spans::{TARGET, set_parent};

/// W3C trace context: what each system on the way adds for itself.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The span of a request; disabled where none leave the process.
pub(crate) fn request_span(method: &Method, route: &str, headers: &HeaderMap, request_id: &str) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.route = route,
        http.response.status_code = Empty,
        request.id = request_id,
    );
    if !span.is_disabled() {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(traceparent) = text(TRACEPARENT) {
            set_parent(&span, traceparent, text(TRACESTATE));
        }
    }
    span
}

/// Notes how the request ended.
pub(crate) fn record_answer(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
