//! Laws of what the processes tell each other.

use std::time::Duration;

use hpts::core::event::Stage;
use hpts::core::ids::{ProgramId, Seq, TenantId, WorkerId};
use hpts::core::money::{Currency, Minor};
use hpts::core::slot::Slot;
use hpts::core::time::Timestamp;
use hpts::store::{
    ClientRecord, ParkRequest, ProgramRecord, PublisherBeat, SchemaState, SigningKeyRecord, SweepPlan, SweepRound,
    TenantRecord, WorkerBeat,
};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::Books;
use crate::support::holds::release;

pub(crate) async fn parked_event_holds_its_loan_until_released(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(1, 2)]).await;
    let fail = async || {
        let reason = "it panics".to_owned();
        let request = ParkRequest { seq: wanted[0].seq, loan_key: books.key(1), reason, attempts_max: 2 };
        books.store.park(request).await.unwrap().count
    };

    assert_eq!(fail().await, 1);
    assert_eq!(books.record(&wanted[0]).await.stage, Stage::Accepted);
    assert_eq!(fail().await, 2);

    assert_eq!(books.record(&wanted[0]).await.stage, Stage::Parked);
    assert_eq!(books.record(&wanted[1]).await.stage, Stage::Held);
    let batch = books.post(&wanted).await;
    assert_eq!((batch.posted.len(), batch.held.len()), (0, 2));
    let counts = books.store.counts().await.unwrap();
    assert_eq!((counts.unposted, counts.parked, counts.held), (0, 1, 1));
    let report = books.store.verify().await.unwrap();
    assert_eq!((report.parked, report.held, report.in_flight), (1, 1, 0));

    let before = sweep(&books).await.releases;
    let released = release(&books.store, books.tenant, books.key(1)).await;
    assert_eq!(sweep(&books).await.releases, before + 1, "a sweeper looks again");
    assert_eq!(released.iter().map(|event| event.seq).collect::<Vec<_>>(), [wanted[0].seq, wanted[1].seq]);
    assert_eq!(books.post(&wanted).await.posted.len(), 2);
    prove(&books.store).await;
}

/// The server's statistics are some seconds late.
pub(crate) async fn what_is_posted_is_counted(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let before = books.store.counts().await.unwrap();
    books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1), books.payment(1, 2)]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while books.store.counts().await.unwrap().posted != before.posted + 3 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", books.store.counts().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn only_the_first_unposted_event_is_parked(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let opened = books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(1, 2)]).await;
    let fail = async |seq: Seq, loan: u128| {
        let reason = "it panics".to_owned();
        books.store.park(ParkRequest { seq, loan_key: books.key(loan), reason, attempts_max: 1 }).await.unwrap().count
    };

    assert_eq!(fail(opened[0].seq, 1).await, 0, "posted");
    assert_eq!(fail(wanted[1].seq, 1).await, 0, "behind another");
    assert_eq!(fail(Seq(1_000_000), 1).await, 0, "unknown");
    assert_eq!((fixture.count("parked").await, fixture.count("holds").await), (0, 0));
    assert_eq!(fail(wanted[0].seq, 2).await, 1, "the row's loan counts");

    assert_eq!(books.record(&wanted[1]).await.stage, Stage::Held);
    assert!(books.loan(1).await.unwrap().on_hold);
    assert_eq!((fixture.count("parked").await, fixture.count("holds").await), (1, 1));
}

pub(crate) async fn healed_attempts_are_forgotten(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1)]).await;
    let reason = "it panics".to_owned();
    let request = ParkRequest { seq: wanted[0].seq, loan_key: books.key(1), reason, attempts_max: 2 };
    assert_eq!(books.store.park(request).await.unwrap().count, 1);
    assert_eq!(fixture.count("parked").await, 1);

    books.post(&wanted).await;
    sweep(&books).await;

    assert_eq!(fixture.count("parked").await, 0);
    prove(&books.store).await;
}

