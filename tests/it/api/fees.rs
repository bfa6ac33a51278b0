//! What a caller gets of fees: by which program they are judged, and the first answer whatever the program says later.

use serde_json::{Value, json};

use super::world::{BORROWER, LOAN, Workers, World, post};

const ALL: &str = "hpts:adjustments:write hpts:loans:write hpts:ledger:read";
const PROGRAM: &str = "44444444-4444-4444-4444-444444444444";

/// A program by which fees of the code `late` say what they are for, and a loan of it, asked for and not waited for.
async fn opened(world: &World, token: &str) {
    let program = json!({"program_id": PROGRAM, "currency": "USD", "day_count_convention": "ACT_365",
        "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual",
        "late_fees": {"fee_codes": ["late"], "grace_days": 10}});
    let made = world.post("/v1/programs", token, "program:one", &program).await;
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "program_id": PROGRAM, "opening_balances": {"principal_minor": "1000000"}});
    unwaited(world, token, ("/v1/loans", "loan:of:program"), &body).await;
}

/// Sends a write and does not wait for its result.
async fn unwaited(world: &World, token: &str, (path, key): (&str, &str), body: &Value) -> Value {
    let mut request = post(path, token, key, body);
    request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    let answer = world.call(request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()
}

fn bare_fee() -> Value {
    json!({"loan_id": LOAN, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-05-01"})
}

#[tokio::test]
async fn a_fee_is_judged_by_the_program_of_an_opening_that_waits() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    opened(&world, &token).await;
    let refused = world.post("/v1/fees", &token, "fee:one:1", &bare_fee()).await;
    assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
    assert_eq!(refused.json()["errors"][0]["field"], "late_for", "{refused:?}");
}

#[tokio::test]
async fn a_repeated_fee_gets_its_first_answer_whatever_its_program_asks_by_now() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    // Nobody knows the loan yet, so nobody knows what its program asks for.
    let early = unwaited(&world, &token, ("/v1/fees", "fee:one:1"), &bare_fee()).await;
    opened(&world, &token).await;
    let waiting = world.post("/v1/fees", &token, "fee:one:1", &bare_fee()).await;
    assert_eq!(waiting.problem(), (409, "idempotency_in_progress".to_owned()));
    world.work();
    let id = early["fee_event_id"].as_str().unwrap();
    let ended = world.get(&format!("/v1/events/{id}?wait=10"), &token).await.json();
    assert_eq!((&ended["status"], &ended["problem"]["code"]), (&json!("rejected"), &json!("loan_not_found")));
    let again = world.post("/v1/fees", &token, "fee:one:1", &bare_fee()).await;
    assert_eq!(again.problem(), (422, "loan_not_found".to_owned()));
    assert_eq!((again.header("idempotent-replayed"), again.json()["fee_event_id"].as_str()), (Some("true"), Some(id)));
    // Another fee under the key is another request, and under another key the program's rule holds.
    let mut other = bare_fee();
    other["amount_minor"] = json!("2600");
    let other = world.post("/v1/fees", &token, "fee:one:1", &other).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()));
    let new = world.post("/v1/fees", &token, "fee:one:2", &bare_fee()).await;
    assert_eq!(new.problem(), (422, "validation_failed".to_owned()));
}
