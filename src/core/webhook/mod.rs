//! Owns webhooks as the domain sees them: what is told, under which name and message id, and how long a delivery that
//! failed waits before it is tried again.
//!
//! Invariants: a type has one word, everywhere; a message's id depends on endpoint, event and type alone, so every
//! attempt carries the same.

mod operation;
mod retry;

use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::ids::{EventId, WebhookEndpointId};

pub use operation::WebhookOperation;
pub use retry::{ATTEMPTS_MAX, Jitter, pause_after_failure, pause_of_endpoint};

/// A text is not a type of webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a type of webhook")]
pub struct UnknownWebhookType;

/// What a webhook tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WebhookType {
    /// The contract's: a journal entry is in the books.
    #[serde(rename = "journalEntryPosted")]
    JournalEntryPosted,
    /// A payment is posted; with its split.
    #[serde(rename = "payment.posted")]
    PaymentPosted,
    /// A posting rule refused a payment.
    #[serde(rename = "payment.rejected")]
    PaymentRejected,
    /// The bank took a payment back.
    #[serde(rename = "payment.returned")]
    PaymentReturned,
    /// A posting rule refused to take a payment back, whatever the bank did.
    #[serde(rename = "payment.return_rejected")]
    PaymentReturnRejected,
    /// A payment was taken back as if it had never come.
    #[serde(rename = "payment.reversed")]
    PaymentReversed,
    /// Asked for by the caller, to see that deliveries arrive.
    #[serde(rename = "ping")]
    Ping,
}

impl WebhookType {
    /// Every type that an endpoint may ask for; a ping is asked for by name.
    pub const SUBSCRIBED: [Self; 6] = [
        Self::JournalEntryPosted,
        Self::PaymentPosted,
        Self::PaymentRejected,
        Self::PaymentReturned,
        Self::PaymentReturnRejected,
        Self::PaymentReversed,
    ];

    /// The word in settings, messages and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JournalEntryPosted => "journalEntryPosted",
            Self::PaymentPosted => "payment.posted",
            Self::PaymentRejected => "payment.rejected",
            Self::PaymentReturned => "payment.returned",
            Self::PaymentReturnRejected => "payment.return_rejected",
            Self::PaymentReversed => "payment.reversed",
            Self::Ping => "ping",
        }
    }

    /// Reads the word of a type that an endpoint may ask for.
    ///
    /// # Errors
    /// [`UnknownWebhookType`] for any other text.
    pub fn parse_subscribed(text: &str) -> Result<Self, UnknownWebhookType> {
        Self::SUBSCRIBED.into_iter().find(|known| known.as_str() == text).ok_or(UnknownWebhookType)
    }
}

impl FromStr for WebhookType {
    type Err = UnknownWebhookType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::Ping.as_str() { Ok(Self::Ping) } else { Self::parse_subscribed(text) }
    }
}

/// The id of a message: what a receiver dedupes by. The same for every attempt to tell an endpoint of an event.
#[must_use]
pub fn message_id(endpoint: WebhookEndpointId, event: EventId, told: WebhookType) -> String {
    let hash = Sha256::new().chain_update(b"hpts.webhook\0").chain_update(endpoint.0).chain_update(event.0);
    let hash: [u8; 32] = hash.chain_update(told.as_str()).finalize().into();
    let mut id = "msg_".to_owned();
    for byte in hash.iter().take(16) {
        // Writing to a string cannot fail.
        let _written = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_type_reads_back_and_a_ping_is_not_asked_for() {
        for told in WebhookType::SUBSCRIBED {
            assert_eq!(told.as_str().parse(), Ok(told));
            assert_eq!(serde_json::to_string(&told).unwrap(), format!("\"{}\"", told.as_str()));
        }
        assert_eq!("ping".parse(), Ok(WebhookType::Ping));
        assert_eq!(serde_json::to_string(&WebhookType::Ping).unwrap(), "\"ping\"");
        assert!(WebhookType::parse_subscribed("ping").is_err() && "payment".parse::<WebhookType>().is_err());
    }

    #[test]
    fn a_message_is_named_by_endpoint_event_and_type() {
        let endpoint = |number| WebhookEndpointId(Uuid::from_u128(number));
        let event = |number| EventId(Uuid::from_u128(number));
        let id = message_id(endpoint(1), event(2), WebhookType::PaymentPosted);
        assert_eq!(id, "msg_71027d8b8a01e506ee531efc13550c1e", "golden: receivers remember it");
        assert_eq!(id, message_id(endpoint(1), event(2), WebhookType::PaymentPosted));
        let others = [
            message_id(endpoint(3), event(2), WebhookType::PaymentPosted),
            message_id(endpoint(1), event(3), WebhookType::PaymentPosted),
            message_id(endpoint(1), event(2), WebhookType::JournalEntryPosted),
        ];
        assert!(others.iter().all(|other| *other != id && other.len() == 36), "{others:?}");
    }
}
