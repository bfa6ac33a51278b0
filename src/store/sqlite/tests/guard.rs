//! Owns the laws that the database itself repeats, and what `verify` finds when somebody went round them.

use sqlx::{Executor as _, SqliteConnection};

use super::world::*;
use crate::store::sqlite::STATEMENTS;
use crate::store::sqlite::error::store_error;
use crate::store::{SchemaState, Store, StoreError};

async fn insert_posting(db: &mut SqliteConnection, accounts: &str, amounts: &str) -> Result<(), StoreError> {
    let layer = if amounts == "[]" { "NULL" } else { "'SETTLED'" };
    let sql = format!(
        "INSERT INTO postings (event_seq, loan_key, loan_version, outcome, accounts, amounts, layer, effective_date,
            booking_date, posted_at, chain_hash)
        SELECT seq, loan_key, 7, 'posted', '{accounts}', '{amounts}', {layer}, '2026-05-01', '2026-05-01', 1,
            zeroblob(32)
        FROM events WHERE kind = 'payment_received'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(db).await.map(|_| ()).map_err(store_error)
}

#[tokio::test]
async fn the_database_refuses_lines_that_do_not_balance() {
    let world = World::new().await;
    world.take("pay-one", payment(LOAN, 5, "2026-05-01")).await;
    let mut db = world.raw().await;
    let most = i64::MAX;
    for (accounts, amounts) in [
        ("[1010,1100]", "[100,-99]"),
        ("[1010,1100]", "[null,null]"),
        ("[1010,1100]", "[100,null]"),
        ("[1010,1100,1200]", "[100,-100,null]"),
        ("[1010,1100,1200]", "[100,-100,0]"),
        ("[1010,1100,1200]", "[100,-100]"),
        ("[1010,1100]", "[50,50,-100]"),
        ("[1010,null]", "[100,-100]"),
        ("[1010,1100]", "[1.5,-1.5]"),
        ("[1010,1100]", "[\"100\",\"-100\"]"),
        ("[1010]", "[0]"),
        ("[]", "[]"),
        ("[1010]", "[]"),
        ("[]", "[ ]"),
        ("[1010,1100]", &format!("[{most},{most}]")),
        ("[1010,1100,1200]", &format!("[{most},{most},2]")),
        ("[1010,1100]", "[18446744073709551616,-18446744073709551616]"),
    ] {
        let refused = insert_posting(&mut db, accounts, amounts).await;
        assert!(matches!(refused, Err(StoreError::Data { .. })), "{accounts} {amounts}: {refused:?}");
    }
    insert_posting(&mut db, "[1010,1100,2100]", &format!("[{most},-1,-{}]", most - 1)).await.unwrap();
}

#[tokio::test]
async fn events_and_postings_cannot_be_changed() {
    let world = World::new().await;
    world.done("open-one", opening(LOAN, None, 0, 1000)).await;
    let mut db = world.raw().await;
    for statement in [
        "UPDATE events SET actor = 'else'",
        "DELETE FROM events",
        "UPDATE postings SET posted_at = 0",
        "DELETE FROM postings",
    ] {
        let refused = sqlx::query(statement).execute(&mut db).await.map_err(store_error);
        assert!(matches!(refused, Err(StoreError::Data { .. })), "{statement}: {refused:?}");
    }
}

#[tokio::test]
async fn verify_finds_what_was_tampered_with() {
    for (tampering, checks) in [
        (
            "DROP TRIGGER postings_are_never_changed; UPDATE postings SET amounts = '[700,-700]' WHERE event_seq = 2",
            &["account_totals", "chain", "loan_balance"][..],
        ),
        (
            "DROP TRIGGER postings_are_never_changed; UPDATE postings SET amounts = '[5,-4]' WHERE event_seq = 2",
            &["account_totals", "chain", "entry_balance", "loan_balance"],
        ),
        (
            "DROP TRIGGER postings_are_never_deleted; DELETE FROM postings WHERE event_seq = 2",
            &["account_totals", "loan_balance", "loan_version", "chain"],
        ),
        ("UPDATE loans SET principal_minor = principal_minor + 1", &["loan_balance"]),
        ("UPDATE loans SET chain_head = zeroblob(32)", &["chain"]),
        ("UPDATE account_totals SET debits = '1' WHERE account = 1010", &["account_totals", "trial_balance"]),
        ("DROP TRIGGER events_are_never_deleted; DELETE FROM events WHERE seq = 1", &["posting_without_event"]),
        ("UPDATE sweeper SET mark = 3", &["event_without_posting"]),
    ] {
        let world = World::new().await;
        world.done("open-one", opening(LOAN, None, 0, 1000)).await;
        world.done("pay-one", payment(LOAN, 5, "2026-05-01")).await;
        world.take("in-flight", payment(LOAN, 6, "2026-05-01")).await;
        world.assert_sound().await;
        world.raw().await.execute(sqlx::raw_sql(tampering)).await.unwrap();
        let problems = world.store.verify().await.unwrap().problems;
        for check in checks {
            assert!(problems.iter().any(|problem| problem.check == *check), "{tampering}: {check} not in {problems:?}");
        }
    }
}

#[tokio::test]
async fn every_statement_prepares() {
    let world = World::new().await;
    let mut db = world.raw().await;
    for (name, statement) in STATEMENTS {
        let prepared = (&mut db).prepare(sqlx::SqlStr::from_static(statement)).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[tokio::test]
async fn the_schema_knows_its_release() {
    let world = World::new().await;
    world.store.migrate(4).await.unwrap();
    assert_eq!(world.store.schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(world.store.partition_map().await.unwrap().count(), 8);
    let mut db = world.raw().await;
    let ahead = "INSERT INTO migrations (version, name, hash, applied_at) VALUES (99, 'later', x'00', 0)";
    sqlx::query(ahead).execute(&mut db).await.unwrap();
    assert_eq!(world.store.schema_state().await.unwrap(), SchemaState::Ahead);
    sqlx::query("UPDATE migrations SET hash = x'00' WHERE version = 1").execute(&mut db).await.unwrap();
    assert_eq!(world.store.schema_state().await.unwrap(), SchemaState::Foreign);
    assert!(matches!(world.store.migrate(8).await, Err(StoreError::WrongSchema)));
    sqlx::query("DELETE FROM migrations").execute(&mut db).await.unwrap();
    assert_eq!(world.store.schema_state().await.unwrap(), SchemaState::Behind);
}

#[tokio::test]
async fn a_closed_store_answers_unavailable_and_keeps_what_it_has() {
    let world = World::new().await;
    world.done("open-one", opening(LOAN, None, 0, 1000)).await;
    world.store.close().await;
    assert!(matches!(world.store.counts().await, Err(StoreError::Unavailable(_))));
    let event = world.event(TENANT, "too-late", payment(LOAN, 5, "2026-05-01"));
    assert!(matches!(world.store.accept(PUBLISHER, vec![event]).await, Err(StoreError::Unavailable(_))));
    let again = crate::store::sqlite::SqliteStore::open(&world.path, world.clock.clone()).await.unwrap();
    assert_eq!(again.verify().await.unwrap().posted, 1);
}
