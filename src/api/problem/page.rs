//! Owns `GET /problems/{code}`: what a code means, as JSON, HTML or plain text, whichever the reader prefers.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::problem::code::ProblemCode;

/// What a problem code means.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The code.
    #[schema(value_type = String, example = "idempotency_mismatch")]
    code: &'static str,
    /// The HTTP status it comes with.
    #[schema(example = 422)]
    status: u16,
    /// One line.
    #[schema(value_type = String)]
    title: &'static str,
    /// What it means and what to do about it.
    #[schema(value_type = String)]
    #[serde(rename = "explanation")]
    text: &'static str,
    /// Whether the same request, unchanged, may succeed later.
    retryable: bool,
}

/// Explains a problem code to a person.
#[utoipa::path(get, path = "/problems/{code}", tag = "problems",
    params(("code" = String, Path, description = "A problem code, as in `code` of a problem document")),
    responses((status = 200, description = "What the code means", body = Explanation),
        (status = 404, description = "No such code")))]
pub(crate) async fn explain(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let code = ProblemCode::parse(&name).ok_or(ApiError::NotFound)?;
    let explanation = Explanation {
        code: code.name(),
        status: code.status(),
        title: code.title(),
        text: code.explanation(),
        retryable: code.is_retryable(),
    };
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    Ok(if accept.contains("text/html") {
        ([(CONTENT_TYPE, "text/html; charset=utf-8")], html(&explanation)).into_response()
    } else if accept.contains("text/plain") {
        ([(CONTENT_TYPE, "text/plain; charset=utf-8")], plain(&explanation)).into_response()
    } else {
        axum::Json(explanation).into_response()
    })
}

/// Every text comes from our own list, which holds no character that HTML would have to escape but quotes and
/// angle brackets of examples.
fn html(explanation: &Explanation) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code}</title>\
         <h1>{title}</h1><p>{text}</p><p>Code <code>{code}</code>, HTTP status {status}, {retry}.</p></html>",
        code = explanation.code,
        title = escape(explanation.title),
        text = escape(explanation.text),
        status = explanation.status,
        retry = retry(explanation),
    )
}

fn plain(explanation: &Explanation) -> String {
    format!(
        "{}\n\n{}\n\nCode {}, HTTP status {}, {}.\n",
        explanation.title,
        explanation.text,
        explanation.code,
        explanation.status,
        retry(explanation)
    )
}

fn retry(explanation: &Explanation) -> &'static str {
    if explanation.retryable { "may be retried unchanged" } else { "not to be retried unchanged" }
}
