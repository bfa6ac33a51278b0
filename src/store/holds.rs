//! Owns holds: loans that stand still until a person releases them, and events that were parked.
//!
//! Two sorts. A loan that **waits** takes events and posts none; a parked event makes its loan wait, too. A loan that
//! **refuses** posts every event as rejected, `loan_on_hold`; where one of its events is parked it waits all the same,
//! so that nobody but a person decides about that one. A group never waits: it is refused on either.

use async_trait::async_trait;

use crate::core::event::{EventKind, HoldMode, Stage};
use crate::core::ids::{EventId, LoanId, LoanKey, Seq, TenantId};
use crate::core::time::Timestamp;
use crate::store::uploads::NewUpload;
use crate::store::{OperationDone, StoreError, SweepCandidate};

/// Putting a loan on hold, or releasing it.
#[derive(Clone, Debug)]
pub struct HoldChange {
    /// The operation: its event, made by [`NewEvent::of_upload`](crate::core::event::NewEvent::of_upload).
    pub operation: NewUpload,
    /// The loan.
    pub loan_key: LoanKey,
    /// What becomes of its events from now on; `None` releases it.
    pub mode: Option<HoldMode>,
    /// Why.
    pub reason: String,
    /// The body its caller gets.
    pub answer: Vec<u8>,
}

/// A loan on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRecord {
    /// Whose.
    pub tenant: TenantId,
    /// The loan.
    pub loan_key: LoanKey,
    /// The loan, as its tenant names it.
    pub loan_id: Option<LoanId>,
    /// What becomes of its events.
    pub mode: HoldMode,
    /// Why.
    pub reason: String,
    /// Since when.
    pub held_at: Timestamp,
    /// How many of its events are not posted; counts at most 10,000.
    pub waiting: i64,
}

/// An event that is not posted, of a loan on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// Its loan.
    pub loan_key: LoanKey,
    /// Its loan, as its tenant names it.
    pub loan_id: LoanId,
    /// What sort of event.
    pub kind: EventKind,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// How often it failed, why the last time, and since when it is parked.
    pub failure: Option<Failure>,
}

impl WaitingEvent {
    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let is_parked = self.failure.as_ref().is_some_and(|failure| failure.parked_at.is_some());
        if is_parked { Stage::Parked } else { Stage::Held }
    }
}

/// Why an event is not posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How often it was tried.
    pub attempts: i32,
    /// What went wrong the last time, for operators.
    pub reason: String,
    /// Since when nobody tries it any more.
    pub parked_at: Option<Timestamp>,
}

/// Which events to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingFilter {
    /// Those of a loan that are not posted, in order.
    OfLoan(LoanKey),
    /// Parked ones, in order.
    Parked,
    /// A parked one.
    ParkedEvent(EventId),
}

/// Reads of holds, and the one write.
#[async_trait]
pub trait Holds {
    /// Puts a loan on hold or releases it, with the operation's event and its answer, in one transaction. Answers the
    /// events that can go on, oldest first, so that the caller publishes their hints: on a release all that waited; on a
    /// hold that refuses all that is to be refused. Waits for the posting of the loan that is under way.
    async fn change_hold(&self, change: HoldChange) -> Result<(OperationDone, Vec<SweepCandidate>), StoreError>;

    /// Loans on hold, of one tenant or all, the oldest hold first.
    async fn holds(&self, tenant: Option<TenantId>, limit: i64) -> Result<Vec<HoldRecord>, StoreError>;

    /// A loan's hold; `None` where it is not on hold.
    async fn loan_hold(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<HoldRecord>, StoreError>;

    /// Events that are not posted, of one tenant or all.
    async fn waiting_events(
        &self,
        tenant: Option<TenantId>,
        filter: WaitingFilter,
        limit: i64,
    ) -> Result<Vec<WaitingEvent>, StoreError>;
}
