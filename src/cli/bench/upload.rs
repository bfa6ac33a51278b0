//! Owns the load of batches: callers that send one request of many payments after the other without waiting for the
//! postings, and beside each caller a waiter that asks when its batches are posted.
//!
//! Bodies are made before the clock starts. It runs from the first byte sent to the last posting, by the time that the
//! servers' database gave it. Load goes to this machine only, so that clock is ours, too; where the database is elsewhere
//! and its clock cannot be right, the moment counts at which the waiter learned of the posting. The time from
//! acceptance to posting is the caller's: from the 202 to the last posting of its payments, nothing where that came
//! before the 202 did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Uri;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::cli::bench::BenchError;
use crate::cli::bench::caller::{Answer, Caller, key_header, uri_of};
use crate::cli::bench::figures::CaseRun;
use crate::cli::bench::latency::Latencies;
use crate::cli::bench::loans::{Draws, Loans};
use crate::cli::bench::series::{Mark, Sample, samples};
use crate::cli::bench::session::Session;
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::runtime::lifecycle::Lifecycle;

/// Where batches are sent.
pub(super) const PATH: &str = "/v1/payments/batch";
/// The state of a batch of which nothing is in flight any more.
const FINISHED: &str = "finished";
/// How long one question waits for a batch to be posted.
const WAIT: &str = "wait=30";
/// The pause after an answer that came before its time, so that no question is asked as fast as it is answered.
const PAUSE: Duration = Duration::from_millis(10);
/// After so long without an end, a batch counts as stuck.
const PATIENCE: Duration = Duration::from_mins(5);

/// How much load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// How many callers, one request in flight on each.
    pub(super) callers: u64,
    /// Payments of a request, at most.
    pub(super) rows: u64,
    /// Payments in all.
    pub(super) payments: u64,
    /// So many of them in a hundred come late.
    pub(super) late_percent: u64,
}

/// The keys of a run's payments: whoever knows the run can ask for any of them.
#[derive(Clone, Debug)]
pub(super) struct Keys(String);

impl Keys {
    /// Keys that no other run has.
    pub(super) fn new() -> Self {
        Self(format!("bench:{}", Uuid::new_v4().simple()))
    }

    /// The key of a request.
    pub(super) fn request(&self, request: u64) -> String {
        format!("{}:{request}", self.0)
    }

    /// The key of a payment of a request.
    pub(super) fn row(&self, request: u64, row: u64) -> String {
        format!("{}:{request}:{row}", self.0)
    }
}

/// What a load gave.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    /// Its figures.
    pub(super) run: CaseRun,
    /// How it went over time.
    pub(super) samples: Vec<Sample>,
}

/// What a server says of a batch that it has taken.
#[derive(Debug, Deserialize)]
struct Taken {
    received: u64,
    accepted: u64,
}

/// What a server says of a batch that it works on.
#[derive(Debug, Deserialize)]
struct Status {
    state: String,
    counts: Counts,
    last_posted_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    accepted: u64,
    posted: u64,
    in_flight: u64,
}

/// The newest request that servers have accepted: the generator tells, pollers read.
#[derive(Debug, Default)]
pub(super) struct Newest(AtomicU64);

impl Newest {
    /// A request was accepted.
    fn accept(&self, request: u64) {
        self.0.fetch_max(request.saturating_add(1), Ordering::Relaxed);
    }

    /// Its number; `None` while there is none.
    pub(super) fn request(&self) -> Option<u64> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// A batch on its way to its waiter.
#[derive(Debug)]
struct Handed {
    location: String,
    payments: u64,
    at: Timestamp,
}

/// A request, ready to be sent.
#[derive(Debug)]
struct Ready {
    key: String,
    body: Bytes,
    payments: u64,
}

/// What all callers and waiters of a run share.
#[derive(Debug)]
struct Course {
    requests: Vec<Ready>,
    next: AtomicU64,
    newest: Arc<Newest>,
    uri: Uri,
    clock: Clock,
}

/// What one caller or waiter has seen.
#[derive(Debug)]
struct Seen {
    latencies: Latencies,
    marks: Vec<Mark>,
    faults: Faults,
}

impl Seen {
    fn new() -> Result<Self, BenchError> {
        Ok(Self { latencies: Latencies::new()?, marks: vec![], faults: Faults::default() })
    }

    fn add(&mut self, other: &Self) -> Result<(), BenchError> {
        self.marks.extend_from_slice(&other.marks);
        self.faults.add(&other.faults);
        self.latencies.add(&other.latencies)
    }

    fn payments(&self) -> u64 {
        self.marks.iter().map(|mark| mark.payments).sum()
    }

