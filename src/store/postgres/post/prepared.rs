//! Owns a posting transaction whose rows were made beforehand: look, write, commit, with nothing read and nothing folded
//! in between. It is what `hpts bench` measures as the limit of a database; no server calls it.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{KnownLoans, look, write};
use crate::core::event::AcceptedEvent;
use crate::core::ids::Seq;
use crate::core::ledger::FoldOutput;
use crate::core::loan::LoanState;
use crate::runtime::clock::Stopwatch;
use crate::store::postgres::connect::{HotPath, PostgresStore, begin, finish};
use crate::store::postgres::error::overtaken;
use crate::store::{PhaseTimes, PostWork, PostedBatch, StoreError, Wanted};

/// The rows of one posting transaction: what the fold made of events that are accepted and not posted, on loans that
/// nobody else posts to meanwhile.
#[derive(Debug)]
pub struct PreparedBatch {
    work: PostWork,
    events: HashMap<Seq, AcceptedEvent>,
    output: FoldOutput,
}

impl PreparedBatch {
    /// Makes the batch of a lane.
    #[must_use]
    pub fn new(events: Vec<AcceptedEvent>, output: FoldOutput, lane_slot: i16) -> Self {
        let wanted =
            events.iter().map(|event| Wanted { seq: event.seq, id: event.event.id, loan_key: event.event.loan_key });
        let (wanted, count) = (wanted.collect(), events.len());
        let work = PostWork {
            wanted,
            events_max: count,
            per_loan_max: count,
            lane_slot,
            skip_locked: false,
            despite_hold: false,
        };
        Self { work, events: events.into_iter().map(|event| (event.seq, event)).collect(), output }
    }
}

impl PostgresStore {
    /// Writes a prepared batch with the statements of [`post_batch`](crate::store::Store::post_batch), all but the
    /// reading ones. Holds row locks on the batch's loans from their writing on.
    ///
    /// # Errors
    /// [`StoreError::Retry`] when somebody else has posted to one of the loans: nothing was written.
    pub async fn post_prepared(&self, batch: PreparedBatch) -> Result<PhaseTimes, StoreError> {
        self.owned(move |store| async move {
            let mut watch = Stopwatch::start();
            let mut connection = store.hot_connection(HotPath::Post).await?;
            let loans = batch.work.loan_keys();
            let posted = post(&mut connection, &mut watch, batch, &store.known_loans).await;
            let (times, states) = posted.inspect_err(|error| {
                store.doubt(error);
                store.known_loans.forget(loans);
            })?;
            store.rest(connection);
            store.known_loans.learn(&states);
            Ok(times)
        })
        .await
    }
}

async fn post(
    connection: &mut PgConnection,
    watch: &mut Stopwatch,
    batch: PreparedBatch,
    known: &KnownLoans,
) -> Result<(PhaseTimes, Vec<LoanState>), StoreError> {
    let mut transaction = begin(connection).await?;
    let mut times = PhaseTimes { begin: watch.lap(), ..PhaseTimes::default() };
    let written = fill(&mut transaction, watch, (batch, known), &mut times).await;
    let states = finish(transaction, written).await?;
    times.commit = watch.lap();
    Ok((times, states))
}

async fn fill(
    connection: &mut PgConnection,
    watch: &mut Stopwatch,
    (batch, known): (PreparedBatch, &KnownLoans),
    times: &mut PhaseTimes,
) -> Result<Vec<LoanState>, StoreError> {
    let PreparedBatch { work, events, output } = batch;
    let locked = look::look(connection, &work, known).await?;
    if locked.loans.len() != work.loan_keys().len() {
        return Err(overtaken("a loan of a prepared batch is not there"));
    }
    times.lock = watch.lap();
    let mut posted = PostedBatch::default();
    let states = write::write(connection, (work.lane_slot, &locked), events, output, &mut posted).await?;
    times.write = watch.lap();
    Ok(states)
}
