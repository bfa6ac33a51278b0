//! Owns the posting transaction: lock or look, read, fold, write, commit. The shape is the contract's, see
//! [`PostWork`].

mod accruals;
mod ahead;
mod earlier;
mod fees;
mod history;
mod known;
mod late_fees;
mod lock;
mod look;
mod prepared;
mod read;
mod settle;
mod terms;
mod write;
mod write_columns;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::PgConnection;

use super::connect::{HotPath, PostgresStore, REST_MAX, begin, finish};
use super::error::overtaken;
use crate::core::event::AcceptedEvent;
use crate::core::ids::Seq;
use crate::core::ledger::{FoldInput, FoldOutput, LoanWork, reads_long, rests_on_state};
use crate::core::loan::LoanState;
use crate::runtime::clock::Stopwatch;
use crate::store::{Fold, PostWork, PostedBatch, StoreError, Wanted};

pub(super) use accruals::{STATEMENTS as ACCRUAL_STATEMENTS, write_marks};
pub(super) use ahead::STATEMENTS as AHEAD_STATEMENTS;
pub(super) use earlier::{READ_EARLIER, read as read_earlier};
pub(super) use fees::{READ_FEE_POSTINGS, add_fees, read_fees};
pub(super) use history::{READ_HISTORY, add_accruals, add_histories};
pub(super) use known::KnownLoans;
pub(super) use late_fees::{STATEMENTS as LATE_FEE_STATEMENTS, late_fee, loans_with_late_fees, read_late_fees};
pub(super) use lock::{Locked, STATEMENTS as LOCK_STATEMENTS, forget_unopened, lock};
pub(super) use look::STATEMENTS as LOOK_STATEMENTS;
pub use prepared::PreparedBatch;
pub(super) use read::{READ_EVENTS, READ_UNPOSTED_EVENTS};
pub(super) use settle::READ_NAMED;
pub(super) use terms::WRITE_TERMS;
pub(super) use write::{COPY_POSTINGS, STATEMENTS as WRITE_STATEMENTS, write_legs};

impl PostgresStore {
    pub(super) async fn post(&self, work: PostWork, fold: Fold) -> Result<PostedBatch, StoreError> {
        let mut watch = Stopwatch::start();
        let mut connection = self.hot_connection(HotPath::Post).await?;
        let posted = post_batch(&mut connection, &mut watch, (&work, self), &fold).await;
        let (batch, states) = posted.inspect_err(|error| {
            self.doubt(error);
            self.known_loans.forget(work.loan_keys());
        })?;
        self.rest(connection);
        self.known_loans.learn(&states);
        Ok(batch)
    }
}

/// One transaction. Whatever fails in it is rolled back before the error is told. Answers how the loans stand then as well.
async fn post_batch(
    connection: &mut PgConnection,
    watch: &mut Stopwatch,
    (work, store): (&PostWork, &PostgresStore),
    fold: &Fold,
) -> Result<(PostedBatch, Vec<LoanState>), StoreError> {
    let mut transaction = begin(connection).await?;
    let mut batch = PostedBatch::default();
    batch.times.begin = watch.lap();
    let filled = fill(&mut transaction, watch, (work, store), fold, &mut batch).await;
    let fold = batch.times.fold;
    let states = finish(transaction, filled).await.map_err(|error| rested(error, fold))?;
    batch.times.commit = watch.lap();
    Ok((batch, states))
}

/// While the fold runs, the transaction rests.
fn rested(error: StoreError, fold: Duration) -> StoreError {
    match error {
        StoreError::Unavailable(source) if fold >= REST_MAX => StoreError::OutOfTime(source),
        other @ (StoreError::Unavailable(_)
        | StoreError::Retry(_)
        | StoreError::OutOfTime(_)
        | StoreError::Data { .. }
        | StoreError::Broken(_)
        | StoreError::WrongSchema) => other,
    }
}

/// Everything between BEGIN and COMMIT.
async fn fill(
    connection: &mut PgConnection,
    watch: &mut Stopwatch,
    (work, store): (&PostWork, &PostgresStore),
    fold: &Fold,
    batch: &mut PostedBatch,
) -> Result<Vec<LoanState>, StoreError> {
    let mut locked = look::look(connection, work, &store.known_loans).await?;
    batch.times.lock = watch.lap();
    let mut chosen = read::read(connection, work, &locked, &store.calendars).await?;
    if locked.is_by_sight && !chosen.loans.iter().all(rests_on_state) {
        look::make_sure(connection, &mut locked).await?;
    }
    settle::settle(connection, work, &locked, &chosen, batch).await?;
    batch.groups.append(&mut chosen.groups);
    batch.apart = apart(&mut chosen.loans);
    add_histories(connection, &mut chosen.loans, None).await?;
    add_fees(connection, &mut chosen.loans).await?;
    history::add_receipts(connection, &mut chosen.loans).await?;
    batch.times.read = watch.lap();
    let events = by_seq(&chosen.loans);
    let output = match chosen.now {
        Some(now) if !chosen.loans.is_empty() => fold(FoldInput { now, loans: chosen.loans }),
        Some(_) | None => FoldOutput::default(),
    };
    batch.times.fold = watch.lap();
    if locked.is_by_sight && !output.failures.is_empty() {
        // An attempt is counted against an event only where its loan is surely as it was judged.
        return Err(overtaken("an event fails on a loan that is not locked"));
    }
    forget_unopened(connection, &locked, &output.states).await?;
    keep(work, &events, &output, batch);
    let mut states = write::write(connection, (work.lane_slot, &locked), events, output, batch).await?;
    batch.times.write = watch.lap();
    // A loan on hold is locked each time.
    states.retain(|state| locked.loans.get(&state.key).is_some_and(|loan| !loan.on_hold && !work.despite_hold));
    Ok(states)
}

/// Takes loans of which much is read out of a batch that holds others as well.
fn apart(loans: &mut Vec<LoanWork>) -> Vec<Vec<Wanted>> {
    let is_long = |loan: &LoanWork| reads_long(loan.state.as_ref(), &loan.events);
    if loans.len() < 2 || !loans.iter().any(is_long) {
        return Vec::new();
    }
    let (long, short): (Vec<LoanWork>, Vec<LoanWork>) = std::mem::take(loans).into_iter().partition(is_long);
    *loans = short;
    long.iter().map(|loan| loan.events.iter().map(Wanted::of).collect()).collect()
}

fn by_seq(loans: &[LoanWork]) -> HashMap<Seq, AcceptedEvent> {
    loans.iter().flat_map(|loan| &loan.events).map(|event| (event.seq, event.clone())).collect()
}

/// Wanted events that were read and that the fold neither finished nor failed stay with the lane: their loan stopped
/// before them.
fn keep(work: &PostWork, events: &HashMap<Seq, AcceptedEvent>, output: &FoldOutput, batch: &mut PostedBatch) {
    if output.postings.len() == events.len() {
        return;
    }
    let finished = output.postings.iter().map(|posted| posted.seq);
    let judged: HashSet<Seq> = finished.chain(output.failures.iter().map(|failure| failure.event.seq)).collect();
    let stopped = work.wanted.iter().filter(|wanted| events.contains_key(&wanted.seq) && !judged.contains(&wanted.seq));
    batch.left.extend(stopped.map(|wanted| wanted.id));
}
