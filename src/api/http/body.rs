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

/// Reads the body of one event.
///
/// # Errors
/// See [`read_body_of`].
pub(crate) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    read_body_of(headers, body, BODY_BYTES_MAX).await
}

/// Reads a body. One that announces more than `bytes_max` is refused before it is read, so that a client that expects
/// `100 Continue` never gets it.
///
/// # Errors
/// Too large, silent for [`IDLE_MAX`], or broken off.
pub(crate) async fn read_body_of(headers: &HeaderMap, mut body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if content_length(headers).is_some_and(|length| length > most) {
        return Err(ApiError::PayloadTooLarge);
    }
    let mut whole = Gathered::Nothing;
    loop {
        let frame = tokio::time::timeout(IDLE_MAX, body.frame()).await.map_err(|_| ApiError::RequestTimeout)?;
        let Some(frame) = frame else { return Ok(whole.into_bytes()) };
        let frame = frame.map_err(|_| ApiError::InvalidRequest("the body broke off or is not well framed"))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > bytes_max {
            return Err(ApiError::PayloadTooLarge);
        }
        whole = whole.with(data);
    }
}

/// What has arrived. The usual body comes in one frame and is not copied.
enum Gathered {
    Nothing,
    Frame(Bytes),
    Frames(Vec<u8>),
}

impl Gathered {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Frame(frame) => frame.len(),
            Self::Frames(bytes) => bytes.len(),
        }
    }

    fn with(self, data: Bytes) -> Self {
        match self {
            Self::Nothing => Self::Frame(data),
            Self::Frame(first) => Self::Frames([first, data].concat()),
            Self::Frames(mut bytes) => {
                bytes.extend_from_slice(&data);
                Self::Frames(bytes)
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Frame(frame) => frame,
            Self::Frames(bytes) => bytes.into(),
        }
    }
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
    async fn frames_are_joined_up_to_the_limit() {
        let frames = || {
            let frames = [&b"ab"[..], b"", b"c", b"defg"].map(Ok::<_, std::convert::Infallible>);
            Body::from_stream(futures::stream::iter(frames))
        };
        assert_eq!(read_body_of(&HeaderMap::new(), frames(), 7).await.unwrap(), &b"abcdefg"[..]);
        assert!(matches!(read_body_of(&HeaderMap::new(), frames(), 6).await, Err(ApiError::PayloadTooLarge)));
    }

    #[tokio::test]
    async fn an_announced_giant_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert("content-length", axum::http::HeaderValue::from_static("10000000000"));
        assert!(matches!(read_body(&headers, Body::empty()).await, Err(ApiError::PayloadTooLarge)));
    }
}
