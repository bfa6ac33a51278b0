//! Laws of the reads of a loan's past.

use hpts::core::event::{Collectibility, EventKind, HoldMode, ServicingAct};
use hpts::core::ids::Seq;
use hpts::core::ledger::{Outcome, RejectionCode, look_ahead};
use hpts::core::loan::{Balances, LoanHistory, LossAccount};
use hpts::core::money::Minor;
use hpts::store::{
    BalanceTime, HistoryCut, LoanPlace, LoanSpan, LoansFilter, LoansPage, PayoffSince, StatementPage, StatementRecord,
};

use super::{Fixture, prove};
use crate::support::books::{Books, borrower, day, loan_id};
use crate::support::holds::{change, hold, put};
use crate::support::system;

fn parts(balances: &Balances) -> [i64; 4] {
    [balances.fees, balances.interest, balances.principal, balances.suspense].map(Minor::units)
}

async fn history(books: &Books, cut: HistoryCut) -> LoanHistory {
    books.store.loan_days(books.tenant, books.key(1), cut).await.unwrap().unwrap().history
}

/// A loan of which a payment of 1 April was posted before one of 1 March.
async fn with_a_late_payment(books: &Books) -> [hpts::core::time::Timestamp; 2] {
    let wanted = books.book(vec![books.opening(1, [10, 20, 500]), books.payment_on(1, 100, day(4, 1))]).await;
    let late = books.book(vec![books.payment_on(1, 50, day(3, 1))]).await;
    let mut posted = Vec::new();
    for event in [&wanted[1], &late[0]] {
        posted.push(books.record(event).await.posting.unwrap().posted_at);
    }
    [posted[0], posted[1]]
}

pub(crate) async fn balances_are_told_as_they_were_known(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let [first, late] = with_a_late_payment(&books).await;
    assert!(first < late, "the late payment was posted in a transaction of its own");
    let known = async |as_of, known_at| {
        let found = books.balances_at(1, BalanceTime { as_of, known_at }).await;
        (parts(&found.balances), found.last_activity_at)
    };

    assert_eq!(known(day(3, 31), None).await, ([0, 0, 480, 0], Some(late)));
    assert_eq!(known(day(3, 31), Some(late)).await, ([0, 0, 480, 0], Some(late)));
    let (before, activity) = known(day(3, 31), Some(first)).await;
    assert_eq!(before, [10, 20, 500, 0], "nobody knew of March's payment then");
    assert!(activity.unwrap() <= first, "of 1 January, posted with the first payment or before it");
    assert_eq!(known(day(4, 1), Some(first)).await, ([0, 0, 430, 0], Some(first)));
    assert_eq!(known(day(12, 31), None).await, ([0, 0, 380, 0], Some(late)));
    let long_ago = hpts::core::time::Timestamp::EPOCH;
    assert_eq!(known(day(12, 31), Some(long_ago)).await, ([0; 4], None));

    let days = history(&books, HistoryCut { version: i64::MAX, known_at: Some(first) }).await;
    assert_eq!(parts(&days.balances_on(day(3, 31)).unwrap()), [10, 20, 500, 0]);
    prove(&books.store).await;
}

pub(crate) async fn days_of_a_loan_add_up_to_its_balances(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    with_a_late_payment(&books).await;
    let paid = books.book(vec![books.payment_on(1, 500, day(5, 1)), books.disbursement_on(1, 70, day(2, 1))]).await;
    books.book(vec![books.return_of(&paid[0], day(5, 4), 25).await]).await;
    let rejected = books.book(vec![books.payment_on(1, 1, day(1, 1).pred_opt().unwrap())]).await;
    assert_eq!(
        books.record(&rejected[0]).await.posting.unwrap().outcome,
        Outcome::Rejected(RejectionCode::EffectiveBeforeOpening)
    );

    let found = books.store.loan_days(books.tenant, books.key(1), HistoryCut::NOW).await.unwrap().unwrap();
    assert_eq!(found.history.balances().unwrap(), found.record.state.balances);
    for date in [day(1, 1), day(2, 1), day(3, 1), day(4, 1), day(5, 1), day(5, 4), day(12, 31)] {
        let of_days = parts(&found.history.balances_on(date).unwrap());
        assert_eq!(of_days, books.balances_on(1, date).await, "{date}");
    }
    // Cut at each version: what the loan was after each posting.
    let mut before = Balances::default();
    for version in 1..=found.record.state.version {
        let after = history(&books, HistoryCut::at_version(version)).await.balances().unwrap();
        assert!(version == 1 || version == 10 || after != before, "posting {version} moved something");
        before = after;
    }
    assert_eq!(history(&books, HistoryCut::at_version(0)).await, LoanHistory::default());
    prove(&books.store).await;
}