fn plan(worker: u128) -> SweepPlan {
    SweepPlan {
        worker: WorkerId(Uuid::from_u128(worker)),
        lease: Duration::from_mins(1),
        above: None,
        up_to: None,
        front: None,
        older_than: Duration::ZERO,
        mark_older_than: Duration::ZERO,
        publisher_dead_after: Duration::from_mins(1),
        limit: 100,
    }
}

pub(super) async fn sweep(books: &Books) -> SweepRound {
    books.store.sweep(plan(1)).await.unwrap().unwrap()
}

async fn beat(books: &Books, unconfirmed_from: Option<Seq>) {
    let beat = PublisherBeat { publisher: books.publisher, generation: 1, unconfirmed_from };
    books.store.publisher_beat(beat).await.unwrap();
}

pub(crate) async fn sweep_finds_the_overtaken_and_the_orphaned(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let opened = books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(1, 2)]).await;
    let of = |round: &SweepRound, index: usize| {
        let found = round.candidates.iter().find(|found| found.seq == wanted[index].seq).unwrap();
        (found.overtaken, found.orphaned)
    };

    let round = sweep(&books).await;
    assert_eq!((of(&round, 0), of(&round, 1)), ((false, true), (false, true)), "nobody says it lives");
    assert_eq!(round.finished_to, opened[0].seq);
    beat(&books, Some(wanted[1].seq)).await;
    let round = sweep(&books).await;
    assert_eq!((of(&round, 0), of(&round, 1)), ((false, false), (false, true)), "the second is not confirmed");
    beat(&books, None).await;
    let second = wanted[1].seq;
    books.post_with(&wanted, crate::support::fold::only(move |event| event.seq == second)).await;
    let round = sweep(&books).await;
    assert_eq!(round.candidates.len(), 1);
    assert_eq!(of(&round, 0), (true, false));
    assert_eq!(round.candidates[0].id, wanted[0].id);

    books.post(&wanted[..1]).await;
    let round = sweep(&books).await;
    assert_eq!((round.candidates.len(), round.finished_to), (0, second));
    let above = SweepPlan { above: Some(second), ..plan(1) };
    assert_eq!(books.store.sweep(above).await.unwrap().unwrap().finished_to, second);
    prove(&books.store).await;
}

pub(crate) async fn sweep_leaves_a_backlog_alone(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    beat(&books, None).await;
    books.accept((0..20).map(|n| books.payment(n, 1)).collect()).await;

    let round = sweep(&books).await;
    assert_eq!(round.candidates.len(), 20);
    assert!(round.candidates.iter().all(|found| !found.overtaken && !found.orphaned), "{round:?}");
    let patient = SweepPlan { older_than: Duration::from_hours(1), ..plan(1) };
    let round = books.store.sweep(patient).await.unwrap().unwrap();
    assert_eq!((round.candidates.len(), round.finished_to), (0, Seq(0)));
    let counts = books.store.counts().await.unwrap();
    assert_eq!(counts.unposted, 20);
    assert_eq!(books.store.verify().await.unwrap().in_flight, 20);
}

pub(crate) async fn a_backlog_does_not_hide_what_is_lost(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let waiting = books.accept((0..20).map(|n| books.payment(n, 1)).collect()).await;
    let lost = waiting[17].seq;
    beat(&books, Some(lost)).await;

    let few = SweepPlan { limit: 4, ..plan(1) };
    let round = books.store.sweep(few).await.unwrap().unwrap();

    let named: Vec<_> = round.candidates.iter().map(|found| (found.seq, found.orphaned)).collect();
    let expected = [(17, true), (18, true), (19, true), (0, false)].map(|(n, is_lost)| (waiting[n].seq, is_lost));
    assert_eq!(named, expected);
}

pub(crate) async fn a_slot_overtakes_after_two_seconds(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    beat(&books, None).await;
    let slot = Slot::of(books.key(1));
    let neighbour = (2..1_000_000).find(|n| Slot::of(books.key(*n)) == slot).unwrap();
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(neighbour, 1)]).await;
    books.post(&wanted[1..]).await;
    let overtaken = async || sweep(&books).await.candidates.iter().map(|found| found.overtaken).collect::<Vec<_>>();

    assert_eq!(overtaken().await, [false], "too close to tell");
    fixture.age(wanted[0].seq, 3).await;
    assert_eq!(overtaken().await, [true]);
}

