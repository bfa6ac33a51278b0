//! Laws of ACH feeds, files, and the payments that returns name.

use std::time::Duration;

use hpts::core::event::{EventKind, HoldMode, IdempotencyKey, NewEvent, Upload, UploadOperation};
use hpts::core::ids::{EventId, TenantId};
use hpts::core::ledger::{AccountCode, Layer, Outcome, RejectionCode};
use hpts::core::loan::LoanStatus;
use hpts::core::money::{Currency, Minor};
use hpts::store::{
    EntryMark, FeedRecord, FileKept, FileRow, MarkedPayment, MarkedRow, NewFile, NewUpload, NumberedLoan, SeenRow,
    StoreError, UploadBegun, UploadHold, UploadRef, UploadedFile,
};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, borrower, day, loan_id, next_id};
use crate::support::holds::{change, hold, put, release};

fn feed(tenant: TenantId, name: &str, settings: &str) -> FeedRecord {
    FeedRecord { tenant, name: name.to_owned(), settings: settings.to_owned() }
}

fn file(tenant: TenantId, print: u8, identity: Option<&str>) -> NewFile {
    let identity = identity.map(str::to_owned);
    NewFile { tenant, sha256: [print; 32], feed: "collections".to_owned(), identity, bytes: vec![print; 10].into() }
}

/// An upload of a file that was kept under an identity of its own or another one.
fn upload_as(books: &Books, key: &str, print: u8, identity: &str) -> NewUpload {
    let mut upload = upload(books, key, Some(print));
    upload.file.as_mut().unwrap().identity = Some(identity.to_owned());
    upload
}

/// An upload of a file that was kept without an identity; without a file it brings none.
fn upload(books: &Books, key: &str, print: Option<u8>) -> NewUpload {
    let operation = UploadOperation::AchFile { feed: "collections".to_owned() };
    let upload = Upload { operation, currency: Currency::USD, received_on: day(5, 1) };
    let (id, key) = (next_id(), IdempotencyKey::parse(key).unwrap());
    let event = NewEvent::of_upload(id, books.tenant, key, upload, books.publisher, "test".to_owned());
    let file = print.map(|print| UploadedFile {
        sha256: [print; 32],
        feed: "collections".to_owned(),
        identity: None,
        summary: "begun".to_owned(),
    });
    NewUpload { event, holder: Uuid::new_v4(), lease: Duration::from_mins(1), file }
}

/// Begins an upload.
async fn begin(books: &Books, key: &str) -> UploadRef {
    let begun = books.store.begin_upload(upload(books, key, None)).await.unwrap();
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    UploadRef { tenant: books.tenant, id: record.id }
}

fn mark(sequence: u32, amount: i64) -> EntryMark {
    EntryMark {
        trace: format!("12104288{sequence:07}"),
        amount: Minor::new(amount),
        account: "0000000420".to_owned(),
        company_id: "1234567890".to_owned(),
    }
}

/// A payment of one payer and 1 May.
fn marked_row(row_no: i64, mark: EntryMark) -> MarkedRow {
    MarkedRow { row_no, mark, individual_id: "420".to_owned(), effective_entry_date: Some(day(5, 1)) }
}

