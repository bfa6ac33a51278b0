//! Owns the test of the generator against a tiny server that keeps books on what it was asked.

#![expect(clippy::arithmetic_side_effects, reason = "counts of a test")]
#![expect(clippy::panic_in_result_fn, reason = "the server of a test checks what it is asked")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::batch::BenchBatch;
use super::report::Report;
use super::single::{BenchSingle, measure, run};
use super::{BenchError, answer};
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;

/// How the server misbehaves, by the number of the payment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    /// Hangs up on every 50th request for a payment, without an answer.
    HangsUp,
    /// Closes the connection after each answer.
    Closes,
    /// Refuses the 20th payment.
    Refuses,
}

/// What the server has seen.
#[derive(Default)]
struct Seen {
    tokens: u64,
    payments: u64,
    loans: BTreeMap<String, String>,
    asked_for: u64,
    keys: BTreeMap<String, String>,
    requests: u64,
    batches: BTreeMap<String, u64>,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    lifecycle: Lifecycle,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: BenchSingle,
}

#[derive(Parser)]
struct BatchLine {
    #[command(flatten)]
    arguments: BenchBatch,
    #[command(flatten)]
    config: Config,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, lifecycle) = (listener.local_addr().unwrap(), Lifecycle::new());
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (shared, spawner) = (Arc::clone(&seen), lifecycle.clone());
        lifecycle.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(manner, Arc::clone(&shared), request));
                spawner
                    .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, seen, lifecycle }
    }

    fn arguments(&self, more: &[&str]) -> BenchSingle {
        let url = format!("http://{}", self.address);
        let line = ["bench", "--url", &url, "--client-id", "c&d", "--client-secret", "s=t"];
        Line::parse_from(line.iter().chain(more)).arguments
    }

    /// Without a database, whose books are none of this server's.
    async fn measure_batches(&self, more: &[&str]) -> answer::Report {
        let url = format!("http://{}", self.address);
        let line = ["bench", "--url", &url, "--client-id", "c&d", "--client-secret", "s=t", "--loans", "9"];
        let line = BatchLine::parse_from(line.iter().chain(&["--data-dir", "/nowhere"]).chain(more));
        let report = line.arguments.report(&line.config).await.unwrap();
        self.lifecycle.stop();
        report
    }

    async fn measure(&self, more: &[&str]) -> Report {
        let report = measure(&self.arguments(more)).await.unwrap();
        self.lifecycle.stop();
        report
    }
}

fn reply(status: u16, body: &str) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    Response::builder().status(status).body(body).unwrap()
}