/// A batch posts all that waits on a loan, however much later than the event that brought it.
pub(crate) async fn what_a_batch_took_along_overtakes_nobody(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    beat(&books, None).await;
    let slot = Slot::of(books.key(1));
    let neighbour = (2..1_000_000).find(|n| Slot::of(books.key(*n)) == slot).unwrap();
    let payments = vec![books.payment(1, 1), books.payment(neighbour, 1), books.payment(neighbour, 2)];
    let wanted = books.accept(payments).await;
    for early in &wanted[..2] {
        fixture.age(early.seq, 3).await;
    }
    books.post(&wanted[1..]).await;
    let candidates = sweep(&books).await.candidates;
    assert_eq!(candidates.iter().map(|found| found.overtaken).collect::<Vec<_>>(), [false]);
}

pub(crate) async fn a_round_says_how_far_it_looked(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let done = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let last = done[1].seq;
    let above = async |above: Seq| {
        let round = books.store.sweep(SweepPlan { above: Some(above), ..plan(1) }).await.unwrap().unwrap();
        (round.finished_to, round.looked_to)
    };

    assert_eq!(above(Seq(0)).await, (last, last), "an empty window is finished to its end");
    assert_eq!(above(last).await, (last, last), "nothing more to look at");
    let waiting = books.accept(vec![books.payment(1, 2), books.payment(1, 3)]).await;
    assert_eq!(above(Seq(0)).await, (Seq(waiting[0].seq.0 - 1), waiting[1].seq));
    assert_eq!(above(waiting[1].seq).await, (waiting[1].seq, waiting[1].seq));
}

pub(crate) async fn while_the_front_moves_on_nothing_is_judged(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let done = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let waiting = books.accept(vec![books.payment(1, 2), books.payment(1, 3)]).await;
    let looked = async |front: Seq| {
        let round = books.store.sweep(SweepPlan { front: Some(front), ..plan(1) }).await.unwrap().unwrap();
        (round.candidates.iter().map(|found| found.seq).collect::<Vec<_>>(), round.finished_to)
    };
    let front = Seq(waiting[0].seq.0 - 1);

    assert_eq!(looked(done[0].seq).await, (vec![], front), "more is finished than the round before saw");
    let both = vec![waiting[0].seq, waiting[1].seq];
    assert_eq!(looked(front).await, (both.clone(), front), "as much");
    assert_eq!(looked(waiting[1].seq).await, (both, front), "less: what committed late is first now");
}

pub(crate) async fn a_round_ends_where_it_is_told_to(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let done = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let waiting = books.accept(vec![books.payment(1, 2), books.payment(1, 3)]).await;
    let looked = async |above: Seq, up_to: Seq| {
        let bounded = SweepPlan { above: Some(above), up_to: Some(up_to), ..plan(1) };
        let round = books.store.sweep(bounded).await.unwrap().unwrap();
        (round.candidates.iter().map(|found| found.seq).collect::<Vec<_>>(), round.finished_to, round.looked_to)
    };

    assert_eq!(looked(Seq(0), done[1].seq).await, (vec![], done[1].seq, done[1].seq));
    assert_eq!(looked(done[1].seq, done[1].seq).await, (vec![], done[1].seq, done[1].seq), "nothing to look at");
    let first = waiting[0].seq;
    assert_eq!(looked(Seq(0), first).await, (vec![first], Seq(first.0 - 1), first));
}

