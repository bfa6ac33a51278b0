//! Owns the rows of reads of a loan's past: instants, statements, payoff quotes, lists, previews.

use serde_json::json;

use super::row::Row;
use super::rows_dates::TEXTS;
use super::world::{Facts, OTHER_LOAN, QUIET_LOAN, ZONED_LOAN, payment, payment_with};
use crate::processes::client::LOAN;

const PREVIEW: &str = "/v1/payments/preview";
const LOANS: &str = "/v1/loans";

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = heads(facts);
    rows.extend(dates(facts));
    rows.extend(instants(facts));
    rows.extend(lists(facts));
    rows.extend(statements(facts));
    rows.extend(previews(facts));
    rows.extend(refused_previews(facts));
    rows
}

/// A preview as a careful client sends it: without a key.
fn preview(facts: &Facts, number: &'static str, name: impl Into<String>, body: impl Into<Vec<u8>>) -> Row {
    Row::post(number, name, PREVIEW, &facts.demo, body).without("Idempotency-Key")
}

fn quiet_payment() -> String {
    payment(&[("loan_id", json!(QUIET_LOAN))]).to_string()
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| format!("{escaped}%{byte:02x}"))
}

fn heads(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    let (statement, payoff) = (format!("/v1/loans/{QUIET_LOAN}/statement"), format!("/v1/loans/{QUIET_LOAN}/payoff"));
    let allocation = format!("/v1/payments/{}/allocation", facts.paid);
    for (method, target, allowed) in [
        ("GET", PREVIEW, "POST"),
        ("PUT", PREVIEW, "POST"),
        ("POST", statement.as_str(), "GET"),
        ("DELETE", payoff.as_str(), "GET"),
        ("POST", allocation.as_str(), "GET"),
    ] {
        let row = Row::new("1", format!("{method} {target}"), method, target).token(&facts.demo);
        rows.push(row.refused(405, &["method_not_allowed"]).has("allow", allowed));
    }
    for target in [&statement, &payoff, &allocation, LOANS] {
        let bare = Row::new("68", format!("{target} without a token"), "GET", target);
        rows.push(bare.refused(401, &["unauthenticated"]));
        let html = Row::get("15", format!("{target} as HTML"), target, &facts.demo).with("Accept", "text/html");
        rows.push(html.refused(406, &["not_acceptable"]));
        let foreign = format!("{target}?tenant_id=1");
        let row = Row::get("38", format!("{target} of a tenant"), &foreign, &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["tenant_id"]));
    }
    for target in [&statement, &allocation, LOANS] {
        let narrow = Row::get("76", format!("{target} without the scope"), target, &facts.narrow);
        rows.push(narrow.refused(403, &["insufficient_scope"]));
    }
    let narrow = Row::post("76", "a preview without the scope", PREVIEW, &facts.narrow, quiet_payment());
    rows.push(narrow.refused(403, &["insufficient_scope"]));
    for loan in ["1%20OR%201=1", "x", OTHER_LOAN, ZONED_LOAN, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"] {
        for what in ["statement", "payoff", "balance?known_at=2026-05-01T00:00:00Z"] {
            let row = Row::get("3", format!("{what} of {loan}"), &format!("/v1/loans/{loan}/{what}"), &facts.demo);
            rows.push(row.refused(404, &["not_found"]));
        }
    }
    for id in ["x", facts.paid_by_other.as_str(), facts.opened.as_str(), LOAN] {
        let target = format!("/v1/payments/{id}/allocation");
        let row = Row::get("3", format!("the allocation of {id}"), &target, &facts.demo);
        rows.push(row.refused(404, &["not_found"]));
    }
    rows
}

fn dates(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, texts) in TEXTS {
        for text in *texts {
            for (what, field) in [("payoff", "date"), ("statement", "from_date"), ("statement", "to_date")] {
                let target = format!("/v1/loans/{QUIET_LOAN}/{what}?{field}={}", escaped(text));
                let row = Row::get(number, format!("{what}, {field} {text:?}"), &target, &facts.demo);
                rows.push(row.refused(400, &["invalid_parameter"]).fields(&[field]));
            }
        }
    }
    let far = format!("/v1/loans/{QUIET_LOAN}/payoff?date=9999-12-31");
    let row = Row::get("60", "a payoff in the year 9999", &far, &facts.demo);
    rows.push(row.refused(400, &["invalid_parameter"]).fields(&["date"]));
    for days in ["0", "61", "-1", "1.5", "1e1", "", "+5", "99999999999999999999"] {
        let target = format!("/v1/loans/{QUIET_LOAN}/payoff?days={}", escaped(days));
        let row = Row::get("38", format!("a payoff of {days:?} days"), &target, &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["days"]));
    }
    for version in ["-1", "1.5", "x", "", "99999999999999999999"] {
        let target = format!("/v1/loans/{QUIET_LOAN}/payoff?quoted_version={}", escaped(version));
        let row = Row::get("38", format!("a payoff quoted at {version:?}"), &target, &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["quoted_version"]));
    }
    rows
}

