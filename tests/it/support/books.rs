//! A tenant's callers: makers of events with defaults, and short ways to accept and post them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::NaiveDate;
use hpts::core::event::{
    Command, Disbursement, EarlierEvent, Fee, FeeCode, IdempotencyKey, LoanNumber, LoanOpening, NewEvent,
    OpeningBalances, Party, Payment, PaymentReturn, Receipt, ReturnCode, ReturnTerms, ReversalReason, ReversedEntry,
    Servicing, ServicingAct, SourceMethod,
};
use hpts::core::ids::{BorrowerId, EventId, LoanId, LoanKey, PublisherId, TenantId};
use hpts::core::loan::{ReturnManner, ReturnPolicy, Waterfall};
use hpts::core::money::{Currency, Minor, Money};
use hpts::store::{
    Acceptance, BalanceTime, EventRecord, Fold, LoanBalances, LoanRecord, PostWork, PostedBatch, Store, StoreError,
    TenantRecord, Wanted,
};
use uuid::Uuid;

use super::fold;

/// Ids rise over all tests of the process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One tenant on one store.
#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tenant: TenantId,
    pub(crate) publisher: PublisherId,
}

/// A day of 2026.
pub(crate) fn day(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, day).unwrap()
}

/// The loan's id number `n`, the same for every tenant.
pub(crate) fn loan_id(n: u128) -> LoanId {
    LoanId(Uuid::from_u128(0x1_0000 + n))
}

/// Who owes loan `n`.
pub(crate) fn borrower(n: u128) -> BorrowerId {
    BorrowerId(Uuid::from_u128(0x2_0000 + n))
}

/// Dollars' cents.
pub(crate) fn usd(units: i64) -> Money {
    Money::new(Minor::new(units), Currency::USD)
}

/// An id of ours, later than every one before.
pub(crate) fn next_id() -> EventId {
    EventId(Uuid::from_u128(
        (0x0190_0000_0000_7000_8000_u128 << 48) | (u128::from(NEXT.fetch_add(1, Ordering::SeqCst)) << 1),
    ))
}

impl Books {
    /// Makes tenant number `n`.
    pub(crate) async fn open(store: Arc<dyn Store>, n: u128) -> Self {
        let tenant = TenantId(Uuid::from_u128(n));
        let record = TenantRecord {
            id: tenant,
            name: format!("tenant {n}"),
            time_zone: "America/New_York".to_owned(),
            base_currency: Currency::USD,
            future_days: 30,
            payment_limit: None,
            loss_account: hpts::core::loan::LossAccount::Expense,
        };
        assert!(store.create_tenant(record).await.unwrap());
        Self { store, tenant, publisher: PublisherId(Uuid::from_u128(0x9000 + n)) }
    }

    pub(crate) fn key(&self, loan: u128) -> LoanKey {
        LoanKey::of_loan(self.tenant, loan_id(loan))
    }

    /// An event of a command under a key of its own.
    pub(crate) fn event(&self, command: Command) -> NewEvent {
        let id = next_id();
        self.event_keyed(&format!("key:{id}"), id, command)
    }

    pub(crate) fn event_keyed(&self, key: &str, id: EventId, command: Command) -> NewEvent {
        let key = IdempotencyKey::parse(key).unwrap();
        NewEvent::of_caller(id, self.tenant, key, command, self.publisher, "tester".to_owned())
    }

    /// A payment under a given key.
    pub(crate) fn payment_keyed(&self, key: &str, loan: u128, amount: i64) -> NewEvent {
        self.event_keyed(key, next_id(), payment(loan, amount, day(5, 1)))
    }

    /// A payment of 1 May.
    pub(crate) fn payment(&self, loan: u128, amount: i64) -> NewEvent {
        self.payment_on(loan, amount, day(5, 1))
    }

    pub(crate) fn payment_on(&self, loan: u128, amount: i64, date: NaiveDate) -> NewEvent {
        self.event(payment(loan, amount, date))
    }

    /// Money of no known loan.
    pub(crate) fn receipt_on(&self, amount: i64, date: NaiveDate) -> NewEvent {
        self.event(Command::Receipt(Receipt {
            loan_id: Receipt::loan_of(self.tenant, "lockbox", Currency::USD),
            amount: usd(amount),
            effective_date: date,
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: None,
        }))
    }

