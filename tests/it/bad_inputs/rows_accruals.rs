//! Owns the rows and stories of accrual batches.

use serde_json::{Value, json};

use super::row::{Row, replayed};
use super::rows_dates::TEXTS as DATES;
use super::stories::{Story, Told, hold};
use super::world::{Facts, World};

/// The stories of both deployments; a batch of two loans is three events.
pub(super) const STORIES: &[Story] = &[
    Story { number: "accrual", name: "accrued and refused", stores: 8, run: |world| Box::pin(accrued(world)) },
    Story { number: "accrual", name: "of a loan on hold", stores: 5, run: |world| Box::pin(of_a_held_loan(world)) },
];

const PATH: &str = "/v1/accruals/batch";

/// Texts that are no amount, with their numbers in the list.
const AMOUNTS: &[(&str, &str)] = &[
    ("46", "-500"),
    ("46", "-0"),
    ("47", "25.00"),
    ("48", "1,000"),
    ("49", ""),
    ("50", "1e3"),
    ("51", "9223372036854775808"),
];

fn loan(id: &str, principal: &str, interest: &str) -> Value {
    json!({"loan_id": id, "outstanding_principal_minor": principal, "interest_minor": interest})
}

/// A batch of some loans with some members changed; null takes one out.
fn body(loans: &[Value], changes: &[(&str, Value)]) -> Value {
    let mut body = json!({"program_id": "44444444-4444-4444-8444-444444444444", "accrual_date": "2026-05-04",
        "day_count_convention": "ACT_365", "loans": loans});
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let one = || loan("11111111-1111-1111-1111-111111111111", "1000000", "252");
    let of = |number, name: String, body: &Value| {
        Row::post(number, format!("accrued: {name}"), PATH, &facts.demo, body.to_string())
    };
    let whole = body(&[one()], &[]);
    let mut rows = vec![
        of("16", "an empty body".to_owned(), &whole).body("").refused(400, &["malformed_json"]),
        of("17", "no key".to_owned(), &whole).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
        Row::post("accrual", "accrued: a token for reading", PATH, &facts.narrow, whole.to_string())
            .refused(403, &["insufficient_scope"]),
        Row::get("1", "accrued: GET", PATH, &facts.demo).refused(405, &["method_not_allowed"]).has("allow", "POST"),
        of("39", "an empty object".to_owned(), &json!({})).invalid(&[
            "program_id",
            "accrual_date",
            "day_count_convention",
            "loans",
        ]),
        of("accrual", "over 4 MiB".to_owned(), &whole)
            .body(vec![b' '; 4 * 1024 * 1024 + 1])
            .refused(413, &["payload_too_large"]),
        of("accrual", "a loan twice".to_owned(), &body(&[one(), one()], &[])).invalid(&["loans.1.loan_id"]),
    ];
    for (number, name, value) in [
        ("38", "currency", json!("USD")),
        ("39", "program_id", Value::Null),
        ("40", "program_id", json!(4)),
        ("40", "loans", json!({})),
        ("40", "loans", json!([])),
        ("40", "metadata", json!([])),
        ("accrual", "day_count_convention", json!("ACT/365")),
        ("accrual", "day_count_convention", json!("act_365")),
        ("61", "accrual_date", json!("9999-12-31")),
    ] {
        rows.push(of(number, format!("{name} {value}"), &body(&[one()], &[(name, value)])).invalid(&[name]));
    }
    for (number, text) in AMOUNTS {
        let principal = body(&[loan("11111111-1111-1111-1111-111111111111", text, "1")], &[]);
        rows.push(
            of(number, format!("principal {text:?}"), &principal).invalid(&["loans.0.outstanding_principal_minor"]),
        );
        let interest = body(&[loan("11111111-1111-1111-1111-111111111111", "1", text)], &[]);
        rows.push(of(number, format!("interest {text:?}"), &interest).invalid(&["loans.0.interest_minor"]));
    }
    let mut unknown = body(&[one()], &[("program_id", json!("55555555-4444-4444-8444-444444444444"))]);
    unknown["loans"][0].as_object_mut().expect("a loan").remove("interest_minor");
    rows.push(of("accrual", "no interest, no program".to_owned(), &unknown).invalid(&["loans.0.interest_minor"]));
    unknown["loans"][0]["interest_minor"] = Value::Null;
    rows.push(of("40", "interest null".to_owned(), &unknown).invalid(&["loans.0.interest_minor"]));
    unknown["loans"][0]["interest_minor"] = json!(252);
    rows.push(of("40", "interest a number".to_owned(), &unknown).invalid(&["loans.0.interest_minor"]));
    for (number, texts) in DATES {
        for text in *texts {
            let dated = body(&[one()], &[("accrual_date", json!(text))]);
            rows.push(of(number, format!("on {text:?}"), &dated).invalid(&["accrual_date"]));
        }
    }
    rows
}

