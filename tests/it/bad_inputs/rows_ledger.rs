//! Owns the rows of the general ledger: accounting periods, accounts, journal.

use serde_json::{Value, json};

use super::row::Row;
use super::stories::{Story, Told, hold};
use super::world::{Facts, QUIET_LOAN, World};

const CLOSE: &str = "/v1/periods/2025-01/close";
const PERIODS: &str = "/v1/periods";

/// The stories of both deployments.
pub(super) const STORIES: &[Story] = &[Story {
    number: "good",
    name: "the books add up while everything runs",
    stores: 0,
    run: |world| Box::pin(books_add_up(world)),
}];

async fn books_add_up(world: &World) -> Told {
    for _ in 0..5 {
        let counts = world.get("/v1/reconciliation/conservation", &world.facts.demo).await;
        hold(counts.json()["status"] == "ok", "every accepted event is somewhere", &counts)?;
        let balance = world.get("/v1/trial-balance", &world.facts.demo).await;
        hold(balance.json()["is_balanced"] == true, "debits equal credits", &balance)?;
    }
    Ok(())
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = periods(facts);
    rows.extend(reads(facts));
    rows
}

/// No payment of another row is dated in January 2025.
fn close(facts: &Facts, number: &'static str, name: impl Into<String>, body: &Value) -> Row {
    Row::post(number, name, CLOSE, &facts.demo, body.to_string())
}

fn periods(facts: &Facts) -> Vec<Row> {
    let reason = json!({"reason": "reconciled"});
    let mut rows = vec![
        close(facts, "62", "a month closed", &reason).good(201).storing(0).says("/status", "closed"),
        close(facts, "16", "an empty close", &reason).body("").refused(400, &["malformed_json"]),
        close(facts, "17", "a close without a key", &reason)
            .without("Idempotency-Key")
            .refused(400, &["idempotency_key_missing"]),
        close(facts, "39", "a close without a reason", &json!({})).invalid(&["reason"]),
        close(facts, "40", "a number for a reason", &json!({"reason": 5})).invalid(&["reason"]),
        close(facts, "41", "a reason of 256 characters", &json!({"reason": "x".repeat(256)})).invalid(&["reason"]),
        close(facts, "35", "a NUL in the reason", &json!({"reason": "a\u{0}"})).invalid(&["reason"]),
        close(facts, "38", "a close with a tenant", &json!({"reason": "x", "tenant_id": "y"})).invalid(&["tenant_id"]),
        close(facts, "68", "a close without a token", &reason)
            .without("Authorization")
            .refused(401, &["unauthenticated"]),
        close(facts, "76", "a close without the scope", &reason)
            .instead("Authorization", format!("Bearer {}", facts.narrow))
            .refused(403, &["insufficient_scope"]),
        Row::get("76", "periods without the scope", PERIODS, &facts.narrow).refused(403, &["insufficient_scope"]),
        Row::get("38", "periods with a parameter", "/v1/periods?x=1", &facts.demo)
            .refused(400, &["invalid_parameter"])
            .fields(&["x"]),
    ];
    for month in ["2025-13", "2025-1", "2025", "2025-01-01", "0000-01", "x", "2025-00", "..%2f2025-01"] {
        let target = format!("/v1/periods/{month}/close");
        let row = Row::post("61", format!("close of {month}"), &target, &facts.demo, reason.to_string());
        rows.push(row.refused(404, &["not_found"]));
    }
    let future =
        Row::post("61", "close of a month to come", "/v1/periods/9999-12/close", &facts.demo, reason.to_string());
    rows.push(future.invalid(&["period"]));
    rows
}

/// The reads that only look: none of them may fail for want of rows.
fn reads(facts: &Facts) -> Vec<Row> {
    const BALANCE: &str = "/v1/trial-balance";
    const JOURNAL: &str = "/v1/journal-entries";
    let year = format!("{JOURNAL}?from_date=1812-01-01&to_date=1812-12-31");
    let nobodys = format!("/v1/reconciliation/conservation?batch_id={QUIET_LOAN}");
    let mut rows = vec![
        Row::get("good", "periods", PERIODS, &facts.other).good(200).says("/items", json!([])),
        Row::get("good", "accounts", "/v1/accounts", &facts.other).good(200).says("/items/0/account_code", "1000"),
        Row::get("good", "a trial balance", "/v1/trial-balance?as_of_date=1812-12-31", &facts.demo)
            .good(200)
            .says("/is_balanced", true),
        Row::get("good", "an empty journal", &year, &facts.demo).good(200).has("content-type", "application/x-ndjson"),
        Row::get("good", "the same as CSV", &year, &facts.demo)
            .with("Accept", "text/csv")
            .good(200)
            .has("content-type", "text/csv"),
        Row::get("good", "reconciliation", "/v1/reconciliation/status?as_of_date=2024-12-31", &facts.other)
            .good(200)
            .says("/ledger_integrity/status", "ok")
            .says("/portfolio_rollup/status", "ok"),
        Row::get("64", "conservation of nobody's upload", &nobodys, &facts.demo).refused(404, &["not_found"]),
        Row::get("76", "reconciliation without the scope", "/v1/reconciliation/status", &facts.narrow)
            .refused(403, &["insufficient_scope"]),
        Row::get("76", "conservation without the scope", "/v1/reconciliation/conservation", &facts.narrow)
            .refused(403, &["insufficient_scope"]),
        Row::get("76", "the journal without the scope", &year, &facts.narrow).refused(403, &["insufficient_scope"]),
        Row::new("68", "accounts without a token", "GET", "/v1/accounts").refused(401, &["unauthenticated"]),
        Row::new("68", "the trial balance without a token", "GET", BALANCE).refused(401, &["unauthenticated"]),
        Row::new("68", "the journal without a token", "GET", &year).refused(401, &["unauthenticated"]),
    ];
    let wrong: [(&str, &[&'static str]); 16] = [
        ("/v1/reconciliation/status?as_of_date=yesterday", &["as_of_date"]),
        ("/v1/reconciliation/status?currency=US", &["currency"]),
        ("/v1/reconciliation/conservation?batch_id=1", &["batch_id"]),
        ("/v1/reconciliation/conservation?tenant_id=1", &["tenant_id"]),
        ("/v1/accounts?currency=USD", &["currency"]),
        ("/v1/trial-balance?currency=usd", &["currency"]),
        ("/v1/trial-balance?currency=XXQ&layer=settled", &["currency", "layer"]),
        ("/v1/trial-balance?as_of_date=2026-02-30", &["as_of_date"]),
        ("/v1/trial-balance?as_of_date=", &["as_of_date"]),
        ("/v1/trial-balance?tenant_id=1", &["tenant_id"]),
        ("/v1/journal-entries", &["from_date", "to_date"]),
        ("/v1/journal-entries?from_date=2026-05-01", &["to_date"]),
        ("/v1/journal-entries?from_date=2026-05-02&to_date=2026-05-01", &["to_date"]),
        ("/v1/journal-entries?from_date=x&to_date=2026-05-01T00:00:00Z", &["from_date", "to_date"]),
        ("/v1/journal-entries?from_date=2026-05-01&to_date=2026-05-01&to_date=2026-05-02", &["to_date"]),
        ("/v1/journal-entries?from_date=2026-05-01&to_date=2026-05-01&account=1", &["account"]),
    ];
    for (target, fields) in wrong {
        let row = Row::get("38", target, target, &facts.demo).refused(400, &["invalid_parameter"]);
        rows.push(row.fields(fields));
    }
    rows
}
