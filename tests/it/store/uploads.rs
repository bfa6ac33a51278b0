//! Laws of uploads.

use std::time::Duration;

use hpts::core::event::{IdempotencyKey, NewEvent, Upload, UploadMode, UploadOperation};
use hpts::core::ids::{EventId, PaymentBatchId};
use hpts::core::money::Currency;
use hpts::store::{
    NewUpload, ParkRequest, RowCounts, Tally, UploadBegun, UploadEnd, UploadException, UploadHold, UploadRef,
    WholeAccepted, WholeUpload,
};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, day};
use crate::support::holds::release;

const LEASE: Duration = Duration::from_mins(1);

fn upload(books: &Books, key: &str, n: u128) -> NewUpload {
    let upload = Upload {
        operation: UploadOperation::PaymentBatch { mode: UploadMode::BestEffort },
        currency: Currency::USD,
        received_on: day(5, 1),
    };
    let (id, key) = (EventId(Uuid::from_u128(n << 1)), IdempotencyKey::parse(key).unwrap());
    let event = NewEvent::of_upload(id, books.tenant, key, upload, books.publisher, "test".to_owned());
    NewUpload { event, holder: Uuid::from_u128(n), lease: LEASE, file: None }
}

fn end(received: i64) -> UploadEnd {
    let rows = RowCounts { received, ..RowCounts::default() };
    UploadEnd { rows, fingerprint: [7; 32], answer: b"{}".to_vec() }
}

pub(super) fn exception(row_no: i64, code: &str) -> UploadException {
    UploadException {
        row_no,
        code: code.to_owned(),
        idempotency_key: None,
        event_id: None,
        first_row_no: None,
        first_batch_id: None,
        amount: None,
        currency: None,
        errors: None,
        resolved: None,
    }
}

pub(super) async fn begin(books: &Books, key: &str, n: u128) -> UploadHold {
    let begun = books.store.begin_upload(upload(books, key, n)).await.unwrap();
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    UploadHold { id: record.id, holder: Uuid::from_u128(n) }
}

pub(crate) async fn an_upload_is_received_once(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    let hold = begin(&books, "upload:1", 1).await;

    let busy = store.begin_upload(upload(&books, "upload:1", 2)).await.unwrap();
    assert!(matches!(busy, UploadBegun::Busy(_)), "{busy:?}");
    assert!(store.add_exceptions(hold, vec![exception(3, "validation_failed")]).await.unwrap());
    store.release_upload(hold).await.unwrap();
    let resumed = store.begin_upload(upload(&books, "upload:1", 3)).await.unwrap();
    let UploadBegun::Resumed(record) = resumed else { panic!("{resumed:?}") };
    assert_eq!(record.id, hold.id, "it goes on under its id");
    assert!(!store.keep_upload(hold, LEASE).await.unwrap(), "the first holder has lost it");
    assert!(!store.finish_upload(hold, end(0)).await.unwrap());
    let late = vec![exception(4, "validation_failed")];
    assert!(!store.add_exceptions(hold, late.clone()).await.unwrap(), "what it had on its way says nothing any more");
    let hold = UploadHold { id: hold.id, holder: Uuid::from_u128(3) };
    let whole = UploadRef { tenant: books.tenant, id: hold.id };
    assert_eq!(store.last_row(whole).await.unwrap(), Some(0));
    let rows = store.upload_rows(whole, 1..=10).await.unwrap();
    assert_eq!(rows.exceptions, [], "all rows come again");
    assert!(store.keep_upload(hold, LEASE).await.unwrap());
    assert!(store.finish_upload(hold, end(5)).await.unwrap());
    assert!(!store.finish_upload(hold, end(6)).await.unwrap(), "it ends once");
    assert!(!store.add_exceptions(hold, late).await.unwrap(), "and takes no rows then");
    let complete = store.begin_upload(upload(&books, "upload:1", 4)).await.unwrap();
    let UploadBegun::Complete(record) = complete else { panic!("{complete:?}") };
    assert_eq!((record.answer, record.rows.received), (Some(b"{}".to_vec()), 5));
    assert_eq!(record.fingerprint, Some([7; 32]));
    prove(store).await;
}

pub(crate) async fn payments_and_uploads_share_keys(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let payment = books.payment_keyed("payment:1", 1, 100);
    books.accept(vec![payment.clone()]).await;
    let taken = books.store.begin_upload(upload(&books, "payment:1", 1)).await.unwrap();
    let UploadBegun::Taken(known) = taken else { panic!("{taken:?}") };
    assert_eq!(known.event.event.id, payment.id);

    let hold = begin(&books, "upload:1", 2).await;
    let other = books.payment_keyed("upload:1", 1, 100);
    let known = books.store.accept(books.publisher, vec![other]).await.unwrap();
    let hpts::store::Acceptance::Known(known) = &known[0] else { panic!("{known:?}") };
    assert_eq!(known.event.event.id.0, hold.id.0);
    let record = books.store.event_of_key(books.tenant, "upload:1").await.unwrap().unwrap();
    assert_eq!(record.event.event.id.0, hold.id.0);
}

