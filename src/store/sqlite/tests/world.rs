//! Owns the tests' world: a store in a file of its own, makers of events, and the plain fold.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use sqlx::{ConnectOptions as _, SqliteConnection};
use uuid::Uuid;

use crate::core::event::{
    AcceptedEvent, Command, Disbursement, IdempotencyKey, LoanNumber, LoanOpening, NewEvent, OpeningBalances, Payment,
    SourceMethod,
};
use crate::core::ids::{BorrowerId, EventId, IdMaker, LoanId, LoanKey, PublisherId, Seq, TenantId};
use crate::core::ledger::{EventFailure, FoldInput, FoldOutput, Outcome, Posting, RejectionCode, post_event};
use crate::core::loan::Allocation;
use crate::core::money::{Currency, Minor, Money};
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::store::sqlite::SqliteStore;
use crate::store::{Acceptance, Fold, PostWork, PostedBatch, Store, Wanted};

pub(super) const TENANT: TenantId = TenantId(Uuid::from_u128(0xaaaa));
pub(super) const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(0xbbbb));
pub(super) const LOAN: LoanId = LoanId(Uuid::from_u128(1));
pub(super) const BORROWER: BorrowerId = BorrowerId(Uuid::from_u128(2));
pub(super) const PUBLISHER: PublisherId = PublisherId(Uuid::from_u128(3));

/// A store with a file that goes when the test ends.
#[derive(Debug)]
pub(super) struct World {
    pub(super) store: SqliteStore,
    pub(super) clock: Clock,
    pub(super) path: PathBuf,
    ids: std::sync::Mutex<IdMaker>,
}

impl Drop for World {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            // Absent where the store was closed in order.
            drop(std::fs::remove_file(path));
        }
    }
}

pub(super) fn date(text: &str) -> NaiveDate {
    crate::core::time::parse_date(text).unwrap()
}

pub(super) fn opening(loan_id: LoanId, number: Option<&str>, fees: i64, principal: i64) -> Command {
    Command::LoanOpening(LoanOpening {
        loan_id,
        borrower_id: BORROWER,
        currency: Currency::USD,
        opened_on: date("2026-01-01"),
        loan_number: number.map(|number| LoanNumber::parse(number).unwrap()),
        program_id: None,
        waterfall: None,
        opening_balances: OpeningBalances {
            fees: Minor::new(fees),
            interest: Minor::ZERO,
            principal: Minor::new(principal),
        },
        metadata: None,
    })
}

pub(super) fn payment(loan_id: LoanId, amount: i64, day: &str) -> Command {
    Command::Payment(Payment {
        loan_id,
        borrower_id: BORROWER,
        amount: Money::new(Minor::new(amount), Currency::USD),
        effective_date: date(day),
        source_method: SourceMethod::Ach,
        external_ref: Some(format!("ref-{amount}")),
        metadata: None,
    })
}

pub(super) fn disbursement(loan_id: LoanId, amount: i64, day: &str) -> Command {
    Command::Disbursement(Disbursement {
        loan_id,
        borrower_id: BORROWER,
        amount: Money::new(Minor::new(amount), Currency::USD),
        effective_date: date(day),
        method: SourceMethod::Wire,
        destination_ref: None,
        metadata: None,
    })
}

/// Posts every event by the plain rules; an amount of 666 cannot be judged.
pub(super) fn plain_fold() -> Fold {
    Arc::new(|input: FoldInput| {
        let mut output = FoldOutput::default();
        for work in input.loans {
            let (mut state, mut timeline) = (work.state, work.timeline);
            for event in &work.events {
                if event.event.command.amount() == Some(Minor::new(666)) {
                    let reason = "poison".to_owned();
                    output.failures.push(EventFailure { seq: event.seq, loan_key: work.key, reason });
                    break;
                }
                let step = post_event(state, work.number_taken, timeline.as_mut(), event, input.now).unwrap();
                state = step.state;
                output.postings.push(step.posting);
            }
            output.states.extend(state.filter(|state| Some(state.version) > work.state.map(|before| before.version)));
        }
        output
    })
}

