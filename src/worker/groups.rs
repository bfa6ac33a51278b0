//! Owns the posting of groups by a lane: one transaction each, and before it whatever stands in front of a group's legs.
//!
//! A group never waits for a person: one that cannot be posted is refused after [`ATTEMPTS_MAX`] attempts, so that its
//! loans flow on. Dying between any two steps is harmless: the rows say how far the group is, and the message of its
//! first leg, or the sweeper, brings it to a lane again.

use std::collections::BTreeSet;

use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::RejectionCode;
use crate::runtime::telemetry::chain;
use crate::store::{GroupProgress, GroupWork, StoreError};
use crate::worker::fold::lane_group_fold;
use crate::worker::posting::{ATTEMPTS_MAX, Done, Part, Poster, RACES_MAX, Task};
use crate::worker::verdict::{self, Verdict};

/// A group on its way through the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTask {
    group: Seq,
    refusal: Option<RejectionCode>,
    races: u32,
    /// How many events this lane had posted when something stood in front of the group last.
    was_behind_at: Option<usize>,
}

impl GroupTask {
    /// The group as it is met.
    pub(super) fn new(group: Seq) -> Self {
        Self { group, refusal: None, races: 0, was_behind_at: None }
    }

    /// The group to be refused, because it could not be posted.
    pub(super) fn refused(group: Seq) -> Self {
        Self { refusal: Some(RejectionCode::Discarded), ..Self::new(group) }
    }
}

/// Puts groups that were met on top of what is to be done, the earliest first. Those that wait there already are not
/// put a second time.
pub(super) fn push_groups(tasks: &mut Vec<Task>, groups: &BTreeSet<Seq>) {
    let waiting: BTreeSet<Seq> = tasks.iter().filter_map(Task::group).collect();
    let met = groups.iter().rev().filter(|group| !waiting.contains(group));
    tasks.extend(met.map(|group| Task::Group(GroupTask::new(*group))));
}

impl Task {
    /// The group, if it is one.
    fn group(&self) -> Option<Seq> {
        match self {
            Self::Group(task) => Some(task.group),
            Self::Part(_) => None,
        }
    }
}

impl Poster {
    /// Posts a group, or puts in front of it what must be posted first.
    pub(super) async fn post_group(&self, task: GroupTask, lane_slot: i16, tasks: &mut Vec<Task>, done: &mut Done) {
        let work = GroupWork { group: task.group, lane_slot, refusal: task.refusal };
        match self.store.post_group(work, lane_group_fold()).await {
            Ok(GroupProgress::Finished(batch)) => self.settle(*batch, done, tasks).await,
            Ok(GroupProgress::Already) => {}
            Ok(GroupProgress::Behind { groups, mut events }) => {
                let posted = done.posted.len();
                // What stands in front cannot be posted now: the group's message stays with the lane.
                if task.was_behind_at == Some(posted) {
                    return;
                }
                tasks.push(Task::Group(GroupTask { was_behind_at: Some(posted), ..task }));
                events.truncate(self.events_max);
                if !events.is_empty() {
                    tasks.push(Task::Part(Part::new(events, self.events_max)));
                }
                push_groups(tasks, &groups.into_iter().collect());
            }
            Ok(GroupProgress::Failed(reason)) => self.blame(task, &reason, tasks).await,
            Err(error) => self.recover(task, &error, tasks).await,
        }
    }

    async fn recover(&self, task: GroupTask, error: &StoreError, tasks: &mut Vec<Task>) {
        match verdict::of(error) {
            Verdict::Wait => {
                tracing::error!(error = chain(error), "the database is away; a group waits");
                if self.paused(None).await {
                    tasks.push(Task::Group(task));
                }
            }
            // All its loans or none: a locked one cannot be left out.
            Verdict::SkipLocked => {
                tracing::debug!(error = chain(error), group.seq = task.group.0, "a group lost a race");
                if task.races < RACES_MAX && self.paused(Some(Self::race_pause(task.races))).await {
                    tasks.push(Task::Group(GroupTask { races: task.races.saturating_add(1), ..task }));
                }
            }
            // Nor is there half a group.
            Verdict::Halve | Verdict::Isolate => self.blame(task, &chain(error), tasks).await,
        }
    }

    /// Counts an attempt that failed; after the last one the group is refused.
    async fn blame(&self, task: GroupTask, reason: &str, tasks: &mut Vec<Task>) {
        if task.refusal.is_some() {
            tracing::error!(group.seq = task.group.0, reason, "a group can neither be posted nor refused");
            self.paused(None).await;
            return;
        }
        if self.count_attempt((task.group, LoanKey::from_bytes([0; 16])), reason).await.count >= ATTEMPTS_MAX {
            tracing::error!(group.seq = task.group.0, reason, "a group cannot be posted and is refused");
            tasks.push(Task::Group(GroupTask::refused(task.group)));
        }
    }
}
