//! What endpoints are told, and that it is what the API says of the same.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::webhooks::{act, deliveries, endpoint, fresh, make, opened, pay, text, until};
use crate::api::world::{BORROWER, LOAN, World, payment};
use crate::support::receiver::{Mood, Received, Receiver};

const EVERYTHING: [&str; 6] = [
    "journalEntryPosted",
    "payment.posted",
    "payment.rejected",
    "payment.returned",
    "payment.return_rejected",
    "payment.reversed",
];

async fn told(receiver: &Receiver, count: usize) -> Vec<Received> {
    until("the receiver is told", || async { receiver.received().len() >= count }).await;
    let messages = receiver.received();
    assert_eq!(messages.len(), count, "{messages:?}");
    messages
}

fn of<'r>(messages: &'r [Received], told: &str) -> &'r Received {
    messages.iter().find(|it| it.told() == told).unwrap_or_else(|| panic!("{told} is not among {messages:?}"))
}

#[tokio::test]
async fn a_payment_is_told_as_it_was_answered() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    let (id, secret) = make(&world, &token, &receiver.url("/in?a=b"), &EVERYTHING).await;
    let paid = pay(&world, &token, "payment:told").await;
    let messages = told(&receiver, 2).await;

    let entry_id = text(&paid["journal_entry_id"]);
    let entry = world.get(&format!("/v1/journal-entries/{entry_id}"), &token).await.json();
    let expected = json!({"journal_entry_id": entry_id, "tenant_id": "00000000-0000-0000-0000-000000000001",
        "event_type": "payment_received", "occurred_at": entry["posted_at"], "correlation_id": entry["correlation_id"]});
    assert_eq!(of(&messages, "journalEntryPosted").json(), expected);
    let posted = of(&messages, "payment.posted");
    let expected = json!({"type": "payment.posted", "timestamp": paid["posted_at"],
        "tenant_id": "00000000-0000-0000-0000-000000000001", "loan_id": LOAN, "idempotency_key": "payment:told",
        "external_ref": "stripe_ch_xyz123", "data": paid});
    assert_eq!(posted.json(), expected);
    for message in &messages {
        assert!(message.is_signed_by(&secret), "{message:?}");
        assert_eq!((message.path.as_str(), message.header("content-type")), ("/in", "application/json"));
        assert!(message.id().starts_with("msg_"), "{message:?}");
    }
    assert_ne!(messages[0].id(), messages[1].id());
    until("it is kept that it was told", || async {
        endpoint(&world, &token, &id).await["last_delivered_at"].is_string()
    })
    .await;
    assert_eq!(endpoint(&world, &token, &id).await.get("failing_since"), None);
    assert_eq!(deliveries(&world, &token, &id).await, Vec::<Value>::new(), "what arrives at once leaves no row");
}

#[tokio::test]
async fn a_rejection_and_a_return_are_told() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    make(&world, &token, &receiver.url("/"), &["payment.rejected", "payment.returned"]).await;
    let mut unknown = payment();
    unknown["loan_id"] = json!("33333333-3333-3333-3333-333333333333");
    let refused = world.post("/v1/payments", &token, "payment:unknown", &unknown).await;
    assert_eq!(refused.problem(), (422, "loan_not_found".to_owned()));
    let messages = told(&receiver, 1).await;
    let rejected = of(&messages, "payment.rejected").json();
    let payment_id = text(&refused.json()["payment_event_id"]);
    let status = world.get(&format!("/v1/payments/{payment_id}"), &token).await.json();
    assert_eq!(
        rejected["data"],
        json!({"payment_event_id": payment_id, "status": "rejected", "code": "loan_not_found",
        "rejected_at": status["rejected_at"]})
    );

    let paid = pay(&world, &token, "payment:returned").await;
    let payment_id = text(&paid["payment_event_id"]);
    let body = json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": "2500"});
    let path = format!("/v1/payments/{payment_id}/return");
    let returned = world.post(&path, &token, "return:0001", &body).await;
    assert_eq!(returned.status, 201, "{returned:?}");
    let messages = told(&receiver, 2).await;
    let status = world.get(&format!("/v1/payments/{payment_id}"), &token).await.json();
    assert_eq!(
        of(&messages, "payment.returned").json()["data"],
        json!({"payment_event_id": payment_id,
        "status": status["status"], "undone_by": status["undone_by"], "return": returned.json()})
    );
}

