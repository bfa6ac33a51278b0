//! Owns the keys of an outside token issuer: fetched from its key set by one task, and what stands when it is away.
//!
//! | what happens | what callers get |
//! | --- | --- |
//! | no look has succeeded yet | 503 with Retry-After, and the process is not ready: nobody is let in unknown |
//! | the issuer is away | the last good keys serve, however long; readiness says `stale` |
//! | it publishes other keys | they serve after the next regular look, or at once when a token names one |
//! | a token names a key that is not there | one more look, at most every few seconds however many such tokens come; then 401, or 503 if the look failed, because then we cannot tell |
//! | it withdraws every key | it is believed: 503 until it publishes one |
//!
//! Handlers only read what the task has found and wait for it; a handler that is dropped disturbs nothing.

mod fetch;
mod jwk;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::{Notify, watch};

use crate::api::auth::error::AuthError;
use crate::api::auth::keys::KeySet;
use crate::api::auth::outside::fetch::Fetcher;
use crate::api::auth::outside::jwk::{Gravity, LeftOut, Reading};
use crate::runtime::clock::Stopwatch;
use crate::runtime::jwks_url::JwksUrl;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::chain;

/// The first pause after a look that failed.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause after a look that failed, before jitter adds up to as much again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// An outside issuer: where its keys are, and how often they are looked at.
#[derive(Clone, Debug)]
pub struct OutsideIssuer {
    /// Its key set.
    pub jwks_url: JwksUrl,
    /// How often it is looked at. A withdrawn key verifies for at most this long.
    pub refresh_every: Duration,
    /// How often it is looked at because of a key that is not there.
    pub look_again_after: Duration,
    /// How long one look may take.
    pub look_within: Duration,
}

/// Why an outside issuer cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("its key set cannot be fetched over TLS from this machine")]
pub struct OutsideIssuerError(#[source] reqwest::Error);

impl OutsideIssuer {
    /// An issuer whose key set is there, looked at every five minutes.
    #[must_use]
    pub fn at(jwks_url: JwksUrl) -> Self {
        Self {
            jwks_url,
            refresh_every: Duration::from_mins(5),
            look_again_after: Duration::from_secs(5),
            look_within: Duration::from_secs(5),
        }
    }
}

/// How an outside issuer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerCheck {
    /// Its keys are as of the last look.
    Current,
    /// The last look failed; older keys serve.
    Stale,
    /// There are no keys.
    Unavailable,
}

impl IssuerCheck {
    /// The word in the readiness answer.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "ok",
            Self::Stale => "stale",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What the task knows.
#[derive(Clone, Debug)]
struct Seen {
    keys: Option<Arc<KeySet>>,
    /// Since the last look ended.
    looked: Stopwatch,
    last_look: LastLook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastLook {
    Succeeded,
    /// Or there was none yet.
    Failed,
}

impl Seen {
    /// The keys, if a token that names `kid` can be judged by them.
    fn judging(&self, kid: &str) -> Option<Arc<KeySet>> {
        let keys = self.keys.as_ref()?;
        (keys.find(kid).is_some() || self.last_look == LastLook::Succeeded).then(|| Arc::clone(keys))
    }
}

/// The keys of an outside issuer.
#[derive(Debug)]
pub(crate) struct OutsideKeys {
    seen: watch::Receiver<Seen>,
    wanted: Arc<Notify>,
    look_again_after: Duration,
    patience: Duration,
}

impl OutsideKeys {
    /// Begins to look, in a task of its own.
    pub(crate) fn start(issuer: &OutsideIssuer, lifecycle: &Lifecycle) -> Result<Self, OutsideIssuerError> {
        let fetcher = Fetcher::new(issuer.jwks_url.clone(), issuer.look_within).map_err(OutsideIssuerError)?;
        let nothing = Seen { keys: None, looked: Stopwatch::start(), last_look: LastLook::Failed };
        let (found, seen) = watch::channel(nothing);
        let wanted = Arc::new(Notify::new());
        let watcher = Watcher {
            fetcher,
            found,
            wanted: Arc::clone(&wanted),
            refresh_every: issuer.refresh_every,
            look_again_after: issuer.look_again_after,
            left_out: Vec::new(),
        };
        let stopping = lifecycle.token();
        lifecycle.spawn_vital("token issuer keys", async move {
            stopping.run_until_cancelled(watcher.run()).await;
        });
        // A look that is under way ends within its time; twice that is past any doubt.
        let (look_again_after, patience) = (issuer.look_again_after, issuer.look_within.saturating_mul(2));
        Ok(Self { seen, wanted, look_again_after, patience })
    }

