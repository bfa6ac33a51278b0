//! Owns the posting transaction: read, fold, write. The writer's own connection is the lock.
//!
//! | step | statements |
//! | --- | --- |
//! | fresh | the loans, where the batch is what this transaction has accepted; then not the next three |
//! | sort | the wanted events, with what is known of them |
//! | loans | the loans; openings of those that are missing, where an event opens them |
//! | read | unposted events, one statement a round (one or two rounds); payments where an event takes one back; histories where an event is late |
//! | write | the account totals as they are; then postings, loans, `changes` and totals in one crossing |
//!
//! More only where it is needed: system events, totals of uploads, failures that healed.

mod accruals;
mod ahead;
mod earlier;
mod fees;
mod fresh;
mod history;
mod late_fees;
mod loans;
mod read;
mod sort;
mod terms;
mod totals;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, LoanKey, Seq};
use crate::core::ledger::{FoldInput, FoldOutput, Posting, reads_long};
use crate::core::time::Timestamp;
use crate::runtime::clock::Stopwatch;
use crate::store::calendars::CalendarCache;
use crate::store::past::{read_histories, read_receipts};
use crate::store::sqlite::periods;
use crate::store::sqlite::rows::broken;
use crate::store::sqlite::writer::Transaction;
use crate::store::{Fold, PhaseTimes, PostWork, PostedBatch, StoreError, Wanted, restating};

pub(super) use accruals::{ACCRUALS, MARKS, PARENTS, SINCE_MARK, WRITE_MARKS, write_marks};
pub(super) use ahead::{LOAN_HELD, NUMBER_TAKEN, look_ahead, look_ahead_group};
pub(super) use earlier::EARLIER_EVENTS;
pub(super) use fees::{FEE_POSTINGS, of_batch as fees_of_batch, read_fees};
pub(super) use fresh::LOANS_OF_FRESH;
pub(super) use history::HISTORY_SINCE;
pub(super) use late_fees::{LATE_FEES, LOANS_WITH_LATE_FEES, late_fee, loans_with_late_fees, read_late_fees};
pub(super) use loans::{DELETE_UNOPENED, INSERT_OPENING, LOANS_TO_POST, OPENING_EVENTS};
pub(super) use read::{EVENTS_OF_SEQS, UNPOSTED_EVENTS};
pub(super) use sort::{HELD_LOANS, SORT_WANTED};
pub(super) use terms::WRITE_TERMS;
pub(super) use totals::{ACCOUNT_TOTALS_OF_KEYS, BATCH_TOTALS_OF_KEYS, SET_BATCH_TOTALS};
pub(super) use write::{APPEND_SYSTEM_EVENTS, UNPARK_POSTED, WRITE_BATCH};

pub(super) use earlier::read as read_earlier;
pub(super) use loans::{LockedLoan, lock_loans};
pub(super) use read::BatchEvents;
pub(super) use sort::{Sorted, ToPost};
pub(super) use terms::write as write_terms;
pub(super) use write::{delete_unopened, unpark, write_legs};

use read::Pasts;

/// Posts one batch; see [`crate::store::Store::post_batch`].
pub(super) async fn post_batch(
    tx: Transaction<'_>,
    work: PostWork,
    fold: Fold,
    (calendars, now): (&CalendarCache, Timestamp),
) -> Result<PostedBatch, StoreError> {
    let mut watch = Stopwatch::start();
    let mut times = PhaseTimes::default();
    let Transaction { db, fresh } = tx;
    let Found { sorted, loans, mut events } = match fresh::batch(db, &work, fresh).await? {
        Some(found) => found,
        None => find(db, &work, (&mut watch, &mut times)).await?,
    };
    let earlier = read::with_earlier(db, &work, &mut events).await?;
    // The long way, too, posts what is fresh on its loans: the next batch of this transaction must not post it again.
    for key in events.events.keys() {
        drop(fresh.take(*key));
    }
    let mut groups = std::mem::take(&mut events.groups);
    groups.extend(&sorted.groups);
    let apart = apart(&mut events, &loans);
    let histories = read_histories(db, events.asking(&loans), None).await?;
    let calendars = periods::calendars(db, calendars, events.calendar_version, &events.tenants()).await?;
    let fees = fees::of_batch(db, &events, &earlier).await?;
    let receipts = read_receipts(db, events.asking(&loans)).await?;
    let pasts = Pasts { histories, earlier, fees, receipts, calendars };
    let tried: HashSet<EventId> = events.events.values().flatten().map(|event| event.event.id).collect();
    let by_seq: BTreeMap<Seq, AcceptedEvent> =
        events.events.values().flatten().map(|event| (event.seq, event.clone())).collect();
    let input = FoldInput { now, loans: read::loan_works(events.events, pasts, &loans) };
    times.read = watch.lap();
    let mut output = fold(input);
    times.fold = watch.lap();
    let stopped = stop_at_failed_openings(&mut output, &by_seq, &loans);
    let posted = write::write(db, &output, &by_seq, &loans, (work.lane_slot, now)).await?;
    terms::write(db, &loans, &output.states).await?;
    unpark(db, &events.failed_before, &posted).await?;
    times.write = watch.lap();
    let restating = restating(&output);
    let batch = report(sorted, posted, output, &Leftovers { tried, stopped }, times);
    Ok(PostedBatch { groups, restating, apart, ..batch })
}

