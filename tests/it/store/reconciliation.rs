//! Reconciliation: each check finds what is injected by hand, and conservation what is lost.

use std::time::Duration;

use hpts::core::ids::{Seq, WorkerId};
use hpts::core::money::Currency;
use hpts::store::{Findings, LoanFaultKind, ReconciliationQuestion, SweepPlan};
use uuid::Uuid;

use super::Fixture;
use crate::store::prove;
use crate::support::books::{Books, day, loan_id};

fn of_may(books: &Books) -> ReconciliationQuestion {
    ReconciliationQuestion { tenant: books.tenant, currency: Currency::USD, as_of: day(5, 31) }
}

async fn findings(books: &Books) -> Findings {
    books.store.reconcile(vec![of_may(books)]).await.unwrap().remove(0).findings
}

async fn paid_loans(fixture: &impl Fixture) -> Books {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [500, 10_000, 100_000]), books.opening(2, [0, 0, 70])]).await;
    books.book(vec![books.payment_on(1, 11_000, day(5, 1)), books.payment_on(2, 100, day(5, 2))]).await;
    books
}

pub(crate) async fn every_check_finds_what_is_injected(fixture: &impl Fixture) {
    let books = paid_loans(fixture).await;
    let sound = findings(&books).await;
    assert!(sound.is_ok(), "{sound:?}");
    assert_eq!((sound.gl_principal.0, sound.loans_principal.0), (99_500, 99_500));

    // A total that is not the sum of its lines.
    fixture
        .execute("UPDATE account_totals SET credits = '10001' WHERE account = 1200 AND credits <> '0'")
        .await
        .unwrap();
    let wrong = findings(&books).await;
    assert_eq!(wrong.mismatched_accounts, 1, "{wrong:?}");
    let told = wrong.told();
    assert_eq!(told[0].0, "ledger_integrity");
    assert_eq!(told[0].1, "account 1200 SETTLED: totals 10000 / 10001, lines 10000 / 10000");
    fixture
        .execute("UPDATE account_totals SET credits = '10000' WHERE account = 1200 AND credits <> '0'")
        .await
        .unwrap();
    assert!(findings(&books).await.is_ok());

    // A loan whose principal is not the sum of its lines.
    fixture.execute("UPDATE loans SET principal = principal + 7 WHERE principal > 1000").await.unwrap();
    let wrong = findings(&books).await;
    assert_eq!((wrong.mismatched_accounts, wrong.gl_principal.0, wrong.loans_principal.0), (0, 99_500, 99_507));
    assert_eq!(wrong.wrong_loans.len(), 1, "{wrong:?}");
    assert_eq!(wrong.wrong_loans[0], loan_id(1).0);
    fixture.execute("UPDATE loans SET principal = principal - 7 WHERE principal > 1000").await.unwrap();
    assert!(findings(&books).await.is_ok());
}

pub(crate) async fn what_is_booked_later_is_no_mismatch(fixture: &impl Fixture) {
    let books = paid_loans(fixture).await;
    books.book(vec![books.payment_on(1, 400, day(6, 2)), books.disbursement_on(1, 90, day(6, 3))]).await;
    let by_may = findings(&books).await;
    assert!(by_may.is_ok(), "{by_may:?}");
    assert_eq!(by_may.loans_principal.0, 99_500, "as of May");
    let question = ReconciliationQuestion { as_of: day(6, 30), ..of_may(&books) };
    let by_june = books.store.reconcile(vec![question]).await.unwrap().remove(0).findings;
    assert_eq!((by_june.gl_principal.0, by_june.loans_principal.0), (99_190, 99_190));
    prove(&books.store).await;
}