    /// The keys to judge a token that names `kid`. Waits for a fresh look if it is not there and one is due.
    pub(crate) async fn with_kid(&self, kid: &str) -> Result<Arc<KeySet>, AuthError> {
        let mut seen = self.seen.clone();
        let first = seen.borrow_and_update().clone();
        let keys = first.keys.as_ref().ok_or(AuthError::KeysUnavailable)?;
        if keys.find(kid).is_none() && first.looked.elapsed() >= self.look_again_after {
            self.wanted.notify_one();
            // In time or not, and also when the task has ended: what is known then decides.
            let _looked = tokio::time::timeout(self.patience, seen.changed()).await;
        }
        let last = seen.borrow().clone();
        last.judging(kid).ok_or(AuthError::KeysUnavailable)
    }

    /// How the issuer is.
    pub(crate) fn check(&self) -> IssuerCheck {
        let seen = self.seen.borrow();
        match (&seen.keys, seen.last_look) {
            (None, _) => IssuerCheck::Unavailable,
            (Some(_), LastLook::Succeeded) => IssuerCheck::Current,
            (Some(_), LastLook::Failed) => IssuerCheck::Stale,
        }
    }
}

/// The task that looks.
struct Watcher {
    fetcher: Fetcher,
    found: watch::Sender<Seen>,
    wanted: Arc<Notify>,
    refresh_every: Duration,
    look_again_after: Duration,
    /// What was left out of the last set, so that it is told once.
    left_out: Vec<LeftOut>,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let (least, most) = (PAUSE_MIN.min(self.refresh_every), PAUSE_MAX.min(self.refresh_every));
            let pauses = ExponentialBuilder::default().with_min_delay(least).with_max_delay(most);
            let mut pauses = pauses.with_jitter().without_max_times().build();
            while !self.look().await {
                self.rest(pauses.next().unwrap_or(most)).await;
            }
            self.rest(self.refresh_every).await;
        }
    }

    /// One look, and what follows from it. Answers whether all is well until the next regular one.
    async fn look(&mut self) -> bool {
        let looked = self.fetcher.look().await;
        let last_look = if looked.is_ok() { LastLook::Succeeded } else { LastLook::Failed };
        let before = self.found.borrow().clone();
        let keys = match looked {
            Ok(reading) => self.take_over(reading, before.keys.as_deref()),
            Err(error) => {
                let keys = if before.keys.is_some() { "its last good keys serve" } else { "nobody is let in" };
                tracing::warn!("the token issuer's keys could not be fetched: {}; {keys}", chain(&error));
                before.keys
            }
        };
        let is_well = last_look == LastLook::Succeeded && keys.is_some();
        self.found.send_replace(Seen { keys, looked: Stopwatch::start(), last_look });
        is_well
    }

    /// Believes a set, also one without any key; tells what is new.
    fn take_over(&mut self, reading: Reading, before: Option<&KeySet>) -> Option<Arc<KeySet>> {
        if reading.left_out != self.left_out {
            for LeftOut { kid, why, gravity } in &reading.left_out {
                match gravity {
                    Gravity::Fault => tracing::warn!(kid, "a key of the token issuer is left out: {why}"),
                    Gravity::Expected => tracing::debug!(kid, "a key of the token issuer is left out: {why}"),
                }
            }
            self.left_out = reading.left_out;
        }
        if reading.keys.is_empty() {
            tracing::warn!("the token issuer publishes no key that verifies: nobody is let in");
            return None;
        }
        if before.is_none_or(|before| before.kids() != reading.keys.kids()) {
            tracing::info!(kids = ?reading.keys.kids(), "the token issuer's keys are taken over");
        }
        Some(Arc::new(reading.keys))
    }

    /// Waits for the next look: until its time, or until a key is wanted and the last look is long enough ago.
    async fn rest(&self, pause: Duration) {
        let mut time = pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = time.as_mut() => return,
                () = self.wanted.notified() => {
                    if self.found.borrow().looked.elapsed() >= self.look_again_after {
                        return;
                    }
                }
            }
        }
    }
}
