//! Owns the rows and the stories of loans that stand still.

use serde_json::{Value, json};

use super::row::{Row, replayed};
use super::stories::{Story, Told, eventually, hold};
use super::world::{Facts, OTHER_LOAN, QUIET_LOAN, World, payment};

/// The stories of both deployments; registering a loan is an event as well, a hold is none of the books'.
pub(super) const STORIES: &[Story] = &[
    Story { number: "hold", name: "what waits is posted in order", stores: 4, run: |world| Box::pin(waits(world)) },
    Story { number: "hold", name: "a hold that refuses", stores: 4, run: |world| Box::pin(refuses(world)) },
];

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let reason = json!({"reason": "a person looks"});
    let mut rows = Vec::new();
    for act in ["hold", "release"] {
        let path = |loan: &str| format!("/v1/loans/{loan}/{act}");
        let to = |number, name: &str, body: &Value| {
            Row::post(number, format!("{act}: {name}"), &path(QUIET_LOAN), &facts.demo, body.to_string())
        };
        let of = |number, name: &str, loan: &str, token: &str| {
            Row::post(number, format!("{act}: {name}"), &path(loan), token, reason.to_string())
        };
        rows.extend([
            to("16", "an empty body", &reason).body("").refused(400, &["malformed_json"]),
            to("17", "no key", &reason).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
            to("39", "no reason", &json!({})).invalid(&["reason"]),
            to("41", "a long reason", &json!({"reason": "x".repeat(256)})).invalid(&["reason"]),
            to("38", "a field too many", &json!({"reason": "x", "until": "2026-06-01"})).invalid(&["until"]),
            to("68", "no token", &reason).without("Authorization").refused(401, &["unauthenticated"]),
            of("76", "another scope", QUIET_LOAN, &facts.narrow).refused(403, &["insufficient_scope"]),
            of("3", "a loan by a word", "gold", &facts.demo).refused(404, &["not_found"]),
            of("64", "another tenant's loan", OTHER_LOAN, &facts.demo).refused(404, &["not_found"]),
            of("64", "nobody's loan", "64000000-0000-4000-8000-000000000064", &facts.demo).refused(404, &["not_found"]),
        ]);
    }
    let refuse = json!({"reason": "x", "refuse": "yes"}).to_string();
    let read = |loan: &str| format!("/v1/loans/{loan}/hold");
    rows.extend([
        Row::post("40", "hold: a text for refuse", &read(QUIET_LOAN), &facts.demo, refuse).invalid(&["refuse"]),
        Row::get("good", "no hold", &read(QUIET_LOAN), &facts.demo).good(200).says("/on_hold", false),
        Row::get("64", "another tenant's hold", &read(OTHER_LOAN), &facts.demo).refused(404, &["not_found"]),
        Row::get("76", "a hold without the scope", &read(QUIET_LOAN), &facts.narrow)
            .refused(403, &["insufficient_scope"]),
        Row::get("38", "a hold with a parameter", &format!("{}?x=1", read(QUIET_LOAN)), &facts.demo)
            .refused(400, &["invalid_parameter"])
            .fields(&["x"]),
    ]);
    rows
}

async fn waits(world: &World) -> Told {
    let (demo, loan) = (&world.facts.demo, world.fresh_loan().await);
    let body = json!({"reason": "the borrower disputes the balance"}).to_string();
    let path = format!("/v1/loans/{loan}/hold");
    let held = world.post(&path, demo, "story:hold:1", "", &body).await;
    hold(held.status == 201 && held.json()["on_hold"] == true, "expected 201", &held)?;
    replayed(&held, &world.post(&path, demo, "story:hold:1", "", &body).await)?;
    let other = json!({"reason": "fraud", "refuse": true}).to_string();
    let mismatch = world.post(&path, demo, "story:hold:1", "", &other).await;
    hold(mismatch.json()["code"] == "idempotency_mismatch", "expected a mismatch", &mismatch)?;

    let pay = |n: u32| payment(&[("loan_id", json!(loan)), ("amount_minor", json!(n.to_string()))]);
    let mut ids = Vec::new();
    for n in 1..=3 {
        let waiting = world.pay(&format!("story:hold:pay:{n}"), "Prefer: respond-async\r\n", &pay(n)).await;
        hold(waiting.status == 202, "expected 202", &waiting)?;
        ids.push(waiting.json()["payment_event_id"].clone());
    }
    let shown = world.get(&path, demo).await;
    let document = shown.json();
    let is_shown = document["waiting_events"] == 3 && document["items"][0]["status"] == "held";
    hold(is_shown && document["refuse"] == false, "expected the hold with what waits", &shown)?;
    let listed: Vec<Value> =
        document["items"].as_array().into_iter().flatten().map(|item| item["payment_event_id"].clone()).collect();
    hold(listed == ids, "expected what waits in order", &shown)?;

    let released = world.post(&format!("/v1/loans/{loan}/release"), demo, "story:hold:2", "", &body).await;
    hold(released.json()["on_hold"] == false, "expected 201 of the release", &released)?;
    eventually("what waited is posted", || async {
        let entries = world.get(&format!("/v1/loans/{loan}/journal-entries?event_type=payment_received"), demo).await;
        let entries = entries.json();
        let amounts: Vec<&str> = entries["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["lines"][0]["amount_minor"].as_str())
            .collect();
        amounts == ["1", "2", "3"]
    })
    .await
}

async fn refuses(world: &World) -> Told {
    let (demo, loan) = (&world.facts.demo, world.fresh_loan().await);
    world.hold_loan(&loan).await;
    let body = payment(&[("loan_id", json!(loan))]);
    let waiting = world.pay("story:refuse:1", "Prefer: respond-async\r\n", &body).await;
    hold(waiting.status == 202, "expected 202", &waiting)?;
    let refuse = json!({"reason": "fraud", "refuse": true}).to_string();
    let path = format!("/v1/loans/{loan}/hold");
    let held = world.post(&path, demo, "story:refuse:hold", "", &refuse).await;
    hold(held.status == 201 && held.json()["refuse"] == true, "expected 201", &held)?;
    let location = waiting.header("location").unwrap_or_default().to_owned();
    eventually("what waited is refused", || async {
        world.get(&location, demo).await.json()["problem"]["code"] == "loan_on_hold"
    })
    .await?;
    let refused = world.pay("story:refuse:2", "Prefer: wait=30\r\n", &body).await;
    hold(refused.status == 422 && refused.json()["code"] == "loan_on_hold", "expected loan_on_hold", &refused)?;
    let again = world.pay("story:refuse:2", "", &body).await;
    hold(again.status == 422 && again.json()["code"] == "loan_on_hold", "expected the same again", &again)?;
    let preview = world.post("/v1/payments/preview", demo, "story:refuse:look", "", &body.to_string()).await;
    hold(preview.json()["rejection_code"] == "loan_on_hold", "expected the preview to say so", &preview)?;
    world.release_loan(&loan).await;
    let paid = world.pay("story:refuse:3", "Prefer: wait=30\r\n", &body).await;
    hold(paid.status == 201, "expected 201 after the release", &paid)
}
