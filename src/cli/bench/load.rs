//! Owns the load itself: connections that post one payment after the other, each waiting for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::bench::BenchError;
use crate::cli::bench::caller::IDEMPOTENCY_KEY;
use crate::cli::bench::figures::CaseRun;
use crate::cli::bench::link::Link;
use crate::cli::bench::loans::{Draws, Loans};
use crate::cli::bench::processes::{Cost, Watch};
use crate::cli::bench::tally::{GOOD, Tally};
use crate::cli::bench::target::Target;
use crate::cli::bench::token::Authorization;
use crate::runtime::lifecycle::Lifecycle;

/// How often a request is sent again when its connection broke.
const RETRIES_MAX: u32 = 5;
/// The pause before that.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// When a run ends.
#[derive(Clone, Debug)]
pub(super) enum Length {
    /// After so long.
    For(Duration),
    /// After so many payments.
    Payments(u64),
    /// When it is told to.
    Until(CancellationToken),
}

/// What a run does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The apis; connections are dealt out over them.
    pub(super) targets: Vec<Target>,
    /// How many connections.
    pub(super) connections: u64,
    /// The load before anything counts.
    pub(super) warm_up: Duration,
    /// When it ends.
    pub(super) length: Length,
    /// How long each connection waits between two payments: nothing where it brings as much as it can.
    pub(super) pause: Duration,
    /// Tells runs apart in idempotency keys.
    pub(super) run: String,
    /// Which loans are drawn when.
    pub(super) seed: u64,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Everything counted.
    pub(super) tally: Tally,
    /// From the end of the warm-up to the last answer.
    pub(super) elapsed: Duration,
    /// What the watched processes cost meanwhile.
    pub(super) costs: Vec<Cost>,
}

impl From<Run> for CaseRun {
    fn from(run: Run) -> Self {
        let Run { tally, elapsed, costs } = run;
        let (payments, faults, post) = (tally.good(), tally.faults(), Some(tally.latencies().clone()));
        Self { payments, elapsed, accept: None, post, wal_bytes: None, costs, faults }
    }
}

/// What a payment that begins now is for.
enum Turn {
    WarmUp,
    Measured,
    Over,
}

/// What all connections share.
struct Course {
    loans: Arc<Loans>,
    run: String,
    seed: u64,
    measured_from: Instant,
    until: Option<Instant>,
    payments_left: Option<AtomicU64>,
    stopping: CancellationToken,
    pause: Duration,
}

impl Course {
    fn turn(&self, now: Instant) -> Turn {
        if now < self.measured_from {
            return Turn::WarmUp;
        }
        let less = |left: u64| left.checked_sub(1);
        let is_taken = |left: &AtomicU64| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        let in_time = self.until.is_none_or(|until| now < until) && !self.stopping.is_cancelled();
        if in_time && self.payments_left.as_ref().is_none_or(is_taken) { Turn::Measured } else { Turn::Over }
    }
}

/// One connection's place.
struct Lane {
    target: Target,
    uri: Uri,
    link: Option<Link>,
    authorization: Authorization,
}

impl Lane {
    async fn open(target: Target, authorization: Authorization) -> Result<Self, BenchError> {
        let address = target.address;
        let uri = target.path.parse().map_err(|_| BenchError::Header("the payments path"))?;
        let link = Link::open(address).await.map_err(|source| BenchError::Link { address, source })?;
        Ok(Self { target, uri, link: Some(link), authorization })
    }

    /// The status of one payment, sent again under its key where the connection broke; `None` when that did not help.
    async fn pay(&mut self, key: &HeaderValue, body: Bytes, tally: &mut Tally) -> Option<u16> {
        for attempt in 0..=RETRIES_MAX {
            if attempt > 0 {
                tally.retry();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            let request = self.request(key, body.clone());
            if !self.link.as_ref().is_some_and(Link::is_open) {
                self.link = Link::open(self.target.address).await.ok();
            }
            if let Some(link) = &mut self.link {
                match link.status_of(request).await {
                    Ok(status) => return Some(status.as_u16()),
                    Err(_) => self.link = None,
                }
            }
        }
        None
    }

    fn request(&self, key: &HeaderValue, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host.clone());
        headers.insert(AUTHORIZATION, self.authorization.borrow().clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, key.clone());
        request
    }
}

/// Opens all connections, loads the apis, and counts.
pub(super) async fn run(
    plan: &Plan,
    loans: &Arc<Loans>,
    authorization: &Authorization,
    watch: &Watch,
) -> Result<Run, BenchError> {
    let targets = plan.targets.iter().cycle().zip(0..plan.connections);
    let lanes = targets.map(|(target, _)| Lane::open(target.clone(), authorization.clone()));
    let lanes = try_join_all(lanes).await?;
    let begun = Instant::now();
    let measured_from = begun.checked_add(plan.warm_up).unwrap_or(begun);
    let (until, payments_left) = match plan.length {
        Length::For(time) => (measured_from.checked_add(time), None),
        Length::Payments(count) => (None, Some(AtomicU64::new(count))),
        Length::Until(_) => (None, None),
    };
    let stopping = match &plan.length {
        Length::Until(token) => token.clone(),
        Length::For(_) | Length::Payments(_) => CancellationToken::new(),
    };
    let course = Arc::new(Course {
        loans: Arc::clone(loans),
        run: plan.run.clone(),
        seed: plan.seed,
        measured_from,
        until,
        payments_left,
        stopping,
        pause: plan.pause,
    });
    let lifecycle = Lifecycle::new();
    let drives = (0_u64..).zip(lanes);
    let drives: Vec<_> =
        drives.map(|(number, lane)| lifecycle.spawn(drive(Arc::clone(&course), lane, number))).collect();
    tokio::time::sleep_until(measured_from).await;
    let start = watch.sample()?;
    let (mut tally, mut last) = (Tally::new()?, measured_from);
    for drive in drives {
        let (counted, ended) = drive.await??;
        tally.add(&counted)?;
        last = last.max(ended);
    }
    let end = watch.sample()?;
    let costs = watch.costs(&start, &end, tally.good());
    Ok(Run { tally, elapsed: last.saturating_duration_since(measured_from), costs })
}

/// One connection from the first payment to the last. Answers its counts and when its last answer came.
async fn drive(course: Arc<Course>, mut lane: Lane, number: u64) -> Result<(Tally, Instant), BenchError> {
    let mut tally = Tally::new()?;
    let mut draws = Draws::new(course.seed.rotate_left(32) ^ number);
    let mut last = course.measured_from;
    for turn_number in 0_u64.. {
        let begun = Instant::now();
        let turn = course.turn(begun);
        if matches!(turn, Turn::Over) {
            break;
        }
        let Some(body) = course.loans.payment(draws.next()) else { break };
        let key = HeaderValue::try_from(format!("{}:{number}:{turn_number}", course.run));
        let key = key.map_err(|_| BenchError::Header("the idempotency key"))?;
        let status = lane.pay(&key, body, &mut tally).await;
        let ended = Instant::now();
        match (turn, status) {
            (_, None) => tally.give_up(),
            (Turn::Measured, Some(status)) => {
                tally.answer(status, ended.saturating_duration_since(begun));
                last = last.max(ended);
            }
            (Turn::WarmUp | Turn::Over, Some(status)) => tally.warm_up(status),
        }
        if status != Some(GOOD) {
            // A server that refuses in no time would otherwise be asked as fast as it can refuse.
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        if !course.pause.is_zero() {
            tokio::time::sleep(course.pause).await;
        }
    }
    Ok((tally, last))
}
