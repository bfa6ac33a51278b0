//! Accounting periods: which days are booked on, and when a close is seen.

use chrono::NaiveDate;
use hpts::core::event::{IdempotencyKey, NewEvent, Upload, UploadOperation};
use hpts::core::ids::{EventId, TenantId};
use hpts::core::ledger::{AccountCode, ClosedPeriodRule, Layer, Period, PeriodStatus};
use hpts::core::money::Currency;
use hpts::store::{NewUpload, OperationDone, PeriodChange, UploadBegun};
use uuid::Uuid;

use super::Fixture;
use crate::store::prove;
use crate::support::books::{Books, day, next_id};

pub(super) fn change_keyed(books: &Books, key: &str, month: &str, status: PeriodStatus) -> PeriodChange {
    let (period, reason) = (Period::parse(month).unwrap(), "reconciled".to_owned());
    let operation = match status {
        PeriodStatus::Closed => UploadOperation::PeriodClose { period: month.to_owned(), reason: reason.clone() },
        PeriodStatus::Open => UploadOperation::PeriodReopen { period: month.to_owned(), reason: reason.clone() },
    };
    let upload = Upload { operation, currency: Currency::USD, received_on: day(6, 1) };
    let key = IdempotencyKey::parse(key).unwrap();
    let event = NewEvent::of_upload(next_id(), books.tenant, key, upload, books.publisher, "controller".to_owned());
    let operation = NewUpload { event, holder: Uuid::new_v4(), lease: std::time::Duration::from_secs(30), file: None };
    PeriodChange { operation, period, status, reason, answer: b"{}".to_vec() }
}

pub(super) fn change(books: &Books, month: &str, status: PeriodStatus) -> PeriodChange {
    change_keyed(books, &format!("period:{}", Uuid::new_v4()), month, status)
}

pub(super) async fn close(books: &Books, month: &str) {
    let done = books.store.change_period(change(books, month, PeriodStatus::Closed)).await.unwrap();
    assert!(matches!(done, OperationDone::Done(_)), "{done:?}");
}

/// Effective and booking date of a payment of a day.
async fn booked(books: &Books, date: NaiveDate) -> (NaiveDate, NaiveDate) {
    let paid = books.book(vec![books.payment_on(1, 10, date)]).await;
    let posting = books.record(&paid[0]).await.posting.unwrap();
    (posting.effective_date, posting.booking_date)
}

/// Debits of an account booked by a day.
pub(super) async fn debits(books: &Books, code: AccountCode, by: NaiveDate) -> i128 {
    let totals = books.store.account_totals(books.tenant, code, Currency::USD, Layer::Settled, by).await.unwrap();
    totals.debits
}

pub(crate) async fn a_closed_period_takes_no_new_booking_date(fixture: &impl Fixture) {
    let (books, others) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    books.book(vec![books.opening(1, [0, 0, 100_000])]).await;
    others.book(vec![others.opening(1, [0, 0, 100_000])]).await;
    assert_eq!(booked(&books, day(4, 20)).await, (day(4, 20), day(4, 20)));
    close(&books, "2026-04").await;
    close(&books, "2026-05").await;
    assert_eq!(booked(&books, day(4, 21)).await, (day(4, 21), day(6, 1)), "the first open day");
    assert_eq!(booked(&books, day(6, 2)).await, (day(6, 2), day(6, 2)));
    assert_eq!(booked(&others, day(4, 21)).await, (day(4, 21), day(4, 21)), "another tenant's month is open");
    // Accounts go by booking date, loans by effective date.
    assert_eq!(debits(&books, AccountCode::PAYMENT_CLEARING, day(5, 31)).await, 10);
    assert_eq!(debits(&books, AccountCode::PAYMENT_CLEARING, day(6, 1)).await, 20);
    assert_eq!(books.balances_on(1, day(4, 30)).await, [0, 0, 99_980, 0]);

    books.store.change_period(change(&books, "2026-05", PeriodStatus::Open)).await.unwrap();
    assert_eq!(booked(&books, day(4, 22)).await, (day(4, 22), day(5, 1)), "May is open again");
    prove(&books.store).await;
}

