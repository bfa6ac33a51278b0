//! Laws of what pollers read: many payments at once, and a feed in which nothing is skipped or doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hpts::core::event::{EventKind, IdempotencyKey};
use hpts::core::ids::EventId;
use hpts::core::ledger::{Outcome, RejectionCode};
use hpts::store::{Change, ChangePlace, EventStatus, Fold, Store, Wanted};
use tokio::time::Instant;

use super::{Fixture, prove};
use crate::support::books::{Books, day, loan_id, work};
use crate::support::{fold, system};

/// How long transactions of other tests on the same server may hide ours.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until every change that is committed is shown: any transaction of the database server may hide one.
pub(super) async fn shown(store: &Arc<dyn Store>) {
    let deadline = Instant::now() + PATIENCE;
    while !store.changes_delay().await.unwrap().is_zero() {
        assert!(Instant::now() < deadline, "a change stays hidden");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads a feed on from a place, in pages, to its end.
pub(super) async fn read_on(books: &Books, mut after: ChangePlace, page_size: usize) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let limit = i64::try_from(page_size).unwrap();
        let mut page = books.store.changes(books.tenant, after, limit).await.unwrap();
        assert!(page.len() <= page_size + 1, "one more than asked tells of a next page");
        let has_more = page.len() > page_size;
        page.truncate(page_size);
        after = page.last().map_or(after, |last| last.place);
        all.extend(page);
        if !has_more {
            assert!(all.is_sorted_by(|a, b| a.place < b.place), "places rise");
            return all;
        }
    }
}

/// The whole feed.
pub(super) async fn read_all(books: &Books) -> Vec<Change> {
    shown(&books.store).await;
    read_on(books, ChangePlace::START, 1000).await
}

fn ids(changes: &[Change]) -> Vec<EventId> {
    changes.iter().map(|change| change.event_id).collect()
}

/// Every event once, and of each loan every version from 1 on.
pub(super) fn assert_whole(changes: &[Change], accepted: &[EventId]) {
    let expected: BTreeSet<EventId> = accepted.iter().copied().collect();
    let seen: BTreeSet<EventId> = changes.iter().map(|change| change.event_id).collect();
    assert_eq!(seen.len(), changes.len(), "nothing is doubled");
    assert_eq!(seen, expected, "nothing is skipped");
    let mut loans: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for change in changes {
        loans.entry(change.loan_id).or_default().extend(change.loan_version);
    }
    for (loan, mut versions) in loans {
        versions.sort_unstable();
        let whole: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, whole, "{loan:?}");
    }
}

/// Posts until nothing of it is left, whatever other lanes do to it.
pub(super) async fn post_all(books: &Books, wanted: &[Wanted], fold: &Fold) {
    let mut left = wanted.to_vec();
    while !left.is_empty() {
        match books.store.post_batch(work(&left), Arc::clone(fold)).await {
            Err(error) if error.is_passing() => {}
            done => {
                let done = done.unwrap();
                left.retain(|wanted| done.left.contains(&wanted.id));
            }
        }
    }
}

/// Accepts and posts small batches over shared loans; answers the events.
pub(super) async fn write(books: Books, (writer, rounds): (u128, u128), fold: Fold) -> Vec<EventId> {
    let mut accepted = Vec::new();
    for round in 0..rounds {
        let size = 1 + (writer + round) % 5;
        let events: Vec<_> = (0..size).map(|n| books.payment(1 + (writer + round + n) % 6, 1)).collect();
        let wanted = books.accept(events).await;
        accepted.extend(wanted.iter().map(|wanted| wanted.id));
        post_all(&books, &wanted, &fold).await;
    }
    accepted
}

