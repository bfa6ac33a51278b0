//! What only SQLite has: one writer, a file, lines in JSON, and the statements it can prepare without running.

use hpts::core::event::{EventKind, SourceMethod};
use hpts::core::ids::Seq;
use hpts::core::ledger::RejectionCode;
use hpts::store::sqlite::STATEMENTS;
use hpts::store::{Acceptance, SchemaState, Store, StoreError, Wanted};
use sqlx::{AssertSqlSafe, Executor, Row, SqlStr};
use tokio::sync::oneshot;

use super::intake::wanted;
use super::{Fixture as _, prove};
use crate::support::books::Books;
use crate::support::fold;
use crate::support::holds::{hold, release};
use crate::support::sqlite::SqliteDatabase;

#[tokio::test]
async fn every_statement_prepares() {
    let database = SqliteDatabase::open().await;
    let mut connection = database.connection().await;
    for (name, sql) in STATEMENTS {
        let prepared = (&mut connection).prepare(SqlStr::from_static(sql)).await;
        assert!(prepared.is_ok(), "{name}: {:?}\n{sql}", prepared.err());
    }
}

/// The steps of a statement's plan.
async fn plan(database: &SqliteDatabase, name: &str) -> Vec<String> {
    let (_, sql) = STATEMENTS.iter().find(|(other, _)| *other == name).unwrap();
    let mut connection = database.connection().await;
    let rows = connection.fetch_all(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

/// Whoever waits for an upload of a million rows asks again and again.
#[tokio::test]
async fn how_far_an_upload_is_costs_no_walk_of_it() {
    let plan = plan(&SqliteDatabase::open().await, "waiting_rows").await;

    assert!(
        plan.iter().any(|step| step == "SCAN k") && !plan.iter().any(|step| step.contains("batch_row")),
        "{plan:?}"
    );
}

/// A bad file has as many exceptions as rows.
#[tokio::test]
async fn a_result_is_not_compared_with_all_exceptions() {
    let database = SqliteDatabase::open().await;

    for name in ["upload_events", "upload_exceptions"] {
        let plan = plan(&database, name).await;
        let asked = "SEARCH m USING COVERING INDEX batch_exceptions_moved (event_id=? AND batch_id=?)";
        assert!(plan.iter().any(|step| step == asked), "{name}: {plan:?}");
    }
}

#[tokio::test]
async fn every_migration_file_is_applied() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let files = std::fs::read_dir(directory).unwrap().count();
    let database = SqliteDatabase::open().await;
    let mut connection = database.connection().await;
    let row = connection.fetch_one("SELECT count(*) FROM migrations").await.unwrap();
    assert_eq!(usize::try_from(row.get::<i64, _>(0)).unwrap(), files);
}

#[tokio::test]
async fn the_schema_tells_releases_apart() {
    let database = SqliteDatabase::open().await;
    let store = database.store();
    database
        .execute("INSERT INTO migrations (version, name, hash, applied_at) VALUES (99, 'later', x'00', 0)")
        .await
        .unwrap();
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Ahead);
    database.execute("UPDATE migrations SET hash = x'00' WHERE version = 1").await.unwrap();
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Foreign);
    assert!(matches!(store.migrate(8).await, Err(StoreError::WrongSchema)));
    database.execute("DELETE FROM migrations").await.unwrap();
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Behind);
}

/// Inserts a posting with the given columns; the others are those of a posted payment.
fn posting(accounts: &str, amounts: &str, outcome: &str, allocation: &str) -> String {
    format!(
        "INSERT INTO postings (event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts, layer, \
         alloc_fees, alloc_interest, alloc_principal, alloc_suspense, effective_date, booking_date, posted_at, \
         chain_hash) SELECT seq, loan_key, 7, {outcome}, {accounts}, {amounts}, 'SETTLED', {allocation}, \
         '2026-01-01', '2026-01-01', 0, zeroblob(32) FROM events WHERE kind = 'payment_received'"
    )
}

