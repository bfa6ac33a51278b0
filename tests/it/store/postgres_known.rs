//! What a process knows of the loans it has posted to is never taken for what is true of them: another process, a person
//! or a backup may have changed them since.

use std::sync::Arc;

use hpts::store::postgres::PostgresStore;
use hpts::store::{StoreError, Wanted};
use tokio::task::JoinSet;

use super::prove;
use crate::support::books::{Books, day};
use crate::support::fold;
use crate::support::holds::{hold, release};
use crate::support::postgres::PostgresDatabase;

/// The same books in the hands of another process, which knows of no loan.
async fn other_process(database: &PostgresDatabase, books: &Books) -> Books {
    let store = PostgresStore::connect(database.url(), 4).await.unwrap();
    Books { store: Arc::new(store), ..books.clone() }
}

async fn refused(books: &Books, wanted: &[Wanted]) {
    let answer = books.try_post(wanted, fold::plain()).await;
    assert!(matches!(answer, Err(StoreError::Retry(_))), "{answer:?}");
}

#[tokio::test]
async fn what_another_process_posted_meanwhile_is_seen() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let other = other_process(&database, &books).await;
    books.book(vec![books.opening(1, [0, 0, 1_000]), books.payment_on(1, 100, day(4, 10))]).await;
    other.book(vec![books.payment_on(1, 30, day(4, 11))]).await;

    let wanted = books.accept(vec![books.payment_on(1, 5, day(4, 12))]).await;
    refused(&books, &wanted).await;
    assert_eq!(books.record(&wanted[0]).await.posting, None, "nothing was written");
    assert_eq!(books.post(&wanted).await.posted.len(), 1, "it is not known any more");

    let others = other.accept(vec![books.payment_on(1, 2, day(4, 13))]).await;
    other.post(&others).await;
    let late = books.accept(vec![books.payment_on(1, 1, day(4, 1))]).await;
    refused(&books, &late).await;
    assert_eq!(books.post(&late).await.posted.len(), 1);
    assert_eq!(books.loan(1).await.unwrap().state.balances.principal.units(), 1_000 - 100 - 30 - 5 - 2 - 1);
    prove(&books.store).await;
}

#[tokio::test]
async fn a_hold_of_another_process_is_seen() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let other = other_process(&database, &books).await;
    books.book(vec![books.opening(1, [0, 0, 1_000]), books.payment(1, 100)]).await;
    hold(&other.store, books.tenant, books.key(1)).await;

    let wanted = books.accept(vec![books.payment(1, 5)]).await;
    refused(&books, &wanted).await;
    assert_eq!(books.post(&wanted).await.held, [wanted[0].id]);
    assert_eq!(books.post(&wanted).await.held, [wanted[0].id], "whether it is looked at or locked");
    release(&other.store, books.tenant, books.key(1)).await;
    assert_eq!(books.post(&wanted).await.posted.len(), 1);
    prove(&books.store).await;
}

/// What it says of a known loan is what stands in its row, to the last column: a batch that turns out to need locks goes on.
#[tokio::test]
async fn what_needs_locks_after_all_is_posted_at_the_first_try() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [50, 0, 1_000]), books.opening(2, [0, 7, 0])]).await;
    books.book(vec![books.payment_on(1, 100, day(4, 10)), books.payment_on(2, 20, day(4, 10))]).await;

    let events = vec![
        books.payment_on(1, 5, day(4, 1)),
        books.fee_on(2, "late", 3, day(4, 11)),
        books.payment_on(2, 1, day(4, 12)),
    ];
    let wanted = books.accept(events).await;
    let batch = books.try_post(&wanted, fold::plain()).await.unwrap();

    assert_eq!(batch.posted.len(), 3, "{batch:?}");
    prove(&books.store).await;
}

/// A loan of the same version may have another past: books that were restored from a backup, and went on.
#[tokio::test]
async fn a_loan_is_known_by_its_chain_and_not_by_its_version() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1_000])]).await;
    let wanted = books.accept(vec![books.payment(1, 5)]).await;
    database.execute("UPDATE loans SET principal = 900, chain_head = sha256(chain_head)").await.unwrap();

    refused(&books, &wanted).await;

    books.post(&wanted).await;
    assert_eq!(books.loan(1).await.unwrap().state.balances.principal.units(), 895);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_post_to_the_same_loans_lose_nothing() {
    const PROCESSES: u128 = 3;
    const ROUNDS: i64 = 30;
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book((1..=3).map(|loan| books.opening(loan, [0, 0, 1_000_000])).collect()).await;
    let mut processes = JoinSet::new();
    for first in 0..PROCESSES {
        let books = other_process(&database, &books).await;
        processes.spawn(async move {
            for round in 0..ROUNDS {
                // Each names the loans in another order, and now and then one is late.
                let date = if round % 10 == 9 { day(4, 1) } else { day(4, 10) };
                let payments = (0..3).map(|n| books.payment_on((first + n) % 3 + 1, 1 + round, date));
                let wanted = books.accept(payments.collect()).await;
                let batch = books.post(&wanted).await;
                let settled = batch.posted.len() + batch.already.len();
                assert!(settled >= wanted.len(), "{batch:?}");
            }
        });
    }
    while let Some(done) = processes.join_next().await {
        done.unwrap();
    }
    let paid = i64::try_from(PROCESSES).unwrap() * (1..=ROUNDS).sum::<i64>();
    for loan in 1..=3 {
        assert_eq!(books.loan(loan).await.unwrap().state.balances.principal.units(), 1_000_000 - paid);
    }
    prove(&books.store).await;
}
