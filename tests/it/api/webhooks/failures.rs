//! What becomes of deliveries that fail, and of endpoints that do. Time is the world's: retries come when it is moved.

use std::time::Duration;

use hpts::core::event::{IdempotencyKey, NewEvent, Upload, UploadOperation};
use hpts::core::ids::{EventId, PublisherId, TenantId};
use hpts::core::money::Currency;
use hpts::core::webhook::{WebhookOperation, WebhookType};
use hpts::store::{ChangePlace, NewEndpoint, NewOperation, Operated, Store, WebhookEffect, WebhookStore};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::webhooks::{act, deliveries, endpoint, fresh, make, opened, pay, until};
use crate::api::world::{WEBHOOK_PATIENCE, World};
use crate::support::receiver::{Mood, Receiver};

/// Waits until the newest delivery has been tried so often, and answers it.
async fn tried(world: &World, token: &str, id: &str, attempts: i64) -> Value {
    let is_there = || async {
        let log = deliveries(world, token, id).await;
        log.first().is_some_and(|delivery| delivery["attempts"].as_i64() >= Some(attempts))
    };
    until("the delivery is tried", is_there).await;
    deliveries(world, token, id).await.remove(0)
}

#[tokio::test]
async fn a_failure_is_tried_again_under_the_same_id_until_it_is_taken() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Answers(500)).await;
    let (id, secret) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    pay(&world, &token, "payment:first").await;
    let delivery = tried(&world, &token, &id, 1).await;
    assert_eq!((&delivery["status"], &delivery["error"]), (&json!("pending"), &json!("status")), "{delivery}");
    assert_eq!((&delivery["response_status"], &delivery["event_type"]), (&json!(500), &json!("payment.posted")));
    let read = endpoint(&world, &token, &id).await;
    assert!(read["failing_since"].is_string() && read["pending_deliveries"] == 1, "{read}");

    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(receiver.received().len(), 1, "not before its time");
    world.clock.advance(Duration::from_secs(6));
    tried(&world, &token, &id, 2).await;
    receiver.is_in(Mood::Well);
    world.clock.advance(Duration::from_secs(34));
    until("it is taken", || async { receiver.taken().len() == 1 }).await;
    let delivery = tried(&world, &token, &id, 3).await;
    assert_eq!((&delivery["status"], delivery.get("error")), (&json!("delivered"), None), "{delivery}");
    let messages = receiver.received();
    assert!(messages.iter().all(|it| it.id() == messages[0].id() && it.body == messages[0].body), "{messages:?}");
    assert!(messages.iter().all(|it| it.is_signed_by(&secret)));
    assert_ne!(messages[0].header("webhook-timestamp"), messages[2].header("webhook-timestamp"));
    assert_eq!(delivery["webhook_id"], messages[0].id());
    until("the endpoint is well", || async { endpoint(&world, &token, &id).await.get("failing_since").is_none() })
        .await;
}

