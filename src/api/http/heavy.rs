//! Owns work that would hold up a thread of the runtime: JSON of thousands of items.

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::api::error::ApiError;

/// Runs work on a thread of its own. It goes on when the caller leaves.
///
/// # Errors
/// The work panicked.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Panicked)
}

/// An answer whose JSON is `write`'s.
///
/// # Errors
/// What `write` answers has no JSON.
pub(crate) async fn json_of(
    write: impl FnOnce() -> serde_json::Result<Vec<u8>> + Send + 'static,
) -> Result<Response, ApiError> {
    let body = off_the_runtime(write).await?.map_err(|_| ApiError::Broken("an answer has no JSON"))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}