impl World {
    pub(super) async fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hpts-{}.db", Uuid::new_v4()));
        let clock = Clock::manual(Timestamp::from_micros(1_780_000_000_000_000).unwrap());
        let store = SqliteStore::open(&path, clock.clone()).await.unwrap();
        store.migrate(8).await.unwrap();
        Self { store, clock, path, ids: std::sync::Mutex::new(IdMaker::new(7)) }
    }

    /// A connection behind the store's back.
    pub(super) async fn raw(&self) -> SqliteConnection {
        sqlx::sqlite::SqliteConnectOptions::new().filename(&self.path).connect().await.unwrap()
    }

    pub(super) fn event(&self, tenant: TenantId, key: &str, command: Command) -> NewEvent {
        let id = EventId(self.ids.lock().unwrap().next(self.clock.now()));
        let key = IdempotencyKey::parse(&format!("payment:{key}")).unwrap();
        NewEvent::of_caller(id, tenant, key, command, PUBLISHER, "tester".to_owned())
    }

    pub(super) async fn accept(&self, events: Vec<NewEvent>) -> Vec<Wanted> {
        let named: Vec<_> = events.iter().map(|event| (event.id, event.loan_key)).collect();
        let taken = self.store.accept(PUBLISHER, events).await.unwrap();
        self.clock.advance(Duration::from_secs(1));
        let seq = |acceptance: Acceptance| match acceptance {
            Acceptance::New { seq, .. } => seq,
            Acceptance::Known(known) => panic!("known: {known:?}"),
        };
        named.into_iter().zip(taken).map(|((id, loan_key), taken)| Wanted { seq: seq(taken), id, loan_key }).collect()
    }

    pub(super) async fn take(&self, key: &str, command: Command) -> Wanted {
        self.accept(vec![self.event(TENANT, key, command)]).await[0]
    }

    pub(super) async fn post(&self, wanted: &[Wanted]) -> PostedBatch {
        self.post_at_most(wanted, 1000, 1000).await
    }

    pub(super) async fn post_at_most(&self, wanted: &[Wanted], events_max: usize, per_loan_max: usize) -> PostedBatch {
        let wanted = wanted.to_vec();
        let work = PostWork { wanted, events_max, per_loan_max, lane_slot: 3, skip_locked: false };
        let batch = self.store.post_batch(work, plain_fold()).await.unwrap();
        self.clock.advance(Duration::from_secs(1));
        batch
    }

    /// Accepts and posts one command.
    pub(super) async fn done(&self, key: &str, command: Command) -> (AcceptedEvent, Posting) {
        let wanted = self.take(key, command).await;
        let mut batch = self.post(&[wanted]).await;
        assert_eq!(batch.posted.len(), 1, "{batch:?}");
        batch.posted.remove(0)
    }

    pub(super) async fn assert_sound(&self) {
        let report = self.store.verify().await.unwrap();
        assert_eq!(report.problems, vec![], "{report:?}");
    }
}

pub(super) fn key_of(tenant: TenantId, loan: LoanId) -> LoanKey {
    LoanKey::of_loan(tenant, loan)
}

pub(super) fn split(posting: &Posting) -> [i64; 4] {
    let Allocation { fees, interest, principal, suspense } = posting.allocation.unwrap();
    [fees, interest, principal, suspense].map(Minor::units)
}

pub(super) fn rejection(posting: &Posting) -> Option<RejectionCode> {
    match posting.outcome {
        Outcome::Posted => None,
        Outcome::Rejected(code) => Some(code),
    }
}

pub(super) fn seqs(batch: &PostedBatch) -> Vec<Seq> {
    batch.posted.iter().map(|(event, _)| event.seq).collect()
}
