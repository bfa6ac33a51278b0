//! Owns the laws of acceptance and posting.

use super::world::*;
use crate::core::event::Stage;
use crate::core::ids::{EventId, LoanId, Seq};
use crate::core::ledger::{AccountCode, Layer, RejectionCode};
use crate::core::money::{Currency, Minor};
use crate::store::{Acceptance, EntriesPage, HoldRequest, ParkRequest, PaymentsFilter, Store, StoreError, Wanted};
use uuid::Uuid;

#[tokio::test]
async fn a_commit_numbers_events_in_the_order_given() {
    let world = World::new().await;
    let events = (0..50).map(|n| world.event(TENANT, &format!("order-{n}"), payment(LOAN, n + 1, "2026-05-01")));
    let wanted = world.accept(events.collect()).await;
    assert!(wanted.is_sorted_by(|a, b| a.seq < b.seq));
    let position = world.store.position(TENANT, key_of(TENANT, LOAN), wanted[10].seq).await.unwrap();
    assert_eq!(position, 10);
    assert_eq!(world.store.counts().await.unwrap().unposted, 50);
}

#[tokio::test]
async fn a_taken_key_is_known_and_an_unknown_outcome_is_new() {
    let world = World::new().await;
    let first = world.event(TENANT, "same-key", payment(LOAN, 5, "2026-05-01"));
    let wanted = world.accept(vec![first.clone()]).await[0];
    let repeat = world.store.accept(PUBLISHER, vec![first.clone()]).await.unwrap();
    assert!(matches!(repeat[..], [Acceptance::New { seq, .. }] if seq == wanted.seq), "{repeat:?}");
    let again = world.event(TENANT, "same-key", payment(LOAN, 6, "2026-05-01"));
    let fresh = world.event(TENANT, "fresh-key", payment(LOAN, 7, "2026-05-01"));
    let taken = world.store.accept(PUBLISHER, vec![again, fresh]).await.unwrap();
    let [Acceptance::Known(known), Acceptance::New { seq, .. }] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!((known.event.event.clone(), known.stage), (first, Stage::Accepted));
    assert!(*seq > wanted.seq);
    let totals: Vec<(i64, String)> = sqlx::query_as("SELECT accepted, amount FROM publisher_totals")
        .fetch_all(&mut world.raw().await)
        .await
        .unwrap();
    assert_eq!(totals, [(2, "12".to_owned())]);
}