/// A payment of April is posted before one of March, which restates it; then the loan is charged off, and some of it is
/// recovered.
pub(crate) async fn days_of_a_loan_are_cut_at_versions(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    with_a_late_payment(&books).await;
    let loss = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.book(vec![books.servicing(1, loss, None, day(5, 1)), books.payment_on(1, 30, day(6, 1))]).await;
    let sums = async |versions: &[i64]| {
        let sums = books.store.loan_sums(books.tenant, books.key(1), versions.to_vec()).await.unwrap().unwrap();
        assert_eq!(sums.record.state.version, 6);
        sums.days.iter().map(|day| (day.cut, day.date, day.moved, day.has_memo)).collect::<Vec<_>>()
    };
    let (opened, april) = ((0, day(1, 1), [10, 20, 500, 0], false), (0, day(4, 1), [-10, -20, -70, 0], false));
    assert_eq!(sums(&[1]).await, [opened]);
    assert_eq!(sums(&[2]).await, [opened, april]);
    let march = (1, day(3, 1), [-10, -20, -20, 0], false);
    assert_eq!(sums(&[2, 3]).await, [opened, april, march]);
    let again = (2, day(4, 1), [10, 20, -30, 0], false);
    let off = (3, day(5, 1), [0, 0, -380, 0], true);
    let recovered = (3, day(6, 1), [0, 0, 0, 0], true);
    assert_eq!(sums(&[2, 3, 4, 6]).await, [opened, april, march, again, off, recovered]);
    assert_eq!(sums(&[]).await, []);

    let of = async |from, to, version| {
        let span = LoanSpan { from, to, version };
        let rows = books.store.loan_postings(books.tenant, books.key(1), span).await.unwrap();
        rows.iter().map(|(_, posting)| posting.loan_version.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of(day(4, 1), day(4, 1), 6).await, [2, 4]);
    assert_eq!(of(day(4, 1), day(4, 1), 3).await, [2]);
    assert_eq!(of(day(3, 1), day(5, 1), 6).await, [2, 3, 4, 5]);
}

pub(crate) async fn loans_are_listed_by_number_and_by_borrower(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let other = Books::open(fixture.store(), 2).await;
    let mut events: Vec<_> = (1..=5).map(|loan| books.opening(loan, [0, 0, 100])).collect();
    events.push(books.opening_numbered(6, "000420"));
    events.push(books.opening_of(7, borrower(1)));
    events.push(books.opening_of(8, borrower(1)));
    books.book(events).await;
    other.book(vec![other.opening_numbered(6, "420"), other.opening(1, [0, 0, 9])]).await;
    let list = async |filter: LoansFilter, after, limit| {
        let rows = books.store.loans(books.tenant, LoansPage { filter, after, limit }).await.unwrap();
        rows.into_iter().map(|row| (row.state.loan_id, place(&row))).collect::<Vec<_>>()
    };
    let ids = |rows: &[(hpts::core::ids::LoanId, LoanPlace)]| rows.iter().map(|row| row.0).collect::<Vec<_>>();

    let numbered = list(LoansFilter::OfNumber("420".to_owned()), LoanPlace::default(), 10).await;
    assert_eq!(ids(&numbered), [loan_id(6)]);
    assert_eq!(list(LoansFilter::OfNumber("42".to_owned()), LoanPlace::default(), 10).await, []);
    let of_borrower = list(LoansFilter::OfBorrower(borrower(1)), LoanPlace::default(), 10).await;
    let mut found = ids(&of_borrower);
    found.sort_unstable_by_key(|loan| loan.0);
    assert_eq!(found, [loan_id(1), loan_id(7), loan_id(8)]);
    let second = list(LoansFilter::OfBorrower(borrower(1)), of_borrower[0].1, 1).await;
    assert_eq!(second, of_borrower[1..], "one more than asked tells of a next page");
    let all = list(LoansFilter::All, LoanPlace::default(), 100).await;
    assert_eq!(all.len(), 8);
    let mut paged = Vec::new();
    let mut after = LoanPlace::default();
    loop {
        let page = list(LoansFilter::All, after, 3).await;
        paged.extend(page.iter().take(3).copied());
        if page.len() <= 3 {
            break;
        }
        after = page[2].1;
    }
    assert_eq!(paged, all);
    assert!(all.is_sorted_by_key(|row| row.1.borrower));
}

fn place(row: &hpts::store::LoanRecord) -> LoanPlace {
    LoanPlace { borrower: row.state.borrower_id.0, loan: uuid::Uuid::from_bytes(row.state.key.bytes()) }
}

fn year(version: i64) -> LoanSpan {
    LoanSpan { from: day(1, 1), to: day(12, 31), version }
}

async fn rows(books: &Books, span: LoanSpan, after: (chrono::NaiveDate, i64), limit: i64) -> Vec<StatementRecord> {
    books.store.statement_rows(books.tenant, books.key(1), StatementPage { span, after, limit }).await.unwrap()
}

pub(crate) async fn a_statement_is_cut_at_a_version(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    with_a_late_payment(&books).await;
    let paid = books.book(vec![books.payment_on(1, 60, day(4, 1))]).await;
    let all = rows(&books, year(5), (day(1, 1), 0), 10).await;
    let versions = |rows: &[StatementRecord]| {
        rows.iter().map(|row| row.record.posting.as_ref().unwrap().loan_version.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&all), [1, 3, 2, 4, 5], "by effective date, on one day in posting order");

    let returned = books.book(vec![books.return_of(&paid[0], day(4, 5), 25).await]).await;
    let again = rows(&books, year(5), (day(1, 1), 0), 10).await;
    assert_eq!(versions(&again), versions(&all), "what is posted later is on another statement");
    let undone = again[4].record.progress.undone_by.unwrap();
    assert_eq!((undone.id, undone.kind), (returned[0].id, EventKind::PaymentReturned), "but its link is told");
    let later = rows(&books, year(7), (day(1, 1), 0), 10).await;
    assert_eq!(versions(&later), [1, 3, 2, 4, 5, 6, 7]);
    assert_eq!(later[5].corrects.unwrap().id, paid[0].id);
    assert_eq!(later[4].corrects, None);
    assert_eq!(later[3].corrects.unwrap().id, later[2].record.event.event.id, "a restatement names what it restates");
    assert_eq!(versions(&rows(&books, year(7), (day(4, 1), 2), 1).await), [4, 5], "a page begins behind a place");
    let april = LoanSpan { from: day(4, 1), to: day(4, 1), version: 7 };
    assert_eq!(versions(&rows(&books, april, (day(4, 1), 0), 10).await), [2, 4, 5, 6]);
}

pub(crate) async fn totals_are_told_by_kind(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    with_a_late_payment(&books).await;
    let paid = books.book(vec![books.payment_on(1, 60, day(5, 1))]).await;
    books.book(vec![books.return_of(&paid[0], day(5, 5), 25).await]).await;
    let mut totals = books.store.loan_totals(books.tenant, books.key(1), year(7)).await.unwrap();
    totals.sort_unstable_by_key(|totals| totals.kind);
    let told = totals.iter().map(|totals| (totals.kind, totals.corrects, totals.count, totals.amount, totals.moved));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (EventKind::PaymentReceived, None, 3, 210, [-20, -40, -150, 0]),
            (EventKind::LoanOpened, None, 1, 0, [10, 20, 500, 0]),
            (EventKind::PaymentAllocated, Some(EventKind::PaymentReceived), 1, 100, [10, 20, -30, 0]),
            (EventKind::PaymentReturned, Some(EventKind::PaymentReceived), 1, 60, [0, 0, 60, 0]),
            (EventKind::FeeAssessed, None, 1, 25, [25, 0, 0, 0]),
        ]
    );
    let march = LoanSpan { from: day(3, 1), to: day(3, 31), version: 7 };
    let totals = books.store.loan_totals(books.tenant, books.key(1), march).await.unwrap();
    assert_eq!((totals.len(), totals[0].moved), (1, [-10, -20, -20, 0]));
}

