//! What the sweep's walks cost PostgreSQL.

use super::operations::sweep;
use super::postgres::statement;
use crate::support::books::Books;
use crate::support::postgres::PostgresDatabase;

/// It is asked of each event there ever is, also where statistics know nothing of the tables yet.
#[tokio::test]
async fn the_first_event_that_waits_is_found_by_the_postings_alone() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 9_000])]).await;
    books.book((0..200).map(|_| books.payment(1, 1)).collect()).await;
    let waits = books.accept((0..50).map(|_| books.payment(1, 1)).collect()).await;
    // What stands behind it is posted, and so is what stands in front.
    books.book(vec![books.opening(2, [0, 0, 9_000])]).await;
    let sql = statement("first_waiting", &["0", "1000", "'1 second'"]);

    for statistics in ["SELECT", "ANALYZE"] {
        database.execute(statistics).await.unwrap();
        let plan = database.plan(&sql).await;
        let of_events: Vec<&str> = plan.lines().filter(|line| line.contains("on events")).collect();
        let looked = |line: &str| {
            line.contains("rows=1 loops=1") || line.contains("rows=0 loops") || line.contains("never executed")
        };
        assert!(!of_events.is_empty() && of_events.iter().all(|line| looked(line)), "{statistics}: {plan}");
    }
    assert_eq!(sweep(&books).await.finished_to.0, waits[0].seq.0 - 1);
}