#[tokio::test]
async fn a_payment_is_allocated_and_posted() {
    let world = World::new().await;
    world.done("open-one", opening(LOAN, Some("0042"), 500, 10_000)).await;
    let (event, posting) = world.done("pay-one", payment(LOAN, 700, "2026-05-01")).await;
    assert_eq!((split(&posting), posting.loan_version), ([500, 0, 200, 0], Some(2)));
    let record = world.store.event(TENANT, event.event.id).await.unwrap().unwrap();
    assert_eq!((record.stage, record.posting), (Stage::Finished, Some(posting.clone())));
    let of_key = world.store.event_of_key(TENANT, "payment:pay-one").await.unwrap().unwrap();
    assert_eq!(of_key.event, event);
    let loan = world.store.loan(TENANT, key_of(TENANT, LOAN)).await.unwrap().unwrap();
    assert_eq!((loan.state.version, loan.state.balances.principal), (2, Minor::new(9_800)));
    assert_eq!((loan.loan_number.as_deref(), loan.state.last_posted_seq), (Some("0042"), event.seq));
    let before = world.store.loan_balances(TENANT, key_of(TENANT, LOAN), date("2026-04-30")).await.unwrap().unwrap();
    assert_eq!(before.balances.principal, Minor::new(10_000));
    let cash = AccountCode::PAYMENT_CLEARING;
    let totals = |day| world.store.account_totals(TENANT, cash, Currency::USD, Layer::Settled, date(day));
    assert_eq!(totals("2026-05-01").await.unwrap().debits, 700);
    assert_eq!(totals("2026-04-30").await.unwrap().debits, 0);
    let page = EntriesPage { from: None, to: None, event_type: None, after_version: 0, limit: 10 };
    let entries = world.store.loan_entries(TENANT, key_of(TENANT, LOAN), page.clone()).await.unwrap().unwrap();
    assert_eq!(entries.len(), 2);
    let adjusted = EntriesPage { event_type: Some("manual_adjustment".to_owned()), ..page };
    assert_eq!(world.store.loan_entries(TENANT, key_of(TENANT, LOAN), adjusted).await.unwrap().unwrap().len(), 1);
    let again = world.post(&[Wanted { seq: event.seq, id: event.event.id, loan_key: event.event.loan_key }]).await;
    assert_eq!((again.posted.len(), again.already), (0, vec![(event.event.id, PUBLISHER)]));
    assert_eq!(world.store.finished(vec![event.event.id]).await.unwrap().len(), 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn an_event_without_a_loan_is_rejected_without_a_version() {
    let world = World::new().await;
    let (_, posting) = world.done("no-loan", payment(LOAN, 5, "2026-05-01")).await;
    assert_eq!((rejection(&posting), posting.loan_version), (Some(RejectionCode::LoanNotFound), None));
    let wanted = world.take("second", payment(LOAN, 6, "2026-05-01")).await;
    let opened = world.take("open-two", opening(LOAN, None, 0, 100)).await;
    let third = world.take("third", payment(LOAN, 7, "2026-05-01")).await;
    let batch = world.post(&[third]).await;
    assert_eq!(seqs(&batch), [wanted.seq, opened.seq, third.seq]);
    assert_eq!(rejection(&batch.posted[0].1), Some(RejectionCode::LoanNotFound));
    assert_eq!((rejection(&batch.posted[2].1), batch.posted[2].1.loan_version), (None, Some(2)));
    assert!(world.store.loan(TENANT, key_of(TENANT, LOAN)).await.unwrap().is_some());
    world.assert_sound().await;
}

#[tokio::test]
async fn a_refused_opening_leaves_no_loan_and_the_next_one_is_judged_afresh() {
    let world = World::new().await;
    let other = LoanId(Uuid::from_u128(77));
    world.done("open-first", opening(LOAN, Some("42"), 0, 100)).await;
    let taken = world.take("open-second", opening(other, Some("0042"), 0, 100)).await;
    let lent = world.take("lend", disbursement(other, 50, "2026-02-01")).await;
    let batch = world.post(&[taken, lent]).await;
    assert_eq!(seqs(&batch), [taken.seq]);
    assert_eq!(rejection(&batch.posted[0].1), Some(RejectionCode::LoanExists));
    assert_eq!(batch.left, [lent.id]);
    assert!(world.store.loan(TENANT, key_of(TENANT, other)).await.unwrap().is_none());
    let batch = world.post(&[lent]).await;
    assert_eq!(rejection(&batch.posted[0].1), None);
    world.assert_sound().await;
}

#[tokio::test]
async fn loans_share_a_batch_and_each_gives_a_prefix() {
    let world = World::new().await;
    let loans: Vec<LoanId> = (10..14).map(|n| LoanId(Uuid::from_u128(n))).collect();
    for (n, loan) in loans.iter().enumerate() {
        world.done(&format!("open-{n}"), opening(*loan, None, 0, 1_000_000)).await;
    }
    let mut wanted = Vec::new();
    for (n, loan) in loans.iter().enumerate() {
        let count = if n == 0 { 20 } else { 3 };
        let events = (0..count).map(|i| world.event(TENANT, &format!("pay-{n}-{i}"), payment(*loan, 5, "2026-05-01")));
        wanted.extend(world.accept(events.collect()).await);
    }
    let batch = world.post_at_most(&wanted, 16, 1000).await;
    let of = |loan: LoanId| {
        batch.posted.iter().filter(move |(event, _)| event.event.loan_key == key_of(TENANT, loan)).count()
    };
    assert_eq!(loans.iter().map(|loan| of(*loan)).collect::<Vec<_>>(), [7, 3, 3, 3]);
    assert_eq!(batch.left.len(), 13);
    let batch = world.post_at_most(&wanted, 16, 1).await;
    assert_eq!((batch.posted.len(), batch.already.len(), batch.left.len()), (1, 16, 12));
    assert_eq!(seqs(&batch), [wanted[7].seq]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_lower_number_that_appears_later_is_posted_when_named() {
    let world = World::new().await;
    let opened = world.done("open-one", opening(LOAN, None, 0, 1000)).await;
    let low = world.take("low-number", payment(LOAN, 5, "2026-05-01")).await;
    let high = world.take("high-number", payment(LOAN, 6, "2026-05-01")).await;
    // As on a database that draws numbers before it commits: the higher one was there first.
    let mut raw = world.raw().await;
    for statement in [
        "DROP TRIGGER events_are_never_changed",
        "UPDATE events SET seq = seq + 100 WHERE seq = 2",
        "UPDATE events SET seq = 4 WHERE seq = 3",
    ] {
        sqlx::query(statement).execute(&mut raw).await.unwrap();
    }
    assert_eq!((opened.0.seq, low.seq, high.seq), (Seq(1), Seq(2), Seq(3)));
    let first = world.post_at_most(&[Wanted { seq: Seq(4), ..high }], 1, 1).await;
    assert_eq!(seqs(&first), [Seq(4)]);
    sqlx::query("UPDATE events SET seq = 2 WHERE seq = 102").execute(&mut raw).await.unwrap();
    let second = world.post(&[low]).await;
    assert_eq!(seqs(&second), [Seq(2)]);
    let state = world.store.loan(TENANT, key_of(TENANT, LOAN)).await.unwrap().unwrap().state;
    assert_eq!((state.version, state.last_posted_seq), (3, Seq(4)));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_held_loan_is_left_out_until_its_release() {
    let world = World::new().await;
    world.done("open-one", opening(LOAN, None, 0, 1000)).await;
    let hold = |reason: Option<&str>| HoldRequest {
        tenant: TENANT,
        loan_key: key_of(TENANT, LOAN),
        reason: reason.map(str::to_owned),
    };
    world.store.hold(hold(Some("fraud"))).await.unwrap();
    let wanted = world.take("pay-one", payment(LOAN, 5, "2026-05-01")).await;
    let batch = world.post(&[wanted]).await;
    assert_eq!((batch.posted.len(), batch.held), (0, vec![wanted.id]));
    assert_eq!(world.store.event(TENANT, wanted.id).await.unwrap().unwrap().stage, Stage::Held);
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.unposted, counts.held), (0, 1));
    let released = world.store.hold(hold(None)).await.unwrap();
    assert_eq!(released.iter().map(|event| event.id).collect::<Vec<_>>(), [wanted.id]);
    assert_eq!(world.post(&[wanted]).await.posted.len(), 1);
}

#[tokio::test]
async fn an_event_is_parked_after_its_attempts_and_holds_its_loan() {
    let world = World::new().await;
    world.done("open-one", opening(LOAN, None, 0, 1000)).await;
    let poison = world.take("poison", payment(LOAN, 666, "2026-05-01")).await;
    let behind = world.take("behind", payment(LOAN, 5, "2026-05-01")).await;
    for attempt in 1..=2 {
        let batch = world.post(&[poison, behind]).await;
        assert_eq!((batch.failures.len(), batch.left), (1, vec![behind.id]));
        let request =
            ParkRequest { seq: poison.seq, loan_key: poison.loan_key, reason: "poison".to_owned(), attempts_max: 2 };
        assert_eq!(world.store.park(request).await.unwrap(), attempt);
    }
    assert_eq!(world.post(&[poison, behind]).await.held, [poison.id, behind.id]);
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.unposted, counts.parked, counts.held), (0, 1, 1));
    assert_eq!(world.store.event(TENANT, poison.id).await.unwrap().unwrap().stage, Stage::Parked);
    world.assert_sound().await;
}

#[tokio::test]
async fn tenants_share_neither_loans_nor_keys() {
    let world = World::new().await;
    let mut wanted = Vec::new();
    for tenant in [TENANT, OTHER_TENANT] {
        wanted.extend(world.accept(vec![world.event(tenant, "open-same", opening(LOAN, Some("7"), 0, 1000))]).await);
        let pay = world.event(tenant, "pay-same", payment(LOAN, 5, "2026-05-01"));
        wanted.extend(world.accept(vec![pay]).await);
    }
    assert_eq!(world.post(&wanted).await.posted.iter().filter(|(_, posting)| rejection(posting).is_none()).count(), 4);
    let foreign: EventId = wanted[3].id;
    assert!(world.store.event(TENANT, foreign).await.unwrap().is_none());
    assert!(world.store.loan(TENANT, key_of(OTHER_TENANT, LOAN)).await.unwrap().is_none());
    let filter = PaymentsFilter { loan: Some(key_of(OTHER_TENANT, LOAN)), limit: 10, ..PaymentsFilter::default() };
    assert!(world.store.payments(TENANT, filter.clone()).await.unwrap().is_empty());
    assert_eq!(world.store.payments(OTHER_TENANT, filter).await.unwrap().len(), 1);
    let all = PaymentsFilter { limit: 10, status: Some("posted"), ..PaymentsFilter::default() };
    assert_eq!(world.store.payments(TENANT, all).await.unwrap().len(), 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_backdated_payment_takes_no_more_than_there_was_since() {
    let world = World::new().await;
    world.done("open-one", opening(LOAN, None, 500, 0)).await;
    let (_, april) = world.done("april", payment(LOAN, 500, "2026-04-01")).await;
    let (_, march) = world.done("march", payment(LOAN, 500, "2026-03-01")).await;
    assert_eq!((split(&april), split(&march)), ([500, 0, 0, 0], [0, 0, 0, 500]));
    let other = LoanId(Uuid::from_u128(9));
    world.done("open-two", opening(other, None, 0, 0)).await;
    world.done("lend-two", disbursement(other, 100, "2026-05-10")).await;
    let (_, early) = world.done("may-one", payment(other, 100, "2026-05-01")).await;
    assert_eq!(split(&early), [0, 0, 0, 100]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_panic_in_the_fold_rolls_back_and_the_writer_lives() {
    let world = World::new().await;
    let wanted = world.take("open-one", opening(LOAN, None, 0, 1000)).await;
    let work = crate::store::PostWork {
        wanted: vec![wanted],
        events_max: 10,
        per_loan_max: 10,
        lane_slot: 0,
        skip_locked: false,
    };
    let broken = world.store.post_batch(work, std::sync::Arc::new(|_| panic!("the fold fell over"))).await;
    assert!(matches!(broken, Err(StoreError::Broken(_))), "{broken:?}");
    assert_eq!(world.post(&[wanted]).await.posted.len(), 1);
    world.assert_sound().await;
}
