//! Laws of the posting transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hpts::core::event::{NewEvent, Stage};
use hpts::core::ids::{EventId, LoanKey, Seq};
use hpts::core::ledger::{Outcome, RejectionCode};
use hpts::store::{ParkRequest, PostWork, PostedBatch, StoreError, Wanted};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, day, work};
use crate::support::fold;
use crate::support::holds::{hold, release};
use crate::support::system;

pub(crate) async fn lower_seq_committed_later_is_posted(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 10), books.payment(1, 20)]).await;
    let second = wanted[1].seq;
    // The first one is passed over, as if it had not been committed yet.
    let batch = books.post_with(&wanted[1..], fold::only(move |event| event.seq == second)).await;
    assert_eq!(batch.posted.len(), 1);

    let batch = books.post(&wanted[..1]).await;

    assert_eq!(batch.posted.len(), 1);
    let loan = books.loan(1).await.unwrap().state;
    assert_eq!((loan.version, loan.last_posted_seq), (3, second));
    prove(&books.store).await;
}

pub(crate) async fn two_tenants_same_loan_id_and_key(fixture: &impl Fixture) {
    let one = Books::open(fixture.store(), 1).await;
    let two = Books::open(fixture.store(), 2).await;
    let mut wanted = one.accept(vec![one.opening(1, [0, 0, 500]), one.payment_keyed("payment:1", 1, 100)]).await;
    wanted.extend(two.accept(vec![two.opening(1, [0, 0, 900]), two.payment_keyed("payment:1", 1, 200)]).await);

    let batch = one.post(&wanted).await;

    assert_eq!(batch.posted.len(), 4);
    assert_eq!(one.balances_on(1, day(12, 31)).await, [0, 0, 400, 0]);
    assert_eq!(two.balances_on(1, day(12, 31)).await, [0, 0, 700, 0]);
    prove(&one.store).await;
}

pub(crate) async fn two_lanes_open_one_loan(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    for loan in 1..=5 {
        let wanted = books.accept(vec![books.opening(loan, [0, 0, 500]), books.payment(loan, 100)]).await;
        let lane = |slot| {
            let (books, work) = (books.clone(), PostWork { lane_slot: slot, ..work(&wanted) });
            async move {
                loop {
                    match books.store.post_batch(work.clone(), fold::plain()).await {
                        Err(error) if error.is_passing() => {}
                        done => return done.unwrap(),
                    }
                }
            }
        };

        let (first, second) = tokio::join!(lane(0), lane(1));

        assert_eq!(first.posted.len() + second.posted.len(), 2, "{first:?} {second:?}");
        assert_eq!(first.already.len() + second.already.len(), 2, "{first:?} {second:?}");
        assert_eq!(books.loan(loan).await.unwrap().state.version, 2);
    }
    prove(&books.store).await;
}

pub(crate) async fn system_event_does_not_move_the_mark(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 100)]).await;

    let batch = books.post_with(&wanted, system::resplitting(10)).await;

    assert_eq!(batch.posted.len(), 1, "consequences answer nobody");
    let loan = books.loan(1).await.unwrap().state;
    assert_eq!((loan.version, loan.last_posted_seq), (3, wanted[0].seq));
    assert_eq!(loan.balances.principal.units(), 410);
    let current = books.record(&wanted[0]).await.progress.current_allocation.unwrap();
    assert_eq!((current.principal.units(), current.suspense.units()), (90, 10));
    books.book(vec![books.payment(1, 100)]).await;
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 310, 10]);
    prove(&books.store).await;
}

pub(crate) async fn held_loan_is_left_out(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    hold(&books.store, books.tenant, books.key(1)).await;
    let wanted = books.accept(vec![books.payment(1, 100), books.payment(2, 100)]).await;

    let batch = books.post(&wanted).await;

    assert_eq!((batch.posted.len(), batch.held.clone()), (1, vec![wanted[0].id]));
    assert_eq!(books.record(&wanted[0]).await.stage, Stage::Held);
    assert!(books.loan(1).await.unwrap().on_hold);
    assert_eq!(books.store.counts().await.unwrap().held, 1);
    assert_eq!(books.store.verify().await.unwrap().held, 1);

    let released = release(&books.store, books.tenant, books.key(1)).await;
    assert_eq!(released.iter().map(|event| event.id).collect::<Vec<_>>(), [wanted[0].id]);
    assert_eq!(books.post(&wanted).await.posted.len(), 1);
    prove(&books.store).await;
}

pub(crate) async fn events_of_no_loan_are_finished_by_name(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.accept((1..=5).map(|n| books.payment(1, n)).collect()).await;
    let seqs = |batch: &PostedBatch| batch.posted.iter().map(|(event, _)| event.seq).collect::<Vec<_>>();

    let batch = books.post(&wanted[3..4]).await;
    assert_eq!(seqs(&batch), [wanted[3].seq], "nothing is drained");
    let two = PostWork { events_max: 2, ..work(&wanted) };
    let batch = books.store.post_batch(two, fold::plain()).await.unwrap();
    assert_eq!(seqs(&batch), [wanted[0].seq, wanted[1].seq]);
    assert!([2, 4].iter().all(|n| batch.left.contains(&wanted[*n].id)), "{batch:?}");
    assert_eq!(books.post(&wanted).await.posted.len(), 2);
    prove(&books.store).await;
}

