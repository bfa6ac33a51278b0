//! Laws of the review of exceptions.

use std::time::Duration;

use hpts::core::event::{IdempotencyKey, NewEvent, Resolution, Review, Upload, UploadOperation};
use hpts::core::ledger::RejectionCode;
use hpts::core::money::{Currency, Minor};
use hpts::store::{
    ExceptionPlace, ExceptionTally, ExceptionsFilter, FileKept, FileRejection, FileRow, NewFile, NewReview, NewUpload,
    RejectionsFilter, ReviewDone, RowCounts, Tally, UploadBegun, UploadEnd, UploadException, UploadHold, UploadRef,
    UploadedFile,
};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, day, next_id, usd};

fn operation(books: &Books, key: &str, operation: UploadOperation) -> NewUpload {
    let upload = Upload { operation, currency: Currency::USD, received_on: day(5, 1) };
    let (id, key) = (next_id(), IdempotencyKey::parse(key).unwrap());
    let event = NewEvent::of_upload(id, books.tenant, key, upload, books.publisher, "test".to_owned());
    NewUpload { event, holder: Uuid::new_v4(), lease: Duration::from_mins(1), file: None }
}

fn exception(row_no: i64, code: &str, amount: i64) -> UploadException {
    UploadException {
        row_no,
        code: code.to_owned(),
        idempotency_key: Some(format!("ach.{row_no}.entry")),
        event_id: None,
        first_row_no: None,
        first_batch_id: None,
        amount: Some(Minor::new(amount)),
        currency: Some("USD".to_owned()),
        errors: None,
        resolved: None,
    }
}

/// A received file: row 1 is a payment of 100, rows 2 to 5 are exceptions of 20, 30, 30 and nothing.
async fn received(books: &Books, number: u8, feed: &str) -> UploadRef {
    let store = &books.store;
    let file = UploadOperation::AchFile { feed: feed.to_owned() };
    let bytes = vec![number; 10].into();
    let kept = NewFile { tenant: books.tenant, sha256: [number; 32], feed: feed.to_owned(), identity: None, bytes };
    assert_eq!(store.keep_file(kept).await.unwrap(), FileKept::New);
    let file_of =
        UploadedFile { sha256: [number; 32], feed: feed.to_owned(), identity: None, summary: "{}".to_owned() };
    let upload = NewUpload { file: Some(file_of), ..operation(books, &format!("file:{number:04}"), file) };
    let holder = upload.holder;
    let begun = store.begin_upload(upload).await.unwrap();
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    let (upload, hold) = (UploadRef { tenant: books.tenant, id: record.id }, UploadHold { id: record.id, holder });
    books.book(vec![books.payment(1, 100).in_batch(record.id, 1)]).await;
    let first = FileRow { batch: record.id, row_no: 1 };
    let twin = UploadException {
        first_row_no: Some(first.row_no),
        first_batch_id: Some(first.batch),
        ..exception(2, "soft_duplicate", 20)
    };
    let exceptions =
        vec![twin, exception(3, "prenote", 30), exception(4, "prenote", 30), exception(5, "reason_missing", 0)];
    assert!(store.add_exceptions(hold, exceptions).await.unwrap());
    let rows = RowCounts { received: 5, invalid: 4, ..RowCounts::default() };
    let end = UploadEnd { rows, fingerprint: [7; 32], answer: b"{}".to_vec() };
    assert!(store.finish_upload(hold, end).await.unwrap());
    upload
}

pub(super) fn review(books: &Books, key: &str, row: FileRow, event: Option<NewEvent>) -> NewReview {
    let resolution = if event.is_some() { Resolution::Posted } else { Resolution::Discarded };
    let reason = "it was looked at".to_owned();
    let decision =
        Review { batch_id: row.batch, row_no: row.row_no, resolution, reason: reason.clone(), effective_at: None };
    NewReview {
        upload: operation(books, key, UploadOperation::AchReview(decision)),
        publisher: books.publisher,
        row,
        rejected: None,
        resolution,
        reason,
        event,
        answer: b"decided".to_vec(),
    }
}

/// Accepted and exceptions, each in count and cents.
async fn totals(books: &Books, file: UploadRef) -> (Tally, Tally) {
    let totals = books.store.file_totals(file).await.unwrap().unwrap();
    let exceptions = totals.exceptions.iter().fold(Tally::default(), |sum, it| sum.plus(it.tally));
    let usd = totals.progress.totals[&Currency::USD];
    let invalid = totals.progress.record.rows.invalid - usd.reviewed.count;
    assert_eq!(invalid, exceptions.count, "what is counted is what is there");
    (usd.accepted, exceptions)
}