#[tokio::test]
async fn unbalanced_lines_are_refused_by_the_database() {
    let database = SqliteDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.accept(vec![books.payment(1, 100)]).await;
    let (posted, rejected) = ("'posted', NULL", "'rejected', 'loan_closed'");
    let (paid, none) = ("0, 0, 100, 0", "NULL, NULL, NULL, NULL");
    let many = "'[1,2,3,4,5,6,7,8,9]'";
    for (accounts, amounts, outcome, allocation) in [
        ("'[1010,1100]'", "'[100,-99]'", posted, paid),
        ("'[1010,1100]'", "NULL", posted, paid),
        ("NULL", "'[100,-100]'", posted, paid),
        ("'[1010,1100]'", "'[null,null]'", posted, paid),
        ("'[1010,1100]'", "'[100,null]'", posted, paid),
        ("'[1010,null]'", "'[100,-100]'", posted, paid),
        ("'[1010,1100,1200]'", "'[100,-100,null]'", posted, paid),
        ("'[1010,1100,1200]'", "'[100,-100,0]'", posted, paid),
        ("'[1010]'", "'[100,-100]'", posted, paid),
        ("'[1010,1100]'", "'[50,50,-100]'", posted, paid),
        ("'[1010,1100]'", "'[1.5,-1.5]'", posted, paid),
        ("'[1010,1100]'", "'[\"100\",\"-100\"]'", posted, paid),
        ("'[1010,1100]'", "'[[100],[-100]]'", posted, paid),
        ("'[1010,1100]'", "'{\"a\":100,\"b\":-100,\"c\":1}'", posted, paid),
        ("'[1010]'", "'[0]'", posted, paid),
        ("'[]'", "'[]'", posted, paid),
        ("'[]'", "'[]'", posted, none),
        ("'[1010]'", "'[]'", posted, paid),
        ("'[]'", "'[ ]'", posted, paid),
        ("'[1010,1100]'", "'[100,-100]'", rejected, none),
        ("'[1010,1100]'", "'[9223372036854775807,9223372036854775807]'", posted, paid),
        ("'[1010,1100]'", "'[-9223372036854775808,-9223372036854775808]'", posted, paid),
        ("'[1010,1100,1200]'", "'[9223372036854775807,9223372036854775807,2]'", posted, paid),
        ("'[1010,1100]'", "'[18446744073709551616,-18446744073709551616]'", posted, paid),
        (many, "'[1,1,1,1,1,1,1,1,-9]'", posted, paid),
        ("'[1010,1100]'", "'[100,-100]'", "'posted', 'loan_closed'", paid),
        ("'[1010,1100]'", "'[100,-100]'", posted, "0, 0, 100, NULL"),
        ("'[1010,1100]'", "'[100,-100]'", "'maybe', NULL", paid),
    ] {
        let refused = database.execute(&posting(accounts, amounts, outcome, allocation)).await;
        assert!(refused.is_err(), "{accounts} {amounts} {outcome} {allocation}");
    }
    for (accounts, amounts, outcome, allocation) in [
        ("'[1010,1100]'", "'[100,-100]'", posted, paid),
        (many, "'[1,1,1,1,1,1,1,1,-8]'", posted, paid),
        ("'[1010,1100,1200]'", "'[9223372036854775807,1,-9223372036854775808]'", posted, paid),
        ("'[]'", "'[]'", rejected, none),
    ] {
        let insert = posting(accounts, amounts, outcome, allocation);
        database.execute(&format!("BEGIN; {insert}; ROLLBACK")).await.unwrap();
    }
}

#[tokio::test]
async fn sums_beyond_64_bits_are_kept() {
    let database = SqliteDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let owed = 4_000_000_000_000_000_000_i64;
    books.book((1..=8).map(|loan| books.opening(loan, [0, 0, owed])).collect()).await;
    let row = database.connection().await.fetch_one("SELECT debits FROM account_totals WHERE account = 1100").await;
    assert_eq!(row.unwrap().get::<String, _>(0), (i128::from(owed) * 8).to_string());
    prove(&books.store).await;
}

