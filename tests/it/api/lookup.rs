//! What a poller who asks about many payments at once gets.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use hpts::api::{ApiSettings, LookupLimits};
use serde_json::{Value, json};

use super::world::{Answer, LOAN, Workers, World, payment, post};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:ledger:read";
const NOBODY: &str = "cccccccc-cccc-cccc-cccc-cccccccccccc";

/// A lookup as a poller sends it: without an Idempotency-Key.
async fn lookup(world: &World, token: &str, body: &Value) -> Answer {
    let mut request = post("/v1/payments/lookup", token, "none:00000", body);
    request.headers_mut().remove("idempotency-key");
    world.call(request).await
}

async fn pay(world: &World, token: &str, key: &str, changes: &[(&str, Value)]) -> String {
    let mut body = payment();
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    let answer = world.post("/v1/payments", token, key, &body).await;
    answer.json()["payment_event_id"].as_str().unwrap().to_owned()
}

fn ids(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|item| item["payment_event_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn payments_are_found_by_ids_and_by_keys_in_the_order_asked() {
    let world = World::new(Workers::Running).await;
    world.tenant(2, "other").await;
    let (token, other) = (world.token("demo", ALL).await, world.token("other", ALL).await);
    let opened = world.open_loan(&token, "loan:11111111").await.json();
    let posted = pay(&world, &token, "payment:posted", &[]).await;
    let rejected = pay(&world, &token, "payment:rejected", &[("loan_id", json!(NOBODY))]).await;
    let loan_event = opened["loan_event_id"].as_str().unwrap();

    let asked = [NOBODY, &rejected, &posted.to_uppercase(), loan_event, &rejected];
    let found = lookup(&world, &token, &json!({ "ids": asked })).await;
    assert_eq!((found.status, found.header("content-type")), (200, Some("application/json")), "{found:?}");
    let found = found.json();
    assert_eq!(ids(&found), [rejected.clone(), posted.clone()], "a repeated id is answered once");
    assert_eq!(found["not_found"], json!([NOBODY, loan_event]), "a loan's registration is no payment");
    for item in found["items"].as_array().unwrap() {
        let id = item["payment_event_id"].as_str().unwrap();
        assert_eq!(*item, world.get(&format!("/v1/payments/{id}"), &token).await.json());
    }

    let keys = json!({"idempotency_keys": ["payment:posted", "loan:11111111", "payment:unknown"]});
    let by_keys = lookup(&world, &token, &keys).await.json();
    assert_eq!(by_keys["items"], json!([found["items"][1]]));
    assert_eq!(by_keys["items"][0]["idempotency_key"], "payment:posted");
    assert_eq!(by_keys["not_found"], json!(["loan:11111111", "payment:unknown"]));

    let foreign = lookup(&world, &other, &json!({"ids": [posted]})).await.json();
    assert_eq!(foreign, json!({"items": [], "not_found": [posted]}));
    let foreign = lookup(&world, &other, &json!({"idempotency_keys": ["payment:posted"]})).await.json();
    assert_eq!(foreign["items"], json!([]));
}

#[tokio::test]
async fn ten_thousand_unfinished_payments_are_looked_up_at_once() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    let mut accepted = Vec::new();
    for number in 0..3 {
        let mut request = post("/v1/payments", &token, &format!("payment:{number}"), &payment());
        request.headers_mut().insert("prefer", HeaderValue::from_static("respond-async"));
        accepted.push(world.call(request).await.json()["payment_event_id"].as_str().unwrap().to_owned());
    }
    let unknown: Vec<String> = (3..10_000).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let asked: Vec<&String> = unknown.iter().chain(&accepted).collect();
    let found = lookup(&world, &token, &json!({ "ids": asked })).await.json();
    assert_eq!(ids(&found), accepted);
    assert_eq!(found["not_found"], json!(unknown));
    assert_eq!((&found["items"][2]["status"], &found["items"][2]["loan_id"]), (&json!("accepted"), &json!(LOAN)));
    assert!(found["items"][2].get("position").is_none());
}

#[tokio::test]
async fn only_whoever_may_read_payments_looks_them_up() {
    let world = World::new(Workers::None).await;
    for (scope, status) in [
        ("hpts:ledger:read", 200),
        ("hpts:payments:write", 200),
        ("hpts:balances:read", 403),
        ("hpts:loans:write", 403),
    ] {
        let token = world.token("demo", scope).await;
        assert_eq!(lookup(&world, &token, &json!({"ids": [NOBODY]})).await.status, status, "{scope}");
        let changes = world.get("/v1/changes", &token).await;
        assert_eq!(changes.status, status, "{scope}");
    }
    let request = Request::get("/v1/payments/lookup").body(Body::empty()).unwrap();
    assert_eq!(world.call(request).await.problem(), (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn a_lookup_without_a_turn_is_told_to_come_again() {
    let lookups = LookupLimits { at_once: 0, within: Duration::from_millis(50) };
    let world = World::with_settings(Workers::None, ApiSettings { lookups, ..ApiSettings::default() }).await;
    let token = world.token("demo", ALL).await;
    let answer = lookup(&world, &token, &json!({"ids": [NOBODY]})).await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
}