pub(crate) async fn a_payoff_hears_what_may_change_it(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    with_a_late_payment(&books).await;
    let paid = books.book(vec![books.payment_on(1, 60, day(5, 1))]).await;
    books.book(vec![books.return_of(&paid[0], day(5, 5), 25).await]).await;
    books.accept(vec![books.payment_on(1, 1, day(5, 6)), books.payment_on(1, 2, day(5, 6))]).await;
    let facts = async |payments, returns| {
        let since = PayoffSince { payments, returns };
        let facts = books.store.payoff_facts(books.tenant, books.key(1), since).await.unwrap();
        (facts.unsettled_payments, facts.unsettled_amount, facts.unsettled_last, facts.returns, facts.queued)
    };
    assert_eq!(facts(day(3, 1), day(5, 5)).await, (2, 150, Some(day(4, 1)), 1, 2));
    assert_eq!(facts(day(4, 2), day(5, 6)).await, (0, 0, None, 0, 2), "a payment that went back is settled");
}

pub(crate) async fn restatements_are_told_with_their_payment(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let paid = books.accept(vec![books.payment(1, 100), books.payment(1, 70)]).await;
    books.post_with(&paid[..1], system::resplitting(10)).await;
    let told = books.store.restatements(books.tenant, paid[0].seq).await.unwrap();
    assert!(!told.is_empty());
    for record in &told {
        assert_eq!(record.posting.as_ref().unwrap().restates_seq, Some(paid[0].seq));
    }
    let newest = told.last().unwrap().posting.as_ref().unwrap().allocation;
    assert_eq!(books.record(&paid[0]).await.progress.current_allocation, newest);
    assert_eq!(books.store.restatements(books.tenant, Seq(i64::MAX)).await.unwrap(), []);
}

