//! The general ledger through the API: chart of accounts, trial balance, journal export.

use axum::body::Body;
use axum::http::Request;
use hpts::core::ids::TenantId;
use hpts::core::ledger::{AccountSetting, Chart};
use hpts::store::GeneralLedger;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, BORROWER, LOAN, Workers, World, payment};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:balances:read hpts:ledger:read hpts:adjustments:write";

async fn opened() -> (World, String) {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.open_loan(&token, "loan:ledger").await.status, 201);
    (world, token)
}

async fn csv(world: &World, path: &str, token: &str) -> Answer {
    let request = Request::get(path).header("authorization", format!("Bearer {token}")).header("accept", "text/csv");
    world.call(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn debits_equal_credits_in_the_trial_balance() {
    let (world, token) = opened().await;
    assert_eq!(world.post("/v1/payments", &token, "paid:balance", &payment()).await.status, 201);
    let balance = world.get("/v1/trial-balance", &token).await.json();
    assert_eq!((&balance["currency"], &balance["layer"]), (&json!("USD"), &json!("SETTLED")));
    assert_eq!((&balance["as_of_date"], &balance["is_balanced"]), (&json!("2026-05-02"), &json!(true)));
    assert_eq!(balance["total_debits_minor"], "1099349");
    assert_eq!(balance["total_debits_minor"], balance["total_credits_minor"]);
    let principal = &balance["accounts"][1];
    let row = json!({"account_code": "1100", "account_name": "Principal Receivable", "normal_balance": "DR",
        "dr_balance_minor": "1000000", "cr_balance_minor": "78349", "normal_balance_minor": "921651"});
    assert_eq!(principal, &row);
    let before = world.get("/v1/trial-balance?as_of_date=2026-04-30&currency=USD", &token).await.json();
    assert_eq!(before["total_debits_minor"], "1010500");
    let euros = world.get("/v1/trial-balance?currency=EUR", &token).await.json();
    assert_eq!((&euros["accounts"], &euros["total_debits_minor"]), (&json!([]), &json!("0")));
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    assert_eq!(world.get("/v1/trial-balance", &other).await.json()["accounts"], json!([]));
}

async fn adjusts_by_its_own_codes(world: &World, token: &str) {
    let line = |code: &str, side: &str| json!({"account_code": code, "direction": side, "amount_minor": "3"});
    let adjustment = |debit: &str| {
        json!({"loan_id": LOAN, "effective_at": "2026-05-02", "reason_description": "rounded",
            "lines": [line(debit, "DR"), line("6100", "CR")]})
    };
    let unknown = world.post("/v1/adjustments", token, "adjust:unknown", &adjustment("1010")).await;
    assert_eq!(unknown.json()["errors"][0]["field"], "lines.0.account_code", "nobody's code any more");
    let adjusted = world.post("/v1/adjustments", token, "adjust:own", &adjustment("1205")).await;
    assert_eq!(adjusted.status, 201, "{adjusted:?}");
    let entry = format!("/v1/journal-entries/{}", adjusted.json()["journal_entry_id"].as_str().unwrap());
    let lines = world.get(&entry, token).await.json()["lines"].clone();
    assert_eq!((&lines[0]["account_code"], &lines[1]["account_code"]), (&json!("1205"), &json!("6100")));
    let balance = world.get("/v1/accounts/6100/balance?currency=USD", token).await.json();
    assert_eq!(balance["normal_balance_minor"], "3");
}

#[tokio::test]
async fn a_tenant_reads_accounts_by_its_own_codes() {
    let world = World::new(Workers::Running).await;
    let settings: Vec<AccountSetting> = serde_json::from_value(json!([
        {"account": "1100", "code": "1205", "name": "Loans"},
        {"account": "1010", "code": "1100", "name": "In transit"},
        {"code": "6100", "name": "Rounding", "normal_balance": "CR"},
    ]))
    .unwrap();
    let chart = Chart::default().revised(&settings).unwrap();
    world.store.set_chart(TenantId(Uuid::from_u128(1)), chart).await.unwrap();
    let token = world.token("demo", ALL).await;
    assert_eq!(world.open_loan(&token, "loan:chart").await.status, 201);
    let paid = world.post("/v1/payments", &token, "paid:chart", &payment()).await.json();

    let accounts = world.get("/v1/accounts", &token).await.json();
    let items = accounts["items"].as_array().unwrap();
    let of = |code: &str| items.iter().find(|item| item["account_code"] == code).unwrap().clone();
    let loans =
        json!({"account_code": "1205", "account_name": "Loans", "normal_balance": "DR", "standard_code": "1100"});
    assert_eq!(of("1205"), loans);
    assert_eq!(of("6100"), json!({"account_code": "6100", "account_name": "Rounding", "normal_balance": "CR"}));
    assert_eq!(items.len(), 22);

    let balance = world.get("/v1/accounts/1205/balance?currency=USD", &token).await.json();
    assert_eq!((&balance["account_name"], &balance["normal_balance_minor"]), (&json!("Loans"), &json!("921651")));
    let cash = world.get("/v1/accounts/1100/balance?currency=USD", &token).await.json();
    assert_eq!((&cash["account_name"], &cash["dr_balance_minor"]), (&json!("In transit"), &json!("88849")));
    assert_eq!(world.get("/v1/accounts/1010/balance?currency=USD", &token).await.status, 404, "nobody's code any more");
    let entry = format!("/v1/journal-entries/{}", paid["journal_entry_id"].as_str().unwrap());
    let entry = world.get(&entry, &token).await.json();
    let codes: Vec<&str> =
        entry["lines"].as_array().unwrap().iter().map(|line| line["account_code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["1100", "1300", "1200", "1205"]);
    let list = world.get(&format!("/v1/loans/{LOAN}/journal-entries"), &token).await.json();
    assert_eq!(list["items"][1], entry);
    adjusts_by_its_own_codes(&world, &token).await;
    let exported = csv(&world, "/v1/journal-entries?from_date=2026-05-01&to_date=2026-05-01", &token).await;
    let text = String::from_utf8(exported.bytes).unwrap();
    assert!(text.contains(",1205,Loans,CR,78349,USD,"), "{text}");
    assert!(text.lines().any(|line| line.ends_with(",Payment received by ach")), "what an entry was for: {text}");
}

#[tokio::test]
async fn the_journal_is_exported_by_booking_date() {
    let (world, token) = opened().await;
    let mut tricky = payment();
    tricky["external_ref"] = json!("=HYPERLINK(\"x\")");
    let paid = world.post("/v1/payments", &token, "paid:export", &tricky).await.json();
    let path = "/v1/journal-entries?from_date=2026-05-01&to_date=2026-05-31";
    let lines = world.get(path, &token).await;
    assert_eq!((lines.status, lines.header("content-type")), (200, Some("application/x-ndjson")));
    let text = String::from_utf8(lines.bytes).unwrap();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let id = paid["journal_entry_id"].as_str().unwrap();
    let entry = world.get(&format!("/v1/journal-entries/{id}"), &token).await.json();
    assert_eq!(entries, [entry], "the opening is of January");

    let table = csv(&world, path, &token).await;
    assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = String::from_utf8(table.bytes).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 5, "a header and four lines: {text}");
    assert!(
        rows[0].starts_with("booking_date,effective_at,posted_at,journal_entry_id,event_type,sequence,account_code")
    );
    let first = format!(
        "2026-05-01,2026-05-01,2026-05-02T12:00:00Z,{id},payment_received,1,1010,Payment Clearing,DR,88849,USD"
    );
    assert!(rows[1].starts_with(&first), "{}", rows[1]);
    assert!(rows[1].contains(&format!("{LOAN},{BORROWER}")) && rows[1].contains("'=HYPERLINK"), "{}", rows[1]);
    let whole = world.get("/v1/journal-entries?from_date=2026-01-01&to_date=2026-12-31", &token).await;
    assert_eq!(String::from_utf8(whole.bytes).unwrap().lines().count(), 2);
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    assert_eq!(world.get(path, &other).await.bytes, b"", "another tenant's journal is empty");
}
