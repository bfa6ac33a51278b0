//! Owns the streamed upload: one request of many rows of NDJSON, made while it is sent, and how even its rate is.
//!
//! The rate of each tenth is read afterwards, from the times that the servers' database gave to evenly spread rows, so
//! that nothing but the upload runs while it runs. The times of a tenth begin where the one before it ends.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::{Method, Request};
use serde::Deserialize;

use crate::cli::bench::BenchError;
use crate::cli::bench::answer::{Report, Settings, Telling};
use crate::cli::bench::caller::{Answer, Caller, key_header, uri_of};
use crate::cli::bench::figures::{Case, CaseRun, Ratio};
use crate::cli::bench::latency::Latencies;
use crate::cli::bench::link::Link;
use crate::cli::bench::loans::{Draws, Loans};
use crate::cli::bench::peaks::Peaks;
use crate::cli::bench::pollers::{LOOKUP, told};
use crate::cli::bench::session::{ServerArguments, Session};
use crate::cli::bench::upload::{Keys, PATH, believable, instant, since, status_uri, taken, until_posted};
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;

/// Rows that are made at once.
const CHUNK: u64 = 500;
/// How long an upload may take.
const UPLOAD_MAX: Duration = Duration::from_hours(2);
/// How many rows are asked for afterwards, at most.
const MARKERS: u64 = 1000;
/// The parts whose rates are compared.
const PARTS: u64 = 10;

/// What is streamed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// How many rows.
    pub(super) rows: u64,
}

/// The body: rows that are made when the connection has room for them.
#[derive(Debug)]
struct Rows {
    loans: Arc<Loans>,
    keys: Keys,
    draws: Draws,
    next: u64,
    end: u64,
}

