//! Spans that leave real processes: which they are, whose trace they belong to, and that nobody waits for them. The tests have
//! more than one thread, so that the collector answers while a process is waited for.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::processes::client::{Client, LOAN, payment};
use crate::processes::{Process, System, free_port, wait_until};
use crate::support::collector::{Collected, LoopbackCollector, Mood};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-11111111111111111111111111111111-00f067aa0ba902b7-00";
const GARBAGE: &str = "00-zz-zz-01";
const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

async fn pay(process: &Process, client: &Client, key: &str, traceparent: &str) -> u16 {
    let request = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{}/v1/payments", process.port))
        .bearer_auth(client.token())
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .header("traceparent", traceparent)
        .body(payment(LOAN, 100).to_string());
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert!(serde_json::from_str::<Value>(&answer.text().await.unwrap()).is_ok());
    status
}

fn requests<'a>(spans: &'a [Collected], name: &str) -> Vec<&'a Collected> {
    spans.iter().filter(|collected| collected.span.name == name).collect()
}

/// The request's span is the caller's child, and a batch of some worker is linked to the caller's trace.
fn are_of_the_callers_trace(spans: &[Collected], api: &str, worker: &str) {
    let trace = TRACE.to_be_bytes();
    let posts = requests(spans, "POST /v1/payments");
    let ours: Vec<_> = posts.iter().filter(|collected| collected.span.trace_id == trace).collect();
    assert_eq!(ours.len(), 1, "{posts:?}");
    let request = ours[0];
    assert_eq!((request.span.parent_span_id.as_slice(), request.service.as_str()), (&PARENT.to_be_bytes()[..], api));
    assert_eq!(request.attribute("http.response.status_code").as_deref(), Some("201"));
    assert_eq!(request.attribute("http.route").as_deref(), Some("/v1/payments"));
    assert!(request.span.end_time_unix_nano > request.span.start_time_unix_nano);
    let batches = requests(spans, "post batch");
    let linked: Vec<_> = batches.iter().filter(|batch| batch.is_linked_to(&trace)).collect();
    assert!(!linked.is_empty(), "no batch tells for whom it was: {batches:?}");
    assert!(linked.iter().all(|batch| batch.service == worker && batch.span.trace_id != trace));
    assert!(linked.iter().any(|batch| batch.attribute("events.posted").as_deref() != Some("0")), "{linked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_exports_spans_of_the_callers_trace() {
    let collector = LoopbackCollector::new(Mood::Well).await;
    let system = System::embedded();
    let process = system.start_with(&["serve", "--demo"], &[("HPTS_OTLP_ENDPOINT", &collector.url)]).await;
    let client = Client::demo(&[process.port]).await;
    for (key, traceparent) in [("span:sampled", SAMPLED), ("span:unsampled", UNSAMPLED), ("span:garbage", GARBAGE)] {
        assert_eq!(pay(&process, &client, key, traceparent).await, 201, "{traceparent}");
    }
    assert_eq!(client.get("/v1/payments/nothing").await.0, 404);
    assert_eq!(process.terminate(), Some(0), "what waits is sent within the drain time");
    let spans = collector.spans();
    are_of_the_callers_trace(&spans, "hpts-serve", "hpts-serve");
    let posts = requests(&spans, "POST /v1/payments");
    assert_eq!(posts.len(), 2, "a caller who does not sample is not sampled: {posts:?}");
    assert!(posts.iter().any(|collected| collected.span.parent_span_id.is_empty()), "garbage begins a new trace");
    let refused = requests(&spans, "GET /v1/payments/{payment_event_id}");
    assert_eq!(refused[0].attribute("http.response.status_code").as_deref(), Some("404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_export_spans_of_the_callers_trace() {
    let collector = LoopbackCollector::new(Mood::Well).await;
    let system = System::distributed().await;
    let endpoint = [("HPTS_OTLP_ENDPOINT", collector.url.as_str())];
    let api = system.start_with(&["api"], &endpoint).await;
    let worker = system.start_with(&["worker"], &endpoint).await;
    let client = Client::demo(&[api.port]).await;
    assert_eq!(pay(&api, &client, "span:sampled", SAMPLED).await, 201);
    assert_eq!((api.terminate(), worker.terminate()), (Some(0), Some(0)));
    are_of_the_callers_trace(&collector.spans(), "hpts-api", "hpts-worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_harms_nobody() {
    let (refusing, hanging) =
        (LoopbackCollector::new(Mood::Refuses(500)).await, LoopbackCollector::new(Mood::Hangs).await);
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    for (number, url) in [&refusing.url, &hanging.url, &nowhere].into_iter().enumerate() {
        let system = System::embedded();
        let settings = [("HPTS_OTLP_ENDPOINT", url.as_str()), ("HPTS_DRAIN_SECONDS", "8"), ("HPTS_LOG", "error")];
        let process = system.start_with(&["serve", "--demo"], &settings).await;
        let client = Client::demo(&[process.port]).await;
        for turn in 0..20 {
            assert_eq!(pay(&process, &client, &format!("span:{number}:{turn:04}"), SAMPLED).await, 201, "{url}");
        }
        let collector = [Some(&refusing), Some(&hanging), None][number];
        if let Some(collector) = collector {
            wait_until("spans were brought", || async { collector.messages() > 0 }).await;
            assert_eq!(pay(&process, &client, &format!("span:{number}:after"), SAMPLED).await, 201, "{url}");
        }
        let begin = Instant::now();
        assert_eq!(process.terminate(), Some(0), "{url}");
        assert!(begin.elapsed() < Duration::from_secs(8), "{url}: the process waited for its collector");
        system.verified().await;
    }
}