async fn accrue(world: &World, key: &str, body: &Value) -> super::raw::Answer {
    world.post(PATH, &world.facts.demo, key, "Prefer: wait=30\r\n", &body.to_string()).await
}

/// A batch is posted once, over all its loans; one that names a wrong principal is refused as a whole.
async fn accrued(world: &World) -> Told {
    let (first, second) = (world.fresh_loan().await, world.fresh_loan().await);
    let batch = body(&[loan(&first, "1000000", "252"), loan(&second, "1000000", "126")], &[]);
    let posted = accrue(world, "story:accrued:1", &batch).await;
    let named = posted.json();
    let is_whole = posted.status == 201 && named["loan_count"] == 2 && named["total_accrued_minor"] == "378";
    hold(is_whole, "expected 201 with the sum", &posted)?;
    replayed(&posted, &accrue(world, "story:accrued:1", &batch).await)?;
    let path = format!("/v1/journal-entries/{}", named["journal_entry_id"].as_str().unwrap_or_default());
    let entry = world.get(&path, &world.facts.demo).await;
    hold(entry.json()["lines"].as_array().map(Vec::len) == Some(4), "expected one entry over both loans", &entry)?;
    let wrong = body(&[loan(&first, "1000000", "1"), loan(&second, "999999", "1")], &[]);
    let refused = accrue(world, "story:accrued:2", &wrong).await;
    let document = refused.json();
    let is_refused = refused.status == 422 && document["code"] == "principal_mismatch";
    hold(is_refused && document["loans"] == json!([second]), "expected the second loan named", &refused)?;
    for (loan, interest) in [(&first, "252"), (&second, "126")] {
        let balance = world.get(&format!("/v1/loans/{loan}/balance"), &world.facts.demo).await;
        let accrued = balance.json()["interest_receivable_minor"].as_str().and_then(|text| text.parse::<i64>().ok());
        let opened = world.get(&format!("/v1/loans/{loan}/balance?as_of_date=2026-05-03"), &world.facts.demo).await;
        let before = opened.json()["interest_receivable_minor"].as_str().and_then(|text| text.parse::<i64>().ok());
        let grown = accrued.zip(before).map(|(accrued, before)| (accrued - before).to_string());
        hold(grown.as_deref() == Some(interest), "expected the interest once", &balance)?;
    }
    Ok(())
}

/// A batch does not wait for the person that one of its loans waits for.
async fn of_a_held_loan(world: &World) -> Told {
    let (first, second) = (world.fresh_loan().await, world.fresh_loan().await);
    world.hold_loan(&first).await;
    let batch = body(&[loan(&first, "1000000", "1"), loan(&second, "1000000", "1")], &[]);
    let refused = accrue(world, "story:accrued:held", &batch).await;
    let document = refused.json();
    let is_refused = refused.status == 422 && document["code"] == "loan_on_hold";
    hold(is_refused && document["loans"] == json!([first]), "expected the held loan named", &refused)
}
