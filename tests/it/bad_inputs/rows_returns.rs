//! Owns the rows and stories of returned payments.

use serde_json::{Value, json};

use super::row::{Row, replayed, same};
use super::rows_dates::TEXTS as DATES;
use super::stories::{Story, Told, hold};
use super::world::{Facts, World, payment};

/// The stories of both deployments; a fee is an event as well.
pub(super) const STORIES: &[Story] = &[
    Story { number: "return", name: "returned twice", stores: 7, run: |world| Box::pin(returned_twice(world)) },
    Story {
        number: "return",
        name: "charged back in parts, for the program's fee",
        stores: 6,
        run: |world| Box::pin(charged_back(world)),
    },
    Story {
        number: "return",
        name: "returned before it is posted",
        stores: 4,
        run: |world| Box::pin(returned_while_held(world)),
    },
    Story {
        number: "return",
        name: "a rejected payment returned",
        stores: 2,
        run: |world| Box::pin(rejected_returned(world)),
    },
];

/// Texts that are no return code.
const CODES: &[&str] = &["", "R", "R1", "R001", "r01", "01", "R0A", "R+1", " R01", "R01 ", "C01", "R\u{661}\u{662}"];

/// Texts that are no amount, with their numbers in the list; nothing is a fee, too.
const FEES: &[(&str, &str)] = &[
    ("46", "-500"),
    ("46", "-0"),
    ("47", "25.00"),
    ("48", "1,000"),
    ("49", ""),
    ("50", "1e3"),
    ("51", "9223372036854775808"),
];

fn path(payment: &str) -> String {
    format!("/v1/payments/{payment}/return")
}

/// A return with some members changed; null takes one out.
fn body(changes: &[(&str, Value)]) -> Value {
    let mut body = json!({"return_code": "R01", "effective_at": "2026-05-04", "fee_minor": "2500"});
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let of = |number, name: String, changes: &[(&str, Value)]| {
        Row::post(number, format!("returned: {name}"), &path(&facts.paid), &facts.demo, body(changes).to_string())
    };
    let mut rows = addresses(facts);
    rows.push(of("16", "an empty body".to_owned(), &[]).body("").refused(400, &["malformed_json"]));
    rows.push(of("17", "no key".to_owned(), &[]).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]));
    rows.push(of("39", "an empty object".to_owned(), &[]).body("{}").invalid(&["return_code", "effective_at"]));
    for (number, name, value) in [
        ("38", "borrower_id", json!("22222222-2222-2222-2222-222222222222")),
        ("43", "amount_minor", json!("0")),
        ("45", "amount_minor", json!(100)),
        ("46", "amount_minor", json!("-1")),
        ("return", "amount_minor", json!("1")),
        ("return", "amount_minor", json!("9223372036854775807")),
        ("38", "loan_id", json!("11111111-1111-1111-1111-111111111111")),
        ("39", "return_code", Value::Null),
        ("39", "effective_at", Value::Null),
        ("40", "return_code", json!(1)),
        ("40", "effective_at", json!(1_767_225_600)),
        ("40", "metadata", json!([])),
        ("45", "fee_minor", json!(2500)),
        ("61", "effective_at", json!("2026-04-30")),
        ("61", "effective_at", json!("9999-12-31")),
    ] {
        rows.push(of(number, format!("{name} {value}"), &[(name, value)]).invalid(&[name]));
    }
    for code in CODES {
        rows.push(of("return", format!("code {code:?}"), &[("return_code", json!(code))]).invalid(&["return_code"]));
    }
    for (number, fee) in FEES {
        rows.push(of(number, format!("fee {fee:?}"), &[("fee_minor", json!(fee))]).invalid(&["fee_minor"]));
    }
    for (number, texts) in DATES {
        for text in *texts {
            let row = of(number, format!("on {text:?}"), &[("effective_at", json!(text))]);
            rows.push(row.invalid(&["effective_at"]));
        }
    }
    rows
}

/// Who may return what.
fn addresses(facts: &Facts) -> Vec<Row> {
    let post = |number, name: &str, payment: &str, token: &str| {
        Row::post(number, format!("returned: {name}"), &path(payment), token, body(&[]).to_string())
    };
    let nobodys = "64000000-0000-4000-8000-000000000064";
    let mut rows = vec![
        post("64", "a payment of nobody", nobodys, &facts.demo).refused(404, &["not_found"]),
        post("64", "another tenant's payment", &facts.paid_by_other, &facts.demo).refused(404, &["not_found"]),
        post("64", "our payment, by another tenant", &facts.paid, &facts.other).refused(404, &["not_found"]),
        post("64", "a loan's opening", &facts.opened, &facts.demo).refused(404, &["not_found"]),
        post("return", "a token for reading", &facts.paid, &facts.narrow).refused(403, &["insufficient_scope"]),
        Row::get("1", "returned: GET", &path(&facts.paid), &facts.demo)
            .refused(405, &["method_not_allowed"])
            .has("allow", "POST"),
    ];
    for id in ["1%20OR%201=1", "%7B11111111-1111-1111-1111-111111111111%7D", "R01"] {
        rows.push(post("3", id, id, &facts.demo).refused(404, &["not_found"]));
    }
    rows
}