const fn tally(count: i64, amount: i128) -> Tally {
    Tally { count, amount }
}

pub(crate) async fn a_posted_exception_is_a_row_of_its_file(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let file = received(&books, 1, "collections").await;
    let row = FileRow { batch: file.id, row_no: 2 };
    assert_eq!(totals(&books, file).await, (tally(1, 100), tally(4, 80)));
    let event = || books.payment_keyed("ach.2.entry", 1, 20).in_batch(file.id, 2);
    let decided = store.review(review(&books, "review:1", row, Some(event()))).await.unwrap();
    let ReviewDone::Decided(Some((id, seq))) = decided else { panic!("{decided:?}") };
    assert_eq!(totals(&books, file).await, (tally(2, 120), tally(3, 60)));
    let progress = store.upload_progress(file).await.unwrap().unwrap().totals[&Currency::USD];
    assert_eq!((progress.reviewed, progress.in_flight()), (tally(1, 20), tally(1, 20)));
    let wanted = hpts::store::Wanted { seq, id, loan_key: books.key(1) };
    assert_eq!(books.post(&[wanted]).await.posted.len(), 1);

    let rows = store.upload_rows(file, 1..=10).await.unwrap();
    let events: Vec<_> = rows.events.iter().map(|event| event.batch.unwrap().1).collect();
    let exceptions: Vec<i64> = rows.exceptions.iter().map(|row| row.row_no).collect();
    assert_eq!((events, exceptions), (vec![1, 2], vec![3, 4, 5]), "every row once");
    let kept = store.exception(books.tenant, row).await.unwrap().unwrap();
    let resolved = kept.exception.resolved.unwrap();
    assert_eq!((resolved.resolution, resolved.by.as_str()), (Resolution::Posted, "test"));
    assert_eq!((kept.exception.first_batch_id, kept.exception.first_row_no), (Some(file.id), Some(1)));

    let second = store.review(review(&books, "review:2", row, Some(event()))).await.unwrap();
    assert!(matches!(second, ReviewDone::Resolved(ref it) if it.resolution == Resolution::Posted), "{second:?}");
    assert_eq!(store.event_of_key(books.tenant, "review:2").await.unwrap(), None, "its key stays free");
    let again = store.review(review(&books, "review:1", row, Some(event()))).await.unwrap();
    let ReviewDone::Known(UploadBegun::Complete(record)) = again else { panic!("{again:?}") };
    assert_eq!(record.answer.as_deref(), Some(&b"decided"[..]));
    let other = FileRow { row_no: 3, ..row };
    let taken = store.review(review(&books, "review:1", other, None)).await.unwrap();
    assert!(matches!(taken, ReviewDone::Known(UploadBegun::Taken(_))), "{taken:?}");
    prove(store).await;
}

pub(crate) async fn a_discarded_exception_stays_one(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let file = received(&books, 1, "collections").await;
    let row = FileRow { batch: file.id, row_no: 3 };
    let decided = store.review(review(&books, "review:1", row, None)).await.unwrap();
    assert!(matches!(decided, ReviewDone::Decided(None)), "{decided:?}");
    assert_eq!(totals(&books, file).await, (tally(1, 100), tally(4, 80)));
    let tallies = store.file_totals(file).await.unwrap().unwrap().exceptions;
    let told = |code: &str, resolution, tally| ExceptionTally { code: code.to_owned(), resolution, tally };
    for expected in [
        told("prenote", Some(Resolution::Discarded), tally(1, 30)),
        told("prenote", None, tally(1, 30)),
        told("reason_missing", None, tally(1, 0)),
        told("soft_duplicate", None, tally(1, 20)),
    ] {
        assert!(tallies.contains(&expected), "{expected:?} in {tallies:?}");
    }
    let rows = store.upload_rows(file, 1..=10).await.unwrap();
    assert_eq!(rows.exceptions.len(), 4);
    assert_eq!(rows.exceptions[1].resolved.as_ref().unwrap().reason, "it was looked at");
    let event = books.payment_keyed("ach.3.entry", 1, 30).in_batch(file.id, 3);
    let late = store.review(review(&books, "review:2", row, Some(event))).await.unwrap();
    assert!(matches!(late, ReviewDone::Resolved(ref it) if it.resolution == Resolution::Discarded), "{late:?}");
    let gone = store.review(review(&books, "review:3", FileRow { row_no: 1, ..row }, None)).await.unwrap();
    assert!(matches!(gone, ReviewDone::Gone), "{gone:?}");

    books.accept(vec![books.payment_keyed("ach.4.entry", 1, 1)]).await;
    let event = books.payment_keyed("ach.4.entry", 1, 30).in_batch(file.id, 4);
    let row = FileRow { row_no: 4, ..row };
    let taken = store.review(review(&books, "review:4", row, Some(event))).await.unwrap();
    assert!(matches!(taken, ReviewDone::RowTaken(_)), "{taken:?}");
    assert_eq!(store.exception(books.tenant, row).await.unwrap().unwrap().exception.resolved, None);
    assert_eq!(totals(&books, file).await, (tally(1, 100), tally(4, 80)), "nothing is written");
}

