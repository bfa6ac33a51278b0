//! What becomes of the entries of a file, and of a file that comes again.

use hpts::core::ach::{FileHash, SecCode};
use hpts::store::Store;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::api::ach::{account, cents, finished, make_feed, numbered_loan, opened, principal, results, send};
use crate::api::world::World;
use crate::support::ach::{AchFile, trace};

/// A file of every sort of entry: payments of the loans 420 and 421 and of one that is unknown, a prenote, a credit,
/// the return of the second payment, one of a payment that never was, and a change.
fn every_sort() -> Vec<u8> {
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd);
    file.debit("420", 10_000);
    let bounced = file.debit("0421", 20_000);
    file.debit("999999", 3_000);
    file.entry(28, "420", 0, &[]);
    file.entry(22, "420", 700, &[]);
    file.batch(SecCode::Ppd);
    file.returned("0421", 20_000, bounced);
    file.returned("420", 4_400, trace(777));
    file.batch(SecCode::Cor).changed("420", bounced);
    file.finish()
}

/// Row, status and code of each result.
fn told(rows: &[Value]) -> Vec<(i64, &str, &str)> {
    rows.iter()
        .map(|row| {
            (row["row"].as_i64().unwrap(), row["status"].as_str().unwrap(), row["code"].as_str().unwrap_or_default())
        })
        .collect()
}

#[tokio::test]
async fn every_entry_of_a_file_is_accounted_for() {
    let (world, token) = opened().await;
    let paying = numbered_loan(&world, &token, "000420").await;
    let bouncing = numbered_loan(&world, &token, "421").await;
    let answer = send(&world, &token, "file:every", "collections", &every_sort()).await;
    let file = finished(&world, &token, &answer).await;
    let json = answer.json();
    let counts = ["received", "accepted", "duplicates", "mismatched", "invalid"].map(|name| json[name].as_i64());
    assert_eq!(counts, [8, 4, 0, 0, 4].map(Some), "{json}");

    let rows = results(&world, &token, &answer).await;
    let expected = [
        (1, "posted", ""),
        (2, "returned", ""),
        (3, "posted", ""),
        (4, "invalid", "prenote"),
        (5, "invalid", "against_direction"),
        (6, "posted", ""),
        (7, "invalid", "return_unmatched"),
        (8, "invalid", "notification_of_change"),
    ];
    assert_eq!(told(&rows), expected, "{rows:#?}");
    let message = rows[7]["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("C01 of trace ") && message.ends_with(": 1918171614"), "{message}");

    everything_adds_up(&file, &rows);
    assert_eq!(account(&world, &token, "2200").await, 3_000);
    assert_eq!(principal(&world, &token, &paying).await, 1_000_000_000 - 10_000);
    the_return_is_posted(&world, &token, &bouncing, &rows).await;
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// In count and in cents: what was parsed is what was accepted and what is an exception.
fn everything_adds_up(file: &Value, rows: &[Value]) {
    let accepted: i64 =
        file["totals"].as_array().unwrap().iter().map(|it| cents(&it["accepted"]["amount_minor"])).sum();
    let invalid: i64 =
        rows.iter().filter(|row| row["status"] == "invalid").map(|row| cents(&row["amount_minor"])).sum();
    let summary = &file["summary"];
    assert_eq!((&summary["batches"], &summary["entries"], &summary["addenda"]), (&json!(3), &json!(8), &json!(3)));
    let parsed = cents(&summary["debit_minor"]) + cents(&summary["credit_minor"]);
    assert_eq!((parsed, accepted, invalid), (58_100, 53_000, 5_100), "{file}");
    let exceptions = file["exceptions"].as_array().unwrap();
    assert_eq!(exceptions.iter().map(|it| cents(&it["amount_minor"])).sum::<i64>(), invalid, "{file}");
    assert_eq!(exceptions.iter().map(|it| it["count"].as_i64().unwrap()).sum::<i64>(), 4, "{file}");
    assert_eq!((file["received"].as_i64(), file["invalid"].as_i64()), (Some(8), Some(4)));
    assert_eq!(file["counts"]["posted"], 4, "{file}");
    let total = |name: &str| {
        let total = &summary[name];
        (total["count"].as_u64().unwrap(), cents(&total["debit_minor"]), cents(&total["credit_minor"]))
    };
    assert_eq!(total("payments"), (3, 33_000, 0));
    assert_eq!(total("returns"), (2, 24_400, 0));
    assert_eq!(total("changes"), (1, 0, 0));
    assert_eq!(total("exceptions"), (2, 0, 700));
    assert_eq!(file["sha256"], FileHash::of(&every_sort()).to_string());
    assert_eq!((&file["operation"], &file["feed"]), (&json!("ach_file"), &json!("collections")));
}

async fn the_return_is_posted(world: &World, token: &str, loan: &str, rows: &[Value]) {
    let id = rows[1]["payment_event_id"].as_str().unwrap();
    let payment = world.get(&format!("/v1/payments/{id}"), token).await.json();
    assert_eq!(payment["status"], "returned");
    assert_eq!(payment["undone_by"], rows[5]["payment_returned_event_id"], "{rows:#?}");
    assert_eq!((&rows[5]["return_code"], &rows[5]["fee_minor"]), (&json!("R01"), &json!("2500")));
    assert_eq!(rows[5]["effective_at"], "2026-05-01");
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), token).await.json();
    assert_eq!(balance["principal_outstanding_minor"], "1000000000");
    assert_eq!(balance["fees_receivable_minor"], "2500", "{balance}");
}

