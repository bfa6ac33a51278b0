//! Laws of posting what was accepted a moment ago, where the store tells of it before its commit and both share one.
//! Whatever stands before an event, the books become as if it had been accepted long before.

use hpts::core::event::NewEvent;
use hpts::core::ids::{EventId, Seq};
use hpts::store::{Acceptance, PostedBatch};
use tokio::sync::oneshot;

use super::intake::wanted;
use super::{Fixture, prove};
use crate::support::books::Books;
use crate::support::holds::{hold, release};

/// Accepts events and posts what is new of them: as soon as the store tells of them, or else after their commit.
async fn at_once(books: &Books, events: &[NewEvent]) -> PostedBatch {
    let (told, early) = oneshot::channel();
    let accept = books.store.accept_and_tell(books.publisher, events.to_vec(), told);
    let post = async {
        let early: Vec<Acceptance> = early.await.ok()?;
        Some(books.post(&wanted(events, &early)).await)
    };
    let (accepted, posted) = tokio::join!(accept, post);
    match posted {
        Some(posted) => posted,
        None => books.post(&wanted(events, &accepted.unwrap())).await,
    }
}

fn ids(batch: &PostedBatch) -> Vec<EventId> {
    let mut posted: Vec<(Seq, EventId)> = batch.posted.iter().map(|(event, _)| (event.seq, event.event.id)).collect();
    posted.sort_unstable();
    posted.into_iter().map(|(_, id)| id).collect()
}

pub(crate) async fn what_was_just_accepted_is_posted_in_order(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    let events = [books.payment(1, 5), books.payment(2, 7), books.payment(1, 11), books.opening(3, [0, 0, 300])];
    let batch = at_once(&books, &events).await;
    assert_eq!(ids(&batch), events.each_ref().map(|event| event.id));
    let last = at_once(&books, &[books.payment(3, 13), books.payment(1, 17)]).await;
    assert_eq!(last.posted.len(), 2, "{last:?}");
    let owed = async |loan| books.loan(loan).await.unwrap().state.balances.principal.units();
    assert_eq!((owed(1).await, owed(2).await, owed(3).await), (467, 493, 287));
    prove(&books.store).await;
}

pub(crate) async fn what_waits_before_it_is_posted_with_it(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    let before = books.payment(1, 5);
    books.accept(vec![before.clone()]).await;
    let events = [books.payment(2, 7), books.payment(1, 11)];
    let batch = at_once(&books, &events).await;
    assert_eq!(ids(&batch), [before.id, events[0].id, events[1].id]);
    prove(&books.store).await;
}

pub(crate) async fn on_a_loan_on_hold_it_waits_and_holds_up_no_other(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    hold(&books.store, books.tenant, books.key(1)).await;
    let events = [books.payment(1, 5), books.payment(2, 7)];
    let batch = at_once(&books, &events).await;
    assert_eq!((ids(&batch), batch.held.clone()), (vec![events[1].id], vec![events[0].id]));
    release(&books.store, books.tenant, books.key(1)).await;
    let next = books.payment(1, 11);
    let batch = at_once(&books, std::slice::from_ref(&next)).await;
    assert_eq!(ids(&batch), [events[0].id, next.id], "in the order of acceptance");
    prove(&books.store).await;
}

pub(crate) async fn without_a_loan_it_is_rejected_beside_what_is_posted(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let events = [books.payment(9, 5), books.payment(1, 7)];
    let batch = at_once(&books, &events).await;
    let rejected: Vec<bool> = batch.posted.iter().map(|(_, posting)| posting.outcome.rejection().is_some()).collect();
    assert_eq!(ids(&batch), events.each_ref().map(|event| event.id));
    assert_eq!(rejected.iter().filter(|rejected| **rejected).count(), 1, "{batch:?}");
    prove(&books.store).await;
}

/// A caller that never heard of its commit hears "new" again, but nothing is posted again.
pub(crate) async fn what_was_posted_long_ago_is_not_posted_again(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let first = books.payment(1, 5);
    at_once(&books, std::slice::from_ref(&first)).await;
    let next = books.payment(1, 7);
    let batch = at_once(&books, &[first.clone(), next.clone()]).await;
    assert_eq!(ids(&batch), [next.id], "{batch:?}");
    assert_eq!(batch.already.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first.id]);
    assert_eq!(books.loan(1).await.unwrap().state.balances.principal.units(), 488);
    prove(&books.store).await;
}

/// A return in the same commit as the payment that it takes back.
pub(crate) async fn what_takes_back_a_neighbour_finds_it(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let paid = books.accept(vec![books.payment(1, 5)]).await;
    let events = [books.return_of(&paid[0], crate::support::books::day(6, 2), 0).await, books.payment(1, 7)];
    let batch = at_once(&books, &events).await;
    assert_eq!(batch.posted.len(), 3, "{batch:?}");
    assert_eq!(books.loan(1).await.unwrap().state.balances.principal.units(), 493);
    prove(&books.store).await;
}