fn instants(facts: &Facts) -> Vec<Row> {
    let bad = [
        ("59", "2026-05-01"),
        ("60", "2026-05-01T12:00:00"),
        ("60", "2026-05-01T12:00:00+25:00"),
        ("60", "2026-05-01T12:00:00+00:00"),
        ("60", "2026-05-01T12:00:60Z"),
        ("60", "0000-01-01T00:00:00Z"),
        ("60", "10000-01-01T00:00:00Z"),
        ("58", "2026-05-01T12:00:00.1234567Z"),
        ("58", "2026-05-01t12:00:00z"),
        ("58", "1777636800"),
        ("58", "now"),
        ("58", ""),
        ("35", "2026-05-01T12:00:00Z\u{0}"),
        ("43", "'; DROP TABLE postings;--"),
    ];
    let opened = &facts.opened;
    let reads = [
        format!("/v1/loans/{QUIET_LOAN}/balance"),
        format!("/v1/events/{opened}"),
        format!("/v1/payments/{opened}"),
        format!("/v1/payments/{opened}/allocation"),
    ];
    let mut rows = Vec::new();
    for read in &reads {
        rows.extend(bad.into_iter().map(|(number, text)| {
            let target = format!("{read}?known_at={}", escaped(text));
            let row = Row::get(number, format!("{read} known at {text:?}"), &target, &facts.demo);
            row.refused(400, &["invalid_parameter"]).fields(&["known_at"])
        }));
    }
    let event = &reads[1];
    let waits = format!("{event}?known_at=2026-05-01T00:00:00Z&wait=1");
    let row = Row::get("38", "an event known at an instant, waited for", &waits, &facts.demo);
    rows.push(row.refused(400, &["invalid_parameter"]).fields(&["known_at"]));
    let early =
        Row::get("60", "an event before it was", &format!("{event}?known_at=0001-01-01T00:00:00Z"), &facts.demo);
    rows.push(early.refused(404, &["not_found"]));
    let now = format!("{event}?known_at=9999-12-31T23:59:59.999999Z");
    rows.push(Row::get("60", "an event known at the end", &now, &facts.demo).good(200));
    for instant in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
        let target = format!("/v1/loans/{QUIET_LOAN}/balance?as_of_date=2026-05-01&known_at={instant}");
        rows.push(Row::get("60", format!("known at {instant}"), &target, &facts.demo).good(200));
    }
    rows
}

fn lists(facts: &Facts) -> Vec<Row> {
    let cases = [
        ("38", "page_size=0", vec!["page_size"]),
        ("38", "page_size=501", vec!["page_size"]),
        ("38", "page_token=AAAA", vec!["page_token"]),
        ("38", "page_token=", vec!["page_token"]),
        ("38", "loan_number=", vec!["loan_number"]),
        ("38", "loan_number=12345678901234567890123", vec!["loan_number"]),
        ("38", "loan_number=%201", vec!["loan_number"]),
        ("35", "loan_number=%00", vec!["loan_number"]),
        ("38", "borrower_id=x", vec!["borrower_id"]),
        ("3", "borrower_id=1%20OR%201=1", vec!["borrower_id"]),
        ("38", "loan_number=1&borrower_id=22222222-2222-2222-2222-222222222222", vec!["loan_number"]),
        ("38", "borrower=22222222-2222-2222-2222-222222222222", vec!["borrower"]),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|(number, query, fields)| {
            let row = Row::get(number, format!("loans, {query}"), &format!("{LOANS}?{query}"), &facts.demo);
            row.refused(400, &["invalid_parameter"]).fields(&fields)
        })
        .collect();
    let nobody = Row::get("43", "loans of a number like SQL", "/v1/loans?loan_number='%20OR%201=1--", &facts.demo);
    rows.push(nobody.good(200).says("/items", json!([])));
    rows
}

