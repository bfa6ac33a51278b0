//! What a caller who follows the change feed gets, in pages and as a stream.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::world::{DEADLINE, LOAN, Workers, World, payment};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:ledger:read";

/// A stream that a caller reads event by event.
struct Events {
    headers: HeaderMap,
    body: Body,
    unread: String,
    /// The last `id` seen, as a browser keeps it.
    last_id: String,
}

impl Events {
    async fn open(world: &World, token: &str, query: &str, last_id: Option<&str>) -> Result<Self, (u16, String)> {
        let mut request = Request::get(format!("/v1/changes/stream{query}"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts.status == 200 {
            return Ok(Self { headers: parts.headers, body, unread: String::new(), last_id: String::new() });
        }
        let problem: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        Err((parts.status.as_u16(), problem["code"].as_str().unwrap().to_owned()))
    }

    /// The next change; `None` where the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.unread = rest;
                if let Some(id) = event.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    assert!(event.lines().any(|line| line == "event: change"), "{event}");
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            let frame = timeout(DEADLINE, self.body.frame()).await.expect("the stream stays silent")?;
            self.unread.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await.expect("the stream ended"));
        }
        taken
    }
}

async fn pay(world: &World, token: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let answer = world.post("/v1/payments", token, &format!("payment:{number}"), &payment()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

async fn page(world: &World, token: &str, query: &str) -> Value {
    let answer = world.get(&format!("/v1/changes{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn cursor(page: &Value) -> &str {
    page["next_cursor"].as_str().unwrap()
}

#[tokio::test]
async fn pages_of_changes_tell_what_became_of_events() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let empty = page(&world, &token, "").await;
    assert_eq!((&empty["items"], &empty["has_more"]), (&json!([]), &json!(false)));
    let opened = world.open_loan(&token, "loan:11111111").await.json();
    let paid = world.post("/v1/payments", &token, "payment:1", &payment()).await.json();
    let mut lost = payment();
    lost["loan_id"] = json!("cccccccc-cccc-cccc-cccc-cccccccccccc");
    let lost = world.post("/v1/payments", &token, "payment:2", &lost).await.json();

    let whole = page(&world, &token, &format!("?cursor={}", cursor(&empty))).await;

    assert_eq!(whole["has_more"], false);
    let [opening, payment, rejected] = &whole["items"].as_array().unwrap()[..] else { panic!("{whole}") };
    assert_eq!(opening["loan_event_id"], opened["loan_event_id"]);
    assert_eq!((&opening["event_type"], &opening["loan_version"]), (&json!("manual_adjustment"), &json!(1)));
    let expected = json!({
        "payment_event_id": paid["payment_event_id"], "status": "posted", "event_type": "payment_received",
        "loan_id": LOAN, "loan_version": 2, "journal_entry_id": paid["journal_entry_id"], "amount_minor": "88849",
        "currency": "USD", "allocation": paid["allocation"], "idempotency_key": "payment:1",
        "effective_at": "2026-05-01", "posted_at": paid["posted_at"],
    });
    assert_eq!(*payment, expected);
    assert_eq!(rejected["payment_event_id"], lost["payment_event_id"]);
    assert_eq!((&rejected["status"], &rejected["code"]), (&json!("rejected"), &json!("loan_not_found")));
    let absent = ["loan_version", "journal_entry_id", "posted_at", "allocation"];
    assert!(absent.iter().all(|name| rejected.get(name).is_none()) && rejected["rejected_at"].is_string());

    let end = page(&world, &token, &format!("?cursor={}", cursor(&whole))).await;
    assert_eq!((&end["items"], cursor(&end)), (&json!([]), cursor(&whole)), "the cursor stays where nothing is new");
}

#[tokio::test]
async fn pages_join_without_a_gap_and_cursors_are_checked() {
    let world = World::new(Workers::Running).await;
    world.tenant(2, "other").await;
    let (token, other) = (world.token("demo", ALL).await, world.token("other", ALL).await);
    world.open_loan(&token, "loan:11111111").await;
    pay(&world, &token, 0..6).await;
    let whole = page(&world, &token, "").await;
    let (mut seen, mut query) = (Vec::new(), "?page_size=2".to_owned());
    loop {
        let part = page(&world, &token, &query).await;
        seen.extend(part["items"].as_array().unwrap().clone());
        query = format!("?page_size=2&cursor={}", cursor(&part));
        if part["has_more"] == false {
            break;
        }
        assert_eq!(part["items"].as_array().unwrap().len(), 2);
    }
    assert_eq!(json!(seen), whole["items"]);

    assert_eq!(page(&world, &other, "").await["items"], json!([]), "another tenant's feed");
    let latest = page(&world, &token, "?cursor=latest").await;
    assert_eq!((&latest["items"], cursor(&latest)), (&json!([]), cursor(&whole)));
    let foreign = format!("?cursor={}", cursor(&whole));
    assert_eq!(world.get(&format!("/v1/changes{foreign}"), &other).await.problem().0, 400);
    for query in ["?cursor=", "?cursor=x", "?page_size=0", "?page_size=5001", "?wait=x", "?tenant_id=1"] {
        let refused = world.get(&format!("/v1/changes{query}"), &token).await;
        assert_eq!(refused.problem(), (400, "invalid_parameter".to_owned()), "{query}");
    }
    assert_eq!(page(&world, &token, "?page_size=5000").await, whole);
}

#[tokio::test]
async fn a_poller_waits_for_the_next_change() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let end = page(&world, &token, "?cursor=latest").await;
    let waiting = format!("?wait=20&cursor={}", cursor(&end));

    let (told, ()) = tokio::join!(page(&world, &token, &waiting), pay(&world, &token, 0..1));

    assert_eq!(told["items"][0]["idempotency_key"], "payment:0");
    let again = page(&world, &token, &waiting).await;
    assert_eq!(again, told, "what is there is not waited for");
    let in_vain = page(&world, &token, &format!("?wait=1&cursor={}", cursor(&told))).await;
    assert_eq!((&in_vain["items"], cursor(&in_vain)), (&json!([]), cursor(&told)));
}

#[tokio::test]
async fn a_stream_that_is_cut_off_goes_on_where_it_was() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    pay(&world, &token, 0..4).await;
    let mut first = Events::open(&world, &token, "", None).await.unwrap();
    assert_eq!(first.headers["content-type"], "text/event-stream");
    assert_eq!(first.headers["cache-control"], "no-store");
    let mut seen = first.take(3).await;
    let last_id = first.last_id.clone();
    drop(first);

    let mut second = Events::open(&world, &token, "?cursor=latest", Some(&last_id)).await.unwrap();
    seen.extend(second.take(2).await);
    pay(&world, &token, 4..7).await;
    seen.extend(second.take(3).await);

    assert_eq!(json!(seen), page(&world, &token, "").await["items"], "nothing is skipped or doubled");
    assert_eq!(page(&world, &token, &format!("?cursor={}", second.last_id)).await["items"], json!([]));
    let mut live = Events::open(&world, &token, "?cursor=latest", None).await.unwrap();
    pay(&world, &token, 7..8).await;
    let (of_both, of_live) = (second.take(1).await, live.take(1).await);
    assert_eq!(of_both, of_live, "streams that keep up share their pages");
    assert_eq!(of_live[0]["idempotency_key"], "payment:7");
    assert_eq!(Events::open(&world, &token, "", Some("x")).await.err().unwrap().1, "invalid_parameter");
    assert_eq!(Events::open(&world, &token, "?cursor=x", None).await.err().unwrap().0, 400);
}

#[tokio::test]
async fn streams_of_many_readers_are_whole_while_payments_are_posted() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let read = async {
        let mut last_id = None;
        let mut seen = BTreeSet::new();
        // Comes back after every few changes, as over a bad line.
        while seen.len() < 31 {
            let mut events = Events::open(&world, &token, "", last_id.as_deref()).await.unwrap();
            for change in events.take((31 - seen.len()).min(4)).await {
                assert!(seen.insert(change["loan_version"].as_i64().unwrap()), "doubled: {change}");
            }
            last_id = Some(events.last_id.clone());
        }
        seen
    };
    let follow = async {
        let mut events = Events::open(&world, &token, "", None).await.unwrap();
        events.take(31).await.iter().map(|change| change["loan_version"].as_i64().unwrap()).collect::<BTreeSet<_>>()
    };
    let (one, two, ()) = tokio::join!(read, follow, pay(&world, &token, 0..30));
    assert!(one.iter().copied().eq(1..=31) && two.iter().copied().eq(1..=31), "{one:?} {two:?}");
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_process() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let mut expiring = Events::open(&world, &token, "", None).await.unwrap();
    expiring.take(1).await;
    world.clock.advance(Duration::from_secs(3631));
    let fresh = world.token("demo", ALL).await;
    pay(&world, &fresh, 0..1).await;
    assert_eq!(expiring.next().await, None, "the token is over");
    assert_eq!(Events::open(&world, &token, "", None).await.err().unwrap(), (401, "token_expired".to_owned()));

    let mut events = Events::open(&world, &fresh, "", None).await.unwrap();
    events.take(2).await;
    let (ended, ()) = tokio::join!(timeout(Duration::from_secs(5), events.next()), async { world.lifecycle.stop() });
    assert_eq!(ended.unwrap(), None);
    assert_eq!(Events::open(&world, &fresh, "", None).await.err().unwrap(), (503, "overloaded".to_owned()));
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives_until_its_client_is_shut_out() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    let mut events = Events::open(&world, &token, "", None).await.unwrap();
    let mut piece = async || {
        let frame = timeout(DEADLINE, events.body.frame()).await.expect("the stream stays silent")?;
        Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
    };
    let beginning = piece().await.unwrap();
    assert!(beginning.starts_with("retry: ") && beginning.contains("\nid: "), "{beginning}");
    assert!(!beginning.contains("data"), "{beginning}");
    assert_eq!(piece().await.as_deref(), Some(":\n\n"));
    world.disable("demo").await;
    // What is known of a token is forgotten after a minute.
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(piece().await, None);
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_gets_them_back() {
    let world = World::new(Workers::None).await;
    world.tenant(2, "other").await;
    let (token, other) = (world.token("demo", ALL).await, world.token("other", ALL).await);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(Events::open(&world, &token, "", None).await.unwrap());
    }
    assert_eq!(Events::open(&world, &token, "", None).await.err().unwrap(), (429, "rate_limited".to_owned()));
    assert!(Events::open(&world, &other, "", None).await.is_ok(), "clients do not share");
    assert_eq!(page(&world, &token, "").await["items"], json!([]), "streams at rest hold no connection");
    held.pop();
    assert!(Events::open(&world, &token, "", None).await.is_ok());
    let request = Request::get("/v1/changes/stream").header("authorization", format!("Bearer {token}"));
    let request = request.header("accept", "application/json").body(Body::empty()).unwrap();
    assert_eq!(world.call(request).await.problem(), (406, "not_acceptable".to_owned()));
}
