//! Owns the two kinds of time: calendar dates (when something counts) and instants (when we learned of it).

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// A text is not a full date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a calendar date written YYYY-MM-DD")]
pub struct NotADate;

/// Reads a full date of the form `YYYY-MM-DD`, years 0001 to 9999.
///
/// # Errors
/// [`NotADate`] for any other form and for days the calendar does not have.
pub fn parse_date(text: &str) -> Result<NaiveDate, NotADate> {
    let digits = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let dashes = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    if text.len() != 10 || !dashes {
        return Err(NotADate);
    }
    let (year, month, day) = (digits(0..4), digits(5..7), digits(8..10));
    let year = year.filter(|year| *year >= 1).and_then(|year| i32::try_from(year).ok());
    match (year, month, day) {
        (Some(year), Some(month), Some(day)) => NaiveDate::from_ymd_opt(year, month, day).ok_or(NotADate),
        _ => Err(NotADate),
    }
}

/// A text is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an instant in UTC written YYYY-MM-DDThh:mm:ssZ, with at most 6 decimals of a second")]
pub struct NotAnInstant;

/// An instant in UTC, to the microsecond: what both databases keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// 1970-01-01T00:00:00Z: earlier than anything we record.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// Truncates an instant to microseconds.
    #[must_use]
    pub fn new(instant: DateTime<Utc>) -> Self {
        Self(DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant))
    }

    /// Reads the contract's form of an instant, RFC 3339 in UTC with `Z`: `2026-05-01T12:00:00.000001Z`.
    ///
    /// # Errors
    /// [`NotAnInstant`] for any other form, for leap seconds, and for what the calendar does not have.
    pub fn parse(text: &str) -> Result<Self, NotAnInstant> {
        let (date, time) = text.strip_suffix('Z').and_then(|text| text.split_once('T')).ok_or(NotAnInstant)?;
        let (whole, decimals) = time.split_once('.').unwrap_or((time, "0"));
        let is_time = whole.len() == 8 && (1..=6).contains(&decimals.len());
        let is_plain = whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        if !is_time || !is_plain || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAnInstant);
        }
        let date = parse_date(date).map_err(|_| NotAnInstant)?;
        let time = NaiveTime::parse_from_str(whole, "%H:%M:%S").map_err(|_| NotAnInstant)?;
        let micros: i64 = format!("{decimals:0<6}").parse().map_err(|_| NotAnInstant)?;
        let second = date.and_time(time).and_utc().timestamp_micros();
        let is_leap = time.nanosecond() != 0;
        let instant = second.checked_add(micros).filter(|_| !is_leap).and_then(Self::from_micros);
        instant.ok_or(NotAnInstant)
    }

    /// From microseconds since 1970; `None` outside the calendar.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// The instant as chrono knows it.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl From<Timestamp> for i64 {
    fn from(instant: Timestamp) -> Self {
        instant.micros()
    }
}

impl TryFrom<i64> for Timestamp {
    type Error = &'static str;

    fn try_from(micros: i64) -> Result<Self, Self::Error> {
        Self::from_micros(micros).ok_or("instant outside the calendar")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_one_form() {
        assert_eq!(parse_date("2026-05-01"), Ok(NaiveDate::from_ymd_opt(2026, 5, 1).unwrap()));
        assert_eq!(parse_date("2028-02-29"), Ok(NaiveDate::from_ymd_opt(2028, 2, 29).unwrap()));
        for bad in [
            "2026-02-30",
            "2027-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-2-3",
            "02/03/2026",
            "20260203",
            "2026-W05-1",
            "0000-01-01",
            "10000-01-01",
            "-001-01-01",
            "2026-05-01T00:00:00Z",
            "",
            "２０２６-05-01",
            "2026-05-+1",
        ] {
            assert_eq!(parse_date(bad), Err(NotADate), "{bad:?}");
        }
    }

    #[test]
    fn instants_are_read_as_they_are_written() {
        for good in
            ["2026-05-01T12:00:00Z", "2026-05-01T12:00:00.000001Z", "0001-01-01T00:00:00Z", "2026-05-01T23:59:59.5Z"]
        {
            let instant = Timestamp::parse(good).unwrap();
            assert_eq!(Timestamp::parse(&instant.to_string()), Ok(instant), "{good}");
        }
        assert_eq!(Timestamp::parse("2026-05-01T12:00:00.000001Z").unwrap().micros(), 1_777_636_800_000_001);
        for bad in [
            "2026-05-01",
            "2026-05-01T12:00:00",
            "2026-05-01T12:00:00+00:00",
            "2026-05-01t12:00:00z",
            "2026-05-01 12:00:00Z",
            "2026-05-01T24:00:00Z",
            "2026-05-01T12:00:60Z",
            "2026-05-01T12:00Z",
            "2026-05-01T1:00:00Z",
            "2026-05-01T12:00:00.Z",
            "2026-05-01T12:00:00.1234567Z",
            "2026-02-30T12:00:00Z",
            "+026-05-01T12:00:00Z",
            "",
            "Z",
            "TZ",
        ] {
            assert_eq!(Timestamp::parse(bad), Err(NotAnInstant), "{bad:?}");
        }
    }

    #[test]
    fn instants_end_in_z_and_keep_microseconds() {
        let instant = Timestamp::from_micros(1_777_636_800_000_001).unwrap();
        assert_eq!(instant.to_string(), "2026-05-01T12:00:00.000001Z");
        assert_eq!(Timestamp::from_micros(1_777_636_800_000_000).unwrap().to_string(), "2026-05-01T12:00:00Z");
    }
}
