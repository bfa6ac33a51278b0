//! Owns what was known at an instant (`known_at`): an event as a reader saw it then.
//!
//! Postings are insert-only and tell when they were posted, so what came later is left out, and nothing else is needed.

use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::state::ApiState;
use crate::core::event::Stage;
use crate::core::ids::{Seq, TenantId};
use crate::core::ledger::Posting;
use crate::core::time::Timestamp;
use crate::store::{EventRecord, Progress, Undoing};

/// Which postings count: those of an instant and before, or all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known(Option<Timestamp>);

impl Known {
    /// `known_at`.
    pub(crate) fn read(query: &mut Query) -> Self {
        Self(query.optional("known_at", Timestamp::parse))
    }

    /// The instant that was asked for.
    pub(crate) const fn at(self) -> Option<Timestamp> {
        self.0
    }

    /// Whether a posting was there.
    pub(crate) fn has(self, posting: &Posting) -> bool {
        self.0.is_none_or(|at| posting.posted_at <= at)
    }

    /// Whether a record's posting was there.
    pub(crate) fn has_posted(self, record: &EventRecord) -> bool {
        record.posting.as_ref().is_some_and(|posting| self.has(posting))
    }

    /// The postings that had divided a payment's money anew, or changed an accrual's interest, in the order in which they were
    /// posted. Numbers are drawn when an event is accepted, or by a consequence when it is posted, so they tell no order.
    pub(crate) async fn restatements(
        self,
        state: &ApiState,
        tenant: TenantId,
        payment: Seq,
    ) -> Result<Vec<EventRecord>, ApiError> {
        let mut restating = state.store().restatements(tenant, payment).await?;
        restating.retain(|record| self.has_posted(record));
        restating
            .sort_by_key(|record| record.posting.as_ref().map(|posting| (posting.posted_at, posting.loan_version)));
        Ok(restating)
    }

    /// What had undone an event.
    pub(crate) async fn undoing(
        self,
        state: &ApiState,
        tenant: TenantId,
        undone_by: Option<Undoing>,
    ) -> Result<Option<Undoing>, ApiError> {
        let (Some(undoing), Some(_)) = (undone_by, self.0) else { return Ok(undone_by) };
        let record = state.store().event(tenant, undoing.id).await?;
        Ok(record.filter(|record| self.has_posted(record)).map(|_| undoing))
    }

    /// An event as it was: without what came of it later. What was not posted by then had been accepted; whether it was held
    /// or parked at that time is not kept.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an event that was accepted later.
    pub(crate) async fn cut(
        self,
        state: &ApiState,
        tenant: TenantId,
        record: EventRecord,
    ) -> Result<EventRecord, ApiError> {
        let Some(at) = self.0 else { return Ok(record) };
        if !self.has_posted(&record) {
            let was_there = record.event.accepted_at <= at;
            let accepted = EventRecord {
                stage: Stage::Accepted,
                posting: None,
                progress: Progress::default(),
                event: record.event,
            };
            return if was_there { Ok(accepted) } else { Err(ApiError::NotFound) };
        }
        let undone_by = self.undoing(state, tenant, record.progress.undone_by).await?;
        let restating = self.restatements(state, tenant, record.event.seq).await?;
        let current_allocation = restating.last().and_then(|last| last.posting.as_ref()?.allocation);
        Ok(EventRecord { progress: Progress { undone_by, current_allocation }, ..record })
    }
}
