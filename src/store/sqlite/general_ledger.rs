//! Owns the general ledger's methods of the contract: writes go to the one writer, reads into a snapshot.

use async_trait::async_trait;

use crate::core::ids::{EventId, Seq, TenantId};
use crate::core::ledger::{AccountCode, Chart, ClosedPeriodRule};
use crate::store::sqlite::{SqliteStore, ledger_reads, periods};
use crate::store::{
    AccountTotals, EventRecord, GeneralLedger, JournalSpan, OperationDone, PeriodChange, PeriodRecord, StoreError,
    TrialBalanceQuestion,
};

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

    async fn chart(&self, tenant: TenantId) -> Result<Chart, StoreError> {
        self.read(move |db| Box::pin(ledger_reads::chart(db, tenant))).await
    }

    async fn set_chart(&self, tenant: TenantId, chart: Chart) -> Result<(), StoreError> {
        self.writer.run("set_chart", move |db| Box::pin(ledger_reads::set_chart(db, tenant, chart))).await
    }

    async fn trial_balance(
        &self,
        tenant: TenantId,
        of: TrialBalanceQuestion,
    ) -> Result<Vec<(AccountCode, AccountTotals)>, StoreError> {
        self.read(move |db| Box::pin(ledger_reads::trial_balance(db, tenant, of))).await
    }

    async fn find_journal(&self, since: EventId) -> Result<(Seq, Seq), StoreError> {
        self.read(move |db| Box::pin(ledger_reads::find_journal(db, since))).await
    }

    async fn journal(&self, tenant: TenantId, span: JournalSpan) -> Result<Vec<EventRecord>, StoreError> {
        self.read(move |db| Box::pin(ledger_reads::journal(db, tenant, span))).await
    }
}