#[tokio::test]
async fn one_endpoint_never_holds_up_another_nor_one_event_the_next() {
    let (world, token) = opened().await;
    let (bad, good) = (Receiver::new(Mood::Hangs).await, Receiver::new(Mood::Well).await);
    make(&world, &token, &bad.url("/"), &["payment.posted"]).await;
    make(&world, &token, &good.url("/"), &["payment.posted"]).await;
    for number in 0..3 {
        pay(&world, &token, &format!("payment:number{number}")).await;
        until("the good one is told", || async { good.taken().len() == number + 1 }).await;
    }
    assert_eq!(bad.taken().len(), 0);

    let moody = Receiver::new(Mood::Answers(500)).await;
    make(&world, &token, &moody.url("/"), &["payment.posted"]).await;
    pay(&world, &token, "payment:poison").await;
    until("it has failed", || async { moody.received().len() == 1 }).await;
    moody.is_in(Mood::Well);
    pay(&world, &token, "payment:later").await;
    until("the later one is told", || async {
        moody.taken().iter().any(|it| it.json()["idempotency_key"] == "payment:later")
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Answers(410)).await;
    let (id, _) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    pay(&world, &token, "payment:gone").await;
    until("it is disabled", || async { endpoint(&world, &token, &id).await["status"] == "disabled" }).await;
    assert_eq!(endpoint(&world, &token, &id).await["disabled_reason"], "gone");
    world.clock.advance(Duration::from_hours(1));
    let token = fresh(&world).await;
    pay(&world, &token, "payment:never").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(receiver.received().len(), 1);
    receiver.is_in(Mood::Well);
    assert_eq!(act(&world, &token, &id, "enable").await.status, 201);
    until("both are told", || async { receiver.taken_ids("payment.posted").len() == 2 }).await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    for status in [429, 503] {
        let (world, token) = opened().await;
        let receiver = Receiver::new(Mood::AsksToWait(status, 900)).await;
        let (id, _) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
        pay(&world, &token, "payment:patient").await;
        tried(&world, &token, &id, 1).await;
        receiver.is_in(Mood::Well);
        world.clock.advance(Duration::from_secs(890));
        pay(&world, &token, "payment:behind").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(receiver.received().len(), 1, "{status}: nothing before, not even what is new");
        world.clock.advance(Duration::from_secs(11));
        until("both are told", || async { receiver.taken_ids("payment.posted").len() == 2 }).await;
    }
}

#[tokio::test]
async fn days_of_failure_disable_an_endpoint() {
    let (world, mut token) = opened().await;
    let receiver = Receiver::new(Mood::Answers(500)).await;
    let (id, _) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    pay(&world, &token, "payment:first").await;
    let mut attempts = 1;
    tried(&world, &token, &id, attempts).await;
    // A payment a while keeps the endpoint failing when the first delivery has been given up.
    while endpoint(&world, &token, &id).await["status"] == "enabled" {
        assert!(attempts < 30, "it is still enabled");
        world.clock.advance(WEBHOOK_PATIENCE / 12);
        token = fresh(&world).await;
        attempts += 1;
        let asked = receiver.received().len();
        pay(&world, &token, &format!("payment:later{attempts:02}")).await;
        until("it is asked again, or disabled", || async {
            receiver.received().len() > asked || endpoint(&world, &token, &id).await["status"] == "disabled"
        })
        .await;
        // What is kept after the clock has moved sets the next try from there, and nobody would be asked until then.
        until("what came of each is kept", || async {
            let log = deliveries(&world, &token, &id).await;
            let kept: i64 = log.iter().filter_map(|delivery| delivery["attempts"].as_i64()).sum();
            usize::try_from(kept) == Ok(receiver.received().len())
        })
        .await;
    }
    let read = endpoint(&world, &token, &id).await;
    assert_eq!((&read["disabled_reason"], attempts > 10), (&json!("failing"), true), "{read}");
}

#[tokio::test]
async fn redirects_and_endless_answers_are_failures() {
    for (mood, error) in [(Mood::Redirects, "redirect"), (Mood::Endless, "answer_too_long")] {
        let (world, token) = opened().await;
        let receiver = Receiver::new(mood).await;
        let (id, _) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
        pay(&world, &token, "payment:lost").await;
        let delivery = tried(&world, &token, &id, 1).await;
        assert_eq!((&delivery["status"], &delivery["error"]), (&json!("pending"), &json!(error)), "{delivery}");
    }
}

#[tokio::test]
async fn answers_that_do_not_come_in_time_are_failures() {
    let (world, token) = opened().await;
    let (hanging, dripping) = (Receiver::new(Mood::Hangs).await, Receiver::new(Mood::Drips).await);
    let (first, _) = make(&world, &token, &hanging.url("/"), &["payment.posted"]).await;
    let (second, _) = make(&world, &token, &dripping.url("/"), &["payment.posted"]).await;
    pay(&world, &token, "payment:slow").await;
    for id in [first, second] {
        let delivery = tried(&world, &token, &id, 1).await;
        assert_eq!((&delivery["status"], &delivery["error"]), (&json!("pending"), &json!("timeout")), "{delivery}");
        assert!(delivery["duration_ms"].as_i64() >= Some(14_000), "{delivery}");
    }
}

/// An endpoint that the API would not make, such as one from before the operator took a host off the list.
async fn smuggle(world: &World, url: &str) {
    let tenant = TenantId(Uuid::from_u128(1));
    let event_types = vec![WebhookType::PaymentPosted];
    let asked = WebhookOperation::Create { url: url.to_owned(), event_types: event_types.clone(), description: None };
    let upload = Upload {
        operation: UploadOperation::Webhook(asked),
        currency: Currency::USD,
        received_on: chrono::NaiveDate::from_ymd_opt(2026, 5, 2).unwrap(),
    };
    let key = IdempotencyKey::parse(&format!("smuggle:{}", Uuid::new_v4())).unwrap();
    let (id, publisher) = (EventId(Uuid::new_v4()), PublisherId(Uuid::new_v4()));
    let endpoint = NewEndpoint {
        created_at: world.store.now().await.unwrap(),
        url: url.to_owned(),
        description: None,
        event_types,
        secret: b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec(),
        place: ChangePlace::START,
        endpoints_max: 100,
    };
    let event = NewEvent::of_upload(id, tenant, key, upload, publisher, "demo".to_owned());
    let effect = WebhookEffect::Create(endpoint);
    let made = world.store.operate_webhook(NewOperation { event, effect, answer: b"{}".to_vec() }).await.unwrap();
    assert!(matches!(made, Operated::Done), "{made:?}");
}

#[tokio::test]
async fn private_addresses_are_not_connected_to() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    let private = receiver.url("/").replace("127.0.0.1", "127.0.0.2");
    for url in [private.as_str(), "https://169.254.169.254/", "https://[::1]/", "https://10.0.0.1/"] {
        smuggle(&world, url).await;
    }
    pay(&world, &token, "payment:private").await;
    let listed = world.get("/v1/webhook-endpoints", &token).await.json();
    for listed in listed["items"].as_array().unwrap() {
        let delivery = tried(&world, &token, listed["webhook_endpoint_id"].as_str().unwrap(), 1).await;
        assert_eq!(delivery["error"], "blocked_address", "{listed}: {delivery}");
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn certificates_of_unknown_authorities_are_not_believed() {
    let (world, token) = opened().await;
    let authority = crate::support::certificates::Authority::new("nobody knows it");
    let settings = authority.server().listener(world.folder(), None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(|| async { "well" });
    let lifecycle = world.lifecycle.clone();
    drop(world.lifecycle.spawn(hpts::api::server::serve(listener, router, lifecycle, Some(settings))));
    let (id, _) = make(&world, &token, &url, &["payment.posted"]).await;
    pay(&world, &token, "payment:tls").await;
    let delivery = tried(&world, &token, &id, 1).await;
    assert_eq!((&delivery["status"], &delivery["error"]), (&json!("pending"), &json!("unreachable")), "{delivery}");
}