pub(crate) async fn a_named_opening_is_found_behind_later_events(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut events: Vec<NewEvent> = vec![books.opening(1, [0, 0, 500])];
    events.extend((1..=3).map(|n| books.payment(1, n)));
    let wanted = books.accept(events).await;

    let batch = books.post(&wanted[3..]).await;

    assert_eq!(batch.posted.len(), 4, "the opening is found, and the loan drained");
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 494, 0]);
    prove(&books.store).await;
}

pub(crate) async fn loan_held_before_it_opens_stays_on_hold(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.accept(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let reason = "it panics".to_owned();
    let request = ParkRequest { seq: wanted[0].seq, loan_key: books.key(1), reason, attempts_max: 1 };
    assert_eq!(books.store.park(request).await.unwrap().count, 1);

    let batch = books.post(&wanted).await;
    assert_eq!((batch.posted.len(), batch.held.len()), (0, 2));
    assert_eq!(books.loan(1).await, None);
    release(&books.store, books.tenant, books.key(1)).await;
    assert_eq!(books.post(&wanted).await.posted.len(), 2);
    assert!(!books.loan(1).await.unwrap().on_hold);
    prove(&books.store).await;
}

pub(crate) async fn rejected_without_loan_has_no_version(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.book(vec![books.payment(1, 100)]).await;

    let posting = books.record(&wanted[0]).await.posting.unwrap();

    assert_eq!(posting.outcome, Outcome::Rejected(RejectionCode::LoanNotFound));
    assert_eq!((posting.loan_version, posting.chain_hash), (None, None));
    assert_eq!(books.loan(1).await, None);
    // A loan that opens later begins at version 1 all the same.
    books.book(vec![books.payment(1, 100), books.opening(1, [0, 0, 500])]).await;
    assert_eq!(books.loan(1).await.unwrap().state.version, 1);
    prove(&books.store).await;
}

/// A fee of 1 January; the payment of 1 April is posted first, that of 1 March second.
pub(crate) async fn backdated_payment_never_makes_a_bucket_negative(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [500, 0, 0])]).await;
    books.book(vec![books.payment_on(1, 500, day(4, 1))]).await;

    books.book(vec![books.payment_on(1, 500, day(3, 1))]).await;

    assert_eq!(books.balances_on(1, day(2, 1)).await, [500, 0, 0, 0]);
    assert_eq!(books.balances_on(1, day(3, 1)).await, [0, 0, 0, 0], "the payment of March pays the fee");
    assert_eq!(books.balances_on(1, day(4, 1)).await, [0, 0, 0, 500], "and that of April waits");
    prove(&books.store).await;
}

/// A debt of 10 May; the payment of 1 May is posted on 15 May, alone and in one batch with the debt.
pub(crate) async fn backdated_payment_does_not_pay_what_came_later(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 0]), books.disbursement_on(1, 500, day(5, 10))]).await;
    books.book(vec![books.payment_on(1, 300, day(5, 1))]).await;
    assert_eq!(books.balances_on(1, day(5, 1)).await, [0, 0, 0, 300]);
    assert_eq!(books.balances_on(1, day(5, 10)).await, [0, 0, 500, 300]);

    books.book(vec![books.opening(2, [0, 0, 0])]).await;
    books.book(vec![books.disbursement_on(2, 500, day(5, 10)), books.payment_on(2, 300, day(5, 1))]).await;

    assert_eq!(books.balances_on(2, day(5, 10)).await, [0, 0, 500, 300]);
    prove(&books.store).await;
}

pub(crate) async fn redelivered_event_posts_once(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;

    let batch = books.post(&wanted).await;

    assert_eq!(batch.posted.len(), 0);
    let already: BTreeSet<EventId> = batch.already.iter().map(|(id, _)| *id).collect();
    assert_eq!(already, wanted.iter().map(|wanted| wanted.id).collect());
    assert!(batch.already.iter().all(|(_, publisher)| *publisher == books.publisher));
    prove(&books.store).await;
}

pub(crate) async fn unknown_and_misnamed_events_are_told(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    let event = books.accept(vec![books.payment(1, 100)]).await[0];
    let unknown = Wanted { seq: Seq(1_000_000), id: EventId(Uuid::from_u128(6)), loan_key: books.key(1) };
    let misnamed = Wanted { loan_key: books.key(2), ..event };
    let nowhere = Wanted { loan_key: LoanKey::from_bytes([9; 16]), ..event };

    let batch = books.post(&[unknown, misnamed]).await;
    assert_eq!((batch.unknown, batch.misnamed), (vec![unknown.id], Vec::new()), "the loan was drained by another");
    let again = books.accept(vec![books.payment(1, 100)]).await[0];
    let batch = books.post(&[Wanted { loan_key: books.key(2), ..again }, nowhere]).await;

    assert_eq!(batch.posted.len(), 0);
    assert_eq!(batch.misnamed, [again.id, nowhere.id]);
    prove(&books.store).await;
}

