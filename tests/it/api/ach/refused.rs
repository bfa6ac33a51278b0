//! The bank has moved the money of a file: what its loan does not take is booked all the same, and what a rule refuses is
//! told.

use chrono::NaiveDate;
use hpts::core::ach::SecCode;
use hpts::core::ids::TenantId;
use hpts::core::ledger::ClosedPeriodRule;
use hpts::store::{GeneralLedger as _, Store};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::ach::returns::posted_by_itself;
use crate::api::ach::{account, finished, numbered_loan, opened, principal, results, row_path, send};
use crate::api::webhooks::{make, until};
use crate::api::world::World;
use crate::support::ach::{AchFile, trace};
use crate::support::receiver::{Mood, Receiver};

const OWED: i64 = 1_000_000_000;

fn day(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day)
}

async fn refuse(world: &World, token: &str, loan: &str) {
    let body = json!({"reason": "fraud", "refuse": true});
    let held = world.post(&format!("/v1/loans/{loan}/hold"), token, "hold:refuse", &body).await;
    assert_eq!(held.status, 201, "{held:?}");
}

#[tokio::test]
async fn a_payment_that_its_loan_does_not_take_is_an_unidentified_receipt() {
    let (world, token) = opened().await;
    let (paying, held) = (numbered_loan(&world, &token, "420").await, numbered_loan(&world, &token, "421").await);
    refuse(&world, &token, &held).await;
    let writer = world.token("demo", "hpts:adjustments:write").await;
    let closed = world.post("/v1/periods/2026-04/close", &writer, "close:april", &json!({"reason": "done"})).await;
    assert_eq!(closed.status, 201, "{closed:?}");
    let tenant = TenantId(Uuid::from_u128(1));
    assert!(world.store.set_closed_periods(tenant, ClosedPeriodRule::Refuse).await.unwrap());
    let mut file = AchFile::made_on('A', day(2025, 12, 29).unwrap());
    file.batch_of(SecCode::Ppd, day(2025, 12, 31), None).debit("420", 1_000);
    file.batch_of(SecCode::Ppd, day(2026, 4, 29), None).debit("420", 200);
    file.batch(SecCode::Ppd).debit("421", 30);
    file.debit("420", 4);
    let answer = send(&world, &token, "file:0001", "collections", &file.finish()).await;
    let told = finished(&world, &token, &answer).await;
    assert_eq!((&told["counts"]["posted"], &told["counts"]["rejected"]), (&json!(4), &json!(0)), "{told}");
    let rows = results(&world, &token, &answer).await;
    let named: Vec<_> =
        rows.iter().map(|row| [&row["metadata"]["rejection_code"], &row["metadata"]["loan_id"]]).collect();
    let expected = [
        [json!("effective_before_opening"), json!(paying)],
        [json!("period_closed"), json!(paying)],
        [json!("loan_on_hold"), json!(held)],
        [Value::Null, Value::Null],
    ];
    assert_eq!(named, expected.iter().map(|row| [&row[0], &row[1]]).collect::<Vec<_>>(), "{rows:#?}");
    assert_eq!(account(&world, &token, "2200").await, 1_230);
    assert_eq!(principal(&world, &token, &paying).await, OWED - 4);
    assert_eq!(principal(&world, &token, &held).await, OWED);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_return_is_posted_to_a_loan_that_refuses() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let paid = send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', [("420", 500)])).await;
    finished(&world, &token, &paid).await;
    refuse(&world, &token, &loan).await;
    let mut file = AchFile::new('B');
    file.batch(SecCode::Ppd).returned("420", 500, trace(1));
    let returned = send(&world, &token, "file:0002", "collections", &file.finish()).await;
    let told = finished(&world, &token, &returned).await;
    assert_eq!(told["counts"]["posted"], 1, "{told}");
    assert_eq!(results(&world, &token, &paid).await[0]["status"], "returned");
    assert_eq!(principal(&world, &token, &loan).await, OWED);
}

/// Two returns of one payment that nobody has posted yet.
#[tokio::test]
async fn rows_that_a_rule_refuses_are_told_with_their_file() {
    let (world, token) = opened().await;
    numbered_loan(&world, &token, "420").await;
    let paid = send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', [("420", 500)])).await;
    let told = finished(&world, &token, &paid).await;
    assert_eq!(told.get("rejected"), None, "{told}");
    let mut file = AchFile::new('B');
    file.batch(SecCode::Ppd).returned("420", 500, trace(1));
    file.returned("420", 500, trace(1));
    let returned = send(&world, &token, "file:0002", "collections", &file.finish()).await;
    let told = finished(&world, &token, &returned).await;
    assert_eq!((&told["counts"]["posted"], &told["counts"]["rejected"]), (&json!(1), &json!(1)), "{told}");
    let rows = results(&world, &token, &returned).await;
    let second = rows.iter().find(|row| row["status"] == "rejected").unwrap_or_else(|| panic!("{rows:#?}"));
    let expected = json!([{"row": 2, "event_id": second["payment_returned_event_id"],
        "rejection_code": "already_undone", "amount_minor": "500", "currency": "USD"}]);
    assert_eq!(told["rejected"], expected, "{told}");

    let list = world.get("/v1/ach/exceptions", &token).await.json();
    let expected = json!({"items": [{"batch_id": told["batch_id"], "feed": "collections",
        "received_at": told["received_at"], "may_be_posted": false, "event_id": second["payment_returned_event_id"],
        "rejection_code": "already_undone", "row": 2, "status": "rejected", "code": "posting_rejected",
        "idempotency_key": second["idempotency_key"], "amount_minor": "500", "currency": "USD"}]});
    assert_eq!(list, expected);
    for (query, found) in [("reason=posting_rejected", 1), ("reason=prenote", 0), ("feed=none", 0)] {
        let list = world.get(&format!("/v1/ach/exceptions?{query}"), &token).await.json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(found), "{query}: {list}");
    }
    assert_eq!(told["exceptions"], json!([]), "it is counted once, as rejected: {told}");
    a_person_ends_the_second(&world, &token, &told["batch_id"], &expected["items"][0]).await;
}

