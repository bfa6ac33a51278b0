//! Owns `hpts bench pollers`: what callers who ask all the time cost the load of batches.
//!
//! Two sorts ask: many long polls, each for one payment of the newest batch, and lookups of many payments at once, by
//! key and then by id. Each run of the load without them stands beside a run with them.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::join;
use hyper::HeaderMap;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::bench::BenchError;
use crate::cli::bench::answer::{Report, Settings, Telling};
use crate::cli::bench::batch::{LoadArguments, Runs, Spread};
use crate::cli::bench::caller::{Caller, uri_of};
use crate::cli::bench::figures::{Case, CaseRun};
use crate::cli::bench::latency::{Latencies, short};
use crate::cli::bench::session::{ServerArguments, Session};
use crate::cli::bench::upload::{self, Faults, Keys, Newest};
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;

/// How long a long poll waits.
const LONG_POLL_SECONDS: u64 = 5;
/// Where many payments are asked for at once.
pub(super) const LOOKUP: &str = "/v1/payments/lookup";

/// Batches with long polls and lookups beside them, against the same without.
#[derive(Args, Clone, Debug)]
pub struct BenchPollers {
    /// How many long polls are open at once.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    long_polls: u64,
    /// How long each of them waits between two questions, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    long_poll_pause_ms: u64,
    /// How many payments a lookup asks for.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    lookup_ids: u64,
    /// The pause between two lookups, in milliseconds.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    lookup_pause_ms: u64,
    #[command(flatten)]
    load: LoadArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(flatten)]
    telling: Telling,
}

/// A payment that was found.
#[derive(Debug, Deserialize)]
struct Found {
    payment_event_id: String,
}

#[derive(Debug, Deserialize)]
struct FoundAll {
    items: Vec<Found>,
}

/// What the pollers have seen.
#[derive(Debug)]
struct Polled {
    long_polls: Latencies,
    lookups: Latencies,
    faults: Faults,
}

impl Polled {
    fn new() -> Result<Self, BenchError> {
        Ok(Self { long_polls: Latencies::new()?, lookups: Latencies::new()?, faults: Faults::default() })
    }

    fn add(&mut self, other: &Self) -> Result<(), BenchError> {
        self.faults.add(&other.faults);
        self.lookups.add(&other.lookups)?;
        self.long_polls.add(&other.long_polls)
    }
}

/// The ids of the newest payments, as the lookups found them.
type NewestIds = watch::Receiver<Arc<Vec<String>>>;

/// What they ask for, and until when.
#[derive(Clone, Debug)]
struct Asking {
    keys: Keys,
    newest: Arc<Newest>,
    rows: u64,
    over: CancellationToken,
}

impl BenchPollers {
    /// A load of batches with pollers beside it.
    async fn run(&self, session: &Session) -> Result<(CaseRun, Polled), BenchError> {
        let (keys, newest, over) = (Keys::new(), Arc::<Newest>::default(), CancellationToken::new());
        let rows = self.lookup_ids.min(self.load.load().rows);
        let asking = Asking { keys: keys.clone(), newest: Arc::clone(&newest), rows, over: over.clone() };
        let load = async {
            let loaded = upload::run(session, &session.loans, self.load.load(), &keys, &newest).await;
            over.cancel();
            loaded
        };
        let (loaded, polled) = join(load, self.poll(session, asking)).await;
        let (mut run, polled) = (loaded?.run, polled?);
        run.faults.extend(polled.faults.told());
        Ok((run, polled))
    }

    /// All pollers until the load is over.
    async fn poll(&self, session: &Session, asking: Asking) -> Result<Polled, BenchError> {
        let (found, newest) = watch::channel(Arc::default());
        let mut callers = session.callers(self.long_polls.saturating_add(1));
        let lifecycle = Lifecycle::new();
        let mut tasks = Vec::new();
        if let Some(caller) = callers.pop() {
            let pause = Duration::from_millis(self.lookup_pause_ms);
            tasks.push(lifecycle.spawn(look_up(asking.clone(), caller, found, pause)));
        }
        let pause = Duration::from_millis(self.long_poll_pause_ms);
        for (number, caller) in callers.into_iter().enumerate() {
            tasks.push(lifecycle.spawn(poll_long(asking.over.clone(), caller, newest.clone(), (number, pause))));
        }
        let mut polled = Polled::new()?;
        for task in tasks {
            polled.add(&task.await??)?;
        }
        Ok(polled)
    }
}

