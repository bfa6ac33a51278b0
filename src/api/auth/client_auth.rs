//! Owns the check of a client's secret: bounded in work and in guesses.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::api::auth::limits::Limiter;
use crate::api::auth::secret::{SECRET_BYTES_MAX, is_secret_of};
use crate::api::ttl_cache::{TtlCache, TtlLimits};
use crate::core::time::Timestamp;
use crate::store::{ClientRecord, Store, StoreError};

/// Secrets checked at once: each takes a core for about 20 ms and 19 MiB.
const CHECKS_AT_ONCE: usize = 2;
/// Checks that may wait for their turn: more would take over half a second.
const CHECKS_WAITING_MAX: usize = 32;
/// Wrong secrets per client and [`FAILURE_WINDOW_SECONDS`].
const FAILURES_MAX: u32 = 10;
const FAILURE_WINDOW_SECONDS: u32 = 30;

/// A secret that was right is right for a minute, as long as its stored hash is the same.
const RIGHT_SECRETS: TtlLimits =
    TtlLimits { fresh: Duration::from_mins(1), kept: Duration::from_mins(1), entries_max: 1000 };

/// Why a client is not let in.
#[derive(Debug)]
pub(crate) enum ClientRefusal {
    /// No such client, a wrong secret, or shut out: not told apart.
    Unknown,
    /// Too many guesses, or too many checks at once.
    SlowDown {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The client could not be read.
    Store(StoreError),
}

/// Checks clients by their secrets.
#[derive(Debug)]
pub(crate) struct ClientAuth {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    failures: Limiter,
    right: TtlCache<[u8; 32], ()>,
}

impl ClientAuth {
    pub(crate) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: Arc::new(Semaphore::new(CHECKS_WAITING_MAX)),
            failures: Limiter::new(FAILURES_MAX, FAILURE_WINDOW_SECONDS),
            right: TtlCache::new(RIGHT_SECRETS),
        }
    }

    /// The client of an id and a secret. An unknown client takes as long as a wrong secret.
    pub(crate) async fn check(
        &self,
        store: &dyn Store,
        (client_id, secret): (&str, &str),
        now: Timestamp,
    ) -> Result<ClientRecord, ClientRefusal> {
        let client =
            if is_readable(client_id) { store.client(client_id).await.map_err(ClientRefusal::Store)? } else { None };
        let client = client.filter(|client| client.disabled_at.is_none());
        let pair = pair_hash(client_id, secret, client.as_ref());
        if self.right.get(&pair, now).is_some()
            && let Some(client) = client
        {
            return Ok(client);
        }
        self.failures.check(client_id, now).map_err(|retry_after| ClientRefusal::SlowDown { retry_after })?;
        let hash = client.as_ref().map(|client| client.secret_hash.clone());
        if !self.matches(secret, hash).await? {
            self.failures.count(client_id, now);
            return Err(ClientRefusal::Unknown);
        }
        self.right.put(pair, (), now);
        client.ok_or(ClientRefusal::Unknown)
    }

    /// Hashes off the runtime. The work goes on when the caller leaves, and keeps its turn until it ends.
    async fn matches(&self, secret: &str, hash: Option<String>) -> Result<bool, ClientRefusal> {
        if secret.len() > SECRET_BYTES_MAX {
            return Ok(false);
        }
        let busy = ClientRefusal::SlowDown { retry_after: 1 };
        let Ok(_place) = Arc::clone(&self.waiting).try_acquire_owned() else { return Err(busy) };
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return Err(busy) };
        let secret = secret.to_owned();
        let check = tokio::task::spawn_blocking(move || {
            let matches = is_secret_of(&secret, hash.as_deref());
            drop(turn);
            matches
        });
        check.await.map_err(|_| busy)
    }
}

/// Whether a database can hold the text; no client has another.
fn is_readable(client_id: &str) -> bool {
    (1..=255).contains(&client_id.len()) && !client_id.chars().any(char::is_control)
}

/// What a right secret is remembered by. The stored hash is part of it, so that a changed secret is checked anew.
fn pair_hash(client_id: &str, secret: &str, client: Option<&ClientRecord>) -> [u8; 32] {
    let stored = client.map_or("", |client| client.secret_hash.as_str());
    let mut hash = Sha256::new();
    for part in [client_id, secret, stored] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