pub(crate) async fn limits_cut_to_a_fair_prefix(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 5000]), books.opening(2, [0, 0, 5000])]).await;
    let mut events: Vec<NewEvent> = (0..30).map(|_| books.payment(1, 1)).collect();
    events.extend((0..3).map(|_| books.payment(2, 1)));
    let wanted = books.accept(events).await;

    let batch = books.store.post_batch(PostWork { events_max: 10, ..work(&wanted) }, fold::plain()).await.unwrap();

    let of = |key| batch.posted.iter().filter(|(event, _)| event.event.loan_key == key).count();
    assert_eq!((of(books.key(1)), of(books.key(2))), (7, 3));
    assert_eq!(batch.left.len(), 23);
    let one = PostWork { per_loan_max: 1, ..work(&wanted) };
    let batch = books.store.post_batch(one, fold::plain()).await.unwrap();
    assert_eq!(batch.posted.iter().map(|(event, _)| event.seq).collect::<Vec<_>>(), [wanted[7].seq]);
    assert_eq!((batch.already.len(), batch.left.len()), (10, 22));
    assert_eq!(books.post(&wanted).await.posted.len(), 22);
    prove(&books.store).await;
}

pub(crate) async fn taken_loan_number_is_refused_and_the_loan_can_open_later(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening_numbered(1, "0042")]).await;
    let events = vec![books.opening_numbered(2, "42"), books.payment(2, 10), books.opening_numbered(2, "43")];
    let wanted = books.accept(events).await;

    let batch = books.post(&wanted).await;
    let codes: Vec<_> = batch.posted.iter().map(|(_, posting)| posting.outcome.rejection()).collect();
    assert_eq!(codes, [Some(RejectionCode::LoanExists), Some(RejectionCode::LoanNotFound)]);
    assert_eq!(batch.left, [wanted[2].id]);
    books.post(&wanted).await;

    assert_eq!(books.loan(2).await.unwrap().loan_number.as_deref(), Some("43"));
    assert_eq!(books.loan(1).await.unwrap().loan_number.as_deref(), Some("0042"));
    prove(&books.store).await;
}

/// The first opening has balances without a sum; the second names other terms, which must be the loan's.
pub(crate) async fn refused_opening_leaves_no_terms_behind(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events = vec![books.opening(1, [i64::MAX, 1, 0]), books.disbursement_on(1, 500, day(5, 10))];
    let wanted = books.accept(events).await;

    books.post(&wanted).await;
    books.post(&wanted).await;

    let first = books.record(&wanted[0]).await.posting.unwrap();
    assert_eq!((first.outcome.rejection(), first.loan_version), (Some(RejectionCode::AmountOverflow), None));
    let loan = books.loan(1).await.unwrap().state;
    assert_eq!((loan.opened_on, loan.version), (day(5, 10), 1));
    prove(&books.store).await;
}

pub(crate) async fn failed_event_leaves_the_rest_with_the_lane(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.accept(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    let nothing: hpts::store::Fold = Arc::new(|_| hpts::core::ledger::FoldOutput::default());

    let batch = books.try_post(&wanted, nothing).await.unwrap();

    assert_eq!((batch.posted.len(), batch.left.len()), (0, 2));
    assert_eq!(books.loan(1).await, None, "an unopened loan leaves no row");
    assert_eq!(books.post(&wanted).await.posted.len(), 2);
    prove(&books.store).await;
}

pub(crate) async fn panicking_fold_writes_nothing(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let wanted = books.accept(vec![books.opening(1, [0, 0, 500])]).await;

    let ended = books.try_post(&wanted, Arc::new(|_| panic!("on purpose"))).await;

    assert!(matches!(ended, Err(StoreError::Broken(_))), "{ended:?}");
    assert_eq!(books.post(&wanted).await.posted.len(), 1);
    prove(&books.store).await;
}

pub(crate) async fn a_dropped_future_leaves_the_pool_healthy(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut wanted = books.accept(vec![books.opening(1, [0, 0, 5000])]).await;
    for micros in (0..4000).step_by(100) {
        let events = vec![books.payment(1, 1)];
        wanted.extend(books.accept(events).await);
        let posting = books.store.post_batch(work(&wanted), fold::plain());
        let _left_early = tokio::time::timeout(Duration::from_micros(micros), posting).await;
        let reading = books.store.loan(books.tenant, books.key(1));
        let _left_early = tokio::time::timeout(Duration::from_micros(micros), reading).await;
    }

    // What was left may still be at work, and the first to write makes the others look again.
    let posting = async {
        loop {
            match books.try_post(&wanted, fold::plain()).await {
                Err(StoreError::Retry(_)) => {}
                done => break done.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), posting).await.unwrap();

    let loan = books.loan(1).await.unwrap().state;
    assert_eq!((loan.version, loan.balances.principal.units()), (41, 5000 - 40));
    prove(&books.store).await;
}
