//! Owns the rows and stories of exceptions of files, and of what a person decides about them.

use serde_json::{Value, json};

use super::raw::{Answer, PATIENCE, exchange};
use super::row::{Row, same};
use super::rows_ach::send;
use super::rows_dates::TEXTS as DATES;
use super::stories::{Story, Told, hold};
use super::world::{Facts, World};
use crate::support::ach::AchFile;

/// The stories of both deployments: a payment of the first file, and one that a person posts.
pub(super) const STORIES: &[Story] =
    &[Story { number: "101", name: "one entry in two files", stores: 2, run: |world| Box::pin(seen_twice(world)) }];

/// A file that is not there.
const NOWHERE: &str = "/v1/ach/files/99999999-9999-4999-8999-999999999999/exceptions/1";

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = lists(facts);
    for act in ["post", "discard"] {
        let path = format!("{NOWHERE}/{act}");
        let of = |name: &str, body: &Value| {
            Row::post("review", format!("{act}: {name}"), &path, &facts.demo, body.to_string())
        };
        let good = json!({"reason": "seen"});
        rows.push(of("no such file", &good).refused(404, &["not_found"]));
        rows.push(of("no key", &good).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]));
        rows.push(of("no token", &good).without("Authorization").refused(401, &["unauthenticated"]));
        rows.push(of("an empty body", &good).body("").refused(400, &["malformed_json"]));
        rows.push(of("text", &good).instead("Content-Type", "text/plain").refused(415, &["unsupported_media_type"]));
        let narrow = format!("Bearer {}", facts.narrow);
        rows.push(of("another's scope", &good).instead("Authorization", narrow).refused(403, &["insufficient_scope"]));
        for (name, value) in [
            ("reason", Value::Null),
            ("reason", json!("")),
            ("reason", json!(1)),
            ("reason", json!("a\tb")),
            ("reason", json!("x".repeat(256))),
            ("amount_minor", json!("1")),
            ("loan_id", json!("11111111-1111-1111-1111-111111111111")),
        ] {
            let mut body = good.clone();
            body[name] = value;
            rows.push(of(&format!("{name} {}", body[name]), &body).invalid(&[name]));
        }
        let dated = json!({"reason": "seen", "effective_at": "2026-05-01"});
        let row = of("a date", &dated);
        rows.push(if act == "post" { row.refused(404, &["not_found"]) } else { row.invalid(&["effective_at"]) });
        for file in ["x", "99999999-9999-4999-8999-99999999999"] {
            let target = format!("/v1/ach/files/{file}/exceptions/1/{act}");
            let row = Row::post("review", format!("{act}: file {file}"), &target, &facts.demo, good.to_string());
            rows.push(row.refused(404, &["not_found"]));
        }
        for number in ["0", "01", "-1", "1.0", "9223372036854775808", "x"] {
            let target = format!("/v1/ach/files/99999999-9999-4999-8999-999999999999/exceptions/{number}/{act}");
            let row = Row::post("review", format!("{act}: row {number}"), &target, &facts.demo, good.to_string());
            rows.push(row.refused(404, &["not_found"]));
        }
    }
    for (number, texts) in DATES {
        for text in *texts {
            let body = json!({"reason": "seen", "effective_at": text});
            let path = format!("{NOWHERE}/post");
            let row = Row::post(number, format!("review: on {text:?}"), &path, &facts.demo, body.to_string());
            rows.push(row.invalid(&["effective_at"]));
        }
    }
    rows
}

fn lists(facts: &Facts) -> Vec<Row> {
    let of = |query: &str| {
        let target = format!("/v1/ach/exceptions{query}");
        Row::get("review", format!("list{query}"), &target, &facts.demo)
    };
    let long = format!("?reason={}", "x".repeat(64));
    let mut rows: Vec<Row> = [
        ("?reason=", "reason"),
        ("?reason=Prenote", "reason"),
        (long.as_str(), "reason"),
        ("?page_size=501", "page_size"),
        ("?page_token=x", "page_token"),
        ("?page_token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "page_token"),
        ("?tenant_id=1", "tenant_id"),
    ]
    .into_iter()
    .map(|(query, field)| of(query).refused(400, &["invalid_parameter"]).fields(&[field]))
    .collect();
    rows.push(of("?feed=x&feed=y").refused(400, &["invalid_parameter"]).fields(&["feed"]));
    rows.push(of("").without("Authorization").refused(401, &["unauthenticated"]));
    rows.push(Row::get("review", "one that is not there", NOWHERE, &facts.demo).refused(404, &["not_found"]));
    rows
}

async fn review(world: &World, key: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        world.facts.demo,
        body.len()
    );
    exchange(world.address, request.as_bytes(), PATIENCE).await
}

/// The same entry under two headers: posted once, until a person says that it is two.
async fn seen_twice(world: &World) -> Told {
    let (feed, debits) = ("demo", [("999999", 4_711)]);
    let first = send(world, "story:review:first", feed, &AchFile::of_debits('Q', debits)).await;
    hold(first.json()["accepted"] == 1, "expected one payment", &first)?;
    let second = send(world, "story:review:second", feed, &AchFile::of_debits('R', debits)).await;
    hold(second.json()["invalid"] == 1 && second.json()["accepted"] == 0, "expected one exception", &second)?;
    let path = format!("/v1/ach/files/{}/exceptions/1", second.json()["batch_id"].as_str().unwrap_or_default());
    let because = json!({"reason": "two payments of one day"});
    let posted = review(world, "story:review:post", &format!("{path}/post"), &because).await;
    hold(posted.status == 201 && posted.json()["code"] == "soft_duplicate", "expected 201", &posted)?;
    let again = review(world, "story:review:post", &format!("{path}/post"), &because).await;
    hold(again.status == 200 && again.body == posted.body, "expected a replay", &again)?;
    let late = review(world, "story:review:late", &format!("{path}/discard"), &because).await;
    hold(late.status == 409 && late.json()["code"] == "already_resolved", "expected already_resolved", &late)?;
    same(&late, &review(world, "story:review:late", &format!("{path}/discard"), &because).await)
}
