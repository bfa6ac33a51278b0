//! A file whose receiving is cut off goes on when it is sent again.

use chrono::NaiveDate;
use hpts::core::ach::SecCode;
use hpts::store::Store;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::api::ach::{account, finished, make_feed, numbered_loan, opened, principal, results, send, upload};
use crate::api::world::{Answer, DEADLINE, World};
use crate::support::ach::AchFile;

/// Entries of the file: two whole chunks and a half.
const ENTRIES: i64 = 2_500;
/// Rows that are stored before the caller goes away: one chunk at least.
const TAKEN: i64 = 1_000;

/// Payments of three loans in turn, each of as many cents as its row has as number; the second is returned by the third
/// entry, so that payment and return stand in the first chunk.
fn file() -> Vec<u8> {
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd);
    file.debit("421", 1);
    let bounced = file.debit("421", 2);
    file.batch(SecCode::Ppd).returned("421", 2, bounced);
    file.batch(SecCode::Ppd);
    for row in 4..=ENTRIES {
        file.debit(["420", "421", "422"][usize::try_from(row % 3).unwrap()], row);
    }
    file.finish()
}

async fn stored(world: &World) -> i64 {
    let sql = "SELECT count(*) FROM events WHERE batch_id IS NOT NULL";
    sqlx::query_scalar(sql).fetch_one(&mut world.connection().await).await.unwrap()
}

