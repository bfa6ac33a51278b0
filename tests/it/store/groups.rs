//! Laws of groups: events over several loans, posted together or refused together.

use hpts::core::event::{Decision, EventKind, HoldMode, Stage, decide};
use hpts::core::ids::{LoanKey, Seq};
use hpts::core::ledger::{Outcome, RejectionCode};
use hpts::store::{GroupAcceptance, GroupProgress, GroupWork, ParkRequest, StoreError};

use super::operations::sweep;
use super::{Fixture, prove};
use crate::support::books::{Books, day, loan_id, next_id};
use crate::support::groups::{Accrued, Finished, plain, work_off};
use crate::support::holds::{change, put};

/// Two loans of 1 January with principal 500 and 700.
async fn two_loans(books: &Books) {
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 700])]).await;
}

const BOTH: [Accrued; 2] = [(1, 500, 5), (2, 700, 7)];

fn outcomes(finished: &Finished) -> Vec<(Seq, Outcome)> {
    finished.iter().map(|(event, posting)| (event.seq, posting.outcome)).collect()
}

async fn interest(books: &Books, loan: u128) -> i64 {
    books.loan(loan).await.unwrap().state.balances.interest.units()
}

async fn hold(books: &Books, loan: u128, mode: Option<HoldMode>) {
    put(&books.store, change(books.tenant, books.key(loan), mode, "a person looks")).await;
}

pub(crate) async fn all_legs_are_posted_with_their_parent(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;

    let finished = work_off(&books.store, &[group.first_leg]).await;

    assert_eq!(finished.len(), 3);
    assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (5, 7));
    let parent = books.store.event(books.tenant, group.id).await.unwrap().unwrap();
    let posting = parent.posting.unwrap();
    assert_eq!((parent.stage, posting.outcome, posting.loan_version), (Stage::Finished, Outcome::Done, None));
    assert_eq!(posting.allocation.unwrap().interest.units(), 12, "all legs together");
    let legs = books.store.legs(books.tenant, group.seq).await.unwrap();
    assert_eq!(legs.len(), 2);
    for (number, leg) in (1..).zip(&legs) {
        assert_eq!(leg.event.event.origin.group.unwrap().leg, number);
        assert_eq!(leg.event.event.kind, EventKind::Accrual);
        assert!(leg.posting.as_ref().unwrap().posted_at <= posting.posted_at);
    }
    assert_eq!(books.loan(1).await.unwrap().state.last_posted_seq, legs[0].event.seq);
    assert_eq!(books.store.finished(vec![group.id]).await.unwrap().len(), 1, "the caller waits for the parent");
    prove(&books.store).await;
}

pub(crate) async fn one_bad_leg_refuses_all(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let cases = [
        (vec![(1, 500, 5), (2, 701, 7)], RejectionCode::PrincipalMismatch, vec![2]),
        (vec![(1, 499, 5), (2, 701, 7)], RejectionCode::PrincipalMismatch, vec![1, 2]),
        (vec![(1, 500, 5), (3, 700, 7)], RejectionCode::LoanNotFound, vec![3]),
        (vec![(1, 500, i64::MAX), (2, 700, 7)], RejectionCode::AmountOverflow, vec![1]),
    ];
    for (loans, code, named) in cases {
        let group = books.accept_group(books.accrual(day(1, 31), &loans)).await;

        let finished = work_off(&books.store, &[group.first_leg]).await;

        assert!(finished.iter().all(|(_, posting)| posting.outcome == Outcome::Rejected(code)), "{finished:?}");
        assert_eq!(finished.len(), 3);
        let parent = books.store.event(books.tenant, group.id).await.unwrap().unwrap().posting.unwrap();
        assert_eq!(parent.refused_loans, named.into_iter().map(loan_id).collect::<Vec<_>>());
        assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (0, 0));
    }
    let too_early = books.accept_group(books.accrual(day(1, 1).pred_opt().unwrap(), &BOTH)).await;
    let finished = work_off(&books.store, &[too_early.first_leg]).await;
    let code = Outcome::Rejected(RejectionCode::EffectiveBeforeOpening);
    assert!(finished.iter().all(|(_, posting)| posting.outcome == code), "{finished:?}");
    assert!(books.loan(3).await.is_none(), "a refused group opens nothing");
    prove(&books.store).await;
}