/// Pays a fresh loan; answers the payment's id and the loan's.
async fn paid(world: &World, key: &str) -> Result<(String, String), String> {
    let loan = world.fresh_loan().await;
    let answer = world.pay(key, "", &payment(&[("loan_id", json!(loan))])).await;
    hold(answer.status == 201, "expected 201", &answer)?;
    Ok((answer.json()["payment_event_id"].as_str().unwrap_or_default().to_owned(), loan))
}

/// A payment is returned once: the same request gets the same answer, another gets 409 and moves nothing.
async fn returned_twice(world: &World) -> Told {
    let (payment, loan) = paid(world, "story:returned:payment").await?;
    let give_back =
        async |key: &str, body: Value| world.post(&path(&payment), &world.facts.demo, key, "", &body.to_string()).await;
    let first = give_back("story:returned:1", body(&[])).await;
    let named = first.json();
    let ids = ["payment_returned_event_id", "journal_entry_id", "fee_event_id", "posted_at"];
    hold(first.status == 201 && ids.iter().all(|name| named[*name].is_string()), "expected 201 with ids", &first)?;
    replayed(&first, &give_back("story:returned:1", body(&[])).await)?;
    for (field, value) in
        [("return_code", json!("R02")), ("effective_at", json!("2026-05-05")), ("fee_minor", json!("1"))]
    {
        let other = give_back("story:returned:1", body(&[(field, value)])).await;
        let document = other.json();
        let is_named = document["code"] == "idempotency_mismatch" && document["errors"][0]["field"] == field;
        hold(is_named, &format!("expected a mismatch of {field}"), &other)?;
        let first_id = document["payment_returned_event_id"] == named["payment_returned_event_id"];
        hold(first_id, "expected the first return's id", &other)?;
    }
    let second = give_back("story:returned:2", body(&[])).await;
    hold(second.status == 409 && second.json()["code"] == "already_undone", "expected already_undone", &second)?;
    hold(second.json()["payment_returned_event_id"].is_string(), "expected the second return's id", &second)?;
    let again = give_back("story:returned:2", body(&[])).await;
    hold(again.header("idempotent-replayed") == Some("true"), "expected a replay", &again)?;
    same(&again, &give_back("story:returned:2", body(&[])).await)?;
    let (other_payment, _) = paid(world, "story:returned:other").await?;
    let moved =
        world.post(&path(&other_payment), &world.facts.demo, "story:returned:1", "", &body(&[]).to_string()).await;
    hold(moved.json()["errors"][0]["field"] == "payment_event_id", "expected a mismatch of the payment", &moved)?;
    let status = world.get(&format!("/v1/payments/{payment}"), &world.facts.demo).await;
    let document = status.json();
    let undone = document["status"] == "returned" && document["undone_by"] == named["payment_returned_event_id"];
    hold(undone, "expected the status returned", &status)?;
    let balance = world.get(&format!("/v1/loans/{loan}/balance?as_of_date=2026-05-03"), &world.facts.demo).await;
    hold(balance.json()["total_exposure_minor"] == "1000300", "expected what was owed before", &balance)?;
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), &world.facts.demo).await;
    hold(balance.json()["total_exposure_minor"] == "1002800", "expected one fee", &balance)
}

/// A return waits behind its payment, whatever the payment waits for.
async fn returned_while_held(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    world.hold_loan(&loan).await;
    let paid = payment(&[("loan_id", json!(loan))]);
    let first = world.pay("story:held-return:1", "Prefer: respond-async\r\n", &paid).await;
    hold(first.status == 202, "expected 202", &first)?;
    let location = first.header("location").unwrap_or_default().to_owned();
    let target = format!("{location}/return");
    let text = body(&[("fee_minor", Value::Null)]).to_string();
    let returned =
        world.post(&target, &world.facts.demo, "story:held-return:2", "Prefer: respond-async\r\n", &text).await;
    let event = returned.json()["payment_returned_event_id"].as_str().unwrap_or_default().to_owned();
    let expected = format!("/v1/events/{event}");
    hold(returned.status == 202 && returned.header("location") == Some(&expected), "expected 202", &returned)?;
    let waiting = world.get(&expected, &world.facts.demo).await;
    let document = waiting.json();
    hold(document["status"] == "held" && document["position"] == 1, "expected it behind its payment", &waiting)?;
    world.release_loan(&loan).await;
    // The next payment of the loan takes along what waited before it.
    let next = world.pay("story:held-return:3", "Prefer: wait=30\r\n", &paid).await;
    hold(next.status == 201, "expected 201 after the release", &next)?;
    let status = world.get(&location, &world.facts.demo).await;
    hold(status.json()["status"] == "returned", "expected the status returned", &status)?;
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), &world.facts.demo).await;
    hold(balance.json()["total_exposure_minor"] == "1000200", "expected one payment of 100", &balance)
}

