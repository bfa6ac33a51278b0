//! Owns the counting of answers.

use axum::http::StatusCode;
use metrics::counter;

use crate::runtime::telemetry::HTTP_REQUESTS;

/// Failures that alerts look at begin at 0, whatever the route: a series that comes with its first count has risen
/// nowhere.
pub(crate) fn begin_at_zero<'r>(routes: impl Iterator<Item = &'r str>) {
    for route in routes.chain(["unmatched"]) {
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE] {
            counter!(HTTP_REQUESTS, "route" => route.to_owned(), "status" => status_label(status)).increment(0);
        }
    }
}

/// Counts an answer.
pub(crate) fn count_request(route: &str, status: StatusCode) {
    counter!(HTTP_REQUESTS, "route" => route.to_owned(), "status" => status_label(status)).increment(1);
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
