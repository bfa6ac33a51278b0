//! Owns the posting of one batch through every failure: waits for the database, leaves locked loans out, and finds
//! the one event that cannot be posted.
//!
//! Finding it: the batch is halved by loan until one loan is left, then that loan is posted one event at a time; the
//! event that the fold saw when the transaction failed is the culprit. Its attempts are counted in the store; at
//! [`ATTEMPTS_MAX`] it is parked and its loan held. Everything else flows on.
//!
//! A batch that meets a leg stops in front of it; its group is posted next, see [`groups`](super::groups).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::core::event::{AcceptedEvent, EventNames};
use crate::core::ids::{EventId, LoanKey, PublisherId, Seq};
use crate::core::ledger::Posting;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{BAD_MESSAGES, chain};
use crate::store::{Attempts, ParkRequest, PhaseTimes, PostWork, PostedBatch, Store, StoreError, Turn, Wanted};
use crate::worker::fold::{Seen, guarded};
use crate::worker::groups::{GroupTask, push_groups};
use crate::worker::hand::Picked;
use crate::worker::verdict::{self, Verdict};

/// After this many failed attempts an event waits for a person.
pub(super) const ATTEMPTS_MAX: i32 = 5;
/// Pauses while the database is away.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Pause after a batch that lost a race, times the races lost, so that two lanes do not chase each other.
const RACE_PAUSE: Duration = Duration::from_millis(5);
/// After so many races lost a batch is halved: one loan that takes too long must not keep the others.
pub(super) const RACES_MAX: u32 = 5;

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Posted now.
    pub(super) posted: Vec<(AcceptedEvent, Posting)>,
    /// Posted before.
    pub(super) already: Vec<(EventId, PublisherId)>,
    /// Unknown, misnamed, held or parked: nothing more to do for their messages.
    pub(super) dismissed: Vec<EventId>,
    /// Still to be posted.
    pub(super) left: Vec<EventId>,
    /// Of the events posted now, those that have restated earlier ones.
    pub(super) restating: BTreeSet<Seq>,
    /// Where the time of the last transaction went.
    pub(super) times: PhaseTimes,
}

/// A share of the batch on its way through the store.
#[derive(Clone, Debug)]
pub(super) struct Part {
    wanted: Vec<Wanted>,
    per_loan_max: usize,
    skip_locked: bool,
    races: u32,
}

impl Part {
    pub(super) fn new(wanted: Vec<Wanted>, per_loan_max: usize) -> Self {
        Self { wanted, per_loan_max, skip_locked: false, races: 0 }
    }
}

/// What a batch comes to: shares of it, and the groups that they meet.
#[derive(Debug)]
pub(super) enum Task {
    Part(Part),
    Group(GroupTask),
}

/// What becomes of an event that may kill the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// It is tried once more, alone.
    Try,
    /// It is parked now, and its loan held.
    Parked,
    /// It is a leg, and its group is refused.
    Refused(Seq),
}

/// Posts batches for one lane.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    pub(super) store: Arc<dyn Store>,
    pub(super) events_max: usize,
    pub(super) lifecycle: Lifecycle,
}

impl Poster {
    /// Posts the picked events and what stands before them in their loans. Returns when each is posted, dismissed or
    /// left, or when the process stops while the database is away.
    pub(super) async fn post(&self, picked: Picked, lane_slot: i16, turn: Option<Turn>) -> Done {
        let per_loan_max = if picked.suspect { 1 } else { picked.events_max };
        let short = Self { events_max: picked.events_max, ..self.clone() };
        short.work_off(vec![Task::Part(Part::new(picked.wanted, per_loan_max))], lane_slot, turn).await
    }

    /// Refuses a group that could not be posted.
    pub(super) async fn refuse_group(&self, group: Seq, lane_slot: i16) -> Done {
        self.work_off(vec![Task::Group(GroupTask::refused(group))], lane_slot, None).await
    }

