//! Errors put into the books by hand, in both deployments: `hpts verify` names them and ends with 1, and the status of
//! reconciliation says which account or loan does not agree.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::processes::System;
use crate::processes::client::{Client, payment};

/// Runs statements as somebody who has the database's password or file.
async fn inject(system: &System, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if let Some(folder) = system.data_dir() {
        let mut file = SqliteConnectOptions::new().filename(folder.join("hpts.sqlite3")).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut file).await.unwrap();
        file.close().await.unwrap();
    } else {
        let mut database = PgConnection::connect(&system.database_url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    }
}

/// The words of the proof, which must fail.
fn named(system: &System) -> String {
    let output = system.output(&["verify"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A run of reconciliation that nobody has made yet: of a day of its own.
async fn status(client: &Client, day: &str) -> Value {
    let (status, answer) = client.get(&format!("/v1/reconciliation/status?as_of_date={day}")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn story(system: &System, client: &Client) {
    let loan = client.open_loans(1).await[0];
    let (code, paid) = client.post_until_final("/v1/payments", "payment:injected", &payment(loan, 1_000)).await;
    assert_eq!(code, 201, "{paid}");
    system.verified().await;
    let sound = status(client, "2026-05-28").await;
    let states = |status: &Value| {
        [&status["ledger_integrity"]["status"], &status["portfolio_rollup"]["status"]].map(Clone::clone)
    };
    assert_eq!(states(&sound), [json!("ok"), json!("ok")], "{sound}");

    // A balance that no line has made.
    inject(system, "UPDATE loans SET principal = principal + 7 WHERE principal < 1000000").await;
    let wrong = status(client, "2026-05-29").await;
    assert_eq!(states(&wrong), [json!("ok"), json!("mismatch")], "{wrong}");
    assert_eq!(wrong["portfolio_rollup"]["mismatched_loan_ids"], json!([loan.to_string()]));
    let told = named(system);
    assert!(told.contains("loan_balance: loan") && told.contains(&loan.to_string()), "{told}");
    inject(system, "UPDATE loans SET principal = principal - 7 WHERE principal < 1000000").await;

    // A total that is not the sum of its lines.
    inject(system, "UPDATE account_totals SET debits = '1000001' WHERE account = 1010 AND debits <> '0'").await;
    let wrong = status(client, "2026-05-30").await;
    assert_eq!(states(&wrong), [json!("mismatch"), json!("ok")], "{wrong}");
    assert_eq!(wrong["ledger_integrity"]["mismatched_accounts"][0]["account_code"], "1010");
    let told = named(system);
    assert!(told.contains("account_totals") && told.contains("1010"), "{told}");
    inject(system, "UPDATE account_totals SET debits = '1000' WHERE account = 1010 AND debits <> '0'").await;

    // The head of a chain, which no sum tells.
    let of_another =
        "SELECT p.chain_hash FROM postings p WHERE p.loan_key <> loans.loan_key AND p.loan_version = 1 LIMIT 1";
    inject(system, &format!("UPDATE loans SET chain_head = ({of_another})")).await;
    let told = named(system);
    assert!(told.contains("chain: loan"), "{told}");
}

#[tokio::test]
async fn errors_put_into_the_books_are_named_by_servers() {
    let system = System::distributed().await;
    let (api, worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    story(&system, &Client::demo(&[api.port]).await).await;
    drop((api, worker));
}

#[tokio::test]
async fn errors_put_into_the_books_are_named_by_one_process() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    story(&system, &Client::demo(&[serve.port]).await).await;
    drop(serve);
}