pub(crate) async fn principal_is_that_of_the_day(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books
        .book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 700]), books.payment_on(1, 100, day(2, 10))])
        .await;
    let on_day = async |date, principal| {
        let group = books.accept_group(books.accrual(date, &[(1, principal, 1), (2, 700, 1)])).await;
        work_off(&books.store, &[group.first_leg]).await[0].1.outcome
    };

    assert_eq!(on_day(day(2, 9), 500).await, Outcome::Posted, "before the payment");
    assert_eq!(on_day(day(2, 9), 400).await, Outcome::Rejected(RejectionCode::PrincipalMismatch));
    assert_eq!(on_day(day(2, 10), 401).await, Outcome::Posted, "on its day: it pays the interest of the day before");
    assert_eq!(on_day(day(2, 11), 500).await, Outcome::Rejected(RejectionCode::PrincipalMismatch));
    prove(&books.store).await;
}

pub(crate) async fn a_leg_is_never_passed(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let before = books.accept(vec![books.payment(2, 10)]).await;
    let group = books.accept_group(books.accrual(day(1, 31), &[(1, 500, 5), (2, 690, 7)])).await;
    let behind = books.accept(vec![books.payment(2, 20)]).await;

    let batch = books.post(&behind).await;

    let posted: Vec<Seq> = batch.posted.iter().map(|(event, _)| event.seq).collect();
    assert_eq!(posted, [before[0].seq], "what stands before the leg, and no more");
    assert_eq!(batch.groups.into_iter().collect::<Vec<_>>(), [group.seq]);
    assert_eq!(batch.left, [behind[0].id], "it waits behind the leg");
    // A payment of May is posted already; on the accrual's day the loan still owed all of it.
    let finished = work_off(&books.store, &behind).await;
    let codes = outcomes(&finished);
    assert_eq!(codes.len(), 4, "two legs, their parent and the payment: {codes:?}");
    assert_eq!(codes.last().unwrap(), &(behind[0].seq, Outcome::Posted));
    prove(&books.store).await;
}

pub(crate) async fn what_stands_in_front_is_told(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let before = books.accept(vec![books.payment(2, 10), books.payment(2, 10)]).await;
    let first = books.accept_group(books.accrual(day(6, 1), &[(3, 0, 1), (2, 700, 7)])).await;
    let second = books.accept_group(books.accrual(day(6, 1), &[(1, 500, 5), (2, 680, 7)])).await;

    let GroupProgress::Behind { groups, events } = books.try_group(second.seq).await else { panic!("not behind") };
    assert_eq!((groups, events), (vec![first.seq], vec![before[0]]));
    let GroupProgress::Behind { groups, events } = books.try_group(first.seq).await else { panic!("not behind") };
    assert_eq!((groups, events), (vec![], vec![before[0]]));
    books.post(&before).await;
    let GroupProgress::Behind { groups, events } = books.try_group(second.seq).await else { panic!("not behind") };
    assert_eq!((groups, events), (vec![first.seq], vec![]), "groups are posted in the order of their parents");
    assert!(matches!(books.try_group(first.seq).await, GroupProgress::Finished(_)));
    assert!(matches!(books.try_group(second.seq).await, GroupProgress::Finished(_)));
    assert!(matches!(books.try_group(second.seq).await, GroupProgress::Already));
    assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (5, 7), "the first one was refused");
    prove(&books.store).await;
}

pub(crate) async fn groups_in_opposite_order_never_deadlock(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let mut groups = Vec::new();
    for round in 0..20 {
        let mut loans = vec![(1, 500, 1), (2, 700, 1)];
        if round % 2 == 1 {
            loans.reverse();
        }
        groups.push(books.accept_group(books.accrual(day(1, 31), &loans)).await);
    }
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let (store, mut mine) = (books.store.clone(), groups.clone());
        if lane % 2 == 1 {
            mine.reverse();
        }
        lanes.spawn(async move {
            for group in mine {
                work_off(&store, &[group.first_leg]).await;
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }

    assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (20, 20));
    let mut versions = Vec::new();
    for group in &groups {
        let legs = books.store.legs(books.tenant, group.seq).await.unwrap();
        versions.push(legs.iter().map(|leg| leg.posting.as_ref().unwrap().loan_version.unwrap()).collect::<Vec<_>>());
    }
    let expected: Vec<_> = (2..22).map(|version| vec![version, version]).collect();
    assert_eq!(versions, expected, "posted in the order of their parents");
    prove(&books.store).await;
}

pub(crate) async fn redelivered_leg_posts_nothing_twice(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;
    work_off(&books.store, &[group.first_leg]).await;

    let again = books.post(&[group.first_leg]).await;

    assert_eq!(again.already, [(group.first_leg.id, books.publisher)]);
    assert!(again.posted.is_empty() && again.groups.is_empty());
    assert!(matches!(books.try_group(group.seq).await, GroupProgress::Already));
    assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (5, 7));
    prove(&books.store).await;
}