pub(crate) async fn of_several_who_decide_at_once_one_does(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let file = received(&books, 1, "collections").await;
    let row = FileRow { batch: file.id, row_no: 2 };
    let deciding = (0..8).map(|n| {
        let event = (n % 2 == 0).then(|| books.payment_keyed("ach.2.entry", 1, 20).in_batch(file.id, 2));
        books.store.review(review(&books, &format!("review:{n:04}"), row, event))
    });
    let mut decided = 0;
    for done in futures::future::join_all(deciding).await {
        match done.unwrap() {
            ReviewDone::Decided(_) => decided += 1,
            ReviewDone::Resolved(_) => {}
            other @ (ReviewDone::RowTaken(_) | ReviewDone::Known(_) | ReviewDone::Gone) => panic!("{other:?}"),
        }
    }
    assert_eq!(decided, 1);
    let (accepted, exceptions) = totals(&books, file).await;
    assert_eq!(accepted.plus(exceptions), tally(5, 180));
}

pub(crate) async fn open_exceptions_are_listed_over_all_files(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let (first, second) = (received(&books, 1, "collections").await, received(&books, 2, "lockbox").await);
    let listed = async |filter: ExceptionsFilter| -> Vec<(String, FileRow)> {
        let found = store.exceptions(books.tenant, filter).await.unwrap();
        found.into_iter().map(|it| (it.exception.code, it.row)).collect()
    };
    let all = |limit| ExceptionsFilter { limit, ..ExceptionsFilter::default() };
    let row = |code: &str, file: UploadRef, row_no| (code.to_owned(), FileRow { batch: file.id, row_no });
    let expected = [
        row("prenote", first, 3),
        row("prenote", first, 4),
        row("prenote", second, 3),
        row("prenote", second, 4),
        row("reason_missing", first, 5),
        row("reason_missing", second, 5),
        row("soft_duplicate", first, 2),
        row("soft_duplicate", second, 2),
    ];
    assert_eq!(listed(all(50)).await, expected);
    assert_eq!(listed(all(3)).await, expected[..4], "one more, to tell of the next page");
    for (at, (code, row)) in expected.iter().enumerate() {
        let after = Some(ExceptionPlace { code: code.clone(), row: *row });
        assert_eq!(listed(ExceptionsFilter { after, ..all(50) }).await, expected[at + 1..], "after {at}");
    }
    let of = |code: Option<&str>, feed: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        ExceptionsFilter { code: text(code), feed: text(feed), ..all(50) }
    };
    assert_eq!(listed(of(Some("prenote"), None)).await, expected[..4]);
    assert_eq!(listed(of(Some("prenote"), Some("lockbox"))).await, expected[2..4]);
    assert_eq!(listed(of(None, Some("lockbox"))).await.len(), 4);
    let newest = async |tenant, before: Option<FileRow>, limit| -> Vec<FileRow> {
        let found = store.newest_exceptions(tenant, "prenote", before, limit).await.unwrap();
        found.into_iter().map(|it| it.row).collect()
    };
    let from_the_end: Vec<FileRow> = expected[..4].iter().rev().map(|(_, row)| *row).collect();
    assert_eq!(newest(books.tenant, None, 9).await, from_the_end);
    assert_eq!(newest(books.tenant, None, 3).await, from_the_end[..3], "no more than asked for");
    assert_eq!(newest(books.tenant, Some(from_the_end[2]), 9).await, from_the_end[3..]);
    assert_eq!(newest(thief.tenant, None, 9).await, []);
    assert_eq!(listed(of(Some("future_dated"), None)).await, []);
    let after = Some(ExceptionPlace { code: "prenote".to_owned(), row: expected[1].1 });
    assert_eq!(listed(ExceptionsFilter { after, ..of(Some("prenote"), None) }).await, expected[2..4]);

    assert_eq!(store.exceptions(thief.tenant, all(50)).await.unwrap(), []);
    assert_eq!(store.exception(thief.tenant, expected[0].1).await.unwrap(), None);
    let stolen = UploadRef { tenant: thief.tenant, id: first.id };
    assert!(store.file_totals(stolen).await.unwrap().is_none() && store.file_bytes(stolen).await.unwrap().is_none());
    assert_eq!(store.file_bytes(first).await.unwrap(), Some(([1; 32], vec![1; 10])));
    store.review(review(&books, "review:1", expected[0].1, None)).await.unwrap();
    assert_eq!(listed(all(50)).await, expected[1..], "what is decided is open no more");
    let batch = begun_batch(&books).await;
    assert!(store.add_exceptions(batch, vec![exception(1, "validation_failed", 1)]).await.unwrap());
    assert_eq!(listed(all(50)).await, expected[1..], "rows of other uploads wait for nobody");
}