#[tokio::test]
async fn the_same_bytes_are_answered_as_before_and_others_of_their_identity_are_refused() {
    let (world, token) = opened().await;
    let bytes = AchFile::of_debits('A', [("420", 100), ("421", 200)]);
    let first = send(&world, &token, "file:0001", "collections", &bytes).await;
    finished(&world, &token, &first).await;
    for key in ["file:0001", "file:other"] {
        let again = send(&world, &token, key, "collections", &bytes).await;
        assert_eq!((again.status, &again.bytes), (200, &first.bytes), "{key}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let changed = AchFile::of_debits('A', [("420", 100), ("421", 201)]);
    let conflict = send(&world, &token, "file:0002", "collections", &changed).await;
    assert_eq!(conflict.problem(), (409, "duplicate_file".to_owned()));
    assert_eq!(conflict.json()["batch_id"], first.json()["batch_id"]);
    let next = AchFile::of_debits('B', [("420", 101), ("421", 202)]);
    let other = send(&world, &token, "file:0001", "collections", &next).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned()), "the key is another file's");
    let other = send(&world, &token, "file:0003", "collections", &next).await;
    assert_eq!((other.status, &other.json()["accepted"]), (202, &json!(2)), "{other:?}");
    finished(&world, &token, &other).await;
    assert_eq!(account(&world, &token, "2200").await, 603);

    world.tenant(2, "other").await;
    let other = world.token("other", crate::api::ach::ALL).await;
    make_feed(&world, &other, &json!({"name": "collections", "view": "originator"})).await;
    let theirs = send(&world, &other, "file:0001", "collections", &bytes).await;
    assert_eq!(theirs.status, 202, "another tenant's files are none of theirs: {theirs:?}");
    let path = format!("/v1/ach/files/{}", first.json()["batch_id"].as_str().unwrap());
    assert_eq!(world.get(&path, &other).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// Two callers bring the same bytes at once, each under a key of its own.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_keys_with_the_same_bytes_one_receives_them() {
    let (world, token) = opened().await;
    for round in ['A', 'B', 'C', 'D', 'E'] {
        let cents = i64::from(u32::from(round));
        let bytes = AchFile::of_debits(round, (0..40).map(|_| ("420", cents)));
        let keys = ["one", "other"].map(|who| format!("file:{who}:{round}"));
        let (one, other) = tokio::join!(
            send(&world, &token, &keys[0], "collections", &bytes),
            send(&world, &token, &keys[1], "collections", &bytes),
        );
        let (winner, loser, key) = if one.status == 202 { (one, other, &keys[1]) } else { (other, one, &keys[0]) };
        finished(&world, &token, &winner).await;
        match loser.status {
            409 => assert_eq!(loser.json()["batch_id"], winner.json()["batch_id"], "it is told whose they are"),
            status => assert_eq!((status, &loser.bytes), (200, &winner.bytes), "{loser:?}"),
        }
        let again = send(&world, &token, key, "collections", &bytes).await;
        assert_eq!((again.status, &again.bytes), (200, &winner.bytes), "it gets the first answer");
        let found = world.get(&format!("/v1/batches?idempotency_key={key}"), &token).await.json();
        assert_eq!(found, json!({"items": []}), "nothing is left receiving");
    }
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// The file without its filler.
fn unpadded(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"9999999999")).flatten().copied().collect()
}