pub(crate) async fn a_groups_key_is_its_callers(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let (id, date) = (next_id(), day(1, 31));
    let group = |id, loans: &[Accrued]| books.accrual_keyed("accrual:january", id, date, loans);
    let first = books.accept_group(group(id, &BOTH)).await;

    let resumed = books.store.accept_group(books.publisher, group(id, &BOTH)).await.unwrap();
    let GroupAcceptance::New { seq, first_leg, .. } = resumed else { panic!("its own rows are known") };
    assert_eq!((seq, first_leg), (first.seq, first.first_leg), "a call whose outcome was unknown");
    let decision = async |loans: &[Accrued]| {
        let incoming = group(next_id(), loans);
        let command = (incoming.parent.command.clone(), incoming.parent.fingerprint);
        let known = books.store.accept_group(books.publisher, incoming).await.unwrap();
        let GroupAcceptance::Known(known) = known else { panic!("the key is taken") };
        let event = &known.event.event;
        decide((&event.command, event.fingerprint), known.stage, (&command.0, command.1))
    };
    assert_eq!(decision(&BOTH).await, Decision::InProgress(Stage::Accepted));
    assert_eq!(decision(&[(1, 500, 5), (2, 700, 8)]).await, Decision::Mismatch(vec!["loans"]));
    assert_eq!(decision(&[(2, 700, 7), (1, 500, 5)]).await, Decision::Mismatch(vec!["loans"]));
    work_off(&books.store, &[first.first_leg]).await;
    assert_eq!(decision(&BOTH).await, Decision::Replay);
    assert_eq!(books.store.verify().await.unwrap().events, 5, "two loans, one group of two legs");
    prove(&books.store).await;
}

pub(crate) async fn a_group_never_waits_for_a_person(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    for (loan, named) in [(1, [1]), (2, [2])] {
        hold(&books, loan, Some(HoldMode::Wait)).await;
        let waiting = books.accept(vec![books.payment(loan, 10)]).await;
        let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;
        let behind = books.accept(vec![books.payment(loan, 20)]).await;
        let found: Vec<Seq> = sweep(&books).await.candidates.iter().map(|candidate| candidate.seq).collect();
        assert_eq!(found, [group.first_leg.seq], "held payments are left alone, the group is not");

        let finished = work_off(&books.store, &[group.first_leg]).await;

        let code = Outcome::Rejected(RejectionCode::LoanOnHold);
        assert!(finished.len() == 3 && finished.iter().all(|(_, posting)| posting.outcome == code), "{finished:?}");
        let parent = books.store.event(books.tenant, group.id).await.unwrap().unwrap();
        assert_eq!(parent.posting.unwrap().refused_loans, named.map(loan_id));
        assert_eq!(books.record(&waiting[0]).await.stage, Stage::Held);
        hold(&books, loan, None).await;
        let posted = work_off(&books.store, &behind).await;
        let order: Vec<Seq> = posted.iter().map(|(event, _)| event.seq).collect();
        assert_eq!(order, [waiting[0].seq, behind[0].seq], "in the order of acceptance");
    }
    hold(&books, 2, Some(HoldMode::Refuse)).await;
    let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;
    let finished = work_off(&books.store, &[group.first_leg]).await;
    let parent = books.store.event(books.tenant, group.id).await.unwrap().unwrap().posting.unwrap();
    assert_eq!((finished.len(), parent.refused_loans), (3, vec![loan_id(2)]), "a hold that refuses is one as well");
    prove(&books.store).await;
}

