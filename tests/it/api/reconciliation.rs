//! Reconciliation through the API.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sqlx::Executor;

use super::world::{BORROWER, LOAN, Workers, World, payment};

const ALL: &str =
    "hpts:payments:write hpts:loans:write hpts:ledger:read hpts:reconciliation:read hpts:reconciliation:write";

async fn opened() -> (World, String) {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.open_loan(&token, "loan:books").await.status, 201);
    assert_eq!(world.post("/v1/payments", &token, "paid:books", &payment()).await.status, 201);
    (world, token)
}

#[tokio::test]
async fn sound_books_have_the_contracts_shape() {
    let (world, token) = opened().await;
    let status = world.get("/v1/reconciliation/status", &token).await;
    assert_eq!(status.status, 200, "{status:?}");
    let expected = json!({"as_of_date": "2026-05-02",
        "ledger_integrity": {"status": "ok", "mismatched_account_count": 0, "checked_at": "2026-05-02T12:00:00Z"},
        "bank_reconciliation": [],
        "portfolio_rollup": {"status": "ok", "gl_principal_minor": "921651", "sum_of_loan_balances_minor": "921651"}});
    assert_eq!(status.json(), expected);
    let april = world.get("/v1/reconciliation/status?as_of_date=2026-04-30&currency=USD", &token).await.json();
    assert_eq!(april["portfolio_rollup"]["sum_of_loan_balances_minor"], "1000000");
    let euros = world.get("/v1/reconciliation/status?currency=EUR", &token).await.json();
    assert_eq!(euros["portfolio_rollup"]["gl_principal_minor"], "0");
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    let theirs = world.get("/v1/reconciliation/status", &other).await.json();
    assert_eq!(theirs["portfolio_rollup"]["gl_principal_minor"], "0");
}

#[tokio::test]
async fn an_error_in_the_books_is_named() {
    let (world, token) = opened().await;
    let mut database = world.connection().await;
    database.execute("UPDATE account_totals SET debits = '999999' WHERE account = 1100").await.unwrap();
    let status = world.get("/v1/reconciliation/status", &token).await.json();
    let integrity = &status["ledger_integrity"];
    assert_eq!((&integrity["status"], &integrity["mismatched_account_count"]), (&json!("mismatch"), &json!(1)));
    assert_eq!(integrity["mismatched_accounts"][0]["account_code"], "1100");
    assert_eq!(status["portfolio_rollup"]["status"], "mismatch", "the ledger's principal is one of its totals");
    database
        .execute("UPDATE account_totals SET debits = '1000000' WHERE account = 1100 AND debits <> '0'")
        .await
        .unwrap();
    let kept = world.get("/v1/reconciliation/status", &token).await.json();
    assert_eq!(kept, status, "the latest run, until the next one is made");
}

#[tokio::test]
async fn conservation_counts_all_and_one_upload() {
    let (world, token) = opened().await;
    let row = |key: &str| {
        let mut row = payment();
        (row["idempotency_key"], row["amount_minor"]) = (json!(key), json!("5"));
        row
    };
    let mut stranger = row("row:000003");
    (stranger["loan_id"], stranger["borrower_id"]) = (json!("99999999-9999-4999-8999-999999999999"), json!(BORROWER));
    let lines = [row("row:000001"), row("row:000002"), stranger].map(|row| row.to_string()).join("\n");
    let request = Request::post("/v1/payments/batch")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/x-ndjson")
        .header("idempotency-key", "upload:conservation")
        .body(Body::from(lines));
    let batch = world.call(request.unwrap()).await.json()["batch_id"].as_str().unwrap().to_owned();
    let mut done = Value::Null;
    while done["state"] != "finished" {
        done = world.get(&format!("/v1/batches/{batch}?wait=20"), &token).await.json();
    }
    let of = world.get(&format!("/v1/reconciliation/conservation?batch_id={batch}"), &token).await.json();
    let expected = json!({"status": "ok", "accepted": 3, "posted": 2, "rejected": 1, "parked": 0, "held": 0,
        "in_flight": 0, "difference": 0, "lost_event_ids": []});
    assert_eq!(of, expected);
    let all = world.get("/v1/reconciliation/conservation", &token).await.json();
    assert_eq!((&all["accepted"], &all["posted"], &all["status"]), (&json!(5), &json!(4), &json!("ok")));
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    let theirs = world.get(&format!("/v1/reconciliation/conservation?batch_id={batch}"), &other).await;
    assert_eq!(theirs.problem(), (404, "not_found".to_owned()));
    assert_eq!(world.get("/v1/reconciliation/conservation", &other).await.json()["accepted"], 0);
    assert!(world.get(&format!("/v1/loans/{LOAN}"), &token).await.status == 200);
}
