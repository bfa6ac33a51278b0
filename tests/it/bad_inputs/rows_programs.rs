//! Owns the rows and the story of programs.

use serde_json::{Value, json};

use super::row::{Row, replayed};
use super::stories::{Story, Told, hold};
use super::world::{Facts, World, opening, payment};

/// The story of both deployments: a loan, a payment, a fee and its release; a program is not in the books.
pub(super) const STORIES: &[Story] = &[Story {
    number: "program",
    name: "a loan takes its program's terms",
    stores: 4,
    run: |world| Box::pin(taken_by_a_loan(world)),
}];

fn body(changes: &[(&str, Value)]) -> Value {
    let mut body = json!({"program_id": "44444444-4444-4444-8444-444444444444", "currency": "USD",
        "annual_rate": "7.250", "day_count_convention": "ACT_365", "rounding": "half_up,daily",
        "waterfall": ["principal", "fees", "interest"], "suspense_release": "automatic"});
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let of = |number, name: &str, changes: &[(&str, Value)]| {
        Row::post(number, format!("program: {name}"), "/v1/programs", &facts.demo, body(changes).to_string())
    };
    let mut rows = vec![
        of("16", "an empty body", &[]).body("").refused(400, &["malformed_json"]),
        of("17", "no key", &[]).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
        Row::post("76", "program", "/v1/programs", &facts.narrow, body(&[]).to_string())
            .refused(403, &["insufficient_scope"]),
        Row::get("64", "nobody's program", "/v1/programs/64000000-0000-4000-8000-000000000064", &facts.demo)
            .refused(404, &["not_found"]),
        Row::get("3", "a program by a word", "/v1/programs/gold", &facts.demo).refused(404, &["not_found"]),
    ];
    for (name, value) in [
        ("program_id", json!("gold")),
        ("program_id", Value::Null),
        ("currency", json!("usd")),
        ("annual_rate", json!("7,25")),
        ("annual_rate", json!("-1")),
        ("annual_rate", json!(7.25)),
        ("day_count_convention", json!("ACT")),
        ("day_count_convention", Value::Null),
        ("rounding", json!("up")),
        ("waterfall", json!(["fees", "fees", "principal"])),
        ("waterfall", Value::Null),
        ("waterfall_rules", json!([])),
        ("waterfall_rules.0", json!(["card"])),
        ("waterfall_rules", json!([{"waterfall": ["fees", "interest", "principal"]}])),
        ("waterfall_rules", json!([{"payment_kinds": ["Card"], "waterfall": ["fees", "interest", "principal"]}])),
        ("waterfall_rules", json!([{"loan_statuses": ["closed"], "waterfall": ["fees", "interest", "principal"]}])),
        ("waterfall_rules", json!([{"payment_kinds": ["card"], "waterfall": ["fees"]}])),
        ("waterfall_rules.0.waterfall", json!([{"payment_kinds": ["card"]}])),
        (
            "waterfall_rules.0.payment_kinds",
            json!([{"payment_kinds": "card", "waterfall": ["fees", "interest", "principal"]}]),
        ),
        ("suspense_release", json!("sometimes")),
        ("returns", json!("reversal")),
        ("returns", json!(true)),
        ("credit_order", json!(["fees", "interest", "principal"])),
        ("credit_order", json!("fees")),
        ("return_fees", json!([])),
        ("return_fees", json!([{"return_codes": ["R1"], "fee_minor": "25"}])),
        ("return_fees", json!([{"return_codes": ["R01", "R01"], "fee_minor": "25"}])),
        ("return_fees", json!([{"return_codes": ["R01"], "fee_minor": "0"}])),
        ("return_fees.0.fee_minor", json!([{"return_codes": ["R01"]}])),
        ("return_fees.0.return_codes", json!([{"fee_minor": "25"}])),
        ("late_fees", json!(["late"])),
        ("late_fees", json!({"fee_codes": ["Late"]})),
        ("late_fees", json!({"fee_codes": []})),
        ("late_fees", json!({"fee_codes": ["late", "late"]})),
        ("late_fees.fee_codes", json!({"grace_days": 5})),
        ("late_fees.fee_codes", json!({"fee_codes": ["late", "returned_payment"]})),
        ("late_fees.grace_days", json!({"fee_codes": ["late"], "grace_days": 366})),
        ("late_fees.grace_days", json!({"fee_codes": ["late"], "grace_days": "5"})),
        ("name", json!("gold")),
    ] {
        let member = name.split('.').next().unwrap_or(name);
        rows.push(of("40", &format!("{name} {value}"), &[(member, value.clone())]).invalid(&[name]));
    }
    rows
}

async fn taken_by_a_loan(world: &World) -> Told {
    let demo = &world.facts.demo;
    let send_program = async |key: &str, changes: &[(&str, Value)]| {
        world.post("/v1/programs", demo, key, "", &body(changes).to_string()).await
    };
    let made = send_program("story:program:1", &[]).await;
    hold(made.status == 201 && made.json()["annual_rate"] == "7.25", "expected 201 with the rate", &made)?;
    replayed(&made, &send_program("story:program:1", &[]).await)?;
    let other = send_program("story:program:1", &[("rounding", json!("down,once"))]).await;
    hold(other.json()["code"] == "idempotency_mismatch", "expected a mismatch", &other)?;
    let taken = send_program("story:program:2", &[]).await;
    hold(taken.json()["errors"][0]["code"] == "taken", "expected the id to be taken", &taken)?;
    let id = made.json()["program_id"].as_str().unwrap_or_default().to_owned();
    let read = world.get(&format!("/v1/programs/{id}"), demo).await;
    hold(read.json() == made.json(), "expected the program again", &read)?;
    let listed = world.get("/v1/programs", demo).await;
    hold(listed.json()["items"][0] == made.json(), "expected it in the list", &listed)?;

    let loan = uuid::Uuid::new_v4().to_string();
    let euros = opening(&loan, &[("program_id", json!(id)), ("currency", json!("EUR"))]).to_string();
    let refused = world.post("/v1/loans", demo, "story:program:3", "", &euros).await;
    hold(refused.json()["errors"][0]["field"] == "program_id", "expected another currency to fail", &refused)?;
    world.open(demo, &loan, &[("program_id", json!(id)), ("opening_balances", Value::Null)]).await;
    let shown = world.get(&format!("/v1/loans/{loan}"), demo).await;
    let document = shown.json();
    let has_terms = document["waterfall"] == json!(["principal", "fees", "interest"])
        && document["suspense_release"] == "automatic";
    hold(has_terms, "expected the program's terms", &shown)?;
    let paid = world.pay("story:program:4", "Prefer: wait=30\r\n", &payment(&[("loan_id", json!(loan))])).await;
    hold(paid.json()["allocation"]["suspense_minor"] == "100", "expected all in suspense", &paid)?;
    let fee = json!({"loan_id": loan, "amount_minor": "30", "fee_code": "late", "effective_at": "2026-05-04"});
    let charged = world.post("/v1/fees", demo, "story:program:5", "Prefer: wait=30\r\n", &fee.to_string()).await;
    hold(charged.status == 201, "expected 201 of the fee", &charged)?;
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), demo).await;
    let is_paid = balance.json()["fees_receivable_minor"] == "0" && balance.json()["suspense_minor"] == "70";
    hold(is_paid, "expected suspense to pay the fee", &balance)?;
    let entries = world.get(&format!("/v1/loans/{loan}/journal-entries?event_type=payment_allocated"), demo).await;
    hold(entries.json()["items"][0]["effective_at"] == "2026-05-04", "expected a release of the fee's day", &entries)
}