impl Body for Rows {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.next >= this.end {
            return Poll::Ready(None);
        }
        let end = this.end.min(this.next.saturating_add(CHUNK));
        let mut text = String::new();
        for row in this.next..end {
            text.extend(this.loans.row(this.draws.next(), &this.keys.row(0, row), 0));
            text.push('\n');
        }
        this.next = end;
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

/// A payment that was asked for.
#[derive(Debug, Deserialize)]
struct Found {
    idempotency_key: String,
    accepted_at: String,
    posted_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FoundAll {
    items: Vec<Found>,
}

/// When a row was accepted and posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    accepted: Timestamp,
    posted: Timestamp,
}

/// What one upload gave.
#[derive(Debug)]
struct Streamed {
    run: CaseRun,
    tenths: Vec<u64>,
}

/// Measures streamed uploads and prints the report.
pub(super) async fn run(
    stream: Stream,
    (servers, telling): (&ServerArguments, &Telling),
    config: &Config,
) -> Result<(), BenchError> {
    let session = Session::open(servers, telling, config).await?;
    let peaks = Peaks::watch(&session.watch);
    let (mut runs, mut tenths) = (Vec::new(), Vec::new());
    for _ in 0..telling.repeat {
        let streamed = upload(&session, stream).await?;
        runs.push(streamed.run);
        tenths.push(streamed.tenths);
    }
    let memory = peaks.end().await?;
    let posted = runs.iter().map(|run| run.payments).sum();
    let (books, server) = (session.prove(posted).await?, session.server().await?);
    session.close().await;
    let settings = servers.settings().with("payments", stream.rows);
    let report = Report::new("ndjson", settings, vec![Case::new("ndjson", &runs)], books);
    let evenness = tenths.iter().map(|tenths| told(evenness(tenths)));
    let findings = Settings::default()
        .with("rate_of_each_tenth", tenths.clone())
        .with("last_tenth_over_first", evenness.collect::<Vec<_>>())
        .and(memory.into_iter().map(|(name, kib)| (format!("memory_max_{name}"), format!("{} MiB", kib >> 10))));
    telling.tell(&report.on(server).finding(findings))
}

/// One upload, from its first byte to its last posting.
async fn upload(session: &Session, stream: Stream) -> Result<Streamed, BenchError> {
    let keys = Keys::new();
    let mut caller = session.callers(1).pop().ok_or(BenchError::Header("an empty list of apis"))?;
    let mut meter = session.meter();
    let stretch = meter.start().await?;
    let clock = Clock::system();
    let begun = clock.now();
    let answer = send(session, stream, &keys).await?;
    let accepted = since(begun, clock.now());
    let (mut faults, mut payments, mut posted) = (Vec::new(), 0, None);
    match taken(&answer, stream.rows) {
        Err(fault) => faults.push(fault),
        Ok(location) => {
            payments = stream.rows;
            match until_posted(&mut caller, &status_uri(&location)?, payments).await? {
                Ok(at) => posted = at,
                Err(fault) => faults.push(fault),
            }
        }
    }
    let elapsed = since(begun, believable(posted, begun, clock.now()));
    meter.stop(stretch).await?;
    let times = markers(&mut caller, &keys, stream.rows, &mut faults).await?;
    let mut post = Latencies::new()?;
    for times in times.values() {
        post.record(since(times.accepted, times.posted));
    }
    let mut accept = Latencies::new()?;
    accept.record(accepted);
    let (wal_bytes, costs) = (meter.wal_bytes(), meter.costs(payments));
    let run = CaseRun { payments, elapsed, accept: Some(accept), post: Some(post), wal_bytes, costs, faults };
    Ok(Streamed { run, tenths: tenths(&times, stream.rows) })
}

async fn send(session: &Session, stream: Stream, keys: &Keys) -> Result<Answer, BenchError> {
    let target = session.targets.first().ok_or(BenchError::Header("an empty list of apis"))?;
    let draws = Draws::new(session.seed.rotate_left(16));
    let loans = Arc::clone(&session.loans);
    let rows = Rows { loans, keys: keys.clone(), draws, next: 0, end: stream.rows };
    let mut request = Request::new(rows);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri_of(PATH)?;
    let headers = request.headers_mut();
    headers.extend(key_header(&keys.request(0))?);
    headers.insert(HOST, target.host.clone());
    headers.insert(AUTHORIZATION, session.authorization.borrow().clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let address = target.address;
    let failed = |source| BenchError::Link { address, source };
    let mut link = Link::open(address).await.map_err(failed)?;
    let (head, body) = link.exchange_within(UPLOAD_MAX, request).await.map_err(failed)?;
    let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer { status: head.status.as_u16(), location, body })
}

/// The times of evenly spread rows, by row.
async fn markers(
    caller: &mut Caller,
    keys: &Keys,
    rows: u64,
    faults: &mut Vec<String>,
) -> Result<BTreeMap<u64, Times>, BenchError> {
    let every = rows.div_ceil(MARKERS).max(1);
    let wanted = (0..rows).step_by(usize::try_from(every).unwrap_or(1)).chain(rows.checked_sub(1));
    let wanted: BTreeMap<String, u64> = wanted.map(|row| (keys.row(0, row), row)).collect();
    let asked = serde_json::json!({ "idempotency_keys": wanted.keys().collect::<Vec<_>>() });
    let body = Bytes::from(asked.to_string());
    let answer = caller.post(&uri_of(LOOKUP)?, &hyper::HeaderMap::new(), &body).await?;
    let found =
        answer.json::<FoundAll>().ok_or_else(|| BenchError::Answer { what: "the lookup", answer: answer.line() })?;
    let times = found.items.into_iter().filter_map(|found| {
        let (accepted, posted) = (instant(&found.accepted_at)?, instant(found.posted_at.as_deref()?)?);
        Some((*wanted.get(&found.idempotency_key)?, Times { accepted, posted }))
    });
    let times: BTreeMap<u64, Times> = times.collect();
    if times.len() < wanted.len() {
        faults.push(format!("of {} rows looked at only {} are posted", wanted.len(), times.len()));
    }
    Ok(times)
}

/// Rows posted a second in each tenth: from the moment all rows before it were posted to the moment its own are. The
/// first begins with the acceptance of the first row.
fn tenths(times: &BTreeMap<u64, Times>, rows: u64) -> Vec<u64> {
    let bound = |part: u64| rows.saturating_mul(part).div_euclid(PARTS);
    let mut before = times.values().next().map_or(Timestamp::EPOCH, |times| times.accepted);
    let rate = |part: u64| {
        let (first, end) = (bound(part), bound(part.saturating_add(1)));
        let posted = times.range(first..end).map(|(_, times)| times.posted).max().unwrap_or(before).max(before);
        let micros = u64::try_from(since(before, posted).as_micros()).unwrap_or(u64::MAX);
        before = posted;
        end.saturating_sub(first).saturating_mul(1_000_000).checked_div(micros).unwrap_or(0)
    };
    (0..PARTS).map(rate).collect()
}

/// The rate of the last tenth over that of the first.
fn evenness(tenths: &[u64]) -> Option<Ratio> {
    Ratio::of(*tenths.last()?, *tenths.first()?)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::cli::bench::usual_day;

    #[tokio::test]
    async fn the_body_has_a_row_a_line_and_each_its_own_key() {
        let rows = Rows {
            loans: Arc::new(Loans::new(1, 3, usual_day())),
            keys: Keys::new(),
            draws: Draws::new(1),
            next: 0,
            end: 1234,
        };
        let bytes = rows.collect().await.unwrap().to_bytes();
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        let keys: std::collections::BTreeSet<String> = lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["idempotency_key"].to_string())
            .collect();
        assert_eq!(keys.len(), 1234);
    }

    #[test]
    fn a_tenth_lasts_from_the_last_posting_before_it_to_its_own_last() {
        // A hundred rows; each tenth takes a second, but for the last one, which takes two.
        let second = |row: u64| i64::try_from(row.div_euclid(10).saturating_add(u64::from(row >= 90))).unwrap();
        let posted = |row| Timestamp::from_micros(second(row).saturating_add(1).saturating_mul(1_000_000)).unwrap();
        let times = |row| Times { accepted: Timestamp::EPOCH, posted: posted(row) };
        let all: BTreeMap<u64, Times> = (0..100).map(|row| (row, times(row))).collect();
        assert_eq!(tenths(&all, 100), [10, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
        assert_eq!(evenness(&tenths(&all, 100)), Ratio::of(1, 2));
        assert_eq!(tenths(&BTreeMap::new(), 100), [0; 10]);
        assert_eq!(evenness(&[]), None);
    }
}
