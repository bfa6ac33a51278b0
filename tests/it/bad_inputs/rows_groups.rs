//! Owns the rows and stories of what goes from one loan to another: transfers of suspense, refinances, restructures, and
//! receipts that find their loan.

use serde_json::{Value, json};

use super::row::{Row, replayed};
use super::rows_dates::TEXTS as DATES;
use super::stories::{Story, Told, hold};
use super::world::{Facts, OTHER_LOAN, QUIET_LOAN, World, payment};

/// The stories of both deployments; each operation is an event and one more by loan.
pub(super) const STORIES: &[Story] = &[
    Story { number: "group", name: "suspense to another loan", stores: 9, run: |world| Box::pin(transfer(world)) },
    Story { number: "group", name: "a refinance, taken back", stores: 13, run: |world| Box::pin(refinance(world)) },
    Story { number: "group", name: "a loan set up anew", stores: 5, run: |world| Box::pin(restructure(world)) },
];

const TRANSFERS: &str = "/v1/suspense/transfers";
const REFINANCES: &str = "/v1/refinances";
const RESTRUCTURES: &str = "/v1/restructures";
/// A loan that nobody opened.
const NOBODYS: &str = "64000000-0000-4000-8000-000000000068";

fn moved(from: &str, to: &str, amount: &str) -> Value {
    json!({"from": from, "to": to, "amount_minor": amount})
}

/// A body with some members changed; null takes one out.
fn with(mut body: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// All that a fresh loan owes, as principal of another.
fn all_of(loan: &str, to: &str) -> Value {
    json!({"loan_id": loan, "to_loan_id": to, "effective_at": "2026-05-04", "moves": [
        moved("fees", "principal", "100"), moved("interest", "principal", "200"),
        moved("principal", "principal", "1000000")]})
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let transfer = json!({"loan_id": QUIET_LOAN, "to_loan_id": NOBODYS, "amount_minor": "100",
        "effective_at": "2026-05-04"});
    let mut rows = Vec::new();
    for (path, body) in [
        (TRANSFERS, transfer.clone()),
        (REFINANCES, all_of(QUIET_LOAN, NOBODYS)),
        (RESTRUCTURES, all_of(QUIET_LOAN, NOBODYS)),
    ] {
        let of = |number, name: String, changes: &[(&str, Value)]| {
            let text = with(body.clone(), changes).to_string();
            Row::post(number, format!("{path}: {name}"), path, &facts.demo, text)
        };
        rows.push(of("16", "an empty body".to_owned(), &[]).body("").refused(400, &["malformed_json"]));
        rows.push(
            of("17", "no key".to_owned(), &[]).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
        );
        rows.push(Row::post("76", path, path, &facts.narrow, body.to_string()).refused(403, &["insufficient_scope"]));
        rows.push(Row::get("1", path, path, &facts.demo).refused(405, &["method_not_allowed"]).has("allow", "POST"));
        for (name, value) in [
            ("loan_id", Value::Null),
            ("loan_id", json!("1 OR 1=1")),
            ("to_loan_id", json!(5)),
            ("to_loan_id", json!(QUIET_LOAN)),
            ("effective_at", Value::Null),
            ("effective_at", json!("9999-12-31")),
            ("metadata", json!([])),
            ("currency", json!("USD")),
        ] {
            rows.push(of("40", format!("{name} {value}"), &[(name, value.clone())]).invalid(&[name]));
        }
        for (number, texts) in DATES {
            let text = texts.first().copied().unwrap_or_default();
            let row = of(number, format!("on {text:?}"), &[("effective_at", json!(text))]);
            rows.push(row.invalid(&["effective_at"]));
        }
        // An event and two legs.
        let row = of("64", "a loan of another tenant".to_owned(), &[("loan_id", json!(OTHER_LOAN))]);
        rows.push(row.refused(422, &["loan_not_found"]).storing(3));
        rows.push(of("64", "to a loan of nobody".to_owned(), &[]).refused(422, &["loan_not_found"]).storing(3));
    }
    for amount in [json!(100), json!("0"), json!("-5"), json!("1.00"), json!("9223372036854775808")] {
        let text = with(transfer.clone(), &[("amount_minor", amount.clone())]).to_string();
        let row = Row::post("46", format!("transfer of {amount}"), TRANSFERS, &facts.demo, text);
        rows.push(row.invalid(&["amount_minor"]));
    }
    rows.extend(moves(facts));
    rows.extend(addresses(facts));
    rows
}

/// What is no move.
fn moves(facts: &Facts) -> Vec<Row> {
    let of = |name: &str, moves: Value, fields: &'static [&'static str]| {
        let body = with(all_of(QUIET_LOAN, NOBODYS), &[("moves", moves)]);
        Row::post("group", format!("moves: {name}"), REFINANCES, &facts.demo, body.to_string()).invalid(fields)
    };
    let within = json!({"loan_id": QUIET_LOAN, "effective_at": "2026-05-04", "new_loan": {},
        "moves": [moved("interest", "interest", "1")]});
    vec![
        of("none", json!([]), &["moves"]),
        of("a text", json!("all"), &["moves"]),
        of("a strange bucket", json!([moved("cash", "principal", "1")]), &["moves.0.from"]),
        of("principal as interest", json!([moved("principal", "interest", "1")]), &["moves.0.to"]),
        of("suspense as principal", json!([moved("suspense", "principal", "1")]), &["moves.0.to"]),
        of("the same twice", json!([moved("fees", "fees", "1"), moved("fees", "fees", "1")]), &["moves.1.to"]),
        of("nothing", json!([moved("fees", "fees", "0")]), &["moves.0.amount_minor"]),
        Row::post("group", "moves: nowhere", RESTRUCTURES, &facts.demo, within.to_string())
            .invalid(&["new_loan", "moves.0.to"]),
    ]
}

