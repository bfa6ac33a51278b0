//! Laws of late items: the books end as if everything had come in time, and no row that was written changes.

use hpts::core::event::{Collectibility, Command, EventKind, Fee, FeeCode, LateFor, NewEvent, ServicingAct};
use hpts::core::ids::Seq;
use hpts::core::ledger::{AccountCode, Layer, Outcome, RejectionCode};
use hpts::core::loan::{Allocation, Balances, LossAccount};
use hpts::core::money::{Currency, Minor};
use hpts::store::{BalanceTime, PostWork, PostedBatch, Wanted};

use super::{Fixture, prove};
use crate::support::books::{Books, day, work};
use crate::support::fold;

fn parts(split: &Allocation) -> [i64; 4] {
    [split.fees, split.interest, split.principal, split.suspense].map(Minor::units)
}

/// The split of a payment as first told and as it stands.
async fn splits(books: &Books, payment: &Wanted) -> ([i64; 4], [i64; 4]) {
    let record = books.record(payment).await;
    let first = parts(&record.posting.unwrap().allocation.unwrap());
    (first, record.progress.current_allocation.map_or(first, |current| parts(&current)))
}

async fn totals(books: &Books) -> Vec<i128> {
    let mut net = Vec::new();
    for account in ["1010", "1100", "1200", "1300", "2100", "4200", "5200"] {
        let account = AccountCode::parse(account).unwrap();
        let of = books.store.account_totals(books.tenant, account, Currency::USD, Layer::Settled, day(12, 31));
        let of = of.await.unwrap();
        net.push(of.debits - of.credits);
    }
    net
}

pub(crate) async fn a_late_payment_divides_later_ones_anew(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events = vec![books.opening(1, [500, 40, 1000]), books.payment_on(1, 600, day(4, 1))];
    let early = books.book(events).await;
    let known_then = books.record(&early[1]).await.posting.unwrap().posted_at;

    let late = books.book(vec![books.payment_on(1, 520, day(3, 1))]).await;

    assert_eq!(splits(&books, &late[0]).await.0, [500, 20, 0, 0]);
    assert_eq!(splits(&books, &early[1]).await, ([500, 40, 60, 0], [0, 20, 580, 0]));
    let [restatement] = &books.store.restatements(books.tenant, early[1].seq).await.unwrap()[..] else { panic!() };
    let (event, posting) = (&restatement.event.event, restatement.posting.as_ref().unwrap());
    assert_eq!((event.kind, event.origin.cause_seq), (EventKind::PaymentAllocated, Some(late[0].seq)));
    assert_eq!((posting.effective_date, posting.restates_seq), (day(4, 1), Some(early[1].seq)));
    assert_eq!((posting.loan_version, posting.outcome), (Some(4), Outcome::Posted));
    assert_eq!(books.balances_on(1, day(3, 1)).await, [0, 20, 1000, 0]);
    assert_eq!(books.balances_on(1, day(4, 1)).await, [0, 0, 420, 0]);
    assert!(known_then < posting.posted_at, "the late payment was posted in a transaction of its own");
    let known = async |as_of, known_at| {
        let Balances { fees, interest, principal, suspense } =
            books.balances_at(1, BalanceTime { as_of, known_at: Some(known_at) }).await.balances;
        [fees, interest, principal, suspense].map(Minor::units)
    };
    assert_eq!(known(day(3, 1), known_then).await, [500, 40, 1000, 0]);
    assert_eq!(known(day(4, 1), known_then).await, [0, 0, 940, 0], "as it was known then");
    assert_eq!(known(day(4, 1), posting.posted_at).await, [0, 0, 420, 0]);
    assert_eq!(fixture.count("events WHERE kind = 'payment_allocated'").await, 1);
    prove(&books.store).await;
}

