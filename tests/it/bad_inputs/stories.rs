//! Owns the rows that take more than one request: what stands afterwards is part of their answer.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::raw::{Answer, PATIENCE, exchange, send_and_leave, trickle};
use super::row::{replayed, same};
use super::world::{OTHER_LOAN, World, ZONED_LOAN, payment, payment_with, token, token_answer};

/// What a story finds wrong.
pub(super) type Told = Result<(), String>;

/// One row told by code.
pub(super) struct Story {
    pub(super) number: &'static str,
    pub(super) name: &'static str,
    /// Events it leaves in the store.
    pub(super) stores: u64,
    pub(super) run: for<'a> fn(&'a World) -> BoxFuture<'a, Told>,
}

/// The stories of both deployments. The first two take their time.
pub(super) const STORIES: &[Story] = &[
    Story { number: "9", name: "a body that falls silent", stores: 0, run: |world| Box::pin(silent_body(world)) },
    Story { number: "10", name: "one header byte a second", stores: 0, run: |world| Box::pin(slow_head(world)) },
    Story {
        number: "20",
        name: "the same command, written otherwise",
        stores: 2,
        run: |world| Box::pin(rewritten(world)),
    },
    Story { number: "21", name: "a cent more under the same key", stores: 2, run: |world| Box::pin(cent_more(world)) },
    Story { number: "22", name: "another tenant's key", stores: 2, run: |world| Box::pin(two_tenants(world)) },
    Story { number: "23", name: "an unfinished first", stores: 3, run: |world| Box::pin(held_loan(world)) },
    Story { number: "26", name: "a caller who leaves", stores: 2, run: |world| Box::pin(leaver(world)) },
    Story { number: "41", name: "odd texts are kept as they are", stores: 8, run: |world| Box::pin(odd_texts(world)) },
    Story { number: "51b", name: "the most there is, twice", stores: 4, run: |world| Box::pin(most_twice(world)) },
    Story { number: "56", name: "more than is owed", stores: 2, run: |world| Box::pin(overpaid(world)) },
    Story {
        number: "64",
        name: "a loan of nobody or of another tenant",
        stores: 2,
        run: |world| Box::pin(foreign_loan(world)),
    },
    Story { number: "78", name: "a client shut out", stores: 0, run: |world| Box::pin(shut_out(world)) },
    Story { number: "84", name: "guessing a secret", stores: 0, run: |world| Box::pin(guessing(world)) },
];

/// Numbers that a story of another number tells as well.
pub(super) const TOLD_TOGETHER: &[(&str, &str)] = &[
    ("25", "23"),
    ("65", "23"),
    ("42", "41"),
    ("43", "41"),
    ("108", "107"),
    ("110", "107"),
    ("111", "107"),
    ("112", "107"),
    ("113", "107"),
    ("115", "107"),
    ("116", "107"),
    ("117", "107"),
    ("118", "107"),
];

/// Fails with what was seen unless it holds.
pub(super) fn hold(holds: bool, what: &str, seen: &Answer) -> Told {
    let text = || format!("{what}: {} {:?} {}", seen.status, seen.headers, String::from_utf8_lossy(&seen.body));
    if holds { Ok(()) } else { Err(text()) }
}

