//! Errors put into the books by hand, in both deployments: `hpts verify` names them and ends with 1, and the status of
//! reconciliation says which account, loan, entry or bank account does not agree.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::processes::System;
use crate::processes::client::{Client, payment};

/// Loans are looked at every five seconds.
const PATIENCE: Duration = Duration::from_mins(1);

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

/// A change of postings, with the guard that refuses it off for as long.
async fn tamper(system: &System, sql: &str) {
    let sql = if system.data_dir().is_some() {
        format!(
            "DROP TRIGGER postings_refuse_update; {sql};
             CREATE TRIGGER postings_refuse_update BEFORE UPDATE ON postings
             BEGIN SELECT RAISE(ABORT, 'UPDATE on postings is refused: the journal is insert-only'); END;"
        )
    } else {
        format!("ALTER TABLE postings DISABLE TRIGGER USER; {sql}; ALTER TABLE postings ENABLE TRIGGER USER;")
    };
    inject(system, &sql).await;
}

/// An id as the database's SQL writes it.
fn literal(system: &System, id: Uuid) -> String {
    if system.data_dir().is_some() { format!("x'{}'", id.simple()) } else { format!("'{id}'") }
}

/// The words of the proof, which must fail.
fn named(system: &System) -> String {
    let output = system.output(&["verify"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The status of a day. A day that nobody asked for yet has a run of its own.
async fn status(client: &Client, day: &str) -> Value {
    let (status, answer) = client.get(&format!("/v1/reconciliation/status?as_of_date={day}")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The status of a day once it is as expected: loans are looked at one after the other.
async fn eventually(client: &Client, day: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = status(client, day).await;
        if is_there(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn states(status: &Value) -> [Value; 2] {
    [&status["ledger_integrity"]["status"], &status["portfolio_rollup"]["status"]].map(Clone::clone)
}

const OK: &str = "ok";
const MISMATCH: &str = "mismatch";

async fn story(system: &System, client: &Client) {
    let loans = client.open_loans(2).await;
    let (code, paid) = client.post_until_final("/v1/payments", "payment:injected", &payment(loans[0], 1_000)).await;
    assert_eq!(code, 201, "{paid}");
    system.verified().await;
    let is_seen = |told: &Value| told["ledger_integrity"]["loans_checked_at"].is_string();
    let sound = eventually(client, "2026-05-28", is_seen).await;
    assert_eq!(states(&sound), [json!(OK), json!(OK)], "{sound}");

    totals(system, client).await;
    balance(system, client, loans[0]).await;
    loans_one_by_one(system, client, &loans, &paid).await;
    bank(system, client).await;
    accepted(system, client).await;
}

/// A total that is not the sum of its lines.
async fn totals(system: &System, client: &Client) {
    inject(system, "UPDATE account_totals SET debits = '1000001' WHERE account = 1010 AND debits <> '0'").await;
    let wrong = status(client, "2026-05-30").await;
    assert_eq!(states(&wrong), [json!(MISMATCH), json!(OK)], "{wrong}");
    assert_eq!(wrong["ledger_integrity"]["mismatched_accounts"][0]["account_code"], "1010");
    let told = named(system);
    assert!(told.contains("account_totals") && told.contains("1010"), "{told}");
    inject(system, "UPDATE account_totals SET debits = '1000' WHERE account = 1010 AND debits <> '0'").await;
}

/// A balance that no line has made, which a sum tells of.
async fn balance(system: &System, client: &Client, loan: Uuid) {
    inject(system, &moved(system, loan, "principal + 7")).await;
    let wrong = status(client, "2026-05-29").await;
    assert_eq!(states(&wrong), [json!(OK), json!(MISMATCH)], "{wrong}");
    assert_eq!(wrong["portfolio_rollup"]["mismatched_loan_ids"], json!([loan.to_string()]));
    let told = named(system);
    assert!(told.contains("loan_balance: loan") && told.contains(&loan.to_string()), "{told}");
    inject(system, &moved(system, loan, "principal - 7")).await;
}

/// A change of a balance, as `principal + 7`.
fn moved(system: &System, loan: Uuid, change: &str) -> String {
    let bucket = change.split(' ').next().unwrap();
    format!("UPDATE loans SET {bucket} = {change} WHERE loan_id = {};", literal(system, loan))
}

/// What no sum tells of, and one loan after the other is looked at for: balances that make up for each other with a
/// posting made another; then a bucket that no sum is over with the head of a chain.
async fn loans_one_by_one(system: &System, client: &Client, loans: &[Uuid], paid: &Value) {
    let event = Uuid::parse_str(paid["payment_event_id"].as_str().unwrap()).unwrap();
    let of_event = format!("event_seq = (SELECT e.seq FROM events e WHERE e.id = {})", literal(system, event));
    let dated = |day: &str| format!("UPDATE postings SET effective_date = '{day}' WHERE {of_event}");
    inject(system, &moved(system, loans[0], "principal - 9")).await;
    inject(system, &moved(system, loans[1], "principal + 9")).await;
    tamper(system, &dated("2026-05-02")).await;
    let found = |told: &Value| {
        let (chains, loans) = (&told["ledger_integrity"], &told["portfolio_rollup"]);
        (chains["broken_chain_count"].as_i64().unwrap_or(0), loans["mismatched_loan_count"].as_i64().unwrap_or(0))
    };
    let wrong = eventually(client, "2026-05-28", |told| found(told) == (1, 2)).await;
    assert_eq!(states(&wrong), [json!(MISMATCH), json!(MISMATCH)], "{wrong}");
    let rollup = &wrong["portfolio_rollup"];
    assert_eq!(rollup["gl_principal_minor"], rollup["sum_of_loan_balances_minor"], "the sums are equal");
    let mut both: Vec<String> = loans.iter().map(Uuid::to_string).collect();
    both.sort();
    assert_eq!(rollup["mismatched_loan_ids"], json!(both));
    let broken = &wrong["ledger_integrity"]["broken_chains"][0];
    assert_eq!((&broken["loan_id"], &broken["event_id"]), (&json!(loans[0].to_string()), &paid["payment_event_id"]));
    assert_eq!(broken["journal_entry_id"], paid["journal_entry_id"]);
    assert!(named(system).contains("chain: "), "{}", named(system));
    tamper(system, &dated("2026-05-01")).await;
    inject(system, &moved(system, loans[0], "principal + 9")).await;
    inject(system, &moved(system, loans[1], "principal - 9")).await;

    let head = |order: &str| {
        let of = "SELECT p.chain_hash FROM postings p WHERE p.loan_key = loans.loan_key ORDER BY p.loan_version";
        format!("UPDATE loans SET chain_head = ({of} {order} LIMIT 1) WHERE loan_id = {}", literal(system, loans[0]))
    };
    inject(system, &head("ASC")).await;
    inject(system, &moved(system, loans[1], "suspense + 1")).await;
    let wrong = eventually(client, "2026-05-28", |told| found(told) == (1, 1)).await;
    assert_eq!(wrong["ledger_integrity"]["broken_chains"][0]["loan_id"], loans[0].to_string());
    assert_eq!(wrong["portfolio_rollup"]["mismatched_loan_ids"], json!([loans[1].to_string()]));
    let told = named(system);
    assert!(told.contains("chain: loan"), "{told}");
    inject(system, &head("DESC")).await;
    inject(system, &moved(system, loans[1], "suspense - 1")).await;
    let sound = eventually(client, "2026-05-28", |told| found(told) == (0, 0)).await;
    assert_eq!(states(&sound), [json!(OK), json!(OK)], "{sound}");
}

/// A statement that says something else of its bank account.
async fn bank(system: &System, client: &Client) {
    let query = "bank_account_ref=OPERATING-1&statement_date=2026-05-01&currency=USD&opening_balance_minor=500\
        &closing_balance_minor=500";
    let path = format!("/v1/bank-statements?{query}");
    let answer = client.post_csv(&path, "statement:injected", "booking_date,amount_minor\n").await;
    assert_eq!(answer.0, 202, "{}", answer.1);
    system.verified().await;
    let of_bank = async || {
        let told = status(client, "2026-05-28").await;
        let bank = &told["bank_reconciliation"][0];
        (bank["bank_account_ref"].clone(), bank["status"].clone(), bank["difference_minor"].clone())
    };
    assert_eq!(of_bank().await, (json!("OPERATING-1"), json!("reconciled"), json!("0")));
    inject(system, "UPDATE bank_statements SET closing_balance = closing_balance + 3").await;
    assert_eq!(of_bank().await, (json!("OPERATING-1"), json!("unreconciled"), json!("3")));
    let proof = system.output(&["verify"]);
    let told = String::from_utf8(proof.stdout).unwrap();
    assert!(told.contains("not reconciled with the bank") && told.contains("OPERATING-1"), "{told}");
    assert_eq!(proof.status.code(), Some(0), "the books agree with themselves");
    inject(system, "UPDATE bank_statements SET closing_balance = closing_balance - 3").await;
    assert_eq!(of_bank().await.1, "reconciled");
}

/// An event more than there is, as the intake counted.
async fn accepted(system: &System, client: &Client) {
    let counts = async || client.get("/v1/reconciliation/conservation").await.1;
    assert_eq!(counts().await["status"], OK);
    inject(
        system,
        "UPDATE publisher_totals SET accepted = accepted + 1 \
        WHERE accepted = (SELECT max(accepted) FROM publisher_totals)",
    )
    .await;
    let wrong = counts().await;
    assert_eq!((&wrong["status"], &wrong["difference"]), (&json!(MISMATCH), &json!(1)), "{wrong}");
    assert!(named(system).contains("conservation"), "{}", named(system));
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
