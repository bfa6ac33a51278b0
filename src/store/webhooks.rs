//! Owns the shape of what webhooks need of the store: endpoints with their place in the change feed, deliveries that
//! failed, and the keyed operations on endpoints.
//!
//! An endpoint's place says how far the feed was told: everything up to it was delivered, or is a row of
//! `webhook_deliveries`. So a delivery that succeeds at once leaves no row, and one that fails leaves one until it
//! succeeds or is given up. One worker at a time has the turn at an endpoint; should two have it, the receiver gets a
//! message twice, which it must bear anyway.

use std::time::Duration;

use async_trait::async_trait;

use crate::core::event::NewEvent;
use crate::core::ids::{EventId, TenantId, WebhookEndpointId, WorkerId};
use crate::core::time::Timestamp;
use crate::core::webhook::WebhookType;
use crate::store::StoreError;
use crate::store::intake::KnownEvent;
use crate::store::poller_reads::ChangePlace;

/// Why an endpoint is sent nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// Its owner asked for it.
    Requested,
    /// It answered 410.
    Gone,
    /// It failed for days.
    Failing,
}

impl DisabledReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Requested, Self::Gone, Self::Failing];

    /// The stored word, and the one that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Since when, and why, an endpoint is sent nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: DisabledReason,
}

/// An endpoint as the store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose.
    pub tenant: TenantId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where to.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// What it is told.
    pub event_types: Vec<WebhookType>,
    /// The secret that signs; sealed where there is a key file.
    pub secret: Vec<u8>,
    /// The secret before it, and until when it signs as well.
    pub previous_secret: Option<(Vec<u8>, Timestamp)>,
    /// Set where nothing is sent.
    pub disabled: Option<Disabled>,
    /// How far the feed was told.
    pub place: ChangePlace,
    /// How often in a row it took nothing of what was sent at once.
    pub failures: i32,
    /// Since when nothing was delivered although it was tried.
    pub failing_since: Option<Timestamp>,
    /// When something was delivered last.
    pub delivered_at: Option<Timestamp>,
    /// Deliveries that will be tried again; counted up to the bound of a claim's plan where it is claimed.
    pub pending: i64,
}

impl std::fmt::Debug for EndpointRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointRecord").field("id", &self.id).field("place", &self.place).finish_non_exhaustive()
    }
}

/// An endpoint that is about to be made. Its id is that of its event.
#[derive(Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    /// When it is made, by the database's clock.
    pub created_at: Timestamp,
    /// Where to.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// What it is told.
    pub event_types: Vec<WebhookType>,
    /// The secret that signs; sealed where there is a key file.
    pub secret: Vec<u8>,
    /// Where it begins in the feed.
    pub place: ChangePlace,
    /// The most endpoints of its tenant.
    pub endpoints_max: i64,
}

impl std::fmt::Debug for NewEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEndpoint").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What an operation does to the tenant's endpoint.
#[derive(Clone)]
pub enum WebhookEffect {
    /// Makes it.
    Create(NewEndpoint),
    /// Signs with another secret from now on; the one it had signs beside it for a while.
    Rotate {
        /// Which.
        endpoint: WebhookEndpointId,
        /// The other secret; sealed where there is a key file.
        secret: Vec<u8>,
        /// How long the old one signs as well.
        overlap: Duration,
    },
    /// Sends nothing more.
    Disable {
        /// Which.
        endpoint: WebhookEndpointId,
    },
    /// Goes on where it stopped, at once.
    Enable {
        /// Which.
        endpoint: WebhookEndpointId,
    },
    /// Delivers a ping, named by the operation's event.
    Ping {
        /// Which.
        endpoint: WebhookEndpointId,
    },
    /// Moves its place back, never forward.
    Rewind {
        /// Which.
        endpoint: WebhookEndpointId,
        /// To here.
        to: ChangePlace,
    },
}

impl std::fmt::Debug for WebhookEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookEffect")
    }
}

/// A keyed operation: its event, what it does, and what its caller is answered, all in one transaction.
#[derive(Clone, Debug)]
pub struct NewOperation {
    /// Made by [`NewEvent::of_upload`]: on no loan, in no queue.
    pub event: NewEvent,
    /// What it does.
    pub effect: WebhookEffect,
    /// The body its caller gets, without secrets.
    pub answer: Vec<u8>,
}

/// Why an operation did nothing. Its key stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The tenant has an endpoint of this address.
    Taken,
    /// The tenant has as many endpoints as it may.
    TooMany,
    /// The tenant has no such endpoint.
    Missing,
}