/// Waits for a condition; fails after [`PATIENCE`].
pub(super) async fn eventually<F, R>(what: &str, condition: F) -> Told
where
    F: Fn() -> R,
    R: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        if Instant::now() > deadline {
            return Err(format!("waited in vain: {what}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A POST's head that announces a body.
fn head(world: &World, length: usize) -> String {
    format!(
        "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: story:{}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        world.facts.demo,
        Uuid::new_v4()
    )
}

async fn silent_body(world: &World) -> Told {
    let bytes = format!("{}{{\"loan_id\":", head(world, 500));
    let answer = exchange(world.address, bytes.as_bytes(), Duration::from_secs(45)).await;
    let code = answer.json()["code"].as_str() == Some("request_timeout");
    hold(answer.status == 408 && code && answer.closed, "expected 408 and the end", &answer)
}

async fn slow_head(world: &World) -> Told {
    let bytes = head(world, 10);
    let lasted = trickle(world.address, bytes.as_bytes(), Duration::from_secs(1)).await;
    if (Duration::from_secs(8)..Duration::from_secs(14)).contains(&lasted) {
        Ok(())
    } else {
        Err(format!("the connection lasted {lasted:?}, 10 s were expected"))
    }
}

async fn rewritten(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    let body = payment(&[("loan_id", json!(loan)), ("metadata", json!({"a": 1, "b": [true, "\u{e9}"]}))]);
    let first = world.pay("story:rewritten", "", &body).await;
    hold(first.status == 201, "expected 201", &first)?;
    let spaced = serde_json::to_string_pretty(&body).unwrap();
    let escaped = body.to_string().replace("\u{e9}", "\\u00e9").replace("ach", "\\u0061ch");
    let mut turned: Vec<(String, Value)> = body.as_object().unwrap().clone().into_iter().collect();
    turned.reverse();
    let turned: Vec<String> = turned.into_iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    let turned = format!("{{{}}}", turned.join(" , ")).replace("{\"a\":1,\"b\"", "{\"b\"").replace("]}", "],\"a\":1}");
    for other in [spaced, escaped, turned, body.to_string().replace(&loan, &loan.to_uppercase())] {
        let again = world.post("/v1/payments", &world.facts.demo, "story:rewritten", "", &other).await;
        replayed(&first, &again).map_err(|why| format!("{other}: {why}"))?;
    }
    Ok(())
}

async fn cent_more(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    let body = payment(&[("loan_id", json!(loan))]);
    let first = world.pay("story:cent-more", "", &body).await;
    hold(first.status == 201, "expected 201", &first)?;
    for (field, value) in [("amount_minor", json!("101")), ("external_ref", json!("x")), ("metadata", json!({}))] {
        let mut other = body.clone();
        other[field] = value;
        let answer = world.pay("story:cent-more", "", &other).await;
        let document = answer.json();
        let named = document["errors"][0]["field"] == field && document["errors"][1].is_null();
        let first_id = document["payment_event_id"] == first.json()["payment_event_id"];
        let mismatch = answer.status == 422 && document["code"] == "idempotency_mismatch";
        hold(mismatch && named && first_id, &format!("expected a mismatch of {field}"), &answer)?;
    }
    let opening = super::world::opening(&loan, &[]).to_string();
    let answer = world.post("/v1/loans", &world.facts.demo, "story:cent-more", "", &opening).await;
    hold(answer.json()["code"] == "idempotency_mismatch", "expected a mismatch of operations", &answer)
}

async fn two_tenants(world: &World) -> Told {
    let body = payment(&[("loan_id", json!(ZONED_LOAN))]).to_string();
    let (ahead, behind) = (&world.facts.ahead, &world.facts.behind);
    let first = world.post("/v1/payments", ahead, "story:two-tenants", "", &body).await;
    let second = world.post("/v1/payments", behind, "story:two-tenants", "", &body).await;
    let is_new = second.status == 201 && second.header("idempotent-replayed").is_none();
    let differ = first.json()["payment_event_id"] != second.json()["payment_event_id"];
    hold(first.status == 201 && is_new && differ, "expected a payment of its own", &second)
}

async fn held_loan(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    world.hold_loan(&loan).await;
    let body = payment(&[("loan_id", json!(loan))]);
    let first = world.pay("story:held", "Prefer: respond-async, wait=1\r\n", &body).await;
    let document = first.json();
    let location = format!("/v1/payments/{}", document["payment_event_id"].as_str().unwrap_or_default());
    let headers = first.header("location") == Some(&location)
        && first.header("retry-after").is_some()
        && first.header("preference-applied") == Some("respond-async, wait=1");
    hold(first.status == 202 && document["status"] == "accepted" && headers, "expected 202", &first)?;
    let status = world.get(&location, &world.facts.demo).await;
    hold(status.json()["status"] == "held", "expected the status held", &status)?;
    let again = world.pay("story:held", "", &body).await;
    let document = again.json();
    let told = document["code"] == "idempotency_in_progress" && document["payment_status"] == "held";
    let headers = again.header("location") == Some(&location) && again.header("retry-after").is_some();
    hold(again.status == 409 && told && headers, "expected 409 with Location and Retry-After", &again)?;
    same(&again, &world.pay("story:held", "", &body).await)?;
    world.release_loan(&loan).await;
    // The next payment of the loan takes along what waited before it.
    let next = world.pay("story:after-held", "Prefer: wait=30\r\n", &body).await;
    hold(next.status == 201, "expected 201 after the release", &next)?;
    let status = world.get(&location, &world.facts.demo).await;
    hold(status.json()["status"] == "posted", "expected the status posted", &status)
}

async fn leaver(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    let body = payment(&[("loan_id", json!(loan))]).to_string();
    let bytes = format!(
        "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: story:leaver\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        world.facts.demo,
        body.len()
    );
    for _ in 0..20 {
        send_and_leave(world.address, bytes.as_bytes()).await.map_err(|error| error.to_string())?;
    }
    let key = "story:leaver";
    eventually("the payment is posted", || async {
        let answer = world.post("/v1/payments", &world.facts.demo, key, "", &body).await;
        [200, 201].contains(&answer.status)
    })
    .await?;
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), &world.facts.demo).await;
    hold(balance.json()["total_exposure_minor"] == "1000200", "expected one payment of 100", &balance)
}

async fn odd_texts(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    let texts = [
        ("external_ref", json!("'; DROP TABLE events; --")),
        ("external_ref", json!("=HYPERLINK(\"http://evil.example\")")),
        ("external_ref", json!("a\u{202e}b \u{feff}\u{fffe}")),
        ("metadata", json!({"a\u{202e}": "\u{202e}gnp.exe", "b": "{{7*7}} ${jndi:ldap://x}"})),
        ("metadata", json!({"html": "<script>alert(1)</script>", "sql": "' OR '1'='1"})),
        ("metadata", json!({"__proto__": {"admin": true}, "constructor": []})),
    ];
    for (number, (field, value)) in texts.into_iter().enumerate() {
        let body = payment(&[("loan_id", json!(loan)), (field, value.clone())]);
        kept(world, number, &body.to_string(), field, &value.to_string()).await?;
    }
    let numbers = r#"{"a":1e400,"b":-0,"c":9223372036854775808,"d":1.10,"e":1e1000000}"#;
    let body = payment_with("metadata", numbers).replace(crate::processes::client::LOAN, &loan);
    kept(world, 9, &body, "metadata", numbers).await
}

/// Posts and reads back: the text of the field is the caller's.
async fn kept(world: &World, number: usize, body: &str, field: &str, text: &str) -> Told {
    let answer = world.post("/v1/payments", &world.facts.demo, &format!("story:odd-text:{number}"), "", body).await;
    hold(answer.status == 201, &format!("expected 201 for {text}"), &answer)?;
    let path = format!("/v1/payments/{}", answer.json()["payment_event_id"].as_str().unwrap_or_default());
    let read = world.get(&path, &world.facts.demo).await;
    let shown = String::from_utf8_lossy(&read.body).contains(&format!("\"{field}\":{text}"));
    hold(read.status == 200 && shown, &format!("expected {text} as it is"), &read)
}

async fn most_twice(world: &World) -> Told {
    let most = "9223372036854775807";
    let loan = world.fresh_loan().await;
    let body = payment(&[("loan_id", json!(loan)), ("amount_minor", json!(most))]);
    let first = world.pay("story:most:1", "", &body).await;
    hold(first.status == 201, "expected 201", &first)?;
    let path = format!("/v1/loans/{loan}/balance");
    let before = world.get(&path, &world.facts.demo).await;
    let second = world.pay("story:most:2", "", &body).await;
    let small = world.pay("story:most:3", "", &payment(&[("loan_id", json!(loan))])).await;
    hold(second.status == 201 || second.json()["code"] == "amount_overflow", "expected a rule's answer", &second)?;
    hold(small.status == 201 || small.json()["code"] == "amount_overflow", "expected a rule's answer", &small)?;
    hold(second.status == 422, "expected amount_overflow", &second)?;
    let after = world.get(&path, &world.facts.demo).await;
    let sum = |answer: &Answer| answer.json()["suspense_minor"].as_str().unwrap_or("?").to_owned();
    let unharmed = after.json()["total_exposure_minor"] == "0" && sum(&before).starts_with("922337203685");
    hold(unharmed, "expected balances unharmed", &after)
}

async fn overpaid(world: &World) -> Told {
    let loan = world.fresh_loan().await;
    let body = payment(&[("loan_id", json!(loan)), ("amount_minor", json!("5000000"))]);
    let answer = world.pay("story:overpaid", "", &body).await;
    let split = json!({
        "fees_minor": "100", "interest_minor": "200", "principal_minor": "1000000", "suspense_minor": "3999700",
    });
    hold(answer.status == 201 && answer.json()["allocation"] == split, "expected the rest in suspense", &answer)?;
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), &world.facts.demo).await;
    let document = balance.json();
    let is_clear = document["total_exposure_minor"] == "0" && document["suspense_minor"] == "3999700";
    hold(is_clear && !document.to_string().contains("\"-"), "expected nothing negative", &balance)
}

