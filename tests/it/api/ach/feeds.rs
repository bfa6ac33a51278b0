//! How a feed is made and listed.

use std::time::Duration;

use chrono::NaiveDate;
use hpts::core::ach::{Feed, FeedSettings};
use hpts::core::event::{IdempotencyKey, NewEvent, Upload, UploadOperation};
use hpts::core::ids::{EventId, PaymentBatchId, PublisherId, TenantId};
use hpts::core::money::Currency;
use hpts::store::{FeedRecord, NewUpload, Store, UploadHold};
use serde_json::json;
use uuid::Uuid;

use crate::api::ach::{ALL, make_feed, opened};

#[tokio::test]
async fn a_feed_is_made_once_and_its_name_is_its_own() {
    let (world, token) = opened().await;
    let asked = json!({"name": "lockbox", "view": "receiver", "sec_codes": ["CIE", "PPD"],
        "tolerances": ["missing_padding"], "destination": "231380104"});
    let made = world.post("/v1/ach/feeds", &token, "feed:lockbox", &asked).await;
    assert_eq!(made.status, 201, "{made:?}");
    let view = json!({"name": "lockbox", "view": "receiver", "destination": "231380104", "sec_codes": ["CIE", "PPD"],
        "loan_number": ["individual_id", "account_number"], "customers": [], "company_ids": [],
        "date_rule": "settlement", "holidays": [], "soft_duplicates": "hold", "tolerances": ["missing_padding"], "currency": "USD"});
    assert_eq!(made.json(), view, "with what it leaves out");

    let again = world.post("/v1/ach/feeds", &token, "feed:lockbox", &asked).await;
    assert_eq!((again.status, &again.bytes), (200, &made.bytes));
    assert_eq!((again.header("idempotent-replayed"), again.header("location")), (Some("true"), None));
    let mut other = asked.clone();
    other["view"] = json!("originator");
    let mismatch = world.post("/v1/ach/feeds", &token, "feed:lockbox", &other).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()));
    for _ in 0..2 {
        let refused = world.post("/v1/ach/feeds", &token, "feed:lockbox:2", &other).await;
        assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
        assert_eq!(refused.json()["errors"][0]["field"], "name", "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["code"], "taken", "{refused:?}");
    }
    let listed = world.get("/v1/ach/feeds", &token).await.json();
    let names: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!((names, &listed["items"][1]), (vec!["collections", "lockbox"], &view));

    world.tenant(2, "other").await;
    let other = world.token("other", ALL).await;
    assert_eq!(world.get("/v1/ach/feeds", &other).await.json(), json!({"items": []}));
    make_feed(&world, &other, &asked).await;
}

/// The process ended between the making of the feed and its answer.
#[tokio::test]
async fn a_feed_whose_answer_was_lost_is_made_by_its_key_alone() {
    let (world, token) = opened().await;
    let asked = json!({"name": "lockbox", "view": "receiver"});
    let feed = FeedSettings { name: "lockbox".to_owned(), view: "receiver".to_owned(), ..FeedSettings::default() };
    let settings = serde_json::to_string(&Feed::new(&feed).unwrap().settings()).unwrap();
    let tenant = TenantId(Uuid::from_u128(1));
    let upload = Upload {
        operation: UploadOperation::AchFeed { settings: settings.clone() },
        currency: Currency::USD,
        received_on: NaiveDate::from_ymd_opt(2026, 5, 2).unwrap(),
    };
    let (key, publisher) = (IdempotencyKey::parse("feed:lockbox").unwrap(), PublisherId(Uuid::new_v4()));
    let event = NewEvent::of_upload(EventId(Uuid::new_v4()), tenant, key, upload, publisher, "demo".to_owned());
    let begun = NewUpload { event, holder: Uuid::new_v4(), lease: Duration::from_mins(1), file: None };
    let hold = UploadHold { id: PaymentBatchId(begun.event.id.0), holder: begun.holder };
    world.store.begin_upload(begun).await.unwrap();
    world.store.release_upload(hold).await.unwrap();
    let record = FeedRecord { tenant, name: "lockbox".to_owned(), settings };
    assert!(world.store.create_feed(record).await.unwrap());

    let other = world.post("/v1/ach/feeds", &token, "feed:other", &asked).await;
    assert_eq!(other.problem(), (422, "validation_failed".to_owned()));
    let made = world.post("/v1/ach/feeds", &token, "feed:lockbox", &asked).await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("lockbox")), "{made:?}");
    let again = world.post("/v1/ach/feeds", &token, "feed:lockbox", &asked).await;
    assert_eq!((again.status, &again.bytes), (200, &made.bytes));
}

#[tokio::test]
async fn every_wrong_field_of_a_feed_is_named() {
    let (world, token) = opened().await;
    let wrong = json!({"name": "My Feed", "view": "sender", "sec_codes": ["PPD", "COR"], "tolerances": ["all"],
        "loan_number": ["name"], "return_fee_minor": "0", "date_rule": "today", "colour": "red"});
    let answer = world.post("/v1/ach/feeds", &token, "feed:wrong", &wrong).await;
    assert_eq!(answer.problem(), (422, "validation_failed".to_owned()));
    let json = answer.json();
    let mut fields: Vec<&str> =
        json["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    let expected =
        ["colour", "date_rule", "loan_number.0", "name", "return_fee_minor", "sec_codes.1", "tolerances.0", "view"];
    assert_eq!(fields, expected, "{json}");
    let right = json!({"name": "right", "view": "receiver"});
    let answer = world.post("/v1/ach/feeds", &token, "feed:wrong", &right).await;
    assert_eq!(answer.status, 201, "the key stayed free: {answer:?}");
}
