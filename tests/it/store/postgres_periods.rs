//! What several writers at once do to a close: it waits for the postings under way, and they see it or it them.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hpts::core::ledger::{AccountCode, PeriodStatus};
use hpts::store::OperationDone;
use tokio::task::JoinSet;

use super::periods::{change, debits};
use crate::store::prove;
use crate::support::books::{Books, day};
use crate::support::fold;
use crate::support::postgres::PostgresDatabase;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_close_waits_for_the_postings_under_way() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 100_000])]).await;
    let wanted = books.accept(vec![books.payment_on(1, 10, day(4, 20))]).await;
    let (is_folding, folds) = mpsc::channel();
    let (go_on, waits) = mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    let slow = Arc::new(move |input| {
        is_folding.send(()).unwrap();
        waits.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        fold::fold(input)
    });
    let (mut posting, mut closing) = (JoinSet::new(), JoinSet::new());
    posting.spawn({
        let books = books.clone();
        async move { books.try_post(&wanted, slow).await.unwrap() }
    });
    tokio::task::spawn_blocking(move || folds.recv_timeout(Duration::from_secs(20)).unwrap()).await.unwrap();
    closing.spawn({
        let (store, change) = (books.store.clone(), change(&books, "2026-04", PeriodStatus::Closed));
        async move { store.change_period(change).await.unwrap() }
    });
    let early = tokio::time::timeout(Duration::from_millis(300), closing.join_next()).await;
    assert!(early.is_err(), "closed under a posting that has read the period as open: {early:?}");
    go_on.send(()).unwrap();
    let posted = posting.join_next().await.unwrap().unwrap();
    assert_eq!(posted.posted[0].1.booking_date, day(4, 20), "it was there first");
    let closed = closing.join_next().await.unwrap().unwrap();
    assert!(matches!(closed, OperationDone::Done(_)));

    let after = books.book(vec![books.payment_on(1, 10, day(4, 20))]).await;
    assert_eq!(books.record(&after[0]).await.posting.unwrap().booking_date, day(5, 1));
    assert_eq!(debits(&books, AccountCode::PAYMENT_CLEARING, day(4, 30)).await, 10);
    prove(&books.store).await;
}

/// Closes and postings race: whatever was booked in the month was booked before it was closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_booked_in_a_month_after_its_close() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    for loan in 1..=4 {
        books.book(vec![books.opening(loan, [0, 0, 100_000])]).await;
    }
    let mut posters = JoinSet::new();
    for loan in 1..=4 {
        let books = books.clone();
        posters.spawn(async move {
            for _ in 0..40 {
                let wanted = books.accept(vec![books.payment_on(loan, 1, day(4, 20))]).await;
                books.post(&wanted).await;
            }
        });
    }
    for _ in 0..6 {
        books.store.change_period(change(&books, "2026-04", PeriodStatus::Closed)).await.unwrap();
        let closed = debits(&books, AccountCode::PAYMENT_CLEARING, day(4, 30)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let later = debits(&books, AccountCode::PAYMENT_CLEARING, day(4, 30)).await;
        assert_eq!(closed, later, "a closed month grew");
        books.store.change_period(change(&books, "2026-04", PeriodStatus::Open)).await.unwrap();
    }
    while let Some(done) = posters.join_next().await {
        done.unwrap();
    }
    assert_eq!(debits(&books, AccountCode::PAYMENT_CLEARING, day(5, 1)).await, 160);
    prove(&books.store).await;
}
