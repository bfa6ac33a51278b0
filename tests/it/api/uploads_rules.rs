//! What was answered is answered again, whatever the tenant's rules say by then: its limit for one payment, and the last
//! day that something may be dated.

use axum::http::Request;
use hpts::core::money::Minor;
use hpts::store::Store;
use serde_json::{Value, json};
use uuid::Uuid;

use super::batches::{finished, lines, opened, results, row, send, upload};
use super::uploads_cut::{counts, resend, row_told, send_cut};
use super::world::{Answer, BORROWER, LOAN, World, payment};

/// The world's day is 2 May 2026.
const TOMORROW: &str = "2026-05-03";
const PROGRAM: &str = "44444444-4444-4444-4444-444444444444";

fn dated(mut body: Value, day: &str) -> Value {
    body["effective_at"] = json!(day);
    body
}

async fn limit(world: &World, limit: Option<i64>) {
    world.allow(|tenant| tenant.payment_limit = limit.map(Minor::new)).await;
}

async fn future_days(world: &World, days: i16) {
    world.allow(|tenant| tenant.future_days = days.into()).await;
}

fn whole(token: &str, key: &str, rows: &[Value]) -> Request<axum::body::Body> {
    let mut request = upload(token, key, "application/x-ndjson", lines(rows).into());
    *request.uri_mut() = "/v1/payments/batch?mode=all_or_nothing".parse().unwrap();
    request
}

fn is_first_again(answer: &Answer, first: &Answer) {
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, Some("true")), "{answer:?}");
    assert_eq!(answer.json(), first.json());
}

#[tokio::test]
async fn an_answered_upload_is_answered_again_whatever_the_rules_are() {
    let (world, token) = opened().await;
    let rows = [
        row("payment:1", LOAN, "100"),
        row("payment:2", LOAN, "2500"),
        row("payment:3", LOAN, "10000001"),
        dated(row("payment:4", LOAN, "7"), TOMORROW),
        row("payment:5", LOAN, "0"),
    ];
    let first = send(&world, &token, "upload:rules", &rows).await;
    assert_eq!((first.status, counts(&first)), (202, [5, 2, 0, 0, 3]), "{first:?}");
    let batch = finished(&world, &token, &first).await;
    let shown = results(&world, &token, &first).await;
    let codes: Vec<&str> = shown[2..].iter().map(|row| row["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["limit_exceeded", "validation_failed", "validation_failed"]);
    // Stricter; then all that was refused by a rule is allowed, which changes nothing any more.
    limit(&world, Some(50)).await;
    is_first_again(&send(&world, &token, "upload:rules", &rows).await, &first);
    limit(&world, None).await;
    is_first_again(&send(&world, &token, "upload:rules", &rows).await, &first);
    future_days(&world, 5).await;
    is_first_again(&send(&world, &token, "upload:rules", &rows).await, &first);
    let body = json!({"payments": rows}).to_string();
    is_first_again(&world.call(upload(&token, "upload:rules", "application/json", body.into())).await, &first);
    assert_eq!(finished(&world, &token, &first).await["counts"], batch["counts"]);
    assert_eq!(results(&world, &token, &first).await, shown);
    let mut other = rows.clone();
    other[2] = row("payment:3", LOAN, "10000002");
    let other = send(&world, &token, "upload:rules", &other).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()));
}

#[tokio::test]
async fn a_day_later_an_upload_is_answered_again() {
    let (world, token) = opened().await;
    let rows = [row("payment:1", LOAN, "100"), dated(row("payment:2", LOAN, "7"), TOMORROW)];
    let first = send(&world, &token, "upload:day", &rows).await;
    assert_eq!(counts(&first), [2, 1, 0, 0, 1]);
    world.clock.advance(std::time::Duration::from_hours(24));
    let token = world.token("demo", super::batches::ALL).await;
    is_first_again(&send(&world, &token, "upload:day", &rows).await, &first);
    // Under another key it is another upload, and its row is good now.
    let new = send(&world, &token, "upload:next", &rows).await;
    assert_eq!((new.status, counts(&new)), (202, [2, 1, 1, 0, 0]));
}

#[tokio::test]
async fn an_upload_taken_whole_is_answered_again_whatever_the_rules_are() {
    let (world, token) = opened().await;
    future_days(&world, 1).await;
    let rows = [row("payment:1", LOAN, "100"), dated(row("payment:2", LOAN, "2500"), TOMORROW)];
    let first = world.call(whole(&token, "upload:whole", &rows)).await;
    assert_eq!((first.status, counts(&first)), (202, [2, 2, 0, 0, 0]), "{first:?}");
    for (days, most) in [(0, None), (0, Some(1_000)), (1, Some(1_000))] {
        future_days(&world, days).await;
        limit(&world, most).await;
        is_first_again(&world.call(whole(&token, "upload:whole", &rows)).await, &first);
        for (key, other) in [("upload:whole", &rows[1..]), ("payment:1", &rows[..])] {
            let other = world.call(whole(&token, key, other)).await;
            assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()), "{key}");
        }
        let new = world.call(whole(&token, "upload:other", &rows[1..])).await;
        assert_eq!(new.problem(), (422, "invalid_file".to_owned()), "the rules hold for what is new");
    }
    assert_eq!(finished(&world, &token, &first).await["counts"]["posted"], 2);
}

