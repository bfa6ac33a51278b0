//! Killing things under load: nothing accepted is lost, nothing is posted twice, and a retry tells the truth.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use hpts::runtime::lifecycle::Lifecycle;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::processes::client::{Client, LOAN, payment};
use crate::processes::{System, amqp_url, queues, wait_until};

/// Payments of one load: enough for several batches while processes die.
const PAYMENTS: usize = 600;
/// Callers at once.
const CALLERS: usize = 16;
/// One cent is varied so that a doubled or lost payment shows in the sum.
fn cents(number: usize) -> usize {
    100 + number % 7
}

/// Every so many payments one is returned, for a fee.
const RETURNED_EVERY: usize = 6;
const FEE_CENTS: usize = 7;
/// Events that a load leaves: each return brings a fee.
const EVENTS: usize = PAYMENTS + 2 * PAYMENTS.div_euclid(RETURNED_EVERY);

/// Returns a payment until the answer is final.
async fn give_back(client: &Client, payment: &Value, key: &str) {
    let path = format!("/v1/payments/{}/return", payment["payment_event_id"].as_str().unwrap());
    let body = json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": FEE_CENTS.to_string()});
    let (status, answer) = client.post_until_final(&path, &format!("{key}:returned"), &body).await;
    assert!([200, 201].contains(&status), "{answer}");
}

/// Pays [`PAYMENTS`] times over some loans, each until the answer is final, and returns some of them. Answers by how
/// much less is owed afterwards.
async fn load(client: Arc<Client>, loans: Arc<Vec<Uuid>>, run: String) -> i64 {
    let paid = futures::stream::iter(0..PAYMENTS).map(|number| {
        let (client, loans, run) = (Arc::clone(&client), Arc::clone(&loans), run.clone());
        async move {
            let loan = loans[number % loans.len()];
            let key = format!("{run}:{number:08}");
            let (status, answer) = client.post_until_final("/v1/payments", &key, &payment(loan, cents(number))).await;
            assert!([200, 201].contains(&status), "{answer}");
            if number % RETURNED_EVERY == 0 {
                give_back(&client, &answer, &key).await;
                return -i64::try_from(FEE_CENTS).unwrap();
            }
            i64::try_from(cents(number)).unwrap()
        }
    });
    paid.buffer_unordered(CALLERS).fold(0, |sum, cents| async move { sum + cents }).await
}

/// What the loans still owe and hold, together.
async fn owed(client: &Client, loans: &[Uuid]) -> i64 {
    let mut sum = 0;
    for loan in loans {
        let (status, balance) = client.get(&format!("/v1/loans/{loan}/balance")).await;
        assert_eq!(status, 200, "{balance}");
        sum += balance["total_exposure_minor"].as_str().unwrap().parse::<i64>().unwrap();
        sum -= balance["suspense_minor"].as_str().unwrap().parse::<i64>().unwrap();
    }
    sum
}

/// Events of our own on these loans: a return leaves the payments after it divided anew.
async fn restatements(client: &Client, loans: &[Uuid]) -> usize {
    let mut count = 0;
    for loan in loans {
        let (status, page) = client.get(&format!("/v1/loans/{loan}/journal-entries?page_size=200")).await;
        assert!(status == 200 && page["next_page_token"].is_null(), "{page}");
        let entries = page["items"].as_array().unwrap().iter();
        count += entries.filter(|entry| entry["event_type"] == "payment_allocated").count();
    }
    count
}

#[tokio::test]
async fn killed_workers_lose_and_double_nothing() {
    let system = System::distributed().await;
    let api = system.start(&["api"]).await;
    let mut worker = system.start(&["worker"]).await;
    let client = Arc::new(Client::demo(&[api.port]).await);
    let loans = Arc::new(client.open_loans(20).await);
    let before = owed(&client, &loans).await;
    let paying = Lifecycle::new().spawn(load(Arc::clone(&client), Arc::clone(&loans), "worker-kill".to_owned()));
    for pause_ms in [150, 400, 900] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        worker.kill();
        worker = system.start(&["worker"]).await;
    }
    let paid = paying.await.unwrap();
    let report = system.verified().await;
    assert_eq!(report["posted"], 1 + 20 + EVENTS + restatements(&client, &loans).await);
    assert_eq!(before - owed(&client, &loans).await, paid);
}