    fn last(&self) -> Option<Timestamp> {
        self.marks.iter().map(|mark| mark.at).max()
    }
}

/// What was not as it should be, each sort once, with how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(BTreeMap<String, u64>);

impl Faults {
    /// One more.
    pub(super) fn push(&mut self, what: String) {
        let count = self.0.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    /// All of another's.
    pub(super) fn add(&mut self, other: &Self) {
        for (what, more) in &other.0 {
            let count = self.0.entry(what.clone()).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// For people.
    pub(super) fn told(&self) -> Vec<String> {
        self.0.iter().map(|(what, count)| format!("{what} ({count} times)")).collect()
    }
}

/// Brings a load on some of a session's loans and waits until all of it is posted.
pub(super) async fn run(
    session: &Session,
    loans: &Loans,
    load: Load,
    keys: &Keys,
    newest: &Arc<Newest>,
) -> Result<Loaded, BenchError> {
    let (requests, clock) = (requests(loans, load, keys, session.seed), Clock::system());
    let room = requests.len().max(1);
    let uri = uri_of(PATH)?;
    let course = Course { requests, next: AtomicU64::new(0), newest: Arc::clone(newest), uri, clock: clock.clone() };
    let (course, lifecycle) = (Arc::new(course), Lifecycle::new());
    let mut callers = session.callers(load.callers.saturating_mul(2));
    for caller in &mut callers {
        caller.connect().await?;
    }
    let waiters = callers.split_off(callers.len().div_ceil(2));
    let mut meter = session.meter();
    let stretch = meter.start().await?;
    let begun = clock.now();
    let (mut calling, mut waiting) = (Vec::new(), Vec::new());
    for (caller, waiter) in callers.into_iter().zip(waiters) {
        let (hand, handed) = mpsc::channel(room);
        calling.push(lifecycle.spawn(call(Arc::clone(&course), caller, hand)));
        waiting.push(lifecycle.spawn(wait(clock.clone(), waiter, handed)));
    }
    let (mut accepted, mut posted) = (Seen::new()?, Seen::new()?);
    for task in calling {
        accepted.add(&task.await??)?;
    }
    for task in waiting {
        posted.add(&task.await??)?;
    }
    meter.stop(stretch).await?;
    let payments = posted.payments();
    let samples = samples(begun, &accepted.marks, &posted.marks);
    let elapsed = since(begun, posted.last().unwrap_or(begun));
    let mut faults = accepted.faults;
    faults.add(&posted.faults);
    let run = CaseRun {
        payments,
        elapsed,
        accept: Some(accepted.latencies),
        post: Some(posted.latencies),
        wal_bytes: meter.wal_bytes(),
        costs: meter.costs(payments),
        faults: faults.told(),
    };
    Ok(Loaded { run, samples })
}

/// The time between two instants; nothing where they are the other way round.
pub(super) fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(later.micros().saturating_sub(earlier.micros())).unwrap_or(0))
}

fn requests(loans: &Loans, load: Load, keys: &Keys, seed: u64) -> Vec<Ready> {
    let mut draws = Draws::new(seed.rotate_left(16));
    let rows = load.rows.max(1);
    let numbers = 0..load.payments.div_ceil(rows);
    let request = |number: u64| {
        let payments = rows.min(load.payments.saturating_sub(number.saturating_mul(rows)));
        let rows = (0..payments).filter_map(|row| loans.row(draws.next(), &keys.row(number, row), load.late_percent));
        let body = format!(r#"{{"payments":[{}]}}"#, rows.collect::<Vec<_>>().join(","));
        Ready { key: keys.request(number), body: body.into(), payments }
    };
    numbers.map(request).collect()
}

/// One caller until nothing is left.
async fn call(course: Arc<Course>, mut caller: Caller, hand: mpsc::Sender<Handed>) -> Result<Seen, BenchError> {
    let mut seen = Seen::new()?;
    loop {
        let number = course.next.fetch_add(1, Ordering::Relaxed);
        let Some(ready) = usize::try_from(number).ok().and_then(|index| course.requests.get(index)) else { break };
        let begun = Instant::now();
        let answer = caller.post(&course.uri, &key_header(&ready.key)?, &ready.body).await?;
        seen.latencies.record(begun.elapsed());
        match taken(&answer, ready.payments) {
            Ok(location) => {
                let (at, payments) = (course.clock.now(), ready.payments);
                seen.marks.push(Mark { at, payments });
                course.newest.accept(number);
                // A waiter that is gone has died of an error, which is told in its place.
                let _waited = hand.send(Handed { location, payments, at }).await;
            }
            Err(fault) => seen.faults.push(fault),
        }
    }
    Ok(seen)
}

/// Where to ask for a batch all of whose payments are accepted; or why it is not as it should be. A request that was
/// sent again is answered as the first time, with 200 where that had ended.
pub(super) fn taken(answer: &Answer, payments: u64) -> Result<String, String> {
    let is_taken = matches!(answer.status, 200 | 202);
    let (true, Some(location), Some(taken)) = (is_taken, answer.location.clone(), answer.json::<Taken>()) else {
        return Err(format!("a batch was answered {}", answer.line()));
    };
    if taken.received == payments && taken.accepted == payments {
        Ok(location)
    } else {
        Err(format!("of {payments} payments in a batch {} were accepted: {}", taken.accepted, answer.line()))
    }
}

/// One waiter until its caller is done and every batch is posted.
async fn wait(clock: Clock, mut caller: Caller, mut handed: mpsc::Receiver<Handed>) -> Result<Seen, BenchError> {
    let mut seen = Seen::new()?;
    while let Some(Handed { location, payments, at: accepted }) = handed.recv().await {
        match until_posted(&mut caller, &status_uri(&location)?, payments).await? {
            Ok(posted) => {
                let at = believable(posted, accepted, clock.now());
                seen.latencies.record(since(accepted, at));
                seen.marks.push(Mark { at, payments });
            }
            Err(fault) => seen.faults.push(fault),
        }
    }
    Ok(seen)
}

/// When payments were posted that were seen posted now. A database whose clock is ahead of ours is on another machine.
pub(super) fn believable(posted: Option<Timestamp>, accepted: Timestamp, now: Timestamp) -> Timestamp {
    posted.filter(|posted| *posted <= now).map_or(now, |posted| posted.max(accepted))
}

/// The long poll of a batch.
pub(super) fn status_uri(location: &str) -> Result<Uri, BenchError> {
    let path = location.parse::<Uri>().map_err(|_| BenchError::Header("the location of a batch"))?;
    uri_of(&format!("{}?{WAIT}", path.path()))
}

/// Asks until a batch is posted: when the last of its payments was; or why it never will be.
pub(super) async fn until_posted(
    caller: &mut Caller,
    uri: &Uri,
    payments: u64,
) -> Result<Result<Option<Timestamp>, String>, BenchError> {
    let begun = Instant::now();
    loop {
        let answer = caller.get(uri).await?;
        let status = answer.json::<Status>().filter(|_| answer.status == 200);
        let Some(Status { state, counts, last_posted_at }) = status else {
            return Ok(Err(format!("a batch's status was answered {}", answer.line())));
        };
        if state == FINISHED && counts.in_flight == 0 {
            let is_whole = counts.posted == counts.accepted && counts.posted == payments;
            let posted_at = || last_posted_at.as_deref().and_then(instant);
            return Ok(if is_whole { Ok(posted_at()) } else { Err(format!("not all was posted: {}", answer.line())) });
        }
        if begun.elapsed() > PATIENCE {
            return Ok(Err(format!("a batch is stuck: {}", answer.line())));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// An instant as answers write it.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|instant| Timestamp::new(instant.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::usual_day;

    fn answer(status: u16, location: Option<&str>, body: &str) -> Answer {
        Answer { status, location: location.map(str::to_owned), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_batch_is_taken_whole_or_is_a_fault() {
        let counts = r#"{"batch_id":"b","received":10,"accepted":10,"duplicates":0,"mismatched":0,"invalid":0}"#;
        assert_eq!(taken(&answer(202, Some("/v1/batches/b"), counts), 10), Ok("/v1/batches/b".to_owned()));
        assert_eq!(taken(&answer(200, Some("/b"), counts), 10), Ok("/b".to_owned()));
        assert!(taken(&answer(202, Some("/b"), counts), 11).is_err());
        assert!(taken(&answer(202, Some("/b"), &counts.replacen("10", "9", 2)), 10).is_err());
        assert!(taken(&answer(202, None, counts), 10).is_err());
        assert!(taken(&answer(400, Some("/b"), "{}"), 10).unwrap_err().contains("400 {}"));
    }

    #[test]
    fn payments_are_cut_into_requests_with_keys_of_their_own() {
        let loans = Loans::new(1, 10, usual_day());
        let load = Load { callers: 1, rows: 4, payments: 10, late_percent: 0 };
        let ready = requests(&loans, load, &Keys("run".to_owned()), 7);
        assert_eq!(ready.iter().map(|ready| ready.payments).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(ready[2].key, "run:2");
        let body: serde_json::Value = serde_json::from_slice(&ready[2].body).unwrap();
        let rows = body["payments"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[1]["idempotency_key"]), (2, &"run:2:1".into()));
        assert!(rows[0]["amount_minor"].is_string(), "{body}");
    }

    #[test]
    fn a_posting_counts_from_the_answer_and_never_from_the_future() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let believed = |posted| believable(posted, at(10), at(30));
        assert_eq!(believed(Some(at(20))), at(20));
        assert_eq!(believed(Some(at(5))), at(10), "posted before the answer came");
        assert_eq!(believed(Some(at(31))), at(30), "the clock is ahead");
        assert_eq!(believed(None), at(30));
        assert_eq!((since(at(10), at(30)).as_micros(), since(at(30), at(10)).as_micros()), (20, 0));
        assert_eq!(instant("2026-05-01T12:00:00.000001Z"), Some(at(1_777_636_800_000_001)));
        assert_eq!(instant("yesterday"), None);
    }

    #[test]
    fn a_fault_is_told_once_with_how_often() {
        let mut faults = Faults::default();
        faults.push("503".to_owned());
        let mut more = Faults::default();
        more.push("503".to_owned());
        more.push("400".to_owned());
        faults.add(&more);
        assert_eq!(faults.told(), ["400 (1 times)", "503 (2 times)"]);
    }
}
