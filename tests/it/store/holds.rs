//! Laws of loans that stand still: what waits, what is refused, what is parked and discarded.

use std::sync::Arc;

use hpts::core::event::{HoldMode, Stage};
use hpts::core::ledger::{FoldInput, FoldOutput, Outcome, RejectionCode};
use hpts::store::{Fold, OperationDone, ParkRequest, PostWork, UploadBegun, WaitingFilter, Wanted};

use super::{Fixture, prove};
use crate::support::books::{Books, day, loan_id, work};
use crate::support::holds::{change, hold, put, release};

async fn park(books: &Books, wanted: &Wanted, loan: u128) {
    let request =
        ParkRequest { seq: wanted.seq, loan_key: books.key(loan), reason: "it panics".to_owned(), attempts_max: 1 };
    assert_eq!(books.store.park(request).await.unwrap().count, 1);
}

async fn outcomes(books: &Books, wanted: &[Wanted]) -> Vec<Option<Outcome>> {
    let mut outcomes = Vec::new();
    for wanted in wanted {
        outcomes.push(books.record(wanted).await.posting.map(|posting| posting.outcome));
    }
    outcomes
}

const REFUSED: Option<Outcome> = Some(Outcome::Rejected(RejectionCode::LoanOnHold));

pub(crate) async fn a_refusing_hold_rejects_what_waits_and_what_comes(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    hold(&books.store, books.tenant, books.key(1)).await;
    let waiting = books.accept(vec![books.payment(1, 1), books.payment(2, 1)]).await;
    assert_eq!(books.post(&waiting).await.held, [waiting[0].id]);

    let refuse = change(books.tenant, books.key(1), Some(HoldMode::Refuse), "fraud");
    let goes_on = put(&books.store, refuse).await;
    assert_eq!(goes_on.iter().map(|event| event.seq).collect::<Vec<_>>(), [waiting[0].seq]);
    assert!(books.loan(1).await.unwrap().on_hold);
    let later = books.accept(vec![books.payment(1, 2), books.payment(2, 2)]).await;
    let counts = books.store.counts().await.unwrap();
    assert_eq!((counts.held, counts.parked), (0, 0), "nothing waits for a person");
    let all = [waiting.clone(), later].concat();
    assert_eq!(books.post(&all).await.posted.len(), 3);

    let posted = Some(Outcome::Posted);
    assert_eq!(outcomes(&books, &all).await, [REFUSED, posted, REFUSED, posted]);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 500, 0]);
    release(&books.store, books.tenant, books.key(1)).await;
    let paid = books.book(vec![books.payment(1, 3)]).await;
    assert_eq!(outcomes(&books, &paid).await, [posted]);
    assert!(!books.loan(1).await.unwrap().on_hold);
    assert_eq!((fixture.count("holds").await, fixture.count("refusing_holds").await), (0, 0));
    prove(&books.store).await;
}

/// The bank has taken the money back, whatever the hold says.
pub(crate) async fn a_refusing_hold_refuses_no_return(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let paid = books.book(vec![books.payment(1, 100), books.payment(1, 50)]).await;
    put(&books.store, change(books.tenant, books.key(1), Some(HoldMode::Refuse), "fraud")).await;
    let returned = books.return_of(&paid[0], day(5, 4), 25).await;
    let charged_back = books.charge_back_of(&paid[1], 20, day(5, 5)).await;
    let all = books.book(vec![returned, charged_back, books.payment(1, 7)]).await;
    let posted = Some(Outcome::Posted);
    assert_eq!(outcomes(&books, &all).await, [posted, posted, REFUSED]);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [25, 0, 470, 0]);
    prove(&books.store).await;
}

pub(crate) async fn a_parked_event_waits_even_where_its_loan_refuses(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(1, 2)]).await;
    park(&books, &wanted[0], 1).await;

    let refuse = || change(books.tenant, books.key(1), Some(HoldMode::Refuse), "fraud");
    assert_eq!(put(&books.store, refuse()).await, []);
    assert_eq!(books.post(&wanted).await.held.len(), 2);
    let stages = [books.record(&wanted[0]).await.stage, books.record(&wanted[1]).await.stage];
    assert_eq!(stages, [Stage::Parked, Stage::Held]);
    let record = books.store.loan_hold(books.tenant, books.key(1)).await.unwrap().unwrap();
    assert_eq!((record.mode, record.waiting, record.reason.as_str()), (HoldMode::Wait, 2, "it panics"));

    assert_eq!(release(&books.store, books.tenant, books.key(1)).await.len(), 2);
    assert_eq!(books.post(&wanted).await.posted.len(), 2);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 497, 0]);
    prove(&books.store).await;
}

