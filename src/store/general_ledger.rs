//! Owns what the general ledger needs of the store: accounting periods.

use async_trait::async_trait;

use crate::core::ids::{PaymentBatchId, TenantId};
use crate::core::ledger::{ClosedPeriodRule, Period, PeriodStatus};
use crate::core::time::Timestamp;
use crate::store::{NewUpload, StoreError, UploadBegun};

/// A period that is to be closed or opened again.
#[derive(Clone, Debug)]
pub struct PeriodChange {
    /// The operation's event: it takes the caller's key, and says whose period and who changes it.
    pub operation: NewUpload,
    /// Which period.
    pub period: Period,
    /// What it becomes.
    pub status: PeriodStatus,
    /// Why.
    pub reason: String,
    /// The body its caller gets.
    pub answer: Vec<u8>,
}

/// What became of an operation that is finished where it is accepted.
#[derive(Clone, Debug)]
pub enum OperationDone {
    /// It is done.
    Done(PaymentBatchId),
    /// Nothing was written: the key was taken before.
    Known(UploadBegun),
}

/// A period that was closed at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodRecord {
    /// Which.
    pub period: Period,
    /// Whether it takes bookings.
    pub status: PeriodStatus,
    /// Why it was last changed.
    pub reason: String,
    /// Who changed it.
    pub actor: String,
    /// When.
    pub changed_at: Timestamp,
}

/// The general ledger's side of the store.
#[async_trait]
pub trait GeneralLedger: Send + Sync {
    /// Closes a period or opens it again, with the operation's event and its answer, in one transaction. Waits for the
    /// posting transactions under way; those that begin meanwhile wait for it. A repeat under a new key changes the
    /// reason only.
    async fn change_period(&self, change: PeriodChange) -> Result<OperationDone, StoreError>;

    /// The tenant's periods that were ever closed, oldest first, and what becomes of events dated in a closed one.
    async fn periods(&self, tenant: TenantId) -> Result<(ClosedPeriodRule, Vec<PeriodRecord>), StoreError>;

    /// Says what becomes of events dated in a closed period, under the same lock; false when there is no such tenant.
    async fn set_closed_periods(&self, tenant: TenantId, rule: ClosedPeriodRule) -> Result<bool, StoreError>;
}