/// Follows a feed in small pages until the writers are done and nothing is hidden.
pub(super) async fn follow(books: Books, writing: Arc<AtomicUsize>) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for turn in 0.. {
        let is_over = writing.load(Ordering::SeqCst) == 0;
        if is_over {
            shown(&books.store).await;
        }
        let after = all.last().map_or(ChangePlace::START, |last| last.place);
        all.extend(read_on(&books, after, 1 + turn % 7).await);
        if is_over {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(all.is_sorted_by(|a, b| a.place < b.place), "places rise");
    all
}

/// Counts writers down as they end.
pub(super) async fn counted<T>(writing: Arc<AtomicUsize>, writer: impl Future<Output = T>) -> T {
    let done = writer.await;
    writing.fetch_sub(1, Ordering::SeqCst);
    done
}

pub(crate) async fn nothing_is_skipped_or_doubled_while_writers_run(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut accepted: Vec<EventId> =
        books.book((1..=6).map(|n| books.opening(n, [0, 0, 9_000])).collect()).await.iter().map(|w| w.id).collect();
    let writing = Arc::new(AtomicUsize::new(4));
    let writer = |n| counted(Arc::clone(&writing), write(books.clone(), (n, 20), fold::plain()));

    let (changes, a, b, c, d) =
        tokio::join!(follow(books.clone(), Arc::clone(&writing)), writer(1), writer(2), writer(3), writer(4));

    accepted.extend([a, b, c, d].concat());
    assert_whole(&changes, &accepted);
    prove(&books.store).await;
}

pub(crate) async fn pages_of_changes_split_anywhere(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    books.book(vec![books.opening(1, [0, 0, 9_000]), books.opening(2, [0, 0, 9_000])]).await;
    books.book((0..10).map(|n| books.payment(1 + n % 2, 1)).collect()).await;
    thief.book(vec![thief.opening(1, [0, 0, 500])]).await;
    books.book(vec![books.payment(1, 1)]).await;
    books.book((0..3).map(|_| books.payment(2, 1)).collect()).await;

    let whole = read_all(&books).await;

    assert_eq!(whole.len(), 16);
    for page_size in [1, 2, 3, 7, 15, 16, 17] {
        assert_eq!(read_on(&books, ChangePlace::START, page_size).await, whole, "{page_size}");
    }
    for (taken, change) in (1..).zip(&whole) {
        assert_eq!(read_on(&books, change.place, 4).await, whole[taken..], "after {taken}");
    }
    assert_eq!(read_all(&thief).await.len(), 1);
}

pub(crate) async fn changes_tell_what_became_of_events(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let opened = books.book(vec![books.opening(1, [0, 0, 500])]).await[0];
    let paid = books.accept(vec![books.payment_keyed("payment:1", 1, 100)]).await[0];
    books.post_with(&[paid], system::resplitting(10)).await;
    let undo = move |_: &_, posted: &mut hpts::core::ledger::PostedEvent| posted.posting.undoes_seq = Some(paid.seq);
    let undoing = books.accept(vec![books.payment(1, 10)]).await;
    books.try_post(&undoing, fold::changing(undo)).await.unwrap();
    let lost = books.book(vec![books.payment(9, 7)]).await[0];

    let changes = read_all(&books).await;

    let [opening, payment, resplit, undo, rejected] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(ids(&changes[..2]), [opened.id, paid.id]);
    assert_eq!(ids(&changes[3..]), [undoing[0].id, lost.id]);
    assert_eq!((opening.kind, opening.loan_version, opening.has_entry), (EventKind::LoanOpened, Some(1), true));
    assert_eq!((opening.amount, opening.allocation), (None, None));
    assert_eq!((payment.kind, payment.loan_id), (EventKind::PaymentReceived, Some(loan_id(1))));
    assert_eq!((payment.loan_version, payment.outcome), (Some(2), Outcome::Posted));
    assert_eq!(payment.key.as_deref(), Some("payment:1"));
    assert_eq!(payment.amount.unwrap().units(), 100);
    assert_eq!(payment.allocation.unwrap().principal.units(), 100);
    let posting = books.record(&paid).await.posting.unwrap();
    assert_eq!((payment.posted_at, payment.effective_date), (posting.posted_at, posting.effective_date));
    assert_eq!((resplit.kind, resplit.restates), (EventKind::PaymentAllocated, Some(paid.id)));
    assert_eq!((resplit.loan_version, resplit.undoes), (Some(3), None));
    assert_eq!((undo.undoes, undo.restates), (Some((paid.id, EventKind::PaymentReceived)), None));
    assert_eq!(rejected.outcome, Outcome::Rejected(RejectionCode::LoanNotFound));
    assert_eq!((rejected.loan_version, rejected.has_entry), (None, false));
}

pub(crate) async fn a_restore_begins_an_epoch(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let before = read_all(&books).await;
    fixture.execute("UPDATE epoch SET number = 7").await.unwrap();
    books.book(vec![books.payment(1, 2), books.payment(1, 3)]).await;

    let whole = read_all(&books).await;

    assert_eq!(whole[..2], before, "what stands before the restore is shown");
    assert_eq!(whole[2..].iter().map(|change| change.place.epoch).collect::<Vec<_>>(), [7, 7]);
    assert_eq!(read_on(&books, before[1].place, 1).await, whole[2..]);
    let lost = ChangePlace { xact: i64::MAX, ..before[1].place };
    assert_eq!(read_on(&books, lost, 1).await, whole[2..], "a place that the restore took back");
    assert_eq!(read_on(&books, whole[3].place, 1).await, []);
}

pub(crate) async fn tenants_with_changes_are_told(fixture: &impl Fixture) {
    let (one, two) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    let start = |books: &Books| (books.tenant, ChangePlace::START);
    let changed = async |known| {
        shown(&one.store).await;
        one.store.changed(known).await.unwrap()
    };
    assert_eq!(changed(vec![start(&one), start(&two)]).await, []);
    one.book(vec![one.opening(1, [0, 0, 500]), one.payment(1, 1)]).await;
    let end = read_all(&one).await[1].place;

    assert_eq!(changed(vec![start(&one), start(&two)]).await, [(one.tenant, end)]);
    assert_eq!(changed(vec![start(&two)]).await, []);
    assert_eq!(changed(vec![(one.tenant, end)]).await, []);
    one.book(vec![one.payment(1, 1)]).await;
    let further = changed(vec![start(&two), (one.tenant, end)]).await;
    assert_eq!(further, [(one.tenant, read_all(&one).await[2].place)]);
    assert_eq!(changed(Vec::new()).await, []);
}

pub(crate) async fn payments_are_found_by_thousands(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let opened = books.book(vec![books.opening(1, [0, 0, 9_000])]).await[0];
    let keys: Vec<String> = (0..1500).map(|n| format!("payment:{n:05}")).collect();
    let mut wanted = books.accept(keys.iter().map(|key| books.payment_keyed(key, 1, 1)).collect()).await;
    books.post(&wanted[..700]).await;
    wanted.extend(books.book(vec![books.receipt_on(5, day(5, 1))]).await);
    let in_order = |mut events: Vec<EventStatus>| {
        events.sort_by_key(|event| event.seq);
        events
    };
    let key = |text: &String| IdempotencyKey::parse(text).unwrap();
    let unknown = EventId(uuid::Uuid::from_u128(5));

    let asked = wanted.iter().map(|wanted| wanted.id).chain([unknown, opened.id]).collect();
    let found = in_order(books.store.statuses_of_ids(books.tenant, asked).await.unwrap());
    assert_eq!(found.len(), 1501, "a receipt is a payment, a loan's registration is none");
    assert_eq!(found[3], EventStatus::from(&books.record(&wanted[3]).await));
    assert_eq!(found[1400], EventStatus::from(&books.record(&wanted[1400]).await));
    let receipt = found[1500].key.clone().unwrap();
    let asked = keys.iter().map(key).chain([key(&"payment:none".to_owned()), receipt]).collect();
    assert_eq!(in_order(books.store.statuses_of_keys(books.tenant, asked).await.unwrap()), found);
    assert_eq!(books.store.statuses_of_ids(books.tenant, Vec::new()).await.unwrap(), []);
    assert_eq!(books.store.statuses_of_keys(books.tenant, Vec::new()).await.unwrap(), []);
}