/// Row 2 of a file was rejected: it is discarded, once, and cannot be posted.
async fn a_person_ends_the_second(world: &World, token: &str, file: &Value, listed: &Value) {
    let path = format!("/v1/ach/files/{}/exceptions/2", file.as_str().unwrap());
    assert_eq!(world.get(&path, token).await.json(), *listed);
    let reason = json!({"reason": "the bank was called, booked by hand"});
    let post = world.post(&format!("{path}/post"), token, "end:0001", &reason).await;
    assert_eq!((post.status, &post.json()["errors"][0]["code"]), (422, &json!("rejected")), "{}", post.json());
    let done = world.post(&format!("{path}/discard"), token, "end:0001", &reason).await;
    let answer = json!({"batch_id": file, "row": 2, "code": "posting_rejected", "resolution": "discarded"});
    assert_eq!((done.status, done.json()), (201, answer.clone()));
    let again = world.post(&format!("{path}/discard"), token, "end:0001", &reason).await;
    assert_eq!((again.status, again.json()), (200, answer));
    let late = world.post(&format!("{path}/discard"), token, "end:0002", &reason).await;
    assert_eq!(late.problem(), (409, "already_resolved".to_owned()));
    let seen = world.get(&path, token).await.json();
    assert_eq!((&seen["resolution"], &seen["status"]), (&json!("discarded"), &json!("rejected")), "{seen}");
    assert_eq!(world.get("/v1/ach/exceptions", token).await.json()["items"], json!([]));
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// Two returns of one payment that came before it are both posted by themselves when it comes, while its loan waits.
#[tokio::test]
async fn an_exception_that_was_posted_and_then_rejected_waits_once_more() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd).returned("420", 500, trace(1));
    file.returned("420", 500, trace(1));
    let early = send(&world, &token, "file:0001", "collections", &file.finish()).await;
    finished(&world, &token, &early).await;
    let looked_at = json!({"reason": "looked at"});
    let held = world.post(&format!("/v1/loans/{loan}/hold"), &token, "hold:0001", &looked_at).await;
    assert_eq!(held.status, 201, "{held:?}");
    send(&world, &token, "file:0002", "collections", &AchFile::of_debits('B', [("420", 500)])).await;
    for row in [1, 2] {
        posted_by_itself(&world, &token, &early, row).await;
    }
    let path = row_path(&early, 2);
    assert_eq!(world.get(&path, &token).await.json()["resolution"], "posted");
    let released = world
        .post(&format!("/v1/loans/{loan}/release"), &token, "release:0001", &json!({"reason": "it is well"}))
        .await;
    assert_eq!(released.status, 201, "{released:?}");
    assert_eq!(finished(&world, &token, &early).await["counts"]["rejected"], 1);

    let waiting = world.get(&path, &token).await.json();
    assert_eq!((&waiting["code"], waiting.get("resolution")), (&json!("posting_rejected"), None), "{waiting}");
    let done = world.post(&format!("{path}/discard"), &token, "end:0001", &json!({"reason": "sent twice"})).await;
    assert_eq!(done.status, 201, "{done:?}");
    let ended = world.get(&path, &token).await.json();
    assert_eq!((&ended["code"], &ended["resolution"]), (&json!("posting_rejected"), &json!("discarded")), "{ended}");
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// A page goes on from the exceptions to the rejected rows of all files.
#[tokio::test]
async fn rejected_rows_of_all_files_are_listed_behind_the_exceptions() {
    let (world, token) = opened().await;
    numbered_loan(&world, &token, "420").await;
    let receiver = Receiver::new(Mood::Well).await;
    let hooks = world.token("demo", "hpts:webhooks:write").await;
    make(&world, &hooks, &receiver.url("/"), &["payment.return_rejected"]).await;
    let (mut rejected, mut payments) = (Vec::new(), Vec::new());
    for (modifier, cents) in [('A', 500), ('C', 700)] {
        let debits = AchFile::of_debits(modifier, [("420", cents), ("420", cents + 1)]);
        let paid = send(&world, &token, &format!("file:paid{cents}"), "collections", &debits).await;
        finished(&world, &token, &paid).await;
        payments.extend(results(&world, &token, &paid).await.into_iter().map(|row| row["payment_event_id"].clone()));
        let mut file = AchFile::new(char::from_u32(u32::from(modifier) + 1).unwrap());
        file.batch(SecCode::Ppd);
        for _ in 0..2 {
            file.returned("420", cents, trace(1));
            file.returned("420", cents + 1, trace(2));
        }
        file.entry(28, "420", 0, &[]);
        let returned = send(&world, &token, &format!("file:back{cents}"), "collections", &file.finish()).await;
        let told = finished(&world, &token, &returned).await;
        assert_eq!(told["counts"]["rejected"], 2, "{told}");
        rejected.extend([3, 4].map(|row| ("posting_rejected".to_owned(), row, told["batch_id"].clone())));
    }
    let (mut seen, mut query) = (Vec::new(), "?page_size=3".to_owned());
    loop {
        let page = world.get(&format!("/v1/ach/exceptions{query}"), &token).await.json();
        for it in page["items"].as_array().unwrap_or_else(|| panic!("{page}")) {
            seen.push((it["code"].as_str().unwrap().to_owned(), it["row"].as_i64().unwrap(), it["batch_id"].clone()));
        }
        let Some(next) = page["next_page_token"].as_str() else { break };
        query = format!("?page_size=3&page_token={next}");
    }
    assert_eq!(seen[..2].iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["prenote"; 2]);
    assert_eq!(seen[2..], rejected);

    until("the receiver is told", || async { receiver.received().len() >= 4 }).await;
    let list = world.get("/v1/ach/exceptions?reason=posting_rejected", &token).await.json();
    for (it, payment) in list["items"].as_array().unwrap().iter().zip(payments) {
        let event = world.get(&format!("/v1/events/{}", it["event_id"].as_str().unwrap()), &token).await.json();
        let told = receiver.received().into_iter().map(|message| message.json());
        let told = told.filter(|told| told["data"]["payment_returned_event_id"] == it["event_id"]).collect::<Vec<_>>();
        let expected = json!({"payment_returned_event_id": it["event_id"], "payment_event_id": payment,
            "status": "rejected", "code": "already_undone", "rejected_at": event["rejected_at"]});
        assert_eq!((told.len(), &told[0]["data"]), (1, &expected), "{told:?}");
        assert_eq!((&told[0]["type"], &told[0]["batch_id"]), (&json!("payment.return_rejected"), &it["batch_id"]));
    }
}

