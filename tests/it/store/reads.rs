//! Laws of the reads.

use hpts::core::event::{IdempotencyKey, NewEvent, Origin};
use hpts::core::ids::{EventId, PaymentBatchId};
use hpts::core::ledger::{AccountCode, Layer};
use hpts::core::money::Currency;
use hpts::store::{
    AccountTotals, BalanceTime, ChangePlace, EntriesPage, EventRecord, EventStatus, ParkRequest, PaymentsFilter,
    UploadRef,
};
use uuid::Uuid;

use super::changes::shown;
use super::servicing::chargeoff;
use super::{Fixture, prove};
use crate::support::books::{Books, day};
use crate::support::holds::{hold, release};

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
        assert!(!store.payments(books.tenant, filter.clone()).await.unwrap().events.is_empty(), "{filter:?}");
        assert_eq!(store.payments(thief, filter.clone()).await.unwrap().events, [], "{filter:?}");
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
    assert_eq!(store.statuses_of_ids(books.tenant, ids.clone()).await.unwrap().len(), 3);
    assert_eq!(store.statuses_of_ids(thief, ids).await.unwrap(), []);
    assert_eq!(store.statuses_of_keys(books.tenant, vec![key.clone()]).await.unwrap().len(), 1);
    assert_eq!(store.statuses_of_keys(thief, vec![key.clone()]).await.unwrap(), []);
    assert_eq!(store.records_of_keys(books.tenant, vec![key.clone()]).await.unwrap().len(), 1);
    assert_eq!(store.records_of_keys(thief, vec![key]).await.unwrap(), []);
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
    let list = async |filter| {
        let page = books.store.payments(books.tenant, filter).await.unwrap();
        page.events.iter().map(|event| event.id.0).collect::<Vec<_>>()
    };
    let of_loan = PaymentsFilter { loan: Some(books.key(1)), limit: 10, ..PaymentsFilter::default() };

    assert_eq!(list(of_loan.clone()).await, payments[..5], "the receipt is of no loan");
    let page = PaymentsFilter { limit: 2, after: Some(wanted[1].seq), ..of_loan.clone() };
    assert_eq!(list(page).await, payments[1..4], "one more than asked tells of a next page");
    let of_batch = PaymentsFilter { batch: Some(upload), limit: 10, ..PaymentsFilter::default() };
    assert_eq!(list(of_batch).await, payments);
    let referenced = PaymentsFilter { external_ref: Some("ref-30".to_owned()), ..of_loan.clone() };
    assert_eq!(list(referenced).await, [payments[2]]);
    let of_both = |batch| PaymentsFilter { batch: Some(batch), ..of_loan.clone() };
    assert_eq!(list(of_both(upload)).await, payments[..5]);
    assert!(list(of_both(PaymentBatchId(Uuid::from_u128(78)))).await.is_empty(), "of the loan, and not of the upload");
    let newest = PaymentsFilter { accepted_from: Some(wanted[5].id), limit: 1, ..of_loan.clone() };
    assert_eq!(list(newest).await, payments[4..5], "a page is of those in the span");
    let span = PaymentsFilter {
        accepted_from: Some(wanted[2].id),
        accepted_before: Some(wanted[4].id),
        limit: 10,
        ..PaymentsFilter::default()
    };
    assert_eq!(list(span).await, payments[1..3]);
    let state = |status| PaymentsFilter { status: Some(status), limit: 10, ..PaymentsFilter::default() };
    assert_eq!(list(state("accepted")).await, [waiting.0]);
    assert_eq!(list(state("posted")).await, payments);
    assert!(list(state("rejected")).await.is_empty());
}

