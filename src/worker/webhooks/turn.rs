//! Owns the turn at one endpoint: round after round of due deliveries and of the feed, until nothing is left, the
//! endpoint takes nothing, or it is the others' turn.
//!
//! A round: up to [`DUE_AT_ONCE`] deliveries whose time has come and as many further messages of the feed as make
//! [`SENT_AT_ONCE`], all at once; then one transaction keeps what came of them and moves the endpoint's place. An
//! endpoint whose last round failed is asked with [`PROBES`] messages only.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::message::{Message, carries_answer, message, ping, types_of};
use super::sender::{Outcome, Sent};
use super::{Desk, LEASE};
use crate::core::ids::EventId;
use crate::core::ledger::Followed;
use crate::core::webhook::{Jitter, WebhookType, pause_after_failure, pause_of_endpoint};
use crate::runtime::sealing::{SealingError, opened};
use crate::runtime::telemetry::{WEBHOOK_DELIVERIES, chain};
use crate::store::{
    Attempt, AttemptFailure, Change, ChangePlace, DisabledReason, EndpointHold, EndpointRecord, EventRecord,
    StoreError, Told, Turned, what_followed,
};

/// The most messages of an endpoint under way at once.
pub(super) const SENT_AT_ONCE: usize = 32;
/// The same while it takes nothing.
const PROBES: usize = 4;
/// As many of them are deliveries that are tried again.
const PROBES_DUE: i64 = 2;
/// The most deliveries of a round that are tried again: the rest of it is for what comes new.
const DUE_AT_ONCE: i64 = 8;
/// An endpoint with so many deliveries that wait is told nothing further until some of them are settled.
pub(super) const PENDING_MAX: i64 = 1000;
/// Changes that are read at once.
const PAGE: i64 = 200;
/// How long a turn may last before others have theirs.
const TURN_MAX: Duration = Duration::from_secs(20);
/// How long a turn that the process's end finds under way may still take.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// How long an endpoint waits whose secret cannot be opened: an operator must act.
const UNSIGNED_PAUSE: Duration = Duration::from_mins(5);
/// A few failures do not disable an endpoint, however long ago the first of them was.
const FAILURES_TO_DISABLE: i32 = 10;
/// How long settled deliveries are kept for their tenant to look at.
const FORGET_AFTER: Duration = Duration::from_hours(24 * 30);

/// One endpoint's turn.
pub(super) struct Turn {
    desk: Arc<Desk>,
    endpoint: EndpointRecord,
    /// How far the feed was told, by this turn's own count.
    place: ChangePlace,
    /// Changes that were read and not told yet.
    page: VecDeque<Change>,
    /// Whether the feed was read to its end.
    is_at_end: bool,
}

/// The messages of a round.
#[derive(Default)]
struct Round {
    messages: Vec<Message>,
    /// How often each was tried, where it was.
    tried: HashMap<Told, i32>,
    /// Deliveries that no message can be made of any more.
    lost: Vec<Told>,
}

