//! Owns the rows of late fees: what they are for, the list of those to review, and waivers that name theirs.

use serde_json::{Value, json};

use super::row::Row;
use super::world::{Facts, QUIET_LOAN};

/// A late fee that is not charged, with some members of `late_for` changed; null takes one out.
fn body(changes: &[(&str, Value)]) -> String {
    let mut late_for = json!({"period_from": "2026-03-02", "due_at": "2026-04-01", "due_minor": "50000"});
    for (name, value) in changes {
        late_for[*name] = value.clone();
    }
    json!({"loan_id": QUIET_LOAN, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-05-04",
        "late_for": late_for})
    .to_string()
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let of = |number, name: String, text: String| {
        Row::post(number, format!("a late fee: {name}"), "/v1/fees", &facts.demo, text)
    };
    let mut rows = Vec::new();
    for (number, field, value) in [
        ("39", "late_for.period_from", Value::Null),
        ("39", "late_for.due_at", Value::Null),
        ("39", "late_for.due_minor", Value::Null),
        ("57", "late_for.period_from", json!("2026-02-30")),
        ("58", "late_for.due_at", json!("04/01/2026")),
        ("45", "late_for.due_minor", json!(50000)),
        ("46", "late_for.due_minor", json!("0")),
        ("51", "late_for.due_minor", json!("9223372036854775808")),
        ("40", "late_for.grace_days", json!("15")),
        ("44", "late_for.grace_days", json!(-1)),
        ("44", "late_for.grace_days", json!(1.5)),
        ("44", "late_for.grace_days", json!(366)),
        ("38", "late_for.amount_minor", json!("2500")),
    ] {
        let name = field.rsplit('.').next().unwrap_or(field);
        rows.push(of(number, format!("{field} {value}"), body(&[(name, value.clone())])).invalid(&[field]));
    }
    let wrong_order = body(&[("due_at", json!("2026-03-01"))]);
    rows.push(of("late fee", "due before its period".to_owned(), wrong_order).invalid(&["late_for.due_at"]));
    for grace in [json!(33), json!(365)] {
        let text = body(&[("grace_days", grace.clone())]);
        rows.push(of("late fee", format!("still in time by {grace} days"), text).invalid(&["effective_at"]));
    }
    for value in [json!([]), json!("late"), json!(true)] {
        let text = json!({"loan_id": QUIET_LOAN, "amount_minor": "2500", "fee_code": "late",
            "effective_at": "2026-05-04", "late_for": value});
        rows.push(of("40", format!("late_for {value}"), text.to_string()).invalid(&["late_for"]));
    }
    rows.extend(reviews(facts));
    rows.extend(waivers(facts));
    rows
}

/// Waivers that name a fee which is none.
fn waivers(facts: &Facts) -> Vec<Row> {
    let of = |number, name: &str, fee: Value| {
        let body = json!({"loan_id": QUIET_LOAN, "amount_minor": "100", "fee_code": "late", "fee_event_id": fee,
            "effective_at": "2026-05-04"});
        let preview = json!({"path": "/v1/fees/waivers", "body": body}).to_string();
        [
            Row::post(number, format!("a waiver of {name}"), "/v1/fees/waivers", &facts.demo, body.to_string()),
            Row::post(number, format!("a preview of it: {name}"), "/v1/events/preview", &facts.demo, preview)
                .without("Idempotency-Key"),
        ]
    };
    let mut rows = Vec::new();
    for value in [json!(5), json!("fee"), json!("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa"), json!([])] {
        let [waiver, preview] = of("40", &value.to_string(), value);
        rows.extend([waiver.invalid(&["fee_event_id"]), preview.invalid(&["body.fee_event_id"])]);
    }
    for (name, id) in [("nothing", "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"), ("another tenant's", &facts.paid_by_other)]
    {
        rows.extend(of("64", name, json!(id)).map(|row| row.refused(404, &["not_found"])));
    }
    let [waiver, preview] = of("40", "a payment", json!(facts.paid));
    rows.extend([waiver.invalid(&["fee_event_id"]), preview.invalid(&["body.fee_event_id"])]);
    rows
}

/// The list of fees to review.
fn reviews(facts: &Facts) -> Vec<Row> {
    let of = |number, query: &str| {
        let path = format!("/v1/fees/reviews{query}");
        Row::get(number, format!("fees to review: {query}"), &path, &facts.demo)
    };
    let bad = |number, query: &str| of(number, query).refused(400, &["invalid_parameter"]);
    vec![
        bad("57", "?from_date=2026-02-30"),
        bad("58", "?to_date=20260203"),
        bad("40", "?page_size=0"),
        bad("40", "?page_size=501"),
        bad("40", "?page_token=x"),
        bad("38", "?loan_id=1"),
        of("late fee", "").good(200),
        of("late fee", "?from_date=0001-01-01&to_date=9999-12-31").good(200).says("/items", Vec::<Value>::new()),
        Row::get("76", "fees to review without the scope", "/v1/fees/reviews", &facts.narrow)
            .refused(403, &["insufficient_scope"]),
    ]
}
