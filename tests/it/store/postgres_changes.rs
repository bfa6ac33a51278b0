//! The change feed where transactions commit in any order, which only PostgreSQL has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hpts::core::ids::EventId;
use hpts::runtime::lifecycle::Lifecycle;
use hpts::store::{ChangePlace, Fold, PostWork};
use sqlx::{Connection, Executor, Row};
use tokio::time::Instant;

use super::changes::{assert_whole, counted, follow, read_all, read_on, write};
use super::prove;
use crate::support::books::{Books, work};
use crate::support::fold;
use crate::support::postgres::PostgresDatabase;

/// A fold that keeps its transaction open until it is told to go on.
fn held(release: mpsc::Receiver<()>) -> Fold {
    let release = Mutex::new(release);
    Arc::new(move |input| {
        tokio::task::block_in_place(|| release.lock().unwrap().recv().unwrap());
        fold::fold(input)
    })
}

/// A fold that takes its time, each call another one, so that transactions overtake each other.
fn dawdling() -> Fold {
    let calls = AtomicUsize::new(0);
    Arc::new(move |input| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis([0, 12, 3, 25, 1, 7][call % 6])));
        fold::fold(input)
    })
}

/// The same books through connections of their own.
async fn beside(database: &PostgresDatabase, books: &Books) -> Books {
    Books { store: Arc::new(database.store_at(database.server()).await), ..books.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_out_of_order_are_shown_once() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let opened = books.book((1..=7).map(|n| books.opening(n, [0, 0, 9_000])).collect()).await;
    let mut accepted: Vec<EventId> = opened.iter().map(|wanted| wanted.id).collect();
    let before = read_all(&books).await.last().unwrap().place;
    let tasks = Lifecycle::new();

    // One posting begins first and commits last. It locks its loan, which gives its transaction a number.
    let (go_on, release) = mpsc::channel();
    let slow = books.accept(vec![books.payment(7, 5)]).await[0];
    let first = beside(&database, &books).await;
    let locking = PostWork { despite_hold: true, ..work(&[slow]) };
    let posting = tasks.spawn(async move { first.store.post_batch(locking, held(release)).await.unwrap() });
    wait_for_lock(&database).await;

    let writing = Arc::new(AtomicUsize::new(4));
    let reading = tasks.spawn(follow(beside(&database, &books).await, Arc::clone(&writing)));
    let mut writers = Vec::new();
    for n in 0..4 {
        let writer = write(beside(&database, &books).await, (n, 25), dawdling());
        writers.push(tasks.spawn(counted(Arc::clone(&writing), writer)));
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while books.store.changes_delay().await.unwrap() < Duration::from_millis(300) {
        assert!(Instant::now() < deadline, "an open transaction hides what commits after it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(read_on(&books, before, 100).await, [], "nothing is shown that something could come before");
    assert_eq!(books.store.changed(vec![(books.tenant, before)]).await.unwrap(), []);
    go_on.send(()).unwrap();
    assert_eq!(posting.await.unwrap().posted.len(), 1);

    accepted.push(slow.id);
    for writer in writers {
        accepted.extend(writer.await.unwrap());
    }
    let changes = reading.await.unwrap();

    assert_whole(&changes, &accepted);
    assert_eq!(changes[7].event_id, slow.id, "what began first is shown first");
    assert_eq!(changes, read_all(&books).await, "and shown the same ever after");
    prove(&books.store).await;
}

/// Waits until a posting holds its loan.
async fn wait_for_lock(database: &PostgresDatabase) {
    let mut connection = database.connection().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let sql = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
    while connection.fetch_one(sql).await.unwrap().get::<i64, _>(0) == 0 {
        assert!(Instant::now() < deadline, "no transaction writes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Any transaction that writes, of whatever program, holds the feed back; one that has only read does not.
#[tokio::test]
async fn a_foreign_transaction_delays_the_feed_and_loses_nothing() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let before = read_all(&books).await;
    let mut foreign = database.connection().await;
    let mut foreign = foreign.begin().await.unwrap();
    foreign.execute("SELECT pg_current_xact_id()").await.unwrap();

    books.book(vec![books.payment(1, 1)]).await;
    assert_eq!(read_on(&books, ChangePlace::START, 10).await, before);
    let delay = books.store.changes_delay().await.unwrap();
    assert!(delay > Duration::ZERO && delay < Duration::from_mins(1), "{delay:?}");
    foreign.rollback().await.unwrap();

    assert_eq!(read_all(&books).await.len(), 2);
}

/// After a restore, transaction numbers begin anew below those of the epochs before.
#[tokio::test]
async fn rows_of_older_epochs_are_all_shown() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    database.execute("UPDATE changes SET xact = xact + 1000000000000").await.unwrap();
    assert_eq!(read_on(&books, ChangePlace::START, 10).await, [], "a number that no transaction has yet");
    database.execute("UPDATE epoch SET number = 2").await.unwrap();
    books.book(vec![books.payment(1, 2)]).await;

    let changes = read_all(&books).await;

    assert_eq!(changes.iter().map(|change| change.place.epoch).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(changes[1].place.xact > changes[2].place.xact);
    assert_eq!(read_on(&books, changes[1].place, 10).await, changes[2..]);
}

/// A page costs a walk along an index as far as the page goes: only the events of one row are sorted at a time.
#[tokio::test]
async fn a_page_stops_at_its_limit() {
    let database = PostgresDatabase::open().await;
    let tenant = "'00000000-0000-0000-0000-000000000001'::uuid";
    let rows = format!("SELECT {tenant}, 1, n, ARRAY[n, n + 1, n + 2] FROM generate_series(1, 20000) AS n");
    database
        .execute(&format!("INSERT INTO changes (tenant, epoch, xact, seqs) {rows}; ANALYZE changes"))
        .await
        .unwrap();
    let (_, sql) = hpts::store::postgres::statements().into_iter().find(|(name, _)| *name == "changes_after").unwrap();
    // An epoch that is over, so that all rows are shown.
    let page = sql.replace("SELECT number FROM epoch", "SELECT 2");
    let page = page.replace("$1", tenant).replace("$2", "1").replace("$3", "5::bigint").replace("$4", "2::bigint");
    let page = page.replace("$5", "501::bigint").replace("$6", "9100");

    let plan = database.plan(&page).await;

    assert!(plan.contains("Presorted Key: t.epoch, t.xact"), "{plan}");
    let walk = plan.lines().find(|line| line.contains("Index Scan using changes_pkey")).unwrap();
    let (_, walked) = walk.split_once("rows=").unwrap();
    let walked: usize = walked.split_whitespace().next().unwrap().parse().unwrap();
    assert!((167..=200).contains(&walked), "{walked} rows walked\n{plan}");
}
