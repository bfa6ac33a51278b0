//! Uploads: rows in, totals and results out.

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use hpts::store::Store;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, BORROWER, LOAN, Workers, World};

pub(super) const ALL: &str = "hpts:payments:write hpts:loans:write hpts:balances:read hpts:ledger:read";

pub(super) fn row(key: &str, loan: &str, amount: &str) -> Value {
    json!({"idempotency_key": key, "loan_id": loan, "borrower_id": BORROWER, "amount_minor": amount,
        "currency": "USD", "effective_at": "2026-05-01", "source_method": "ach"})
}

pub(super) fn lines(rows: &[Value]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    lines.concat()
}

pub(super) fn upload(token: &str, key: &str, media_type: &str, body: Body) -> Request<Body> {
    Request::post("/v1/payments/batch")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", media_type)
        .header("idempotency-key", key)
        .body(body)
        .unwrap()
}

pub(super) async fn send(world: &World<impl Store + ?Sized>, token: &str, key: &str, rows: &[Value]) -> Answer {
    world.call(upload(token, key, "application/x-ndjson", lines(rows).into())).await
}

pub(super) async fn finished(world: &World<impl Store + ?Sized>, token: &str, answer: &Answer) -> Value {
    let location = answer.header("location").unwrap();
    let batch = world.get(&format!("{location}?wait=20"), token).await.json();
    assert_eq!(batch["state"], "finished", "{batch}");
    batch
}

pub(super) async fn results(world: &World<impl Store + ?Sized>, token: &str, answer: &Answer) -> Vec<Value> {
    let location = answer.header("location").unwrap();
    let results = world.get(&format!("{location}/results"), token).await;
    assert_eq!(results.header("content-type"), Some("application/x-ndjson"));
    let text = String::from_utf8(results.bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) async fn opened() -> (World, String) {
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
