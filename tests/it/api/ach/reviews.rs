//! Entries that another file had, and what a person does about exceptions.

use hpts::core::ach::SecCode;
use hpts::store::Store;
use serde_json::{Value, json};

use crate::api::ach::returns::posted_by_itself;
use crate::api::ach::{
    ALL, account, cents, finished, make_feed, numbered_loan, opened, principal, results, row_path, send,
};
use crate::api::world::{Answer, World};
use crate::support::ach::{AchFile, trace};

async fn review(world: &World, token: &str, key: &str, (path, act): (&str, &str), body: &Value) -> Answer {
    world.post(&format!("{path}/{act}"), token, key, body).await
}

fn because(reason: &str) -> Value {
    json!({ "reason": reason })
}

/// Row, status and code of each result.
async fn told(world: &World, token: &str, answer: &Answer) -> Vec<(i64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = results(world, token, answer).await;
    rows.iter().map(|row| (row["row"].as_i64().unwrap(), text(&row["status"]), text(&row["code"]))).collect()
}

fn named(rows: &[(i64, &str, &str)]) -> Vec<(i64, String, String)> {
    rows.iter().map(|(row, status, code)| (*row, (*status).to_owned(), (*code).to_owned())).collect()
}

/// What a file's rows come to, accepted and not: in count and in cents, whatever people have decided.
async fn adds_up(world: &World, token: &str, answer: &Answer, expected: (i64, i64)) {
    let id = answer.json()["batch_id"].as_str().unwrap().to_owned();
    let file = world.get(&format!("/v1/ach/files/{id}?wait=20"), token).await.json();
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let exceptions = file["exceptions"].as_array().unwrap();
    let accepted: i64 =
        file["totals"].as_array().unwrap().iter().map(|it| cents(&it["accepted"]["amount_minor"])).sum();
    let excepted: i64 = exceptions.iter().map(|it| cents(&it["amount_minor"])).sum();
    let count: i64 = exceptions.iter().map(|it| number(&it["count"])).sum();
    assert_eq!((number(&file["counts"]["accepted"]) + count, accepted + excepted), expected, "{file}");
    assert_eq!(number(&file["invalid"]), count, "{file}");
    assert_eq!(number(&file["received"]), expected.0, "{file}");
}

