//! A loan's past in both deployments, over real connections: what is foreseen happens, and the statement adds up.

use serde_json::{Value, json};

use crate::processes::System;
use crate::processes::client::{BORROWER, Client, payment};

const BUCKETS: [(&str, &str); 4] = [
    ("fees_minor", "fees_receivable_minor"),
    ("interest_minor", "interest_receivable_minor"),
    ("principal_minor", "principal_outstanding_minor"),
    ("suspense_minor", "suspense_minor"),
];

fn number(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no amount: {value}")).parse().unwrap()
}

async fn read(client: &Client, path: &str) -> Value {
    let (status, answer) = client.get(path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Pays as foreseen: the preview's split, lines and balances are the posting's.
async fn pay(client: &Client, key: &str, body: &Value) -> Value {
    let (status, told) = client.post(0, "/v1/payments/preview", key, body, None).await.unwrap();
    assert_eq!((status, &told["outcome"]), (200, &json!("posted")), "{told}");
    let (status, paid) = client.post_until_final("/v1/payments", key, body).await;
    assert_eq!((status, &paid["allocation"]), (201, &told["allocation"]), "{paid}");
    let entry = read(client, &format!("/v1/journal-entries/{}", paid["journal_entry_id"].as_str().unwrap())).await;
    assert_eq!(entry["lines"], told["lines"]);
    assert!(entry["description"].is_string() && entry["correlation_id"] == paid["payment_event_id"], "{entry}");
    let loan = read(client, &format!("/v1/loans/{}", body["loan_id"].as_str().unwrap())).await;
    for (_, balance) in BUCKETS {
        assert_eq!(loan[balance], told["balances_after"][balance], "{balance}");
    }
    paid
}

async fn story(client: &Client) {
    let loan = client.open_loans(1).await[0];
    let first = pay(client, "payment:past:1", &payment(loan, 1_000)).await;
    let mut late = payment(loan, 70);
    late["effective_at"] = json!("2026-03-01");
    let second = pay(client, "payment:past:2", &late).await;
    let path = format!("/v1/payments/{}/return", first["payment_event_id"].as_str().unwrap());
    let body = json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": "25"});
    let (status, returned) = client.post_until_final(&path, "return:past:1", &body).await;
    assert_eq!(status, 201, "{returned}");
    let mut last = payment(loan, 10_000_000);
    last["effective_at"] = json!("2026-05-02");
    pay(client, "payment:past:3", &last).await;

    let mut rows: Vec<Value> = Vec::new();
    let base = format!("/v1/loans/{loan}/statement?page_size=2&to_date=2026-12-31");
    let mut page = read(client, &base).await;
    loop {
        rows.extend(page["rows"].as_array().unwrap().clone());
        let Some(next) = page["next_page_token"].as_str() else { break };
        page = read(client, &format!("{base}&page_token={next}")).await;
    }
    assert_eq!(rows.len(), 7, "one of them states the first payment anew");
    for (moved, balance) in BUCKETS {
        let mut sum = number(&page["opening"][balance]);
        for row in &rows {
            sum += number(&row["moved"][moved]);
            assert_eq!(number(&row["balances"][balance]), sum, "{balance} after {row}");
        }
        assert_eq!(sum, number(&page["closing"][balance]), "{balance}");
    }
    let now = read(client, &format!("/v1/loans/{loan}/balance")).await;
    assert_eq!(page["closing"]["suspense_minor"], now["suspense_minor"]);
    let totals = &page["year_to_date"]["payments"];
    assert_eq!((number(&totals["received_minor"]), number(&totals["returned_minor"])), (10_001_070, 1_000));

    let posted_at = first["posted_at"].as_str().unwrap();
    let then = read(client, &format!("/v1/loans/{loan}/balance?as_of_date=2026-12-31&known_at={posted_at}")).await;
    assert_eq!(then["total_exposure_minor"], "999300", "before the late payment and the return were known");
    let quote = read(client, &format!("/v1/loans/{loan}/payoff")).await;
    assert_eq!((&quote["payoff_minor"], &quote["surplus_minor"]), (&json!("0"), &now["suspense_minor"]));
    let allocation = format!("/v1/payments/{}/allocation", second["payment_event_id"].as_str().unwrap());
    let told = read(client, &allocation).await;
    assert_eq!((&told["is_backdated"], &told["is_reproduced"]), (&json!(true), &json!(true)), "{told}");
    assert_eq!(told["allocation"], second["allocation"]);
    let listed = read(client, &format!("/v1/loans?borrower_id={BORROWER}&page_size=500")).await;
    assert!(listed["items"].as_array().unwrap().iter().any(|item| item["loan_id"] == loan.to_string()));
}

#[tokio::test]
async fn a_loans_past_is_told_by_servers() {
    let system = System::distributed().await;
    let (api, worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    story(&Client::demo(&[api.port]).await).await;
    drop((api, worker));
    system.verified().await;
}

#[tokio::test]
async fn a_loans_past_is_told_by_one_process() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    story(&Client::demo(&[serve.port]).await).await;
    drop(serve);
    system.verified().await;
}
