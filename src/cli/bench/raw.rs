//! Owns payments that go straight into a database: the intake's statement, then the lane's lock and write, in two
//! transactions for each batch of rows.
//!
//! The rows are those the payments of a batch leave behind (the batch's own three are not written), and `verify` proves
//! them. What is left out is everything
//! that is not writing them: HTTP, tokens, JSON, validation, fingerprints, the broker, reading events back and the
//! fold. Commands, keys and hashes are made before the clock starts; the fold runs between acceptance and posting,
//! while it stands. Each connection has loans of its own, so none waits for another.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::cli::bench::BenchError;
use crate::cli::bench::latency::Latencies;
use crate::cli::bench::loans::{Draws, Loans, below};
use crate::cli::bench::meter::Meter;
use crate::core::event::{AcceptedEvent, Command, IdempotencyKey, NewEvent};
use crate::core::ids::{EventId, IdMaker, LoanKey, PaymentBatchId, PublisherId, TenantId};
use crate::core::ledger::{FoldInput, LoanWork, Past};
use crate::core::loan::LoanState;
use crate::core::time::Timestamp;
use crate::runtime::clock::{Clock, Stopwatch};
use crate::runtime::lifecycle::Lifecycle;
use crate::store::postgres::{PostgresStore, PreparedBatch};
use crate::store::{Acceptance, Fold, PostWork, Store, Wanted};
use crate::worker::lane_fold;

/// How many loans are opened at once.
const OPENINGS: u64 = 1000;

/// How payments are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// How many payments in all.
    pub(super) payments: u64,
    /// How many in a transaction, at most.
    pub(super) rows: u64,
    /// How many batches each connection accepts before it posts them.
    pub(super) batches: u64,
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// How many payments.
    pub(super) payments: u64,
    /// Each accepting transaction.
    pub(super) accept: Latencies,
    /// Each posting transaction.
    pub(super) post: Latencies,
}

/// How many connections a store needs for one lane: one each rests in the hands of accepting and posting.
pub(super) const LANE_POOL: u32 = 4;

/// Several connections that write payments on loans of their own.
#[derive(Debug)]
pub(super) struct RawWriter {
    tenant: TenantId,
    loans: Arc<Loans>,
    lanes: Vec<RawLane>,
}

/// One connection: its loans are those whose number leaves its own when divided by the number of connections.
#[derive(Debug)]
struct RawLane {
    store: PostgresStore,
    number: u64,
    lanes: u64,
    publisher: PublisherId,
    states: HashMap<LoanKey, LoanState>,
    draws: Draws,
    ids: IdMaker,
    clock: Clock,
    run: Uuid,
    drawn: u64,
}

impl RawWriter {
    /// Opens the loans, so that payments can begin: a lane for each store of [`LANE_POOL`] connections. The tenant
    /// exists; of the loans none does.
    pub(super) async fn open(
        stores: Vec<PostgresStore>,
        tenant: TenantId,
        loans: Arc<Loans>,
    ) -> Result<Self, BenchError> {
        let count = u64::try_from(stores.len()).unwrap_or(1).max(1);
        let lifecycle = Lifecycle::new();
        let lanes = (0..count).zip(stores).map(|(number, store)| RawLane::new(store, number, count));
        let tasks: Vec<_> = lanes.map(|lane| lifecycle.spawn(lane.open_loans(tenant, Arc::clone(&loans)))).collect();
        let mut lanes = Vec::new();
        for task in tasks {
            lanes.push(task.await??);
        }
        Ok(Self { tenant, loans, lanes })
    }

    /// Closes the connections.
    pub(super) async fn close(self) {
        for lane in self.lanes {
            lane.store.close().await;
        }
    }

    /// Writes payments, and measures nothing but the writing.
    pub(super) async fn write(&mut self, cut: Cut, meter: &mut Meter<'_>) -> Result<Written, BenchError> {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1);
        let rows = cut.rows.min(cut.payments.div_ceil(lanes)).max(1);
        let mut written = Written { payments: 0, accept: Latencies::new()?, post: Latencies::new()? };
        while written.payments < cut.payments {
            let mut left = cut.payments.saturating_sub(written.payments);
            let mut shares = vec![Vec::new(); self.lanes.len()];
            for _ in 0..cut.batches.max(1) {
                for share in &mut shares {
                    let count = rows.min(left);
                    left = left.saturating_sub(count);
                    share.extend((count > 0).then_some(count));
                }
            }
            let round: u64 = shares.iter().flatten().sum();
            self.round(&shares, meter, &mut written).await?;
            written.payments = written.payments.saturating_add(round);
        }
        Ok(written)
    }