/// Assignments of what is no receipt of the caller's.
fn addresses(facts: &Facts) -> Vec<Row> {
    let body = json!({"loan_id": QUIET_LOAN}).to_string();
    let ids = ["1%20OR%201=1", NOBODYS, &facts.paid, &facts.paid_by_other];
    let row = |id: &str| {
        let path = format!("/v1/receipts/{id}/assignment");
        Row::post("64", format!("assigned: {id}"), &path, &facts.demo, body.clone()).refused(404, &["not_found"])
    };
    ids.into_iter().map(row).collect()
}

async fn send(world: &World, path: &str, key: &str, body: &Value) -> super::raw::Answer {
    world.post(path, &world.facts.demo, key, "Prefer: wait=30\r\n", &body.to_string()).await
}

/// An operation that is posted; a repeat gets the same answer.
async fn posts(world: &World, path: &str, key: &str, body: &Value) -> Result<Value, String> {
    let first = send(world, path, key, body).await;
    hold(first.status == 201, &format!("expected 201 of {path}"), &first)?;
    replayed(&first, &send(world, path, key, body).await)?;
    Ok(first.json())
}

async fn refuses(world: &World, path: &str, key: &str, body: &Value, (code, loan): (&str, &str)) -> Told {
    let seen = send(world, path, key, body).await;
    let is_refused = seen.status == 422 && seen.json()["code"] == code && seen.json()["loans"] == json!([loan]);
    hold(is_refused, &format!("expected {code} of {path}"), &seen)
}

/// Fees, interest, principal and suspense of a loan.
async fn owes(world: &World, loan: &str, expected: [&str; 4]) -> Told {
    let seen = world.get(&format!("/v1/loans/{loan}/balance"), &world.facts.demo).await;
    let names = ["fees_receivable_minor", "interest_receivable_minor", "principal_outstanding_minor", "suspense_minor"];
    let owed = names.map(|name| seen.json()[name].clone());
    hold(owed == expected.map(|amount| json!(amount)), &format!("expected {expected:?}"), &seen)
}

/// Loan, account, side and amount of an entry's lines.
async fn lines(world: &World, answer: &Value) -> Vec<String> {
    let path = format!("/v1/journal-entries/{}", answer["journal_entry_id"].as_str().unwrap_or_default());
    let entry = world.get(&path, &world.facts.demo).await.json();
    let line = |line: &Value| {
        ["loan_id", "account_code", "direction", "amount_minor"]
            .map(|name| line[name].as_str().unwrap_or_default().to_owned())
            .join(" ")
    };
    entry["lines"].as_array().map(|lines| lines.iter().map(line).collect()).unwrap_or_default()
}

