//! Uploads: rows in, totals and results out.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request};
use hpts::store::Store;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, BORROWER, LOAN, Workers, World};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:balances:read hpts:ledger:read";

fn row(key: &str, loan: &str, amount: &str) -> Value {
    json!({"idempotency_key": key, "loan_id": loan, "borrower_id": BORROWER, "amount_minor": amount,
        "currency": "USD", "effective_at": "2026-05-01", "source_method": "ach"})
}

fn lines(rows: &[Value]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    lines.concat()
}

fn upload(token: &str, key: &str, media_type: &str, body: Body) -> Request<Body> {
    Request::post("/v1/payments/batch")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", media_type)
        .header("idempotency-key", key)
        .body(body)
        .unwrap()
}

async fn send(world: &World, token: &str, key: &str, rows: &[Value]) -> Answer {
    world.call(upload(token, key, "application/x-ndjson", lines(rows).into())).await
}

async fn finished(world: &World, token: &str, answer: &Answer) -> Value {
    let location = answer.header("location").unwrap();
    let batch = world.get(&format!("{location}?wait=20"), token).await.json();
    assert_eq!(batch["state"], "finished", "{batch}");
    batch
}

async fn results(world: &World, token: &str, answer: &Answer) -> Vec<Value> {
    let location = answer.header("location").unwrap();
    let results = world.get(&format!("{location}/results"), token).await;
    assert_eq!(results.header("content-type"), Some("application/x-ndjson"));
    let text = String::from_utf8(results.bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn opened() -> (World, String) {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.open_loan(&token, "loan:11111111").await.status, 201);
    (world, token)
}

#[tokio::test]
async fn a_bad_row_never_stops_a_good_one() {
    let (world, token) = opened().await;
    let nobody = "99999999-9999-4999-8999-999999999999";
    let first = row("payment:1", LOAN, "100");
    let mut bad = row("payment:2", LOAN, "0");
    bad["amonut"] = json!("1");
    let rows = [first.clone(), bad, row("payment:3", nobody, "7"), first, row("payment:1", LOAN, "101")];
    let answer = send(&world, &token, "upload:mixed", &rows).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = answer.json();
    let counts = ["received", "accepted", "duplicates", "mismatched", "invalid"].map(|name| told[name].as_i64());
    assert_eq!(counts, [5, 2, 1, 1, 1].map(Some), "{told}");

    let batch = finished(&world, &token, &answer).await;
    assert_eq!(batch["counts"]["posted"], 1);
    let usd = &batch["totals"][0];
    assert_eq!((&usd["currency"], &usd["accepted"]["amount_minor"]), (&json!("USD"), &json!("107")));
    assert_eq!(usd["rejected"], json!({"count": 1, "amount_minor": "7"}));

    let rows = results(&world, &token, &answer).await;
    let seen: Vec<(i64, &str)> =
        rows.iter().map(|row| (row["row"].as_i64().unwrap(), row["status"].as_str().unwrap())).collect();
    let expected = [(1, "posted"), (2, "invalid"), (3, "rejected"), (4, "duplicate"), (5, "mismatched")];
    assert_eq!(seen, expected);
    let fields: Vec<&str> =
        rows[1]["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["amount_minor", "amonut"]);
    assert_eq!((&rows[3]["first_row"], &rows[4]["first_row"]), (&json!(1), &json!(1)));
    assert_eq!(rows[3]["payment_event_id"], rows[0]["payment_event_id"]);
    assert_eq!(rows[2]["problem"]["code"], "loan_not_found");
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// A line of 64 KiB that holds nothing but unknown fields, and a row of a JSON batch that is longer than a line may be.
#[tokio::test]
async fn what_is_told_of_a_bad_row_is_little() {
    let (world, token) = opened().await;
    let unknown: Vec<String> = (0..990).map(|number| format!("\"unknown_{number:050}\":0")).collect();
    let mut long = row("payment:2", LOAN, "7");
    long["amount_minor"] = json!("7".repeat(64 * 1024));
    let good = row("payment:1", LOAN, "100");
    let body = format!("{{\"payments\":[{{{}}},{long},{good}]}}", unknown.join(","));
    let answer = world.call(upload(&token, "upload:json", "application/json", body.into())).await;
    assert_eq!((&answer.json()["accepted"], &answer.json()["invalid"]), (&json!(1), &json!(2)), "{answer:?}");
    let rows = results(&world, &token, &answer).await;
    let errors = rows[0]["errors"].as_array().unwrap();
    assert_eq!((&rows[0]["code"], errors.len()), (&json!("validation_failed"), 21));
    assert_eq!(errors[20]["code"], "more");
    assert_eq!((&rows[1]["code"], &rows[1]["row"]), (&json!("line_too_long"), &json!(2)));
}

#[tokio::test]
async fn json_and_gzip_say_the_same_as_lines() {
    use std::io::Write as _;

    let (world, token) = opened().await;
    let rows = [row("payment:1", LOAN, "100"), row("payment:2", LOAN, "50")];
    let body = json!({"payments": rows}).to_string();
    let answer = world.call(upload(&token, "upload:json", "application/json", body.into())).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)), "{answer:?}");

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines(&rows).as_bytes()).unwrap();
    let zipped = encoder.finish().unwrap();
    let mut request = upload(&token, "upload:gzip", "application/x-ndjson", zipped.into());
    request.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    let answer = world.call(request).await;
    assert_eq!((answer.status, &answer.json()["duplicates"]), (202, &json!(2)), "{answer:?}");
    finished(&world, &token, &answer).await;
}