fn statements(facts: &Facts) -> Vec<Row> {
    let path = format!("/v1/loans/{QUIET_LOAN}/statement");
    let cases = [
        ("61", "from_date=2026-05-02&to_date=2026-05-01", "to_date"),
        ("38", "page_size=0", "page_size"),
        ("38", "page_size=1001", "page_size"),
        ("38", "page_token=x", "page_token"),
        ("38", "page_token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "page_token"),
        ("38", "format=csv", "format"),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|(number, query, field)| {
            let row = Row::get(number, format!("a statement, {query}"), &format!("{path}?{query}"), &facts.demo);
            row.refused(400, &["invalid_parameter"]).fields(&[field])
        })
        .collect();
    let whole = Row::get(
        "63",
        "a statement of all days",
        &format!("{path}?from_date=0001-01-01&to_date=9999-12-31"),
        &facts.demo,
    );
    rows.push(whole.good(200).says("/closing/total_exposure_minor", "1000300"));
    let csv = Row::get("15", "a statement as CSV", &path, &facts.demo).with("Accept", "text/csv");
    rows.push(csv.good(200).has("content-type", "text/csv"));
    rows
}

fn previews(facts: &Facts) -> Vec<Row> {
    vec![
        preview(facts, "17", "a preview is a read and needs no key", quiet_payment()).good(200),
        preview(facts, "19", "two keys on a preview", quiet_payment())
            .with("Idempotency-Key", "one")
            .with("Idempotency-Key", "two")
            .good(200)
            .because("none is read"),
        preview(
            facts,
            "64",
            "a preview for a loan of nobody",
            payment(&[("loan_id", json!("bbbbbbbb-aaaa-4aaa-8aaa-aaaaaaaaaaaa"))]).to_string(),
        )
        .good(200)
        .says("/rejection_code", "loan_not_found"),
        preview(
            facts,
            "64",
            "a preview for another tenant's loan",
            payment(&[("loan_id", json!(OTHER_LOAN))]).to_string(),
        )
        .good(200)
        .says("/rejection_code", "loan_not_found"),
        preview(
            facts,
            "54",
            "a preview in another currency",
            payment(&[("loan_id", json!(QUIET_LOAN)), ("currency", json!("EUR"))]).to_string(),
        )
        .good(200)
        .says("/rejection_code", "currency_mismatch"),
        preview(
            facts,
            "56",
            "a preview of more than is owed",
            payment(&[("loan_id", json!(QUIET_LOAN)), ("amount_minor", json!("1000301"))]).to_string(),
        )
        .good(200)
        .says("/allocation/suspense_minor", "1"),
        preview(
            facts,
            "51",
            "a preview of all there is",
            payment(&[("loan_id", json!(QUIET_LOAN)), ("amount_minor", json!("9223372036854775807"))]).to_string(),
        )
        .good(200),
    ]
}

/// Previews of what would not be accepted.
fn refused_previews(facts: &Facts) -> Vec<Row> {
    let mut rows = vec![
        preview(facts, "16", "an empty preview", "").refused(400, &["malformed_json"]),
        preview(facts, "32", "half a preview", "{\"loan_id\":").refused(400, &["malformed_json"]),
        preview(facts, "39", "a preview of nothing", "{}").invalid(&[
            "loan_id",
            "borrower_id",
            "amount_minor",
            "currency",
            "effective_at",
            "source_method",
        ]),
        preview(facts, "45", "a preview of a number", payment_with("amount_minor", "1050")).invalid(&["amount_minor"]),
        preview(facts, "38", "a preview with a misspelt field", payment(&[("amonut", json!("1"))]).to_string())
            .invalid(&["amonut"]),
        preview(facts, "13", "a preview as text", quiet_payment())
            .instead("Content-Type", "text/plain")
            .refused(415, &["unsupported_media_type"]),
        preview(facts, "11", "a preview of 64 KiB and a byte", " ".repeat(64 * 1024 + 1))
            .refused(413, &["payload_too_large"]),
        preview(
            facts,
            "61",
            "a preview of the day after tomorrow",
            payment(&[("effective_at", json!("9999-12-31"))]).to_string(),
        )
        .invalid(&["effective_at"]),
    ];
    let over = payment(&[("loan_id", json!(ZONED_LOAN)), ("amount_minor", json!("100001"))]).to_string();
    let row = Row::post("52", "a preview above the limit", PREVIEW, &facts.ahead, over).without("Idempotency-Key");
    rows.push(row.refused(422, &["limit_exceeded"]));
    rows
}
