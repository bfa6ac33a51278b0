//! What a caller sees of a payment that the bank took back.

use axum::http::HeaderValue;
use serde_json::{Value, json};

use super::world::{Answer, LOAN, Workers, World, payment, post};

const ALL: &str = "hpts:payments:write hpts:disbursements:write hpts:loans:write hpts:balances:read hpts:ledger:read";

fn given_back() -> Value {
    json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": "2500", "metadata": {"trace": "0910"}})
}

fn text(answer: &Answer, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned()
}

/// A loan with a payment and its return; answers the return and the payment.
async fn returned(world: &World, token: &str) -> (Answer, Answer) {
    world.open_loan(token, "loan:11111111").await;
    let paid = world.post("/v1/payments", token, "payment:returned:1", &payment()).await;
    let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
    let returned = world.post(&path, token, "return:1:000001", &given_back()).await;
    assert_eq!(returned.status, 201, "{returned:?}");
    (returned, paid)
}

#[tokio::test]
async fn a_return_answers_its_ids_and_the_payment_says_returned() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let (returned, paid) = returned(&world, &token).await;
    let (id, fee) = (text(&returned, "payment_returned_event_id"), text(&returned, "fee_event_id"));
    assert_eq!(returned.json().as_object().unwrap().len(), 4, "{returned:?}");
    assert_eq!(returned.header("location"), Some(format!("/v1/events/{id}").as_str()));

    let payment_path = format!("/v1/payments/{}", text(&paid, "payment_event_id"));
    let status = world.get(&payment_path, &token).await.json();
    assert_eq!((&status["status"], &status["undone_by"]), (&json!("returned"), &json!(id)));
    assert_eq!(status["allocation"], paid.json()["allocation"], "the split stays as it was told");
    let event = world.get(&format!("/v1/events/{id}"), &token).await.json();
    for (name, value) in [
        ("status", json!("posted")),
        ("event_type", json!("payment_returned")),
        ("payment_returned_event_id", json!(id)),
        ("undoes", paid.json()["payment_event_id"].clone()),
        ("return_code", json!("R01")),
        ("fee_minor", json!("2500")),
        ("fee_event_id", json!(fee)),
        ("amount_minor", json!("88849")),
        ("effective_at", json!("2026-05-02")),
        ("metadata", json!({"trace": "0910"})),
        ("idempotency_key", json!("return:1:000001")),
    ] {
        assert_eq!(event[name], value, "{name} of {event}");
    }
    assert!(event.get("payment_event_id").is_none() && !event.to_string().contains("null"), "{event}");
    let fee_event = world.get(&format!("/v1/events/{fee}"), &token).await.json();
    for (name, value) in [
        ("status", json!("posted")),
        ("event_type", json!("fee_assessed")),
        ("fee_event_id", json!(fee)),
        ("fee_code", json!("returned_payment")),
        ("amount_minor", json!("2500")),
        ("effective_at", json!("2026-05-02")),
    ] {
        assert_eq!(fee_event[name], value, "{name} of {fee_event}");
    }
    for id in [&id, &fee] {
        assert_eq!(world.get(&format!("/v1/payments/{id}"), &token).await.status, 404, "neither is a payment");
    }
    let list = |status: &str| format!("/v1/payments?loan_id={LOAN}&status={status}");
    let listed = world.get(&list("returned"), &token).await.json();
    assert_eq!(listed["items"][0], status, "{listed}");
    assert_eq!(world.get(&list("posted"), &token).await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_entries_of_a_return_are_a_chain_that_balances() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let (returned, paid) = returned(&world, &token).await;
    let entries = world.get(&format!("/v1/loans/{LOAN}/journal-entries"), &token).await.json();
    let [opened, payment, back, fee] = entries["items"].as_array().unwrap().as_slice() else { panic!("{entries}") };
    assert_eq!(back["journal_entry_id"], returned.json()["journal_entry_id"]);
    let types = [opened, payment, back, fee].map(|entry| entry["event_type"].as_str().unwrap());
    assert_eq!(types, ["manual_adjustment", "payment_received", "payment_returned", "fee_assessed"]);
    for entry in [payment, back, fee] {
        assert_eq!(entry["correlation_id"], paid.json()["payment_event_id"], "{entry}");
        let path = format!("/v1/journal-entries/{}", entry["journal_entry_id"].as_str().unwrap());
        assert_eq!(world.get(&path, &token).await.json(), *entry);
    }
    assert_eq!(back["reverses_entry_id"], paid.json()["journal_entry_id"]);
    assert!(payment.get("reverses_entry_id").is_none() && fee.get("reverses_entry_id").is_none());
    assert_eq!((&back["effective_at"], &fee["effective_at"]), (&json!("2026-05-01"), &json!("2026-05-02")));
    let lines = |entry: &Value| {
        let line = |line: &Value| {
            ["account_code", "direction", "amount_minor"].map(|name| line[name].as_str().unwrap().to_owned())
        };
        entry["lines"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let own = |lines: &[[&str; 3]]| lines.iter().map(|line| line.map(str::to_owned)).collect::<Vec<_>>();
    let mirror = [["1300", "DR", "500"], ["1200", "DR", "10000"], ["1100", "DR", "78349"], ["1010", "CR", "88849"]];
    assert_eq!(lines(back), own(&mirror));
    assert_eq!(lines(fee), own(&[["1300", "DR", "2500"], ["4200", "CR", "2500"]]));
    let balance = async |query: &str| {
        let balance = world.get(&format!("/v1/loans/{LOAN}/balance{query}"), &token).await.json();
        ["fees_receivable_minor", "total_exposure_minor"].map(|name| balance[name].as_str().unwrap().to_owned())
    };
    assert_eq!(balance("?as_of_date=2026-05-01").await, ["500", "1010500"]);
    assert_eq!(balance("").await, ["3000", "1013000"]);
    let cash = world.get("/v1/accounts/1010/balance?currency=USD", &token).await.json();
    assert_eq!((&cash["dr_balance_minor"], &cash["normal_balance_minor"]), (&json!("88849"), &json!("0")));
    let income = world.get("/v1/accounts/4200/balance?currency=USD", &token).await.json();
    assert_eq!(income["normal_balance_minor"], "2500");
}

#[tokio::test]
async fn a_second_return_conflicts_and_a_repeat_is_a_replay() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let (first, paid) = returned(&world, &token).await;
    let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
    let again = world.post(&path, &token, "return:1:000001", &given_back()).await;
    assert_eq!((again.status, &again.bytes), (200, &first.bytes), "a replay equals the first to the byte");
    let second = world.post(&path, &token, "return:1:000002", &given_back()).await;
    assert_eq!(second.problem(), (409, "already_undone".to_owned()));
    let id = text(&second, "payment_returned_event_id");
    let repeat = world.post(&path, &token, "return:1:000002", &given_back()).await;
    assert_eq!((repeat.problem(), text(&repeat, "payment_returned_event_id")), (second.problem(), id.clone()));
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    let status = world.get(&format!("/v1/events/{id}"), &token).await.json();
    assert_eq!((&status["status"], &status["problem"]["code"]), (&json!("rejected"), &json!("already_undone")));
    assert!(status.get("fee_event_id").is_none(), "{status}");
    let undone = world.get(&path.replace("/return", ""), &token).await.json();
    assert_eq!(undone["undone_by"], first.json()["payment_returned_event_id"]);
}

#[tokio::test]
async fn a_return_without_a_fee_has_none() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    for (number, fee) in [json!("0"), Value::Null].into_iter().enumerate() {
        let key = format!("payment:free:{number}");
        let paid = world.post("/v1/payments", &token, &key, &payment()).await;
        let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
        let mut body = given_back();
        body["fee_minor"] = fee;
        let returned = world.post(&path, &token, &format!("return:free:{number}"), &body).await;
        assert_eq!((returned.status, returned.json().get("fee_event_id")), (201, None), "{returned:?}");
    }
    let balance = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!(balance["total_exposure_minor"], "1010500");
}

#[tokio::test]
async fn a_return_may_come_while_its_payment_waits() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    let asynchronous = async |path: &str, key: &str, body: &Value| {
        let mut request = post(path, &token, key, body);
        request.headers_mut().insert("prefer", HeaderValue::from_static("respond-async"));
        world.call(request).await
    };
    let paid = asynchronous("/v1/payments", "payment:waiting:1", &payment()).await;
    let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
    let returned = asynchronous(&path, "return:waiting:1", &given_back()).await;
    assert_eq!((returned.status, &returned.json()["status"]), (202, &json!("accepted")));
    let id = text(&returned, "payment_returned_event_id");
    assert_eq!(returned.header("location"), Some(format!("/v1/events/{id}").as_str()));
    let waiting = world.get(&format!("/v1/events/{id}"), &token).await.json();
    assert_eq!((&waiting["status"], &waiting["position"]), (&json!("accepted"), &json!(1)));
    assert!(waiting.get("fee_event_id").is_none(), "there is no fee yet: {waiting}");
    let again = world.post(&path, &token, "return:waiting:1", &given_back()).await;
    assert_eq!(again.problem(), (409, "idempotency_in_progress".to_owned()));
}