#[tokio::test]
async fn an_entry_of_another_file_is_held_and_a_person_decides() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let first =
        send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', [("420", 500), ("77", 30)])).await;
    finished(&world, &token, &first).await;
    // The same two entries under another header, and one that is new.
    let again = AchFile::of_debits('B', [("420", 500), ("77", 30), ("420", 7)]);
    let second = send(&world, &token, "file:0002", "collections", &again).await;
    finished(&world, &token, &second).await;
    let counts = ["received", "accepted", "invalid"].map(|name| second.json()[name].as_i64());
    assert_eq!(counts, [3, 1, 2].map(Some), "{second:?}");
    let rows = results(&world, &token, &second).await;
    assert_eq!((&rows[0]["code"], &rows[0]["first_row"]), (&json!("soft_duplicate"), &json!(1)), "{rows:#?}");
    assert_eq!((&rows[1]["first_batch_id"], &rows[1]["first_row"]), (&first.json()["batch_id"], &json!(2)));
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000 - 507);
    adds_up(&world, &token, &second, (3, 537)).await;

    let path = row_path(&second, 1);
    let posted = review(&world, &token, "review:1", (&path, "post"), &because("two instalments")).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    let told_of = posted.json();
    assert_eq!((&told_of["resolution"], &told_of["code"]), (&json!("posted"), &json!("soft_duplicate")));
    let location = posted.header("location").unwrap();
    assert!(location.ends_with(told_of["payment_event_id"].as_str().unwrap()), "{posted:?}");
    let payment = world.get(&format!("{location}?wait=20"), &token).await.json();
    assert_eq!((&payment["status"], &payment["batch_id"]), (&json!("posted"), &second.json()["batch_id"]), "{payment}");
    adds_up(&world, &token, &second, (3, 537)).await;

    let path = row_path(&second, 2);
    let discarded = review(&world, &token, "review:2", (&path, "discard"), &because("sent twice")).await;
    assert_eq!((discarded.status, discarded.header("location")), (201, None), "{discarded:?}");
    adds_up(&world, &token, &second, (3, 537)).await;
    let expected = named(&[(1, "posted", ""), (2, "invalid", "soft_duplicate"), (3, "posted", "")]);
    assert_eq!(told(&world, &token, &second).await, expected);
    let row = &results(&world, &token, &second).await[1];
    assert_eq!((&row["resolution"], &row["resolution_reason"]), (&json!("discarded"), &json!("sent twice")), "{row}");
    assert_eq!(row["resolved_by"], "demo", "{row}");
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000 - 1_007);
    assert_eq!(account(&world, &token, "2200").await, 30);
    let answered = send(&world, &token, "file:0002", "collections", &again).await;
    assert_eq!((answered.status, &answered.bytes), (200, &second.bytes), "the first answer stays what it was");
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_review_is_made_once() {
    let (world, token) = opened().await;
    let debits = [("77", 30), ("78", 40)];
    let first = send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', debits)).await;
    finished(&world, &token, &first).await;
    let second = send(&world, &token, "file:0002", "collections", &AchFile::of_debits('B', debits)).await;
    finished(&world, &token, &second).await;
    let path = row_path(&second, 1);
    let posted = review(&world, &token, "review:1", (&path, "post"), &because("real")).await;
    let again = review(&world, &token, "review:1", (&path, "post"), &because("real")).await;
    assert_eq!((again.status, &again.bytes), (200, &posted.bytes), "{again:?}");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    for (key, at, act, body, fields) in [
        ("review:1", &path, "post", json!({"reason": "other"}), vec!["reason"]),
        ("review:1", &path, "post", json!({"reason": "real", "effective_at": "2026-05-01"}), vec!["effective_at"]),
        ("review:1", &path, "discard", because("real"), vec!["operation"]),
        ("review:1", &row_path(&second, 2), "post", because("real"), vec!["operation"]),
        ("file:0001", &row_path(&second, 2), "post", because("real"), vec!["operation"]),
    ] {
        let other = review(&world, &token, key, (at, act), &body).await;
        assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()), "{key} {act}");
        let named: Vec<Value> =
            other.json()["errors"].as_array().unwrap().iter().map(|it| it["field"].clone()).collect();
        assert_eq!(named, fields, "{other:?}");
    }
    for act in ["post", "discard"] {
        let late = review(&world, &token, &format!("late:{act}:1"), (&path, act), &because("late")).await;
        assert_eq!(late.problem(), (409, "already_resolved".to_owned()), "{act}");
        assert_eq!(late.json()["resolution"], "posted", "{act}");
    }
    for (at, body, status, code) in [
        (row_path(&second, 2), json!({}), 422, "validation_failed"),
        (row_path(&second, 2), json!({"reason": ""}), 422, "validation_failed"),
        (row_path(&second, 2), json!({"reason": "x", "effective_at": "2026-05-03"}), 422, "validation_failed"),
        (row_path(&second, 2), json!({"reason": "x", "amount_minor": "1"}), 422, "validation_failed"),
        (row_path(&second, 3), because("x"), 404, "not_found"),
        (row_path(&second, 0), because("x"), 404, "not_found"),
        (row_path(&first, 1), because("x"), 404, "not_found"),
    ] {
        let refused = review(&world, &token, "review:refused", (&at, "post"), &body).await;
        assert_eq!(refused.problem(), (status, code.to_owned()), "{at} {body}");
    }
    let reader = world.token("demo", "hpts:ledger:read").await;
    let refused = review(&world, &reader, "review:reader", (&row_path(&second, 2), "post"), &because("x")).await;
    assert_eq!(refused.problem(), (403, "insufficient_scope".to_owned()));
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    let stolen = review(&world, &other, "review:other", (&row_path(&second, 2), "discard"), &because("x")).await;
    assert_eq!(stolen.problem(), (404, "not_found".to_owned()));
    assert_eq!(world.get(&path, &other).await.problem(), (404, "not_found".to_owned()));
    let kept = world.get(&path, &token).await.json();
    assert_eq!((&kept["resolution"], &kept["may_be_posted"]), (&json!("posted"), &json!(false)), "{kept}");
}