/// Two errors that make up for each other are found where no sum tells of them; each is named until it is mended.
pub(crate) async fn a_loan_that_is_not_what_its_postings_say_is_named(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let others = Books::open(fixture.store(), 2).await;
    others.book(vec![others.opening(1, [0, 0, 5])]).await;
    let opened = vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 800])];
    let wanted = books.book([opened, vec![books.payment(1, 10), books.payment(1, 20)]].concat()).await;
    let known = async || {
        let all = books.store.check_loans(None).await.unwrap();
        assert_eq!(all.next, None);
        let theirs = others.store.loan_faults(others.tenant, Currency::USD).await.unwrap();
        assert_eq!((theirs.balances, theirs.chains, theirs.named), (0, 0, Vec::new()));
        let faults = books.store.loan_faults(books.tenant, Currency::USD).await.unwrap();
        assert_eq!(faults.named.len(), all.faults);
        assert_eq!(books.store.count_loan_faults().await.unwrap(), u64::try_from(all.faults).unwrap());
        let told: Vec<_> = faults.named.iter().map(|it| (it.kind, it.loan_id, it.event)).collect();
        (all.found.len(), told)
    };
    let (of_one, of_two) = (LoanFaultKind::Balance, loan_id(2));
    assert_eq!(known().await, (0, Vec::new()));

    let moved = |by: i64| {
        format!(
            "UPDATE loans SET principal = principal + CASE WHEN principal < 600 THEN {by} ELSE -{by} END WHERE principal > 5"
        )
    };
    fixture.execute(&moved(7)).await.unwrap();
    let both = vec![(of_one, loan_id(1), None), (of_one, of_two, None)];
    assert_eq!(known().await, (2, both.clone()));
    assert!(findings(&books).await.is_ok(), "the sums are equal");
    assert_eq!(known().await, (0, both), "both are known");
    fixture.execute(&moved(-7).replace("--", "")).await.unwrap();
    assert_eq!(known().await, (0, Vec::new()));

    let (first, last) = (&wanted[2], &wanted[3]);
    let dated =
        |day: &str| format!("UPDATE postings SET effective_date = '2026-05-{day}' WHERE event_seq = {}", first.seq);
    fixture.tamper(&dated("02")).await;
    assert_eq!(known().await, (1, vec![(LoanFaultKind::Chain, loan_id(1), Some(first.id))]));
    fixture.tamper(&dated("01")).await;
    assert_eq!(known().await, (0, Vec::new()));
    // What cannot be read is its loan's fault, and the loans behind it are checked all the same.
    let paid_in = |currency: &str| format!("UPDATE events SET currency = '{currency}' WHERE seq = {}", first.seq);
    fixture.tamper(&paid_in("QQQ")).await;
    fixture.execute("UPDATE loans SET suspense = 1, currency = 'QQQ' WHERE principal = 800").await.unwrap();
    let unread = (LoanFaultKind::Chain, loan_id(1), Some(first.id));
    let of_two = [(of_one, of_two, None), (LoanFaultKind::Chain, of_two, None)];
    assert_eq!(known().await, (3, vec![of_two[0], unread, of_two[1]]));
    fixture.tamper(&paid_in("USD")).await;
    fixture.execute("UPDATE loans SET suspense = 0, currency = 'USD' WHERE principal = 800").await.unwrap();
    assert_eq!(known().await, (0, Vec::new()));
    fixture.tamper(&format!("DELETE FROM postings WHERE event_seq = {}", last.seq)).await;
    let expected = vec![(of_one, loan_id(1), None), (LoanFaultKind::Chain, loan_id(1), None)];
    assert_eq!(known().await, (2, expected));

    let since = books.store.check_loans(None).await.unwrap().read_at;
    assert_eq!(books.store.loan_faults(books.tenant, Currency::USD).await.unwrap().checked_at, None);
    books.store.note_loans_checked(since).await.unwrap();
    assert_eq!(books.store.loan_faults(books.tenant, Currency::USD).await.unwrap().checked_at, Some(since));
}

pub(crate) async fn loans_are_checked_window_by_window(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    for loans in [1..=350, 351..=700, 701..=1_050] {
        books.book(loans.map(|loan| books.opening(loan, [0, 0, 500])).collect()).await;
    }
    fixture.execute("UPDATE loans SET suspense = 1").await.unwrap();
    let first = books.store.check_loans(None).await.unwrap();
    assert_eq!((first.faults, first.found.len(), first.next.is_some()), (1_000, 1_000, true));
    let second = books.store.check_loans(first.next).await.unwrap();
    assert_eq!((second.faults, second.found.len(), second.next), (50, 50, None));
    let faults = books.store.loan_faults(books.tenant, Currency::USD).await.unwrap();
    assert_eq!((faults.balances, faults.chains, faults.named.len()), (1_050, 0, 100));
    assert_eq!(books.store.count_loan_faults().await.unwrap(), 1_050, "of both windows");
    fixture.execute("UPDATE loans SET suspense = 0").await.unwrap();
    assert_eq!(books.store.check_loans(first.next).await.unwrap().faults, 0);
    assert_eq!(
        books.store.loan_faults(books.tenant, Currency::USD).await.unwrap().balances,
        1_000,
        "of the first window"
    );
}

