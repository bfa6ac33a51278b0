//! Owns the reading of `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).

use std::time::Duration;

use chrono::DateTime;

use crate::core::time::Timestamp;

/// The longest wait that a receiver may ask for.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// How long a receiver asks us to wait, at most a day; `None` for what is neither seconds nor a date.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        // More digits than a number holds are longer than a day.
        let seconds = value.parse().map_or(WAIT_MAX, Duration::from_secs);
        return Some(seconds.min(WAIT_MAX));
    }
    let at = Timestamp::new(DateTime::parse_from_rfc2822(value).ok()?.to_utc());
    let micros = at.micros().saturating_sub(now.micros());
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        // 2026-05-01 12:00 UTC.
        let now = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("99999999", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Fri, 01 May 2026 12:02:00 GMT", Some(120)),
            ("Fri, 01 May 2026 11:00:00 GMT", Some(0)),
            ("Fri, 01 May 2099 11:00:00 GMT", Some(86_400)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
    }
}