/// What a batch posts, and on which loans.
struct Found {
    sorted: Sorted,
    loans: BTreeMap<LoanKey, LockedLoan>,
    events: BatchEvents,
}

/// Finds what a batch posts among all that is stored.
async fn find(
    db: &mut SqliteConnection,
    work: &PostWork,
    (watch, times): (&mut Stopwatch, &mut PhaseTimes),
) -> Result<Found, StoreError> {
    let sorted = sort::sort_wanted(db, work).await?;
    let loans = lock_loans(db, &sorted).await?;
    times.lock = watch.lap();
    let events = read::unposted_events(db, work, &sorted, &loans).await?;
    Ok(Found { sorted, loans, events })
}

/// Takes loans of which much is read out of a batch that holds others as well.
fn apart(batch: &mut BatchEvents, loans: &BTreeMap<LoanKey, LockedLoan>) -> Vec<Vec<Wanted>> {
    if batch.events.len() < 2 {
        return Vec::new();
    }
    let state = |key: &LoanKey| loans.get(key).and_then(|loan| loan.state.as_ref());
    let long = batch.events.extract_if(.., |key, events| reads_long(state(key), events));
    long.map(|(_, events)| events.iter().map(Wanted::of).collect()).collect()
}

/// An opening that was refused leaves no loan. The next opening of the same batch was judged by the terms of the first,
/// so it and what follows it are taken out and judged again by the next batch. Answers the loans that stopped so.
fn stop_at_failed_openings(
    output: &mut FoldOutput,
    by_seq: &BTreeMap<Seq, AcceptedEvent>,
    loans: &BTreeMap<LoanKey, LockedLoan>,
) -> BTreeSet<LoanKey> {
    let opening = |key: &LoanKey| loans.get(key).and_then(|loan| loan.opening.as_ref()).map(|opening| opening.seq);
    let refused: BTreeMap<LoanKey, Seq> = output
        .postings
        .iter()
        .filter(|posted| posted.posting.loan_version.is_none() && opening(&posted.posting.loan_key) == Some(posted.seq))
        .map(|posted| (posted.posting.loan_key, posted.seq))
        .collect();
    let mut stopped = BTreeSet::new();
    if refused.is_empty() {
        return stopped;
    }
    output.postings.retain(|posted| {
        let key = posted.posting.loan_key;
        let opens = by_seq.get(&posted.seq).is_some_and(|event| event.event.command.opens_loan());
        if opens && refused.get(&key).is_some_and(|opening| posted.seq > *opening) {
            stopped.insert(key);
        }
        !stopped.contains(&key)
    });
    output.states.retain(|state| !stopped.contains(&state.key));
    output.system.retain(|done| !stopped.contains(&done.posting.loan_key));
    output.failures.retain(|failure| !stopped.contains(&failure.event.loan_key));
    stopped
}

struct Leftovers {
    tried: HashSet<EventId>,
    stopped: BTreeSet<LoanKey>,
}

fn report(
    sorted: Sorted,
    posted: Vec<(AcceptedEvent, Posting)>,
    output: FoldOutput,
    leftovers: &Leftovers,
    times: PhaseTimes,
) -> PostedBatch {
    let done: HashSet<EventId> = posted.iter().map(|(event, _)| event.event.id).collect();
    let failed: HashSet<Seq> = output.failures.iter().map(|failure| failure.event.seq).collect();
    let left = sorted
        .to_post
        .iter()
        .filter(|wanted| !done.contains(&wanted.id))
        .filter(|wanted| {
            let judged = leftovers.tried.contains(&wanted.id) && failed.contains(&wanted.seq);
            !judged || leftovers.stopped.contains(&wanted.loan_key)
        })
        .map(|wanted| wanted.id)
        .chain(sorted.held_legs)
        .collect();
    PostedBatch {
        posted,
        already: sorted.already,
        unknown: sorted.unknown,
        held: sorted.held,
        left,
        // Drained by another message: nothing is wrong with it any more.
        misnamed: sorted.misnamed.into_iter().filter(|id| !done.contains(id)).collect(),
        groups: BTreeSet::new(),
        apart: Vec::new(),
        restating: BTreeSet::new(),
        failures: output.failures,
        times,
    }
}

/// The greatest of the batch's numbers per loan; what `last_posted_seq` becomes.
fn greatest_seqs(output: &FoldOutput) -> BTreeMap<LoanKey, Seq> {
    let mut greatest: BTreeMap<LoanKey, Seq> = BTreeMap::new();
    for posted in &output.postings {
        let seq = greatest.entry(posted.posting.loan_key).or_default();
        *seq = (*seq).max(posted.seq);
    }
    greatest
}

/// The event of a posting that the fold gave back.
fn event_of(by_seq: &BTreeMap<Seq, AcceptedEvent>, seq: Seq) -> Result<&AcceptedEvent, StoreError> {
    by_seq.get(&seq).ok_or_else(|| broken("the fold answered an event it was not given"))
}