#[tokio::test]
async fn a_recovery_and_a_reversal_are_told_as_what_they_are() {
    let (world, token) = opened().await;
    let body = json!({"loan_id": LOAN, "effective_at": "2026-05-01"});
    let charged_off = world.post("/v1/chargeoffs", &token, "chargeoff:1", &body).await;
    assert_eq!(charged_off.status, 201, "{charged_off:?}");
    let receiver = Receiver::new(Mood::Well).await;
    make(&world, &token, &receiver.url("/"), &EVERYTHING).await;
    let paid = pay(&world, &token, "payment:recovery").await;
    let messages = told(&receiver, 2).await;
    assert_eq!(of(&messages, "journalEntryPosted").json()["event_type"], "recovery");
    assert_eq!(of(&messages, "payment.posted").json()["data"], paid);

    let body = json!({"reverses_entry_id": paid["journal_entry_id"], "reason_code": "duplicate",
        "effective_at": "2026-05-01"});
    let reversed = world.post("/v1/reversals", &token, "reversal:0001", &body).await;
    assert_eq!(reversed.status, 201, "{reversed:?}");
    let messages = told(&receiver, 4).await;
    let status = world.get(&format!("/v1/payments/{}", text(&paid["payment_event_id"])), &token).await.json();
    assert_eq!((&status["status"], &status["event_type"]), (&json!("reversed"), &json!("recovery")));
    let message = of(&messages, "payment.reversed").json();
    let data = json!({"payment_event_id": paid["payment_event_id"], "status": "reversed",
        "undone_by": status["undone_by"], "reversal": reversed.json()});
    assert_eq!((&message["data"], &message["loan_id"]), (&data, &json!(LOAN)));

    let feed = world.get("/v1/changes", &token).await.json();
    let types: Vec<&str> =
        feed["items"].as_array().unwrap().iter().filter_map(|it| it["event_type"].as_str()).collect();
    assert_eq!(types, ["manual_adjustment", "chargeoff", "recovery", "reversal"]);
    assert_eq!(feed["items"][3]["undoes"], paid["payment_event_id"]);
}

/// A payment is told with all that its answer tells: what it restated, and the late fee that it has shown to be wrong.
#[tokio::test]
async fn a_late_item_is_told_with_what_it_restates() {
    let (world, token) = opened().await;
    let on = |day: &str, amount: &str| {
        let mut body = payment();
        (body["effective_at"], body["amount_minor"]) = (json!(day), json!(amount));
        body
    };
    let paid = world.post("/v1/payments", &token, "payment:in-order", &on("2026-04-20", "11000")).await.json();
    let fee = json!({"loan_id": LOAN, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-04-25",
        "late_for": {"period_from": "2026-03-16", "due_at": "2026-04-15", "due_minor": "10400"}});
    assert_eq!(world.post("/v1/fees", &token, "fee:late-payment", &fee).await.status, 201);
    let receiver = Receiver::new(Mood::Well).await;
    make(&world, &token, &receiver.url("/"), &["payment.posted", "payment.returned", "payment.reversed"]).await;
    // 104.00 of 10 April: 100.00 of interest and 4.00 of fees less for the payment of 20 April, and 104.00 of 104.00.
    let late = world.post("/v1/payments", &token, "payment:found-late", &on("2026-04-10", "10400")).await.json();
    assert_eq!((late["restated"].as_array().unwrap().len(), late["fees_to_review"].as_array().unwrap().len()), (1, 1));
    let messages = told(&receiver, 1).await;
    assert_eq!(of(&messages, "payment.posted").json()["data"], late);

    let path = format!("/v1/payments/{}/return", text(&late["payment_event_id"]));
    let body = json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": "2500"});
    let returned = world.post(&path, &token, "return:found-late", &body).await.json();
    assert_eq!(returned["restated"][0]["event_id"], paid["payment_event_id"], "{returned}");
    let messages = told(&receiver, 2).await;
    assert_eq!(of(&messages, "payment.returned").json()["data"]["return"], returned);

    let again = world.post("/v1/payments", &token, "payment:found-again", &on("2026-04-11", "10400")).await.json();
    let messages = told(&receiver, 3).await;
    assert_eq!(messages[2].json()["data"], again);
    let body = json!({"reverses_entry_id": again["journal_entry_id"], "reason_code": "duplicate",
        "effective_at": "2026-05-02"});
    let reversed = world.post("/v1/reversals", &token, "reversal:late", &body).await.json();
    assert!(reversed["restated"].is_array(), "{reversed}");
    let messages = told(&receiver, 4).await;
    assert_eq!(of(&messages, "payment.reversed").json()["data"]["reversal"], reversed);
}

