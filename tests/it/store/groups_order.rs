//! The order of groups among other events, whatever order lanes and messages come in.

use std::collections::BTreeMap;

use hpts::core::ids::{EventId, Seq};
use hpts::core::ledger::{Outcome, RejectionCode};
use hpts::store::Wanted;

use super::{Fixture, prove};
use crate::support::books::{Books, day, next_id};
use crate::support::groups::work_off;

/// A leg may stand below its loan's mark: its numbers were drawn before those of events that are posted. Such legs are
/// made here by turning the rows of a loan's mark.
pub(crate) async fn legs_committed_late_keep_the_order_of_their_parents(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 700])]).await;
    let first = books.accept_group(books.accrual(day(1, 31), &[(1, 500, 1), (2, 700, 1)])).await;
    let second = books.accept_group(books.accrual(day(2, 28), &[(1, 500, 1), (2, 700, 1)])).await;
    let behind = books.accept(vec![books.payment(2, 10)]).await;
    // As if a payment with a later number had been posted on loan 2 while the first group's transaction still ran.
    let passed = first.seq.0 + 2;
    fixture.execute(&format!("UPDATE loans SET last_posted_seq = {passed} WHERE principal = 700")).await.unwrap();

    let finished = work_off(&books.store, &behind).await;

    let order: Vec<Seq> =
        finished.iter().filter(|(event, _)| event.event.slot.is_none()).map(|(event, _)| event.seq).collect();
    assert_eq!(order, [first.seq, second.seq]);
    assert_eq!(finished.last().unwrap().0.seq, behind[0].seq);
    prove(&books.store).await;
}

const LOANS: i64 = 4;

/// splitmix64: enough to shuffle with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() >> 1).unwrap() % end
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, usize::try_from(self.below(i64::try_from(place).unwrap() + 1)).unwrap());
        }
    }
}

/// The naive model: one event after the other, in the order of acceptance.
#[derive(Default)]
struct Model {
    /// Interest, principal and suspense.
    loans: BTreeMap<i64, [i64; 3]>,
    outcomes: Vec<(EventId, bool)>,
}

impl Model {
    fn pay(&mut self, id: EventId, loan: i64, amount: i64) {
        let owed = self.loans.get_mut(&loan).unwrap();
        let interest = amount.min(owed[0]);
        let principal = (amount - interest).min(owed[1]);
        *owed = [owed[0] - interest, owed[1] - principal, owed[2] + amount - interest - principal];
        self.outcomes.push((id, true));
    }

    fn accrue(&mut self, id: EventId, legs: &[(u128, i64, i64)]) {
        let of = |loan: u128| i64::try_from(loan).unwrap();
        let holds = legs.iter().all(|(loan, principal, _)| self.loans[&of(*loan)][1] == *principal);
        if holds {
            for (loan, _, interest) in legs {
                self.loans.get_mut(&of(*loan)).unwrap()[0] += interest;
            }
        }
        self.outcomes.push((id, holds));
    }
}

/// Brings some events, single and grouped, and what the model makes of them; answers what messages would name.
async fn bring(books: &Books, random: &mut Random, model: &mut Model) -> Vec<Wanted> {
    let mut hints = Vec::new();
    for _ in 0..40 {
        if random.below(3) > 0 {
            let (loan, amount) = (1 + random.below(LOANS), 1 + random.below(40));
            let event = books.payment_on(u128::try_from(loan).unwrap(), amount, day(5, 1));
            model.pay(event.id, loan, amount);
            hints.extend(books.accept(vec![event]).await);
            continue;
        }
        let mut loans: Vec<i64> = (1..=LOANS).collect();
        random.shuffle(&mut loans);
        loans.truncate(usize::try_from(2 + random.below(LOANS - 1)).unwrap());
        let legs: Vec<(u128, i64, i64)> = loans
            .iter()
            .map(|loan| {
                // Now and then the caller is wrong about a loan, and all of the group is refused.
                let principal = model.loans[loan][1] + i64::from(random.below(8) == 0);
                (u128::try_from(*loan).unwrap(), principal, 1 + random.below(9))
            })
            .collect();
        let id = next_id();
        model.accrue(id, &legs);
        let group = books.accrual_keyed(&format!("key:{id}"), id, day(5, 1), &legs);
        hints.push(books.accept_group(group).await.first_leg);
    }
    hints
}

#[expect(clippy::print_stdout, reason = "the seed that runs it again")]
pub(crate) async fn any_interleaving_ends_as_the_order_of_acceptance_does(fixture: &impl Fixture) {
    let seed = u64::from(std::process::id()) << 20 ^ u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    println!("seed {seed}");
    let mut random = Random(seed);
    for round in 1..=5_u128 {
        let books = Books::open(fixture.store(), round).await;
        let mut model = Model::default();
        for loan in 1..=LOANS {
            books.book(vec![books.opening(u128::try_from(loan).unwrap(), [0, 0, 300])]).await;
            model.loans.insert(loan, [0, 300, 0]);
        }
        let mut hints = bring(&books, &mut random, &mut model).await;
        // Some messages are lost, some come twice, none comes in order.
        let doubled: Vec<Wanted> = hints.iter().filter(|_| random.below(4) == 0).copied().collect();
        random.shuffle(&mut hints);
        let all = hints.clone();
        hints.truncate(hints.len() - hints.len().div_ceil(4));
        hints.extend(doubled);
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..3 {
            let (store, mut mine) = (books.store.clone(), hints.clone());
            random.shuffle(&mut mine);
            lanes.spawn(async move {
                for chunk in mine.chunks(3 + lane) {
                    work_off(&store, chunk).await;
                }
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane.unwrap();
        }
        // The sweeper's part.
        work_off(&books.store, &all).await;

        for (id, holds) in &model.outcomes {
            let posting = books.store.event(books.tenant, *id).await.unwrap().unwrap().posting.unwrap();
            let refused = Outcome::Rejected(RejectionCode::PrincipalMismatch);
            assert_eq!(posting.outcome != refused, *holds, "seed {seed}, round {round}, event {id}: {posting:?}");
        }
        for (loan, owed) in &model.loans {
            let balances = books.loan(u128::try_from(*loan).unwrap()).await.unwrap().state.balances;
            let found = [balances.interest, balances.principal, balances.suspense].map(hpts::core::money::Minor::units);
            assert_eq!(found, *owed, "seed {seed}, round {round}, loan {loan}");
        }
    }
    prove(&fixture.store()).await;
}