#[tokio::test]
async fn the_same_upload_again_gets_its_first_answer() {
    let (world, token) = opened().await;
    let rows = [row("payment:1", LOAN, "100"), json!({"broken": true})];
    let first = send(&world, &token, "upload:again", &rows).await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = send(&world, &token, "upload:again", &rows).await;
    assert_eq!((again.status, &again.bytes), (200, &first.bytes));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = send(&world, &token, "upload:again", &rows[..1]).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()));
    let payment = world.post("/v1/payments", &token, "upload:again", &super::world::payment()).await;
    assert_eq!(payment.problem(), (422, "idempotency_mismatch".to_owned()));
    assert_eq!(payment.json()["errors"][0]["field"], "operation");
}

#[tokio::test]
async fn an_upload_is_found_by_its_key() {
    let (world, token) = opened().await;
    let answer = send(&world, &token, "upload:found", &[row("payment:1", LOAN, "100")]).await;
    let batch = finished(&world, &token, &answer).await;
    let found = |key: &'static str, token: String| {
        let world = &world;
        async move { world.get(&format!("/v1/batches?idempotency_key={key}"), &token).await }
    };
    assert_eq!(found("upload:found", token.clone()).await.json()["items"][0]["counts"], batch["counts"]);
    for other in ["payment:1", "loan:11111111", "upload:unknown"] {
        assert_eq!(found(other, token.clone()).await.json(), json!({"items": []}), "{other}");
    }
    world.tenant(2, "other").await;
    let others = world.token("other", ALL).await;
    assert_eq!(found("upload:found", others).await.json(), json!({"items": []}));
    assert_eq!(found("short", token.clone()).await.problem(), (400, "invalid_parameter".to_owned()));
    assert_eq!(world.get("/v1/batches", &token).await.problem(), (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn all_or_nothing_names_every_fault_and_takes_nothing() {
    let (world, token) = opened().await;
    assert_eq!(send(&world, &token, "upload:first", &[row("payment:0", LOAN, "1")]).await.status, 202);
    let whole = |key: &str, rows: &[Value]| {
        let mut request = upload(&token, key, "application/x-ndjson", lines(rows).into());
        *request.uri_mut() = "/v1/payments/batch?mode=all_or_nothing".parse().unwrap();
        request
    };
    let named = |answer: &Answer| -> Vec<String> {
        assert_eq!(answer.problem(), (422, "invalid_file".to_owned()));
        let json = answer.json();
        let errors = json["errors"].as_array().unwrap().iter();
        errors
            .map(|error| format!("{} {}", error["field"].as_str().unwrap(), error["code"].as_str().unwrap()))
            .collect()
    };
    let bad = [row("payment:1", LOAN, "1"), row("payment:2", LOAN, "x"), json!([])];
    let refused = world.call(whole("upload:whole", &bad)).await;
    let expected = ["rows.2.amount_minor invalid", "rows.3 wrong_type"];
    assert_eq!(named(&refused)[..2], expected, "{refused:?}");
    let twice = [row("payment:1", LOAN, "1"), row("payment:1", LOAN, "2")];
    let refused = world.call(whole("upload:whole", &twice)).await;
    assert_eq!(named(&refused), ["rows.2.idempotency_key mismatched"]);
    let known = [row("payment:1", LOAN, "1"), row("payment:0", LOAN, "1")];
    let refused = world.call(whole("upload:whole", &known)).await;
    assert_eq!(named(&refused), ["rows.2.idempotency_key duplicate"]);
    assert_eq!(
        world.store.event_of_key(hpts::core::ids::TenantId(Uuid::from_u128(1)), "payment:1").await.unwrap(),
        None
    );

    let own = [row("payment:1", LOAN, "1"), row("upload:whole", LOAN, "1")];
    let refused = world.call(whole("upload:whole", &own)).await;
    assert_eq!(named(&refused), ["rows.2.idempotency_key mismatched"]);

    let good = [row("payment:1", LOAN, "1"), row("payment:2", LOAN, "2")];
    let answer = world.call(whole("upload:whole", &good)).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)), "{answer:?}");
    assert_eq!(finished(&world, &token, &answer).await["counts"]["posted"], 2);
    assert_eq!(world.call(whole("upload:whole", &good)).await.status, 200);
}

