//! Owns the names of what the api counts, and the counting.

use axum::http::StatusCode;
use metrics::{counter, histogram};

use crate::runtime::clock::Stopwatch;

/// Requests answered, by route pattern and status.
pub const HTTP_REQUESTS_TOTAL: &str = "hpts_http_requests_total";
/// Seconds from a parsed write to its durable acceptance.
pub const ACCEPT_SECONDS: &str = "hpts_accept_seconds";

/// Counts an answer.
pub(crate) fn count_request(route: &str, status: StatusCode) {
    counter!(HTTP_REQUESTS_TOTAL, "route" => route.to_owned(), "status" => status_label(status)).increment(1);
}

/// Records how long an acceptance took.
pub(crate) fn record_accept(since: Stopwatch) {
    histogram!(ACCEPT_SECONDS).record(since.elapsed());
}

/// The statuses we answer with, as labels; anything else by its class.
fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        202 => "202",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        _ if status.is_client_error() => "other_4xx",
        _ if status.is_server_error() => "other_5xx",
        _ => "other",
    }
}