fn equal<T: PartialEq + std::fmt::Debug>(seen: &T, expected: &T) -> Told {
    if seen == expected { Ok(()) } else { Err(format!("expected {expected:?}, seen {seen:?}")) }
}

async fn transfer(world: &World) -> Told {
    let (from, to) = (world.fresh_loan().await, world.fresh_loan().await);
    let body = payment(&[("loan_id", json!(from)), ("amount_minor", json!("1000800"))]);
    let paid = send(world, "/v1/payments", "story:transfer:pay", &body).await;
    hold(paid.status == 201, "expected 201 of the payment", &paid)?;
    let of =
        |amount: &str| json!({"loan_id": from, "to_loan_id": to, "amount_minor": amount, "effective_at": "2026-05-04"});
    refuses(world, TRANSFERS, "story:transfer:much", &of("501"), ("insufficient_balance", &from)).await?;
    let told = posts(world, TRANSFERS, "story:transfer:part", &of("300")).await?;
    let is_named = told["suspense_transferred_event_id"].is_string() && told["amount_minor"] == "300";
    equal(&is_named, &true)?;
    let expected = vec![format!("{from} 2100 DR 300"), format!("{to} 2100 CR 300")];
    equal(&lines(world, &told).await, &expected)?;
    owes(world, &from, ["0", "0", "0", "200"]).await?;
    owes(world, &to, ["100", "200", "1000000", "300"]).await
}

async fn refinance(world: &World) -> Told {
    let (old, new) = (world.fresh_loan().await, uuid::Uuid::new_v4().to_string());
    let terms = json!({"waterfall": ["interest", "fees", "principal"]});
    let whole = with(all_of(&old, &new), &[("new_loan", terms)]);
    let less = with(whole.clone(), &[("moves", json!([moved("principal", "principal", "1000000")]))]);
    refuses(world, REFINANCES, "story:refinance:less", &less, ("principal_mismatch", &old)).await?;
    let told = posts(world, REFINANCES, "story:refinance:whole", &whole).await?;
    equal(&told["refinance_event_id"].is_string(), &true)?;
    owes(world, &old, ["0", "0", "0", "0"]).await?;
    owes(world, &new, ["0", "0", "1000300", "0"]).await?;
    let opened = world.get(&format!("/v1/loans/{new}"), &world.facts.demo).await;
    let is_opened = opened.json()["opened_on"] == "2026-05-04";
    hold(is_opened, "expected the new loan's first day", &opened)?;
    let back = json!({"reverses_entry_id": told["journal_entry_id"], "reason_code": "error_correction",
        "effective_at": "2026-05-20"});
    let undone = posts(world, "/v1/reversals", "story:refinance:back", &back).await?;
    equal(&undone["reverses_entry_id"], &told["journal_entry_id"])?;
    equal(&undone["correlation_id"], &told["refinance_event_id"])?;
    owes(world, &old, ["100", "200", "1000000", "0"]).await?;
    owes(world, &new, ["0", "0", "0", "0"]).await?;
    let again = send(world, "/v1/reversals", "story:refinance:again", &back).await;
    hold(again.status == 409 && again.json()["code"] == "already_undone", "expected already_undone", &again)
}

async fn restructure(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    let within = |amount: &str| json!({"loan_id": loan, "effective_at": "2026-05-04", "moves": [moved("interest", "principal", amount)]});
    refuses(world, RESTRUCTURES, "story:restructure:much", &within("201"), ("insufficient_balance", &loan)).await?;
    let told = posts(world, RESTRUCTURES, "story:restructure:part", &within("150")).await?;
    equal(&told["restructure_event_id"].is_string(), &true)?;
    let expected = vec![format!("{loan} 1100 DR 150"), format!("{loan} 1200 CR 150")];
    let mut seen = lines(world, &told).await;
    seen.sort();
    equal(&seen, &expected)?;
    owes(world, &loan, ["100", "50", "1000150", "0"]).await
}
