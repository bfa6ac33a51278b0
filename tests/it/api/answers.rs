//! What a caller who does everything right gets.

use axum::http::HeaderValue;
use serde_json::{Value, json};

use super::world::{LOAN, Workers, World, payment, post};

const ALL: &str = "hpts:payments:write hpts:disbursements:write hpts:loans:write hpts:balances:read hpts:ledger:read";
const KEY: &str = "payment:loan_42:proc_txn_abc123";

#[tokio::test]
async fn the_quickstart_holds() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let opened = world.open_loan(&token, "loan:11111111").await;
    assert_eq!(opened.status, 201, "{opened:?}");

    let first = world.post("/v1/payments", &token, KEY, &payment()).await;
    assert_eq!(first.status, 201, "{first:?}");
    let split = json!({"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349",
        "suspense_minor": "0"});
    assert_eq!(first.json()["allocation"], split);

    let again = world.post("/v1/payments", &token, KEY, &payment()).await;
    assert_eq!((again.status, &again.bytes), (200, &first.bytes), "a replay equals the first to the byte");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    let mut other = payment();
    other["amount_minor"] = json!("88850");
    let mismatch = world.post("/v1/payments", &token, KEY, &other).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()));
    assert_eq!(mismatch.json()["payment_event_id"], first.json()["payment_event_id"]);
    assert_eq!(mismatch.json()["errors"][0]["field"], "amount_minor");

    let balance = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!(balance["principal_outstanding_minor"], "921651");
    assert_eq!(balance["total_exposure_minor"], "921651");
    assert_eq!(balance["as_of_date"], "2026-05-02");

    let entry = first.json()["journal_entry_id"].as_str().unwrap().to_owned();
    let entry = world.get(&format!("/v1/journal-entries/{entry}"), &token).await.json();
    let sum = |side: &str| -> i64 {
        let lines = entry["lines"].as_array().unwrap().iter().filter(|line| line["direction"] == side);
        lines.map(|line| line["amount_minor"].as_str().unwrap().parse::<i64>().unwrap()).sum()
    };
    assert_eq!((sum("DR"), sum("CR")), (88849, 88849));
    assert_eq!(entry["correlation_id"], first.json()["payment_event_id"]);

    let account = world.get("/v1/accounts/1100/balance?currency=USD", &token).await.json();
    assert_eq!(account["normal_balance_minor"], "921651");
}

#[tokio::test]
async fn an_asynchronous_write_is_followed_to_its_end() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let mut request = post("/v1/payments", &token, "payment:async:1", &payment());
    request.headers_mut().insert("prefer", HeaderValue::from_static("respond-async"));
    let accepted = world.call(request).await;
    assert_eq!((accepted.status, &accepted.json()["status"]), (202, &json!("accepted")));
    assert_eq!(accepted.header("preference-applied"), Some("respond-async"));
    let location = accepted.header("location").unwrap();
    let status = world.get(&format!("{location}?wait=20"), &token).await.json();
    assert_eq!((&status["status"], &status["allocation"]["principal_minor"]), (&json!("posted"), &json!("78349")));
    assert!(!status.to_string().contains("null"));

    let list = world.get(&format!("/v1/payments?loan_id={LOAN}&status=posted"), &token).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let by_key = world.get("/v1/payments?idempotency_key=payment:async:1", &token).await.json();
    assert_eq!(by_key["items"][0]["payment_event_id"], accepted.json()["payment_event_id"]);
}

#[tokio::test]
async fn an_unfinished_first_answers_409_and_a_wait_that_ends_202() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    let mut request = post("/v1/payments", &token, KEY, &payment());
    request.headers_mut().insert("prefer", HeaderValue::from_static("wait=1"));
    let accepted = world.call(request).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let again = world.post("/v1/payments", &token, KEY, &payment()).await;
    assert_eq!(again.problem(), (409, "idempotency_in_progress".to_owned()));
    assert_eq!(again.header("location"), accepted.header("location"));
    assert_eq!(again.json()["payment_status"], "accepted");
    assert!(again.header("retry-after").is_some());
}

#[tokio::test]
async fn a_rejection_is_an_outcome_that_a_repeat_gets_again() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let first = world.post("/v1/payments", &token, KEY, &payment()).await;
    assert_eq!(first.problem(), (422, "loan_not_found".to_owned()));
    let again = world.post("/v1/payments", &token, KEY, &payment()).await;
    assert_eq!(again.problem(), (422, "loan_not_found".to_owned()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let id = first.json()["payment_event_id"].as_str().unwrap().to_owned();
    assert_eq!(again.json()["payment_event_id"], id.as_str());
    let status = world.get(&format!("/v1/payments/{id}"), &token).await.json();
    assert_eq!((&status["status"], &status["problem"]["code"]), (&json!("rejected"), &json!("loan_not_found")));
}

#[tokio::test]
async fn pages_of_entries_join_without_a_gap() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    for number in 0..4 {
        let answer = world.post("/v1/payments", &token, &format!("payment:page:{number}"), &payment()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let path = format!("/v1/loans/{LOAN}/journal-entries?page_size=2");
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["journal_entry_id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut next = Some(path.clone());
    while let Some(path_of_page) = next {
        let page = world.get(&path_of_page, &token).await.json();
        seen.extend(ids(&page));
        next = page["next_page_token"].as_str().map(|token| format!("{path}&page_token={token}"));
    }
    let whole = world.get(&format!("/v1/loans/{LOAN}/journal-entries"), &token).await.json();
    assert_eq!((seen.len(), &seen), (5, &ids(&whole)));
    let one = world.get(&path, &token).await.json();
    let foreign = one["next_page_token"].as_str().unwrap();
    let refused = world.get(&format!("/v1/payments?loan_id={LOAN}&page_token={foreign}"), &token).await;
    assert_eq!(refused.problem(), (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn another_tenant_sees_nothing_and_shares_no_keys() {
    let world = World::new(Workers::Running).await;
    world.tenant(2, "other").await;
    let (token, other) = (world.token("demo", ALL).await, world.token("other", ALL).await);
    world.open_loan(&token, "loan:11111111").await;
    let first = world.post("/v1/payments", &token, KEY, &payment()).await;
    let id = first.json()["payment_event_id"].as_str().unwrap().to_owned();
    let entry = first.json()["journal_entry_id"].as_str().unwrap().to_owned();
    for path in [
        format!("/v1/payments/{id}"),
        format!("/v1/events/{id}"),
        format!("/v1/journal-entries/{entry}"),
        format!("/v1/loans/{LOAN}"),
        format!("/v1/loans/{LOAN}/balance"),
        format!("/v1/loans/{LOAN}/journal-entries"),
    ] {
        assert_eq!(world.get(&path, &other).await.problem().0, 404, "{path}");
        assert_eq!(world.get(&path, &token).await.status, 200, "{path}");
    }
    let independent = world.post("/v1/payments", &other, KEY, &payment()).await;
    assert_eq!(independent.problem(), (422, "loan_not_found".to_owned()));
}
