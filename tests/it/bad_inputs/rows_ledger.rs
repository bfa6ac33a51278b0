//! Owns the rows of the general ledger: accounting periods, accounts, journal.

use serde_json::{Value, json};

use super::row::Row;
use super::world::Facts;

const CLOSE: &str = "/v1/periods/2025-01/close";
const PERIODS: &str = "/v1/periods";

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
    vec![Row::get("good", "periods", PERIODS, &facts.other).good(200).says("/items", json!([]))]
}