async fn answer(
    manner: Manner,
    seen: Arc<Mutex<Seen>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut seen = seen.lock().unwrap();
    if head.uri.path() == "/oauth2/token" {
        seen.tokens += 1;
        assert_eq!(body, "grant_type=client_credentials&client_id=c%26d&client_secret=s%3Dt");
        return Ok(reply(200, r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#));
    }
    assert_eq!(header("authorization"), "Bearer abc");
    match (&head.method, head.uri.path()) {
        (&Method::POST, "/v1/loans") => {
            assert_eq!(header("prefer"), "respond-async");
            seen.loans.insert(header("idempotency-key").to_owned(), body);
            let mut accepted = reply(202, "{}");
            accepted.headers_mut().insert("location", "/v1/events/7".parse().unwrap());
            Ok(accepted)
        }
        (&Method::GET, "/v1/events/7") => {
            assert_eq!(head.uri.query(), Some("wait=30"));
            seen.asked_for += 1;
            let status = if seen.asked_for == 1 { "accepted" } else { "posted" };
            Ok(reply(200, &format!(r#"{{"status":"{status}"}}"#)))
        }
        (&Method::POST, "/v1/payments") => pay(manner, &mut seen, header("idempotency-key"), body),
        (&Method::POST, "/v1/payments/batch") => take(manner, &mut seen, header("idempotency-key"), &body),
        (&Method::GET, path) if path.starts_with("/v1/batches/") => {
            assert_eq!(head.uri.query(), Some("wait=30"));
            seen.asked_for += 1;
            let state = if seen.asked_for == 1 { "posting" } else { "finished" };
            let in_flight = u64::from(seen.asked_for == 1);
            let accepted = seen.batches[path.rsplit('/').next().unwrap()];
            let posted = accepted - in_flight;
            let counts = format!(r#"{{"accepted":{accepted},"posted":{posted},"in_flight":{in_flight}}}"#);
            Ok(reply(200, &format!(r#"{{"state":"{state}","counts":{counts}}}"#)))
        }
        other => panic!("nobody asks for {other:?}"),
    }
}

fn pay(manner: Manner, seen: &mut Seen, key: &str, body: String) -> Result<Response<Full<Bytes>>, io::Error> {
    seen.payments += 1;
    if manner == Manner::HangsUp && seen.payments.is_multiple_of(50) {
        return Err(io::Error::other("hung up on purpose"));
    }
    assert_eq!(seen.keys.insert(key.to_owned(), body), None, "a key came twice");
    let mut posted = reply(if manner == Manner::Refuses && seen.payments == 20 { 422 } else { 201 }, "{}");
    if manner == Manner::Closes {
        posted.headers_mut().insert("connection", "close".parse().unwrap());
    }
    Ok(posted)
}

/// A batch: its rows by key. Rows that came before under the same key of a batch are accepted still.
fn take(manner: Manner, seen: &mut Seen, key: &str, body: &str) -> Result<Response<Full<Bytes>>, io::Error> {
    let rows: serde_json::Value = serde_json::from_str(body).unwrap();
    let rows = rows["payments"].as_array().unwrap();
    seen.requests += 1;
    for row in rows {
        seen.keys.insert(row["idempotency_key"].as_str().unwrap().to_owned(), row.to_string());
    }
    let refused = u64::from(manner == Manner::Refuses && seen.requests == 2);
    let (received, accepted) = (rows.len(), u64::try_from(rows.len()).unwrap() - refused);
    seen.batches.insert(key.to_owned(), accepted);
    if manner == Manner::HangsUp && seen.requests == 2 {
        return Err(io::Error::other("hung up on purpose"));
    }
    let mut taken = reply(202, &format!(r#"{{"batch_id":"b","received":{received},"accepted":{accepted}}}"#));
    taken.headers_mut().insert("location", format!("/v1/batches/{key}").parse().unwrap());
    Ok(taken)
}

fn fields<'a>(bodies: impl Iterator<Item = &'a String>, name: &str) -> BTreeSet<String> {
    let values = bodies.map(|body| serde_json::from_str::<serde_json::Value>(body).unwrap());
    values.map(|value| value[name].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_payment_is_posted_once_and_counted() {
    let server = Server::start(Manner::Good).await;
    let report = server.measure(&["--connections", "4", "--payments", "300", "--warmup-seconds", "0"]).await;
    assert!(report.good, "{report}");
    assert_eq!(report.median.payments, 300);
    assert_eq!(report.runs[0].answers, BTreeMap::from([(201, 300)]));
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.tokens, seen.keys.len()), (1, 300));
    assert_eq!(report.median.processes[0].name, "bench");
}

#[tokio::test]
async fn the_set_up_registers_the_loans_that_are_paid_and_waits_for_them() {
    let server = Server::start(Manner::Good).await;
    let run = ["--connections", "4", "--payments", "100", "--warmup-seconds", "0", "--loans", "10", "--setup"];
    assert!(server.measure(&run).await.good);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.loans.len(), 10);
    assert_eq!(fields(seen.keys.values(), "loan_id"), fields(seen.loans.values(), "loan_id"));
    assert_eq!(fields(seen.keys.values(), "borrower_id"), fields(seen.loans.values(), "borrower_id"));
    assert_eq!(seen.asked_for, 11, "each of the last loans once, and one once more");
}

#[tokio::test]
async fn one_loan_takes_all_and_repeats_have_keys_of_their_own() {
    let server = Server::start(Manner::Good).await;
    let run = ["--connections", "2", "--payments", "40", "--warmup-seconds", "0", "--one-loan", "--repeat", "3"];
    let report = server.measure(&run).await;
    assert_eq!((report.good, report.runs.len()), (true, 3));
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.keys.len(), fields(seen.keys.values(), "loan_id").len()), (120, 1));
}

#[tokio::test]
async fn the_warm_up_is_not_counted() {
    let server = Server::start(Manner::Good).await;
    let report = server.measure(&["--connections", "2", "--payments", "10", "--warmup-seconds", "1"]).await;
    assert_eq!(report.median.payments, 10);
    assert!(server.seen.lock().unwrap().payments > 10);
}

#[tokio::test]
async fn a_broken_connection_is_made_again_and_the_payment_sent_under_its_key() {
    let server = Server::start(Manner::HangsUp).await;
    let report = server.measure(&["--connections", "3", "--payments", "200", "--warmup-seconds", "0"]).await;
    assert!(report.good, "{report}");
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.keys.len(), seen.payments), (200, 204));
    assert!(report.to_string().contains("        4  201: 200"), "{report}");
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_costs_no_retry() {
    let server = Server::start(Manner::Closes).await;
    let report = server.measure(&["--connections", "3", "--payments", "60", "--warmup-seconds", "0"]).await;
    assert!(report.good, "{report}");
    assert_eq!(server.seen.lock().unwrap().payments, 60);
}

#[tokio::test]
async fn one_other_answer_makes_the_run_not_good() {
    let server = Server::start(Manner::Refuses).await;
    let line = ["--connections", "2", "--payments", "50", "--warmup-seconds", "0", "--json"];
    let error = run(server.arguments(&line)).await.unwrap_err();
    assert_eq!((matches!(error, BenchError::NotGood), error.exit_code()), (true, 3));
}

#[tokio::test]
async fn another_machine_is_refused_before_anything_is_sent() {
    let line = ["bench", "--url", "http://192.0.2.1:8080", "--client-id", "c", "--client-secret", "s"];
    let error = measure(&Line::parse_from(line).arguments).await.unwrap_err();
    let expected = "http://192.0.2.1:8080: is not a loopback address; bench loads this machine only";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn batches_are_sent_whole_and_waited_for() {
    let server = Server::start(Manner::Good).await;
    let report = server.measure_batches(&["--rows", "30", "--payments", "100", "--callers", "2"]).await;
    assert!(report.good, "{report}");
    assert!(report.to_string().contains("not proved: no database was named"), "{report}");
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.requests, seen.keys.len(), seen.batches.len()), (4, 100, 4));
    assert!(seen.asked_for >= 5, "each batch once, and the first one again");
}

#[tokio::test]
async fn one_row_that_is_refused_makes_the_run_not_good() {
    let server = Server::start(Manner::Refuses).await;
    let report = server.measure_batches(&["--rows", "30", "--payments", "90", "--callers", "1"]).await;
    assert!(!report.good);
    let told = report.to_string();
    assert!(told.contains("batch 1: of 30 payments in a batch 29 were accepted"), "{told}");
    assert!(matches!(answer::Told::verdict(&report), Err(BenchError::NotGood)));
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_sent_again_under_its_key() {
    let server = Server::start(Manner::HangsUp).await;
    let report = server.measure_batches(&["--rows", "30", "--payments", "90", "--callers", "1"]).await;
    assert!(server.seen.lock().unwrap().requests == 4, "one more than batches");
    assert_eq!(server.seen.lock().unwrap().keys.len(), 90);
    assert!(report.good, "{report}");
}
