//! Owns the message that carries work: a hint that names accepted events and creates nothing.
//!
//! JSON, versioned. A reader takes every version up to its own; a newer one waits for a newer reader. The row in the
//! store decides what an event is; a message that disagrees with its row is an alarm, not a change.

use serde::{Deserialize, Serialize};

use crate::core::ids::{EventId, LoanKey, PublisherId, Seq, TenantId};

/// The version this code writes.
pub const ENVELOPE_VERSION: u16 = 1;
/// The most events one message names.
pub const ENVELOPE_EVENTS_MAX: usize = 256;
/// The most bytes one message has: 256 references of about 170 bytes each, with room.
pub const ENVELOPE_BYTES_MAX: usize = 128 * 1024;

/// Why bytes are not a message we can act on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not our JSON.
    #[error("message is not an envelope")]
    Malformed,
    /// Over [`ENVELOPE_BYTES_MAX`].
    #[error("message is larger than {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
    /// Written by a later release: wait, do not judge.
    #[error("envelope version {0} is newer than {ENVELOPE_VERSION}")]
    FutureVersion(u16),
    /// More than [`ENVELOPE_EVENTS_MAX`] events.
    #[error("message names more than {ENVELOPE_EVENTS_MAX} events")]
    TooManyEvents,
}

impl WireError {
    /// The metric label of the reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::FutureVersion(_) => "future_version",
            Self::TooManyEvents => "too_many_events",
        }
    }
}

/// One event, as a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// Its place in the order.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its loan, as 32 hexadecimal digits.
    #[serde(with = "loan_key_hex")]
    pub loan_key: LoanKey,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Version of this form.
    pub v: u16,
    /// The events it hints at.
    pub events: Vec<EventRef>,
    /// Which api process published it. Only informative: answers go by the stored publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherId>,
    /// W3C `traceparent` of the first request in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Envelope {
    /// An envelope of this version.
    #[must_use]
    pub fn new(events: Vec<EventRef>, publisher: Option<PublisherId>, trace: Option<String>) -> Self {
        Self { v: ENVELOPE_VERSION, events, publisher, trace }
    }

    /// The bytes that travel.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a message; a repeated id is kept once.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u16,
        }
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(WireError::TooLarge);
        }
        let version: Versioned = serde_json::from_slice(bytes).map_err(|_| WireError::Malformed)?;
        match version.v {
            0 => return Err(WireError::Malformed),
            1..=ENVELOPE_VERSION => {}
            newer => return Err(WireError::FutureVersion(newer)),
        }
        let mut envelope: Self = serde_json::from_slice(bytes).map_err(|_| WireError::Malformed)?;
        if envelope.events.len() > ENVELOPE_EVENTS_MAX {
            return Err(WireError::TooManyEvents);
        }
        envelope.events.sort_by_key(|event| event.seq);
        envelope.events.dedup_by_key(|event| event.id);
        Ok(envelope)
    }
}

mod loan_key_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    use crate::core::ids::LoanKey;

    pub(super) fn serialize<S: Serializer>(key: &LoanKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Uuid::from_bytes(key.bytes()).simple())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LoanKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        let uuid = Uuid::try_parse(&text).map_err(|_| D::Error::custom("not a loan key"))?;
        Ok(LoanKey::from_bytes(uuid.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn event(number: u8) -> EventRef {
        EventRef {
            seq: Seq(i64::from(number)),
            id: EventId(Uuid::from_u128(u128::from(number) << 1)),
            tenant: TenantId(Uuid::from_u128(9)),
            loan_key: LoanKey::from_bytes([number; 16]),
        }
    }

    #[test]
    fn an_envelope_reads_back_and_names_each_event_once() {
        let envelope = Envelope::new(vec![event(2), event(1), event(2)], None, None);
        let read = Envelope::from_bytes(&envelope.to_bytes()).unwrap();
        assert_eq!(read.events, vec![event(1), event(2)]);
        assert!(Envelope::from_bytes(br#"{"v":1,"events":[],"later_field":1}"#).unwrap().events.is_empty());
    }

    #[test]
    fn bad_bytes_have_reasons() {
        for bad in [&b""[..], b"\x00\xff", b"{}", b"[]", br#"{"v":0,"events":[]}"#, br#"{"v":1,"events":[{"seq":1}]}"#]
        {
            assert_eq!(Envelope::from_bytes(bad), Err(WireError::Malformed), "{bad:?}");
        }
        assert_eq!(Envelope::from_bytes(br#"{"v":2,"other":true}"#), Err(WireError::FutureVersion(2)));
        assert_eq!(Envelope::from_bytes(&vec![b' '; ENVELOPE_BYTES_MAX + 1]), Err(WireError::TooLarge));
        let many = Envelope::new((0..=ENVELOPE_EVENTS_MAX).map(|_| event(1)).collect(), None, None);
        assert_eq!(Envelope::from_bytes(&many.to_bytes()), Err(WireError::TooManyEvents));
    }
}
