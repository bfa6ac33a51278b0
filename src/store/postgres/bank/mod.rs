//! Owns bank statements in PostgreSQL: what stands under their references, their acceptance, the decisions about their
//! lines, and their reading.

mod check;
mod find;
mod read;
mod write;

pub(super) use check::checks;

use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::Connection;

use super::connect::{BEGIN, PostgresStore, finish};
use super::error::classify;
use crate::core::bank::Found;
use crate::core::ids::{PaymentBatchId, TenantId};
use crate::core::money::Currency;
use crate::store::{
    BankCheck, BankStatements, LineDecided, LinePlace, LineRow, NewLineResolution, NewStatement,
    ReconciliationQuestion, Reference, StatementAccepted, StatementRow, StatementsFilter, StoreError, UploadRef,
};

/// The statements of this module.
pub(super) fn statements() -> Vec<(&'static str, &'static str)> {
    [find::STATEMENTS.as_slice(), &write::STATEMENTS, &read::STATEMENTS, &check::STATEMENTS].concat()
}

#[async_trait]
impl BankStatements for PostgresStore {
    async fn events_of_references(
        &self,
        tenant: TenantId,
        currency: Currency,
        references: Vec<Reference>,
    ) -> Result<Vec<(String, Found)>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            find::events(&mut connection, (tenant, currency), &references).await
        })
        .await
    }

    async fn accept_statement(&self, statement: NewStatement) -> Result<StatementAccepted, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let mut transaction = connection.begin_with(BEGIN).await.map_err(classify)?;
            match write::accept(&mut transaction, statement).await {
                Ok(done @ StatementAccepted::New(_)) => finish(transaction, Ok(done)).await,
                // Nothing of it stays.
                Ok(other) => transaction.rollback().await.map_err(classify).map(|()| other),
                Err(error) => finish(transaction, Err(error)).await,
            }
        })
        .await
    }

    async fn statement_of(
        &self,
        tenant: TenantId,
        bank_account_ref: &str,
        day: NaiveDate,
    ) -> Result<Option<(PaymentBatchId, [u8; 32])>, StoreError> {
        let account = bank_account_ref.to_owned();
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            write::of_day(&mut connection, (tenant, &account, day)).await
        })
        .await
    }

    async fn bank_statement(&self, statement: UploadRef) -> Result<Option<StatementRow>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            read::statement(&mut connection, statement).await
        })
        .await
    }

    async fn bank_statements(
        &self,
        tenant: TenantId,
        filter: StatementsFilter,
    ) -> Result<Vec<StatementRow>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            read::statements(&mut connection, tenant, filter).await
        })
        .await
    }

    async fn statement_lines(&self, statement: UploadRef, after: i64, limit: i64) -> Result<Vec<LineRow>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            read::lines(&mut connection, statement, after, limit).await
        })
        .await
    }

    async fn open_lines(
        &self,
        tenant: TenantId,
        after: Option<LinePlace>,
        limit: i64,
    ) -> Result<Vec<LineRow>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            read::open_lines(&mut connection, tenant, after, limit).await
        })
        .await
    }

    async fn resolve_line(&self, resolution: NewLineResolution) -> Result<LineDecided, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let mut transaction = connection.begin_with(BEGIN).await.map_err(classify)?;
            match write::resolve(&mut transaction, resolution).await {
                Ok(done @ LineDecided::Decided(_)) => finish(transaction, Ok(done)).await,
                // Nothing of it stays.
                Ok(other) => transaction.rollback().await.map_err(classify).map(|()| other),
                Err(error) => finish(transaction, Err(error)).await,
            }
        })
        .await
    }

    async fn bank_checks(&self, of: ReconciliationQuestion) -> Result<Vec<BankCheck>, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            Ok(checks(&mut connection, &[of]).await?.pop().unwrap_or_default())
        })
        .await
    }
}