/// What a payment would do, and what it then does.
async fn foreseen(books: &Books, loan: u128, amount: i64, date: chrono::NaiveDate) {
    let imagined = books.payment_on(loan, amount, date);
    let ahead = books.store.loan_ahead(imagined.clone(), 100).await.unwrap();
    assert!(!ahead.is_cut);
    let outlook = look_ahead(ahead.work, ahead.now).unwrap();
    let waiting = books.accept(vec![imagined]).await;
    books.post(&waiting).await;
    let posting = books.record(&waiting[0]).await.posting.unwrap();
    let told = outlook.step.posting.posting;
    assert_eq!(
        (told.outcome, &told.entry, told.allocation, told.effective_date, told.loan_version),
        (posting.outcome, &posting.entry, posting.allocation, posting.effective_date, posting.loan_version)
    );
    let now = books.loan(loan).await.map(|record| record.state.balances);
    assert_eq!(outlook.step.state.filter(|state| state.version > 0).map(|state| state.balances), now);
}

pub(crate) async fn a_preview_says_what_posting_does(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    foreseen(&books, 9, 10, day(5, 1)).await;
    let paid = books.book(vec![books.opening(1, [10, 20, 500]), books.payment_on(1, 100, day(4, 1))]).await;
    foreseen(&books, 1, 50, day(5, 1)).await;
    foreseen(&books, 1, 50, day(3, 1)).await;
    foreseen(&books, 1, 9_999, day(2, 1)).await;
    foreseen(&books, 1, 5, day(1, 1).pred_opt().unwrap()).await;
    let (events, postings) = (fixture.count("events").await, fixture.count("postings").await);
    assert_eq!(events, postings);

    // What waits is counted: a return, a payment dated before it, a fee by the return.
    let waiting = books.accept(vec![books.return_of(&paid[1], day(5, 2), 25).await, books.payment(1, 3)]).await;
    let imagined = books.payment_on(1, 77, day(5, 3));
    let ahead = books.store.loan_ahead(imagined.clone(), 100).await.unwrap();
    assert_eq!(ahead.work.events.len(), 3);
    let outlook = look_ahead(ahead.work, ahead.now).unwrap();
    assert_eq!(outlook.stuck, []);
    let before = books.loan(1).await.unwrap().state;
    assert_eq!(fixture.count("events").await, events + 2, "nothing is accepted by looking");
    books.post(&waiting).await;
    let after_waiting = books.loan(1).await.unwrap().state;
    assert_ne!(before.balances, after_waiting.balances);
    assert_eq!(outlook.before.unwrap().balances, after_waiting.balances);
    let wanted = books.book(vec![imagined]).await;
    let told = outlook.step.posting.posting;
    assert_eq!(books.record(&wanted[0]).await.posting.unwrap().allocation, told.allocation);
    prove(&books.store).await;
}

