//! An api that dies in the middle of an upload.

use std::time::Duration;

use futures::StreamExt;
use hpts::runtime::lifecycle::Lifecycle;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::processes::client::{Client, payment};
use crate::processes::{PATIENCE, System};

const KEY: &str = "upload:killed";
const ROWS: usize = 6_000;

/// The bytes of rows, and then silence: a caller who has not sent everything yet.
fn halted(bytes: String) -> reqwest::Body {
    let first = futures::stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from(bytes)))]);
    reqwest::Body::wrap(StreamBody::new(first.chain(futures::stream::pending())))
}

#[tokio::test]
async fn an_upload_whose_api_is_killed_is_finished_by_another() {
    let system = System::distributed().await;
    let (mut first, second) = (system.start(&["api"]).await, system.start(&["api"]).await);
    let _worker = system.start(&["worker"]).await;
    let client = Client::demo(&[second.port]).await;
    let loans = client.open_loans(5).await;
    let rows: Vec<String> = (0..ROWS)
        .map(|number| {
            let mut row = payment(loans[number % loans.len()], 1 + number % 7);
            row["idempotency_key"] = format!("killed:{number:08}").into();
            format!("{row}\n")
        })
        .collect();
    let file = std::env::temp_dir().join(format!("{}.ndjson", system.prefix));
    std::fs::write(&file, rows.concat()).unwrap();

    let upload = client.upload_to(first.port, KEY, halted(rows[..4_000].concat()));
    let sending = Lifecycle::new().spawn(async move { upload.send().await.map(|answer| answer.status()) });
    let mut database = PgConnection::connect(&system.database_url()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let count = "SELECT count(*) FROM events WHERE batch_id IS NOT NULL";
        let accepted: i64 = sqlx::query_scalar(count).fetch_one(&mut database).await.unwrap();
        if accepted >= 1_000 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing is accepted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.kill();
    assert!(sending.await.unwrap().is_err(), "nobody was told that the upload is complete");

    // The lease of the dead api has not run out: whoever sends the upload again waits for it. An operator who knows
    // that the process is gone may end it.
    let busy = client.upload_to(second.port, KEY, rows.concat().into()).send().await.unwrap();
    assert_eq!(busy.status(), 409);
    let problem: Value = serde_json::from_str(&busy.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "idempotency_in_progress");
    let url = format!("http://127.0.0.1:{}", second.port);
    let arguments = ["import", file.to_str().unwrap(), "--url", &url, "--key", KEY, "--json"];
    let (told, refused) = oneshot::channel();
    let import = system.output_telling(&arguments, "409 idempotency_in_progress", told);
    let operate = async {
        tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap();
        let ended = "UPDATE payment_batches SET leased_to = now() WHERE completed_at IS NULL";
        assert_eq!(sqlx::query(ended).execute(&mut database).await.unwrap().rows_affected(), 1);
    };
    let (output, ()) = tokio::join!(import, operate);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["received"], &report["counts"]["posted"]), (&ROWS.into(), &ROWS.into()), "{report}");
    assert_eq!(system.verified().await["posted"], 1 + 5 + ROWS);
    let cents: usize = (0..ROWS).map(|number| 1 + number % 7).sum();
    assert_eq!(report["totals"][0]["posted"]["amount_minor"], cents.to_string());
    for path in [file.clone(), file.with_extension("ndjson.results.ndjson")] {
        std::fs::remove_file(path).unwrap();
    }
}
