//! Pollers in both deployments, over real connections: lookups, pages and streams tell the same story.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::processes::client::{Client, payment};
use crate::processes::{Process, System};

/// Payments while somebody follows.
const PAYMENTS: usize = 60;

/// A stream that a caller reads event by event.
struct Events {
    answer: reqwest::Response,
    unread: String,
    last_id: String,
}

impl Events {
    async fn open(client: &Client, last_id: Option<&str>) -> Self {
        let answer = client.stream("/v1/changes/stream", last_id).await;
        assert_eq!(answer.status(), 200);
        Self { answer, unread: String::new(), last_id: String::new() }
    }

    /// The next change; `None` where the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.unread = rest;
                if let Some(id) = event.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            let chunk = tokio::time::timeout(Duration::from_mins(1), self.answer.chunk()).await;
            let chunk = chunk.expect("the stream stays silent").unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// Reads a stream and breaks it off after every few changes, until so many have come.
async fn follow(client: &Client, count: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    let mut last_id: Option<String> = None;
    while seen.len() < count {
        let mut events = Events::open(client, last_id.as_deref()).await;
        for _ in 0..7.min(count - seen.len()) {
            seen.push(events.next().await.expect("the stream ended"));
        }
        last_id = Some(events.last_id);
    }
    seen
}

/// Reads pages, waiting for what comes, until so many changes have come.
async fn poll(client: &Client, count: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    let mut query = "page_size=9&wait=10".to_owned();
    while seen.len() < count {
        let (status, page) = client.get(&format!("/v1/changes?{query}")).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().clone());
        query = format!("page_size=9&wait=10&cursor={}", page["next_cursor"].as_str().unwrap());
    }
    let (_, end) = client.get(&format!("/v1/changes?{query}&wait=0").replace("wait=10&", "")).await;
    assert_eq!(end["items"], json!([]));
    seen
}

/// Pays on a few loans, some of it on a loan of nobody; answers the ids.
async fn pay(client: &Client, loans: &[uuid::Uuid]) -> BTreeSet<String> {
    let paid = futures::stream::iter(0..PAYMENTS).map(|number| async move {
        let loan = loans.get(number % 6).copied().unwrap_or(uuid::Uuid::nil());
        let (status, answer) =
            client.post_until_final("/v1/payments", &format!("payment:{number:03}"), &payment(loan, 100)).await;
        assert_eq!(status, if loan.is_nil() { 422 } else { 201 }, "{answer}");
        answer["payment_event_id"].as_str().unwrap().to_owned()
    });
    paid.buffer_unordered(8).collect().await
}

/// The feed of the demo tenant, followed in every way while payments are posted.
async fn story(system: &System, api: Process, others: Vec<Process>) {
    let client = Client::demo(&[api.port]).await;
    let loans = client.open_loans(4).await;
    let count = 1 + 4 + PAYMENTS;
    let (paid, followed, polled) = tokio::join!(pay(&client, &loans), follow(&client, count), poll(&client, count));

    assert_eq!(followed, polled, "the feed is the same however it is read");
    let ids: Vec<&str> = followed.iter().filter_map(|change| change["payment_event_id"].as_str()).collect();
    assert_eq!(ids.len(), PAYMENTS, "nothing is doubled");
    assert_eq!(ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(), paid, "nothing is skipped");
    for loan in &loans {
        let of_loan = followed.iter().filter(|change| change["loan_id"] == loan.to_string());
        let mut versions: Vec<i64> = of_loan.map(|change| change["loan_version"].as_i64().unwrap()).collect();
        versions.sort_unstable();
        assert!(versions.iter().copied().eq(1..=11), "{loan}: {versions:?}");
    }

    let unknown = uuid::Uuid::new_v4().to_string();
    let asked: Vec<&str> = ids.iter().copied().chain([unknown.as_str()]).collect();
    let (status, found) = client.lookup(&json!({ "ids": asked })).await;
    assert_eq!((status, &found["not_found"]), (200, &json!([unknown])), "{found}");
    let items = found["items"].as_array().unwrap();
    assert!(items.iter().map(|item| item["payment_event_id"].as_str().unwrap()).eq(ids.iter().copied()));
    for (item, change) in items.iter().zip(followed.iter().filter(|change| !change["payment_event_id"].is_null())) {
        assert_eq!((&item["status"], &item["allocation"]), (&change["status"], &change["allocation"]), "{item}");
    }
    let keys: Vec<String> = (0..PAYMENTS).rev().map(|number| format!("payment:{number:03}")).collect();
    let (_, found) = client.lookup(&json!({ "idempotency_keys": keys })).await;
    let found = found["items"].as_array().unwrap().iter().map(|item| item["idempotency_key"].as_str().unwrap());
    assert!(found.eq(keys.iter().map(String::as_str)), "in the order asked");

    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", api.monitor)).await.unwrap();
    assert!(metrics.text().await.unwrap().contains("hpts_changes_delay_seconds"));
    let mut open = Events::open(&client, None).await;
    for _ in 0..count {
        open.next().await.expect("the stream ended");
    }
    let (ended, stopped) = tokio::join!(open.next(), async { tokio::task::spawn_blocking(|| api.terminate()).await });
    assert_eq!((ended, stopped.unwrap()), (None, Some(0)), "a stopping process ends its streams and itself");
    drop(others);
    system.verified().await;
}

#[tokio::test]
async fn pollers_are_told_everything_by_servers() {
    let system = System::distributed().await;
    let (api, worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    let second = system.start(&["worker"]).await;
    story(&system, api, vec![worker, second]).await;
}

#[tokio::test]
async fn pollers_are_told_everything_by_one_process() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    story(&system, serve, Vec::new()).await;
}