#[tokio::test]
async fn a_feed_may_post_them_with_a_mark() {
    let (world, token) = opened().await;
    let marking = json!({"name": "marking", "view": "originator", "soft_duplicates": "post"});
    make_feed(&world, &token, &marking).await;
    let loan = numbered_loan(&world, &token, "420").await;
    let debits = [("420", 500), ("77", 30)];
    let first = send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', debits)).await;
    finished(&world, &token, &first).await;
    let second = send(&world, &token, "file:0002", "marking", &AchFile::of_debits('B', debits)).await;
    finished(&world, &token, &second).await;
    assert_eq!(told(&world, &token, &second).await, named(&[(1, "posted", ""), (2, "posted", "")]));
    for (row, of) in results(&world, &token, &second).await.iter().zip(["1", "2"]) {
        let metadata = &row["metadata"];
        let marked = (&metadata["first_batch_id"], &metadata["first_row"]);
        assert_eq!(marked, (&first.json()["batch_id"], &json!(of)), "{row}");
    }
    assert!(results(&world, &token, &first).await[0].get("metadata").is_none());
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000 - 1_000);
    assert_eq!(account(&world, &token, "2200").await, 60);
}

/// Returned before its payment is loaded; a date that lies behind; a prenote.
#[tokio::test]
async fn what_can_be_cured_is_posted_and_what_cannot_is_not() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd).returned("420", 500, trace(1));
    file.entry(28, "420", 0, &[]);
    file.batch(SecCode::Arc).debit("420", 60);
    let early = send(&world, &token, "file:0001", "collections", &file.finish()).await;
    finished(&world, &token, &early).await;
    let expected =
        named(&[(1, "invalid", "return_unmatched"), (2, "invalid", "prenote"), (3, "invalid", "sec_not_accepted")]);
    assert_eq!(told(&world, &token, &early).await, expected);
    let decide = |key: &'static str, row: i64, body: Value| {
        let (world, token, path) = (&world, &token, row_path(&early, row));
        async move { review(world, token, key, (&path, "post"), &body).await }
    };
    let waiting = decide("review:1", 1, because("its payment has come")).await;
    assert_eq!(waiting.problem(), (422, "not_postable".to_owned()));
    assert_eq!(waiting.json()["errors"][0]["code"], "return_unmatched", "{waiting:?}");
    let refused = decide("review:2", 2, because("?")).await;
    assert_eq!(refused.json()["errors"][0]["code"], "prenote", "{refused:?}");

    let payment = send(&world, &token, "file:0002", "collections", &AchFile::of_debits('B', [("420", 500)])).await;
    finished(&world, &token, &payment).await;
    // With its payment the return is posted by itself.
    let event = posted_by_itself(&world, &token, &early, 1).await;
    let event = world.get(&format!("/v1/events/{event}?wait=20"), &token).await.json();
    assert_eq!((&event["status"], &event["return_code"]), (&json!("posted"), &json!("R01")), "{event}");
    let payment = &results(&world, &token, &payment).await[0];
    assert_eq!((&payment["status"], &payment["payment_event_id"]), (&json!("returned"), &event["undoes"]));
    let exception = world.get(&row_path(&early, 1), &token).await.json();
    let reason = exception["resolution_reason"].as_str().unwrap_or_else(|| panic!("{exception}"));
    assert!(reason.starts_with("its payment came with file "), "{exception}");
    let again = decide("review:1", 1, because("its payment has come")).await;
    assert_eq!(again.status, 409, "it is decided: {again:?}");
    let check = decide("review:3", 3, json!({"reason": "a check of theirs", "effective_at": "2026-04-30"})).await;
    assert_eq!(check.status, 201, "{check:?}");
    // A check names no payer, so nobody knows its loan.
    let check = world.get(&format!("{}?wait=20", check.header("location").unwrap()), &token).await.json();
    assert_eq!((&check["status"], &check["effective_at"]), (&json!("posted"), &json!("2026-04-30")), "{check}");
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000);
    assert_eq!(account(&world, &token, "2200").await, 60);
    adds_up(&world, &token, &early, (3, 560)).await;
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn open_exceptions_are_listed_in_pages() {
    let (world, token) = opened().await;
    make_feed(&world, &token, &json!({"name": "lockbox", "view": "receiver"})).await;
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd);
    for _ in 0..3 {
        file.entry(28, "420", 0, &[]);
    }
    file.returned("420", 500, trace(77));
    let first = send(&world, &token, "file:0001", "collections", &file.finish()).await;
    let second = send(&world, &token, "file:0002", "lockbox", &AchFile::of_debits('B', [("420", 5)])).await;
    finished(&world, &token, &first).await;
    finished(&world, &token, &second).await;
    let list = |query: String| {
        let (world, token) = (&world, &token);
        async move { world.get(&format!("/v1/ach/exceptions{query}"), token).await }
    };
    let rows = |page: &Value| -> Vec<(String, i64)> {
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        items.iter().map(|it| (it["code"].as_str().unwrap().to_owned(), it["row"].as_i64().unwrap())).collect()
    };
    let all = list(String::new()).await.json();
    let expected = [("against_direction", 1), ("prenote", 1), ("prenote", 2), ("prenote", 3), ("return_unmatched", 4)];
    let expected = expected.map(|(code, row)| (code.to_owned(), row));
    assert_eq!(rows(&all), expected, "{all}");
    assert!(all.get("next_page_token").is_none());
    let item = &all["items"][4];
    assert_eq!((&item["feed"], &item["may_be_posted"]), (&json!("collections"), &json!(true)), "{item}");
    assert_eq!((&item["batch_id"], &item["amount_minor"]), (&first.json()["batch_id"], &json!("500")), "{item}");

    let (mut seen, mut query) = (Vec::new(), "?page_size=2".to_owned());
    loop {
        let page = list(query).await.json();
        seen.extend(rows(&page));
        let Some(next) = page["next_page_token"].as_str() else { break };
        query = format!("?page_size=2&page_token={next}");
    }
    assert_eq!(seen, expected);
    assert_eq!(rows(&list("?reason=prenote".to_owned()).await.json()), expected[1..4]);
    assert_eq!(rows(&list("?reason=prenote&feed=lockbox".to_owned()).await.json()), []);
    assert_eq!(rows(&list("?feed=lockbox".to_owned()).await.json()), expected[..1]);
    for bad in ["?reason=No!", "?page_token=AAAA", "?page_size=0", "?x=1"] {
        assert_eq!(list(bad.to_owned()).await.problem(), (400, "invalid_parameter".to_owned()), "{bad}");
    }
    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    assert_eq!(world.get("/v1/ach/exceptions", &other).await.json(), json!({"items": []}));
}