/// Else it would fall behind for ever where more than a window is posted between two walks.
pub(crate) async fn the_mark_moves_window_after_window(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let first = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let marked_at = async |seq: Seq| fixture.count(&format!("sweeper WHERE mark = {}", seq.0)).await == 1;
    let above = async |seq: Seq| books.store.sweep(SweepPlan { above: Some(seq), ..plan(1) }).await.unwrap().unwrap();
    assert_eq!(sweep(&books).await.looked_to, first[1].seq);
    assert!(marked_at(first[1].seq).await);

    let second = books.book(vec![books.payment(1, 2), books.payment(1, 3)]).await;
    above(first[1].seq).await;
    assert!(marked_at(second[1].seq).await, "a window that begins at the mark");
    let third = books.book(vec![books.payment(1, 4), books.payment(1, 5)]).await;
    above(third[0].seq).await;
    assert!(marked_at(second[1].seq).await, "one beyond the mark says nothing of what lies between");
}

pub(crate) async fn sweep_runs_in_one_place(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    assert!(books.store.sweep(plan(1)).await.unwrap().is_some());
    assert!(books.store.sweep(plan(2)).await.unwrap().is_none());
    let short = SweepPlan { lease: Duration::ZERO, ..plan(1) };
    assert!(books.store.sweep(short).await.unwrap().is_some());
    assert!(books.store.sweep(plan(2)).await.unwrap().is_some(), "the lease ran out");
}

pub(crate) async fn worker_views_share_lane_slots(fixture: &impl Fixture) {
    let store = fixture.store();
    let worker = |n: u128| WorkerId(Uuid::from_u128(n));
    let beat = async |n: u128, lanes: i16, dead_after: u64| {
        let dead_after = Duration::from_secs(dead_after);
        store.worker_beat(WorkerBeat { worker: worker(n), lanes, dead_after }).await.unwrap()
    };

    assert_eq!(beat(2, 2, 60).await.first_lane_slot, 0);
    assert_eq!(beat(1, 3, 60).await.first_lane_slot, 2);
    assert_eq!(beat(3, 1, 60).await.first_lane_slot, 5);
    let view = beat(2, 2, 60).await;
    assert_eq!((view.live, view.first_lane_slot), (vec![worker(1), worker(2), worker(3)], 0), "a lease stays");
    store.worker_gone(worker(1)).await.unwrap();
    let view = beat(4, 4, 60).await;
    assert_eq!((view.live, view.first_lane_slot), (vec![worker(2), worker(3), worker(4)], 6));
    assert_eq!(beat(5, 3, 60).await.first_lane_slot, 2, "the gap is taken");
    assert_eq!(beat(6, 256, 60).await.first_lane_slot, 0, "more lanes than slots share");
    assert_eq!(beat(2, 2, 0).await.live, [worker(2)], "silent workers are gone");
}

pub(crate) async fn schema_and_partitions_stand_after_migrating_twice(fixture: &impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
    let map = store.partition_map().await.unwrap();
    assert_eq!((map.generation, map.count()), (1, 8));

    let (first, second) = tokio::join!(store.migrate(16), store.migrate(32));

    first.and(second).unwrap();
    assert_eq!(store.partition_map().await.unwrap(), map, "the first map stays");
}

pub(crate) async fn tenants_clients_and_keys_read_back(fixture: &impl Fixture) {
    let store = fixture.store();
    let now = store.now().await.unwrap();
    let tenant = TenantRecord {
        id: TenantId(Uuid::from_u128(5)),
        name: "Lender".to_owned(),
        time_zone: "America/New_York".to_owned(),
        base_currency: Currency::USD,
        future_days: 3,
        payment_limit: Some(Minor::new(1_000_000)),
        loss_account: hpts::core::loan::LossAccount::Allowance,
    };
    assert!(store.create_tenant(tenant.clone()).await.unwrap());
    assert!(!store.create_tenant(tenant.clone()).await.unwrap());
    assert_eq!(store.tenant(tenant.id).await.unwrap(), Some(tenant.clone()));
    assert_eq!(store.tenants().await.unwrap(), std::slice::from_ref(&tenant));
    let client = ClientRecord {
        client_id: "teller".to_owned(),
        tenant: tenant.id,
        secret_hash: "$argon2id$".to_owned(),
        scopes: vec!["payments:write".to_owned()],
        disabled_at: Some(now),
    };
    assert!(store.create_client(client.clone()).await.unwrap());
    assert!(!store.create_client(client.clone()).await.unwrap());
    assert_eq!(store.client("teller").await.unwrap(), Some(client));
    assert_eq!(store.client("nobody").await.unwrap(), None);
    let key = |kid: &str, created_at: Timestamp| SigningKeyRecord {
        kid: kid.to_owned(),
        private_key: vec![1, 2],
        public_key: vec![4; 65],
        created_at,
    };
    let later = Timestamp::from_micros(now.micros() + 1).unwrap();
    let (first, second) =
        tokio::join!(store.add_signing_key(key("a", now), true), store.add_signing_key(key("b", now), true));
    first.and(second).unwrap();
    assert_eq!(store.signing_keys().await.unwrap().len(), 1);
    store.add_signing_key(key("c", later), false).await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap()[0], key("c", later));
}