#[tokio::test]
async fn uploads_that_are_none_are_refused() {
    let (world, token) = opened().await;
    let cases: [(&str, &str, &str, u16, &str); 6] = [
        ("application/json", "", r#"{"payments":[]}"#, 422, "invalid_file"),
        ("application/json", "", r#"{"payments":{}}"#, 422, "validation_failed"),
        ("application/json", "", r#"{"payments":[],"x":1}"#, 422, "validation_failed"),
        ("application/json", "", r#"{"payments":[}"#, 400, "malformed_json"),
        ("text/plain", "", "x", 415, "unsupported_media_type"),
        ("application/x-ndjson", "?mode=some", "x", 400, "invalid_parameter"),
    ];
    for (media_type, query, body, status, code) in cases {
        let mut request = upload(&token, "upload:none", media_type, body.to_owned().into());
        *request.uri_mut() = format!("/v1/payments/batch{query}").parse().unwrap();
        let answer = world.call(request).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{media_type} {body}");
    }
    let many = vec!["{}"; 10_001].join(",");
    let body = format!(r#"{{"payments":[{many}]}}"#);
    let answer = world.call(upload(&token, "upload:none", "application/json", body.into())).await;
    assert_eq!(answer.problem(), (422, "batch_too_large".to_owned()));
    let answer = send(&world, &token, "upload:none", &[row("payment:1", LOAN, "1")]).await;
    assert_eq!(answer.status, 202, "the key stayed free: {answer:?}");
}

#[tokio::test]
async fn results_as_csv_guard_against_formulas() {
    let (world, token) = opened().await;
    let mut tricky = row("payment:1", LOAN, "100");
    tricky["external_ref"] = json!("=HYPERLINK(\"x\")");
    let answer = send(&world, &token, "upload:csv", &[tricky]).await;
    finished(&world, &token, &answer).await;
    let mut request = Request::get(format!("{}/results", answer.header("location").unwrap()))
        .header("authorization", format!("Bearer {token}"));
    request = request.header("accept", "text/csv");
    let csv = world.call(request.body(Body::empty()).unwrap()).await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = String::from_utf8(csv.bytes).unwrap();
    let (header, line) = text.split_once('\n').unwrap();
    assert_eq!(header.split(',').count(), line.trim_end().split(',').count());
    assert!(line.starts_with("1,posted,,payment:1,") && line.contains("\"'=HYPERLINK(\"\"x\"\")\""), "{line}");

    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    let location = answer.header("location").unwrap();
    for path in [location.to_owned(), format!("{location}/results")] {
        assert_eq!(world.get(&path, &other).await.problem(), (404, "not_found".to_owned()));
    }
}

/// A body that breaks off after `sent`.
fn cut(sent: String) -> Body {
    let pieces = vec![Ok(Bytes::from(sent)), Err(std::io::Error::other("the caller is gone"))];
    Body::from_stream(futures::stream::iter(pieces))
}

async fn resume(world: &World, token: &str, case: u32, amounts: &[u16], cut_at: usize, turn: usize) {
    let loan = Uuid::from_u128(u128::from(case) << 64 | 1).to_string();
    let body = json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "opening_balances": {"principal_minor": "1000000000"}});
    assert_eq!(world.post("/v1/loans", token, &format!("loan:case:{case}"), &body).await.status, 201);
    let mut rows: Vec<Value> = (0..)
        .zip(amounts)
        .map(|(n, amount)| row(&format!("row:{case}:{n:04}"), &loan, &(u32::from(*amount) + 1).to_string()))
        .collect();
    let key = format!("upload:case:{case}");
    let sent = lines(&rows[..cut_at]) + "{\"idempotency_key\":\"row";
    let broken = world.call(upload(token, &key, "application/x-ndjson", cut(sent))).await;
    assert_eq!(broken.problem().0, 400, "{broken:?}");
    rows.rotate_left(turn);
    let answer = loop {
        // The lease is given back in the background when the first request ends.
        let answer = send(world, token, &key, &rows).await;
        if answer.status != 409 {
            break answer;
        }
    };
    assert_eq!(answer.status, 202, "{answer:?}");
    let batch = finished(world, token, &answer).await;
    let sum: u64 = amounts.iter().map(|amount| u64::from(*amount) + 1).sum();
    assert_eq!(batch["counts"]["posted"], amounts.len(), "{batch}");
    assert_eq!(batch["totals"][0]["posted"]["amount_minor"], sum.to_string());
    // Every row is its own payment, wherever it stood when it came first.
    let shown = results(world, token, &answer).await;
    let seen: Vec<(i64, &str, &str)> = shown.iter().map(row_told).collect();
    let expected: Vec<(i64, &str, &str)> =
        (1..).zip(&rows).map(|(number, row)| (number, "posted", row["idempotency_key"].as_str().unwrap())).collect();
    assert_eq!(seen, expected, "cut at {cut_at}, turned by {turn}");
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), token).await.json();
    assert_eq!(balance["principal_outstanding_minor"], (1_000_000_000 - sum).to_string());
}

fn row_told(row: &Value) -> (i64, &str, &str) {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    (row["row"].as_i64().unwrap(), text("status"), text("idempotency_key"))
}

/// Rows that came before a cut, and do not come again, are payments: the upload does not end without them.
#[tokio::test]
async fn an_upload_does_not_end_with_other_rows_than_it_began_with() {
    let (world, token) = opened().await;
    let rows: Vec<Value> = (1..=1_500).map(|n| row(&format!("payment:{n:04}"), LOAN, &n.to_string())).collect();
    let broken = world.call(upload(&token, "upload:other", "application/x-ndjson", cut(lines(&rows[..1_200])))).await;
    assert_eq!(broken.problem().0, 400, "{broken:?}");
    let again = async |rows: &[Value]| loop {
        let answer = send(&world, &token, "upload:other", rows).await;
        if answer.status != 409 {
            break answer;
        }
    };
    let mut corrected = rows.clone();
    corrected[56] = row("payment:0057", LOAN, "9999");
    for other in [&corrected[..], &rows[1..]] {
        let refused = again(other).await;
        assert_eq!(refused.problem(), (422, "idempotency_mismatch".to_owned()));
        assert_eq!(refused.json()["errors"][0]["field"], "rows");
    }
    let answer = again(&rows).await;
    let told = answer.json();
    let counts = ["received", "accepted", "duplicates", "mismatched", "invalid"].map(|name| told[name].as_i64());
    assert_eq!((answer.status, counts), (202, [1_500, 1_500, 0, 0, 0].map(Some)), "{told}");
    assert_eq!(finished(&world, &token, &answer).await["counts"]["posted"], 1_500);
}

/// Sent again in another order, with a row twice: the first of the two is the payment, the second names it.
#[tokio::test]
async fn rows_that_moved_are_shown_where_they_stand_now() {
    let (world, token) = opened().await;
    let rows: Vec<Value> = (1..=1_500).map(|n| row(&format!("payment:{n:04}"), LOAN, &n.to_string())).collect();
    let sent = lines(&rows[..1_200]) + "{\"idempotency_key\":\"row";
    let broken = world.call(upload(&token, "upload:moved", "application/x-ndjson", cut(sent))).await;
    assert_eq!(broken.problem().0, 400, "{broken:?}");
    let mut again: Vec<Value> = rows.iter().rev().cloned().collect();
    // Payment 2 stands first and again in row 1,500; row 1,502 asks for something else under the key of row 1,501.
    again.insert(0, rows[1].clone());
    again.push(row("payment:0001", LOAN, "9999"));
    let answer = loop {
        let answer = send(&world, &token, "upload:moved", &again).await;
        if answer.status != 409 {
            break answer;
        }
    };
    let told = answer.json();
    let counts = ["received", "accepted", "duplicates", "mismatched", "invalid"].map(|name| told[name].as_i64());
    assert_eq!(counts, [1_502, 1_500, 1, 1, 0].map(Some), "{told}");
    finished(&world, &token, &answer).await;
    let shown = results(&world, &token, &answer).await;
    let seen: Vec<(i64, &str, &str)> = shown.iter().map(row_told).collect();
    let status = |number: i64| match number {
        1_500 => "duplicate",
        1_502 => "mismatched",
        _ => "posted",
    };
    let expected: Vec<(i64, &str, &str)> = (1..)
        .zip(&again)
        .map(|(number, row)| (number, status(number), row["idempotency_key"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!((&shown[1_499]["first_row"], &shown[1_501]["first_row"]), (&json!(1), &json!(1_501)));
    assert_eq!(shown[1_499]["payment_event_id"], shown[0]["payment_event_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_batch_cut_anywhere_and_sent_again_ends_with_the_same_books() {
    let (world, token) = opened().await;
    let strategy = proptest::collection::vec(any::<u16>(), 900..2_500).prop_flat_map(|amounts| {
        let rows = amounts.len();
        (Just(amounts), 0..=rows, 0..rows)
    });
    let mut runner = TestRunner::new(Config { cases: 6, ..Config::default() });
    let handle = tokio::runtime::Handle::current();
    let counter = std::sync::atomic::AtomicU32::new(1);
    tokio::task::block_in_place(|| {
        runner
            .run(&strategy, |(amounts, cut_at, turn)| {
                let case = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                handle.block_on(resume(&world, &token, case, &amounts, cut_at, turn));
                Ok(())
            })
            .unwrap();
    });
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
