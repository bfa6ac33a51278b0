//! Owns the reading of a body: bounded in size and in silence.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use http_body_util::BodyExt;

use crate::api::error::ApiError;
use crate::api::http::headers::content_length;

/// The most bytes of one event's body. A full payment with 4 KiB of metadata is below 6 KiB; escapes can make six
/// bytes of one.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may be silent.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Reads the body. One that announces more than [`BODY_BYTES_MAX`] is refused before it is read, so that a client
/// that expects `100 Continue` never gets it.
///
/// # Errors
/// Too large, silent for [`IDLE_MAX`], or broken off.
pub(crate) async fn read_body(headers: &HeaderMap, mut body: Body) -> Result<Bytes, ApiError> {
    let most = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX);
    if content_length(headers).is_some_and(|length| length > most) {
        return Err(ApiError::PayloadTooLarge);
    }
    let mut whole: Option<Bytes> = None;
    loop {
        let frame = tokio::time::timeout(IDLE_MAX, body.frame()).await.map_err(|_| ApiError::RequestTimeout)?;
        let Some(frame) = frame else { return Ok(whole.unwrap_or_default()) };
        let frame = frame.map_err(|_| ApiError::InvalidRequest("the body broke off or is not well framed"))?;
        let Ok(data) = frame.into_data() else { continue };
        whole = Some(join(whole, data)?);
    }
}

/// The usual body comes in one frame and is not copied.
fn join(so_far: Option<Bytes>, data: Bytes) -> Result<Bytes, ApiError> {
    let before = so_far.as_ref().map_or(0, Bytes::len);
    if before.saturating_add(data.len()) > BODY_BYTES_MAX {
        return Err(ApiError::PayloadTooLarge);
    }
    Ok(match so_far {
        Some(first) if !first.is_empty() => [first, data].concat().into(),
        Some(_) | None => data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_of_64_kib_is_read_and_one_more_byte_refused() {
        let most = vec![b' '; BODY_BYTES_MAX];
        assert_eq!(read_body(&HeaderMap::new(), most.clone().into()).await.unwrap().len(), BODY_BYTES_MAX);
        let over = [most, vec![b' ']].concat();
        let seen = read_body(&HeaderMap::new(), over.into()).await;
        assert!(matches!(seen, Err(ApiError::PayloadTooLarge)));
    }

    #[tokio::test]
    async fn an_announced_giant_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert("content-length", axum::http::HeaderValue::from_static("10000000000"));
        assert!(matches!(read_body(&headers, Body::empty()).await, Err(ApiError::PayloadTooLarge)));
    }
}
