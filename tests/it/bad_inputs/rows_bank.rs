//! Owns the rows of bank statements, and of what a person decides about their lines.

use serde_json::{Value, json};
use uuid::Uuid;

use super::raw::{Answer, PATIENCE, exchange};
use super::row::Row;
use super::stories::{Story, Told, eventually, hold};
use super::world::{Facts, World, payment};

/// The stories of both deployments: two payments, what settles one, and a line that a person posts.
pub(super) const STORIES: &[Story] =
    &[Story { number: "bank", name: "a statement reconciles", stores: 4, run: |world| Box::pin(reconciles(world)) }];

const HEADER: &str = "booking_date,amount_minor,reference,description\n";
/// A statement that is not there.
const NOWHERE: &str = "/v1/bank-statements/99999999-9999-4999-8999-999999999999";

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = files(facts);
    rows.extend(parameters(facts));
    rows.extend(requests(facts));
    rows.extend(resolutions(facts));
    rows.extend(reads(facts));
    rows
}

/// The query of an account of its own, with what `changes` puts in the place of it.
fn query(changes: &[(&str, &str)]) -> String {
    let account = format!("A{}", Uuid::new_v4().simple());
    let mut pairs = vec![
        ("bank_account_ref", account.as_str()),
        ("statement_date", "2026-05-01"),
        ("currency", "USD"),
        ("opening_balance_minor", "0"),
        ("closing_balance_minor", "0"),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn statement(facts: &Facts, name: &str, query: &str, csv: impl Into<Vec<u8>>) -> Row {
    let row = Row::post("bank", name, &format!("/v1/bank-statements?{query}"), &facts.demo, csv);
    row.instead("Content-Type", "text/csv")
}

fn files(facts: &Facts) -> Vec<Row> {
    let of = |name: &str, csv: &str| statement(facts, name, &query(&[]), csv);
    let mut rows = vec![
        of("an empty body", "").refused(422, &["invalid_file"]),
        of("a header alone", HEADER).good(202).says("/lines", 0).storing(0),
        of("columns in another order", "\u{feff}amount_minor,booking_date\r\n\r\n").good(202).storing(0),
        of("JSON", "{\"lines\":[]}").refused(422, &["invalid_file"]),
        of("a sum that is not the closing balance", &format!("{HEADER}2026-05-01,5,,\n"))
            .refused(422, &["invalid_file"])
            .fields(&["closing_balance_minor"])
            .says("/errors/0/code", "does_not_add_up"),
        of("10 001 lines", &format!("{HEADER}{}", "2026-05-01,1,,\n".repeat(10_001)))
            .refused(422, &["batch_too_large"]),
        of("8 MiB and a byte", &"x".repeat(8 * 1024 * 1024 + 1)).refused(413, &["payload_too_large"]),
    ];
    let long = format!("2026-05-01,5,{},", "x".repeat(256));
    for (name, line, field, column) in [
        ("decimals", "2026-05-01,1.50,,", "amount_minor", 2),
        ("nothing", "2026-05-01,0,,", "amount_minor", 2),
        ("a plus sign", "2026-05-01,+5,,", "amount_minor", 2),
        ("parentheses", "2026-05-01,(5),,", "amount_minor", 2),
        ("more than 64 bits", "2026-05-01,9223372036854775808,,", "amount_minor", 2),
        ("no amount", "2026-05-01,,,", "amount_minor", 2),
        ("a month 13", "2026-13-01,5,,", "booking_date", 1),
        ("a day in another form", "05/01/2026,5,,", "booking_date", 1),
        ("a day after the statement", "2026-05-02,5,,", "booking_date", 1),
        ("no day", ",5,,", "booking_date", 1),
        ("a reference of 256 characters", long.as_str(), "reference", 3),
        ("a control character", "2026-05-01,5,,a\u{7}b", "description", 4),
        ("a cell too few", "2026-05-01,5,", "line", 4),
        ("a cell too many", "2026-05-01,5,,,", "line", 5),
    ] {
        let field: &'static [&'static str] = match field {
            "amount_minor" => &["amount_minor"],
            "booking_date" => &["booking_date"],
            "reference" => &["reference"],
            "description" => &["description"],
            _ => &["line"],
        };
        let row = of(name, &format!("{HEADER}{line}\n")).refused(422, &["invalid_file"]).fields(field);
        rows.push(row.says("/errors/0/line", 2).says("/errors/0/column", column));
    }
    for (name, header) in [
        ("an unknown column", "booking_date,amount_minor,tenant_id\n"),
        ("a column twice", "booking_date,amount_minor,amount_minor\n"),
        ("no amount column", "booking_date,reference\n"),
    ] {
        rows.push(of(name, header).refused(422, &["invalid_file"]).says("/errors/0/line", 1));
    }
    let bytes = [HEADER.as_bytes(), b"2026-05-01,5,\xff,\n"].concat();
    rows.push(statement(facts, "not UTF-8", &query(&[]), bytes).refused(422, &["invalid_file"]).fields(&["reference"]));
    rows
}

fn parameters(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (field, value) in [
        ("bank_account_ref", ""),
        ("bank_account_ref", "a%20b"),
        ("bank_account_ref", "-a"),
        ("bank_account_ref", "a%2Fb"),
        ("statement_date", ""),
        ("statement_date", "2026-02-30"),
        ("statement_date", "2999-01-01"),
        ("currency", "usd"),
        ("currency", "XXX"),
        ("opening_balance_minor", "1.5"),
        ("opening_balance_minor", "-0"),
        ("closing_balance_minor", "9223372036854775808"),
        ("closing_balance_minor", "1e3"),
        ("tenant_id", "1"),
    ] {
        let name = format!("{field} {value:?}");
        let row = statement(facts, &name, &query(&[(field, value)]), HEADER);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&[field]));
    }
    let all = ["bank_account_ref", "statement_date", "currency", "opening_balance_minor", "closing_balance_minor"];
    rows.push(statement(facts, "no parameter", "", HEADER).refused(400, &["invalid_parameter"]).fields(&all));
    rows
}

