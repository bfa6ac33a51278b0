//! Which payment a return takes back: that of its day, once, and never one that came after it.

use chrono::NaiveDate;
use hpts::core::ach::SecCode;
use hpts::store::Store;
use serde_json::{Value, json};

use crate::api::ach::{finished, numbered_loan, opened, principal, results, row_path, send};
use crate::api::world::{Answer, DEADLINE, World};
use crate::support::ach::{AchFile, trace};

const OWED: i64 = 1_000_000_000;

fn day(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, day).unwrap()
}

/// A collection of 500 from the loan 420, the day before: always the same amount and the same trace.
fn collection(modifier: char, of: NaiveDate) -> Vec<u8> {
    let mut file = AchFile::made_on(modifier, of.pred_opt().unwrap());
    file.batch_of(SecCode::Ppd, Some(of), None).debit("420", 500);
    file.finish()
}

/// The return of such a collection, in a file of another day.
fn return_file(modifier: char, made_on: NaiveDate, of: Option<NaiveDate>) -> Vec<u8> {
    let mut file = AchFile::made_on(modifier, made_on);
    file.batch_of(SecCode::Ppd, of, None).returned("420", 500, trace(1));
    file.finish()
}

/// Sends a file; its answer, and status, code and message of its one row.
async fn sent(world: &World, token: &str, key: &str, bytes: &[u8]) -> (Answer, [String; 3]) {
    let answer = send(world, token, key, "collections", bytes).await;
    finished(world, token, &answer).await;
    let row = results(world, token, &answer).await.remove(0);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = [text(&row["status"]), text(&row["code"]), text(&row["errors"][0]["message"])];
    (answer, told)
}

/// Waits until a row is no exception any more; its return's event.
pub(super) async fn posted_by_itself(world: &World, token: &str, file: &Answer, row: usize) -> String {
    let posted = async {
        loop {
            let rows = results(world, token, file).await;
            if let Some(event) = rows[row - 1]["payment_returned_event_id"].as_str() {
                return event.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, posted).await.unwrap()
}

async fn undone_by_hand(world: &World, token: &str, file: &Answer) {
    let payment = results(world, token, file).await.remove(0);
    let path = format!("/v1/payments/{}/return", payment["payment_event_id"].as_str().unwrap());
    let body = json!({"return_code": "R01", "effective_at": "2026-04-03"});
    let undone = world.post(&path, token, "return:by:hand", &body).await;
    assert_eq!(undone.status, 201, "{undone:?}");
}

#[tokio::test]
async fn a_return_that_comes_again_leaves_the_next_payment_alone() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let (first, told) = sent(&world, &token, "file:april", &collection('A', day(4, 1))).await;
    assert_eq!(told, ["posted", "", ""]);
    undone_by_hand(&world, &token, &first).await;
    // Known to be that payment's by its day; of no day it may be its return as well, for there is no other.
    let by_hand = sent(&world, &token, "file:again", &return_file('B', day(4, 3), Some(day(4, 1)))).await.1;
    assert_eq!(by_hand[..2], ["invalid", "return_already_undone"], "{by_hand:?}");
    assert!(by_hand[2].ends_with("was taken back before"), "{by_hand:?}");
    let of_no_day = sent(&world, &token, "file:no:day", &return_file('C', day(4, 3), None)).await.1;
    assert_eq!(of_no_day[..2], ["invalid", "return_already_undone"], "{of_no_day:?}");

    let (next, told) = sent(&world, &token, "file:may", &collection('D', day(5, 1))).await;
    assert_eq!(told, ["posted", "", ""]);
    for (modifier, made_on, of, code) in [
        ('E', day(4, 3), Some(day(4, 1)), "return_already_undone"),
        ('F', day(5, 2), Some(day(4, 1)), "return_already_undone"),
        ('G', day(4, 3), None, "return_already_undone"),
        ('H', day(5, 2), None, "return_ambiguous"),
        ('I', day(5, 2), Some(day(4, 2)), "return_unmatched"),
    ] {
        let file = return_file(modifier, made_on, of);
        let told = sent(&world, &token, &format!("file:stale:{modifier}"), &file).await.1;
        assert_eq!(told[..2], ["invalid", code], "{modifier}: {told:?}");
    }
    assert_eq!(principal(&world, &token, &loan).await, OWED - 500, "nobody took the payment of May back");
    let told = sent(&world, &token, "file:its:own", &return_file('Z', day(5, 2), Some(day(5, 1)))).await.1;
    assert_eq!(told[0], "posted", "{told:?}");
    assert_eq!(results(&world, &token, &next).await[0]["status"], "returned");
    assert_eq!(principal(&world, &token, &loan).await, OWED);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_return_waits_for_the_payment_of_its_day_and_for_no_other() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let (early, told) = sent(&world, &token, "file:early", &return_file('A', day(4, 3), Some(day(4, 1)))).await;
    assert_eq!(told[..2], ["invalid", "return_unmatched"]);
    let (of_no_day, told) = sent(&world, &token, "file:no:day", &return_file('B', day(3, 20), None)).await;
    assert_eq!(told[..2], ["invalid", "return_unmatched"]);
    let (later, told) = sent(&world, &token, "file:may", &collection('C', day(5, 1))).await;
    assert_eq!(told[0], "posted");
    // Of the two that wait the one without a day is looked at first: its file is the newer one.
    let (own, told) = sent(&world, &token, "file:april", &collection('D', day(4, 1))).await;
    assert!(["posted", "returned"].contains(&told[0].as_str()), "{told:?}");
    let event = posted_by_itself(&world, &token, &early, 1).await;
    let event = world.get(&format!("/v1/events/{event}?wait=20"), &token).await.json();
    assert_eq!(event["undoes"], results(&world, &token, &own).await[0]["payment_event_id"], "{event}");
    assert_eq!(results(&world, &token, &later).await[0]["status"], "posted");
    let waiting = world.get(&row_path(&of_no_day, 1), &token).await.json();
    assert_eq!(waiting.get("resolution"), None, "{waiting}");
    assert_eq!(principal(&world, &token, &loan).await, OWED - 500);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// Some banks write a day of their own into the batch of a return.
#[tokio::test]
async fn a_person_passes_over_the_day_of_a_return() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    sent(&world, &token, "file:april", &collection('A', day(4, 1))).await;
    let (file, told) = sent(&world, &token, "file:return", &return_file('B', day(4, 3), Some(day(4, 3)))).await;
    assert_eq!(told[..2], ["invalid", "return_unmatched"]);
    assert!(told[2].contains("names no payment of 2026-04-03; payment "), "{told:?}");
    assert!(told[2].ends_with(" of 2026-04-01 is alike but for the day"), "{told:?}");
    let path = format!("{}/post", row_path(&file, 1));
    let posted = world.post(&path, &token, "review:1", &json!({"reason": "it is that one"})).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    let event = world.get(&format!("{}?wait=20", posted.header("location").unwrap()), &token).await.json();
    assert_eq!(event["status"], "posted", "{event}");
    assert_eq!(principal(&world, &token, &loan).await, OWED);
}