pub(crate) async fn a_late_item_without_effect_writes_nothing_more(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1000]), books.payment_on(1, 100, day(4, 1))]).await;
    let late = books.book(vec![books.payment_on(1, 50, day(3, 1))]).await;
    books.book(vec![books.return_of(&late[0], day(4, 2), 0).await]).await;
    assert_eq!(fixture.count("events WHERE cause_seq IS NOT NULL").await, 0);
    assert_eq!(books.loan(1).await.unwrap().state.version, 4);
    prove(&books.store).await;
}

/// Fees, money lent, payments, a waiver and a return, in the order in which they count and backwards.
pub(crate) async fn any_order_of_arrival_ends_the_same(fixture: &impl Fixture) {
    let mut ends = Vec::new();
    for turn in 0..3_u128 {
        let books = Books::open(fixture.store(), turn + 1).await;
        books.book(vec![books.opening(1, [30, 20, 500])]).await;
        let events: Vec<NewEvent> = vec![
            books.payment_on(1, 45, day(2, 1)),
            books.fee_on(1, "late", 25, day(2, 10)),
            books.disbursement_on(1, 80, day(2, 20)),
            books.payment_on(1, 300, day(3, 1)),
            books.payment_on(1, 310, day(4, 1)),
        ];
        let wanted = books.accept(events).await;
        let order: [usize; 5] = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]][usize::try_from(turn).unwrap()];
        for place in order {
            let seq = wanted[place].seq;
            let one = fold::only(move |event| event.seq == seq);
            assert_eq!(books.post_with(&wanted[place..=place], one).await.posted.len(), 1);
        }
        books.book(vec![books.return_of(&wanted[0], day(4, 2), 0).await]).await;
        let mut end = Vec::new();
        for payment in [3, 4] {
            end.push(splits(&books, &wanted[payment]).await.1);
        }
        for on in [day(2, 1), day(2, 10), day(2, 20), day(3, 1), day(4, 1), day(12, 31)] {
            end.push(books.balances_on(1, on).await);
        }
        ends.push((end, totals(&books).await));
        prove(&books.store).await;
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ends[2]);
    assert_eq!(ends[0].0[..2], [[55, 20, 225, 0], [0, 0, 310, 0]]);
}

/// Money that was refunded as suspense, and then had not come (domain rule 24).
pub(crate) async fn a_refund_of_money_that_went_back_is_owed(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [0, 0, 100]), books.payment_on(1, 150, day(2, 1))]).await;
    let refund = books.servicing(1, ServicingAct::SuspenseRefunded, None, day(2, 5));
    let refunded = books.book(vec![refund]).await;
    books.book(vec![books.return_of(&paid[1], day(2, 9), 0).await]).await;
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 150, 0]);
    let undo = books.reversal_of(1, &refunded[0], day(2, 10)).await;
    books.book(vec![undo]).await;
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 100, 0], "all that stands of it is taken back");
    prove(&books.store).await;
}

/// A long history is not read while other loans wait for the batch.
pub(crate) async fn a_long_replay_has_a_transaction_of_its_own(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [900, 0, 5000]), books.opening(2, [0, 0, 500])]).await;
    books.book((0..1_000).map(|_| books.payment_on(1, 2, day(5, 1))).collect()).await;
    let wanted = books.accept(vec![books.payment_on(1, 300, day(4, 1)), books.payment(2, 10)]).await;

    let batch = books.post(&wanted).await;

    assert_eq!(batch.posted.iter().map(|(event, _)| event.seq).collect::<Vec<_>>(), [wanted[1].seq]);
    assert_eq!(batch.apart, [vec![wanted[0]]]);
    let apart = books.post(&batch.apart[0]).await;
    assert_eq!((apart.posted.len(), apart.apart.len()), (1, 0));
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 3600, 0]);
    assert_eq!(fixture.count("events WHERE kind = 'payment_allocated'").await, 150, "only those that paid the fee");
    prove(&books.store).await;
}