/// Payments of 100 cents, and every hundredth of 2,500.
fn payments() -> Vec<Value> {
    let amount = |n: usize| if n.is_multiple_of(100) { "2500" } else { "100" };
    (1..=1_500).map(|n| row(&format!("payment:{n:04}"), LOAN, amount(n))).collect()
}

#[tokio::test]
async fn an_upload_that_was_cut_off_ends_when_a_rule_refuses_what_it_took() {
    let (world, token) = opened().await;
    let rows = payments();
    send_cut(&world, &token, "upload:cut", &rows[..1_200]).await;
    limit(&world, Some(1_000)).await;
    // Backwards, and with a payment that was taken before the cut once more.
    let mut again: Vec<Value> = rows.iter().rev().cloned().collect();
    again.push(rows[99].clone());
    let answer = resend(&world, &token, "upload:cut", &again).await;
    assert_eq!((answer.status, counts(&answer)), (202, [1_501, 1_495, 1, 0, 5]), "{answer:?}");
    assert_eq!(finished(&world, &token, &answer).await["counts"]["posted"], 1_495);
    let shown = results(&world, &token, &answer).await;
    let seen: Vec<(i64, &str, &str)> = shown.iter().map(row_told).collect();
    let status = |number: i64| match number {
        1_501 => "duplicate",
        1..=500 if (1_501 - number) % 100 == 0 => "invalid",
        _ => "posted",
    };
    let keys = again.iter().map(|row| row["idempotency_key"].as_str().unwrap());
    let expected: Vec<(i64, &str, &str)> = (1..).zip(keys).map(|(row, key)| (row, status(row), key)).collect();
    assert_eq!(seen, expected);
    limit(&world, None).await;
    is_first_again(&resend(&world, &token, "upload:cut", &again).await, &answer);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// Nobody was told of a refusal yet.
#[tokio::test]
async fn an_upload_that_was_cut_off_takes_what_a_rule_refused_before_the_cut() {
    let (world, token) = opened().await;
    let rows = payments();
    limit(&world, Some(1_000)).await;
    send_cut(&world, &token, "upload:cut", &rows[..1_200]).await;
    limit(&world, None).await;
    let answer = resend(&world, &token, "upload:cut", &rows).await;
    assert_eq!((answer.status, counts(&answer)), (202, [1_500, 1_500, 0, 0, 0]), "{answer:?}");
    assert_eq!(finished(&world, &token, &answer).await["counts"]["posted"], 1_500);
    assert_eq!(results(&world, &token, &answer).await.len(), 1_500);
    limit(&world, Some(1_000)).await;
    is_first_again(&resend(&world, &token, "upload:cut", &rows).await, &answer);
}

/// A row that is paid already is not told to be above the limit: somebody would send it in another way.
#[tokio::test]
async fn a_row_that_a_rule_refuses_names_the_payment_that_it_repeats() {
    let (world, token) = opened().await;
    let paid = world.post("/v1/payments", &token, "payment:paid", &payment()).await.json();
    limit(&world, Some(1_000)).await;
    let same = row("payment:paid", LOAN, "88849");
    let mut same = dated(same, "2026-05-01");
    same["external_ref"] = json!("stripe_ch_xyz123");
    let mut other = same.clone();
    other["amount_minor"] = json!("88850");
    let answer = send(&world, &token, "upload:paid", &[same, other]).await;
    assert_eq!(counts(&answer), [2, 0, 1, 0, 1]);
    let shown = results(&world, &token, &answer).await;
    assert_eq!((&shown[0]["status"], &shown[1]["code"]), (&json!("duplicate"), &json!("limit_exceeded")));
    assert_eq!(shown[0]["payment_event_id"], paid["payment_event_id"]);
}

const EVERYTHING: &str = "hpts:payments:write hpts:disbursements:write hpts:accruals:write hpts:loans:write \
    hpts:adjustments:write hpts:reversals:write hpts:reconciliation:write";

/// Writes of every way from a body to an event, dated tomorrow.
fn writes(entry: &Value) -> Vec<(&'static str, Value)> {
    let loan = Uuid::from_u128(5).to_string();
    vec![
        ("/v1/payments", dated(payment(), TOMORROW)),
        (
            "/v1/loans",
            json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": TOMORROW,
                "opening_balances": {"principal_minor": "1"}}),
        ),
        (
            "/v1/disbursements",
            json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "5", "currency": "USD",
                "effective_at": TOMORROW, "method": "ach"}),
        ),
        ("/v1/fees", json!({"loan_id": LOAN, "amount_minor": "5", "fee_code": "late", "effective_at": TOMORROW})),
        ("/v1/suspense/refunds", json!({"loan_id": LOAN, "amount_minor": "5", "effective_at": TOMORROW})),
        (
            "/v1/accruals/batch",
            json!({"program_id": PROGRAM, "accrual_date": TOMORROW, "day_count_convention": "ACT_365",
                "loans": [{"loan_id": LOAN, "outstanding_principal_minor": "1", "interest_minor": "5"}]}),
        ),
        (
            "/v1/reversals",
            json!({"reverses_entry_id": entry, "reason_code": "error_correction", "effective_at": TOMORROW}),
        ),
    ]
}

