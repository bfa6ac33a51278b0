//! Owns bank statements in SQLite: what stands under their references, their acceptance, the decisions about their lines,
//! and their reading.

pub(super) mod check;
pub(super) mod find;
pub(super) mod read;
pub(super) mod write;

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::core::bank::Found;
use crate::core::ids::{PaymentBatchId, TenantId};
use crate::core::money::Currency;
use crate::store::sqlite::SqliteStore;
use crate::store::{
    BankCheck, BankStatements, LineDecided, LinePlace, LineRow, NewLineResolution, NewStatement,
    ReconciliationQuestion, Reference, StatementAccepted, StatementRow, StatementsFilter, StoreError, UploadRef,
};

#[async_trait]
impl BankStatements for SqliteStore {
    async fn events_of_references(
        &self,
        tenant: TenantId,
        currency: Currency,
        references: Vec<Reference>,
    ) -> Result<Vec<(String, Found)>, StoreError> {
        self.read(move |db| Box::pin(async move { find::events(db, (tenant, currency), &references).await })).await
    }

    async fn accept_statement(&self, statement: NewStatement) -> Result<StatementAccepted, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("accept_statement", move |db| Box::pin(write::accept(db, statement, clock.now()))).await
    }

    async fn statement_of(
        &self,
        tenant: TenantId,
        bank_account_ref: &str,
        day: NaiveDate,
    ) -> Result<Option<(PaymentBatchId, [u8; 32])>, StoreError> {
        let account = bank_account_ref.to_owned();
        self.read(move |db| Box::pin(write::of_day(db, (tenant, account, day)))).await
    }

    async fn bank_statement(&self, statement: UploadRef) -> Result<Option<StatementRow>, StoreError> {
        self.read(move |db| Box::pin(read::statement(db, statement))).await
    }

    async fn bank_statements(
        &self,
        tenant: TenantId,
        filter: StatementsFilter,
    ) -> Result<Vec<StatementRow>, StoreError> {
        self.read(move |db| Box::pin(read::statements(db, tenant, filter))).await
    }

    async fn statement_lines(&self, statement: UploadRef, after: i64, limit: i64) -> Result<Vec<LineRow>, StoreError> {
        self.read(move |db| Box::pin(read::lines(db, statement, after, limit))).await
    }

    async fn open_lines(
        &self,
        tenant: TenantId,
        after: Option<LinePlace>,
        limit: i64,
    ) -> Result<Vec<LineRow>, StoreError> {
        self.read(move |db| Box::pin(read::open_lines(db, tenant, after, limit))).await
    }

    async fn resolve_line(&self, resolution: NewLineResolution) -> Result<LineDecided, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("resolve_line", move |db| Box::pin(write::resolve(db, resolution, clock.now()))).await
    }

    async fn bank_checks(&self, of: ReconciliationQuestion) -> Result<Vec<BankCheck>, StoreError> {
        self.read(move |db| Box::pin(check::of_question(db, of))).await
    }
}