    async fn work_off(&self, mut tasks: Vec<Task>, lane_slot: i16, mut turn: Option<Turn>) -> Done {
        let mut done = Done::default();
        let mut pauses = pauses();
        while let Some(task) = tasks.pop() {
            let part = match task {
                Task::Part(part) => part,
                Task::Group(group) => {
                    self.post_group(group, lane_slot, &mut tasks, &mut done).await;
                    continue;
                }
            };
            let seen = Seen::default();
            let posted = self.store.post_batch(self.work(&part, lane_slot), guarded(&seen)).await;
            // A batch that is tried again must not keep the others from writing meanwhile.
            drop(turn.take());
            match posted {
                Ok(batch) => self.settle(batch, &mut done, &mut tasks).await,
                Err(error) => match verdict::of(&error) {
                    Verdict::Wait => {
                        tracing::error!(error = chain(&error), "the database is away; the batch waits");
                        if self.paused(pauses.next()).await {
                            tasks.push(Task::Part(part));
                        } else {
                            done.left.extend(part.wanted.iter().map(|wanted| wanted.id));
                        }
                    }
                    Verdict::SkipLocked => {
                        tracing::debug!(error = chain(&error), "the batch lost a race; trying again");
                        if self.paused(Some(Self::race_pause(part.races))).await {
                            tasks.extend(after_race(part).into_iter().map(Task::Part));
                        } else {
                            done.left.extend(part.wanted.iter().map(|wanted| wanted.id));
                        }
                    }
                    Verdict::Halve => {
                        tracing::warn!(error = chain(&error), "a batch takes too long; its halves are tried");
                        if self.paused(pauses.next()).await {
                            tasks.extend(shortened(part, seen.events().len()).into_iter().map(Task::Part));
                        } else {
                            done.left.extend(part.wanted.iter().map(|wanted| wanted.id));
                        }
                    }
                    Verdict::Isolate => self.isolate(part, &seen, &error, &mut tasks, &mut done).await,
                },
            }
        }
        done
    }

    fn work(&self, part: &Part, lane_slot: i16) -> PostWork {
        PostWork {
            wanted: part.wanted.clone(),
            events_max: self.events_max,
            per_loan_max: part.per_loan_max,
            lane_slot,
            skip_locked: part.skip_locked,
            despite_hold: false,
        }
    }

    pub(super) async fn settle(&self, batch: PostedBatch, done: &mut Done, tasks: &mut Vec<Task>) {
        push_groups(tasks, &batch.groups);
        tasks.extend(batch.apart.into_iter().map(|wanted| Task::Part(Part::new(wanted, self.events_max))));
        for id in &batch.unknown {
            metrics::counter!(BAD_MESSAGES, "reason" => "unknown_event").increment(1);
            tracing::warn!(payment_event.id = %id, "a message names an event that does not exist");
        }
        for id in &batch.misnamed {
            metrics::counter!(BAD_MESSAGES, "reason" => "misnamed").increment(1);
            tracing::error!(payment_event.id = %id, "a message disagrees with its event's row; the row stands");
        }
        for failure in &batch.failures {
            self.count_event(failure.event, &failure.reason).await;
        }
        done.posted.extend(batch.posted);
        done.restating.extend(batch.restating);
        done.already.extend(batch.already);
        done.dismissed.extend(batch.unknown);
        // The message is settled, the event goes by its row: by the hint that names it rightly, or by the sweeper's.
        done.dismissed.extend(batch.misnamed);
        done.dismissed.extend(batch.held);
        done.left.extend(batch.left);
        done.times = batch.times;
    }

    /// Narrows a failing share down; at one event, counts the attempt.
    async fn isolate(&self, part: Part, seen: &Seen, error: &StoreError, tasks: &mut Vec<Task>, done: &mut Done) {
        tracing::warn!(
            events = part.wanted.len(),
            error = chain(error),
            "a batch cannot be written; looking for the event"
        );
        match halves(part) {
            Ok(halves) => tasks.extend(halves.map(Task::Part)),
            Err(part) if part.per_loan_max > 1 => tasks.push(Task::Part(Part { per_loan_max: 1, ..part })),
            Err(part) => {
                let culprit = seen.events().first().copied();
                match (culprit, error) {
                    (Some(event), StoreError::Data { .. }) => {
                        self.count_event(event, &chain(error)).await;
                    }
                    // It failed before any event was judged, or not for an event's data: nobody to blame, and waiting
                    // is all we can do.
                    _ => {
                        self.paused(None).await;
                    }
                }
                done.left.extend(part.wanted.iter().map(|wanted| wanted.id));
            }
        }
    }

    async fn count_event(&self, event: EventNames, reason: &str) {
        let attempt = self.count_attempt((event.seq, event.loan_key), reason).await.count;
        tell_of_attempt(&event, attempt, reason);
    }

    /// Counts a failed attempt; 0 where that failed, too.
    pub(super) async fn count_attempt(&self, (seq, loan_key): (Seq, LoanKey), reason: &str) -> Attempts {
        let request = ParkRequest { seq, loan_key, reason: reason.to_owned(), attempts_max: ATTEMPTS_MAX };
        self.store.park(request).await.unwrap_or_else(|error| {
            tracing::error!(event.seq = seq.0, error = chain(&error), "a failed attempt was not counted");
            Attempts::default()
        })
    }

    /// A suspect may kill the process, so its attempt is counted before it is made.
    pub(super) async fn suspect(&self, suspect: Wanted) -> Suspicion {
        let reason = "its message was delivered several times without being settled";
        let attempts = self.count_attempt((suspect.seq, suspect.loan_key), reason).await;
        match (attempts.count >= ATTEMPTS_MAX, attempts.group) {
            (false, _) => Suspicion::Try,
            (true, None) => {
                tracing::error!(payment_event.id = %suspect.id, "a suspect event is parked, its loan is on hold");
                Suspicion::Parked
            }
            (true, Some(group)) => {
                tracing::error!(group.seq = group.0, "a suspect group is refused");
                Suspicion::Refused(group)
            }
        }
    }

