//! Laws of the journal: it does not change, and a change is found.

use hpts::core::money::Currency;
use hpts::store::ReconciliationQuestion;

use super::{Fixture, prove};
use crate::support::books::{Books, day};

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

pub(crate) async fn a_changed_line_or_hash_is_named(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1), books.payment(1, 2)]).await;
    let (first, last) = (wanted[1].seq, wanted[2].seq);
    let problems = async || {
        let problems = books.store.verify().await.unwrap().problems;
        let mut told: Vec<_> = problems.into_iter().map(|problem| (problem.check, problem.detail)).collect();
        told.sort_unstable();
        told
    };
    let of = |table: &str, column: &str, seq| format!("(SELECT {column} FROM {table} WHERE event_seq = {seq})");
    // By its version in the loan, or by its event.
    let names = |detail: &str, version: i64, seq| {
        [format!("version {version}"), format!("posting {seq}")].iter().any(|name| detail.contains(name.as_str()))
    };

    // The payment of 1 has the lines of the payment of 2: they balance, and every sum over them is another.
    let lines = of("postings", "amounts", last);
    fixture.tamper("CREATE TABLE kept AS SELECT event_seq, amounts, chain_hash FROM postings").await;
    fixture.tamper(&format!("UPDATE postings SET amounts = {lines} WHERE event_seq = {first}")).await;
    let found = problems().await;
    let checks: Vec<&str> = found.iter().map(|(check, _)| *check).collect();
    assert_eq!(checks, ["account_totals", "account_totals", "chain", "loan_balance"], "{found:?}");
    assert!(found[0].1.contains("1010") && found[1].1.contains("1100"), "the accounts: {found:?}");
    assert!(names(&found[2].1, 2, first), "the posting: {found:?}");
    let asked = ReconciliationQuestion { tenant: books.tenant, currency: Currency::USD, as_of: day(5, 31) };
    let findings = books.store.reconcile(vec![asked]).await.unwrap().remove(0).findings;
    let accounts: Vec<i16> = findings.mismatches.iter().map(|it| it.account).collect();
    assert_eq!((findings.mismatched_accounts, accounts), (2, vec![1010, 1100]), "{findings:?}");
    let back = of("kept", "amounts", first);
    fixture.tamper(&format!("UPDATE postings SET amounts = {back} WHERE event_seq = {first}")).await;
    assert_eq!(problems().await, []);

    // The hash of another posting: the row itself and the one that follows do not fit it.
    let hash = of("postings", "chain_hash", last);
    fixture.tamper(&format!("UPDATE postings SET chain_hash = {hash} WHERE event_seq = {first}")).await;
    let found = problems().await;
    assert!(found.iter().all(|(check, _)| *check == "chain"), "{found:?}");
    assert!(found.iter().any(|(_, detail)| names(detail, 2, first)), "{found:?}");
    let back = of("kept", "chain_hash", first);
    fixture.tamper(&format!("UPDATE postings SET chain_hash = {back} WHERE event_seq = {first}")).await;
    fixture.execute(&format!("UPDATE loans SET chain_head = {}", of("kept", "chain_hash", first))).await.unwrap();
    let found = problems().await;
    assert!(found.len() == 1 && found[0].0 == "chain" && found[0].1.contains("head"), "{found:?}");
    fixture.execute(&format!("UPDATE loans SET chain_head = {}", of("kept", "chain_hash", last))).await.unwrap();

    // A balance that no line has made.
    fixture.execute("UPDATE loans SET interest = interest + 1").await.unwrap();
    let found = problems().await;
    assert_eq!(found.iter().map(|(check, _)| *check).collect::<Vec<_>>(), ["loan_balance"], "{found:?}");
    let key = format!("{:?}", books.key(1)).replace('-', "");
    assert!(
        found[0].1.replace('-', "").contains(key.trim_matches(|c: char| !c.is_ascii_hexdigit())),
        "{found:?} {key}"
    );
}
