//! Owns the general ledger's methods of the contract: writes go to the one writer, reads into a snapshot.

use async_trait::async_trait;

use crate::core::ids::TenantId;
use crate::core::ledger::ClosedPeriodRule;
use crate::store::sqlite::{SqliteStore, periods};
use crate::store::{GeneralLedger, OperationDone, PeriodChange, PeriodRecord, StoreError};

#[async_trait]
impl GeneralLedger for SqliteStore {
    async fn change_period(&self, change: PeriodChange) -> Result<OperationDone, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("change_period", move |db| Box::pin(periods::change(db, change, clock.now()))).await
    }

    async fn periods(&self, tenant: TenantId) -> Result<(ClosedPeriodRule, Vec<PeriodRecord>), StoreError> {
        self.read(move |db| Box::pin(periods::periods(db, tenant))).await
    }

    async fn set_closed_periods(&self, tenant: TenantId, rule: ClosedPeriodRule) -> Result<bool, StoreError> {
        self.writer.run("set_closed_periods", move |db| Box::pin(periods::set_rule(db, tenant, rule))).await
    }
}
