//! Laws of the intake.

use hpts::core::event::{NewEvent, Stage};
use hpts::store::{Acceptance, StoreError, Wanted};
use tokio::sync::oneshot;

use super::{Fixture, prove};
use crate::support::books::Books;

pub(crate) async fn arrival_order_is_kept_inside_one_commit(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events: Vec<_> = (0..200).map(|n| books.payment(n % 7, 100)).collect();

    let wanted = books.accept(events).await;

    assert!(wanted.is_sorted_by(|a, b| a.seq < b.seq), "{wanted:?}");
}

pub(crate) async fn same_key_is_known(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let first = books.payment_keyed("payment:1", 1, 100);
    books.accept(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![first.clone()]).await;

    let other = books.payment_keyed("payment:1", 1, 999);
    let fresh = books.payment(1, 5);
    let known = books.store.accept(books.publisher, vec![other.clone(), fresh]).await.unwrap();
    let Acceptance::Known(found) = &known[0] else { panic!("{known:?}") };
    assert!(matches!(known[1], Acceptance::New { .. }), "the neighbour is taken: {known:?}");
    assert_eq!((&*found.event.event, found.stage), (&first, Stage::Accepted));
    assert_eq!(found.posting, None);

    books.post(&wanted).await;
    let known = books.store.accept(books.publisher, vec![other]).await.unwrap();
    let Acceptance::Known(found) = &known[0] else { panic!("{known:?}") };
    assert_eq!(found.stage, Stage::Finished);
    assert!(found.posting.as_ref().unwrap().allocation.is_some());
    prove(&books.store).await;
}

/// What is told of before the commit is what is answered after it, and posting it at once works.
pub(crate) async fn what_is_told_early_is_what_is_answered(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let known = books.payment_keyed("payment:1", 1, 100);
    books.accept(vec![known.clone()]).await;
    let events = vec![books.payment_keyed("payment:1", 1, 100), books.payment(1, 5), books.payment(1, 7)];
    let (told, early) = oneshot::channel();
    let accept = books.store.accept_and_tell(books.publisher, events.clone(), told);
    let post = async {
        let early: Vec<Acceptance> = early.await.ok()?;
        let wanted = wanted(&events, &early);
        Some((early, books.post(&wanted).await))
    };
    let (answered, followed) = tokio::join!(accept, post);
    let answered = answered.unwrap();
    assert_eq!(wanted(&events, &answered).len(), 2, "{answered:?}");
    if let Some((early, batch)) = followed {
        assert_eq!(format!("{early:?}"), format!("{answered:?}"));
        assert_eq!(batch.posted.len(), 3, "what stood before them is posted with them: {batch:?}");
    }
    prove(&books.store).await;
}

/// The messages of those that are new.
pub(crate) fn wanted(events: &[NewEvent], acceptances: &[Acceptance]) -> Vec<Wanted> {
    let wanted = |(event, acceptance): (&NewEvent, &Acceptance)| match acceptance {
        Acceptance::New { seq, .. } => Some(Wanted { seq: *seq, id: event.id, loan_key: event.loan_key }),
        Acceptance::Known(_) => None,
    };
    events.iter().zip(acceptances).filter_map(wanted).collect()
}

/// More than are needed for both stores to take them all at once.
const MANY: u128 = 600;

/// Many events are taken all at once while their keys are new; a key that is taken must cost its neighbours nothing.
pub(crate) async fn taken_key_among_many_stops_no_other(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut wanted = books.accept(vec![books.opening(1, [0, 0, 50_000])]).await;
    wanted.extend(books.accept(vec![books.payment_keyed("payment:taken", 1, 100)]).await);
    for round in 0..3 {
        let mut events: Vec<_> = (0..MANY).map(|n| books.payment(n % 3, 10)).collect();
        events.insert(50, books.payment_keyed("payment:taken", 1, 100));
        let accepted = books.store.accept(books.publisher, events).await.unwrap();
        let mut seqs = Vec::new();
        for (place, acceptance) in accepted.iter().enumerate() {
            match acceptance {
                Acceptance::New { seq, .. } => seqs.push(*seq),
                Acceptance::Known(_) => assert_eq!(place, 50, "round {round}"),
            }
        }
        assert_eq!(seqs.len(), 600, "round {round}");
        assert!(seqs.is_sorted_by(|a, b| a < b), "round {round}: {seqs:?}");
    }
    let many: Vec<_> = (0..MANY).map(|n| books.payment(n % 3, 10)).collect();
    wanted.extend(books.accept(many).await);

    let batch = books.post(&wanted).await;

    assert!(batch.posted.len() >= 512, "{} of {}", batch.posted.len(), wanted.len());
    prove(&books.store).await;
}

pub(crate) async fn repeat_of_unknown_commit_answers_new(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events: Vec<_> = (0..3).map(|n| books.payment(n, 100)).collect();

    let first = books.accept(events.clone()).await;
    let again = books.accept(events).await;

    assert_eq!(first, again);
}

pub(crate) async fn refused_row_writes_nothing(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let good = books.payment(1, 100);
    let mut bad = books.payment(1, 100);
    bad.id = good.id;

    let refused = books.store.accept(books.publisher, vec![good.clone(), bad]).await;

    assert!(matches!(refused, Err(StoreError::Data { .. })), "{refused:?}");
    assert_eq!(books.store.event(books.tenant, good.id).await.unwrap(), None);
}
