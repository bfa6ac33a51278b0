//! Laws of the journal: it does not change, and a change is found.

use super::{Fixture, prove};
use crate::support::books::Books;

pub(crate) async fn events_and_postings_cannot_be_changed(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    for statement in [
        "UPDATE events SET actor = 'thief'",
        "DELETE FROM events",
        "UPDATE postings SET alloc_principal = 2",
        "DELETE FROM postings",
    ] {
        let done = fixture.execute(statement).await;
        assert!(done.as_ref().is_err_and(|refusal| refusal.contains("insert-only")), "{statement}: {done:?}");
    }
    prove(&books.store).await;
}

pub(crate) async fn verify_is_clean_and_finds_a_tampered_row(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1), books.payment(1, 2)]).await;
    books.book(vec![books.payment(9, 1)]).await;
    let report = books.store.verify().await.unwrap();
    assert_eq!((report.events, report.posted, report.rejected, report.loans), (4, 3, 1, 1));
    assert_eq!(report.problems, []);
    let checks = async || {
        let problems = books.store.verify().await.unwrap().problems;
        problems.into_iter().map(|problem| problem.check).collect::<Vec<_>>()
    };
    let (first, last) = (wanted[1].seq, wanted[2].seq);

    fixture.tamper(&format!("UPDATE postings SET posted_at = posted_at WHERE event_seq = {last}")).await;
    assert_eq!(checks().await, Vec::<&str>::new(), "nothing changed");
    fixture.tamper(&format!("UPDATE postings SET effective_date = '2026-04-01' WHERE event_seq = {first}")).await;
    assert_eq!(checks().await, ["chain"]);
    fixture.tamper(&format!("UPDATE postings SET effective_date = '2026-05-01' WHERE event_seq = {first}")).await;
    assert_eq!(checks().await, Vec::<&str>::new());
    fixture.execute("UPDATE loans SET principal = principal + 1").await.unwrap();
    assert_eq!(checks().await, ["loan_balance"]);
    fixture.execute("UPDATE loans SET principal = principal - 1").await.unwrap();
    fixture.execute("UPDATE account_totals SET debits = debits + 1 WHERE account = 1010").await.unwrap();
    assert_eq!(checks().await, ["account_totals", "trial_balance"]);
    fixture.execute("UPDATE account_totals SET debits = debits - 1 WHERE account = 1010").await.unwrap();
    fixture.tamper(&format!("DELETE FROM events WHERE seq = {first}")).await;
    assert!(checks().await.contains(&"posting_without_event"));
    fixture.tamper(&format!("DELETE FROM postings WHERE event_seq = {last}")).await;
    let found = checks().await;
    assert!(found.contains(&"loan_version") && found.contains(&"loan_balance"), "{found:?}");
}