pub(crate) async fn a_group_that_cannot_be_posted_is_refused(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;
    let attempt = async |seq: Seq| {
        let loan_key = LoanKey::from_bytes([0; 16]);
        let request = ParkRequest { seq, loan_key, reason: "it panics".to_owned(), attempts_max: 2 };
        books.store.park(request).await.unwrap()
    };

    let (by_leg, by_parent) = (attempt(group.first_leg.seq).await, attempt(group.seq).await);

    assert_eq!((by_leg.count, by_leg.group), (1, Some(group.seq)), "a leg counts for its parent");
    assert_eq!((by_parent.count, by_parent.group), (2, Some(group.seq)));
    assert_eq!(fixture.count("holds").await, 0, "no loan is held");
    assert_eq!(books.record(&group.first_leg).await.stage, Stage::Accepted);
    let work = GroupWork { group: group.seq, lane_slot: 0, refusal: Some(RejectionCode::Discarded) };
    let GroupProgress::Finished(batch) = books.store.post_group(work, plain()).await.unwrap() else {
        panic!("{work:?}")
    };
    assert!(batch.posted.iter().all(|(_, posting)| posting.outcome == Outcome::Rejected(RejectionCode::Discarded)));
    sweep(&books).await;
    assert_eq!(fixture.count("parked").await, 0, "the attempts are forgotten");
    assert_eq!(attempt(group.seq).await.count, 0, "it is finished");
    books.book(vec![books.payment(1, 10)]).await;
    prove(&books.store).await;
}

pub(crate) async fn a_crash_loses_nothing_of_a_group(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let id = next_id();
    let group = || books.accrual_keyed("accrual:crash", id, day(1, 31), &BOTH);

    for statement in ["NEW.leg IS NULL", "NEW.leg = 1", "NEW.leg = 2"] {
        fixture.break_inserts("events", statement).await;
        let refused = books.store.accept_group(books.publisher, group()).await;
        assert!(matches!(refused, Err(StoreError::Data { .. } | StoreError::Broken(_))), "{refused:?}");
        fixture.mend_inserts("events").await;
        assert_eq!(fixture.count("events").await, 2, "all of a group is accepted, or nothing: {statement}");
    }
    let accepted = books.accept_group(group()).await;
    let last = format!("NEW.event_seq = {}", accepted.first_leg.seq.0 + 1);
    let parent = format!("NEW.event_seq = {}", accepted.seq);
    let cases = [("postings", last.as_str()), ("postings", &parent), ("changes", "true"), ("account_totals", "true")];
    for (table, statement) in cases {
        let before = fixture.count("changes").await;
        fixture.break_inserts(table, statement).await;
        let failed = crate::support::groups::post(&books.store, accepted.seq).await;
        assert!(failed.is_err(), "{failed:?}");
        fixture.mend_inserts(table).await;
        assert_eq!((fixture.count("postings").await, fixture.count("changes").await), (2, before), "{table}");
        assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (0, 0), "{table}");
    }

    work_off(&books.store, &[accepted.first_leg]).await;

    assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (5, 7));
    prove(&books.store).await;
}

pub(crate) async fn a_lost_hint_of_a_group_is_found(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;

    let round = sweep(&books).await;

    let found: Vec<_> = round.candidates.iter().map(|found| (found.seq, found.id)).collect();
    assert_eq!(found, [(group.first_leg.seq, group.first_leg.id)], "its first leg brings all of it");
    assert!(round.finished_to < group.first_leg.seq, "the mark does not pass a leg");
    let report = books.store.verify().await.unwrap();
    assert_eq!((report.in_flight, report.problems.len()), (3, 0), "{report:?}");
    work_off(&books.store, &[group.first_leg]).await;
    assert_eq!(sweep(&books).await.candidates, []);
    prove(&books.store).await;
}

pub(crate) async fn verify_finds_a_broken_group(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    two_loans(&books).await;
    let group = books.accept_group(books.accrual(day(1, 31), &BOTH)).await;
    work_off(&books.store, &[group.first_leg]).await;

    fixture.tamper(&format!("DELETE FROM postings WHERE event_seq = {}", group.seq)).await;

    let problems = books.store.verify().await.unwrap().problems;
    assert!(problems.iter().any(|problem| problem.check == "group"), "{problems:?}");
}