#[tokio::test]
async fn a_refused_file_is_kept_and_a_more_tolerant_feed_takes_it() {
    let (world, token) = opened().await;
    let tolerant = json!({"name": "tolerant", "view": "originator", "tolerances": ["missing_padding"]});
    make_feed(&world, &token, &tolerant).await;
    let whole = AchFile::of_debits('A', [("420", 100)]);
    let bytes = unpadded(&whole);
    assert!(bytes.len() < whole.len());
    for _ in 0..2 {
        let refused = send(&world, &token, "file:short", "collections", &bytes).await;
        assert_eq!(refused.problem(), (422, "invalid_file".to_owned()));
        let error = refused.json()["errors"][0].clone();
        assert!(error["line"].as_u64().is_some() && error["column"].as_u64().is_some(), "{error}");
        assert_eq!(error["code"], "padding", "{error}");
        assert!(error["field"].is_string() && error["message"].is_string(), "{error}");
    }
    let mut connection = world.connection().await;
    let kept = sqlx::query("SELECT bytes, identity, batch_id FROM ach_files").fetch_all(&mut connection).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].get::<Vec<u8>, _>("bytes"), bytes);
    assert_eq!(kept[0].get::<Option<String>, _>("identity"), None);
    assert_eq!(kept[0].get::<Option<Vec<u8>>, _>("batch_id"), None);

    let posted = send(&world, &token, "file:short", "tolerant", &bytes).await;
    let file = finished(&world, &token, &posted).await;
    assert_eq!((&file["feed"], &file["summary"]["warnings"][0]["code"]), (&json!("tolerant"), &json!("padding")));
    let strict_again = send(&world, &token, "file:strict", "collections", &bytes).await;
    assert_eq!(strict_again.problem(), (422, "invalid_file".to_owned()), "a feed stays what it is");
    let again = send(&world, &token, "file:short", "tolerant", &bytes).await;
    assert_eq!((again.status, &again.bytes), (200, &posted.bytes));
}

#[tokio::test]
async fn a_refused_file_does_not_slip_past_another_of_its_identity() {
    let (world, token) = opened().await;
    let tolerant = json!({"name": "tolerant", "view": "originator", "tolerances": ["missing_padding"]});
    make_feed(&world, &token, &tolerant).await;
    let whole = AchFile::of_debits('A', [("420", 100)]);
    let short = unpadded(&whole);
    assert_eq!(send(&world, &token, "file:short", "collections", &short).await.status, 422);
    let posted = send(&world, &token, "file:whole", "collections", &whole).await;
    finished(&world, &token, &posted).await;
    let answer = send(&world, &token, "file:short", "tolerant", &short).await;
    assert_eq!(answer.problem(), (409, "duplicate_file".to_owned()), "it would be collected twice");
    assert_eq!(answer.json()["batch_id"], posted.json()["batch_id"]);
    assert_eq!(account(&world, &token, "2200").await, 100);
}

/// The key was another file's: nothing was taken, and the correction is.
#[tokio::test]
async fn a_file_that_took_nothing_leaves_its_identity_to_its_correction() {
    let (world, token) = opened().await;
    let first = send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', [("420", 100)])).await;
    finished(&world, &token, &first).await;
    let wrong = AchFile::of_debits('B', [("420", 201)]);
    let refused = send(&world, &token, "file:0001", "collections", &wrong).await;
    assert_eq!(refused.problem(), (422, "idempotency_mismatch".to_owned()));
    let right = AchFile::of_debits('B', [("420", 200)]);
    let corrected = send(&world, &token, "file:0002", "collections", &right).await;
    finished(&world, &token, &corrected).await;
    let late = send(&world, &token, "file:0003", "collections", &wrong).await;
    assert_eq!(late.problem(), (409, "duplicate_file".to_owned()), "it would be collected twice");
    assert_eq!(late.json()["batch_id"], corrected.json()["batch_id"]);
    assert_eq!(account(&world, &token, "2200").await, 300);
}