/// Looks the newest payments up, by key and then by id, and tells the ids to the long polls.
async fn look_up(
    asking: Asking,
    mut caller: Caller,
    found: watch::Sender<Arc<Vec<String>>>,
    pause: Duration,
) -> Result<Polled, BenchError> {
    let mut polled = Polled::new()?;
    loop {
        tokio::select! {
            () = asking.over.cancelled() => return Ok(polled),
            () = tokio::time::sleep(pause) => {}
        }
        let Some(request) = asking.newest.request() else { continue };
        let keys: Vec<String> = (0..asking.rows).map(|row| asking.keys.row(request, row)).collect();
        let by_key = serde_json::json!({ "idempotency_keys": keys });
        let ids: Arc<Vec<String>> = Arc::new(ask(&mut caller, &by_key, &mut polled).await?);
        if ids.is_empty() {
            continue;
        }
        let by_id = serde_json::json!({ "ids": *ids });
        let again = ask(&mut caller, &by_id, &mut polled).await?;
        if again.len() != ids.len() {
            polled.faults.push(format!("of {} payments a lookup found {}", ids.len(), again.len()));
        }
        found.send_replace(ids);
    }
}

async fn ask(caller: &mut Caller, what: &serde_json::Value, polled: &mut Polled) -> Result<Vec<String>, BenchError> {
    let begun = Instant::now();
    let answer = caller.post(&uri_of(LOOKUP)?, &HeaderMap::new(), &Bytes::from(what.to_string())).await?;
    polled.lookups.record(begun.elapsed());
    let Some(found) = answer.json::<FoundAll>().filter(|_| answer.status == 200) else {
        polled.faults.push(format!("a lookup was answered {}", answer.line()));
        return Ok(vec![]);
    };
    Ok(found.items.into_iter().map(|found| found.payment_event_id).collect())
}

/// One long poll after the other until the load is over.
async fn poll_long(
    over: CancellationToken,
    mut caller: Caller,
    mut newest: NewestIds,
    (number, pause): (usize, Duration),
) -> Result<Polled, BenchError> {
    let mut polled = Polled::new()?;
    // The lookups may have ended before they found anything: then there is nothing to ask for.
    if newest.wait_for(|ids| !ids.is_empty()).await.is_err() {
        return Ok(polled);
    }
    while !over.is_cancelled() {
        let ids = Arc::clone(&newest.borrow());
        let id = number.checked_rem(ids.len()).and_then(|index| ids.get(index));
        let asked = async {
            if let Some(id) = id {
                ask_long(&mut caller, id, &mut polled).await?;
            }
            tokio::time::sleep(pause).await;
            Ok::<(), BenchError>(())
        };
        tokio::select! {
            () = over.cancelled() => {}
            asked = asked => asked?,
        }
    }
    Ok(polled)
}

async fn ask_long(caller: &mut Caller, id: &str, polled: &mut Polled) -> Result<(), BenchError> {
    let uri = uri_of(&format!("/v1/payments/{id}?wait={LONG_POLL_SECONDS}"))?;
    let begun = Instant::now();
    let answer = caller.get(&uri).await?;
    polled.long_polls.record(begun.elapsed());
    if answer.status != 200 {
        polled.faults.push(format!("a long poll was answered {}", answer.line()));
    }
    Ok(())
}

/// Measures batches without and with pollers and prints the report.
pub(super) async fn run(arguments: BenchPollers, config: &Config) -> Result<(), BenchError> {
    let BenchPollers { load, servers, telling, .. } = &arguments;
    let session = Session::open(servers, telling, config).await?;
    let (mut without, mut with, mut all) = (Runs::default(), Vec::new(), Polled::new()?);
    for _ in 0..telling.repeat {
        without.run(&session, load.load(), Spread::Even).await?;
        let (run, polled) = arguments.run(&session).await?;
        with.push(run);
        all.add(&polled)?;
    }
    let posted: u64 = with.iter().map(|run| run.payments).sum();
    let books = session.prove(posted.saturating_add(without.payments())).await?;
    let server = session.server().await?;
    session.close().await;
    let (without, with) = (Case::new("batch", &without.figures), Case::new("with pollers", &with));
    let findings = Settings::default()
        .with("rate_with_pollers_over_without", told(with.ratio_to(Some(&without))))
        .with("long_polls", summary(&all.long_polls))
        .with("lookups", summary(&all.lookups));
    let settings = load
        .settings(servers)
        .with("long_polls", arguments.long_polls)
        .with("long_poll_pause_ms", arguments.long_poll_pause_ms)
        .with("lookup_ids", arguments.lookup_ids)
        .with("lookup_pause_ms", arguments.lookup_pause_ms);
    telling.tell(&Report::new("pollers", settings, vec![without, with], books).on(server).finding(findings))
}

/// A figure that may be missing.
pub(super) fn told(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

/// Count and percentiles in one line.
fn summary(latencies: &Latencies) -> String {
    let Some(latency) = latencies.summary() else { return "none".to_owned() };
    let [p50, p99, max] =
        [latency.p50_us, latency.p99_us, latency.max_us].map(|micros| short(Duration::from_micros(micros)));
    format!("{} asked, p50 {p50}, p99 {p99}, max {max}", latencies.count())
}