#[tokio::test]
async fn a_feed_knows_holidays_and_the_customers_of_a_company() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let feed = json!({"name": "employer", "view": "originator", "holidays": ["2026-05-01"],
        "customers": [{"company_id": "1234567890", "individual_id": "EMP-7*", "loan_number": "0420"}]});
    make_feed(&world, &token, &feed).await;
    let answer = send(&world, &token, "file:0001", "employer", &AchFile::of_debits('A', [("EMP-77", 500)])).await;
    finished(&world, &token, &answer).await;
    assert_eq!(told(&world, &token, &answer).await, named(&[(1, "posted", "")]), "a settled day is believed");
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000 - 500);
    // Not settled: the day is only what the sender wished.
    let mut bytes = AchFile::of_debits('B', [("EMP-78", 600)]);
    bytes[95 + 75..95 + 78].copy_from_slice(b"   ");
    let answer = send(&world, &token, "file:0002", "employer", &bytes).await;
    finished(&world, &token, &answer).await;
    assert_eq!(told(&world, &token, &answer).await, named(&[(1, "invalid", "effective_date_holiday")]));
    let body = json!({"reason": "settled on Monday", "effective_at": "2026-05-02"});
    let posted = review(&world, &token, "review:1", (&row_path(&answer, 1), "post"), &body).await;
    let payment = world.get(&format!("{}?wait=20", posted.header("location").unwrap()), &token).await.json();
    assert_eq!((&payment["loan_id"], &payment["effective_at"]), (&json!(loan), &json!("2026-05-02")), "{payment}");
}