    /// Some batches for each connection: made, accepted, folded, posted. Only accepting and posting count.
    async fn round(
        &mut self,
        shares: &[Vec<u64>],
        meter: &mut Meter<'_>,
        written: &mut Written,
    ) -> Result<(), BenchError> {
        let mut made = Vec::new();
        for (lane, shares) in self.lanes.iter_mut().zip(shares) {
            let batches = shares.iter().map(|rows| lane.payments(self.tenant, &self.loans, *rows));
            made.push(batches.collect::<Result<Vec<_>, _>>()?);
        }
        let lifecycle = Lifecycle::new();
        let lanes = self.lanes.iter().zip(made.clone());
        let work = lanes.map(|(lane, batches)| accept(lane.store.clone(), lane.publisher, batches)).collect::<Vec<_>>();
        let stretch = meter.start().await?;
        let tasks: Vec<_> = work.into_iter().map(|work| lifecycle.spawn(work)).collect();
        let mut accepted = Vec::new();
        for task in tasks {
            let (acceptances, latencies) = task.await??;
            written.accept.add(&latencies)?;
            accepted.push(acceptances);
        }
        meter.stop(stretch).await?;
        let mut work = Vec::new();
        for ((lane, events), acceptances) in self.lanes.iter_mut().zip(made).zip(accepted) {
            let (store, now) = (lane.store.clone(), lane.store.now().await?);
            let batches = events.into_iter().zip(acceptances);
            let batches = batches.map(|(events, acceptances)| lane.fold(events, acceptances, now));
            work.push(post(store, batches.collect::<Result<Vec<_>, _>>()?));
        }
        let stretch = meter.start().await?;
        let tasks: Vec<_> = work.into_iter().map(|work| lifecycle.spawn(work)).collect();
        for task in tasks {
            written.post.add(&task.await??)?;
        }
        meter.stop(stretch).await
    }
}

impl RawLane {
    fn new(store: PostgresStore, number: u64, lanes: u64) -> Self {
        let run = Uuid::new_v4();
        Self {
            store,
            number,
            lanes,
            publisher: PublisherId(Uuid::new_v4()),
            states: HashMap::new(),
            draws: Draws::new(run.as_u64_pair().0),
            ids: IdMaker::new(run.as_u64_pair().1),
            clock: Clock::system(),
            run,
            drawn: 0,
        }
    }

    async fn open_loans(mut self, tenant: TenantId, loans: Arc<Loans>) -> Result<Self, BenchError> {
        let own = || (self.number..loans.count()).step_by(usize::try_from(self.lanes).unwrap_or(1));
        let own: Vec<u64> = own().collect();
        for indices in own.chunks(usize::try_from(OPENINGS).unwrap_or(1)) {
            let commands = indices.iter().filter_map(|index| loans.opening_command(*index));
            let events = commands.map(|command| self.event(tenant, command));
            let events = events.collect::<Result<Vec<_>, _>>()?;
            let wanted = accepted_as(events.clone(), self.store.accept(self.publisher, events).await?)?;
            let work = PostWork {
                wanted: wanted.iter().map(wanted_of).collect(),
                events_max: wanted.len(),
                per_loan_max: 1,
                lane_slot: self.lane_slot(),
                skip_locked: false,
                despite_hold: false,
            };
            let states: Arc<Mutex<Vec<LoanState>>> = Arc::default();
            let posted = self.store.post_batch(work, noting(&states)).await?;
            if posted.posted.len() != wanted.len() {
                return Err(BenchError::Rows(format!("{} of {} loans opened", posted.posted.len(), wanted.len())));
            }
            let states = std::mem::take(&mut *states.lock().unwrap_or_else(PoisonError::into_inner));
            self.states.extend(states.into_iter().map(|state| (state.key, state)));
        }
        Ok(self)
    }

    /// Makes a batch of payments: the rows of an upload.
    fn payments(&mut self, tenant: TenantId, loans: &Loans, rows: u64) -> Result<Vec<NewEvent>, BenchError> {
        let batch = PaymentBatchId(Uuid::new_v4());
        let own = loans.count().saturating_sub(self.number).div_ceil(self.lanes);
        let events = (1..=rows).map(|row| {
            let draw = self.draws.next();
            let index = below(draw, own).saturating_mul(self.lanes).saturating_add(self.number);
            let command = loans.payment_command(index, draw);
            let mut event = self.event(tenant, command.ok_or_else(no_loan)?)?;
            event.origin.batch = Some((batch, i64::try_from(row).unwrap_or(i64::MAX)));
            Ok(event)
        });
        events.collect()
    }

