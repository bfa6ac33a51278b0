//! The rows of the bad-input list that reach these operations, one line per concrete value.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Map, Value, json};

use super::world::{Workers, World, payment, post};

const SCOPES: &str = "hpts:payments:write hpts:balances:read hpts:ledger:read";

fn raw(token: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = post("/v1/payments", token, "payment:bad:0001", &json!({}));
    *request.body_mut() = body.into();
    request
}

#[tokio::test]
async fn bodies_that_are_not_json_are_400_and_bodies_that_are_not_payments_422() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", SCOPES).await;
    let text = payment().to_string();
    let with = |find: &str, replace: &str| text.replacen(find, replace, 1).into_bytes();
    let deep = format!("{{\"metadata\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (Vec::new(), 400, "malformed_json"),
        (b"{".to_vec(), 400, "malformed_json"),
        (with("}", ",}"), 400, "malformed_json"),
        (text.replace('"', "'").into_bytes(), 400, "malformed_json"),
        ([text.as_bytes(), text.as_bytes()].concat(), 400, "malformed_json"),
        ([b"\xef\xbb\xbf", text.as_bytes()].concat(), 400, "malformed_json"),
        (with("stripe", "\\ud800"), 400, "malformed_json"),
        (b"\xff\xfe{\0}\0".to_vec(), 400, "malformed_json"),
        (deep.into_bytes(), 400, "malformed_json"),
        (with("\"88849\"", "NaN"), 400, "malformed_json"),
        (b"null".to_vec(), 422, "validation_failed"),
        (b"[]".to_vec(), 422, "validation_failed"),
        (with("stripe", "\\u0000"), 422, "validation_failed"),
        (with("{", "{\"amount_minor\":\"1\","), 422, "validation_failed"),
        (with("{", "{\"metadata\":{\"a\":1,\"a\":2},"), 422, "validation_failed"),
        (with("\"88849\"", "1e400"), 422, "validation_failed"),
        (with("{", "{\"amonut\":1,"), 422, "validation_failed"),
        (with("{", "{\"__proto__\":{},"), 422, "validation_failed"),
    ];
    for (body, status, code) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(world.call(raw(&token, body)).await.problem(), (status, code.to_owned()), "{shown:.120}");
    }
}

/// Each field with values that it must not have.
fn bad_values() -> Vec<(&'static str, Vec<Value>)> {
    let texts = |words: &[&str]| words.iter().map(|word| json!(word)).collect::<Vec<_>>();
    let mut amounts = texts(&[
        "0",
        "-0",
        "-500",
        "10.00",
        "1,000",
        "1 000",
        "1_000",
        "$10",
        "10 USD",
        "+5",
        "005",
        " 500",
        "500\n",
        "",
        "1e3",
        "0x10",
        "NaN",
        "Infinity",
        "١٢",
        "１",
        "9223372036854775808",
    ]);
    amounts.extend([json!(1050), json!(10.5), json!("9".repeat(400)), Value::Null, json!({})]);
    let mut dates = texts(&[
        "2026-02-30",
        "2027-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-2-3",
        "02/03/2026",
        "20260203",
        "2026-W05-1",
        "2026-05-01T00:00:00Z",
        "0000-01-01",
        "9999-01-01",
        "10000-01-01",
        "2026-05-03",
    ]);
    dates.push(json!(1_767_225_600));
    let many: Value = (0..51).map(|number| (number.to_string(), json!(1))).collect::<Map<_, _>>().into();
    let metadata = vec![
        json!({"a": "x".repeat(5000)}),
        json!({"a": "\u{7}"}),
        json!({"a": "\u{85}"}),
        json!([]),
        json!("x"),
        many,
    ];
    vec![
        ("amount_minor", amounts),
        ("effective_at", dates),
        ("currency", texts(&["usd", "US", "XXX", "ZZZ", "DEM"])),
        ("metadata", metadata),
        ("external_ref", vec![json!(""), json!("x".repeat(256)), json!("a\tb"), json!(5)]),
        ("loan_id", vec![json!(5), json!("1 OR 1=1"), json!({}), Value::Null]),
    ]
}

#[tokio::test]
async fn each_bad_field_is_422_and_named() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", SCOPES).await;
    for (field, values) in bad_values() {
        for value in values {
            let mut body = payment();
            body[field] = value.clone();
            let answer = world.post("/v1/payments", &token, "payment:bad:0001", &body).await;
            assert_eq!(answer.problem(), (422, "validation_failed".to_owned()), "{field} {value:.60}");
            let errors = answer.json()["errors"].as_array().unwrap().clone();
            assert_eq!((errors.len(), &errors[0]["field"]), (1, &json!(field)), "{field} {value:.60}");
        }
    }
    let mut dear = payment();
    dear["amount_minor"] = json!("10000001");
    let answer = world.post("/v1/payments", &token, "payment:bad:0001", &dear).await;
    assert_eq!(answer.problem(), (422, "limit_exceeded".to_owned()));
    let nothing = world.get("/v1/payments?idempotency_key=payment:bad:0001", &token).await.json();
    assert_eq!(nothing["items"], json!([]), "what is refused is not stored");
}

