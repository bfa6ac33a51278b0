//! Webhooks from real processes, in both deployments: each posted event reaches the receiver at least once, signed,
//! under one id, through receivers that fail and workers that die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::processes::client::{Client, payment};
use crate::processes::{System, wait_until};
use crate::support::receiver::{Mood, Received, Receiver};

/// What api and worker are started with, so that they may reach the test's receiver.
const ALLOWED: [(&str, &str); 1] = [("HPTS_WEBHOOK_ALLOW", "127.0.0.1")];

/// Makes an endpoint; answers its id and secret.
async fn make(client: &Client, url: &str, event_types: &[&str]) -> (String, String) {
    let body = json!({"url": url, "event_types": event_types});
    let (status, made) =
        client.post_until_final("/v1/webhook-endpoints", &format!("make:{}", Uuid::new_v4()), &body).await;
    assert_eq!(status, 201, "{made}");
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("webhook_endpoint_id"), text("secret"))
}

/// Pays loans in turn; answers the bodies by the payments' entries.
async fn pay(client: &Client, run: &str, loans: &[Uuid], count: usize) -> BTreeMap<String, Value> {
    let mut paid = BTreeMap::new();
    for number in 0..count {
        let key = format!("{run}:{number:06}");
        let body = payment(loans[number % loans.len()], 100 + number);
        let (status, answer) = client.post_until_final("/v1/payments", &key, &body).await;
        assert!([200, 201].contains(&status), "{answer}");
        paid.insert(answer["journal_entry_id"].as_str().unwrap().to_owned(), answer);
    }
    paid
}

/// The entries that were told of and taken.
fn entries(received: &[Received]) -> BTreeSet<String> {
    let told = received.iter().filter(|it| it.told() == "journalEntryPosted");
    told.map(|it| it.json()["journal_entry_id"].as_str().unwrap().to_owned()).collect()
}

/// Every payment was told, as it was answered, signed, and each under one id.
fn prove(receiver: &Receiver, secret: &str, paid: &BTreeMap<String, Value>) {
    let taken = receiver.taken();
    let told = entries(&taken);
    assert!(paid.keys().all(|entry| told.contains(entry)), "told of {} of {}", told.len(), paid.len());
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in receiver.received() {
        assert!(message.is_signed_by(secret), "{message:?}");
        let content = format!("{} {}", message.told(), String::from_utf8_lossy(&message.body));
        ids.entry(content).or_default().insert(message.id().to_owned());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "one message, one id: {ids:?}");
    let bodies: Vec<Value> =
        taken.iter().filter(|it| it.told() == "payment.posted").map(|it| it.json()["data"].clone()).collect();
    assert!(paid.values().all(|body| bodies.contains(body)), "a payment is told as it was answered");
}

#[tokio::test]
async fn servers_tell_each_event_through_dying_workers_and_failing_receivers() {
    let system = System::distributed().await;
    let api = system.start_with(&["api"], &ALLOWED).await;
    let mut worker = system.start_with(&["worker"], &ALLOWED).await;
    let second = system.start_with(&["worker"], &ALLOWED).await;
    let client = Arc::new(Client::demo(&[api.port]).await);
    let receiver = Receiver::new(Mood::Well).await;
    let loans = client.open_loans(4).await;
    let (id, secret) = make(&client, &receiver.url("/in"), &["journalEntryPosted", "payment.posted"]).await;
    let mut paid = BTreeMap::new();
    for (round, mood) in
        [Mood::Answers(500), Mood::Redirects, Mood::AsksToWait(429, 2), Mood::Well].into_iter().enumerate()
    {
        receiver.is_in(mood);
        paid.append(&mut pay(&client, &format!("hooks:{round}"), &loans, 25).await);
        worker.kill();
        worker = system.start_with(&["worker"], &ALLOWED).await;
    }
    receiver.is_in(Mood::Well);
    // A pause or a dead worker's turn ends within half a minute; a ping ends a pause.
    let path = format!("/v1/webhook-endpoints/{id}/test");
    assert_eq!(client.post_until_final(&path, "ping:00001", &json!({})).await.0, 200, "202 at first");
    wait_until("everything is told", || async {
        let told = entries(&receiver.taken());
        paid.keys().all(|entry| told.contains(entry)) && receiver.taken_ids("payment.posted").len() >= paid.len()
    })
    .await;
    prove(&receiver, &secret, &paid);
    system.verified().await;
    assert_eq!(second.terminate(), Some(0));
    assert_eq!(worker.terminate(), Some(0));
}

#[tokio::test]
async fn one_process_tells_each_event_and_goes_on_after_a_kill() {
    let system = System::embedded();
    let mut server = system.start_with(&["serve", "--demo"], &ALLOWED).await;
    let receiver = Receiver::new(Mood::Well).await;
    let client = Client::demo(&[server.port]).await;
    let loans = client.open_loans(2).await;
    let (id, secret) = make(&client, &receiver.url("/in"), &["journalEntryPosted", "payment.posted"]).await;
    let mut paid = pay(&client, "first", &loans, 20).await;
    receiver.is_in(Mood::Hangs);
    paid.append(&mut pay(&client, "second", &loans, 20).await);
    wait_until("a message is under way", || async { receiver.received().len() > receiver.taken().len() }).await;
    server.kill();
    receiver.is_in(Mood::Well);
    server = system.start_with(&["serve", "--demo"], &ALLOWED).await;
    // The turn of the dead one runs out first.
    let client = Client::demo(&[server.port]).await;
    paid.append(&mut pay(&client, "third", &loans, 5).await);
    wait_until("everything is told", || async {
        receiver.taken_ids("payment.posted").len() >= paid.len()
            && receiver.taken_ids("journalEntryPosted").len() >= paid.len()
    })
    .await;
    prove(&receiver, &secret, &paid);
    let (status, endpoint) = client.get(&format!("/v1/webhook-endpoints/{id}")).await;
    assert_eq!((status, endpoint["status"].as_str()), (200, Some("enabled")), "{endpoint}");
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", server.monitor)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("hpts_webhook_deliveries_total{outcome=\"delivered\"}"), "{metrics}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.terminate(), Some(0));
}
