//! Owns the shape of a posting transaction: what a lane asks for and what it gets.
//!
//! The transaction, in every implementation:
//! 1. **lock** the wanted loans in key order (`FOR NO KEY UPDATE`; SQLite holds its one writer). Loans that do not
//!    exist and have an unposted opening event are inserted first, in key order, with version 0. A batch of nothing but
//!    payments in order need not lock: PostgreSQL takes loans as it knows or reads them, and step 4 writes each only where
//!    its chain head, its last posted event and the absence of a hold are still the same.
//! 2. **read**, in a statement after the locks, or before them where the loans are then found unchanged, (a) events of these loans with a slot and `seq > last_posted_seq`,
//!    and (b) the wanted events with `seq <= last_posted_seq`, both only where no posting exists. Loans on hold are
//!    left out of (a) and (b), but for those whose hold refuses: what is read of them is refused by the fold. At most `events_max`, fair by loan, always a prefix of each loan's order. A loan inserted
//!    in step 1 has the terms of its first opening event, so the batch takes nothing of it from a second one on: if the
//!    first is refused, the next batch makes the row anew from the second.
//!    Where an event is late (dated before its loan's greatest effective date, or taking an entry back), the loan's
//!    postings from its day on are read as well. The fold judges no late event without them. For a late
//!    fee that says what was late, they are read from the first day on that counts for it. A loan that has many postings,
//!    and of which they would be read, leaves the batch to others and is told in [`PostedBatch::apart`].
//!    Where an event takes a payment back, what became of that payment is read as well, its current split included:
//!    one statement for all of them, none where there is no such event. A payment that has no posting yet, though it was
//!    numbered first, was committed late: it joins the batch in front of what takes it back. A return counts from its
//!    payment's day, so it is backdated as its payment would be.
//!    Which accounting periods are closed is known from the same read, by the number of the last change; a period is not
//!    closed between that read and the commit (PostgreSQL: a lock shared in step 1; SQLite: the one writer).
//! 3. **fold** in memory.
//! 4. **write** postings, system events, loans, totals, one `changes` row per tenant. Fewer posting or loan rows written
//!    than given means somebody else posted: roll back and answer [`StoreError::Retry`](super::StoreError). The next try
//!    locks.
//! 5. **commit**.
//!
//! A leg is never posted by a batch: the batch stops in front of it and names its group, see [`GroupWork`].
//!
//! [`GroupWork`]: super::GroupWork
//!
//! A loan inserted in step 1 that got no versioned posting is deleted before the commit. `last_posted_seq` becomes
//! the greatest `seq` of this batch's events that have a slot, never that of a system event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::core::event::{AcceptedEvent, EventKind};
use crate::core::ids::{EventId, LoanKey, PublisherId, Seq};
use crate::core::ledger::{EventFailure, FoldInput, FoldOutput, GroupOutput, Posting, SystemPosting};

/// The fold a lane brings: pure, called once, between the reads and the writes.
pub type Fold = Arc<dyn Fn(FoldInput) -> FoldOutput + Send + Sync>;

/// An event a message named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its place, as the message says.
    pub seq: Seq,
    /// Its id. An id that the store does not hold is reported in [`PostedBatch::unknown`].
    pub id: EventId,
    /// Its loan, as the message says; the row wins.
    pub loan_key: LoanKey,
}

impl Wanted {
    /// An event that a store has read.
    #[must_use]
    pub fn of(event: &AcceptedEvent) -> Self {
        Self { seq: event.seq, id: event.event.id, loan_key: event.event.loan_key }
    }
}

/// One batch, as a lane asks for it.
#[derive(Clone, Debug)]
pub struct PostWork {
    /// The events that the messages in hand name.
    pub wanted: Vec<Wanted>,
    /// The most events to post.
    pub events_max: usize,
    /// The most events of one loan to post: 1 when the lane is looking for a poisonous event.
    pub per_loan_max: usize,
    /// The lane's number in `account_totals`.
    pub lane_slot: i16,
    /// Whether to wait for loans that another transaction holds, or to leave them out.
    pub skip_locked: bool,
    /// Whether to post on loans on hold as well: a person discards the parked event that a loan waits for.
    pub despite_hold: bool,
}

impl PostWork {
    /// The loans that the messages in hand name.
    pub(crate) fn loan_keys(&self) -> BTreeSet<LoanKey> {
        self.wanted.iter().map(|wanted| wanted.loan_key).collect()
    }
}

/// The events that consequences say have restated earlier ones, or were charged without their fee, and those that may have
/// shown late fees to be wrong: who answers for them reads more than their own posting.
#[must_use]
pub fn restating(output: &FoldOutput) -> BTreeSet<Seq> {
    let told = output.system.iter().filter(|done| is_told(done));
    told.filter_map(|done| done.event.origin.cause_seq).chain(output.reviewing.iter().copied()).collect()
}

/// Whether a group is told of with more than its parent's posting, as [`restating`] says it of events alone.
#[must_use]
pub fn is_restating(output: &GroupOutput) -> bool {
    output.is_reviewing || output.system.iter().any(is_told)
}

/// Whether a consequence is told with its cause.
fn is_told(done: &SystemPosting) -> bool {
    done.event.kind == EventKind::PaymentAllocated || done.posting.outcome.rejection().is_some()
}

/// How long each phase of a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub struct PhaseTimes {
    /// Waiting for a connection and BEGIN.
    pub begin: Duration,
    /// Taking the locks.
    pub lock: Duration,
    /// Reading events.
    pub read: Duration,
    /// The fold.
    pub fold: Duration,
    /// Writing rows.
    pub write: Duration,
    /// The commit.
    pub commit: Duration,
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct PostedBatch {
    /// The events posted in this transaction with what came of them, loan by loan in order.
    pub posted: Vec<(AcceptedEvent, Posting)>,
    /// Wanted events that had a posting already, with their publisher: settle their messages.
    pub already: Vec<(EventId, PublisherId)>,
    /// Wanted events that no row exists for: count and settle.
    pub unknown: Vec<EventId>,
    /// Wanted events whose loan is on hold, and events parked: settle; a release publishes them again.
    pub held: Vec<EventId>,
    /// Wanted events of loans locked elsewhere (`skip_locked`), or beyond `events_max`: keep them for the next batch.
    pub left: Vec<EventId>,
    /// Wanted events whose row names another tenant or loan than the message did.
    pub misnamed: Vec<EventId>,
    /// Groups whose legs stand next on loans of this batch: their parents' places, in order. These loans stopped before
    /// them.
    pub groups: BTreeSet<Seq>,
    /// Of the events posted, those of which more is to be told than their own posting says: see [`restating`]; of a group
    /// its parent, see [`is_restating`].
    pub restating: BTreeSet<Seq>,
    /// Events of loans of which much is read, for a replay or a late fee, loan by loan: taken out of this batch, to be posted each in one of its
    /// own.
    pub apart: Vec<Vec<Wanted>>,
    /// Events the fold could not judge; their loans stopped before them.
    pub failures: Vec<EventFailure>,
    /// Where the time went.
    pub times: PhaseTimes,
}