#[tokio::test]
async fn odd_texts_are_data() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", SCOPES).await;
    for (number, text) in ["'; DROP TABLE events;--", "=HYPERLINK(\"x\")", "<script>", "a\u{202e}b"].iter().enumerate()
    {
        let mut body = payment();
        body["external_ref"] = json!(text);
        body["metadata"] = json!({ "note": text });
        let mut request = post("/v1/payments", &token, &format!("payment:odd:{number}"), &body);
        request.headers_mut().insert("prefer", axum::http::HeaderValue::from_static("respond-async"));
        let answer = world.call(request).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let status = world.get(answer.header("location").unwrap(), &token).await.json();
        assert_eq!((&status["external_ref"], &status["metadata"]["note"]), (&json!(text), &json!(text)));
    }
}

#[tokio::test]
async fn heads_that_do_not_hold_have_their_own_codes() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", SCOPES).await;
    let cases: Vec<(&str, Vec<&str>, u16, &str)> = vec![
        ("idempotency-key", vec![], 400, "idempotency_key_missing"),
        ("idempotency-key", vec![""], 400, "idempotency_key_invalid"),
        ("idempotency-key", vec!["\"payment:1"], 400, "idempotency_key_invalid"),
        ("idempotency-key", vec!["payment:1", "payment:2"], 400, "idempotency_key_invalid"),
        ("idempotency-key", vec!["payment:1, payment:2"], 400, "idempotency_key_invalid"),
        ("content-type", vec![], 415, "unsupported_media_type"),
        ("content-type", vec!["text/plain"], 415, "unsupported_media_type"),
        ("content-type", vec!["application/json; charset=utf-16"], 415, "unsupported_media_type"),
        ("content-encoding", vec!["gzip"], 415, "unsupported_media_type"),
        ("content-length", vec!["10000000000"], 413, "payload_too_large"),
        ("accept", vec!["text/html"], 406, "not_acceptable"),
        ("authorization", vec![], 401, "unauthenticated"),
        ("authorization", vec!["Basic ZGVtbzpkZW1v"], 401, "unauthenticated"),
        ("authorization", vec!["Bearer "], 401, "unauthenticated"),
        ("authorization", vec!["Bearer a.b.c"], 401, "unauthenticated"),
        ("authorization", vec!["Bearer a", "Bearer b"], 400, "invalid_request"),
    ];
    for (name, values, status, code) in cases {
        let mut request = post("/v1/payments", &token, "payment:bad:0001", &payment());
        request.headers_mut().remove(name);
        for value in &values {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let answer = world.call(request).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{name} {values:?}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401 || code == "invalid_request");
        assert_eq!(answer.headers.contains_key("link"), code == "idempotency_key_missing");
    }
    let large = vec![b' '; 64 * 1024 + 1];
    assert_eq!(world.call(raw(&token, large)).await.problem(), (413, "payload_too_large".to_owned()));
}

#[tokio::test]
async fn addresses_that_do_not_hold_are_refused_without_a_look() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", SCOPES).await;
    let cases = [
        ("/v1/payments/1%20OR%201=1", 404),
        ("/v1/payments/../admin", 404),
        ("//v1//payments", 404),
        ("/v1/payments/", 404),
        ("/v1/journal-entries/not-an-id", 404),
        ("/v1/loans/1/balance", 404),
        ("/v1/accounts/9999/balance?currency=USD", 404),
        ("/v1/accounts/1100/balance", 400),
        ("/v1/accounts/1100/balance?currency=usd", 400),
        ("/v1/payments?status=posted", 400),
        ("/v1/payments?loan_id=x", 400),
        ("/v1/payments?access_token=x", 400),
        ("/v1/payments?loan_id=%zz", 400),
    ];
    for (path, status) in cases {
        assert_eq!(world.get(path, &token).await.problem().0, status, "{path}");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let request = Request::builder().method(method).uri("/v1/payments").body(Body::empty());
        let answer = world.call(request.unwrap()).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
        assert_eq!(answer.header("allow"), Some("POST,GET,HEAD"));
    }
    let long = format!("/v1/payments?x={}", "a".repeat(10_000));
    assert_eq!(world.get(&long, &token).await.problem(), (414, "uri_too_long".to_owned()));
}

#[tokio::test]
async fn the_tenants_calendar_decides_what_lies_in_the_future() {
    let world = World::new(Workers::None).await;
    // 03:00 UTC on 3 May is still 2 May in New York.
    world.clock.advance(std::time::Duration::from_hours(15));
    let token = world.token("demo", SCOPES).await;
    let dated = |day: &str| {
        let mut body = payment();
        body["effective_at"] = json!(day);
        body
    };
    let mut today = post("/v1/payments", &token, "payment:date:1", &dated("2026-05-02"));
    today.headers_mut().insert("prefer", axum::http::HeaderValue::from_static("respond-async"));
    assert_eq!(world.call(today).await.status, 202);
    let tomorrow = world.post("/v1/payments", &token, "payment:date:2", &dated("2026-05-03")).await;
    assert_eq!(tomorrow.problem(), (422, "validation_failed".to_owned()));
}
