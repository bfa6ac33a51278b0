//! Owns the rows of `POST /v1/events/preview`: what an operation would do, named by its path.

use serde_json::{Value, json};

use super::row::Row;
use super::world::{Facts, payment};
use crate::processes::client::LOAN;

const PREVIEW: &str = "/v1/events/preview";

fn of(facts: &Facts, number: &'static str, name: impl Into<String>, path: impl Into<Value>, body: &Value) -> Row {
    let whole = json!({"path": path.into(), "body": body}).to_string();
    Row::post(number, name, PREVIEW, &facts.demo, whole).without("Idempotency-Key")
}

fn returned() -> Value {
    json!({"return_code": "R01", "effective_at": "2026-05-04"})
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let raw = |number, name: &str, body: &str| {
        Row::post(number, format!("an event's preview: {name}"), PREVIEW, &facts.demo, body.to_owned())
            .without("Idempotency-Key")
    };
    let way = format!("/v1/payments/{}/return", facts.paid);
    let foreign = format!("/v1/payments/{}/return", facts.paid_by_other);
    let mut rows = vec![
        raw("16", "an empty body", "").refused(400, &["malformed_json"]),
        raw("39", "an empty object", "{}").invalid(&["path"]),
        raw("39", "no body", r#"{"path": "/v1/fees"}"#).invalid(&["body"]),
        raw("40", "a list as body", r#"{"path": "/v1/fees", "body": []}"#).invalid(&["body"]),
        raw("40", "a number as path", r#"{"path": 1, "body": {}}"#).invalid(&["path"]),
        raw("38", "a foreign member", r#"{"path": "/v1/fees", "body": {}, "tenant_id": "1"}"#).invalid(&[
            "body.loan_id",
            "body.amount_minor",
            "body.fee_code",
            "body.effective_at",
            "tenant_id",
        ]),
        of(facts, "17", "an event's preview needs no key", way.as_str(), &returned())
            .good(200)
            .says("/outcome", "posted"),
        of(facts, "64", "the return of another tenant's payment", foreign, &returned()).refused(404, &["not_found"]),
        of(facts, "45", "a preview's amount as a number", "/v1/payments", &payment(&[("amount_minor", json!(1050))]))
            .invalid(&["body.amount_minor"]),
        of(
            facts,
            "61",
            "a preview's return before its payment",
            way.as_str(),
            &json!({"return_code": "R01",
            "effective_at": "2026-04-30"}),
        )
        .invalid(&["body.effective_at"]),
        of(
            facts,
            "64",
            "the reversal of nobody's entry",
            "/v1/reversals",
            &json!({"reverses_entry_id":
            "64000000-0000-4000-8000-000000000065", "reason_code": "duplicate", "effective_at": "2026-05-04"}),
        )
        .refused(404, &["not_found"]),
        Row::post("76", "an event's preview without the scope", PREVIEW, &facts.narrow, "{}")
            .refused(403, &["insufficient_scope"]),
        Row::get("1", "an event's preview: GET", PREVIEW, &facts.demo)
            .refused(405, &["method_not_allowed"])
            .has("allow", "POST"),
    ];
    rows.extend(of_groups(facts));
    for path in
        ["", "/v1/loans", "v1/fees", "/v1/fees/", "/v1/payments/1/return", "/v1/chargeoffs", "https://x/v1/fees"]
    {
        rows.push(of(facts, "40", format!("a preview of {path:?}"), path, &json!({})).invalid(&["path"]));
    }
    rows
}

/// Those of operations over several loans.
fn of_groups(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (path, fields) in [
        ("/v1/suspense/transfers", vec!["body.loan_id", "body.to_loan_id", "body.effective_at"]),
        ("/v1/restructures", vec!["body.loan_id", "body.effective_at", "body.moves"]),
        ("/v1/refinances", vec!["body.loan_id", "body.to_loan_id", "body.effective_at", "body.moves"]),
        ("/v1/accruals/batch", vec!["body.program_id", "body.accrual_date", "body.day_count_convention", "body.loans"]),
    ] {
        rows.push(of(facts, "39", format!("a preview of nothing at {path}"), path, &json!({})).invalid(&fields));
    }
    let assignment = |id: &str| format!("/v1/receipts/{id}/assignment");
    let loan = json!({"loan_id": LOAN});
    rows.push(
        of(facts, "64", "a preview of a receipt that is a payment", assignment(&facts.paid), &loan)
            .refused(404, &["not_found"]),
    );
    rows.push(of(facts, "40", "a preview of no receipt", assignment("1"), &loan).invalid(&["path"]));
    let loans: Vec<Value> = (0..17)
        .map(|_| json!({"loan_id": uuid::Uuid::new_v4(), "outstanding_principal_minor": "1", "interest_minor": "1"}))
        .collect();
    let accrual = json!({"program_id": uuid::Uuid::new_v4(), "accrual_date": "2026-05-01",
        "day_count_convention": "ACT_365", "loans": loans});
    rows.push(
        of(facts, "40", "a preview over more than 16 loans", "/v1/accruals/batch", &accrual)
            .refused(422, &["no_preview"]),
    );
    rows
}
