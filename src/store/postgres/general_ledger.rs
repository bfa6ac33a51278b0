//! Owns the general ledger's methods of the contract: each one only puts its work into an owned task.

use async_trait::async_trait;

use super::connect::PostgresStore;
use crate::core::ids::{EventId, Seq, TenantId};
use crate::core::ledger::{AccountCode, Chart, ClosedPeriodRule};
use crate::store::{
    AccountTotals, EventRecord, GeneralLedger, JournalSpan, OperationDone, PeriodChange, PeriodRecord, StoreError,
    TrialBalanceQuestion,
};

#[async_trait]
impl GeneralLedger for PostgresStore {
    async fn change_period(&self, change: PeriodChange) -> Result<OperationDone, StoreError> {
        self.owned(move |store| async move { store.set_period(change).await }).await
    }

    async fn periods(&self, tenant: TenantId) -> Result<(ClosedPeriodRule, Vec<PeriodRecord>), StoreError> {
        self.owned(move |store| async move { store.read_periods(tenant).await }).await
    }

    async fn set_closed_periods(&self, tenant: TenantId, rule: ClosedPeriodRule) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.set_rule(tenant, rule).await }).await
    }

    async fn chart(&self, tenant: TenantId) -> Result<Chart, StoreError> {
        self.owned(move |store| async move { store.read_chart(tenant).await }).await
    }

    async fn set_chart(&self, tenant: TenantId, chart: Chart) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.write_chart(tenant, chart).await }).await
    }

    async fn trial_balance(
        &self,
        tenant: TenantId,
        of: TrialBalanceQuestion,
    ) -> Result<Vec<(AccountCode, AccountTotals)>, StoreError> {
        self.owned(move |store| async move { store.read_trial_balance(tenant, of).await }).await
    }

    async fn find_journal(&self, since: EventId) -> Result<(Seq, Seq), StoreError> {
        self.owned(move |store| async move { store.find_journal_of(since).await }).await
    }

    async fn journal(&self, tenant: TenantId, span: JournalSpan) -> Result<Vec<EventRecord>, StoreError> {
        self.owned(move |store| async move { store.read_journal(tenant, span).await }).await
    }
}