    /// Money lent.
    pub(crate) fn disbursement_on(&self, loan: u128, amount: i64, date: NaiveDate) -> NewEvent {
        self.event(Command::Disbursement(Disbursement {
            loan_id: loan_id(loan),
            borrower_id: borrower(loan),
            amount: usd(amount),
            effective_date: date,
            method: SourceMethod::Ach,
            destination_ref: None,
            metadata: None,
        }))
    }

    /// A loan of 1 January with fees, interest and principal.
    pub(crate) fn opening(&self, loan: u128, owed: [i64; 3]) -> NewEvent {
        self.event(Command::LoanOpening(opening(loan, owed)))
    }

    /// A loan of 1 January of a given borrower.
    pub(crate) fn opening_of(&self, loan: u128, borrower_id: BorrowerId) -> NewEvent {
        self.event(Command::LoanOpening(LoanOpening { borrower_id, ..opening(loan, [0, 0, 100]) }))
    }

    /// The same with a loan number.
    pub(crate) fn opening_numbered(&self, loan: u128, number: &str) -> NewEvent {
        let numbered = LoanOpening { loan_number: LoanNumber::parse(number).ok(), ..opening(loan, [0, 0, 100]) };
        self.event(Command::LoanOpening(numbered))
    }

    /// The return of an accepted payment, with a fee where that is more than nothing.
    pub(crate) async fn return_of(&self, payment: &Wanted, date: NaiveDate, fee: i64) -> NewEvent {
        let code = ReturnCode::parse("R01").unwrap();
        let terms =
            ReturnTerms { code, effective_date: date, amount: None, fee: Some(Minor::new(fee)), metadata: None };
        let payment = self.record(payment).await.event;
        self.event(Command::PaymentReturn(PaymentReturn::of(&payment, terms).unwrap()))
    }

    /// So much of an accepted payment charged back, without a fee.
    pub(crate) async fn charge_back_of(&self, payment: &Wanted, amount: i64, date: NaiveDate) -> NewEvent {
        let code = ReturnCode::parse("R01").unwrap();
        let (amount, fee) = (Some(Minor::new(amount)), Some(Minor::ZERO));
        let terms = ReturnTerms { code, effective_date: date, amount, fee, metadata: None };
        let policy = ReturnPolicy::new(ReturnManner::Chargeback(Waterfall::default()), &[]).unwrap();
        let payment = self.record(payment).await.event;
        self.event(Command::PaymentReturn(PaymentReturn::by_program(&payment, terms, &policy).unwrap()))
    }

    /// An operation on a loan, as acceptance makes it.
    pub(crate) fn servicing(&self, loan: u128, act: ServicingAct, amount: Option<i64>, date: NaiveDate) -> NewEvent {
        self.event(Command::Servicing(Servicing {
            loan_id: loan_id(loan),
            party: Party { borrower_id: borrower(loan), currency: Currency::USD },
            amount: amount.map(Minor::new),
            effective_date: date,
            metadata: None,
            act,
        }))
    }

    /// A fee of a sort.
    pub(crate) fn fee_on(&self, loan: u128, code: &str, amount: i64, date: NaiveDate) -> NewEvent {
        self.event(Command::Fee(Fee {
            loan_id: loan_id(loan),
            borrower_id: borrower(loan),
            amount: usd(amount),
            effective_date: date,
            fee_code: FeeCode::parse(code).unwrap(),
            due_on: None,
            charged_for: None,
            late_for: None,
            metadata: None,
        }))
    }

    /// The reversal of a posted entry.
    pub(crate) async fn reversal_of(&self, loan: u128, reversed: &Wanted, date: NaiveDate) -> NewEvent {
        let record = self.record(reversed).await;
        let reversed = ReversedEntry {
            event: EarlierEvent { id: reversed.id, seq: reversed.seq },
            kind: record.event.event.kind,
            effective_date: record.posting.unwrap().effective_date,
            correlation_id: record.event.event.first_of_chain().unwrap(),
            reason_code: ReversalReason::ErrorCorrection,
            reason_description: None,
        };
        self.servicing(loan, ServicingAct::Reversal(reversed), None, date)
    }

