//! The room for files: who finds none is told to come again, and what was taken is given back however a request ends.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::StreamExt;
use futures::stream::{iter, once};
use hpts::api::{ApiSettings, RoomLimits};
use hpts::store::Store;
use serde_json::json;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::api::ach::{finished, opened_with, results, row_path, send, upload};
use crate::api::world::{Answer, World};
use crate::support::ach::AchFile;

/// Room for one small file, and little patience.
async fn cramped() -> (World, String) {
    let room = RoomLimits { mebibytes: 1, within: Duration::from_millis(50), ..RoomLimits::default() };
    opened_with(ApiSettings { room, ..ApiSettings::default() }).await
}

/// That a request was told to come again, and when.
fn told_to_come_again(answer: &Answer) {
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    assert_eq!(answer.json()["retryable"], true, "{answer:?}");
}

async fn count(world: &World, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(&mut world.connection().await).await.unwrap()
}

/// A body that begins and does not go on, and the moment when its beginning is read.
fn slow_body(beginning: &[u8]) -> (Body, Arc<Notify>) {
    let is_read = Arc::new(Notify::new());
    let tell = Arc::clone(&is_read);
    let rest = once(async move {
        tell.notify_one();
        std::future::pending::<Result<Bytes, Infallible>>().await
    });
    let beginning = Bytes::copy_from_slice(beginning);
    (Body::from_stream(iter([Ok(beginning)]).chain(rest)), is_read)
}

#[tokio::test]
async fn a_file_without_room_is_refused_and_nothing_of_it_kept() {
    let (world, token) = cramped().await;
    let bytes = AchFile::of_debits('A', [("420", 100)]);
    let (body, is_read) = slow_body(&AchFile::of_debits('B', [("420", 200)]));
    let mut request = upload(&token, "file:slow", "collections", &[]);
    *request.body_mut() = body;
    {
        let mut slow = pin!(world.router.clone().oneshot(request));
        tokio::select! {
            answer = &mut slow => panic!("it has not come whole: {answer:?}"),
            () = is_read.notified() => {}
        }
        told_to_come_again(&send(&world, &token, "file:0001", "collections", &bytes).await);
        assert_eq!(count(&world, "SELECT count(*) FROM ach_files").await, 0);
        assert_eq!(count(&world, "SELECT count(*) FROM events WHERE key LIKE 'file:%'").await, 0);
    }
    // The slow one has gone away, and its room is free again; so is the key.
    let came = send(&world, &token, "file:0001", "collections", &bytes).await;
    finished(&world, &token, &came).await;
    assert_eq!(count(&world, "SELECT count(*) FROM ach_files").await, 1);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// Each of them needs all the room there is.
#[tokio::test]
async fn room_is_given_back_whatever_the_answer() {
    let (world, token) = cramped().await;
    let good = AchFile::of_debits('A', [("420", 100)]);
    let other = AchFile::of_debits('A', [("420", 101)]);
    let large = vec![b' '; 1024 * 1024 + 1];
    let sent: [(&str, &[u8], u16); 7] = [
        ("file:0001", &good, 202),
        ("file:0001", &good, 200),
        ("file:0002", b"no file", 422),
        ("file:0003", &other, 409),
        ("file:0004", &large, 503),
        ("file:0005", b"", 422),
        ("file:0006", &AchFile::of_debits('B', [("420", 200)]), 202),
    ];
    for (key, bytes, status) in sent {
        let answer = send(&world, &token, key, "collections", bytes).await;
        assert_eq!(answer.status, status, "{key}: {answer:?}");
    }
}

/// While a kept file is read again no other is; here there is no room for one at all.
#[tokio::test]
async fn an_exception_is_not_posted_without_room_and_stays_open() {
    let room = RoomLimits { kept: 0, within: Duration::from_millis(50), ..RoomLimits::default() };
    let (world, token) = opened_with(ApiSettings { room, ..ApiSettings::default() }).await;
    for (key, modifier) in [("file:0001", 'A'), ("file:0002", 'B')] {
        let answer = send(&world, &token, key, "collections", &AchFile::of_debits(modifier, [("420", 500)])).await;
        finished(&world, &token, &answer).await;
        if modifier == 'A' {
            continue;
        }
        assert_eq!(results(&world, &token, &answer).await[0]["code"], "soft_duplicate");
        let (path, because) = (row_path(&answer, 1), json!({"reason": "two instalments"}));
        let refused = world.post(&format!("{path}/post"), &token, "review:1", &because).await;
        told_to_come_again(&refused);
        let discarded = world.post(&format!("{path}/discard"), &token, "review:1", &because).await;
        assert_eq!(discarded.status, StatusCode::CREATED, "neither the row nor the key is taken: {discarded:?}");
    }
    let description = world.get("/openapi.json", "").await.json();
    let path = &description["paths"]["/v1/ach/files/{batch_id}/exceptions/{row}/post"]["post"];
    assert!(path["responses"]["503"].is_object(), "{path}");
}