/// A file of rows that a posting rule refuses, and of one that it takes; how many were refused so far is told.
pub(super) async fn refused(books: &Books, number: u8, feed: &str, rows: i64) -> UploadRef {
    let file = received(books, number, feed).await;
    let early = |row_no: i64| books.payment_on(1, 7, day(1, 1).pred_opt().unwrap()).in_batch(file.id, row_no);
    books.book((10..10 + rows).map(early).collect()).await;
    file
}

pub(crate) async fn rejected_rows_are_listed_over_all_files(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let first = refused(&books, 1, "collections", 3).await;
    received(&books, 2, "collections").await;
    let second = refused(&books, 3, "lockbox", 2).await;
    let waiting = books.accept(vec![books.payment(1, 1).in_batch(second.id, 30)]).await;
    let list = async |tenant, filter| store.rejections(tenant, filter).await.unwrap();
    let rows =
        async |filter| -> Vec<FileRow> { list(books.tenant, filter).await.iter().map(FileRejection::row).collect() };
    let all = |limit| RejectionsFilter { limit, ..RejectionsFilter::default() };
    let row = |file: UploadRef, row_no| FileRow { batch: file.id, row_no };
    let expected = [row(first, 10), row(first, 11), row(first, 12), row(second, 10), row(second, 11)];
    assert_eq!(rows(all(50)).await, expected, "also those of a file that is not finished");
    assert_eq!(rows(all(3)).await, expected[..4], "one more, to tell of the next page");
    for (at, row) in expected.iter().enumerate() {
        assert_eq!(rows(RejectionsFilter { after: Some(*row), ..all(50) }).await, expected[at + 1..], "after {at}");
    }
    assert_eq!(rows(RejectionsFilter { feed: Some("lockbox".to_owned()), ..all(50) }).await, expected[3..]);
    assert_eq!(list(thief.tenant, all(50)).await, []);
    let told = list(books.tenant, all(50)).await.remove(0);
    assert_eq!((told.feed.as_str(), told.rejected.money), ("collections", Some(usd(7))));
    assert_eq!(told.rejected.code, RejectionCode::EffectiveBeforeOpening);
    let event = store.event(books.tenant, told.rejected.event_id).await.unwrap().unwrap().event.event;
    assert_eq!(told.key.as_deref(), event.key.as_ref().map(IdempotencyKey::as_str));

    let rejected = async |file| store.file_totals(file).await.unwrap().unwrap().rejected;
    assert_eq!(rejected(first).await.iter().map(|it| it.row_no).collect::<Vec<_>>(), [10, 11, 12]);
    assert_eq!(rejected(second).await, [], "none while rows are in flight");
    books.post(&waiting).await;
    assert_eq!(rejected(second).await.len(), 2);
}

