//! Owns the intake task: gather, dedupe inside the batch, commit, answer.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::intake::committer::{Committer, Incoming};
use crate::api::intake::{Accepted, IntakeError, Request};
use crate::core::event::{AcceptedEvent, NewEvent, Stage};
use crate::core::ids::KeyHash;
use crate::store::{Acceptance, KnownEvent};

/// The most events of one commit: beyond about a thousand a commit costs the same per event and only delays answers.
const BATCH_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct IntakeTask {
    committer: Committer,
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
            let leader = *first.entry(request.incoming.event.key_hash).or_insert(next);
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
    pub(super) fn new(committer: Committer, waiting: mpsc::Receiver<Request>) -> Self {
        Self { committer, waiting }
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
            let _turn = self.committer.store.turn().await;
            while requests.len() < BATCH_MAX
                && let Ok(request) = self.waiting.try_recv()
            {
                requests.push(request);
            }
            self.commit(Gathered::of(requests.drain(..))).await;
        }
    }

    async fn commit(&self, gathered: Gathered) {
        let Gathered { leaders, followers } = gathered;
        let leader_of = |(leader, _): &(usize, Request)| Some(leaders.get(*leader)?.incoming.event.clone());
        let led: Vec<NewEvent> = followers.iter().filter_map(leader_of).collect();
        let (events, answers): (Vec<Incoming>, Vec<_>) =
            leaders.into_iter().map(|request| (request.incoming, request.answer)).unzip();
        let verdicts = self.committer.commit(events).await;
        for ((leader, request), event) in followers.into_iter().zip(led) {
            let answer = verdicts.get(leader).map_or(Err(IntakeError::Refused), |verdict| follow(verdict, event));
            // A caller that has left reads its answer with the key.
            let _left = request.answer.send(answer).is_err();
        }
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            let _left = answer.send(verdict.map(Accepted::from)).is_err();
        }
    }
}

/// What a request learns whose key came a moment earlier in the same batch.
fn follow(leader: &Result<Acceptance, IntakeError>, first: NewEvent) -> Result<Accepted, IntakeError> {
    match leader {
        Err(error) => Err(*error),
        Ok(Acceptance::Known(known)) => Ok(Accepted::Known(known.clone())),
        Ok(Acceptance::New { seq, accepted_at }) => {
            let event = AcceptedEvent::new(*seq, *accepted_at, first);
            Ok(Accepted::Known(Box::new(KnownEvent { event, stage: Stage::Accepted, posting: None })))
        }
    }
}