    /// Accepts events, all of them new, and answers what their messages would say.
    pub(crate) async fn accept(&self, events: Vec<NewEvent>) -> Vec<Wanted> {
        let keys: Vec<(EventId, LoanKey)> = events.iter().map(|event| (event.id, event.loan_key)).collect();
        let accepted = self.store.accept(self.publisher, events).await.unwrap();
        let wanted = accepted.into_iter().zip(keys).map(|(acceptance, (id, loan_key))| match acceptance {
            Acceptance::New { seq, .. } => Wanted { seq, id, loan_key },
            Acceptance::Known(known) => panic!("known: {known:?}"),
        });
        wanted.collect()
    }

    /// Posts what the messages name.
    pub(crate) async fn post(&self, wanted: &[Wanted]) -> PostedBatch {
        self.post_with(wanted, fold::plain()).await
    }

    /// Posts with another fold. Who was refused comes again with locks, as a lane does, and waits for what others hold.
    pub(crate) async fn post_with(&self, wanted: &[Wanted], fold: Fold) -> PostedBatch {
        let mut asked = work(wanted);
        loop {
            match self.store.post_batch(asked.clone(), fold.clone()).await {
                Err(StoreError::Retry(_)) => asked.skip_locked = true,
                Ok(batch) if asked.skip_locked && !batch.left.is_empty() && batch.failures.is_empty() => {}
                done => return done.unwrap(),
            }
        }
    }

    pub(crate) async fn try_post(&self, wanted: &[Wanted], fold: Fold) -> Result<PostedBatch, StoreError> {
        self.store.post_batch(work(wanted), fold).await
    }

    /// Accepts and posts.
    pub(crate) async fn book(&self, events: Vec<NewEvent>) -> Vec<Wanted> {
        let wanted = self.accept(events).await;
        let batch = self.post(&wanted).await;
        assert_eq!(batch.posted.len(), wanted.len(), "{batch:?}");
        wanted
    }

    pub(crate) async fn record(&self, wanted: &Wanted) -> EventRecord {
        self.store.event(self.tenant, wanted.id).await.unwrap().expect("the event is there")
    }

    pub(crate) async fn loan(&self, loan: u128) -> Option<LoanRecord> {
        self.store.loan(self.tenant, self.key(loan)).await.unwrap()
    }

    /// Fees, interest, principal and suspense on a day.
    pub(crate) async fn balances_on(&self, loan: u128, date: NaiveDate) -> [i64; 4] {
        let found = self.balances_at(loan, BalanceTime::day(date)).await.balances;
        [found.fees, found.interest, found.principal, found.suspense].map(Minor::units)
    }

    pub(crate) async fn balances_at(&self, loan: u128, at: BalanceTime) -> LoanBalances {
        self.store.loan_balances(self.tenant, self.key(loan), at).await.unwrap().unwrap()
    }
}

/// A batch as a lane asks for it.
pub(crate) fn work(wanted: &[Wanted]) -> PostWork {
    PostWork {
        wanted: wanted.to_vec(),
        events_max: 1000,
        per_loan_max: 1000,
        lane_slot: 0,
        skip_locked: false,
        despite_hold: false,
    }
}

fn payment(loan: u128, amount: i64, date: NaiveDate) -> Command {
    Command::Payment(Payment {
        loan_id: loan_id(loan),
        borrower_id: borrower(loan),
        amount: usd(amount),
        effective_date: date,
        source_method: SourceMethod::Ach,
        external_ref: Some(format!("ref-{amount}")),
        metadata: None,
    })
}

fn opening(loan: u128, [fees, interest, principal]: [i64; 3]) -> LoanOpening {
    LoanOpening {
        loan_id: loan_id(loan),
        borrower_id: borrower(loan),
        currency: Currency::USD,
        opened_on: day(1, 1),
        loan_number: None,
        program_id: None,
        program_defaults: None,
        waterfall: None,
        opening_balances: OpeningBalances {
            fees: Minor::new(fees),
            interest: Minor::new(interest),
            principal: Minor::new(principal),
        },
        metadata: None,
    }
}
