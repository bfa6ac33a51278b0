//! Owns the request headers that every write or answer looks at.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};

use crate::api::error::ApiError;
use crate::core::event::IdempotencyKey;

/// The caller's key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is the first one again.
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// W3C trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Deprecated, still read.
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The one idempotency key of a request.
///
/// # Errors
/// Missing, given twice, a list, or not a key.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let first = values.next().ok_or(ApiError::KeyMissing)?;
    if values.next().is_some() {
        return Err(ApiError::KeyInvalid("the header was given more than once"));
    }
    let text = first.to_str().map_err(|_| ApiError::KeyInvalid("it holds characters outside ASCII"))?;
    IdempotencyKey::parse(text)
        .map_err(|_| ApiError::KeyInvalid("it does not match ^[A-Za-z0-9][A-Za-z0-9._:-]{7,254}$"))
}

/// Whether the body is JSON in UTF-8, not compressed.
///
/// # Errors
/// Any other, or none.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    require_plain(headers)?;
    if media_type_is(headers, "application/json") { Ok(()) } else { Err(ApiError::UnsupportedMediaType) }
}

/// Whether the body stands as it is, not compressed.
///
/// # Errors
/// A content encoding other than `identity`.
pub(crate) fn require_plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType)
    }
}

/// Whether the one Content-Type is `media_type`, with no charset but UTF-8.
pub(crate) fn media_type_is(headers: &HeaderMap, media_type: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let is_type = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(media_type));
    is_type && parts.all(is_harmless)
}

fn is_harmless(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    if !name.trim().eq_ignore_ascii_case("charset") {
        return true;
    }
    let value = value.trim().trim_matches('"');
    value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
}

/// The announced length of the body, if one is announced.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the caller takes JSON: no Accept header, or one that allows it.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    accepts(headers, &["application/json", "application/problem+json", "application/*", "*/*"])
}

/// Whether the caller takes JSON or CSV: no Accept header, or one that allows either.
pub(crate) fn accepts_json_or_csv(headers: &HeaderMap) -> bool {
    accepts_json(headers) || accepts(headers, &["text/csv"])
}

/// Whether the caller takes server-sent events: no Accept header, or one that allows them.
pub(crate) fn accepts_events(headers: &HeaderMap) -> bool {
    accepts(headers, &["text/event-stream", "text/*", "*/*"])
}

fn accepts(headers: &HeaderMap, ranges: &[&str]) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    let mut asked = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    asked.any(|range| takes(range, ranges))
}

/// Whether the caller asks for `media_type` by its name.
pub(crate) fn prefers(headers: &HeaderMap, media_type: &str) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media = ranges.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    media.any(|media| media.trim().eq_ignore_ascii_case(media_type))
}

/// Whether a range of an Accept header is one of ours, and not refused.
fn takes(range: &str, ranges: &[&str]) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or("");
    let is_refused = parts.any(|parameter| {
        let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
        value.is_some_and(|value| !value.is_empty() && value.bytes().all(|byte| matches!(byte, b'0' | b'.')))
    });
    !is_refused && (media.is_empty() || ranges.iter().any(|known| media.eq_ignore_ascii_case(known)))
}

/// The trace the request belongs to, as far as its headers say something readable.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(trace_of_parent);
    parent.or_else(|| {
        let id = headers.get(X_TRACE_ID)?.to_str().ok()?;
        let allowed = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        ((8..=128).contains(&id.len()) && allowed).then_some(id)
    })
}

fn trace_of_parent(value: &str) -> Option<&str> {
    let mut parts = value.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let well_formed = is_hex(version, 2) && version != "ff" && is_hex(trace, 32) && is_hex(span, 16);
    (well_formed && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn exactly_one_key_is_taken() {
        assert!(idempotency_key(&with(&IDEMPOTENCY_KEY, &["payment:loan_42"])).is_ok());
        assert!(matches!(idempotency_key(&HeaderMap::new()), Err(ApiError::KeyMissing)));
        let bad: [&[&str]; 7] = [
            &[""],
            &["\"\""],
            &["\"payment:1"],
            &["payment:1,payment:2"],
            &["payment:1", "payment:1"],
            &["payment:é"],
            &["1234567"],
        ];
        for values in bad {
            let seen = idempotency_key(&with(&IDEMPOTENCY_KEY, values));
            assert!(matches!(seen, Err(ApiError::KeyInvalid(_))), "{values:?}");
        }
    }

    #[test]
    fn only_json_in_utf8_is_a_body() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(require_json(&with(&CONTENT_TYPE, &[good])).is_ok(), "{good}");
        }
        for bad in ["text/plain", "application/xml", "application/json; charset=utf-16", "", "application/jsonx"] {
            assert!(require_json(&with(&CONTENT_TYPE, &[bad])).is_err(), "{bad}");
        }
        assert!(require_json(&HeaderMap::new()).is_err());
        let mut zipped = with(&CONTENT_TYPE, &["application/json"]);
        zipped.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(require_json(&zipped).is_err());
    }

    #[test]
    fn accept_decides_between_json_and_406() {
        for good in ["application/json", "*/*", "text/html, application/json;q=0.5", "application/*"] {
            assert!(accepts_json(&with(&ACCEPT, &[good])), "{good}");
        }
        assert!(accepts_json(&HeaderMap::new()));
        for bad in ["text/html", "application/json;q=0", "text/html, */*;q=0.0", "text/event-stream"] {
            assert!(!accepts_json(&with(&ACCEPT, &[bad])), "{bad}");
        }
        for (asked, takes) in
            [("text/event-stream", true), ("text/*", true), ("*/*", true), ("application/json", false)]
        {
            assert_eq!(accepts_events(&with(&ACCEPT, &[asked])), takes, "{asked}");
        }
    }

    #[test]
    fn traces_are_read_leniently() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(&with(&TRACEPARENT, &[parent])), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(trace_id(&with(&X_TRACE_ID, &["abc-12345"])), Some("abc-12345"));
        for garbage in ["", "00-zz-11-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "---"] {
            assert_eq!(trace_id(&with(&TRACEPARENT, &[garbage])), None, "{garbage}");
        }
    }
}
