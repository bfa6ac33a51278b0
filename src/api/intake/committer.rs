//! Owns the commit itself: events into the store, their hints to publishing, what came of each one back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::api::intake::publishing::{Hint, Publishing};
use crate::api::intake::{Accepted, IntakeError};
use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::PublisherId;
use crate::runtime::clock::Stopwatch;
use crate::runtime::spans::TracePlace;
use crate::runtime::telemetry::{ACCEPT_SECONDS, EVENTS_ACCEPTED, chain};
use crate::store::{Acceptance, GroupAcceptance, Store, StoreError};

/// How often a commit that failed for a passing reason is tried again before its callers are told.
const TRIES_MAX: u32 = 4;
/// Pause before the first new try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// An event, and the request that brings it, where spans leave the process.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) event: NewEvent,
    pub(super) trace: Option<TracePlace>,
}

/// What a task of the intake commits with. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    pub(super) store: Arc<dyn Store>,
    pub(super) publisher: PublisherId,
    pub(super) publishing: Publishing,
}

impl Committer {
    /// Commits events with distinct keys, publishes the hints of those that are new, and says of each what became of
    /// it, in the order given.
    pub(super) async fn commit(&self, incoming: Vec<Incoming>) -> Vec<Result<Acceptance, IntakeError>> {
        let watch = Stopwatch::start();
        let kinds: Vec<&'static str> = incoming.iter().map(|incoming| incoming.event.kind.as_str()).collect();
        let verdicts = self.accept(incoming).await;
        record(&kinds, &verdicts, &watch);
        verdicts
    }

    /// Commits a group.
    pub(super) async fn commit_group(&self, group: NewGroup) -> Result<GroupAcceptance, IntakeError> {
        let watch = Stopwatch::start();
        let (kind, mut pause, mut tries) = (group.parent.kind.as_str(), FIRST_PAUSE, 1);
        loop {
            match self.store.accept_group(self.publisher, group.clone()).await {
                Err(error) if error.is_passing() && tries < TRIES_MAX => {
                    tracing::warn!(tries, error = chain(&error), "accepting a group is tried again");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                    tries = tries.saturating_add(1);
                }
                Ok(accepted) => {
                    if matches!(accepted, GroupAcceptance::New { .. }) {
                        let legs = u64::try_from(group.legs.len()).unwrap_or(u64::MAX);
                        metrics::counter!(EVENTS_ACCEPTED, "kind" => kind).increment(legs);
                    }
                    metrics::histogram!(ACCEPT_SECONDS).record(watch.elapsed().as_secs_f64());
                    return Ok(accepted);
                }
                Err(error) => return Err(log_failure(&error)),
            }
        }
    }

    /// Accepts all events, halving a batch that is refused for its data, so that one row never fails its neighbours.
    async fn accept(&self, incoming: Vec<Incoming>) -> Vec<Result<Acceptance, IntakeError>> {
        let mut verdicts = Vec::with_capacity(incoming.len());
        let mut parts = vec![incoming];
        while let Some(mut part) = parts.pop() {
            let size = part.len();
            match self.try_accept(&part).await {
                Ok(acceptances) => verdicts.extend(acceptances.into_iter().map(Ok)),
                Err(StoreError::Data { .. }) if size > 1 => {
                    // The last pushed is taken first, so the order of verdicts stays the order of events.
                    let second = part.split_off(size.div_euclid(2));
                    parts.push(second);
                    parts.push(part);
                }
                Err(error) => {
                    let verdict = log_failure(&error);
                    verdicts.extend((0..size).map(|_| Err(verdict)));
                }
            }
        }
        verdicts
    }

    async fn try_accept(&self, incoming: &[Incoming]) -> Result<Vec<Acceptance>, StoreError> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            match self.accept_and_publish(incoming).await {
                Err(error) if error.is_passing() && tries < TRIES_MAX => {
                    tracing::warn!(tries, error = chain(&error), "accepting is tried again");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                    tries = tries.saturating_add(1);
                }
                settled => return settled,
            }
        }
    }

    /// Commits and publishes: after the commit, or, where the store tells of the rows before it, then already, so that
    /// the lanes can post them in the same transaction. What is published of a commit that fails names no event, and its
    /// events are published anew when they are accepted.
    async fn accept_and_publish(&self, incoming: &[Incoming]) -> Result<Vec<Acceptance>, StoreError> {
        let events = incoming.iter().map(|incoming| incoming.event.clone()).collect();
        let (told, early) = oneshot::channel();
        let publish_early = async {
            let acceptances: Result<Vec<Acceptance>, _> = early.await;
            acceptances.inspect(|acceptances| self.publish(incoming, acceptances)).is_ok()
        };
        let (accepted, is_published) =
            tokio::join!(self.store.accept_and_tell(self.publisher, events, told), publish_early);
        let acceptances = accepted?;
        if !is_published {
            self.publish(incoming, &acceptances);
        }
        Ok(acceptances)
    }

    fn publish(&self, incoming: &[Incoming], acceptances: &[Acceptance]) {
        let hint = |(Incoming { event, trace }, acceptance): (&Incoming, &Acceptance)| match acceptance {
            Acceptance::New { seq, .. } => Hint::of(event, *seq, *trace),
            Acceptance::Known(_) => None,
        };
        self.publishing.publish(incoming.iter().zip(acceptances).filter_map(hint).collect());
    }
}

impl From<Acceptance> for Accepted {
    fn from(acceptance: Acceptance) -> Self {
        match acceptance {
            Acceptance::New { seq, accepted_at } => Self::New { seq, accepted_at },
            Acceptance::Known(known) => Self::Known(known),
        }
    }
}

fn log_failure(error: &StoreError) -> IntakeError {
    match error {
        StoreError::Unavailable(_) | StoreError::Retry(_) | StoreError::OutOfTime(_) | StoreError::WrongSchema => {
            tracing::error!(error = chain(error), "events could not be accepted");
            IntakeError::DatabaseUnavailable
        }
        StoreError::Data { .. } | StoreError::Broken(_) => {
            tracing::error!(error = chain(error), "the database refuses an event that was checked");
            IntakeError::Refused
        }
    }
}

fn record(kinds: &[&'static str], verdicts: &[Result<Acceptance, IntakeError>], watch: &Stopwatch) {
    let mut counted: HashMap<&'static str, u64> = HashMap::new();
    for (kind, verdict) in kinds.iter().zip(verdicts) {
        if verdict.as_ref().is_ok_and(Acceptance::is_new) {
            let count = counted.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
    }
    for (kind, count) in counted {
        metrics::counter!(EVENTS_ACCEPTED, "kind" => kind).increment(count);
    }
    metrics::histogram!(ACCEPT_SECONDS).record(watch.elapsed().as_secs_f64());
}
