//! What a caller gets of programs: the terms that loans take from them.

use serde_json::{Value, json};

use super::world::{BORROWER, LOAN, Workers, World};

const ALL: &str = "hpts:payments:write hpts:adjustments:write hpts:loans:write hpts:balances:read hpts:ledger:read";
const PROGRAM: &str = "44444444-4444-4444-4444-444444444444";

/// 7.3 percent of 10,000.00 are 2.00 a day.
fn program() -> Value {
    json!({"program_id": PROGRAM, "currency": "USD", "annual_rate": "7.3", "day_count_convention": "ACT_365",
        "rounding": "half_up,daily", "waterfall": ["interest", "fees", "principal"], "suspense_release": "automatic"})
}

async fn opened(world: &World, token: &str) {
    let body = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-04-22",
        "program_id": PROGRAM, "opening_balances": {"principal_minor": "1000000"}});
    let made = world.post("/v1/loans", token, "loan:of:program", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
}

#[tokio::test]
async fn a_program_is_made_once_and_read() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let made = world.post("/v1/programs", &token, "program:one", &program()).await;
    assert_eq!((made.status, made.json()), (201, program()), "{made:?}");
    let again = world.post("/v1/programs", &token, "program:one", &program()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.bytes, made.bytes);
    let other = world.post("/v1/programs", &token, "program:two", &program()).await;
    assert_eq!(other.problem(), (422, "validation_failed".to_owned()));
    assert_eq!(world.get("/v1/programs", &token).await.json()["items"], json!([program()]));
    assert_eq!(world.get(&format!("/v1/programs/{PROGRAM}"), &token).await.json(), program());
    assert_eq!(world.get(&format!("/v1/programs/{BORROWER}"), &token).await.status, 404);
}

#[tokio::test]
async fn a_loan_takes_its_programs_waterfall_and_a_payoff_its_rate() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.post("/v1/programs", &token, "program:one", &program()).await.status, 201);
    opened(&world, &token).await;
    let loan = world.get(&format!("/v1/loans/{LOAN}"), &token).await.json();
    assert_eq!(loan["waterfall"], json!(["interest", "fees", "principal"]));
    // Ten days from 22 April on, the day of the payoff not among them, of 2.00 each.
    let quote = world.get(&format!("/v1/loans/{LOAN}/payoff?date=2026-05-02"), &token).await.json();
    assert_eq!((&quote["interest_not_booked_minor"], &quote["per_diem_minor"]), (&json!("2000"), &json!("200")));
    assert_eq!(quote["payoff_minor"], "1002000", "{quote}");
}

#[tokio::test]
async fn suspense_pays_new_debt_where_the_program_says_so() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.post("/v1/programs", &token, "program:one", &program()).await.status, 201);
    opened(&world, &token).await;
    let paid = json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "1000500", "currency": "USD",
        "effective_at": "2026-05-01", "source_method": "ach"});
    assert_eq!(world.post("/v1/payments", &token, "pay:too:much", &paid).await.status, 201);
    let fee = json!({"loan_id": LOAN, "amount_minor": "300", "fee_code": "late", "effective_at": "2026-05-02"});
    let charged = world.post("/v1/fees", &token, "fee:one:1", &fee).await;
    assert_eq!(charged.status, 201, "{charged:?}");
    let balance = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!((&balance["fees_receivable_minor"], &balance["suspense_minor"]), (&json!("0"), &json!("200")));
    let entries = world.get(&format!("/v1/loans/{LOAN}/journal-entries"), &token).await.json();
    assert_eq!(entries["items"].as_array().unwrap().last().unwrap()["event_type"], "payment_allocated");
}

#[tokio::test]
async fn a_loan_that_a_refinance_opens_takes_its_programs_terms() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.post("/v1/programs", &token, "program:one", &program()).await.status, 201);
    let old = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-04-22",
        "opening_balances": {"principal_minor": "1000000"}});
    assert_eq!(world.post("/v1/loans", &token, "loan:without", &old).await.status, 201);
    let loan = "33333333-3333-3333-3333-333333333333";
    let body = json!({"loan_id": LOAN, "to_loan_id": loan, "effective_at": "2026-05-01",
        "moves": [{"from": "principal", "to": "principal", "amount_minor": "1000000"}],
        "new_loan": {"program_id": PROGRAM}});

    let moved = world.post("/v1/refinances", &token, "refinance:one", &body).await;

    assert_eq!(moved.status, 201, "{moved:?}");
    let again = world.post("/v1/refinances", &token, "refinance:one", &body).await;
    assert_eq!((again.status, again.bytes), (200, moved.bytes));
    let opened = world.get(&format!("/v1/loans/{loan}"), &token).await.json();
    assert_eq!(opened["waterfall"], json!(["interest", "fees", "principal"]));
    let paid = json!({"loan_id": loan, "borrower_id": BORROWER, "amount_minor": "1000500", "currency": "USD",
        "effective_at": "2026-05-01", "source_method": "ach"});
    assert_eq!(world.post("/v1/payments", &token, "pay:too:much", &paid).await.status, 201);
    let fee = json!({"loan_id": loan, "amount_minor": "300", "fee_code": "late", "effective_at": "2026-05-02"});
    assert_eq!(world.post("/v1/fees", &token, "fee:one:1", &fee).await.status, 201);
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), &token).await.json();
    assert_eq!((&balance["fees_receivable_minor"], &balance["suspense_minor"]), (&json!("0"), &json!("200")));
}