pub(crate) async fn consequences_keep_out_of_closed_periods(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 100_000])]).await;
    let paid = books.book(vec![books.payment_on(1, 300, day(4, 10))]).await;
    close(&books, "2026-04").await;
    let returned = books.book(vec![books.return_of(&paid[0], day(4, 14), 25).await]).await;
    let posting = books.record(&returned[0]).await.posting.unwrap();
    assert_eq!(
        (posting.effective_date, posting.booking_date),
        (day(4, 10), day(5, 1)),
        "counts from its payment's day"
    );
    assert_eq!(debits(&books, AccountCode::FEES_RECEIVABLE, day(4, 30)).await, 0, "the fee is a system event");
    assert_eq!(debits(&books, AccountCode::FEES_RECEIVABLE, day(5, 1)).await, 25);
    assert_eq!(books.balances_on(1, day(4, 14)).await, [25, 0, 100_000, 0]);
    prove(&books.store).await;
}

/// April is closed. A payment of it that is divided anew counts from its own day still, and is booked in May.
pub(crate) async fn restatements_keep_out_of_closed_periods(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [100, 0, 100_000])]).await;
    let payments = [10, 12].map(|of_april| books.payment_on(1, 300, day(4, of_april)));
    let paid = books.book(payments.to_vec()).await;
    close(&books, "2026-04").await;
    let in_april = debits(&books, AccountCode::PRINCIPAL_RECEIVABLE, day(4, 30)).await;
    books.book(vec![books.return_of(&paid[0], day(5, 4), 0).await]).await;
    let restated = books.store.restatements(books.tenant, paid[1].seq).await.unwrap();
    let [record] = &restated[..] else { panic!("{restated:?}") };
    let posting = record.posting.as_ref().unwrap();
    assert_eq!((posting.effective_date, posting.booking_date), (day(4, 12), day(5, 1)));
    assert_eq!(books.balances_on(1, day(4, 11)).await, [100, 0, 100_000, 0]);
    assert_eq!(books.balances_on(1, day(4, 12)).await, [0, 0, 99_800, 0]);
    assert_eq!(debits(&books, AccountCode::PRINCIPAL_RECEIVABLE, day(4, 30)).await, in_april, "April stays as it was");
    assert_eq!(debits(&books, AccountCode::PRINCIPAL_RECEIVABLE, day(5, 1)).await, in_april + 300);
    prove(&books.store).await;
}

pub(crate) async fn periods_read_back_with_who_changed_them(fixture: &impl Fixture) {
    let (books, others) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    let first = change_keyed(&books, "period:april:1", "2026-04", PeriodStatus::Closed);
    let id = first.operation.event.id;
    let done = books.store.change_period(first).await.unwrap();
    assert!(matches!(done, OperationDone::Done(done) if done.0 == id.0), "{done:?}");
    let again =
        books.store.change_period(change_keyed(&books, "period:april:1", "2026-04", PeriodStatus::Closed)).await;
    let OperationDone::Known(UploadBegun::Complete(record)) = again.unwrap() else { panic!("not known") };
    assert_eq!(record.answer.as_deref(), Some(&b"{}"[..]));
    let other =
        books.store.change_period(change_keyed(&books, "period:april:1", "2026-03", PeriodStatus::Closed)).await;
    assert!(matches!(other.unwrap(), OperationDone::Known(UploadBegun::Taken(_))));
    books.store.change_period(change(&books, "2026-03", PeriodStatus::Open)).await.unwrap();

    let (rule, periods) = books.store.periods(books.tenant).await.unwrap();
    assert_eq!(rule, ClosedPeriodRule::NextOpenDay);
    let seen: Vec<_> = periods.iter().map(|period| (period.period.to_string(), period.status)).collect();
    let expected = [("2026-03".to_owned(), PeriodStatus::Open), ("2026-04".to_owned(), PeriodStatus::Closed)];
    assert_eq!(seen, expected);
    assert_eq!((periods[1].actor.as_str(), periods[1].reason.as_str()), ("controller", "reconciled"));
    assert_eq!(others.store.periods(others.tenant).await.unwrap().1, []);

    assert!(books.store.set_closed_periods(books.tenant, ClosedPeriodRule::Refuse).await.unwrap());
    assert_eq!(books.store.periods(books.tenant).await.unwrap().0, ClosedPeriodRule::Refuse);
    assert_eq!(books.store.periods(others.tenant).await.unwrap().0, ClosedPeriodRule::NextOpenDay);
    let nobody = TenantId(EventId(Uuid::from_u128(77)).0);
    assert!(!books.store.set_closed_periods(nobody, ClosedPeriodRule::Refuse).await.unwrap());
    prove(&books.store).await;
}