fn requests(facts: &Facts) -> Vec<Row> {
    let of = |name: &str| statement(facts, name, &query(&[]), HEADER);
    let narrow = format!("Bearer {}", facts.narrow);
    vec![
        of("no key").without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
        of("a short key").instead("Idempotency-Key", "short").refused(400, &["idempotency_key_invalid"]),
        of("no token").without("Authorization").refused(401, &["unauthenticated"]),
        of("another's scope").instead("Authorization", narrow).refused(403, &["insufficient_scope"]),
        of("as JSON").instead("Content-Type", "application/json").refused(415, &["unsupported_media_type"]),
        of("without a type").without("Content-Type").refused(415, &["unsupported_media_type"]),
        of("in brotli").with("Content-Encoding", "br").refused(415, &["unsupported_media_type"]),
    ]
}

fn resolutions(facts: &Facts) -> Vec<Row> {
    let path = format!("{NOWHERE}/lines/1/resolution");
    let of = |name: &str, body: &Value| Row::post("bank", name, &path, &facts.demo, body.to_string());
    let good = json!({"account_code": "5200", "reason": "seen"});
    let narrow = format!("Bearer {}", facts.narrow);
    let mut rows = vec![
        of("resolve: no such statement", &good).refused(404, &["not_found"]),
        of("resolve: no key", &good).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
        of("resolve: no token", &good).without("Authorization").refused(401, &["unauthenticated"]),
        of("resolve: another's scope", &good).instead("Authorization", narrow).refused(403, &["insufficient_scope"]),
        of("resolve: an empty body", &good).body("").refused(400, &["malformed_json"]),
    ];
    for (field, value) in [
        ("reason", Value::Null),
        ("reason", json!("")),
        ("reason", json!("a\tb")),
        ("account_code", json!("1000")),
        ("account_code", json!("1030")),
        ("account_code", json!("1100")),
        ("account_code", json!("2100")),
        ("account_code", json!("2200")),
        ("account_code", json!("9100")),
        ("account_code", json!("0001")),
        ("account_code", json!(5200)),
        ("amount_minor", json!("1")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        rows.push(of(&format!("resolve: {field} {}", body[field]), &body).invalid(&[field]));
    }
    for body in [json!({"reason": "x"}), json!({"reason": "x", "account_code": "5200", "reference": "paid:0001"})] {
        rows.push(of(&format!("resolve: {body}"), &body).invalid(&["reference"]));
    }
    for line in ["0", "01", "-1", "1.0", "9223372036854775808", "x"] {
        let path = format!("{NOWHERE}/lines/{line}/resolution");
        let row = Row::post("bank", format!("resolve: line {line}"), &path, &facts.demo, good.to_string());
        rows.push(row.refused(404, &["not_found"]));
    }
    rows
}

fn reads(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (target, field) in [
        ("/v1/bank-statements?bank_account_ref=", "bank_account_ref"),
        ("/v1/bank-statements?from_date=2026-02-30", "from_date"),
        ("/v1/bank-statements?to_date=x", "to_date"),
        ("/v1/bank-statements?page_size=501", "page_size"),
        ("/v1/bank-statements?page_token=x", "page_token"),
        ("/v1/bank-statements?page_token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "page_token"),
        ("/v1/bank-statements?tenant_id=1", "tenant_id"),
        ("/v1/bank-statements/open-lines?page_token=x", "page_token"),
        ("/v1/bank-statements/open-lines?page_size=0", "page_size"),
    ] {
        let row = Row::get("bank", target, target, &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&[field]));
    }
    for target in [NOWHERE.to_owned(), format!("{NOWHERE}/lines"), "/v1/bank-statements/x".to_owned()] {
        rows.push(Row::get("bank", target.clone(), &target, &facts.demo).refused(404, &["not_found"]));
    }
    rows.push(
        Row::get("bank", "lists without a token", "/v1/bank-statements", "")
            .without("Authorization")
            .refused(401, &["unauthenticated"]),
    );
    rows
}

async fn send(world: &World, key: &str, query: &str, csv: &str) -> Answer {
    let request = format!(
        "POST /v1/bank-statements?{query} HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n{csv}",
        world.facts.demo,
        csv.len()
    );
    exchange(world.address, request.as_bytes(), PATIENCE).await
}

/// A payment is settled by a line that names its key; what the bank took is posted by hand; the same bytes are a replay, and
/// others of that day a conflict.
async fn reconciles(world: &World) -> Told {
    let paid = world.pay("story:bank:paid", "Prefer: wait=30\r\n", &payment(&[("amount_minor", json!("4712"))])).await;
    hold(paid.status == 201, "expected 201", &paid)?;
    let query = query(&[("bank_account_ref", "STORY-1"), ("closing_balance_minor", "4700")]);
    let csv = format!("{HEADER}2026-05-01,4712,story:bank:paid,\n2026-05-01,-12,,fee\n");
    let first = send(world, "story:bank:first", &query, &csv).await;
    let told = first.json();
    let counts = ["lines", "cleared", "matched", "open"].map(|name| told[name].as_i64());
    hold(first.status == 202 && counts == [2, 1, 0, 1].map(Some), "expected one cleared, one open", &first)?;
    for key in ["story:bank:first", "story:bank:second"] {
        let again = send(world, key, &query, &csv).await;
        hold(again.status == 200 && again.body == first.body, "expected a replay", &again)?;
    }
    let other = send(world, "story:bank:other", &query, &format!("{HEADER}2026-05-01,4700,,\n")).await;
    hold(other.status == 409 && other.json()["code"] == "duplicate_file", "expected duplicate_file", &other)?;
    let statement = told["statement_id"].as_str().unwrap_or_default();
    let path = format!("/v1/bank-statements/{statement}/lines/2/resolution");
    // A payment under a key that reads like the line's own does not stand in its way.
    let like = world.pay(&format!("bank:{statement}:2"), "Prefer: wait=30\r\n", &payment(&[])).await;
    hold(like.status == 201, "expected 201", &like)?;
    let body = json!({"account_code": "5200", "reason": "the bank's fee"}).to_string();
    let posted = world.post(&path, &world.facts.demo, "story:bank:fee", "", &body).await;
    hold(posted.status == 201 && posted.json()["status"] == "posted", "expected 201", &posted)?;
    let again = world.post(&path, &world.facts.demo, "story:bank:fee", "", &body).await;
    hold(again.status == 200 && again.body == posted.body, "expected a replay", &again)?;
    eventually("the account reconciles", || async move {
        let status = world.get("/v1/reconciliation/status?as_of_date=2026-05-01", &world.facts.demo).await.json();
        let banks = status["bank_reconciliation"].as_array().cloned().unwrap_or_default();
        banks.iter().any(|bank| bank["bank_account_ref"] == "STORY-1" && bank["status"] == "reconciled")
    })
    .await
}