    /// The pause after so many races lost.
    pub(super) fn race_pause(races: u32) -> Duration {
        RACE_PAUSE.saturating_mul(races.saturating_add(1)).min(PAUSE_MAX)
    }

    /// Pauses; false when the process stops instead.
    pub(super) async fn paused(&self, pause: Option<Duration>) -> bool {
        self.lifecycle.token().run_until_cancelled(tokio::time::sleep(pause.unwrap_or(PAUSE_MAX))).await.is_some()
    }
}

/// By the names that `hpts parked` and `hpts release` take.
fn tell_of_attempt(EventNames { id, loan_id, .. }: &EventNames, attempt: i32, reason: &str) {
    if attempt >= ATTEMPTS_MAX {
        tracing::error!(payment_event.id = %id, loan.id = %loan_id, attempt, reason, "event parked, its loan is on hold");
    } else {
        tracing::warn!(payment_event.id = %id, loan.id = %loan_id, attempt, reason, "event failed");
    }
}

/// The two halves of a share, by loan; the share itself where it has one loan.
fn halves(part: Part) -> Result<[Part; 2], Part> {
    let loans: BTreeSet<LoanKey> = part.wanted.iter().map(|wanted| wanted.loan_key).collect();
    let middle = loans.iter().nth(loans.len().div_euclid(2)).copied();
    match middle {
        Some(middle) if loans.len() > 1 => {
            let (first, second) = part.wanted.iter().partition(|wanted| wanted.loan_key < middle);
            Ok([Part { wanted: second, ..part }, Part { wanted: first, ..part }])
        }
        Some(_) | None => Err(part),
    }
}

/// What is tried after a batch that took too long: its halves by loan, or of one loan half of what was judged. What of
/// it is not posted then stays with the lane.
fn shortened(part: Part, judged: usize) -> Vec<Part> {
    match halves(part) {
        Ok(halves) => halves.into(),
        Err(part) => vec![Part { per_loan_max: part.per_loan_max.min(judged >> 1).max(1), ..part }],
    }
}

/// What is tried after a lost race: the same without locked loans; after several, its halves.
fn after_race(part: Part) -> Vec<Part> {
    let part = Part { skip_locked: true, races: part.races.saturating_add(1), ..part };
    if part.races.checked_rem(RACES_MAX) != Some(0) {
        return vec![part];
    }
    match halves(part) {
        Ok(halves) => halves.into(),
        Err(part) => vec![part],
    }
}

fn pauses() -> impl Iterator<Item = Duration> + Send {
    let builder = ExponentialBuilder::default().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX).with_jitter();
    builder.without_max_times().build()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::core::ids::LoanId;

    /// Log lines, kept.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_parked_event_is_logged_by_the_names_that_commands_take() {
        let (id, loan_id) = (EventId(Uuid::from_u128(7)), LoanId(Uuid::from_u128(8)));
        let event = EventNames { seq: Seq(9), id, loan_key: LoanKey::from_bytes([1; 16]), loan_id };
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || tell_of_attempt(&event, ATTEMPTS_MAX, "panic: unlucky"));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let fields =
            format!("payment_event.id={id} loan.id={loan_id} attempt={ATTEMPTS_MAX} reason=\"panic: unlucky\"");
        assert!(text.contains("event parked") && text.contains(&fields), "{text}");
    }

    fn wanted(seq: i64, loan: u8) -> Wanted {
        let id = EventId(Uuid::from_u128(u128::from(seq.unsigned_abs())));
        Wanted { seq: Seq(seq), id, loan_key: LoanKey::from_bytes([loan; 16]) }
    }

    fn numbers(part: &Part) -> Vec<i64> {
        part.wanted.iter().map(|wanted| wanted.seq.0).collect()
    }

    #[test]
    fn a_batch_that_takes_too_long_never_comes_back_whole() {
        let of_two = Part::new(vec![wanted(1, 7), wanted(2, 8), wanted(3, 7)], 2_000);
        let halves = shortened(of_two, 3);
        assert_eq!(halves.iter().map(numbers).collect::<Vec<_>>(), [vec![2], vec![1, 3]]);
        let mut of_one = Part::new(vec![wanted(1, 7), wanted(3, 7)], 2_000);
        for (judged, most) in [(500, 250), (250, 125), (3, 1), (1, 1), (0, 1)] {
            let shorter = shortened(of_one, judged);
            assert_eq!((shorter.len(), numbers(&shorter[0]), shorter[0].per_loan_max), (1, vec![1, 3], most));
            of_one = shorter[0].clone();
        }
    }
}
