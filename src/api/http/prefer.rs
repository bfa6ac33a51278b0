//! Owns the `Prefer` header (RFC 7240): how long a caller wants to wait for a result.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::HeaderName;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The longest wait a caller gets: proxies between us usually give up at 60 seconds themselves.
pub(crate) const WAIT_MAX: Duration = Duration::from_mins(1);

/// What the caller prefers. Preferences that are unknown or malformed are ignored, as the RFC asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    respond_async: bool,
    wait: Option<Duration>,
}

impl Prefer {
    /// Reads the headers; the first mention of a preference counts.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or("").trim();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if name.trim().eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.trim().eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                prefer.wait = wait_seconds(value.trim().trim_matches('"'));
            }
        }
        prefer
    }

    /// How long to wait.
    pub(crate) fn wait(self, default: Duration) -> Duration {
        match self {
            Self { wait: Some(wait), .. } => wait,
            Self { respond_async: true, wait: None } => Duration::ZERO,
            Self { respond_async: false, wait: None } => default,
        }
    }

    /// The `Preference-Applied` header, if any preference was.
    pub(crate) fn applied(self) -> Option<String> {
        match self {
            Self { respond_async: false, wait: None } => None,
            Self { respond_async: true, wait: None } => Some("respond-async".to_owned()),
            Self { respond_async: false, wait: Some(wait) } => Some(format!("wait={}", wait.as_secs())),
            Self { respond_async: true, wait: Some(wait) } => Some(format!("respond-async, wait={}", wait.as_secs())),
        }
    }
}

/// Seconds written as digits, capped at [`WAIT_MAX`]; `None` for anything else.
pub(crate) fn wait_seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn preferences_are_read_capped_or_ignored() {
        let default = Duration::from_secs(5);
        let cases = [
            ("", 5, None),
            ("respond-async", 0, Some("respond-async")),
            ("Respond-Async, wait=5", 5, Some("respond-async, wait=5")),
            ("wait=\"7\"; foo", 7, Some("wait=7")),
            ("wait=999999", 60, Some("wait=60")),
            ("wait=99999999999999999999999", 60, Some("wait=60")),
            ("wait=0", 0, Some("wait=0")),
            ("wait=-1", 5, None),
            ("wait=abc, handling=lenient", 5, None),
            ("wait=3, wait=9", 3, Some("wait=3")),
        ];
        for (text, seconds, applied) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(text));
            let prefer = Prefer::of(&headers);
            assert_eq!(prefer.wait(default), Duration::from_secs(seconds), "{text}");
            assert_eq!(prefer.applied().as_deref(), applied, "{text}");
        }
    }
}
