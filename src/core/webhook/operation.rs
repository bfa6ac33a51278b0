//! Owns what callers ask of their endpoints. Each is a keyed operation that the api finishes itself.

use serde::{Deserialize, Serialize};

use crate::core::ids::WebhookEndpointId;
use crate::core::time::Timestamp;
use crate::core::webhook::WebhookType;

/// An operation on an endpoint, without secrets: it is stored, and told when its key is used for something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookOperation {
    /// Makes an endpoint.
    Create {
        /// Where to.
        url: String,
        /// What it is told, sorted.
        event_types: Vec<WebhookType>,
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Another secret.
    RotateSecret {
        /// Whose.
        endpoint: WebhookEndpointId,
    },
    /// Sends nothing more.
    Disable {
        /// To whom.
        endpoint: WebhookEndpointId,
    },
    /// Goes on where it stopped.
    Enable {
        /// To whom.
        endpoint: WebhookEndpointId,
    },
    /// Sends a ping.
    Test {
        /// To whom.
        endpoint: WebhookEndpointId,
    },
    /// Tells again what was finished since then.
    Replay {
        /// Whom.
        endpoint: WebhookEndpointId,
        /// Since when.
        since: Timestamp,
    },
}

impl WebhookOperation {
    /// The word of the operation.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Create { .. } => "webhook_create",
            Self::RotateSecret { .. } => "webhook_rotate_secret",
            Self::Disable { .. } => "webhook_disable",
            Self::Enable { .. } => "webhook_enable",
            Self::Test { .. } => "webhook_test",
            Self::Replay { .. } => "webhook_replay",
        }
    }

    /// What makes it this operation and no other, for fingerprints: each part by itself.
    #[must_use]
    pub fn parts(&self) -> Vec<String> {
        match self {
            Self::Create { url, event_types, description } => {
                let types: Vec<&str> = event_types.iter().map(|told| told.as_str()).collect();
                [url.clone(), types.join(",")].into_iter().chain(description.clone()).collect()
            }
            Self::RotateSecret { endpoint }
            | Self::Disable { endpoint }
            | Self::Enable { endpoint }
            | Self::Test { endpoint } => vec![endpoint.to_string()],
            Self::Replay { endpoint, since } => vec![endpoint.to_string(), since.to_string()],
        }
    }

    /// The fields in which two operations differ; `operation` where they are not the same one.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let named = |fields: &[(&'static str, bool)]| {
            fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
        };
        match (self, other) {
            (
                Self::Create { url, event_types, description },
                Self::Create { url: other_url, event_types: other_types, description: other_description },
            ) => named(&[
                ("url", url != other_url),
                ("event_types", event_types != other_types),
                ("description", description != other_description),
            ]),
            (Self::Replay { endpoint, since }, Self::Replay { endpoint: other_endpoint, since: other_since }) => {
                named(&[("webhook_endpoint_id", endpoint != other_endpoint), ("since", since != other_since)])
            }
            (Self::RotateSecret { endpoint: one }, Self::RotateSecret { endpoint: other })
            | (Self::Disable { endpoint: one }, Self::Disable { endpoint: other })
            | (Self::Enable { endpoint: one }, Self::Enable { endpoint: other })
            | (Self::Test { endpoint: one }, Self::Test { endpoint: other }) => {
                named(&[("webhook_endpoint_id", one != other)])
            }
            (
                Self::Create { .. }
                | Self::RotateSecret { .. }
                | Self::Disable { .. }
                | Self::Enable { .. }
                | Self::Test { .. }
                | Self::Replay { .. },
                _,
            ) => vec!["operation"],
        }
    }
}
