//! Owns acceptance: one task per process that commits whatever has gathered while the last commit ran.
//!
//! No timer: a lone request is committed at once, a crowd shares one commit. Commit first, publish second: an answer
//! may be given as soon as [`Intake::accept`] returns, because from then on the sweeper would find the event even if
//! this process died. Dropping a caller's future takes nothing back. Lanes may hear earlier: a store with one writer tells
//! of rows before their commit, and what a lane makes of them shares that commit or comes after it.
//!
//! One commit costs one round trip for a few events and five for many, and two more where a key was taken before.

mod committer;
mod publishing;
mod rows;
mod task;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::broker::Broker;
use crate::core::event::{Command, NewEvent, NewGroup};
use crate::core::ids::{EventId, IdMaker, PublisherId, Seq};
use crate::core::slot::PartitionMap;
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::spans::TracePlace;
use crate::store::{
    GroupAcceptance, KnownEvent, LineDecided, NewLineResolution, NewReview, NewStatement, ReviewDone,
    StatementAccepted, Store, StoreError, SweepCandidate, WholeAccepted, WholeUpload,
};

use committer::{Committer, Incoming};
use publishing::{Hint, Publishing};
use rows::RowsRequest;

/// The most requests that wait for the intake: about half a second of work at full speed.
const WAITING_MAX: usize = 8_192;
/// The most chunks of uploads that wait; an upload waits for a place.
const CHUNKS_WAITING_MAX: usize = 16;

/// What became of an event.
#[derive(Debug)]
pub enum Accepted {
    /// Durable and in the order.
    New {
        /// Its place.
        seq: Seq,
        /// When the database took it.
        accepted_at: Timestamp,
    },
    /// Its key was taken; judge with [`crate::core::event::decide`].
    Known(Box<KnownEvent>),
}

/// Why an event was not taken. Nothing is known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// More waits than the intake takes.
    #[error("the intake is full")]
    Overloaded,
    /// The database does not answer.
    #[error("the database is unavailable")]
    DatabaseUnavailable,
    /// The database refuses this very event, or our own code failed.
    #[error("the event was refused by the database")]
    Refused,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

/// One caller's event on its way to the intake task.
#[derive(Debug)]
struct Request {
    incoming: Incoming,
    answer: oneshot::Sender<Result<Accepted, IntakeError>>,
}

/// Handle to the intake task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    requests: mpsc::Sender<Request>,
    chunks: mpsc::Sender<RowsRequest>,
    publishing: Publishing,
    ids: Arc<Mutex<IdMaker>>,
    clock: Clock,
    store: Arc<dyn Store>,
    committer: Committer,
    groups: Arc<Semaphore>,
}

/// The hints of events that an operation accepts, before they have their places.
struct Hints(HashMap<EventId, Hint>);

impl Hints {
    fn of<'e>(events: impl IntoIterator<Item = &'e NewEvent>) -> Self {
        let trace = TracePlace::current();
        Self(events.into_iter().filter_map(|event| Some((event.id, Hint::of(event, Seq(0), trace)?))).collect())
    }

    /// The hints of events that were accepted at these places.
    fn at<'p>(&self, places: impl IntoIterator<Item = &'p (EventId, Seq)>) -> Vec<Hint> {
        places.into_iter().filter_map(|(id, seq)| self.0.get(id).map(|hint| hint.at(*seq))).collect()
    }
}

/// What the intake works with.
#[derive(Clone, Debug)]
pub struct IntakeParts {
    /// Where events become durable.
    pub store: Arc<dyn Store>,
    /// Where their hints go.
    pub broker: Arc<dyn Broker>,
    /// Which slots go to which partition.
    pub map: PartitionMap,
    /// This process.
    pub publisher: PublisherId,
    /// For event ids.
    pub clock: Clock,
}

impl Intake {
    /// Starts the intake and its publishing on `lifecycle`. They end when every handle is gone, or when the process
    /// stops and nothing waits any more.
    #[must_use]
    pub fn start(parts: IntakeParts, lifecycle: &Lifecycle) -> Self {
        let store = Arc::clone(&parts.store);
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let publishing = Publishing::start(&parts, lifecycle);
        let (chunks, chunks_waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
        let committer = Committer { store: parts.store, publisher: parts.publisher, publishing: publishing.clone() };
        let of_groups = committer.clone();
        lifecycle.spawn_vital("rows", rows::run(committer.clone(), chunks_waiting, lifecycle.token()));
        lifecycle.spawn_vital("intake", task::IntakeTask::new(committer, waiting).run(lifecycle.token()));
        let (process, _) = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            requests,
            chunks,
            publishing,
            ids: Arc::new(Mutex::new(IdMaker::new(process))),
            clock: parts.clock,
            store,
            committer: of_groups,
            groups: Arc::new(Semaphore::new(1)),
        }
    }

