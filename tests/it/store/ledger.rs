//! The general ledger: charts of accounts, the trial balance, the journal.

use hpts::core::ids::{EventId, Seq};
use hpts::core::ledger::{AccountCode, AccountSetting, Chart, Layer};
use hpts::core::money::Currency;
use hpts::core::time::Timestamp;
use hpts::store::{AccountTotals, JournalSpan, TrialBalanceQuestion};
use uuid::Uuid;

use super::Fixture;
use crate::support::books::{Books, day};

fn of_may() -> TrialBalanceQuestion {
    TrialBalanceQuestion { currency: Currency::USD, layer: Layer::Settled, as_of: day(5, 31) }
}

pub(crate) async fn charts_read_back_by_tenant(fixture: &impl Fixture) {
    let (books, others) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    assert_eq!(books.store.chart(books.tenant).await.unwrap(), Chart::default());
    let setting = |account: Option<&str>, code: &str, side: Option<&str>| AccountSetting {
        account: account.map(str::to_owned),
        code: code.to_owned(),
        name: "Ours".to_owned(),
        normal_balance: side.map(str::to_owned),
    };
    let swapped = [setting(Some("1100"), "1200", None), setting(Some("1200"), "1100", None)];
    let swapped = Chart::default().revised(&swapped).unwrap();
    books.store.set_chart(books.tenant, swapped.clone()).await.unwrap();
    assert_eq!(books.store.chart(books.tenant).await.unwrap(), swapped);
    let added = swapped.revised(&[setting(None, "6100", Some("CR"))]).unwrap();
    books.store.set_chart(books.tenant, added.clone()).await.unwrap();
    assert_eq!(books.store.chart(books.tenant).await.unwrap(), added, "the one before is gone");
    assert_eq!(books.store.chart(others.tenant).await.unwrap(), Chart::default());
}

pub(crate) async fn the_trial_balance_goes_by_booking_date_and_tenant(fixture: &impl Fixture) {
    let (books, others) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    books.book(vec![books.opening(1, [0, 0, 1_000])]).await;
    others.book(vec![others.opening(1, [0, 0, 5])]).await;
    books.book(vec![books.payment_on(1, 100, day(5, 1)), books.payment_on(1, 30, day(6, 1))]).await;
    let balance = books.store.trial_balance(books.tenant, of_may()).await.unwrap();
    let totals = |debits, credits| AccountTotals { debits, credits };
    let expected = [
        (AccountCode::PAYMENT_CLEARING, totals(100, 0)),
        (AccountCode::PRINCIPAL_RECEIVABLE, totals(1_000, 100)),
        (AccountCode::OPENING_BALANCES, totals(0, 1_000)),
    ];
    assert_eq!(balance, expected);
    let euros = TrialBalanceQuestion { currency: "EUR".parse().unwrap(), ..of_may() };
    assert_eq!(books.store.trial_balance(books.tenant, euros).await.unwrap(), []);
    let pending = TrialBalanceQuestion { layer: Layer::Pending, ..of_may() };
    assert_eq!(books.store.trial_balance(books.tenant, pending).await.unwrap(), []);
}

pub(crate) async fn the_journal_is_walked_in_stretches(fixture: &impl Fixture) {
    let (books, others) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    books.book(vec![books.opening(1, [0, 0, 1_000])]).await;
    others.book(vec![others.opening(1, [0, 0, 5]), others.payment_on(1, 1, day(5, 1))]).await;
    let booked = books.book((1..=5).map(|date| books.payment_on(1, i64::from(date), day(5, date))).collect()).await;
    books.book(vec![books.payment_on(1, 9, day(6, 1))]).await;
    let (after, last) = books.store.find_journal(EventId(Uuid::nil())).await.unwrap();
    assert_eq!(after, Seq(0));
    let whole = JournalSpan { after, to: last, booked: (day(5, 2), day(5, 31)) };
    let ids = |records: Vec<hpts::store::EventRecord>| -> Vec<EventId> {
        records.iter().map(|record| record.event.event.id).collect()
    };
    let expected: Vec<EventId> = booked[1..].iter().map(|wanted| wanted.id).collect();
    assert_eq!(ids(books.store.journal(books.tenant, whole).await.unwrap()), expected);
    let mut seen = Vec::new();
    for after in 0..last.0 {
        let span = JournalSpan { after: Seq(after), to: Seq(after + 1), ..whole };
        seen.extend(ids(books.store.journal(books.tenant, span).await.unwrap()));
    }
    assert_eq!(seen, expected, "stretches cut anywhere");
    let late = EventId::least_of(Timestamp::from_micros(4_000_000_000_000_000).unwrap());
    assert_eq!(books.store.find_journal(late).await.unwrap(), (last, last), "nothing is as late as that");
}