pub(crate) async fn holds_and_what_waits_are_listed_in_order(fixture: &impl Fixture) {
    let (books, other) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    other.book(vec![other.opening(1, [0, 0, 500])]).await;
    hold(&books.store, books.tenant, books.key(1)).await;
    put(&books.store, change(books.tenant, books.key(2), Some(HoldMode::Refuse), "fraud")).await;
    let waiting = books.accept((1..=3).map(|n| books.payment(1, n)).collect()).await;
    let foreign = other.accept(vec![other.payment(1, 1)]).await;
    park(&other, &foreign[0], 1).await;

    let holds = books.store.holds(Some(books.tenant), 10).await.unwrap();
    let told: Vec<_> = holds.iter().map(|hold| (hold.loan_id, hold.mode, hold.waiting)).collect();
    assert_eq!(told, [(Some(loan_id(1)), HoldMode::Wait, 3), (Some(loan_id(2)), HoldMode::Refuse, 0)]);
    assert_eq!(books.store.holds(None, 10).await.unwrap().len(), 3);
    assert_eq!(books.store.holds(None, 1).await.unwrap().len(), 1);
    let of_loan = WaitingFilter::OfLoan(books.key(1));
    let listed = books.store.waiting_events(Some(books.tenant), of_loan, 2).await.unwrap();
    let told: Vec<_> = listed.iter().map(|event| (event.id, event.loan_id, event.stage())).collect();
    assert_eq!(told, [(waiting[0].id, loan_id(1), Stage::Held), (waiting[1].id, loan_id(1), Stage::Held)]);
    let parked = books.store.waiting_events(None, WaitingFilter::Parked, 10).await.unwrap();
    assert_eq!(
        parked.iter().map(|event| (event.id, event.tenant)).collect::<Vec<_>>(),
        [(foreign[0].id, other.tenant)]
    );
    let failure = parked[0].failure.as_ref().unwrap();
    assert_eq!((failure.attempts, failure.reason.as_str()), (1, "it panics"));
    let named = |id| books.store.waiting_events(None, WaitingFilter::ParkedEvent(id), 1);
    assert_eq!((named(foreign[0].id).await.unwrap().len(), named(waiting[0].id).await.unwrap().len()), (1, 0));

    assert_eq!(books.store.holds(Some(other.tenant), 10).await.unwrap().len(), 1);
    assert_eq!(books.store.loan_hold(other.tenant, books.key(1)).await.unwrap(), None);
    assert_eq!(books.store.waiting_events(Some(other.tenant), of_loan, 2).await.unwrap(), []);
    assert_eq!(books.store.waiting_events(Some(books.tenant), WaitingFilter::Parked, 2).await.unwrap(), []);
}

/// Refuses what it is given.
fn discarding() -> Fold {
    let fold = hpts::worker::lane_fold();
    Arc::new(move |mut input: FoldInput| {
        input.loans.iter_mut().for_each(|loan| loan.past.refusal = Some(RejectionCode::Discarded));
        fold(input)
    })
}

pub(crate) async fn a_parked_event_is_discarded_and_its_loan_goes_on(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(1, 2)]).await;
    park(&books, &wanted[0], 1).await;

    let discard = || PostWork { events_max: 1, per_loan_max: 1, despite_hold: true, ..work(&wanted[..1]) };
    let batch = books.store.post_batch(discard(), discarding()).await.unwrap();
    assert_eq!(batch.posted.iter().map(|(event, _)| event.seq).collect::<Vec<_>>(), [wanted[0].seq]);
    let again = books.store.post_batch(discard(), Arc::new(|_| FoldOutput::default())).await.unwrap();
    assert_eq!(again.already.len(), 1);
    assert_eq!(books.record(&wanted[1]).await.stage, Stage::Held, "the loan waits until it is released");

    release(&books.store, books.tenant, books.key(1)).await;
    books.post(&wanted).await;
    let discarded = Some(Outcome::Rejected(RejectionCode::Discarded));
    assert_eq!(outcomes(&books, &wanted).await, [discarded, Some(Outcome::Posted)]);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 498, 0]);
    prove(&books.store).await;
}

pub(crate) async fn a_hold_is_done_once_under_its_key(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let held = change(books.tenant, books.key(1), Some(HoldMode::Wait), "dispute");
    put(&books.store, held.clone()).await;
    release(&books.store, books.tenant, books.key(1)).await;

    let (done, goes_on) = books.store.change_hold(held).await.unwrap();
    assert!(matches!(done, OperationDone::Known(UploadBegun::Complete(_))), "{done:?}");
    assert_eq!(goes_on, []);
    assert!(!books.loan(1).await.unwrap().on_hold, "the first answer again, and nothing else");
}
