//! Owns what the general ledger needs of the store: accounting periods, charts of accounts, the trial balance and the
//! journal.

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::core::ids::{EventId, PaymentBatchId, Seq, TenantId};
use crate::core::ledger::{AccountCode, Chart, ClosedPeriodRule, Layer, Period, PeriodStatus};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::{AccountTotals, EventRecord, NewUpload, StoreError, UploadBegun};

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

/// Which totals a trial balance lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialBalanceQuestion {
    /// In this currency.
    pub currency: Currency,
    /// Of this layer.
    pub layer: Layer,
    /// Booked on or before.
    pub as_of: NaiveDate,
}

/// A stretch of events whose entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSpan {
    /// After this event.
    pub after: Seq,
    /// Up to this one.
    pub to: Seq,
    /// First and last booking date.
    pub booked: (NaiveDate, NaiveDate),
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

    /// The tenant's chart of accounts.
    async fn chart(&self, tenant: TenantId) -> Result<Chart, StoreError>;

    /// Another chart for a tenant that exists, in place of the one before.
    async fn set_chart(&self, tenant: TenantId, chart: Chart) -> Result<(), StoreError>;

    /// Debits and credits of every account that has any, in one snapshot, in the order of the books' codes.
    async fn trial_balance(
        &self,
        tenant: TenantId,
        of: TrialBalanceQuestion,
    ) -> Result<Vec<(AccountCode, AccountTotals)>, StoreError>;

    /// Where to look for the journal: after which event those begin that were made since an id, and the last event there
    /// is. Of all tenants: a place, never shown.
    async fn find_journal(&self, since: EventId) -> Result<(Seq, Seq), StoreError>;

    /// The tenant's entries of a stretch of events, in order of acceptance.
    async fn journal(&self, tenant: TenantId, span: JournalSpan) -> Result<Vec<EventRecord>, StoreError>;
}