    fn event(&mut self, tenant: TenantId, command: Command) -> Result<NewEvent, BenchError> {
        let key = IdempotencyKey::parse(&format!("bench:{}:{}", self.run.simple(), self.drawn));
        let key = key.map_err(|_| BenchError::Header("the idempotency key"))?;
        self.drawn = self.drawn.saturating_add(1);
        let id = EventId(self.ids.next(self.clock.now()));
        Ok(NewEvent::of_caller(id, tenant, key, command, self.publisher, "bench".to_owned()))
    }

    /// Folds a batch as a lane would, from the states that this connection remembers.
    fn fold(
        &mut self,
        events: Vec<NewEvent>,
        acceptances: Vec<Acceptance>,
        now: Timestamp,
    ) -> Result<PreparedBatch, BenchError> {
        let accepted = accepted_as(events, acceptances)?;
        let mut by_loan: BTreeMap<LoanKey, Vec<AcceptedEvent>> = BTreeMap::new();
        for event in &accepted {
            by_loan.entry(event.event.loan_key).or_default().push(event.clone());
        }
        let work = by_loan.into_iter().map(|(key, events)| {
            let state = Some(self.states.get(&key).copied().ok_or_else(no_loan)?);
            Ok(LoanWork { key, state, number_taken: false, past: Past::default(), events })
        });
        let loans = work.collect::<Result<Vec<_>, BenchError>>()?;
        let output = lane_fold()(FoldInput { now, loans });
        if let Some(failure) = output.failures.first() {
            return Err(BenchError::Rows(failure.reason.clone()));
        }
        self.states.extend(output.states.iter().map(|state| (state.key, *state)));
        Ok(PreparedBatch::new(accepted, output, self.lane_slot()))
    }

    fn lane_slot(&self) -> i16 {
        i16::try_from(self.number.rem_euclid(256)).unwrap_or(0)
    }
}

fn no_loan() -> BenchError {
    BenchError::Rows("a loan is missing".to_owned())
}

fn wanted_of(event: &AcceptedEvent) -> Wanted {
    Wanted { seq: event.seq, id: event.event.id, loan_key: event.event.loan_key }
}

/// Every event has to be new: keys are drawn for each run.
fn accepted_as(events: Vec<NewEvent>, acceptances: Vec<Acceptance>) -> Result<Vec<AcceptedEvent>, BenchError> {
    let pairs = events.into_iter().zip(acceptances);
    let accepted = pairs.map(|(event, acceptance)| match acceptance {
        Acceptance::New { seq, accepted_at } => Ok(AcceptedEvent::new(seq, accepted_at, event)),
        Acceptance::Known(_) => Err(BenchError::Rows(format!("the key of event {} was taken", event.id))),
    });
    accepted.collect()
}

/// The lane's fold, which hands the loans' states out.
fn noting(states: &Arc<Mutex<Vec<LoanState>>>) -> Fold {
    let (states, fold) = (Arc::clone(states), lane_fold());
    Arc::new(move |input: FoldInput| {
        let output = fold(input);
        states.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&output.states);
        output
    })
}

async fn accept(
    store: PostgresStore,
    publisher: PublisherId,
    batches: Vec<Vec<NewEvent>>,
) -> Result<(Vec<Vec<Acceptance>>, Latencies), BenchError> {
    let (mut accepted, mut latencies) = (Vec::with_capacity(batches.len()), Latencies::new()?);
    for events in batches {
        let stopwatch = Stopwatch::start();
        accepted.push(store.accept(publisher, events).await?);
        latencies.record(stopwatch.elapsed());
    }
    Ok((accepted, latencies))
}

async fn post(store: PostgresStore, batches: Vec<PreparedBatch>) -> Result<Latencies, BenchError> {
    let mut latencies = Latencies::new()?;
    for batch in batches {
        let times = store.post_prepared(batch).await?;
        let all = [times.begin, times.lock, times.write, times.commit];
        latencies.record(all.into_iter().fold(Duration::ZERO, Duration::saturating_add));
    }
    Ok(latencies)
}
