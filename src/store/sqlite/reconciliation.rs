//! Owns reconciliation's methods of the contract: writes go to the one writer, reads into a snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::core::ids::{LoanKey, PaymentBatchId, TenantId, WorkerId};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::sqlite::{SqliteStore, conservation, loan_check, reconcile};
use crate::store::{
    Conservation, LoanFaults, LoansChecked, Reconciliation, ReconciliationQuestion, ReconciliationRun, StoreError,
};

#[async_trait]
impl Reconciliation for SqliteStore {
    async fn take_reconciler(&self, worker: WorkerId, lease: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.writer.run("take_reconciler", move |db| Box::pin(conservation::take(db, worker, lease, now))).await
    }

    async fn count_on(&self) -> Result<bool, StoreError> {
        self.writer.run("count_on", |db| Box::pin(conservation::count_on(db))).await
    }

    async fn conservation(&self) -> Result<BTreeMap<TenantId, Conservation>, StoreError> {
        self.read(|db| Box::pin(conservation::conservation(db))).await
    }

    async fn batch_conservation(
        &self,
        tenant: TenantId,
        batch: PaymentBatchId,
    ) -> Result<Option<Conservation>, StoreError> {
        self.read(move |db| Box::pin(conservation::of_batch(db, tenant, batch))).await
    }

    async fn ledger_currencies(&self) -> Result<Vec<(TenantId, Currency)>, StoreError> {
        self.read(|db| Box::pin(reconcile::currencies(db))).await
    }

    async fn reconcile(&self, of: Vec<ReconciliationQuestion>) -> Result<Vec<ReconciliationRun>, StoreError> {
        let now = self.clock.now();
        let runs = self.read(move |db| Box::pin(async move { reconcile::look(db, &of, now).await })).await?;
        let kept = runs.clone();
        self.writer.run("keep_runs", move |db| Box::pin(reconcile::keep(db, kept))).await?;
        Ok(runs)
    }

    async fn latest_run(&self, of: ReconciliationQuestion) -> Result<Option<ReconciliationRun>, StoreError> {
        self.read(move |db| Box::pin(reconcile::latest(db, of))).await
    }

    async fn check_loans(&self, after: Option<LoanKey>) -> Result<LoansChecked, StoreError> {
        let now = self.clock.now();
        let window = self.read(move |db| Box::pin(loan_check::look(db, after, now))).await?;
        let told = window.told();
        if window.is_changed() {
            self.writer.run("keep_loan_faults", move |db| Box::pin(loan_check::keep(db, window))).await?;
        }
        Ok(told)
    }

    async fn note_loans_checked(&self, since: Timestamp) -> Result<(), StoreError> {
        self.writer.run("note_loans_checked", move |db| Box::pin(loan_check::note(db, since))).await
    }

    async fn count_loan_faults(&self) -> Result<u64, StoreError> {
        self.read(|db| Box::pin(loan_check::count(db))).await
    }

    async fn loan_faults(&self, tenant: TenantId, currency: Currency) -> Result<LoanFaults, StoreError> {
        self.read(move |db| Box::pin(loan_check::faults_of(db, (tenant, currency)))).await
    }
}
