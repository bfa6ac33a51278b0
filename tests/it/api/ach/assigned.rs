//! Money received for no known loan finds its loan.

use hpts::store::Store;
use serde_json::{Value, json};

use crate::api::ach::{account, finished, numbered_loan, opened, results, send};
use crate::api::world::World;
use crate::support::ach::AchFile;

/// A receipt of 3000; its id.
async fn receipt(world: &World, token: &str) -> String {
    let answer = send(world, token, "file:early", "collections", &AchFile::of_debits('A', [("420", 3_000)])).await;
    finished(world, token, &answer).await;
    let rows = results(world, token, &answer).await;
    rows[0]["payment_event_id"].as_str().unwrap_or_else(|| panic!("{rows:?}")).to_owned()
}

/// What a loan's last entry says: event type, day, and account, side and amount by line.
async fn entry(world: &World, token: &str, id: &Value) -> (Value, Vec<String>) {
    let path = format!("/v1/journal-entries/{}", id.as_str().unwrap());
    let entry = world.get(&path, token).await.json();
    let line = |line: &Value| {
        ["account_code", "direction", "amount_minor"].map(|name| line[name].as_str().unwrap().to_owned()).join(" ")
    };
    let lines = entry["lines"].as_array().unwrap().iter().map(line).collect();
    (entry, lines)
}

