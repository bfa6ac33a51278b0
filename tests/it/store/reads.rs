//! Laws of the reads.

use hpts::core::event::{IdempotencyKey, NewEvent, Origin};
use hpts::core::ids::PaymentBatchId;
use hpts::core::ledger::{AccountCode, Layer};
use hpts::core::money::Currency;
use hpts::store::{AccountTotals, BalanceTime, ChangePlace, EntriesPage, EventRecord, PaymentsFilter};
use uuid::Uuid;

use super::changes::shown;
use super::{Fixture, prove};
use crate::support::books::{Books, day};
use crate::support::holds::release;

fn all_entries() -> EntriesPage {
    EntriesPage { from: None, to: None, event_type: None, after_version: 0, limit: 100 }
}

fn ids(records: &[EventRecord]) -> Vec<Uuid> {
    records.iter().map(|record| record.event.event.id.0).collect()
}

pub(crate) async fn another_tenant_reads_nothing(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await.tenant;
    let upload = PaymentBatchId(Uuid::from_u128(77));
    let keyed = books.payment_keyed("payment:1", 1, 100);
    let events = vec![books.opening(1, [0, 0, 500]), keyed, of_batch(books.payment(1, 7), upload, 1)];
    let wanted = books.book(events).await;
    let waiting = books.accept(vec![books.payment(1, 100), books.payment(1, 100)]).await;
    let (store, loan) = (&books.store, books.key(1));

    assert_eq!(store.event(thief, wanted[1].id).await.unwrap(), None);
    assert_eq!(store.event_of_key(thief, "payment:1").await.unwrap(), None);
    assert!(store.event_of_key(books.tenant, "payment:1").await.unwrap().is_some());
    let paths = [
        PaymentsFilter { loan: Some(loan), limit: 10, ..PaymentsFilter::default() },
        PaymentsFilter { batch: Some(upload), limit: 10, ..PaymentsFilter::default() },
        PaymentsFilter { limit: 10, ..PaymentsFilter::default() },
    ];
    for filter in paths {
        assert!(!store.payments(books.tenant, filter.clone()).await.unwrap().is_empty(), "{filter:?}");
        assert_eq!(store.payments(thief, filter.clone()).await.unwrap(), [], "{filter:?}");
    }
    assert_eq!(store.loan(thief, loan).await.unwrap(), None);
    assert_eq!(store.loan_balances(thief, loan, BalanceTime::day(day(12, 31))).await.unwrap(), None);
    assert_eq!(store.loan_entries(thief, loan, all_entries()).await.unwrap(), None);
    let total = |tenant| {
        store.account_totals(tenant, AccountCode::PAYMENT_CLEARING, Currency::USD, Layer::Settled, day(12, 31))
    };
    assert_eq!(total(thief).await.unwrap(), AccountTotals::default());
    assert_eq!(total(books.tenant).await.unwrap(), AccountTotals { debits: 107, credits: 0 });
    assert_eq!(store.position(thief, loan, waiting[1].seq).await.unwrap(), 0);
    assert_eq!(store.position(books.tenant, loan, waiting[1].seq).await.unwrap(), 1);
    let (ids, key) = (vec![wanted[1].id, wanted[2].id, waiting[0].id], IdempotencyKey::parse("payment:1").unwrap());
    assert_eq!(store.payments_of_ids(books.tenant, ids.clone()).await.unwrap().len(), 3);
    assert_eq!(store.payments_of_ids(thief, ids).await.unwrap(), []);
    assert_eq!(store.payments_of_keys(books.tenant, vec![key.clone()]).await.unwrap().len(), 1);
    assert_eq!(store.payments_of_keys(thief, vec![key]).await.unwrap(), []);
    shown(store).await;
    assert_eq!(store.changes(books.tenant, ChangePlace::START, 10).await.unwrap().len(), 3);
    assert_eq!(store.changes(thief, ChangePlace::START, 10).await.unwrap(), []);
    assert_eq!(store.changed(vec![(thief, ChangePlace::START)]).await.unwrap(), []);
    assert_eq!(release(store, thief, loan).await, [], "a release tells a thief nothing");
    prove(store).await;
}

fn of_batch(event: NewEvent, batch: PaymentBatchId, row: i64) -> NewEvent {
    NewEvent { origin: Origin { batch: Some((batch, row)), ..Origin::default() }, ..event }
}