pub(crate) async fn a_rejected_row_is_ended_once_and_stays_rejected(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let file = refused(&books, 1, "collections", 2).await;
    let row = FileRow { batch: file.id, row_no: 10 };
    let read = async || store.rejection(books.tenant, row).await.unwrap().unwrap();
    let open = read().await;
    assert_eq!((open.row(), open.rejected.code), (row, RejectionCode::EffectiveBeforeOpening));
    assert_eq!(open.rejected.resolved, None);
    let before = totals(&books, file).await;
    let end = |key: &str, rejected| NewReview { rejected: Some(rejected), ..review(&books, key, row, None) };

    let (one, other) = tokio::join!(
        store.review(end("review:1", open.rejected.event_id)),
        store.review(end("review:2", open.rejected.event_id))
    );
    let done = [one.unwrap(), other.unwrap()];
    let [ended, late] = match done {
        [first @ ReviewDone::Decided(_), second] => [first, second],
        [first, second] => [second, first],
    };
    assert!(matches!(ended, ReviewDone::Decided(None)), "{ended:?}");
    assert!(matches!(late, ReviewDone::Resolved(ref it) if it.resolution == Resolution::Discarded), "{late:?}");
    let resolved = read().await.rejected.resolved.unwrap();
    assert_eq!((resolved.reason.as_str(), resolved.by.as_str()), ("it was looked at", "test"));
    let all = RejectionsFilter { limit: 50, ..RejectionsFilter::default() };
    let listed: Vec<i64> =
        store.rejections(books.tenant, all).await.unwrap().iter().map(|it| it.rejected.row_no).collect();
    assert_eq!(listed, [11], "it has left the list");
    assert_eq!(totals(&books, file).await, before, "and not the totals");
    let told = store.file_totals(file).await.unwrap().unwrap().rejected;
    let ends: Vec<_> = told.iter().map(|it| it.resolved.as_ref().map(|it| it.reason.as_str())).collect();
    assert_eq!(ends, [Some("it was looked at"), None], "its file tells that it is ended");
    let other = FileRow { row_no: 11, ..row };
    let left = store.rejection(books.tenant, other).await.unwrap().unwrap().rejected.event_id;
    let winner = if matches!(store.event_of_key(books.tenant, "review:1").await, Ok(Some(_))) { 1 } else { 2 };
    let spent = NewReview { rejected: Some(left), ..review(&books, &format!("review:{winner}"), other, None) };
    let taken = store.review(spent).await.unwrap();
    assert!(matches!(taken, ReviewDone::Known(UploadBegun::Taken(_))), "a key is of one decision: {taken:?}");
    let twin = books.payment_on(1, 7, day(1, 1).pred_opt().unwrap()).in_batch(file.id, 10);
    books.book(vec![twin.clone()]).await;
    let again = read().await;
    assert_eq!((again.rejected.event_id, again.rejected.resolved), (twin.id, None), "of one number the open one first");

    let thief = Books::open(fixture.store(), 2).await;
    assert_eq!(store.rejection(thief.tenant, row).await.unwrap(), None);
    let posted = store.rejection(books.tenant, FileRow { row_no: 1, ..row }).await.unwrap();
    assert_eq!(posted, None, "a row that was posted is not rejected");
    let paid = books.book(vec![books.payment(1, 1).in_batch(file.id, 40)]).await[0].id;
    let gone = store.review(end("review:3", paid)).await.unwrap();
    assert!(matches!(gone, ReviewDone::Gone), "{gone:?}");
    prove(store).await;
}

pub(crate) async fn a_file_tells_the_first_hundred_of_its_rejected_rows(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let file = refused(&books, 1, "collections", 101).await;
    let totals = books.store.file_totals(file).await.unwrap().unwrap();
    assert_eq!(totals.progress.totals[&Currency::USD].rejected, tally(101, 707));
    assert_eq!(totals.rejected.iter().map(|it| it.row_no).collect::<Vec<_>>(), (10..110).collect::<Vec<_>>());
    let (accepted, exceptions) = self::totals(&books, file).await;
    assert_eq!((accepted, exceptions), (tally(102, 807), tally(4, 80)), "they are no exceptions as well");
}

/// An upload that is no file.
async fn begun_batch(books: &Books) -> UploadHold {
    let mode = hpts::core::event::UploadMode::BestEffort;
    let upload = operation(books, "upload:0001", UploadOperation::PaymentBatch { mode });
    let holder = upload.holder;
    let begun = books.store.begin_upload(upload).await.unwrap();
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    UploadHold { id: record.id, holder }
}
