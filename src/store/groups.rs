//! Owns the shape of groups: how they are accepted, and how a lane posts one.
//!
//! **Accept.** One transaction under one lock that is held until its commit, so that the numbers of two groups never
//! interleave: the parent under the caller's key, and the legs only if the parent's row is new.
//!
//! **Post.** [`PostedBatch::groups`](super::PostedBatch) names the groups whose legs a batch has met: no loan goes past
//! an unposted leg. The lane then posts each in a transaction of its own:
//! 1. **lock** all loans of the group in key order, opening those that a leg opens;
//! 2. **look ahead**: where an event or a leg of an earlier group stands in front of a leg, nothing is written and the
//!    lane is told, unless one of the loans is on hold, for a group never waits for a person;
//! 3. **fold** all legs at once, **write** their postings and the parent's, **commit**.
//!
//! Groups are posted in the order of their parents as far as they share loans. Whoever comes second finds the parent's
//! posting and writes nothing.

use std::sync::Arc;

use crate::core::ids::Seq;
use crate::core::ledger::{GroupInput, GroupOutput, RejectionCode};
use crate::core::time::Timestamp;
use crate::store::{KnownEvent, PostedBatch, Wanted};

/// The fold of a group that a lane brings: pure, called once. Its error is our own mistake: nothing is written.
pub type GroupFold = Arc<dyn Fn(GroupInput) -> Result<GroupOutput, String> + Send + Sync>;

/// What became of a group at the intake.
#[derive(Clone, Debug)]
pub enum GroupAcceptance {
    /// It is ours, durable, and in the order.
    New {
        /// Its parent's place.
        seq: Seq,
        /// When the database took it.
        accepted_at: Timestamp,
        /// Its first leg: whose hint brings the whole group to a lane.
        first_leg: Wanted,
    },
    /// Its key was taken; nothing was written for it.
    Known(Box<KnownEvent>),
}

/// One group, as a lane asks for it.
#[derive(Clone, Copy, Debug)]
pub struct GroupWork {
    /// Its parent's place.
    pub group: Seq,
    /// The lane's number in `account_totals`.
    pub lane_slot: i16,
    /// What it is refused for in any case: it could not be posted.
    pub refusal: Option<RejectionCode>,
}

/// How far a group has come.
#[derive(Debug)]
pub enum GroupProgress {
    /// Finished in this transaction: the parent and its legs.
    Finished(Box<PostedBatch>),
    /// Finished before.
    Already,
    /// Something stands in front of its legs. Nothing was written.
    Behind {
        /// Earlier groups, by place: to be posted first.
        groups: Vec<Seq>,
        /// The first event in front of each leg that has one.
        events: Vec<Wanted>,
    },
    /// The fold could not judge it. Nothing was written.
    Failed(String),
}
