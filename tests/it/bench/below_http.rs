//! `bench limit` and `bench naive`: their databases, their rows, and what they say of them.

use hpts::core::money::Minor;
use hpts::store::Store;
use hpts::store::postgres::PostgresStore;
use hpts::store::postgres::bench::{
    BenchDatabase, BenchDatabaseError, BenchPurpose, NAIVE_STATEMENTS, NaiveBooks, NaiveLoan, NaivePayment,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, SqlSafeStr};
use uuid::Uuid;

use super::{bench, measured};
use crate::support::books::day;
use crate::support::postgres::PostgresDatabase;

/// Whether a database of the measurement is there.
async fn is_there(beside: &PostgresDatabase, suffix: &str) -> bool {
    let found = format!("SELECT count(*) FROM pg_database WHERE datname = '{}{suffix}'", beside.name());
    beside.connection().await.fetch_one(AssertSqlSafe(found)).await.unwrap().get::<i64, _>(0) == 1
}

#[tokio::test]
async fn the_limit_writes_rows_that_verify_proves_and_leaves_nothing_behind() {
    let database = PostgresDatabase::open().await;
    let line = ["limit", "--database-url", database.url(), "--payments", "200", "--rows", "30", "--loans", "7"];
    let report = measured(&[&line[..], &["--repeat", "2", "--pid", "us=1"]].concat());
    assert_eq!((&report["good"], &report["measurement"]), (&true.into(), &"limit".into()));
    let case = &report["cases"][0];
    assert_eq!((case["median"]["payments"].as_u64(), case["runs"].as_array().unwrap().len()), (Some(200), 2));
    assert!(case["median"]["rate_per_second"].as_u64() > Some(0), "{report}");
    assert!(case["median"]["wal_bytes_per_payment"].as_u64() > Some(300), "a row is logged: {report}");
    for phase in ["accept", "post"] {
        assert!(case["median"][phase]["p99_us"].as_u64() >= case["median"][phase]["p50_us"].as_u64(), "{report}");
    }
    let proof = &report["books"]["looked"];
    assert_eq!((proof["posted"].as_u64(), proof["in_flight"].as_u64()), (Some(407), Some(0)), "7 openings, 2 x 200");
    assert_eq!(report["database"]["fsync"], "on");
    assert!(!is_there(&database, "_bench_limit").await);
    let counted = database.connection().await.fetch_one("SELECT count(*) FROM events").await.unwrap();
    assert_eq!(counted.get::<i64, _>(0), 0, "the database that was named is not written to");
}

#[tokio::test]
async fn the_usual_worker_posts_each_payment_once_and_leaves_nothing_behind() {
    let database = PostgresDatabase::open().await;
    let line = ["naive", "--database-url", database.url(), "--payments", "200", "--connections", "2,5"];
    let report = measured(&[&line[..], &["--loans", "3", "--repeat", "2"]].concat());
    assert_eq!(report["good"], true, "{report}");
    let cases = report["cases"].as_array().unwrap();
    assert_eq!(cases.iter().map(|case| case["name"].as_str().unwrap()).collect::<Vec<_>>(), ["naive 2", "naive 5"]);
    assert!(cases.iter().all(|case| case["median"]["payments"] == 200), "{report}");
    assert!(!is_there(&database, "_bench_naive").await);
}

#[tokio::test]
async fn every_statement_of_the_usual_worker_prepares_and_its_sums_are_looked_at() {
    let beside = PostgresDatabase::open().await;
    let database = BenchDatabase::create(beside.url(), BenchPurpose::Naive).await.unwrap();
    let store = database.store(2).await.unwrap();
    let loan = NaiveLoan { loan_id: Uuid::from_u128(1), borrower_id: Uuid::from_u128(2) };
    store.make_naive_tables(vec![loan], Minor::new(100)).await.unwrap();
    let mut worker = store.naive_worker().await.unwrap();
    let payment = |id: u128, amount: i64| NaivePayment {
        id: Uuid::from_u128(id),
        key: format!("payment:{id}"),
        loan,
        amount: Minor::new(amount),
        effective_date: day(5, 1),
    };
    for payment in [payment(1, 70), payment(2, 50)] {
        worker.post(&payment).await.unwrap();
    }
    assert!(worker.post(&payment(1, 70)).await.is_err(), "a payment is posted once");
    let books = store.naive_books(Minor::new(100)).await.unwrap();
    assert_eq!(books, NaiveBooks { payments: 2, amount: 120, lines: 0, moved: 120, versions: 2 });
    assert!(books.agree());
    assert!(!store.naive_books(Minor::new(101)).await.unwrap().agree(), "a loan moved by more than was paid");
    let (path, _) = beside.url().rsplit_once('/').unwrap();
    let url: sqlx::postgres::PgConnectOptions = format!("{path}/{}", database.name()).parse().unwrap();
    let mut connection = url.connect().await.unwrap();
    for (name, sql) in NAIVE_STATEMENTS {
        let prepared = connection.prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {prepared:?}");
    }
    connection.close().await.unwrap();
    worker.close().await;
    store.close().await;
    database.drop_database().await.unwrap();
}

#[tokio::test]
async fn a_database_left_behind_is_made_anew_and_a_stranger_is_left_alone() {
    let beside = PostgresDatabase::open().await;
    let left_behind = BenchDatabase::create(beside.url(), BenchPurpose::Limit).await.unwrap();
    let name = left_behind.name().to_owned();
    drop(left_behind);

    let again = BenchDatabase::create(beside.url(), BenchPurpose::Limit).await.unwrap();
    assert_eq!(again.name(), name);
    again.drop_database().await.unwrap();

    beside.execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let taken = BenchDatabase::create(beside.url(), BenchPurpose::Limit).await;
    assert!(matches!(taken, Err(BenchDatabaseError::Taken(_))), "{taken:?}");
    let output = bench(&["limit", "--database-url", beside.url(), "--payments", "10", "--loans", "2"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("that no measurement made"), "{told}");
    assert!(is_there(&beside, "_bench_limit").await);
    beside.execute(&format!("DROP DATABASE {name}")).await.unwrap();
}

#[tokio::test]
async fn a_measurement_of_no_database_is_not_understood() {
    for what in ["limit", "naive"] {
        let output = bench(&[what]);
        assert_eq!(output.status.code(), Some(2), "{what}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("HPTS_DATABASE_URL"), "{output:?}");
    }
}

#[tokio::test]
async fn the_server_tells_its_log_and_its_settings() {
    let database = PostgresDatabase::open().await;
    let store = PostgresStore::connect(database.url(), 2).await.unwrap();
    let before = store.wal_position().await.unwrap();
    database.execute("CREATE TABLE written (text text); INSERT INTO written VALUES (repeat('x', 1000))").await.unwrap();
    assert!(store.wal_position().await.unwrap() > before + 1000);
    let settings = store.server_settings().await.unwrap();
    assert!(settings.iter().any(|(name, _)| name == "server_version"), "{settings:?}");
    store.close().await;
}