#[tokio::test]
async fn files_that_are_none_are_refused() {
    let (world, token) = opened().await;
    let bytes = AchFile::of_debits('A', [("420", 100)]);
    let unknown = send(&world, &token, "file:none", "nobody", &bytes).await;
    assert_eq!(unknown.problem(), (400, "invalid_parameter".to_owned()));
    assert_eq!(unknown.json()["errors"][0]["field"], "feed");
    let empty = send(&world, &token, "file:none", "collections", b"").await;
    assert_eq!(empty.problem(), (422, "invalid_file".to_owned()));
    let none = uuid::Uuid::new_v4();
    assert_eq!(world.get(&format!("/v1/ach/files/{none}"), &token).await.problem(), (404, "not_found".to_owned()));
    let answer = send(&world, &token, "file:none", "collections", &bytes).await;
    assert_eq!(answer.status, 202, "the key stayed free: {answer:?}");
}

#[tokio::test]
async fn a_return_of_a_later_file_takes_the_newest_payment_back_once() {
    let (world, token) = opened().await;
    let loan = numbered_loan(&world, &token, "420").await;
    let paid = send(&world, &token, "file:0001", "collections", &AchFile::of_debits('A', [("420", 500)])).await;
    finished(&world, &token, &paid).await;
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000 - 500);
    let return_file = |modifier, cents| {
        let mut file = AchFile::new(modifier);
        file.batch(SecCode::Ppd).returned("420", cents, trace(1));
        file.finish()
    };
    let other_amount = send(&world, &token, "file:0002", "collections", &return_file('B', 501)).await;
    finished(&world, &token, &other_amount).await;
    let rows = results(&world, &token, &other_amount).await;
    assert_eq!(told(&rows), [(1, "invalid", "return_unmatched")]);
    let returned = send(&world, &token, "file:0003", "collections", &return_file('C', 500)).await;
    finished(&world, &token, &returned).await;
    assert_eq!(told(&results(&world, &token, &returned).await), [(1, "posted", "")]);
    assert_eq!(principal(&world, &token, &loan).await, 1_000_000_000);
    let second = send(&world, &token, "file:0004", "collections", &return_file('D', 500)).await;
    finished(&world, &token, &second).await;
    assert_eq!(told(&results(&world, &token, &second).await), [(1, "invalid", "return_already_undone")]);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// The loan's program says how a return is booked and what its code costs, where the feed does not.
#[tokio::test]
async fn a_return_of_a_file_goes_by_the_program_of_its_loan() {
    let (world, token) = opened().await;
    make_feed(&world, &token, &json!({"name": "free", "view": "originator"})).await;
    let program = "44444444-4444-4444-8444-444444444444";
    let terms = json!({"program_id": program, "currency": "USD", "day_count_convention": "ACT_365",
        "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual",
        "returns": "chargeback", "return_fees": [{"return_codes": ["R01"], "fee_minor": "1500"}]});
    assert_eq!(world.post("/v1/programs", &token, "program:of:loan", &terms).await.status, 201);
    let loan = "55555555-5555-4555-8555-555555555555";
    let body = json!({"loan_id": loan, "borrower_id": crate::api::world::BORROWER, "currency": "USD",
        "opened_on": "2026-01-01", "loan_number": "421", "program_id": program,
        "opening_balances": {"principal_minor": "100000"}});
    assert_eq!(world.post("/v1/loans", &token, "loan:of:program", &body).await.status, 201);
    let mut file = AchFile::new('A');
    file.batch(SecCode::Ppd);
    let bounced = file.debit("0421", 20_000);
    file.batch(SecCode::Ppd).returned("0421", 20_000, bounced);
    let answer = send(&world, &token, "file:by:program", "free", &file.finish()).await;
    finished(&world, &token, &answer).await;
    let rows = results(&world, &token, &answer).await;
    assert_eq!(told(&rows), [(1, "posted", ""), (2, "posted", "")], "a charge-back leaves the payment on its day");
    assert_eq!((&rows[1]["fee_minor"], &rows[1]["charges_back"]), (&json!("1500"), &rows[0]["payment_event_id"]));
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), &token).await.json();
    let owed = ["principal_outstanding_minor", "fees_receivable_minor"].map(|name| balance[name].as_str().unwrap());
    assert_eq!(owed, ["100000", "1500"], "{balance}");
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