#[tokio::test]
async fn killed_apis_lose_and_double_nothing() {
    let system = System::distributed().await;
    let mut first = system.start(&["api"]).await;
    let second = system.start(&["api"]).await;
    let _worker = system.start(&["worker"]).await;
    let loans = Arc::new(Client::demo(&[second.port]).await.open_loans(20).await);
    let mut kills = 0;
    let mut paid = 0;
    let client = Arc::new(Client::demo(&[second.port, first.port]).await);
    let before = owed(&client, &loans).await;
    let paying = Lifecycle::new().spawn(load(Arc::clone(&client), Arc::clone(&loans), "api-kill".to_owned()));
    while !paying.is_finished() || kills < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let port = first.port.to_string();
        first.kill();
        kills += 1;
        let address = format!("127.0.0.1:{port}");
        first = system.start_with(&["api"], &[("HPTS_LISTEN", &address)]).await;
        first.port = port.parse().unwrap();
    }
    paid += paying.await.unwrap();
    let report = system.verified().await;
    assert_eq!(report["posted"], 1 + 20 + EVENTS + restatements(&client, &loans).await);
    assert_eq!(before - owed(&client, &loans).await, paid);
}

#[tokio::test]
async fn purged_queues_lose_nothing() {
    let system = System::distributed().await;
    let api = system.start(&["api"]).await;
    let client = Arc::new(Client::demo(&[api.port]).await);
    // Without a worker every hint stays in its queue; the purge takes them all.
    for number in 0..50 {
        let key = format!("purged:{number:08}");
        let answer = client.post(0, "/v1/payments", &key, &payment(LOAN, 1), Some("respond-async")).await;
        assert_eq!(answer.unwrap().0, 202);
    }
    let connection = lapin::Connection::connect(&amqp_url(), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut purged = 0;
    for queue in queues(&system.prefix) {
        purged += channel.queue_purge(queue.into(), lapin::options::QueuePurgeOptions::default()).await.unwrap();
    }
    assert!(purged > 0, "there was something to lose");
    let _worker = system.start(&["worker"]).await;
    let report = system.verified().await;
    assert_eq!(report["posted"], 51);
}

#[tokio::test]
async fn a_retry_answers_409_until_posted_and_then_the_first_body() {
    let system = System::distributed().await;
    let api = system.start(&["api"]).await;
    let client = Client::demo(&[api.port]).await;
    let body = payment(LOAN, 88_849);
    let (status, accepted) =
        client.post(0, "/v1/payments", "retry:00000001", &body, Some("respond-async")).await.unwrap();
    assert_eq!((status, accepted["status"].as_str()), (202, Some("accepted")));
    let (status, problem) = client.post(0, "/v1/payments", "retry:00000001", &body, None).await.unwrap();
    assert_eq!((status, problem["code"].as_str()), (409, Some("idempotency_in_progress")));
    let _worker = system.start(&["worker"]).await;
    let since = Instant::now();
    let client = Arc::new(client);
    wait_until("the payment is posted", || async {
        client.post(0, "/v1/payments", "retry:00000001", &body, None).await.unwrap().0 == 200
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let (_, first) = client.post(0, "/v1/payments", "retry:00000001", &body, None).await.unwrap();
    let (_, again) = client.post(0, "/v1/payments", "retry:00000001", &body, None).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first["payment_event_id"], accepted["payment_event_id"]);
    let (_, status) = client.get(&format!("/v1/payments/{}", first["payment_event_id"].as_str().unwrap())).await;
    assert_eq!(status["allocation"], first["allocation"]);
}

#[tokio::test]
async fn sigterm_ends_every_process_in_order() {
    let system = System::distributed().await;
    let (api, worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    let client = Client::demo(&[api.port]).await;
    let (status, answer) = client.post_until_final("/v1/payments", "sigterm:0001", &payment(LOAN, 1)).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(api.terminate(), Some(0));
    assert_eq!(worker.terminate(), Some(0));
    system.verified().await;
}

#[tokio::test]
async fn an_embedded_server_that_is_killed_goes_on_where_it_was() {
    let system = System::embedded();
    let mut server = system.start(&["serve", "--demo"]).await;
    let second = system.output(&["serve"]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("another server is using"), "{second:?}");
    for round in 0..3 {
        let client = Arc::new(Client::demo(&[server.port]).await);
        for number in 0..20 {
            let key = format!("embedded:{round}:{number:06}");
            let prefer = Some("respond-async");
            assert_eq!(client.post(0, "/v1/payments", &key, &payment(LOAN, 1), prefer).await.unwrap().0, 202);
        }
        server.kill();
        server = system.start(&["serve", "--demo"]).await;
    }
    let report = system.verified().await;
    assert_eq!(report["posted"], 61);
    assert_eq!(server.terminate(), Some(0));
}
