//! Webhook endpoints: how they are made and managed, what they are told, and what becomes of deliveries that fail.

mod endpoints;
mod failures;
mod telling;

use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::world::{DEADLINE, Workers, World};

/// Every scope of the world's clients.
const ALL: &str = "hpts:payments:write hpts:disbursements:write hpts:loans:write hpts:balances:read \
     hpts:ledger:read hpts:webhooks:write hpts:reversals:write hpts:adjustments:write";

/// A running world with a loan, and a token.
async fn opened() -> (World, String) {
    let world = World::new(Workers::Running).await;
    let token = fresh(&world).await;
    assert_eq!(world.open_loan(&token, "loan:webhooks").await.status, 201);
    (world, token)
}

/// A token of this hour of the world.
async fn fresh(world: &World) -> String {
    world.token("demo", &ALL.replace(' ', "%20")).await
}

/// Makes an endpoint; answers its id and its secret.
pub(super) async fn make(world: &World, token: &str, url: &str, event_types: &[&str]) -> (String, String) {
    let body = json!({"url": url, "event_types": event_types});
    let made = world.post("/v1/webhook-endpoints", token, &format!("make:{}", uuid::Uuid::new_v4()), &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    (text(&made["webhook_endpoint_id"]), text(&made["secret"]))
}

/// Pays the loan some cents; answers the body of the 201.
async fn pay(world: &World, token: &str, key: &str) -> Value {
    let paid = world.post("/v1/payments", token, key, &crate::api::world::payment()).await;
    assert_eq!(paid.status, 201, "{paid:?}");
    paid.json()
}

/// An action without fields on an endpoint.
async fn act(world: &World, token: &str, id: &str, action: &str) -> crate::api::world::Answer {
    let key = format!("{action}:{}", uuid::Uuid::new_v4());
    world.post(&format!("/v1/webhook-endpoints/{id}/{action}"), token, &key, &json!({})).await
}

async fn endpoint(world: &World, token: &str, id: &str) -> Value {
    world.get(&format!("/v1/webhook-endpoints/{id}"), token).await.json()
}

/// The log of an endpoint's deliveries.
async fn deliveries(world: &World, token: &str, id: &str) -> Vec<Value> {
    let answer = world.get(&format!("/v1/webhook-endpoints/{id}/deliveries"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Waits for a condition, with a deadline.
pub(super) async fn until<F, R>(what: &str, condition: F)
where
    F: Fn() -> R,
    R: Future<Output = bool>,
{
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
