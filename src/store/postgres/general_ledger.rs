//! Owns the general ledger's methods of the contract: each one only puts its work into an owned task.

use async_trait::async_trait;

use super::connect::PostgresStore;
use crate::core::ids::TenantId;
use crate::core::ledger::ClosedPeriodRule;
use crate::store::{GeneralLedger, OperationDone, PeriodChange, PeriodRecord, StoreError};

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
}
