//! Owns the intake task: gather, dedupe inside the batch, commit, hand over to publishing, answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::intake::publishing::{Hint, Publishing};
use crate::api::intake::{Accepted, IntakeError, Request};
use crate::core::event::{AcceptedEvent, NewEvent, Stage};
use crate::core::ids::{KeyHash, PublisherId, Seq};
use crate::runtime::clock::Stopwatch;
use crate::runtime::telemetry::{ACCEPT_SECONDS, EVENTS_ACCEPTED, chain};
use crate::store::{Acceptance, KnownEvent, Store, StoreError};

/// The most events of one commit: beyond about a thousand a commit costs the same per event and only delays answers.
const BATCH_MAX: usize = 1_000;
/// How often a commit that failed for a passing reason is tried again before its callers are told.
const TRIES_MAX: u32 = 4;
/// Pause before the first new try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct IntakeTask {
    store: Arc<dyn Store>,
    publisher: PublisherId,
    publishing: Publishing,
    waiting: mpsc::Receiver<Request>,
}

/// The requests of one commit: the first with each key leads, the others follow its fate.
#[derive(Debug, Default)]
struct Gathered {
    leaders: Vec<Request>,
    followers: Vec<(usize, Request)>,
}

impl Gathered {
    fn of(requests: impl IntoIterator<Item = Request>) -> Self {
        let mut gathered = Self::default();
        let mut first: HashMap<KeyHash, usize> = HashMap::new();
        for request in requests {
            let next = gathered.leaders.len();
            let leader = *first.entry(request.event.key_hash).or_insert(next);
            if leader == next {
                gathered.leaders.push(request);
            } else {
                gathered.followers.push((leader, request));
            }
        }
        gathered
    }
}

impl IntakeTask {
    pub(super) fn new(
        store: Arc<dyn Store>,
        publisher: PublisherId,
        publishing: Publishing,
        waiting: mpsc::Receiver<Request>,
    ) -> Self {
        Self { store, publisher, publishing, waiting }
    }

    pub(super) async fn run(mut self, stopping: CancellationToken) {
        let mut requests = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                taken = self.waiting.recv_many(&mut requests, BATCH_MAX) => if taken == 0 { return },
                () = stopping.cancelled() => {
                    // Take no more; what is already in the channel is still answered.
                    self.waiting.close();
                    if self.waiting.is_empty() {
                        return;
                    }
                    continue;
                }
            }
            // Whatever comes while the store is busy shares this commit.
            let _turn = self.store.turn().await;
            while requests.len() < BATCH_MAX
                && let Ok(request) = self.waiting.try_recv()
            {
                requests.push(request);
            }
            self.commit(Gathered::of(requests.drain(..))).await;
        }
    }

    async fn commit(&self, gathered: Gathered) {
        let watch = Stopwatch::start();
        let Gathered { leaders, followers } = gathered;
        let mut hints: Vec<Option<Hint>> =
            leaders.iter().map(|request| Hint::of(&request.event, Seq(0), request.trace)).collect();
        let (events, answers): (Vec<NewEvent>, Vec<_>) =
            leaders.into_iter().map(|request| (request.event, request.answer)).unzip();
        let led: Vec<NewEvent> = followers.iter().filter_map(|(leader, _)| events.get(*leader).cloned()).collect();
        let kinds: Vec<&'static str> = events.iter().map(|event| event.kind.as_str()).collect();
        let verdicts = self.accept(events).await;
        let mut published = Vec::with_capacity(hints.len());
        for (verdict, hint) in verdicts.iter().zip(&mut hints) {
            if let (Ok(Acceptance::New { seq, .. }), Some(hint)) = (verdict, hint.take()) {
                published.push(hint.at(*seq));
            }
        }
        self.publishing.publish(published);
        record(&kinds, &verdicts, &watch);
        for ((leader, request), event) in followers.into_iter().zip(led) {
            let answer = verdicts.get(leader).map_or(Err(IntakeError::Refused), |verdict| follow(verdict, event));
            // A caller that has left reads its answer with the key.
            let _left = request.answer.send(answer).is_err();
        }
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            let _left = answer.send(verdict.map(Accepted::from)).is_err();
        }
    }

    /// Accepts all events, halving a batch that is refused for its data, so that one row never fails its neighbours.
    async fn accept(&self, events: Vec<NewEvent>) -> Vec<Result<Acceptance, IntakeError>> {
        let mut verdicts = Vec::with_capacity(events.len());
        let mut parts = vec![events];
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

    async fn try_accept(&self, events: &[NewEvent]) -> Result<Vec<Acceptance>, StoreError> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            match self.store.accept(self.publisher, events.to_vec()).await {
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
}

impl From<Acceptance> for Accepted {
    fn from(acceptance: Acceptance) -> Self {
        match acceptance {
            Acceptance::New { seq, accepted_at } => Self::New { seq, accepted_at },
            Acceptance::Known(known) => Self::Known(known),
        }
    }
}

/// What a request learns whose key came a moment earlier in the same batch.
fn follow(leader: &Result<Acceptance, IntakeError>, first: NewEvent) -> Result<Accepted, IntakeError> {
    match leader {
        Err(error) => Err(*error),
        Ok(Acceptance::Known(known)) => Ok(Accepted::Known(known.clone())),
        Ok(Acceptance::New { seq, accepted_at }) => {
            let event = AcceptedEvent { seq: *seq, accepted_at: *accepted_at, event: first };
            Ok(Accepted::Known(Box::new(KnownEvent { event, stage: Stage::Accepted, posting: None })))
        }
    }
}

fn log_failure(error: &StoreError) -> IntakeError {
    match error {
        StoreError::Unavailable(_) | StoreError::Retry(_) | StoreError::WrongSchema => {
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
        if matches!(verdict, Ok(Acceptance::New { .. })) {
            let count = counted.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
    }
    for (kind, count) in counted {
        metrics::counter!(EVENTS_ACCEPTED, "kind" => kind).increment(count);
    }
    metrics::histogram!(ACCEPT_SECONDS).record(watch.elapsed().as_secs_f64());
}