/// By whatever path a list is paged, each payment is met once. Two rows of an upload may have one number.
pub(crate) async fn pages_of_payments_meet_each_once(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let upload = PaymentBatchId(Uuid::from_u128(77));
    let mut events: Vec<NewEvent> = [3, 1, 2, 2, 9, 5].map(|row| of_batch(books.payment(1, row), upload, row)).to_vec();
    events.extend([books.payment(1, 7), books.payment(2, 8)]);
    let ids: Vec<Uuid> = books.accept(events).await.iter().map(|wanted| wanted.id.0).collect();
    let of = |indices: &[usize]| indices.iter().map(|index| ids[*index]).collect::<Vec<_>>();
    let all = PaymentsFilter::default();
    let (loan, batch) = (Some(books.key(1)), Some(upload));
    let span = |filter| PaymentsFilter { accepted_from: Some(EventId(ids[1])), ..filter };
    let of_upload = PaymentsFilter { batch, ..all.clone() };

    for (filter, expected) in [
        (PaymentsFilter { loan, ..all.clone() }, of(&[0, 1, 2, 3, 4, 5, 6])),
        (PaymentsFilter { loan, batch, ..all.clone() }, of(&[0, 1, 2, 3, 4, 5])),
        (of_upload.clone(), of(&[1, 2, 3, 0, 5, 4])),
        (span(of_upload), of(&[1, 2, 3, 5, 4])),
        (span(PaymentsFilter { loan, batch, status: Some("accepted"), ..all.clone() }), of(&[1, 2, 3, 4, 5])),
        (span(all.clone()), of(&[1, 2, 3, 4, 5, 6, 7])),
        (all, ids.clone()),
    ] {
        for (limit, walked_max) in [(1, None), (2, None), (3, None), (1, Some(1)), (3, Some(2)), (50, Some(3))] {
            let (mut met, mut after) = (Vec::new(), None);
            loop {
                let page = PaymentsFilter { after, limit, walked_max, ..filter.clone() };
                let page = books.store.payments(books.tenant, page).await.unwrap();
                let shown = page.events.len().min(usize::try_from(limit).unwrap());
                met.extend(page.events[..shown].iter().map(|event| event.id.0));
                let last = page.events.get(shown).and(page.events[..shown].last());
                after = last.map(|event| event.seq).or(page.goes_on_after);
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(met, expected, "{limit} a page, {walked_max:?} at once: {filter:?}");
        }
    }
}

/// What is read by the thousand is read with fewer columns, and says the same.
pub(crate) async fn a_status_says_what_the_record_does(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let upload = PaymentBatchId(Uuid::from_u128(77));
    let openings = [[500, 40, 1000], [0, 0, 500], [5, 10, 100]].into_iter().zip(1..);
    books.book(openings.map(|(owed, loan)| books.opening(loan, owed)).collect()).await;
    let charged_off = books.servicing(3, chargeoff(), None, day(2, 1));
    books.book(vec![books.payment_on(1, 600, day(4, 1)), books.payment(2, 100), charged_off]).await;
    let late = books.payment_on(1, 520, day(3, 1));
    let recovery = books.payment_on(3, 12, day(3, 1));
    let mut wanted = books.book(vec![late, recovery, of_batch(books.payment(2, 7), upload, 3)]).await;
    wanted.extend(books.book(vec![books.payment(4, 1), books.receipt_on(60, day(5, 1))]).await);
    books.book(vec![of_batch(books.return_of(&wanted[2], day(5, 4), 25).await, upload, 4)]).await;
    hold(&books.store, books.tenant, books.key(2)).await;
    let waiting = books.accept(vec![books.payment(1, 1), books.payment(3, 2), books.payment(2, 3)]).await;
    let seq = waiting[0].seq;
    let parked = ParkRequest { seq, loan_key: books.key(1), reason: "it panics".to_owned(), attempts_max: 1 };
    books.store.park(parked).await.unwrap();

    let all = PaymentsFilter { limit: 100, ..PaymentsFilter::default() };
    let listed = books.store.payments(books.tenant, all).await.unwrap().events;
    let mut looked_up = books.store.statuses_of_ids(books.tenant, listed.iter().map(|event| event.id).collect()).await;
    looked_up.as_mut().unwrap().sort_by_key(|event| event.seq);
    assert_eq!(looked_up.unwrap(), listed);
    let mut told = Vec::new();
    for event in &listed {
        let record = books.store.event(books.tenant, event.id).await.unwrap().unwrap();
        assert_eq!(event, &EventStatus::from(&record));
        let status = event.stage.unfinished_status().unwrap_or("finished");
        told.push(event.posting.as_ref().map_or(status, |posting| posting.event_type(event.kind)));
    }
    let file = UploadRef { tenant: books.tenant, id: upload };
    let rows = books.store.upload_rows(file, 1..=10).await.unwrap().events;
    assert_eq!(rows.len(), 2, "the payment, and the return that came with it");
    for event in rows {
        let record = books.store.event(books.tenant, event.id).await.unwrap().unwrap();
        assert_eq!(event, EventStatus::from(&record));
    }
    let payment = "payment_received";
    assert_eq!(told[..7], [payment, payment, payment, "recovery", payment, payment, payment]);
    assert_eq!(told[7..], ["parked", "accepted", "held"]);
    assert!(listed[0].progress.current_allocation.is_some() && listed[4].progress.undone_by.is_some());
    assert_eq!(listed[4].batch, Some((upload, 3)));
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