/// Why a turn ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Turn {
    pub(super) fn new(desk: Arc<Desk>, endpoint: EndpointRecord) -> Self {
        let place = endpoint.place;
        Self { desk, endpoint, place, page: VecDeque::new(), is_at_end: false }
    }

    /// Takes the turn and gives it back.
    pub(super) async fn take(mut self) {
        let hold = self.hold();
        if let Err(error) = self.rounds().await {
            tracing::warn!(webhook_endpoint.id = %hold.id, error = chain(&error), "a webhook turn was cut off");
        }
        // Without it the turn runs out by itself.
        if let Err(error) = self.desk.store().release_endpoint(hold, FORGET_AFTER).await {
            tracing::debug!(error = chain(&error), "a webhook turn could not be given back");
        }
    }

    fn hold(&self) -> EndpointHold {
        EndpointHold { id: self.endpoint.id, worker: self.desk.worker }
    }

    async fn rounds(&mut self) -> Result<(), StoreError> {
        let secrets = match self.secrets() {
            Ok(secrets) => secrets,
            Err(error) => return self.wait_for_operator(error).await,
        };
        let began = Instant::now();
        while began.elapsed() < TURN_MAX && !self.desk.lifecycle.is_stopping() {
            if self.round(&secrets).await? == Next::End {
                break;
            }
        }
        Ok(())
    }

    /// The secrets that sign now.
    fn secrets(&self) -> Result<Vec<Vec<u8>>, SealingError> {
        let (key, name) = (self.desk.parts.sealing_key.as_deref(), self.endpoint.id.to_string());
        let now = self.desk.parts.clock.now();
        let previous = self.endpoint.previous_secret.as_ref().filter(|(_, until)| *until > now);
        let stored = std::iter::once(&self.endpoint.secret).chain(previous.map(|(secret, _)| secret));
        stored.map(|secret| opened(key, &name, secret)).collect()
    }

    async fn wait_for_operator(&self, error: SealingError) -> Result<(), StoreError> {
        tracing::error!(webhook_endpoint.id = %self.endpoint.id, %error, "a webhook secret cannot be opened");
        let turned = Turned { pause: UNSIGNED_PAUSE, ..self.turned(self.place, Vec::new()) };
        self.desk.store().record_turn(turned).await.map(drop)
    }

    async fn round(&mut self, secrets: &[Vec<u8>]) -> Result<Next, StoreError> {
        let from = self.place;
        let round = self.gather().await?;
        if round.messages.is_empty() && round.lost.is_empty() && self.place == from {
            return Ok(Next::End);
        }
        let sending = join_all(round.messages.iter().map(|it| self.desk.sender.send(&self.endpoint.url, it, secrets)));
        let Some(sent) = self.unless_stopped(sending).await else { return Ok(Next::End) };
        let turned = self.judge(from, &round, &sent);
        let is_over = turned.disabled.is_some() || !turned.pause.is_zero();
        self.endpoint.failures = turned.failures.unwrap_or(self.endpoint.failures);
        let is_ours = self.desk.store().record_turn(turned).await?;
        Ok(if is_ours && !is_over { Next::GoOn } else { Next::End })
    }

    /// What a future comes to, or `None` where the process ends before. What was under way is told again then.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let ended = async {
            self.desk.lifecycle.stopping().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = ended => None,
        }
    }

    /// The next messages; moves the place behind the changes that they, or nothing, tell.
    async fn gather(&mut self) -> Result<Round, StoreError> {
        let is_failing = self.endpoint.failures > 0;
        let (most, due_most) = if is_failing { (PROBES, PROBES_DUE) } else { (SENT_AT_ONCE, DUE_AT_ONCE) };
        let due = self.desk.store().due_deliveries(self.endpoint.id, due_most).await?;
        let mut wanted: Vec<Told> = due.iter().map(|delivery| delivery.told).collect();
        let mut seen: HashSet<Told> = wanted.iter().copied().collect();
        if self.endpoint.pending < PENDING_MAX {
            self.read_page().await?;
            while wanted.len() < most {
                let Some(change) = self.page.pop_front() else { break };
                let told = types_of(&change).filter(|told| self.endpoint.event_types.contains(told));
                let told = told.map(|event_type| Told { event_id: change.event_id, event_type });
                wanted.extend(told.filter(|told| seen.insert(*told)));
                self.place = change.place;
            }
        }
        let records = self.records(&wanted).await?;
        let followed = self.followed(&wanted, &records).await?;
        let mut round = Round::default();
        for delivery in &due {
            round.tried.insert(delivery.told, delivery.attempts);
        }
        let asked_at: HashMap<Told, _> = due.iter().map(|delivery| (delivery.told, delivery.created_at)).collect();
        for told in wanted {
            let made = match (told.event_type, records.get(&told.event_id)) {
                (WebhookType::Ping, _) => asked_at
                    .get(&told)
                    .and_then(|at| ping((self.endpoint.tenant, self.endpoint.id), told.event_id, *at)),
                (event_type, Some(record)) => {
                    message(self.endpoint.id, event_type, record, followed.get(&told.event_id))
                }
                (_, None) => None,
            };
            match made {
                Some(message) => round.messages.push(message),
                None => round.lost.push(told),
            }
        }
        Ok(round)
    }

    async fn read_page(&mut self) -> Result<(), StoreError> {
        if !self.page.is_empty() || self.is_at_end {
            return Ok(());
        }
        let changes = self.desk.store().changes(self.endpoint.tenant, self.place, PAGE).await?;
        self.is_at_end = i64::try_from(changes.len()).is_ok_and(|read| read <= PAGE);
        self.page = changes.into();
        Ok(())
    }

    async fn records(&self, wanted: &[Told]) -> Result<HashMap<EventId, EventRecord>, StoreError> {
        let of_events = wanted.iter().filter(|told| told.event_type != WebhookType::Ping);
        let ids: HashSet<EventId> = of_events.map(|told| told.event_id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let records = self.desk.store().finished(ids.into_iter().collect()).await?;
        let ours = records.into_iter().filter(|record| record.event.event.tenant == self.endpoint.tenant);
        Ok(ours.map(|record| (record.event.event.id, record)).collect())
    }

    /// What followed from the events whose answers are told. One short statement for all of them, and more only for those
    /// that came late or have brought something about: a payment in order has none of it.
    async fn followed(
        &self,
        wanted: &[Told],
        records: &HashMap<EventId, EventRecord>,
    ) -> Result<HashMap<EventId, Followed>, StoreError> {
        let (store, tenant) = (self.desk.store(), self.endpoint.tenant);
        let told = wanted.iter().filter(|told| carries_answer(told.event_type));
        let ids: HashSet<EventId> = told.map(|told| told.event_id).filter(|id| records.contains_key(id)).collect();
        let mut followed = HashMap::new();
        if ids.is_empty() {
            return Ok(followed);
        }
        for id in store.with_more_to_tell(tenant, ids.into_iter().collect()).await? {
            let record = records.get(&id);
            if let Some((event, posting)) = record.and_then(|it| Some((&it.event.event, it.posting.as_ref()?))) {
                followed.insert(id, what_followed(store, event, posting).await?);
            }
        }
        Ok(followed)
    }

    fn turned(&self, from: ChangePlace, attempts: Vec<Attempt>) -> Turned {
        let (hold, to) = (self.hold(), self.place);
        Turned { hold, lease: LEASE, from, to, attempts, failures: None, pause: Duration::ZERO, disabled: None }
    }

    /// What a round comes to.
    fn judge(&mut self, from: ChangePlace, round: &Round, sent: &[Sent]) -> Turned {
        let mut attempts = Vec::with_capacity(sent.len());
        let mut asked_to_wait = Duration::ZERO;
        for (message, sent) in round.messages.iter().zip(sent) {
            metrics::counter!(WEBHOOK_DELIVERIES, "outcome" => sent.outcome.label()).increment(1);
            let tried = round.tried.get(&message.told).copied();
            let attempt = attempt(message.told, sent, tried.unwrap_or(0));
            self.count(tried.is_some(), &attempt);
            if let Outcome::Refused(Some(wait)) = sent.outcome {
                asked_to_wait = asked_to_wait.max(wait);
            }
            attempts.push(attempt);
        }
        for told in &round.lost {
            let failure = Some(AttemptFailure { error: "unreadable", pause: None });
            attempts.push(Attempt { told: *told, status: None, duration: Duration::ZERO, failure });
        }
        let has_taken = sent.iter().any(|sent| sent.outcome == Outcome::Delivered);
        let failures = (!sent.is_empty()).then(|| if has_taken { 0 } else { self.endpoint.failures.saturating_add(1) });
        let rounds = usize::try_from(failures.unwrap_or(0)).unwrap_or(0);
        let pause = if rounds == 0 { Duration::ZERO } else { pause_of_endpoint(rounds) };
        let disabled = self.reason_to_disable(failures.unwrap_or(0), sent);
        if let Some(reason) = disabled {
            tracing::warn!(
                webhook_endpoint.id = %self.endpoint.id,
                reason = reason.as_str(),
                "a webhook endpoint is disabled"
            );
        }
        Turned { failures, pause: pause.max(asked_to_wait), disabled, ..self.turned(from, attempts) }
    }

    /// Keeps count of what waits.
    fn count(&mut self, is_retry: bool, attempt: &Attempt) {
        let waits_still = attempt.failure.as_ref().is_some_and(|failure| failure.pause.is_some());
        let change = i64::from(waits_still).saturating_sub(i64::from(is_retry));
        self.endpoint.pending = self.endpoint.pending.saturating_add(change);
    }

    fn reason_to_disable(&self, failures: i32, sent: &[Sent]) -> Option<DisabledReason> {
        if sent.iter().any(|sent| sent.outcome == Outcome::Gone) {
            return Some(DisabledReason::Gone);
        }
        let now = self.desk.parts.clock.now();
        let failing = self.endpoint.failing_since.map_or(0, |since| now.micros().saturating_sub(since.micros()));
        let is_too_long = u128::try_from(failing).is_ok_and(|micros| micros >= self.desk.parts.patience.as_micros());
        (failures >= FAILURES_TO_DISABLE && is_too_long).then_some(DisabledReason::Failing)
    }
}

/// An attempt as it is kept; `tried` says how often it was tried before.
fn attempt(told: Told, sent: &Sent, tried: i32) -> Attempt {
    let failures = usize::try_from(tried).unwrap_or(0).saturating_add(1);
    let failure = sent.outcome.error().map(|error| {
        let pause = pause_after_failure(failures, jitter());
        let wait = if let Outcome::Refused(Some(wait)) = sent.outcome { wait } else { Duration::ZERO };
        AttemptFailure { error, pause: pause.map(|pause| pause.max(wait)) }
    });
    Attempt { told, status: sent.status.map(|status| status.as_u16()), duration: sent.duration, failure }
}

fn jitter() -> Jitter {
    let mut byte = [128];
    // Without randomness pauses are as the ladder has them.
    let _filled = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    Jitter(byte)
}
