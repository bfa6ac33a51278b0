//! Owns the posting transaction: read, fold, write. The writer's own connection is the lock.
//!
//! | step | statements |
//! | --- | --- |
//! | sort | the wanted events, with what is known of them |
//! | loans | the loans; openings of those that are missing, where an event opens them |
//! | read | unposted events, one statement a round (one or two rounds); timelines where an event is backdated |
//! | write | postings, loans, account totals (two), a `changes` row per tenant; more only where they are needed |

mod loans;
mod read;
mod sort;
mod totals;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, LoanKey, Seq};
use crate::core::ledger::{FoldInput, FoldOutput, Posting};
use crate::core::time::Timestamp;
use crate::runtime::clock::Stopwatch;
use crate::store::sqlite::rows::broken;
use crate::store::{Fold, PhaseTimes, PostWork, PostedBatch, StoreError};

pub(super) use loans::{DELETE_UNOPENED, INSERT_OPENING, LOANS_TO_POST, OPENING_EVENTS};
pub(super) use read::{EVENTS_OF_SEQS, MOVEMENTS_AFTER, UNPOSTED_EVENTS, movements_after};
pub(super) use sort::SORT_WANTED;
pub(super) use totals::{ACCOUNT_TOTALS_OF_KEYS, BATCH_TOTALS_OF_KEYS, SET_ACCOUNT_TOTALS, SET_BATCH_TOTALS};
pub(super) use write::{APPEND_SYSTEM_EVENTS, INSERT_CHANGES, INSERT_POSTINGS, UNPARK_POSTED, UPDATE_LOANS};

use loans::LockedLoan;
use sort::Sorted;

/// Posts one batch; see [`crate::store::Store::post_batch`].
pub(super) async fn post_batch(
    db: &mut SqliteConnection,
    work: PostWork,
    fold: Fold,
    now: Timestamp,
) -> Result<PostedBatch, StoreError> {
    let mut watch = Stopwatch::start();
    let mut times = PhaseTimes::default();
    let sorted = sort::sort_wanted(db, &work.wanted).await?;
    let loans = loans::lock_loans(db, &sorted).await?;
    times.lock = watch.lap();
    let events = read::unposted_events(db, &work, &sorted, &loans).await?;
    let timelines = read::timelines(db, &events, &loans).await?;
    let tried: HashSet<EventId> = events.events.values().flatten().map(|event| event.event.id).collect();
    let by_seq: BTreeMap<Seq, AcceptedEvent> =
        events.events.values().flatten().map(|event| (event.seq, event.clone())).collect();
    let input = FoldInput { now, loans: read::loan_works(events.events, timelines, &loans) };
    times.read = watch.lap();
    let mut output = fold(input);
    times.fold = watch.lap();
    let stopped = stop_at_failed_openings(&mut output, &loans);
    let posted = write::write(db, &output, &by_seq, &loans, (work.lane_slot, now)).await?;
    write::unpark(db, &events.failed_before, &posted).await?;
    times.write = watch.lap();
    Ok(report(sorted, posted, output, &Leftovers { tried, stopped }, times))
}

/// An opening that was refused leaves no loan. What the same batch posted after it was judged against a loan that is
/// not there, so it is taken out and judged again by the next batch, as if it had been in that one from the start.
/// Answers the loans that stopped this way.
fn stop_at_failed_openings(output: &mut FoldOutput, loans: &BTreeMap<LoanKey, LockedLoan>) -> BTreeSet<LoanKey> {
    let opened: HashSet<LoanKey> = output.states.iter().map(|state| state.key).collect();
    let mut stopped = BTreeSet::new();
    output.postings.retain(|posted| {
        let key = posted.posting.loan_key;
        let opening = loans.get(&key).and_then(|loan| loan.opening.as_ref()).map(|opening| opening.seq);
        let keep = opened.contains(&key) || opening.is_none_or(|opening| posted.seq <= opening);
        if !keep {
            stopped.insert(key);
        }
        keep
    });
    output.failures.retain(|failure| !stopped.contains(&failure.loan_key));
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
    let failed: HashSet<Seq> = output.failures.iter().map(|failure| failure.seq).collect();
    let left = sorted
        .to_post
        .iter()
        .filter(|wanted| !done.contains(&wanted.id))
        .filter(|wanted| {
            let judged = leftovers.tried.contains(&wanted.id) && failed.contains(&wanted.seq);
            !judged || leftovers.stopped.contains(&wanted.loan_key)
        })
        .map(|wanted| wanted.id)
        .collect();
    PostedBatch {
        posted,
        already: sorted.already,
        unknown: sorted.unknown,
        held: sorted.held,
        left,
        misnamed: sorted.misnamed,
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