/// Nor is what came in for a late fee whose period began with its loan, nor what its waiver is judged by.
pub(crate) async fn a_late_fee_of_a_long_loan_has_a_transaction_of_its_own(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 5000]), books.opening(2, [0, 0, 500])]).await;
    books.book((0..600).map(|_| books.payment_on(1, 2, day(5, 1))).collect()).await;
    let late_for = |loan: u128, due: i64| {
        let Command::Fee(fee) = books.fee_on(loan, "late", 25, day(5, 2)).command else { unreachable!() };
        let (period_from, due_at) = (day(1, 1), day(5, 1));
        let late_for =
            LateFor { period_from, due_at, due: Minor::new(due), grace_days: None, program_grace_days: None };
        books.event(Command::Fee(Fee { late_for: Some(late_for), ..fee }))
    };
    let act = ServicingAct::FeeWaived { fee_code: FeeCode::parse("late").unwrap(), fee: None };
    let waiver = books.servicing(1, act, Some(25), day(5, 3));
    let wanted = books.accept(vec![late_for(1, 1_201), late_for(1, 1_200), late_for(2, 1), waiver]).await;

    let batch = books.post(&wanted).await;

    assert_eq!(batch.posted.iter().map(|(event, _)| event.seq).collect::<Vec<_>>(), [wanted[2].seq]);
    assert_eq!(batch.apart, [vec![wanted[0], wanted[1], wanted[3]]]);
    let apart = books.post(&batch.apart[0]).await;
    let refused = Outcome::Rejected(RejectionCode::PaidOnTime);
    let outcomes: Vec<Outcome> = apart.posted.iter().map(|(_, posting)| posting.outcome).collect();
    assert_eq!(outcomes, [Outcome::Posted, refused, Outcome::Posted]);
    prove(&books.store).await;
}

pub(crate) async fn a_late_item_is_posted_once(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [500, 0, 100]), books.payment_on(1, 500, day(4, 1))]).await;
    let wanted = books.accept(vec![books.payment_on(1, 400, day(3, 1))]).await;
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
    assert_eq!((first.posted.len() + second.posted.len(), first.already.len() + second.already.len()), (1, 1));
    assert_eq!(fixture.count("events WHERE kind = 'payment_allocated'").await, 1);
    assert_eq!(books.loan(1).await.unwrap().state.last_posted_seq, wanted[0].seq);
    assert_ne!(wanted[0].seq, Seq(0));
    prove(&books.store).await;
}

/// A charge-off in front of the fee that a return of its batch has brought: it restates the fee, which has no number before
/// it is written. It is left for the next batch, and no attempt at it has failed.
pub(crate) async fn a_charge_off_behind_a_return_in_the_batch_is_left_for_the_next(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events = vec![
        books.opening(1, [0, 0, 1000]),
        books.payment_on(1, 100, day(1, 5)),
        books.fee_on(1, "late", 25, day(2, 1)),
        books.payment_on(1, 25, day(3, 10)),
    ];
    let lived = books.book(events).await;
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    let returning = books.return_of(&lived[1], day(3, 10), 25).await;
    let wanted = books.accept(vec![returning, books.servicing(1, chargeoff, None, day(3, 1))]).await;

    let batch = books.post(&wanted).await;

    let posted = |batch: &PostedBatch| batch.posted.iter().map(|(event, _)| event.seq).collect::<Vec<_>>();
    assert_eq!((posted(&batch), batch.left, batch.failures), (vec![wanted[0].seq], vec![wanted[1].id], vec![]));
    let next = books.post(&wanted[1..]).await;
    assert_eq!((posted(&next), next.failures), (vec![wanted[1].seq], vec![]));
    let memo = books.loan(1).await.unwrap().state.charged_off.unwrap().memo;
    assert_eq!([memo.fees, memo.interest, memo.principal].map(Minor::units), [25, 0, 1000]);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0; 4]);
    assert_eq!(fixture.count("parked").await, 0);
    prove(&books.store).await;
}
