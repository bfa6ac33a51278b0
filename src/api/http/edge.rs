//! Owns the outermost layer: every request gets an id, is counted, and runs in the name of its connection's peer; every
//! failure, also the router's own and a panic, leaves as a problem document.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::api::error::{ApiError, Failure};
use crate::api::http::headers::{accepts_events, accepts_json, accepts_json_or_csv, trace_id};
use crate::api::http::peer::{CertificateThumbprint, with_peer};
use crate::api::http::trace::{record_answer, request_span};
use crate::api::metrics;
use crate::api::problem::PROBLEM_JSON;

/// Names a request in answers and logs.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The one operation whose success is no JSON.
const STREAM: &str = "/v1/changes/stream";
/// The operation that answers JSON or CSV, as asked.
const STATEMENT: &str = "/v1/loans/{loan_id}/statement";
/// The longest path and query.
const URI_BYTES_MAX: usize = 8 * 1024;
/// The most headers.
const HEADERS_MAX: usize = 100;
/// The most bytes of header names and values.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a path that a problem document repeats.
const INSTANCE_BYTES_MAX: usize = 512;

/// Addresses under `/v1` that answer in other forms than JSON.
const OTHER_FORMS: [&str; 3] =
    ["/v1/batches/{batch_id}/results", "/v1/ach/files/{batch_id}/results", "/v1/journal-entries"];

/// What the server found wrong with a request before it was routed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolFault(pub(crate) &'static str);

/// Makes request ids: random per process, then counted.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(process: u64) -> Self {
        Self { process, count: AtomicU64::new(1) }
    }

    fn next(&self) -> String {
        format!("{:016x}-{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// The layer. See the module.
pub(crate) async fn edge(State(ids): State<Arc<RequestIds>>, request: Request, next: Next) -> Response {
    let request_id = ids.next();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let trace = trace_id(request.headers()).map(str::to_owned);
    let span = request_span(request.method(), route, request.headers(), &request_id);
    let uri = request.uri().clone();
    let peer = request.extensions().get::<CertificateThumbprint>().copied();
    let response = match refusal(&request, matched.as_ref()) {
        Some(error) => error.into_response(),
        None if span.is_disabled() => with_peer(peer, next.run(request)).await,
        None => with_peer(peer, next.run(request)).instrument(span.clone()).await,
    };
    let mut response = documented(response, &uri, &request_id, (route, trace.as_deref()));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    metrics::count_request(route, response.status());
    record_answer(&span, response.status());
    response
}

/// What is refused whatever the operation.
fn refusal(request: &Request, matched: Option<&MatchedPath>) -> Option<ApiError> {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri > URI_BYTES_MAX {
        return Some(ApiError::UriTooLong);
    }
    if request.headers().len() > HEADERS_MAX || header_bytes(request.headers()) > HEADER_BYTES_MAX {
        return Some(ApiError::HeadersTooLarge);
    }
    if let Some(ProtocolFault(detail)) = request.extensions().get::<ProtocolFault>() {
        return Some(ApiError::InvalidRequest(detail));
    }
    let is_acceptable = match matched.map(MatchedPath::as_str) {
        Some(STREAM) => accepts_events(request.headers()),
        Some(route) if OTHER_FORMS.contains(&route) => true,
        Some(STATEMENT) => accepts_json_or_csv(request.headers()),
        Some(route) if route.starts_with("/v1/") => accepts_json(request.headers()),
        Some(_) | None => true,
    };
    (!is_acceptable).then_some(ApiError::NotAcceptable)
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len())).fold(0, usize::saturating_add)
}

/// Gives a failed answer its document; leaves a success, and an answer that explains itself in JSON, as it is.
fn documented(response: Response, uri: &Uri, request_id: &str, (route, trace): (&str, Option<&str>)) -> Response {
    let status = response.status();
    let carried = response.extensions().get::<Arc<Failure>>().cloned();
    let failure = match carried {
        Some(failure) => failure,
        None if status.as_u16() < 400 || explains_itself(response.headers()) => return response,
        None => Arc::new(Failure::of_status(status)),
    };
    failure.log(request_id, route, trace);
    let path = uri.path();
    let instance = path.get(..INSTANCE_BYTES_MAX).unwrap_or(path);
    let document = failure.problem.to_json(instance, request_id);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    Response::from_parts(parts, Body::from(document))
}

fn explains_itself(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::Panicked.into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn boom() -> &'static str {
        panic!("secret text")
    }

    async fn answer(request: Request) -> (StatusCode, HeaderMap, serde_json::Value) {
        let router: Router = Router::new()
            .route("/v1/thing", get(|| async { axum::Json(1) }))
            .route("/v1/boom", get(boom))
            .fallback(|| async { ApiError::NotFound })
            .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::middleware::from_fn_with_state(Arc::new(RequestIds::new(7)), edge));
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap())
    }

    fn request(method: &str, path: &str) -> Request {
        Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn the_routers_own_failures_are_problems() {
        let long = format!("/v1/thing?{}", "x".repeat(10_000));
        let cases = [
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "//v1//thing", 404, "not_found"),
            ("PUT", "/v1/thing", 405, "method_not_allowed"),
            ("GET", long.as_str(), 414, "uri_too_long"),
            ("GET", "/v1/boom", 500, "internal"),
        ];
        for (method, path, status, code) in cases {
            let (seen, headers, body) = answer(request(method, path)).await;
            assert_eq!((seen.as_u16(), body["code"].as_str()), (status, Some(code)), "{path:.40}");
            assert_eq!(headers["content-type"], PROBLEM_JSON);
            assert_eq!(headers["x-request-id"], body["request_id"].as_str().unwrap());
            assert_eq!(headers.contains_key("allow"), status == 405);
            assert!(!body.to_string().contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_success_carries_its_request_id_and_406_guards_json() {
        let (status, headers, _) = answer(request("GET", "/v1/thing")).await;
        assert!(status.is_success() && headers.contains_key("x-request-id"));
        let mut html = request("GET", "/v1/thing");
        html.headers_mut().insert("accept", HeaderValue::from_static("text/html"));
        assert_eq!(answer(html).await.0, StatusCode::NOT_ACCEPTABLE);
    }
}