#[tokio::test]
async fn a_receipt_pays_its_loan_once_as_of_the_day_it_came() {
    let (world, token) = opened().await;
    let receipt = receipt(&world, &token).await;
    let received = world.get(&format!("/v1/events/{receipt}"), &token).await.json();
    let loan = numbered_loan(&world, &token, "420").await;
    let path = format!("/v1/receipts/{receipt}/assignment");
    let why = format!("/v1/payments/{receipt}/allocation");
    assert_eq!(world.get(&why, &token).await.problem(), (404, "not_found".to_owned()), "it has no loan");

    let assigned = world.post(&path, &token, "assign:early", &json!({"loan_id": loan})).await;

    assert_eq!(assigned.status, 201, "{assigned:?}");
    let body = assigned.json();
    assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
    assert_eq!(
        (&body["allocation"]["principal_minor"], &body["allocation"]["fees_minor"]),
        (&json!("3000"), &json!("0"))
    );
    let (booked, lines) = entry(&world, &token, &body["journal_entry_id"]).await;
    assert_eq!(lines, ["2200 DR 3000", "1100 CR 3000"], "{booked}");
    assert_eq!(
        (&booked["event_type"], &booked["effective_at"]),
        (&json!("payment_allocated"), &received["effective_at"])
    );
    assert_eq!(account(&world, &token, "2200").await, 0);
    let again = world.post(&path, &token, "assign:early", &json!({"loan_id": loan})).await;
    assert_eq!((again.status, &again.bytes), (200, &assigned.bytes));
    let twice = world.post(&path, &token, "assign:twice", &json!({"loan_id": loan})).await;
    assert_eq!(twice.problem(), (409, "already_undone".to_owned()));

    let back = json!({"reverses_entry_id": body["journal_entry_id"], "reason_code": "error_correction",
        "effective_at": "2026-05-02"});
    let reverser = world.token("demo", "hpts:reversals:write").await;
    let undone = world.post("/v1/reversals", &reverser, "assign:back", &back).await;
    assert_eq!(undone.status, 201, "{undone:?}");
    assert_eq!(account(&world, &token, "2200").await, 3_000);
    let told = world.get(&why, &token).await.json();
    let undoing = world.get(&format!("/v1/events/{}", told["undone_by"].as_str().unwrap()), &token).await.json();
    assert_eq!(undoing["event_type"], "reversal", "{told}");
    let anew = world.post(&path, &token, "assign:anew", &json!({"loan_id": loan})).await;
    assert_eq!(anew.status, 201, "{anew:?}");
    assert_eq!(account(&world, &token, "2200").await, 0);
    explained(&world, &token, (&why, &loan), &received["effective_at"]).await;
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// A receipt is explained on the loan that it was assigned to, and anew when a fee turns out to have been there before it.
async fn explained(world: &World, token: &str, (why, loan): (&str, &str), received: &Value) {
    let told = world.get(why, token).await.json();
    assert_eq!((&told["loan_id"], &told["effective_at"]), (&json!(loan), received), "{told}");
    assert_eq!((told.get("undone_by"), &told["restatements"]), (None, &json!([])), "{told}");
    let step = |split: &Value, number: usize| {
        let step = &split["steps"][number];
        ["bucket", "owed_minor", "paid_minor", "reason"].map(|name| step[name].as_str().unwrap_or("none").to_owned())
    };
    assert_eq!(step(&told, 2), ["principal", "1000000000", "3000", "money_ran_out"], "{told}");
    let clerk = world.token("demo", "hpts:adjustments:write").await;
    let fee = json!({"loan_id": loan, "amount_minor": "500", "fee_code": "nsf", "effective_at": "2026-01-02"});
    let fee = world.post("/v1/fees", &clerk, "fee:before", &fee).await.json();
    let told = world.get(why, token).await.json();
    let today = &told["restatements"][0];
    assert_eq!((step(&told, 0)[1].as_str(), step(today, 0)[2].as_str()), ("0", "500"), "{told}");
    assert_eq!(today["caused_by_event_id"], fee["fee_event_id"], "{told}");
    assert_eq!((&today["is_reproduced"], &told["is_reproduced"]), (&json!(true), &json!(true)), "{told}");
    assert_eq!(told["current_allocation"], today["allocation"]);
}

/// What a receipt that finds its loan late changes is told as for any other payment: in the answer, whenever it is asked
/// for, and in the status.
#[tokio::test]
async fn a_receipt_that_finds_its_loan_late_tells_what_it_changes() {
    let (world, token) = opened().await;
    let receipt = receipt(&world, &token).await;
    let received = world.get(&format!("/v1/events/{receipt}"), &token).await.json()["effective_at"].clone();
    let loan = numbered_loan(&world, &token, "420").await;
    let clerk = world.token("demo", "hpts:adjustments:write").await;
    // In front of the receipt: when that finds its loan it pays this fee, and the payment of 2 May no more.
    let before = json!({"loan_id": loan, "amount_minor": "500", "fee_code": "nsf", "effective_at": "2026-01-02"});
    assert_eq!(world.post("/v1/fees", &clerk, "fee:before:all", &before).await.status, 201);
    let fee = json!({"loan_id": loan, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-05-02",
        "late_for": {"period_from": received, "due_at": received, "due_minor": "3000"}});
    let fee = world.post("/v1/fees", &clerk, "fee:too:early", &fee).await;
    assert_eq!(fee.status, 201, "{fee:?}");
    let paid = json!({"loan_id": loan, "borrower_id": crate::api::world::BORROWER, "amount_minor": "9000",
        "currency": "USD", "effective_at": "2026-05-02", "source_method": "ach"});
    let paid = world.post("/v1/payments", &token, "pay:on:2:may", &paid).await;
    assert_eq!((paid.status, &paid.json()["allocation"]["fees_minor"]), (201, &json!("3000")));
    let path = format!("/v1/receipts/{receipt}/assignment");

    let assigned = world.post(&path, &token, "assign:late", &json!({"loan_id": loan})).await;

    assert_eq!(assigned.status, 201, "{assigned:?}");
    let told = assigned.json()["fees_to_review"].clone();
    assert_eq!(told[0]["fee_event_id"], fee.json()["fee_event_id"], "{assigned:?}");
    assert_eq!(told[0]["late_for"]["received_minor"], "3000", "{told}");
    let restated = assigned.json()["restated"].clone();
    assert_eq!(restated.as_array().map(Vec::len), Some(1), "{assigned:?}");
    assert_eq!(restated[0]["event_id"], paid.json()["payment_event_id"], "{restated}");
    let fees = ["allocation_before", "allocation"].map(|name| restated[0][name]["fees_minor"].clone());
    assert_eq!(fees, [json!("3000"), json!("2500")], "{restated}");
    let id = assigned.json()["receipt_assigned_event_id"].as_str().unwrap().to_owned();
    let status = world.get(&format!("/v1/events/{id}"), &token).await.json();
    assert_eq!((&status["fees_to_review"], &status["restated"]), (&told, &restated), "{status}");
    let again = world.post(&path, &token, "assign:late", &json!({"loan_id": loan})).await;
    assert_eq!((again.status, &again.bytes), (200, &assigned.bytes));
}

/// Whoever polls finds a receipt by every way that finds a payment.
#[tokio::test]
async fn a_receipt_is_found_like_any_payment() {
    let (world, token) = opened().await;
    let answer = send(&world, &token, "file:early", "collections", &AchFile::of_debits('A', [("420", 3_000)])).await;
    finished(&world, &token, &answer).await;
    let row = results(&world, &token, &answer).await.remove(0);
    let (id, key) = (row["payment_event_id"].as_str().unwrap(), row["idempotency_key"].as_str().unwrap());
    let told = world.get(&format!("/v1/payments/{id}"), &token).await.json();
    assert_eq!(
        (&told["status"], told["metadata"].get("loan_number")),
        (&json!("posted"), Some(&json!("420"))),
        "{told}"
    );
    for asked in [json!({"ids": [id]}), json!({"idempotency_keys": [key]})] {
        let found = world.post("/v1/payments/lookup", &token, "none:00000", &asked).await.json();
        assert_eq!(found, json!({"items": [told], "not_found": []}), "{asked}");
    }
    let batch = answer.json()["batch_id"].as_str().unwrap().to_owned();
    let (day, _) = told["accepted_at"].as_str().unwrap().split_once('T').unwrap();
    for query in [
        format!("batch_id={batch}"),
        format!("batch_id={batch}&status=posted"),
        format!("idempotency_key={key}"),
        format!("from_date={day}&to_date={day}"),
    ] {
        let found = world.get(&format!("/v1/payments?{query}"), &token).await.json();
        assert_eq!(found, json!({"items": [told]}), "{query}");
    }
}
