//! Owns what the running processes tell each other through the store: heartbeats, leases, sweeps, parking.

use std::time::Duration;

use crate::core::ids::{EventId, LoanKey, PublisherId, Seq, TenantId, WorkerId};
use crate::core::slot::Slot;

/// A failed attempt at one event.
#[derive(Clone, Debug)]
pub struct ParkRequest {
    /// The event.
    pub seq: Seq,
    /// Its loan, as the message said; the row wins.
    pub loan_key: LoanKey,
    /// What went wrong, for operators.
    pub reason: String,
    /// After this many attempts the event is parked and its loan held.
    pub attempts_max: i32,
}

/// Failed attempts at an event so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many; 0 where none was counted.
    pub count: i32,
    /// The group that they count for, where the event is a leg or a parent.
    pub group: Option<Seq>,
}

/// An api process says it lives.
#[derive(Clone, Debug)]
pub struct PublisherBeat {
    /// Which process.
    pub publisher: PublisherId,
    /// The partition generation it publishes to.
    pub generation: i32,
    /// The smallest `seq` whose message is not confirmed and will not be tried again by the process; the sweep takes
    /// over from there.
    pub unconfirmed_from: Option<Seq>,
}

/// A worker process says it lives.
#[derive(Clone, Debug)]
pub struct WorkerBeat {
    /// Which process.
    pub worker: WorkerId,
    /// How many lanes it runs: that many lane slots are leased to it.
    pub lanes: i16,
    /// After this silence a worker counts as dead.
    pub dead_after: Duration,
}

/// Who lives, as one worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Every live worker, sorted, the asker among them.
    pub live: Vec<WorkerId>,
    /// The first lane slot leased to the asker; its lanes use this and the next ones, modulo 256.
    pub first_lane_slot: i16,
}

/// One round of the sweep, as asked for.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    /// Who asks.
    pub worker: WorkerId,
    /// How long the lease holds without renewal.
    pub lease: Duration,
    /// Look only above this place (what this sweeper found finished before); `None` = above the stored mark.
    pub above: Option<Seq>,
    /// Look no further than this place; `None` = to the last event.
    pub up_to: Option<Seq>,
    /// Up to where everything was finished at the round before. Where more is finished now, lanes work off a backlog, and
    /// nothing is named; `None` = name whatever waits.
    pub front: Option<Seq>,
    /// Look at events at least this old.
    pub older_than: Duration,
    /// The stored mark moves only over events at least this old.
    pub mark_older_than: Duration,
    /// A publisher silent for this long is dead.
    pub publisher_dead_after: Duration,
    /// The most events to name.
    pub limit: i64,
}

/// Whether nothing was finished at the front since the round before, or none was before.
pub(crate) fn stands_still(front: Option<Seq>, finished_to: Seq) -> bool {
    front.is_none_or(|front| finished_to <= front)
}

/// An accepted event without a posting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepCandidate {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// Its loan.
    pub loan_key: LoanKey,
    /// Its slot.
    pub slot: Slot,
    /// Whether it rides the bulk queues.
    pub bulk: bool,
    /// Whether a later event is posted already: one of the same loan and kind of queue, or one of the same slot and kind
    /// of queue that was accepted at least two seconds later.
    pub overtaken: bool,
    /// Whether its publisher is dead, or says that this message is not confirmed.
    pub orphaned: bool,
}

/// What a round of the sweep found.
#[derive(Clone, Debug, Default)]
pub struct SweepRound {
    /// Unposted events, neither parked nor held: the overtaken and the orphaned first, then the oldest. Only the oldest
    /// 60,000 that wait are judged.
    pub candidates: Vec<SweepCandidate>,
    /// Everything up to here is finished, parked or held as far as this round could see: where a quick round of the
    /// same sweeper may begin next time. The end of the window where nothing in it waits.
    pub finished_to: Seq,
    /// How far the round looked. A round looks at a window of 1,000,000 events; a caller that wants to see everything
    /// asks again with `above` here, until this is no longer greater than that.
    pub looked_to: Seq,
    /// How often loans were released so far. Where it has risen, a round from the stored mark on sees their events again.
    pub releases: i64,
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted, unposted, neither parked nor held, above the sweeper's mark. Counts at most 1,000,000.
    pub unposted: i64,
    /// Age of the oldest of them.
    pub oldest_unposted: Duration,
    /// Parked events.
    pub parked: i64,
    /// Unposted events of loans on hold. Counts at most 1,000,000.
    pub held: i64,
    /// Postings so far, by a count that may begin anywhere and anew: between two looks its rise is how many were made,
    /// roughly, by all processes.
    pub posted: i64,
}