    /// Commits the event together with all that arrived meanwhile, then publishes its hint. Dropping the future does
    /// not take the event back.
    ///
    /// # Errors
    /// See [`IntakeError`].
    pub async fn accept(&self, event: NewEvent) -> Result<Accepted, IntakeError> {
        let (answer, answered) = oneshot::channel();
        let incoming = Incoming { event, trace: TracePlace::current() };
        self.requests.try_send(Request { incoming, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => IntakeError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => IntakeError::Stopping,
        })?;
        answered.await.unwrap_or(Err(IntakeError::Stopping))
    }

    /// Commits rows of an upload, with distinct keys, as one chunk, and says of each what became of it, in the order
    /// given. Dropping the future does not take them back.
    ///
    /// # Errors
    /// [`IntakeError::Stopping`]; what befalls single rows is in their verdicts.
    pub(crate) async fn accept_rows(
        &self,
        rows: Vec<NewEvent>,
    ) -> Result<Vec<Result<Accepted, IntakeError>>, IntakeError> {
        let (answer, answered) = oneshot::channel();
        let trace = TracePlace::current();
        let rows = rows.into_iter().map(|event| Incoming { event, trace }).collect();
        self.chunks.send(RowsRequest { rows, answer }).await.map_err(|_| IntakeError::Stopping)?;
        answered.await.map_err(|_| IntakeError::Stopping)
    }

    /// Commits a group and publishes the hint of its first leg, which brings all of it to a lane. One at a time per
    /// process: the store takes one group at a time from all of them.
    ///
    /// # Errors
    /// See [`IntakeError`].
    pub(crate) async fn accept_group(&self, group: NewGroup) -> Result<Accepted, IntakeError> {
        let _turn = self.groups.acquire().await.map_err(|_| IntakeError::Stopping)?;
        let hint = group.legs.first().and_then(|leg| Hint::of(leg, Seq(0), TracePlace::current()));
        match self.committer.commit_group(group).await? {
            GroupAcceptance::New { seq, accepted_at, first_leg } => {
                self.publishing.publish(hint.into_iter().map(|hint| hint.at(first_leg.seq)).collect());
                Ok(Accepted::New { seq, accepted_at })
            }
            GroupAcceptance::Known(known) => Ok(Accepted::Known(known)),
        }
    }

    /// Accepts an upload whose rows come together or not at all.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn accept_whole(&self, whole: WholeUpload) -> Result<WholeAccepted, StoreError> {
        let hints = Hints::of(&whole.rows);
        let accepted = self.store.accept_whole(whole).await?;
        if let WholeAccepted::All(places) = &accepted {
            self.publishing.publish(hints.at(places));
        }
        Ok(accepted)
    }

    /// Ends an exception of a file, with the event that posts it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn accept_review(&self, review: NewReview) -> Result<ReviewDone, StoreError> {
        let hints = Hints::of(&review.event);
        let done = self.store.review(review).await?;
        if let ReviewDone::Decided(place) = &done {
            self.publishing.publish(hints.at(place));
        }
        Ok(done)
    }

    /// Accepts a bank statement, with the events that its lines become.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn accept_statement(&self, statement: NewStatement) -> Result<StatementAccepted, StoreError> {
        let settlements = statement.settlements();
        let hints = Hints::of(settlements.iter().chain(&statement.opening));
        let accepted = self.store.accept_statement(statement).await?;
        if let StatementAccepted::New(places) = &accepted {
            self.publishing.publish(hints.at(places));
        }
        Ok(accepted)
    }

    /// Ends an open line of a bank statement, with the event that books it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn accept_line_resolution(&self, line: NewLineResolution) -> Result<LineDecided, StoreError> {
        let hints = Hints::of(&line.settlement);
        let decided = self.store.resolve_line(line).await?;
        if let LineDecided::Decided(place) = &decided {
            self.publishing.publish(hints.at(place));
        }
        Ok(decided)
    }

    /// Publishes the hint of an unfinished event again, of a group that of its first leg; at most once a second per
    /// event.
    pub async fn nudge(&self, known: &KnownEvent) {
        let trace = TracePlace::current();
        let (event, seq) = (&known.event.event, known.event.seq);
        let hint = if matches!(event.command, Command::Group(_)) {
            let leg = self.store.event(event.tenant, event.id.leg(1)).await;
            // Should the store not answer, the sweeper finds the group.
            leg.ok().flatten().and_then(|leg| Hint::of(&leg.event.event, leg.event.seq, trace))
        } else {
            Hint::of(event, seq, trace)
        };
        if let Some(hint) = hint {
            self.publishing.nudge(hint);
        }
    }

    /// Publishes the hints of events that can go on.
    pub(crate) fn publish_again(&self, events: &[SweepCandidate]) {
        self.publishing.publish(events.iter().map(Hint::again).collect());
    }

    /// Makes the next event id.
    #[must_use]
    pub fn next_id(&self) -> EventId {
        let now = self.clock.now();
        EventId(self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now))
    }
}
