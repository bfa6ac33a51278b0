//! Accounting periods through the API.

use serde_json::{Value, json};

use super::world::{LOAN, Workers, World, payment};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:balances:read hpts:ledger:read hpts:adjustments:write";

async fn opened() -> (World, String) {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.open_loan(&token, "loan:periods").await.status, 201);
    (world, token)
}

fn of_april(amount: &str) -> Value {
    let mut body = payment();
    (body["effective_at"], body["amount_minor"]) = (json!("2026-04-20"), json!(amount));
    body
}

#[tokio::test]
async fn a_backdated_payment_shows_both_dates() {
    let (world, token) = opened().await;
    let reason = json!({"reason": "April is reconciled"});
    let closed = world.post("/v1/periods/2026-04/close", &token, "period:april", &reason).await;
    let answer = json!({"period": "2026-04", "status": "closed", "reason": "April is reconciled"});
    assert_eq!((closed.status, closed.json()), (201, answer));
    assert_eq!(closed.header("location"), None);
    let again = world.post("/v1/periods/2026-04/close", &token, "period:april", &reason).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.bytes, closed.bytes);

    let paid = world.post("/v1/payments", &token, "paid:april", &of_april("100")).await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let entry = format!("/v1/journal-entries/{}", paid.json()["journal_entry_id"].as_str().unwrap());
    let entry = world.get(&entry, &token).await.json();
    assert_eq!((&entry["effective_at"], &entry["booking_date"]), (&json!("2026-04-20"), &json!("2026-05-01")));
    let cash = |by: &str| format!("/v1/accounts/1010/balance?currency=USD&as_of_date={by}");
    assert_eq!(world.get(&cash("2026-04-30"), &token).await.json()["dr_balance_minor"], "0");
    assert_eq!(world.get(&cash("2026-05-01"), &token).await.json()["dr_balance_minor"], "100");
    let balance = world.get(&format!("/v1/loans/{LOAN}/balance?as_of_date=2026-04-20"), &token).await.json();
    assert_eq!(balance["fees_receivable_minor"], "400", "the loan goes by the effective date");

    let reopened = world.post("/v1/periods/2026-04/reopen", &token, "period:open", &json!({"reason": "late"})).await;
    assert_eq!((reopened.status, &reopened.json()["status"]), (201, &json!("open")));
    assert_eq!(world.post("/v1/payments", &token, "paid:later", &of_april("50")).await.status, 201);
    assert_eq!(world.get(&cash("2026-04-30"), &token).await.json()["dr_balance_minor"], "50");
}

#[tokio::test]
async fn periods_are_listed_to_their_tenant() {
    let (world, token) = opened().await;
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    world.post("/v1/periods/2026-04/close", &token, "period:april", &json!({"reason": "done"})).await;
    let list = world.get("/v1/periods", &token).await.json();
    assert_eq!(list["closed_periods"], "next_open_day");
    let item = &list["items"][0];
    assert_eq!(
        (&item["period"], &item["status"], &item["reason"], &item["actor"]),
        (&json!("2026-04"), &json!("closed"), &json!("done"), &json!("demo"))
    );
    assert_eq!(item["changed_at"], "2026-05-02T12:00:00Z");
    assert_eq!(world.get("/v1/periods", &other).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_period_is_changed_by_who_may_and_once_it_has_begun() {
    let (world, token) = opened().await;
    let reason = json!({"reason": "done"});
    let close = |month: &str| format!("/v1/periods/{month}/close");
    let early = world.post(&close("2026-06"), &token, "period:june", &reason).await;
    assert_eq!(early.problem(), (422, "validation_failed".to_owned()));
    assert_eq!(early.json()["errors"][0]["field"], "period");
    assert_eq!(world.post(&close("2026-05"), &token, "period:may:1", &reason).await.status, 201, "it has begun");
    assert_eq!(world.post(&close("2026-13"), &token, "period:none", &reason).await.status, 404);
    let mismatch = world.post(&close("2026-04"), &token, "period:may:1", &reason).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()));
    let reader = world.token("demo", "hpts:ledger:read").await;
    let refused = world.post(&close("2026-04"), &reader, "period:april", &reason).await;
    assert_eq!(refused.problem(), (403, "insufficient_scope".to_owned()));
}