#[tokio::test]
async fn a_receipt_is_returned_and_an_assigned_one_when_that_is_reversed() {
    let (world, token) = opened().await;
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd);
    let bounced = file.debit("420", 3_000);
    file.debit("420", 70);
    file.batch(SecCode::Ppd).returned("420", 3_000, bounced);
    let received = send(&world, &token, "file:0001", "collections", &file.finish()).await;
    finished(&world, &token, &received).await;
    let rows = results(&world, &token, &received).await;
    assert_eq!((&rows[0]["status"], &rows[2]["status"]), (&json!("returned"), &json!("posted")), "{rows:#?}");
    assert_eq!(rows[2].get("fee_minor"), None, "nobody pays a fee: {rows:#?}");
    assert_eq!(account(&world, &token, "2200").await, 70);
    let loan = numbered_loan(&world, &token, "420").await;
    let assign = |row: usize| format!("/v1/receipts/{}/assignment", rows[row]["payment_event_id"].as_str().unwrap());
    let gone = world.post(&assign(0), &token, "assign:gone", &json!({"loan_id": loan})).await;
    assert_eq!(gone.problem(), (409, "already_undone".to_owned()));
    let assigned = world.post(&assign(1), &token, "assign:it", &json!({"loan_id": loan})).await;
    assert_eq!(assigned.status, 201, "{assigned:?}");

    let mut file = AchFile::new('B');
    file.batch(SecCode::Ppd).returned("420", 70, trace(2));
    let returned = send(&world, &token, "file:0002", "collections", &file.finish()).await;
    finished(&world, &token, &returned).await;
    let row = results(&world, &token, &returned).await.remove(0);
    assert_eq!(row["code"], "return_of_unidentified_receipt", "{row}");
    let path = format!("{}/post", row_path(&returned, 1));
    let early = world.post(&path, &token, "review:early", &json!({"reason": "it bounced"})).await;
    assert_eq!(early.problem(), (422, "not_postable".to_owned()));
    let reverser = world.token("demo", "hpts:reversals:write").await;
    let back = json!({"reverses_entry_id": assigned.json()["journal_entry_id"], "reason_code": "error_correction",
        "effective_at": "2026-05-02"});
    assert_eq!(world.post("/v1/reversals", &reverser, "assign:back", &back).await.status, 201);
    let posted = world.post(&path, &token, "review:then", &json!({"reason": "it bounced"})).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    let event = world.get(&format!("{}?wait=20", posted.header("location").unwrap()), &token).await.json();
    assert_eq!(event["status"], "posted", "{event}");
    assert_eq!(account(&world, &token, "2200").await, 0);
    assert_eq!(principal(&world, &token, &loan).await, OWED);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