pub(crate) async fn control_totals_add_up(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500]), books.opening(3, [0, 0, 1])]).await;
    let hold = begin(&books, "upload:1", 1).await;
    let whole = UploadRef { tenant: books.tenant, id: hold.id };
    let row = |n: i64, event: NewEvent| event.in_batch(hold.id, n);
    let rows = vec![
        row(1, books.payment(1, 10)),
        row(2, books.payment(9, 20)),
        row(3, books.payment(2, 40)),
        row(4, books.payment(2, 80)),
        row(5, books.payment(3, 160)),
    ];
    let wanted = books.accept(rows).await;
    books.post(&wanted[..2]).await;
    let park = ParkRequest { seq: wanted[2].seq, loan_key: books.key(2), reason: "poison".to_owned(), attempts_max: 1 };
    store.park(park).await.unwrap();

    let progress = store.upload_progress(whole).await.unwrap().unwrap();
    let totals = progress.totals[&Currency::USD];
    let tally = |count, amount| Tally { count, amount };
    assert_eq!(totals.accepted, tally(5, 310));
    assert_eq!((totals.posted, totals.rejected), (tally(1, 10), tally(1, 20)));
    assert_eq!((totals.parked, totals.held, totals.in_flight()), (tally(1, 40), tally(1, 80), tally(1, 160)));
    assert!(progress.last_posted_at.is_some() && progress.record.completed_at.is_none());

    release(store, books.tenant, books.key(2)).await;
    books.post(&wanted).await;
    let totals = store.upload_progress(whole).await.unwrap().unwrap().totals[&Currency::USD];
    assert_eq!((totals.posted, totals.in_flight()), (tally(4, 290), tally(0, 0)));
    prove(store).await;
}

pub(crate) async fn a_whole_upload_is_taken_or_left(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    books.accept(vec![books.payment_keyed("payment:2", 1, 5)]).await;
    let whole = |key: &str, n: u128, rows: Vec<NewEvent>| {
        let upload = upload(&books, key, n);
        let id = PaymentBatchId(upload.event.id.0);
        let rows = (1..).zip(rows).map(|(row, event)| event.in_batch(id, row)).collect();
        WholeUpload { upload, publisher: books.publisher, rows, end: end(2) }
    };
    let rows = vec![books.payment_keyed("payment:1", 1, 5), books.payment_keyed("payment:2", 1, 6)];
    let conflicts = store.accept_whole(whole("upload:1", 1, rows)).await.unwrap();
    let WholeAccepted::Conflicts(known) = conflicts else { panic!("{conflicts:?}") };
    assert_eq!(known.len(), 1);
    assert_eq!(store.event_of_key(books.tenant, "payment:1").await.unwrap(), None, "nothing is written");
    assert_eq!(store.event_of_key(books.tenant, "upload:1").await.unwrap(), None, "its key stays free");

    let rows = vec![books.payment_keyed("payment:1", 1, 5), books.payment_keyed("payment:3", 1, 6)];
    let all = store.accept_whole(whole("upload:1", 2, rows)).await.unwrap();
    let WholeAccepted::All(places) = all else { panic!("{all:?}") };
    assert!(places.len() == 2 && places[0].1 < places[1].1, "{places:?}");
    let again = store.accept_whole(whole("upload:1", 3, vec![books.payment(1, 5)])).await.unwrap();
    assert!(matches!(again, WholeAccepted::Known(UploadBegun::Complete(_))), "{again:?}");
    prove(store).await;
}

pub(crate) async fn rows_are_read_in_order_and_by_their_tenant(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await.tenant;
    let hold = begin(&books, "upload:1", 1).await;
    let rows = [4, 1, 3].map(|row| books.payment(1, row).in_batch(hold.id, row));
    books.accept(rows.to_vec()).await;
    let exceptions = vec![exception(2, "duplicate"), exception(5, "mismatched")];
    assert!(books.store.add_exceptions(hold, exceptions.clone()).await.unwrap());
    let (mine, stolen) = (UploadRef { tenant: books.tenant, id: hold.id }, UploadRef { tenant: thief, id: hold.id });

    assert_eq!(books.store.last_row(mine).await.unwrap(), Some(5));
    for (asked, events, exceptions) in
        [(1..=5, vec![1, 3, 4], &exceptions[..]), (1..=3, vec![1, 3], &exceptions[..1]), (4..=4, vec![4], &[])]
    {
        let rows = books.store.upload_rows(mine, asked).await.unwrap();
        let told: Vec<i64> = rows.events.iter().map(|event| event.batch.unwrap().1).collect();
        assert_eq!((told, &rows.exceptions[..]), (events, exceptions));
    }

    assert_eq!(books.store.last_row(stolen).await.unwrap(), None);
    assert_eq!(books.store.upload_progress(stolen).await.unwrap(), None);
    let rows = books.store.upload_rows(stolen, 1..=10).await.unwrap();
    assert!(rows.events.is_empty() && rows.exceptions.is_empty());
}