#[tokio::test]
async fn endpoints_are_told_what_they_asked_for_from_when_they_were_made() {
    let (world, token) = opened().await;
    pay(&world, &token, "payment:before").await;
    let receiver = Receiver::new(Mood::Well).await;
    make(&world, &token, &receiver.url("/entries"), &["journalEntryPosted"]).await;
    make(&world, &token, &receiver.url("/returns"), &["payment.returned"]).await;
    let body = json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "500", "currency": "USD",
        "effective_at": "2026-05-01", "method": "ach"});
    let lent = world.post("/v1/disbursements", &token, "disbursement:1", &body).await;
    assert_eq!(lent.status, 201, "{lent:?}");
    let paid = pay(&world, &token, "payment:after").await;
    let messages = told(&receiver, 2).await;
    let entries: Vec<String> = messages.iter().map(|it| text(&it.json()["journal_entry_id"])).collect();
    assert_eq!(entries.len(), 2);
    for entry in [&lent.json()["journal_entry_id"], &paid["journal_entry_id"]] {
        assert!(entries.contains(&text(entry)), "{entries:?}");
    }
    assert!(messages.iter().all(|it| it.path == "/entries"), "{messages:?}");
}

#[tokio::test]
async fn two_secrets_sign_for_a_day() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    let (id, first) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    let second = text(&act(&world, &token, &id, "rotate-secret").await.json()["secret"]);
    pay(&world, &token, "payment:both").await;
    let both = told(&receiver, 1).await.remove(0);
    assert!(both.is_signed_by(&first) && both.is_signed_by(&second), "{both:?}");
    world.clock.advance(Duration::from_hours(24));
    let token = fresh(&world).await;
    pay(&world, &token, "payment:second").await;
    let alone = told(&receiver, 2).await.remove(1);
    assert!(!alone.is_signed_by(&first) && alone.is_signed_by(&second), "{alone:?}");
}

#[tokio::test]
async fn a_ping_is_sent_and_logged() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    let (id, secret) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    let asked = act(&world, &token, &id, "test").await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let ping = told(&receiver, 1).await.remove(0);
    assert_eq!((ping.id(), ping.told()), (asked.json()["webhook_id"].as_str().unwrap(), "ping"));
    assert!(ping.is_signed_by(&secret));
    assert_eq!((&ping.json()["type"], &ping.json()["data"]["webhook_endpoint_id"]), (&json!("ping"), &json!(id)));
    until("the ping is settled", || async { deliveries(&world, &token, &id).await[0]["status"] == "delivered" }).await;
    let log = deliveries(&world, &token, &id).await;
    assert_eq!((log.len(), &log[0]["response_status"], &log[0]["attempts"]), (1, &json!(204), &json!(1)), "{log:?}");
}

async fn replayed(world: &World, token: &str, id: &str, since: &str) {
    let path = format!("/v1/webhook-endpoints/{id}/replay");
    let key = format!("replay:{}", uuid::Uuid::new_v4());
    let answer = world.post(&path, token, &key, &json!({"since": since})).await;
    assert_eq!((answer.status, &answer.json()["webhook_endpoint_id"]), (202, &json!(id)), "{answer:?}");
}

#[tokio::test]
async fn a_replay_tells_again_under_the_same_ids() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    let (id, _) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    let first = pay(&world, &token, "payment:first").await;
    told(&receiver, 1).await;
    world.clock.advance(Duration::from_mins(10));
    let second = pay(&world, &token, "payment:second").await;
    let before = told(&receiver, 2).await;
    replayed(&world, &token, &id, second["posted_at"].as_str().unwrap()).await;
    let messages = told(&receiver, 3).await;
    assert_eq!((messages[2].id(), &messages[2].body), (before[1].id(), &before[1].body));
    replayed(&world, &token, &id, first["posted_at"].as_str().unwrap()).await;
    let messages = told(&receiver, 5).await;
    assert_eq!(receiver.taken_ids("payment.posted").len(), 2, "{messages:?}");
    replayed(&world, &token, &id, "2030-01-01T00:00:00+01:00").await;
    pay(&world, &token, "payment:third").await;
    told(&receiver, 6).await;
}

#[tokio::test]
async fn what_happens_while_it_is_off_is_told_when_it_is_on() {
    let (world, token) = opened().await;
    let receiver = Receiver::new(Mood::Well).await;
    let (id, _) = make(&world, &token, &receiver.url("/"), &["payment.posted"]).await;
    assert_eq!(act(&world, &token, &id, "disable").await.status, 201);
    pay(&world, &token, "payment:quiet").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(receiver.received().len(), 0);
    assert_eq!(act(&world, &token, &id, "enable").await.status, 201);
    assert_eq!(told(&receiver, 1).await[0].json()["idempotency_key"], "payment:quiet");
}