pub(crate) async fn feeds_read_back_and_names_are_unique_in_a_tenant(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let other = Books::open(fixture.store(), 2).await.tenant;
    let store = &books.store;
    let (second, first) = (feed(books.tenant, "second", "{}"), feed(books.tenant, "first", r#"{"a":1}"#));
    let theirs = feed(other, "first", r#"{"b":2}"#);
    for made in [&second, &first, &theirs] {
        assert!(store.create_feed(made.clone()).await.unwrap());
    }
    assert!(!store.create_feed(feed(books.tenant, "first", "{}")).await.unwrap(), "the name is taken");
    assert_eq!(store.feed(books.tenant, "first").await.unwrap(), Some(first.clone()), "and stays what it was");
    assert_eq!(store.feed(other, "second").await.unwrap(), None);
    assert_eq!(store.feeds(books.tenant).await.unwrap(), [first, second], "by name");
    assert_eq!(store.feeds(other).await.unwrap(), [theirs]);
}

pub(crate) async fn a_file_is_kept_once_and_its_identity_is_its_own(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let other = Books::open(fixture.store(), 2).await.tenant;
    let store = &books.store;
    let keep = async |tenant, print, identity| store.keep_file(file(tenant, print, identity)).await.unwrap();
    assert_eq!(keep(books.tenant, 1, Some("A")).await, FileKept::New);
    assert_eq!(keep(books.tenant, 1, Some("A")).await, FileKept::Same(None));
    assert_eq!(keep(books.tenant, 1, None).await, FileKept::Same(None), "a stricter feed changes nothing");
    assert_eq!(keep(other, 1, Some("A")).await, FileKept::New, "another tenant's files are none of theirs");

    let bring = async |key, print, identity| store.begin_upload(upload_as(&books, key, print, identity)).await.unwrap();
    let begun = bring("file:0001", 1, "A").await;
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    let first = UploadRef { tenant: books.tenant, id: record.id };
    assert_eq!(store.file(first).await.unwrap().unwrap().summary.as_deref(), Some("begun"));
    store.describe_file(first, "done".to_owned()).await.unwrap();
    let kept = store.file(first).await.unwrap().unwrap();
    assert_eq!((kept.sha256, kept.feed.as_str(), kept.identity.as_deref()), ([1; 32], "collections", Some("A")));
    assert_eq!(kept.summary.as_deref(), Some("done"));
    assert_eq!(store.file(UploadRef { tenant: other, id: first.id }).await.unwrap(), None);
    assert_eq!(keep(books.tenant, 1, Some("A")).await, FileKept::Same(Some(first.id)));
    assert_eq!(keep(books.tenant, 2, Some("A")).await, FileKept::Conflict(first.id));

    assert_eq!(keep(books.tenant, 3, Some("B")).await, FileKept::New);
    let busy = bring("file:0001", 1, "A").await;
    assert!(matches!(busy, UploadBegun::Busy(_)), "{busy:?}");
    let taken = bring("file:0002", 1, "A").await;
    assert!(matches!(taken, UploadBegun::FileTaken(id) if id == first.id), "a file becomes one upload: {taken:?}");
    assert_eq!(store.event_of_key(books.tenant, "file:0002").await.unwrap(), None, "the key stays free");
    let holder = upload_as(&books, "file:0003", 3, "B");
    let hold = UploadHold { id: hpts::core::ids::PaymentBatchId(holder.event.id.0), holder: holder.holder };
    assert!(matches!(store.begin_upload(holder).await.unwrap(), UploadBegun::New(_)));
    store.release_upload(hold).await.unwrap();
    assert_eq!(keep(books.tenant, 4, Some("C")).await, FileKept::New);
    let odd = bring("file:0003", 4, "C").await;
    assert!(
        matches!(odd, UploadBegun::OtherFile(ref record) if record.id == hold.id),
        "an upload has one file: {odd:?}"
    );
    let resumed = bring("file:0003", 3, "B").await;
    assert!(matches!(resumed, UploadBegun::Resumed(ref record) if record.id == hold.id), "{resumed:?}");
    assert_eq!(store.file(first).await.unwrap(), Some(kept));
    assert_eq!(fixture.count("ach_files").await, 4);

    let mut other = upload_as(&books, "file:0004", 4, "C");
    "lockbox".clone_into(&mut other.file.as_mut().unwrap().feed);
    let begun = store.begin_upload(other).await.unwrap();
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    let kept = store.file(UploadRef { tenant: books.tenant, id: record.id }).await.unwrap().unwrap();
    assert_eq!(kept.feed, "lockbox", "it is the feed's through which it came in the end");
}

pub(crate) async fn a_refused_file_gives_way_but_not_past_another(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let keep = async |print, identity| books.store.keep_file(file(books.tenant, print, identity)).await.unwrap();
    assert_eq!(keep(1, None).await, FileKept::New);
    assert_eq!(keep(1, None).await, FileKept::New, "refused again");
    assert_eq!(keep(2, None).await, FileKept::New, "refused files have no identity to share");
    assert_eq!(keep(1, Some("A")).await, FileKept::New, "a more tolerant feed takes it");
    assert_eq!(keep(1, Some("A")).await, FileKept::Same(None));
    let begun = books.store.begin_upload(upload_as(&books, "file:0001", 1, "A")).await.unwrap();
    let UploadBegun::New(record) = begun else { panic!("{begun:?}") };
    assert_eq!(keep(2, Some("A")).await, FileKept::Conflict(record.id), "the identity is taken since");
    assert_eq!(keep(2, Some("B")).await, FileKept::New);
    assert_eq!(fixture.count("ach_files").await, 2);
    assert_eq!(fixture.count("ach_files WHERE length(bytes) = 10").await, 2);
}

/// A file was kept, and its upload never began: its key was taken, or the process died.
pub(crate) async fn a_file_that_took_nothing_gives_its_identity_up(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    let keep = async |print, identity| store.keep_file(file(books.tenant, print, identity)).await.unwrap();
    let bring = async |key, print| store.begin_upload(upload_as(&books, key, print, "A")).await;
    assert_eq!(keep(1, Some("A")).await, FileKept::New);
    assert_eq!(keep(2, Some("A")).await, FileKept::New, "the correction");
    let late = bring("file:late", 1).await;
    assert!(matches!(late, Err(StoreError::Retry(_))), "one of an identity is collected: {late:?}");
    assert_eq!(store.event_of_key(books.tenant, "file:late").await.unwrap(), None, "nothing is written");
    assert_eq!(keep(1, Some("A")).await, FileKept::New, "who comes again is first again");
    assert!(matches!(bring("file:0002", 2).await, Err(StoreError::Retry(_))));
    assert_eq!(keep(2, Some("A")).await, FileKept::New);
    let UploadBegun::New(record) = bring("file:0002", 2).await.unwrap() else { panic!("it has the identity") };
    assert_eq!(keep(1, Some("A")).await, FileKept::Conflict(record.id));
    assert_eq!(keep(2, Some("A")).await, FileKept::Same(Some(record.id)));
    assert_eq!(fixture.count("ach_files").await, 2, "both are kept");
    assert_eq!(fixture.count("payment_batches").await, 1);
}

/// Two files of one identity come at once, again and again: one becomes an upload, whoever is faster.
pub(crate) async fn of_two_files_of_one_identity_one_begins(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    for round in 0..10_u8 {
        let identity = format!("identity {round}");
        let come = async |print: u8| {
            let key = format!("file:{print:05}");
            loop {
                match books.store.keep_file(file(books.tenant, print, Some(&identity))).await.unwrap() {
                    FileKept::Conflict(other) => return Err(other),
                    FileKept::New | FileKept::Same(None) => {}
                    FileKept::Same(Some(own)) => panic!("{own} is begun already"),
                }
                match books.store.begin_upload(upload_as(&books, &key, print, &identity)).await {
                    Ok(UploadBegun::New(record)) => return Ok(record.id),
                    Ok(other) => panic!("{other:?}"),
                    Err(StoreError::Retry(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        };
        let (one, other) = tokio::join!(come(2 * round), come(2 * round + 1));
        assert!(one == other.map_or_else(Ok, Err), "round {round}: {one:?} {other:?}");
    }
    assert_eq!(fixture.count("payment_batches").await, 10);
}

pub(crate) async fn loans_are_found_by_number_without_leading_zeros(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let other = Books::open(fixture.store(), 2).await;
    books.book(vec![books.opening_numbered(1, "000420"), books.opening_numbered(2, "421")]).await;
    other.book(vec![other.opening_numbered(3, "00422"), other.opening_numbered(4, "420")]).await;
    let found = async |books: &Books, numbers: &[&str]| {
        let numbers = numbers.iter().map(|number| (*number).to_owned()).collect();
        let found = books.store.loans_of_numbers(books.tenant, numbers).await.unwrap();
        let mut found: Vec<_> =
            found.into_iter().map(|loan| (loan.number, loan.loan_id, loan.borrower_id, loan.currency)).collect();
        found.sort();
        found
    };
    let loan = |number: &str, n| (number.to_owned(), loan_id(n), borrower(n), Currency::USD);
    assert_eq!(found(&books, &["420", "421", "422", "423"]).await, [loan("420", 1), loan("421", 2)]);
    assert_eq!(found(&other, &["420", "422"]).await, [loan("420", 4), loan("422", 3)]);
    assert_eq!(found(&books, &[]).await, []);
}

pub(crate) async fn a_loan_of_a_number_says_what_it_takes(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening_numbered(1, "420")]).await;
    let loan = async || -> NumberedLoan {
        let mut found = books.store.loans_of_numbers(books.tenant, vec!["420".to_owned()]).await.unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let open = loan().await;
    assert_eq!((open.status, open.refuses), (LoanStatus::Open, false));
    assert_eq!(open.refusal(open.opened_on), None);
    let before = open.opened_on.pred_opt().unwrap();
    assert_eq!(open.refusal(before), Some(RejectionCode::EffectiveBeforeOpening));
    hold(&books.store, books.tenant, books.key(1)).await;
    assert!(!loan().await.refuses, "what waits is posted in the end");
    put(&books.store, change(books.tenant, books.key(1), Some(HoldMode::Refuse), "fraud")).await;
    assert_eq!(loan().await.refusal(open.opened_on), Some(RejectionCode::LoanOnHold));
    release(&books.store, books.tenant, books.key(1)).await;
    assert_eq!(loan().await, open);
    let closed = NumberedLoan { status: LoanStatus::WrittenOff, ..open.clone() };
    assert_eq!(closed.refusal(open.opened_on), Some(RejectionCode::LoanClosed));
}

pub(crate) async fn receipts_without_a_loan_are_booked(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let first = books.accept(vec![books.receipt_on(300, day(5, 1)), books.receipt_on(20, day(4, 1))]).await;
    let second = books.accept(vec![books.receipt_on(1, day(3, 1))]).await;
    for wanted in [&first, &second] {
        let posted = books.post(wanted).await.posted;
        assert!(posted.iter().all(|(_, posting)| posting.outcome == Outcome::Posted), "{posted:?}");
    }
    assert_eq!(books.post(&first).await.posted.len(), 0, "redelivered, they are booked once");
    let totals = async |code, as_of| {
        let found = books.store.account_totals(books.tenant, code, Currency::USD, Layer::Settled, as_of).await.unwrap();
        (found.debits, found.credits)
    };
    assert_eq!(totals(AccountCode::UNIDENTIFIED_RECEIPTS, day(5, 1)).await, (0, 321));
    assert_eq!(totals(AccountCode::UNIDENTIFIED_RECEIPTS, day(4, 1)).await, (0, 21));
    assert_eq!(totals(AccountCode::PAYMENT_CLEARING, day(5, 1)).await, (321, 0));
    prove(&books.store).await;
}

/// Accepts and posts payments of loan 1 as rows of an upload, and marks them.
async fn marked(books: &Books, upload: UploadRef, rows: &[(i64, EntryMark)]) -> Vec<hpts::store::Wanted> {
    let marks: Vec<MarkedRow> = rows.iter().map(|(row_no, mark)| marked_row(*row_no, mark.clone())).collect();
    books.store.mark_entries(upload, marks.clone()).await.unwrap();
    let event = |(row_no, mark): &(i64, EntryMark)| -> NewEvent {
        books.payment(1, mark.amount.units()).in_batch(upload.id, *row_no)
    };
    let wanted = books.book(rows.iter().map(event).collect()).await;
    books.store.mark_entries(upload, marks).await.unwrap();
    wanted
}

pub(crate) async fn returns_find_the_newest_payment_that_stands(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 100_000])]).await;
    let first = begin(&books, "file:0001").await;
    let older = marked(&books, first, &[(1, mark(1, 500)), (2, mark(2, 700)), (3, mark(1, 500))]).await;
    let second = begin(&books, "file:0002").await;
    let newer = marked(&books, second, &[(1, mark(1, 500))]).await;
    assert_eq!(fixture.count("ach_entries").await, 4, "marked twice is marked once");

    let matched = async |tenant, marks: Vec<EntryMark>| -> Vec<Vec<EventId>> {
        let found = store.match_entries(tenant, marks).await.unwrap();
        let standing = |events: Vec<MarkedPayment>| -> Vec<EventId> {
            events.into_iter().filter(|found| found.stands).map(|found| found.event.event.id).collect()
        };
        found.into_iter().map(standing).collect()
    };
    let id = |wanted: &hpts::store::Wanted| wanted.id;
    let odd = |change: fn(&mut EntryMark)| {
        let mut odd = mark(1, 500);
        change(&mut odd);
        odd
    };
    let others = vec![
        mark(9, 500),
        mark(1, 501),
        odd(|mark| "1".clone_into(&mut mark.account)),
        odd(|mark| "1".clone_into(&mut mark.company_id)),
        mark(2, 700),
        mark(1, 500),
        mark(2, 700),
    ];
    let both = vec![id(&newer[0]), id(&older[2]), id(&older[0])];
    let expected = [vec![], vec![], vec![], vec![], vec![id(&older[1])], both, vec![id(&older[1])]];
    assert_eq!(matched(books.tenant, others).await, expected, "in the order asked for, newest first");
    assert_eq!(matched(thief.tenant, vec![mark(1, 500)]).await, [vec![]], "another tenant's payments stay theirs");
    assert_eq!(matched(books.tenant, vec![]).await, Vec::<Vec<EventId>>::new());

    let undo = books.return_of(&newer[0], day(5, 4), 0).await;
    books.book(vec![undo]).await;
    let left = vec![id(&older[2]), id(&older[0])];
    assert_eq!(matched(books.tenant, vec![mark(1, 500)]).await, [left], "what is undone stands no more");
    let all = store.match_entries(books.tenant, vec![mark(1, 500)]).await.unwrap().remove(0);
    let told = |found: &MarkedPayment| (found.event.event.id, found.stands, found.effective_entry_date);
    let day = Some(day(5, 1));
    let expected = [(id(&newer[0]), false, day), (id(&older[2]), true, day), (id(&older[0]), true, day)];
    assert_eq!(all.iter().map(told).collect::<Vec<_>>(), expected, "it is told all the same");
    let found = store.match_entries(books.tenant, vec![mark(2, 700)]).await.unwrap();
    let payment = &found[0][0].event.event;
    assert_eq!((payment.kind, payment.command.amount()), (EventKind::PaymentReceived, Some(Minor::new(700))));
    prove(store).await;
}

pub(crate) async fn returns_find_no_payment_that_is_charged_back_in_full(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let store = &books.store;
    books.book(vec![books.opening(1, [0, 0, 100_000])]).await;
    let file = begin(&books, "file:0001").await;
    let paid = marked(&books, file, &[(1, mark(1, 500)), (2, mark(1, 500))]).await;
    let [first, second] = [paid[0].id, paid[1].id];
    let matched = async || -> Vec<EventId> {
        let found = store.match_entries(books.tenant, vec![mark(1, 500)]).await.unwrap();
        found.into_iter().flatten().filter(|found| found.stands).map(|found| found.event.event.id).collect()
    };
    let part = books.charge_back_of(&paid[0], 200, day(5, 4)).await;
    books.book(vec![part]).await;
    assert_eq!(matched().await, [second, first], "some of it is still there");
    let rest = books.charge_back_of(&paid[0], 300, day(5, 5)).await;
    let rest = books.accept(vec![rest]).await;
    assert_eq!(matched().await, [second, first], "accepted is not posted");
    books.post(&rest).await;
    assert_eq!(matched().await, [second]);
    let again = books.reversal_of(1, &rest[0], day(5, 6)).await;
    books.book(vec![again]).await;
    assert_eq!(matched().await, [second, first], "the money has come again");
    let more = books.charge_back_of(&paid[0], 301, day(5, 7)).await;
    books.book(vec![more]).await;
    assert_eq!(matched().await, [second, first], "a refused one takes nothing back");
    prove(store).await;
}

/// Marks rows together with so many others that are nobody else's, as one chunk; answers in row order.
async fn told_of(books: &Books, upload: UploadRef, (file, beside): (u32, u32), rows: &[MarkedRow]) -> Vec<SeenRow> {
    let others = (1..=beside).map(|n| marked_row(i64::from(n + 1000), mark(file * 10_000 + n, 5)));
    let chunk = rows.iter().cloned().chain(others).collect();
    let mut told = books.store.mark_entries(upload, chunk).await.unwrap();
    told.sort_by_key(|seen| seen.row_no);
    told
}

pub(crate) async fn an_entry_of_another_file_is_told_and_stays_told(fixture: &impl Fixture) {
    // A store may write chunks of many rows in another way.
    for (beside, tenants) in [(0, [1, 2]), (600, [3, 4])] {
        told_and_stays_told(fixture, beside, tenants).await;
    }
}

async fn told_and_stays_told(fixture: &impl Fixture, beside: u32, tenants: [u128; 2]) {
    let [books, thief] =
        [Books::open(fixture.store(), tenants[0]).await, Books::open(fixture.store(), tenants[1]).await];
    let (first, second) = (begin(&books, "file:0001").await, begin(&books, "file:0002").await);
    let twins = vec![marked_row(1, mark(1, 500)), marked_row(2, mark(1, 500)), marked_row(3, mark(2, 700))];
    assert_eq!(told_of(&books, first, (1, beside), &twins).await, [], "inside one file nothing is a duplicate");

    let odd = |row_no, change: fn(&mut MarkedRow)| {
        let mut odd = marked_row(row_no, mark(1, 500));
        change(&mut odd);
        odd
    };
    let others = vec![
        odd(1, |row| row.mark.amount = Minor::new(501)),
        odd(2, |row| "1".clone_into(&mut row.mark.account)),
        odd(3, |row| "421".clone_into(&mut row.individual_id)),
        odd(4, |row| row.effective_entry_date = Some(day(5, 4))),
        odd(5, |row| row.effective_entry_date = None),
        odd(6, |row| "1".clone_into(&mut row.mark.trace)),
        odd(7, |row| "another".clone_into(&mut row.mark.company_id)),
        marked_row(8, mark(2, 700)),
        marked_row(9, mark(1, 500)),
    ];
    let seen = |row_no, of| SeenRow { row_no, first: FileRow { batch: first.id, row_no: of } };
    let told = told_of(&books, second, (2, beside), &others).await;
    assert_eq!(told, [seen(7, 1), seen(8, 3), seen(9, 1)], "the company is no part of it");
    assert_eq!(told_of(&books, first, (1, beside), &twins).await, [], "the first stays the first");
    assert_eq!(told_of(&books, second, (2, beside), &others).await, told, "after a cut");

    let third = begin(&books, "file:0003").await;
    let told = told_of(&books, third, (3, beside), &[marked_row(1, mark(1, 500))]).await;
    assert_eq!(told, [seen(1, 1)], "the oldest is named");
    let theirs = begin(&thief, "file:0001").await;
    assert_eq!(told_of(&thief, theirs, (1, beside), &twins).await, [], "another tenant's entries are theirs");
    let dateless = [odd(2, |row| row.effective_entry_date = None)];
    assert_eq!(told_of(&books, third, (3, beside), &dateless).await.len(), 1, "no day is the same as no day");
    assert_eq!(books.store.mark_entries(third, Vec::new()).await.unwrap(), []);
}

pub(crate) async fn of_two_files_at_once_one_is_the_first(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    for round in 0..10_u32 {
        let (one, other) =
            (begin(&books, &format!("file:one:{round}")).await, begin(&books, &format!("file:other:{round}")).await);
        let count = if round % 2 == 0 { 200 } else { 600 };
        let rows: Vec<MarkedRow> = (1..=count).map(|n| marked_row(i64::from(n), mark(round * 1000 + n, 5))).collect();
        let marking = |upload| books.store.mark_entries(upload, rows.clone());
        let (one, other) = tokio::join!(marking(one), marking(other));
        let mut told = [one, other].map(|told| told.unwrap().len());
        told.sort_unstable();
        assert_eq!(told, [0, usize::try_from(count).unwrap()], "round {round}");
    }
}

pub(crate) async fn of_two_keys_with_the_same_bytes_one_begins(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    for round in 0..10_u8 {
        books.store.keep_file(file(books.tenant, round, None)).await.unwrap();
        let [one, other] = ["one", "other"].map(|key| {
            let new = upload(&books, &format!("file:{key}:{round}"), Some(round));
            books.store.begin_upload(new)
        });
        let (one, other) = tokio::join!(one, other);
        let (mut begun, mut taken) = (Vec::new(), Vec::new());
        for told in [one.unwrap(), other.unwrap()] {
            match told {
                UploadBegun::New(record) => begun.push(record.id),
                UploadBegun::FileTaken(other) => taken.push(other),
                UploadBegun::Resumed(_)
                | UploadBegun::Busy(_)
                | UploadBegun::Complete(_)
                | UploadBegun::Taken(_)
                | UploadBegun::OtherFile(_) => panic!("{told:?}"),
            }
        }
        assert_eq!((begun.len(), &taken), (1, &begun), "round {round}");
    }
    assert_eq!(fixture.count("payment_batches").await, 10, "the losers left nothing");
}