#[tokio::test]
async fn verify_finds_what_nobody_would_post() {
    let database = SqliteDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let wanted = books.accept(vec![books.payment(1, 100)]).await;
    prove(&books.store).await;
    database.execute(&format!("UPDATE sweeper SET mark = {}", wanted[0].seq)).await.unwrap();
    let problems = books.store.verify().await.unwrap().problems;
    assert_eq!(problems.iter().map(|problem| problem.check).collect::<Vec<_>>(), ["event_without_posting"]);
}

#[tokio::test]
async fn released_events_are_swept_again() {
    let database = SqliteDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let wanted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let first = wanted[0].seq;
    database.execute(&format!("UPDATE sweeper SET mark = {}", wanted[1].seq)).await.unwrap();
    let mark = async || {
        let row = database.connection().await.fetch_one("SELECT mark, releases FROM sweeper").await.unwrap();
        (row.get::<i64, _>(0), row.get::<i64, _>(1))
    };
    let waiting = books.accept(vec![books.payment(1, 2)]).await;
    hold(&books.store, books.tenant, books.key(1)).await;
    database.execute("UPDATE sweeper SET mark = 1000").await.unwrap();
    release(&books.store, books.tenant, books.key(1)).await;
    assert!(waiting[0].seq > first);
    assert_eq!(mark().await, (waiting[0].seq.0 - 1, 1));
}

/// Posting that follows upon rows before their commit takes them down with it, and both come again.
#[tokio::test]
async fn what_is_posted_in_the_transaction_that_accepts_it_fails_with_it() {
    let database = SqliteDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let events = vec![books.payment(1, 5), books.payment(1, 7)];
    database.break_inserts("postings", "true").await;
    let (told, early) = oneshot::channel();
    let post = async {
        let early: Vec<Acceptance> = early.await.unwrap();
        books.try_post(&wanted(&events, &early), fold::plain()).await
    };
    let accept = books.store.accept_and_tell(books.publisher, events.clone(), told);
    let (accepted, posted) = tokio::join!(accept, post);
    assert!(matches!(accepted, Err(StoreError::Retry(_))), "{accepted:?}");
    assert!(matches!(posted, Err(StoreError::Data { .. })), "{posted:?}");
    assert_eq!(database.count("events").await, 1, "nothing was accepted");
    database.mend_inserts("postings").await;

    let others = books.accept(vec![books.payment(1, 9)]).await;
    let again = books.accept(events.clone()).await;
    assert_eq!((others[0].seq, again[0].seq), (Seq(2), Seq(3)), "places are taken anew");
    let stale = Wanted { seq: Seq(2), ..again[0] };
    let posted: Vec<Seq> = books.post(&[stale]).await.posted.iter().map(|(event, _)| event.seq).collect();
    assert_eq!(posted, [Seq(2), Seq(3), Seq(4)], "a message from before names its event by id");
    prove(&books.store).await;
}

#[tokio::test]
async fn a_closed_store_answers_unavailable_and_keeps_what_it_has() {
    let database = SqliteDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    books.store.close().await;
    assert!(matches!(books.store.counts().await, Err(StoreError::Unavailable(_))));
    let refused = books.store.accept(books.publisher, vec![books.payment(1, 5)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(database.reopen().await.verify().await.unwrap().posted, 1);
}

/// Every word of the domain is a word of the schema.
#[tokio::test]
async fn the_schema_knows_every_word_of_the_domain() {
    let database = SqliteDatabase::open().await;
    let mut connection = database.connection().await;
    let schema: String = connection.fetch_one("SELECT group_concat(sql, ' ') FROM sqlite_schema").await.unwrap().get(0);
    let kinds = EventKind::ALL.map(EventKind::as_str);
    let words = kinds.into_iter().chain(SourceMethod::ALL.map(SourceMethod::as_str));
    for word in words.chain(RejectionCode::ALL.map(RejectionCode::as_str)) {
        assert!(schema.contains(&format!("'{word}'")), "{word}");
    }
}