/// Sends the file and goes away when a chunk of it is stored.
async fn cut_off(world: &World, token: &str, bytes: &[u8]) {
    let sending = world.router.clone().oneshot(upload(token, "file:cut", "collections", bytes));
    let enough = async {
        while stored(world).await < TAKEN {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        answer = sending => panic!("it was received before it could be cut: {answer:?}"),
        done = tokio::time::timeout(DEADLINE, enough) => done.unwrap(),
    }
}

/// Sends it again as soon as the lease is given back, which happens in the background.
async fn resend(world: &World, token: &str, key: &str, bytes: &[u8]) -> Answer {
    tokio::time::timeout(DEADLINE, async {
        loop {
            let answer = send(world, token, key, "collections", bytes).await;
            if answer.status != 409 {
                return answer;
            }
        }
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_goes_on_with_every_row_once() {
    let (world, token) = opened().await;
    let paying = numbered_loan(&world, &token, "420").await;
    let bouncing = numbered_loan(&world, &token, "421").await;
    let bytes = file();
    cut_off(&world, &token, &bytes).await;
    assert!(stored(&world).await < ENTRIES, "something is left to be sent");
    let late = numbered_loan(&world, &token, "422").await;
    let answer = resend(&world, &token, "file:cut", &bytes).await;
    let file = finished(&world, &token, &answer).await;
    let told = answer.json();
    let counts = ["received", "accepted", "duplicates", "mismatched", "invalid"].map(|name| told[name].as_i64());
    assert_eq!(counts, [ENTRIES, ENTRIES, 0, 0, 0].map(Some), "{told}");
    assert_eq!(file["counts"]["posted"], ENTRIES, "{file}");

    let rows = results(&world, &token, &answer).await;
    let numbers: Vec<i64> = rows.iter().map(|row| row["row"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=ENTRIES).collect::<Vec<_>>());
    let status = |row: &Value| row["status"].as_str().unwrap().to_owned();
    assert_eq!([0, 1, 2].map(|row: usize| status(&rows[row])), ["posted", "returned", "posted"]);
    assert!(rows[3..].iter().all(|row| row["status"] == "posted"));

    let sum = |rest: i64| (4..=ENTRIES).filter(|row| row % 3 == rest).sum::<i64>();
    let paid = async |loan: &str| 1_000_000_000 - principal(&world, &token, loan).await;
    assert_eq!(paid(&paying).await, sum(0));
    // The first payment, and all but the fee for the return, which was paid before principal.
    assert_eq!(paid(&bouncing).await, sum(1) + 1 - 2_500);
    let unidentified = account(&world, &token, "2200").await;
    assert!(unidentified > 0, "the loan was not known when the first rows came");
    assert!(paid(&late).await > 0, "it was known when the others came");
    assert_eq!(paid(&late).await + unidentified, sum(2));
    let again = send(&world, &token, "file:cut", "collections", &bytes).await;
    assert_eq!((again.status, &again.bytes), (200, &answer.bytes));
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// What was taken before a cut stays a payment when its day is not allowed any more: as an exception besides, a person
/// could have it posted once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_brought_before_a_cut_is_no_exception_after_it() {
    let (world, token) = opened().await;
    world.allow(|tenant| tenant.future_days = 5).await;
    numbered_loan(&world, &token, "420").await;
    let mut file = AchFile::new('A');
    file.batch_of(SecCode::Ppd, NaiveDate::from_ymd_opt(2026, 5, 6), Some(126));
    for row in 1..=ENTRIES {
        file.debit("420", row);
    }
    let bytes = file.finish();
    cut_off(&world, &token, &bytes).await;
    world.allow(|tenant| tenant.future_days = 0).await;
    let answer = resend(&world, &token, "file:cut", &bytes).await;
    let told = answer.json();
    let [accepted, invalid] = ["accepted", "invalid"].map(|name| told[name].as_i64().unwrap());
    assert!(accepted >= TAKEN && invalid > 0, "{told}");
    assert_eq!((accepted, accepted + invalid), (stored(&world).await, ENTRIES), "{told}");
    finished(&world, &token, &answer).await;
    let rows = results(&world, &token, &answer).await;
    let numbers: Vec<i64> = rows.iter().map(|row| row["row"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=ENTRIES).collect::<Vec<_>>());
    world.allow(|tenant| tenant.future_days = 5).await;
    let again = send(&world, &token, "file:cut", "collections", &bytes).await;
    assert_eq!((again.status, &again.bytes), (200, &answer.bytes));
}

/// The key that it began with is lost.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_bytes_of_a_file_that_is_cut_off_goes_on_with_it() {
    let (world, token) = opened().await;
    make_feed(&world, &token, &json!({"name": "other", "view": "originator"})).await;
    let bytes = file();
    cut_off(&world, &token, &bytes).await;
    let answer = resend(&world, &token, "file:found", &bytes).await;
    finished(&world, &token, &answer).await;
    assert_eq!(answer.json()["received"], json!(ENTRIES), "{answer:?}");
    assert_eq!(answer.json()["accepted"], json!(ENTRIES), "every row once: {answer:?}");
    for (key, feed) in [("file:cut", "collections"), ("file:found", "collections"), ("file:other", "other")] {
        let again = send(&world, &token, key, feed, &bytes).await;
        assert_eq!((again.status, &again.bytes), (200, &answer.bytes), "{key}");
    }
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_feed_does_not_go_on_with_a_file_that_is_cut_off() {
    let (world, token) = opened().await;
    make_feed(&world, &token, &json!({"name": "other", "view": "originator"})).await;
    let bytes = file();
    cut_off(&world, &token, &bytes).await;
    let other = send(&world, &token, "file:other", "other", &bytes).await;
    assert_eq!(other.problem(), (409, "idempotency_in_progress".to_owned()), "its rows would be read by other rules");
    let answer = resend(&world, &token, "file:cut", &bytes).await;
    finished(&world, &token, &answer).await;
    assert_eq!(answer.json()["accepted"], json!(ENTRIES), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_cut_off_does_not_go_on_with_other_bytes() {
    let (world, token) = opened().await;
    let bytes = file();
    cut_off(&world, &token, &bytes).await;
    let other = AchFile::of_debits('B', [("420", 100)]);
    let refused = tokio::time::timeout(DEADLINE, async {
        loop {
            let answer = send(&world, &token, "file:cut", "collections", &other).await;
            if answer.status != 409 {
                return answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!(refused.problem(), (422, "idempotency_mismatch".to_owned()));
    assert_eq!(refused.json()["errors"][0]["field"], "bytes");
    let answer = resend(&world, &token, "file:cut", &bytes).await;
    finished(&world, &token, &answer).await;
    assert_eq!(answer.json()["received"], json!(ENTRIES));
    let answer = send(&world, &token, "file:other", "collections", &other).await;
    finished(&world, &token, &answer).await;
    assert_eq!(results(&world, &token, &answer).await.len(), 1);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