async fn foreign_loan(world: &World) -> Told {
    let mut answers = Vec::new();
    for (key, loan) in [("story:loan:nobody", "64000000-0000-4000-8000-000000000001"), ("story:loan:other", OTHER_LOAN)]
    {
        let answer = world.pay(key, "", &payment(&[("loan_id", json!(loan))])).await;
        hold(answer.status == 422 && answer.json()["code"] == "loan_not_found", "expected loan_not_found", &answer)?;
        let mut document = answer.json();
        for name in ["request_id", "payment_event_id"] {
            document.as_object_mut().unwrap().remove(name);
        }
        answers.push(document);
        for path in [
            format!("/v1/loans/{loan}"),
            format!("/v1/loans/{loan}/balance"),
            format!("/v1/loans/{loan}/journal-entries"),
        ] {
            let answer = world.get(&path, &world.facts.demo).await;
            hold(answer.status == 404, "expected 404", &answer)?;
        }
    }
    if answers[0] == answers[1] { Ok(()) } else { Err(format!("they can be told apart: {answers:?}")) }
}

async fn shut_out(world: &World) -> Told {
    let arguments = ["client", "create", "--json", "--id", "leaving", "--tenant", super::world::DEMO_TENANT];
    let made: Value = serde_json::from_str(&world.system.run(&arguments)).unwrap();
    let secret = made["client_secret"].as_str().unwrap();
    let bearer = token(world.address, "leaving", secret).await;
    world.disable("leaving");
    let answer = world.get(&format!("/v1/loans/{}", crate::processes::client::LOAN), &bearer).await;
    hold(answer.status == 401 && answer.json()["code"] == "unauthenticated", "expected 401", &answer)?;
    let form = format!("grant_type=client_credentials&client_id=leaving&client_secret={secret}");
    let answer = token_answer(world.address, &form).await;
    hold(answer.status == 401 && answer.json()["error"] == "invalid_client", "expected invalid_client", &answer)
}

async fn guessing(world: &World) -> Told {
    let mut last = Answer::default();
    // A window of guesses may end in the middle: two of them hold at most twenty.
    for number in 0..25 {
        let form = format!("grant_type=client_credentials&client_id=guessed&client_secret=wrong-{number}");
        last = token_answer(world.address, &form).await;
        if last.status == 429 {
            break;
        }
        hold(last.status == 401, "expected 401 until it is too much", &last)?;
    }
    let told = last.json()["code"] == "rate_limited" && last.header("retry-after").is_some();
    hold(last.status == 429 && told, "expected 429 with Retry-After", &last)
}
