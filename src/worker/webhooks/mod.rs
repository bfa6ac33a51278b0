//! Owns the telling of webhooks: which endpoints get a turn, and when.
//!
//! ```text
//! change feed ──▶ turn (one endpoint, one worker at a time) ──▶ sender ──▶ receiver
//!                   │ what failed ──▶ webhook_deliveries ──▶ due again ──┘
//! ```
//!
//! - **Nothing is in the posting path.** A turn reads the feed behind the commits; no endpoint, no cost but one look at
//!   an empty table every [`LOOK_EVERY`].
//! - **At least once.** An endpoint's place moves after its messages were answered; a worker that dies in between tells
//!   them again, under the same message id.
//! - **One never holds up another.** Each endpoint has turns of its own, [`turn::SENT_AT_ONCE`] messages at once. What
//!   fails becomes a row and is tried again by a ladder, while what comes later goes on; an endpoint that takes nothing
//!   is paused for at most five minutes at a time.

mod message;
mod resolver;
mod retry_after;
mod sender;
mod signature;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::core::ids::WorkerId;
use crate::runtime::clock::Clock;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::sealing::SealingKey;
use crate::runtime::telemetry::chain;
use crate::runtime::webhook_target::TargetPolicy;
use crate::store::{ClaimPlan, Store};

use sender::Sender;
use turn::{PENDING_MAX, Turn};

/// How often it is looked for endpoints with something to be told.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a turn holds without renewal: a request may take 15 s, what surrounds it less. When a worker is killed, its
/// endpoints wait that long.
const LEASE: Duration = Duration::from_secs(30);
/// The most turns of a process at once. Each is a task and up to [`turn::SENT_AT_ONCE`] connections.
const TURNS_MAX: usize = 32;

/// What webhooks are told with.
#[derive(Clone, Debug)]
pub struct WebhooksParts {
    /// Where the feed and the endpoints are.
    pub store: Arc<dyn Store>,
    /// For the time in a signature.
    pub clock: Clock,
    /// Opens sealed secrets.
    pub sealing_key: Option<Arc<SealingKey>>,
    /// Where webhooks may go.
    pub policy: TargetPolicy,
    /// How long an endpoint may fail before it is disabled.
    pub patience: Duration,
}

/// Webhooks could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    /// TLS cannot be set up, such as on a machine without root certificates.
    #[error("webhooks cannot be sent from here")]
    Client(#[source] reqwest::Error),
}

/// Starts telling webhooks, on `lifecycle`.
///
/// # Errors
/// [`WebhooksError::Client`].
pub fn start_webhooks(parts: WebhooksParts, lifecycle: &Lifecycle) -> Result<(), WebhooksError> {
    let sender = Sender::new(parts.policy.clone(), parts.clock.clone()).map_err(WebhooksError::Client)?;
    let desk = Desk { parts, sender, worker: WorkerId(uuid::Uuid::new_v4()), lifecycle: lifecycle.clone() };
    lifecycle.spawn_vital("webhooks", run(Arc::new(desk)));
    Ok(())
}

/// What every turn works with.
#[derive(Debug)]
struct Desk {
    parts: WebhooksParts,
    sender: Sender,
    worker: WorkerId,
    lifecycle: Lifecycle,
}

impl Desk {
    fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }
}

/// Looks for work until the process stops. While the store is away it keeps looking.
async fn run(desk: Arc<Desk>) {
    let stopping = desk.lifecycle.token();
    let places = Arc::new(Semaphore::new(TURNS_MAX));
    let mut is_away = false;
    while stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let limit = i64::try_from(places.available_permits()).unwrap_or(0);
        if limit == 0 {
            continue;
        }
        let plan = ClaimPlan { worker: desk.worker, lease: LEASE, limit, pending_max: PENDING_MAX };
        let claimed = desk.store().claim_endpoints(plan).await;
        match &claimed {
            Err(error) if !is_away => tracing::warn!(error = chain(error), "webhooks wait for the database"),
            Ok(_) if is_away => tracing::info!("webhooks go on"),
            Ok(_) | Err(_) => {}
        }
        is_away = claimed.is_err();
        for endpoint in claimed.unwrap_or_default() {
            // As many as there are places were claimed, and only this task takes places.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let turn = Turn::new(Arc::clone(&desk), endpoint);
            drop(desk.lifecycle.spawn(async move {
                turn.take().await;
                drop(place);
            }));
        }
    }
}
