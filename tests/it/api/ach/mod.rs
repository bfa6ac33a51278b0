//! ACH files: bytes in through a feed, payments, returns and exceptions out.

mod assigned;
mod cut;
mod feeds;
mod files;
mod program_fees;
mod refused;
mod returns;
mod reviews;
mod room;
mod samples;

use axum::body::Body;
use axum::http::Request;
use hpts::api::ApiSettings;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, BORROWER, Workers, World, settings};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:balances:read hpts:ledger:read";

/// A deployment with a token and the feed `collections`, strict and with a fee for returns.
async fn opened() -> (World, String) {
    opened_with(settings()).await
}

/// The same with settings of its own.
async fn opened_with(settings: ApiSettings) -> (World, String) {
    let world = World::with_settings(Workers::Running, settings).await;
    let token = world.token("demo", ALL).await;
    let feed = json!({"name": "collections", "view": "originator", "return_fee_minor": "2500"});
    make_feed(&world, &token, &feed).await;
    (world, token)
}

async fn make_feed(world: &World, token: &str, feed: &Value) {
    let key = format!("feed:{}", feed["name"].as_str().unwrap());
    let answer = world.post("/v1/ach/feeds", token, &key, feed).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Opens a loan that is known by a number; answers its id.
async fn numbered_loan(world: &World, token: &str, number: &str) -> String {
    let loan = Uuid::new_v4().to_string();
    let body = json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "loan_number": number, "opening_balances": {"principal_minor": "1000000000"}});
    assert_eq!(world.post("/v1/loans", token, &format!("loan:{number}"), &body).await.status, 201);
    loan
}

fn upload(token: &str, key: &str, feed: &str, bytes: &[u8]) -> Request<Body> {
    Request::post(format!("/v1/ach/files?feed={feed}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "text/plain")
        .header("idempotency-key", key)
        .body(Body::from(bytes.to_vec()))
        .unwrap()
}

async fn send(world: &World, token: &str, key: &str, feed: &str, bytes: &[u8]) -> Answer {
    world.call(upload(token, key, feed, bytes)).await
}

/// Waits until nothing of a file is in flight.
async fn finished(world: &World, token: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["batch_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/ach/files/{id}?wait=60");
    let mut file = world.get(&path, token).await.json();
    while file["state"] == "posting" {
        file = world.get(&path, token).await.json();
    }
    assert_eq!(file["state"], "finished", "{file}");
    file
}

/// The way of a row: `/v1/ach/files/{id}/exceptions/{row}`.
fn row_path(answer: &Answer, row: i64) -> String {
    format!("/v1/ach/files/{}/exceptions/{row}", answer.json()["batch_id"].as_str().unwrap())
}

async fn results(world: &World, token: &str, answer: &Answer) -> Vec<Value> {
    let id = answer.json()["batch_id"].as_str().unwrap().to_owned();
    let results = world.get(&format!("/v1/batches/{id}/results"), token).await;
    assert_eq!(results.status, 200, "{results:?}");
    let text = String::from_utf8(results.bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What an account comes to on its growing side.
async fn account(world: &World, token: &str, code: &str) -> i64 {
    let balance = world.get(&format!("/v1/accounts/{code}/balance?currency=USD"), token).await.json();
    balance["normal_balance_minor"].as_str().unwrap_or_else(|| panic!("{balance}")).parse().unwrap()
}

async fn principal(world: &World, token: &str, loan: &str) -> i64 {
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), token).await.json();
    balance["principal_outstanding_minor"].as_str().unwrap_or_else(|| panic!("{balance}")).parse().unwrap()
}

fn cents(value: &Value) -> i64 {
    value.as_str().map_or(0, |text| text.parse().unwrap())
}