/// What was never posted cannot be taken back; a repeat says the same.
async fn rejected_returned(world: &World) -> Told {
    let nobodys = payment(&[("loan_id", json!("64000000-0000-4000-8000-000000000065"))]);
    let refused = world.pay("story:rejected-return:1", "", &nobodys).await;
    hold(refused.json()["code"] == "loan_not_found", "expected loan_not_found", &refused)?;
    let target = path(refused.json()["payment_event_id"].as_str().unwrap_or_default());
    let give_back =
        async || world.post(&target, &world.facts.demo, "story:rejected-return:2", "", &body(&[]).to_string()).await;
    let returned = give_back().await;
    hold(returned.status == 422 && returned.json()["code"] == "loan_not_found", "expected a rejection", &returned)?;
    let again = give_back().await;
    let is_same = again.json()["payment_returned_event_id"] == returned.json()["payment_returned_event_id"];
    hold(again.status == 422 && is_same, "expected the same rejection", &again)
}

/// The program says that returns are charged back, and what R01 costs: parts of a payment go back on their own days, the first
/// with its fee, and never more than came in.
async fn charged_back(world: &World) -> Told {
    let (demo, program) = (&world.facts.demo, "99999999-9999-4999-8999-999999999999");
    let terms = json!({"program_id": program, "currency": "USD", "day_count_convention": "ACT_365",
        "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual",
        "returns": "chargeback", "credit_order": ["principal", "interest", "fees"],
        "return_fees": [{"return_codes": ["R01", "R09"], "fee_minor": "700"}]});
    let made = world.post("/v1/programs", demo, "story:charge-back:1", "", &terms.to_string()).await;
    hold(made.status == 201 && made.json() == terms, "expected the program as it was sent", &made)?;
    let loan = uuid::Uuid::new_v4().to_string();
    world.open(demo, &loan, &[("program_id", json!(program))]).await;
    let paid = world.pay("story:charge-back:2", "Prefer: wait=30\r\n", &payment(&[("loan_id", json!(loan))])).await;
    let payment_id = paid.json()["payment_event_id"].as_str().unwrap_or_default().to_owned();
    let back = async |key: &str, amount: &str| {
        let body = body(&[("fee_minor", Value::Null), ("amount_minor", json!(amount))]);
        world.post(&path(&payment_id), demo, key, "Prefer: wait=30\r\n", &body.to_string()).await
    };
    let first = back("story:charge-back:3", "40").await;
    hold(first.status == 201 && first.json()["fee_event_id"].is_string(), "expected 201 with a fee", &first)?;
    replayed(&first, &back("story:charge-back:3", "40").await)?;
    let other = back("story:charge-back:3", "41").await;
    hold(other.json()["errors"][0]["field"] == "amount_minor", "expected a mismatch of the amount", &other)?;
    let id = first.json()["payment_returned_event_id"].as_str().unwrap_or_default().to_owned();
    let event = world.get(&format!("/v1/events/{id}"), demo).await;
    let document = event.json();
    let is_told = document["charges_back"] == payment_id.as_str()
        && document.get("undoes").is_none()
        && document["effective_at"] == "2026-05-04"
        && document["fee_minor"] == "700";
    hold(is_told, "expected the payment that it charges back", &event)?;
    let status = async || world.get(&format!("/v1/payments/{payment_id}"), demo).await;
    let part = status().await;
    hold(part.json()["charged_back_minor"] == "40", "expected what went back", &part)?;
    let second = back("story:charge-back:4", "60").await;
    hold(
        second.status == 201 && second.json().get("fee_event_id").is_none(),
        "expected 201 and no second fee",
        &second,
    )?;
    let third = back("story:charge-back:5", "1").await;
    hold(third.status == 409 && third.json()["code"] == "already_undone", "expected already_undone", &third)?;
    let whole = status().await;
    hold(whole.json()["status"] == "posted", "expected the payment to stand on its own day", &whole)?;
    hold(whole.json()["charged_back_minor"] == "100", "expected that all of it went back", &whole)?;
    for (day, owed) in [("2026-05-03", "1000200"), ("2026-05-04", "1001000")] {
        let balance = world.get(&format!("/v1/loans/{loan}/balance?as_of_date={day}"), demo).await;
        hold(balance.json()["total_exposure_minor"] == owed, &format!("expected {owed} on {day}"), &balance)?;
    }
    Ok(())
}