pub(crate) async fn a_client_is_shut_out_and_let_in_again(fixture: &impl Fixture) {
    let (books, other) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    let store = fixture.store();
    let client = ClientRecord {
        client_id: "teller".to_owned(),
        tenant: books.tenant,
        secret_hash: "$argon2id$".to_owned(),
        scopes: Vec::new(),
        disabled_at: None,
    };
    assert!(store.create_client(client.clone()).await.unwrap());
    let at = |micros| Timestamp::from_micros(micros);
    assert!(!store.set_client_disabled(other.tenant, "teller", at(1)).await.unwrap(), "another tenant's");
    assert!(!store.set_client_disabled(books.tenant, "nobody", at(1)).await.unwrap());
    let set = async |disabled_at| {
        assert!(store.set_client_disabled(books.tenant, "teller", disabled_at).await.unwrap());
        store.client("teller").await.unwrap().unwrap()
    };
    assert_eq!(set(at(2)).await, ClientRecord { disabled_at: at(2), ..client.clone() });
    assert_eq!(set(at(3)).await.disabled_at, at(2), "out since it was");
    assert_eq!(set(None).await, client);
}

pub(crate) async fn a_key_that_does_not_sign_is_removed(fixture: &impl Fixture) {
    let store = fixture.store();
    let key = |kid: &str, micros| SigningKeyRecord {
        kid: kid.to_owned(),
        private_key: vec![1, 2],
        public_key: vec![4; 65],
        created_at: Timestamp::from_micros(micros).unwrap(),
    };
    for key in [key("b", 5), key("a", 5), key("old", 4)] {
        store.add_signing_key(key, false).await.unwrap();
    }
    let kids = async || store.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect::<Vec<_>>();
    assert_eq!(kids().await, ["a", "b", "old"]);
    for kid in ["a", "nobody"] {
        assert!(!store.remove_signing_key(kid).await.unwrap(), "{kid}");
    }
    assert!(store.remove_signing_key("b").await.unwrap());
    assert!(store.remove_signing_key("old").await.unwrap());
    assert!(!store.remove_signing_key("a").await.unwrap(), "it signs");
    assert_eq!(kids().await, ["a"]);
}

pub(crate) async fn programs_read_back_and_ids_are_a_tenants_own(fixture: &impl Fixture) {
    let (books, other) = (Books::open(fixture.store(), 1).await, Books::open(fixture.store(), 2).await);
    let id = ProgramId(Uuid::from_u128(7));
    let program = |tenant, settings: &str| ProgramRecord { tenant, id, settings: settings.to_owned() };
    let store = fixture.store();
    assert!(store.create_program(program(books.tenant, "{}")).await.unwrap());
    assert!(!store.create_program(program(books.tenant, "[]")).await.unwrap(), "the id is taken");
    assert_eq!(store.program(other.tenant, id).await.unwrap(), None);
    assert!(store.create_program(program(other.tenant, "1")).await.unwrap());
    assert_eq!(store.program(books.tenant, id).await.unwrap(), Some(program(books.tenant, "{}")));
    assert_eq!(store.programs(books.tenant).await.unwrap(), [program(books.tenant, "{}")]);
}
