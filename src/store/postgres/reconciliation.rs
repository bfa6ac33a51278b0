//! Owns reconciliation's methods of the contract: each one only puts its work into an owned task.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::connect::PostgresStore;
use crate::core::ids::{LoanKey, PaymentBatchId, TenantId, WorkerId};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::{
    Conservation, LoanFaults, LoansChecked, Reconciliation, ReconciliationQuestion, ReconciliationRun, StoreError,
};

#[async_trait]
impl Reconciliation for PostgresStore {
    async fn take_reconciler(&self, worker: WorkerId, lease: Duration) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.take_reconciler_lease(worker, lease).await }).await
    }

    async fn count_on(&self) -> Result<bool, StoreError> {
        self.owned_long(|store| async move { store.count_window().await }).await
    }

    async fn conservation(&self) -> Result<BTreeMap<TenantId, Conservation>, StoreError> {
        self.owned_long(|store| async move { store.read_conservation().await }).await
    }

    async fn batch_conservation(
        &self,
        tenant: TenantId,
        batch: PaymentBatchId,
    ) -> Result<Option<Conservation>, StoreError> {
        self.owned(move |store| async move { store.read_batch_conservation(tenant, batch).await }).await
    }

    async fn ledger_currencies(&self) -> Result<Vec<(TenantId, Currency)>, StoreError> {
        self.owned(|store| async move { store.read_currencies().await }).await
    }

    async fn reconcile(&self, of: Vec<ReconciliationQuestion>) -> Result<Vec<ReconciliationRun>, StoreError> {
        self.owned_long(move |store| async move { store.make_runs(of).await }).await
    }

    async fn latest_run(&self, of: ReconciliationQuestion) -> Result<Option<ReconciliationRun>, StoreError> {
        self.owned(move |store| async move { store.read_latest_run(of).await }).await
    }

    async fn check_loans(&self, after: Option<LoanKey>) -> Result<LoansChecked, StoreError> {
        self.owned_long(move |store| async move { store.check_window(after).await }).await
    }

    async fn note_loans_checked(&self, since: Timestamp) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.write_loans_checked(since).await }).await
    }

    async fn count_loan_faults(&self) -> Result<u64, StoreError> {
        self.owned(|store| async move { store.read_loan_fault_count().await }).await
    }

    async fn loan_faults(&self, tenant: TenantId, currency: Currency) -> Result<LoanFaults, StoreError> {
        self.owned(move |store| async move { store.read_loan_faults(tenant, currency).await }).await
    }
}