pub(crate) async fn payments_are_listed_by_every_path(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let upload = PaymentBatchId(Uuid::from_u128(77));
    let mut events = vec![books.opening(1, [0, 0, 500])];
    events.extend((1..=5).map(|n| of_batch(books.payment(1, 10 * n), upload, n)));
    events.push(of_batch(books.receipt_on(60, day(5, 1)), upload, 6));
    let wanted = books.book(events).await;
    let payments: Vec<Uuid> = wanted[1..].iter().map(|wanted| wanted.id.0).collect();
    let waiting = books.accept(vec![books.payment(2, 5)]).await[0].id;
    let list = async |filter| books.store.payments(books.tenant, filter).await.unwrap();
    let of_loan = PaymentsFilter { loan: Some(books.key(1)), limit: 10, ..PaymentsFilter::default() };

    assert_eq!(ids(&list(of_loan.clone()).await), payments[..5], "the receipt is of no loan");
    let page = PaymentsFilter { limit: 2, after: Some(wanted[1].seq), ..of_loan.clone() };
    assert_eq!(ids(&list(page).await), payments[1..4], "one more than asked tells of a next page");
    let of_batch = PaymentsFilter { batch: Some(upload), limit: 10, ..PaymentsFilter::default() };
    assert_eq!(ids(&list(of_batch).await), payments);
    let referenced = PaymentsFilter { external_ref: Some("ref-30".to_owned()), ..of_loan };
    assert_eq!(ids(&list(referenced).await), [payments[2]]);
    let span = PaymentsFilter {
        accepted_from: Some(wanted[2].id),
        accepted_before: Some(wanted[4].id),
        limit: 10,
        ..PaymentsFilter::default()
    };
    assert_eq!(ids(&list(span).await), payments[1..3]);
    let state = |status| PaymentsFilter { status: Some(status), limit: 10, ..PaymentsFilter::default() };
    assert_eq!(ids(&list(state("accepted")).await), [waiting.0]);
    assert_eq!(ids(&list(state("posted")).await), payments);
    assert_eq!(list(state("rejected")).await, []);
}

pub(crate) async fn entries_and_balances_follow_the_postings(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events = vec![
        books.opening(1, [10, 20, 500]),
        books.payment_on(1, 15, day(2, 1)),
        books.payment_on(1, 25, day(3, 1)),
        books.payment_on(1, 9, day(1, 1).pred_opt().unwrap()),
    ];
    let wanted = books.book(events).await;
    let (store, loan) = (&books.store, books.key(1));
    let entries = async |page| store.loan_entries(books.tenant, loan, page).await.unwrap().unwrap();

    let all = entries(all_entries()).await;
    assert_eq!(ids(&all), [wanted[0].id.0, wanted[1].id.0, wanted[2].id.0], "the rejected one has no entry");
    let adjusted = EntriesPage { event_type: Some("manual_adjustment".to_owned()), ..all_entries() };
    assert_eq!(ids(&entries(adjusted).await), [wanted[0].id.0]);
    let march = EntriesPage { from: Some(day(3, 1)), to: Some(day(3, 31)), ..all_entries() };
    assert_eq!(ids(&entries(march).await), [wanted[2].id.0]);
    let page = EntriesPage { after_version: 1, limit: 1, ..all_entries() };
    assert_eq!(ids(&entries(page).await).len(), 2);
    assert_eq!(books.balances_on(1, day(2, 1)).await, [0, 15, 500, 0]);
    assert_eq!(books.balances_on(1, day(3, 1)).await, [0, 0, 490, 0]);
    let found = books.balances_at(1, BalanceTime::day(day(2, 1))).await;
    assert_eq!(found.last_activity_at, Some(all[1].posting.as_ref().unwrap().posted_at));
    let before = books.balances_at(1, BalanceTime::day(day(1, 1).pred_opt().unwrap())).await;
    assert_eq!(before.last_activity_at, None);
    assert_eq!(books.loan(1).await.unwrap().state.version, 4);
    prove(store).await;
}

pub(crate) async fn position_counts_what_stands_before(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept((0..3).map(|_| books.payment(1, 1)).collect()).await;
    let position = async |seq| books.store.position(books.tenant, books.key(1), seq).await.unwrap();

    assert_eq!((position(wanted[0].seq).await, position(wanted[2].seq).await), (0, 2));
    books.post(&wanted).await;
    assert_eq!(position(wanted[2].seq).await, 0);
}

pub(crate) async fn finished_names_only_what_is_finished(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let posted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let waiting = books.accept(vec![books.payment(1, 1)]).await;

    let finished = books.store.finished(vec![posted[1].id, waiting[0].id]).await.unwrap();

    assert_eq!(ids(&finished), [posted[1].id.0]);
    assert_eq!(finished[0], books.record(&posted[1]).await);
}