pub(crate) async fn runs_are_kept_by_tenant_and_day(fixture: &impl Fixture) {
    let books = paid_loans(fixture).await;
    let others = Books::open(fixture.store(), 2).await;
    others.book(vec![others.opening(1, [0, 0, 5])]).await;
    let asked = vec![of_may(&books), of_may(&others)];
    assert_eq!(books.store.latest_run(asked[0]).await.unwrap(), None);
    let runs = books.store.reconcile(asked.clone()).await.unwrap();
    assert_eq!(runs[1].findings.gl_principal.0, 5);
    for (question, run) in asked.iter().zip(&runs) {
        assert_eq!(books.store.latest_run(*question).await.unwrap().as_ref(), Some(run));
    }
    let other_day = ReconciliationQuestion { as_of: day(5, 30), ..asked[0] };
    assert_eq!(books.store.latest_run(other_day).await.unwrap(), None);
    let mut currencies = books.store.ledger_currencies().await.unwrap();
    currencies.sort();
    assert_eq!(currencies, [(books.tenant, Currency::USD), (others.tenant, Currency::USD)]);
}

/// Moves the sweeper's mark over everything that is finished.
async fn sweep(fixture: &impl Fixture, books: &Books, wanted: &[Seq]) {
    for seq in wanted {
        fixture.age(*seq, 3600).await;
    }
    let plan = SweepPlan {
        worker: WorkerId(Uuid::from_u128(5)),
        lease: Duration::from_secs(30),
        above: None,
        up_to: None,
        front: None,
        older_than: Duration::from_secs(1),
        mark_older_than: Duration::from_mins(5),
        publisher_dead_after: Duration::from_secs(10),
        limit: 100,
    };
    books.store.sweep(plan).await.unwrap().expect("nobody else sweeps");
}

async fn count_all(books: &Books) {
    while !books.store.count_on().await.unwrap() {}
}

pub(crate) async fn accepted_events_are_all_somewhere(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let opened = books.book(vec![books.opening(1, [0, 0, 1_000])]).await;
    let rejected = books.book(vec![books.payment(9, 1)]).await;
    let posted = books.book(vec![books.payment(1, 10), books.payment(1, 20)]).await;
    let waiting = books.accept(vec![books.payment(1, 30)]).await;
    let counts = || async { books.store.conservation().await.unwrap().remove(&books.tenant).unwrap() };
    let live = counts().await;
    assert_eq!((live.accepted, live.posted, live.rejected, live.in_flight), (5, 3, 1, 1));
    assert_eq!(live.difference(), 0);

    let finished: Vec<Seq> = opened.iter().chain(&rejected).chain(&posted).map(|wanted| wanted.seq).collect();
    sweep(fixture, &books, &finished).await;
    count_all(&books).await;
    assert_eq!(counts().await, live, "counted once and remembered");
    count_all(&books).await;
    assert_eq!(counts().await, live, "and not twice");
    assert_eq!(fixture.count("conservation_counts").await, 1);

    books.post(&waiting).await;
    let done = counts().await;
    assert_eq!((done.posted, done.in_flight, done.difference()), (4, 0, 0));
    prove(&books.store).await;
}

pub(crate) async fn lost_events_are_named(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1_000])]).await;
    let posted = books.book(vec![books.payment(1, 10), books.payment(1, 20)]).await;
    fixture.tamper(&format!("DELETE FROM postings WHERE event_seq = {}", posted[1].seq)).await;
    fixture.execute(&format!("UPDATE sweeper SET mark = {}", posted[1].seq)).await.unwrap();
    for round in 0..2 {
        let counts = books.store.conservation().await.unwrap().remove(&books.tenant).unwrap();
        assert_eq!((counts.difference(), counts.in_flight), (1, 0), "round {round}: {counts:?}");
        assert_eq!(counts.lost, [posted[1].id]);
        count_all(&books).await;
    }
    let report = books.store.verify().await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.check == "event_without_posting"), "{report:?}");
    fixture.tamper(&format!("DELETE FROM events WHERE seq = {}", posted[1].seq)).await;
    let counts = books.store.conservation().await.unwrap().remove(&books.tenant).unwrap();
    assert_eq!((counts.difference(), counts.lost.len()), (1, 0), "its row is gone, its acceptance is not");
    let report = books.store.verify().await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.check == "conservation"), "{report:?}");
}

pub(crate) async fn one_process_reconciles(fixture: &impl Fixture) {
    let store = fixture.store();
    let (one, two) = (WorkerId(Uuid::from_u128(1)), WorkerId(Uuid::from_u128(2)));
    let lease = Duration::from_mins(1);
    assert!(store.take_reconciler(one, lease).await.unwrap());
    assert!(!store.take_reconciler(two, lease).await.unwrap());
    assert!(store.take_reconciler(one, lease).await.unwrap(), "it renews its own");
    assert!(store.count_on().await.unwrap(), "there is nothing to count");
}