/// A key for a write to a path, whose slashes no key has.
fn key_of(what: &str, path: &str) -> String {
    format!("{what}{}", path.replace('/', ":"))
}

#[tokio::test]
async fn a_write_is_answered_again_when_its_day_is_not_allowed_any_more() {
    let (world, _) = opened().await;
    let token = world.token("demo", EVERYTHING).await;
    let paid = world.post("/v1/payments", &token, "payment:first", &payment()).await.json();
    future_days(&world, 1).await;
    let mut writes = writes(&paid["journal_entry_id"]);
    let mut first = Vec::new();
    for (path, body) in &writes {
        first.push(world.post(path, &token, &key_of("key", path), body).await);
    }
    assert!(first.iter().filter(|answer| answer.status == 201).count() >= 4, "{first:?}");
    future_days(&world, 0).await;
    for ((path, body), first) in writes.iter().zip(&first) {
        let again = world.post(path, &token, &key_of("key", path), body).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}: {again:?}");
        if first.status == 201 {
            assert_eq!((again.status, &again.bytes), (200, &first.bytes), "{path}");
        } else {
            assert_eq!(again.problem(), first.problem(), "{path}");
        }
        let new = world.post(path, &token, &key_of("other", path), body).await;
        assert_eq!(new.problem(), (422, "validation_failed".to_owned()), "{path}: the rule holds for what is new");
        assert_eq!(new.json()["errors"][0]["code"], "in_the_future", "{path}");
    }
    for (path, body) in &mut writes {
        body["metadata"] = json!({"another": "one"});
        let other = world.post(path, &token, &key_of("key", path), body).await;
        assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()), "{path}: {other:?}");
    }
}

/// The day after tomorrow is not allowed, but a payment dated so came when it was, and above today's limit.
#[tokio::test]
async fn a_payment_is_answered_again_when_no_rule_allows_it_any_more() {
    let (world, token) = opened().await;
    future_days(&world, 1).await;
    let body = dated(payment(), TOMORROW);
    let first = world.post("/v1/payments", &token, "payment:first", &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    future_days(&world, 0).await;
    limit(&world, Some(1_000)).await;
    let again = world.post("/v1/payments", &token, "payment:first", &body).await;
    assert_eq!((again.status, &again.bytes), (200, &first.bytes));
    let mut bad = body.clone();
    bad["amonut"] = json!("1");
    let bad = world.post("/v1/payments", &token, "payment:first", &bad).await;
    assert_eq!(bad.problem(), (422, "validation_failed".to_owned()), "what is no payment is none");
    assert_eq!(bad.json()["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_bank_statement_is_answered_again_when_its_day_is_not_allowed_any_more() {
    let (world, _) = opened().await;
    let token = world.token("demo", EVERYTHING).await;
    let statement = |key: &str, day: &str| {
        let query = "currency=USD&opening_balance_minor=0&closing_balance_minor=0";
        Request::post(format!("/v1/bank-statements?bank_account_ref=MAIN&statement_date={day}&{query}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "text/csv")
            .header("idempotency-key", key)
            .body("booking_date,amount_minor,reference,description\n".into())
            .unwrap()
    };
    future_days(&world, 1).await;
    let first = world.call(statement("statement:1", TOMORROW)).await;
    assert_eq!(first.status, 202, "{first:?}");
    future_days(&world, 0).await;
    for key in ["statement:1", "statement:2"] {
        is_first_again(&world.call(statement(key, TOMORROW)).await, &first);
    }
    let new = world.call(statement("statement:3", "2026-05-04")).await;
    assert_eq!(new.problem(), (400, "invalid_parameter".to_owned()));
}