/// What became of an operation.
#[derive(Clone, Debug)]
pub enum Operated {
    /// It is done.
    Done,
    /// Its key was taken; nothing was written. With the first answer, where there is one.
    Known(Box<KnownEvent>, Option<Vec<u8>>),
    /// Nothing was written.
    Refused(Refusal),
}

/// Which endpoint of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointRef {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: WebhookEndpointId,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFailure {
    /// In a word.
    pub error: &'static str,
    /// How long to wait before the next one; `None` gives it up.
    pub pause: Option<Duration>,
}

/// What a message tells: of which event, and which of the things that can be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// The event.
    pub event_id: EventId,
    /// What is told of it.
    pub event_type: WebhookType,
}

/// One attempt at one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The message.
    pub told: Told,
    /// The receiver's status, if it answered.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed; `None` where it was delivered.
    pub failure: Option<AttemptFailure>,
}

/// Who takes turns, and how many at once.
#[derive(Clone, Copy, Debug)]
pub struct ClaimPlan {
    /// Who asks.
    pub worker: WorkerId,
    /// How long a turn holds without renewal.
    pub lease: Duration,
    /// The most endpoints to take.
    pub limit: i64,
    /// An endpoint with so many deliveries that wait is told nothing further.
    pub pending_max: i64,
}

/// A turn at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointHold {
    /// Which endpoint.
    pub id: WebhookEndpointId,
    /// Whose turn.
    pub worker: WorkerId,
}

/// A delivery whose time has come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// The message.
    pub told: Told,
    /// How often it was tried.
    pub attempts: i32,
    /// When its row was made.
    pub created_at: Timestamp,
}

/// What came of some messages of one endpoint.
#[derive(Clone, Debug)]
pub struct Turned {
    /// Whose turn it is.
    pub hold: EndpointHold,
    /// The turn is renewed by this.
    pub lease: Duration,
    /// Where the endpoint stood; a replay may have moved it meanwhile, and then it stays there.
    pub from: ChangePlace,
    /// Where it stands now.
    pub to: ChangePlace,
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// How often in a row nothing was taken, these attempts included; 0 where one was delivered. `None` where nothing
    /// was tried.
    pub failures: Option<i32>,
    /// How long nothing is sent.
    pub pause: Duration,
    /// Whether it is disabled from now on.
    pub disabled: Option<DisabledReason>,
}

/// A delivery as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The message.
    pub told: Told,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was tried first; of a ping, when it was asked for.
    pub created_at: Timestamp,
    /// When it was tried last.
    pub last_attempt_at: Option<Timestamp>,
    /// When it is tried next.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// The receiver's last status.
    pub status: Option<i32>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// What webhooks need of the store.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Does a keyed operation, once: event, effect and posting with the answer, in one transaction.
    async fn operate_webhook(&self, operation: NewOperation) -> Result<Operated, StoreError>;

    /// A tenant's endpoints, oldest first.
    async fn webhook_endpoints(&self, tenant: TenantId) -> Result<Vec<EndpointRecord>, StoreError>;

    /// An endpoint.
    async fn webhook_endpoint(&self, endpoint: EndpointRef) -> Result<Option<EndpointRecord>, StoreError>;

    /// The newest deliveries of an endpoint that failed at least once, and its pings.
    async fn webhook_deliveries(&self, endpoint: EndpointRef, limit: i64) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// The place in a tenant's feed before everything that was finished at `since` or later. Walks back from the end:
    /// costs what is replayed.
    async fn place_before(&self, tenant: TenantId, since: Timestamp) -> Result<ChangePlace, StoreError>;

    /// Takes the turn at endpoints that have something to be told and that nobody has the turn at, least recently
    /// served first. One short transaction; nothing is written where there is nothing to do.
    async fn claim_endpoints(&self, plan: ClaimPlan) -> Result<Vec<EndpointRecord>, StoreError>;

    /// The deliveries of an endpoint whose time has come, longest due first.
    async fn due_deliveries(&self, id: WebhookEndpointId, limit: i64) -> Result<Vec<DueDelivery>, StoreError>;

    /// Keeps what came of some messages, and renews the turn. False when the turn is lost, or the endpoint is
    /// disabled: the turn ends.
    async fn record_turn(&self, turned: Turned) -> Result<bool, StoreError>;

    /// Gives the turn back, and forgets deliveries that were settled longer ago than `forget_after`.
    async fn release_endpoint(&self, hold: EndpointHold, forget_after: Duration) -> Result<(), StoreError>;
}
