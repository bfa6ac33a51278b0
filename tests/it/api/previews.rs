//! What a caller is told of operations before they are done, the late ones above all: the same as is done then.

use hpts::store::Store;
use serde_json::{Value, json};

use super::world::{Answer, LOAN, Workers, World, payment, post};

const ALL: &str = "hpts:payments:write hpts:disbursements:write hpts:loans:write hpts:adjustments:write \
    hpts:reversals:write hpts:balances:read hpts:ledger:read";

async fn preview(world: &World, token: &str, path: &str, body: &Value) -> Answer {
    let mut request = post("/v1/events/preview", token, "x", &json!({"path": path, "body": body}));
    request.headers_mut().remove("idempotency-key");
    world.call(request).await
}

/// A loan that owes 5.00, 100.00 and 10,000.00, with payments of 1 and 15 May.
async fn lived() -> (World, String, Vec<Value>) {
    let world = World::new(Workers::Running).await;
    world.clock.advance(std::time::Duration::from_hours(30 * 24));
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let mut paid = Vec::new();
    for day in ["2026-05-01", "2026-05-15"] {
        let mut body = payment();
        body["effective_at"] = json!(day);
        let answer = world.post("/v1/payments", &token, &format!("payment:of:{day}"), &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        paid.push(answer.json());
    }
    (world, token, paid)
}

/// What is foreseen of an operation is what comes of it: its entry, what it restates, and the balances after it.
async fn comes_true(world: &World, token: &str, path: &str, body: &Value) -> Value {
    let told = preview(world, token, path, body).await;
    assert_eq!(told.status, 200, "{told:?}");
    let told = told.json();
    let balance = async || world.get(&format!("/v1/loans/{LOAN}/balance"), token).await.json();
    let buckets =
        ["principal_outstanding_minor", "interest_receivable_minor", "fees_receivable_minor", "suspense_minor"];
    let before = balance().await;
    for name in buckets {
        assert_eq!(told["balances_before"][name], before[name], "{name} of {told}");
    }
    let done = world.post(path, token, &format!("foreseen:{}", uuid::Uuid::new_v4()), body).await;
    assert_eq!(done.status, 201, "{done:?}");
    let (after, done) = (balance().await, done.json());
    for name in buckets {
        assert_eq!(told["balances_after"][name], after[name], "{name} of {told}");
    }
    let entry = world.get(&format!("/v1/journal-entries/{}", done["journal_entry_id"].as_str().unwrap()), token).await;
    assert_eq!(told["lines"], entry.json()["lines"]);
    let of = |told: &Value| {
        let names = ["event_id", "event_type", "effective_at", "allocation_before", "allocation"];
        restated_of(told).iter().map(|one| names.map(|name| one[name].clone())).collect::<Vec<_>>()
    };
    assert_eq!(of(&told), of(&done), "{told} {done}");
    for (foreseen, restated) in restated_of(&told).iter().zip(restated_of(&done)) {
        let entry = restated["journal_entry_id"].as_str().unwrap();
        let entry = world.get(&format!("/v1/journal-entries/{entry}"), token).await.json();
        assert_eq!(foreseen["lines"], entry["lines"], "of what {restated} restates");
    }
    let id = entry.json()["journal_entry_id"].as_str().unwrap().to_owned();
    let event = event_of(&id);
    let status = world.get(&format!("/v1/events/{event}"), token).await.json();
    assert_eq!(status["restated"], done["restated"], "the status tells it as well: {status}");
    told
}

fn restated_of(told: &Value) -> Vec<Value> {
    told["restated"].as_array().cloned().unwrap_or_default()
}

/// The event of an entry: the same id but for its last bit.
fn event_of(entry: &str) -> uuid::Uuid {
    uuid::Uuid::from_u128(entry.parse::<uuid::Uuid>().unwrap().as_u128() & !1)
}

#[tokio::test]
async fn late_items_are_foreseen_as_they_come() {
    let (world, token, paid) = lived().await;
    let fee = json!({"loan_id": LOAN, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-04-20"});
    let told = comes_true(&world, &token, "/v1/fees", &fee).await;
    assert_eq!(told["restated"][0]["event_id"], paid[0]["payment_event_id"], "May pays the fee of April: {told}");
    let lent = json!({"loan_id": LOAN, "borrower_id": super::world::BORROWER, "amount_minor": "70000",
        "currency": "USD", "effective_at": "2026-05-02", "method": "wire"});
    let told = comes_true(&world, &token, "/v1/disbursements", &lent).await;
    assert!(told.get("restated").is_none(), "it changes no split: {told}");
    let waiver = json!({"loan_id": LOAN, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-05-20"});
    let told = comes_true(&world, &token, "/v1/fees/waivers", &waiver).await;
    assert_eq!((&told["outcome"], told.get("restated")), (&json!("posted"), None));
    let back = json!({"return_code": "R01", "effective_at": "2026-05-05", "fee_minor": "1500"});
    let path = format!("/v1/payments/{}/return", paid[0]["payment_event_id"].as_str().unwrap());
    let told = comes_true(&world, &token, &path, &back).await;
    assert_eq!(told["effective_at"], "2026-05-01", "it is taken back on its own day");
    let fee = &told["consequences"][0];
    assert_eq!((&fee["event_type"], &fee["effective_at"]), (&json!("fee_assessed"), &json!("2026-05-05")));
    assert_eq!(fee["lines"][0]["amount_minor"], "1500", "{told}");
    assert_eq!(told["restated"][0]["event_id"], paid[1]["payment_event_id"], "{told}");
    let again = preview(&world, &token, &path, &back).await.json();
    assert_eq!((&again["outcome"], &again["rejection_code"]), (&json!("rejected"), &json!("already_undone")));
    let undo = json!({"reverses_entry_id": paid[1]["journal_entry_id"], "reason_code": "duplicate",
        "effective_at": "2026-05-21"});
    comes_true(&world, &token, "/v1/reversals", &undo).await;
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_late_payment_is_told_with_what_it_restates() {
    let (world, token, paid) = lived().await;
    let mut late = payment();
    (late["effective_at"], late["amount_minor"]) = (json!("2026-04-15"), json!("4000"));
    let told = comes_true(&world, &token, "/v1/payments", &late).await;
    assert_eq!(told["restated"].as_array().unwrap().len(), 1, "{told}");
    let listed = world.get(&format!("/v1/payments/{}", paid[0]["payment_event_id"].as_str().unwrap()), &token).await;
    assert!(listed.json().get("restated").is_none(), "it restated nothing itself");
}

#[tokio::test]
async fn a_preview_needs_the_scope_of_its_operation() {
    let (world, _, paid) = lived().await;
    let token = world.token("demo", "hpts:payments:write").await;
    let fee = json!({"loan_id": LOAN, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-04-20"});
    let refused = preview(&world, &token, "/v1/fees", &fee).await;
    assert_eq!(refused.problem(), (403, "insufficient_scope".to_owned()));
    let back = json!({"return_code": "R01", "effective_at": "2026-05-05"});
    let path = format!("/v1/payments/{}/return", paid[0]["payment_event_id"].as_str().unwrap());
    assert_eq!(preview(&world, &token, &path, &back).await.status, 200);
}