pub(crate) async fn a_preview_sees_a_loan_that_is_about_to_open(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut wanted = books.accept(vec![books.payment(1, 5), books.opening(1, [10, 20, 500])]).await;
    let imagined = books.payment(1, 100);
    let ahead = books.store.loan_ahead(imagined.clone(), 100).await.unwrap();
    let outlook = look_ahead(ahead.work, ahead.now).unwrap();
    assert_eq!(parts(&outlook.before.unwrap().balances), [10, 20, 500, 0]);
    assert_eq!(parts(&outlook.step.state.unwrap().balances), [0, 0, 430, 0]);
    assert_eq!(fixture.count("loans").await, 0, "looking opens nothing");
    wanted.extend(books.accept(vec![imagined]).await);
    books.post(&wanted).await;
    assert_eq!(parts(&books.loan(1).await.unwrap().state.balances), [0, 0, 430, 0]);

    books.book(vec![books.opening_numbered(2, "7")]).await;
    books.accept(vec![books.opening_numbered(3, "007")]).await;
    let ahead = books.store.loan_ahead(books.payment(3, 1), 100).await.unwrap();
    assert!(ahead.work.number_taken && ahead.work.state.is_none());
    let outlook = look_ahead(ahead.work, ahead.now).unwrap();
    assert_eq!(outlook.step.posting.posting.outcome, Outcome::Rejected(RejectionCode::LoanNotFound));
}

pub(crate) async fn a_preview_of_a_backlog_is_cut(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    books.accept((0..5).map(|_| books.payment(1, 1)).collect()).await;
    let ahead = async |limit| books.store.loan_ahead(books.payment(1, 1), limit).await.unwrap();
    let (whole, cut) = (ahead(5).await, ahead(4).await);
    assert_eq!((whole.is_cut, whole.work.events.len()), (false, 6));
    assert_eq!((cut.is_cut, cut.work.events.len()), (true, 5));
    hold(&books.store, books.tenant, books.key(1)).await;
    let waits = ahead(5).await;
    assert!(waits.on_hold && !whole.on_hold && waits.work.past.refusal.is_none());
    put(&books.store, change(books.tenant, books.key(1), Some(HoldMode::Refuse), "fraud")).await;
    let refuses = ahead(5).await;
    assert!(refuses.on_hold && refuses.work.past.refusal == Some(RejectionCode::LoanOnHold));
}

pub(crate) async fn another_tenant_reads_no_past(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    books.book(vec![books.opening_numbered(1, "420")]).await;
    let paid = books.accept(vec![books.payment(1, 100)]).await;
    books.post_with(&paid, system::resplitting(10)).await;
    books.accept(vec![books.payment(1, 1)]).await;
    let (store, key) = (&books.store, books.key(1));
    let filters = [LoansFilter::OfNumber("420".to_owned()), LoansFilter::OfBorrower(borrower(1)), LoansFilter::All];
    for filter in filters {
        let page = LoansPage { filter, after: LoanPlace::default(), limit: 10 };
        assert_eq!(store.loans(books.tenant, page.clone()).await.unwrap().len(), 1, "{page:?}");
        assert_eq!(store.loans(thief.tenant, page.clone()).await.unwrap(), [], "{page:?}");
    }
    assert_eq!(store.loan_days(thief.tenant, key, HistoryCut::NOW).await.unwrap(), None);
    assert_eq!(store.loan_sums(thief.tenant, key, vec![9]).await.unwrap(), None);
    assert_eq!(store.loan_postings(thief.tenant, key, year(9)).await.unwrap(), []);
    assert!(!store.loan_postings(books.tenant, key, year(9)).await.unwrap().is_empty());
    assert_eq!(store.loan_totals(thief.tenant, key, year(9)).await.unwrap(), []);
    assert!(!store.loan_totals(books.tenant, key, year(9)).await.unwrap().is_empty());
    let page = StatementPage { span: year(9), after: (day(1, 1), 0), limit: 10 };
    assert_eq!(store.statement_rows(thief.tenant, key, page).await.unwrap(), []);
    assert!(!store.statement_rows(books.tenant, key, page).await.unwrap().is_empty());
    assert_eq!(store.restatements(thief.tenant, paid[0].seq).await.unwrap(), []);
    let since = PayoffSince { payments: day(1, 1), returns: day(1, 1) };
    assert_eq!(store.payoff_facts(thief.tenant, key, since).await.unwrap(), hpts::store::PayoffFacts::default());
    assert_eq!(store.payoff_facts(books.tenant, key, since).await.unwrap().queued, 1);
    let stolen = hpts::core::event::NewEvent { loan_key: key, ..thief.payment(1, 5) };
    let ahead = store.loan_ahead(stolen, 10).await.unwrap();
    assert!(ahead.work.state.is_none(), "the loan of another tenant is none");
}
