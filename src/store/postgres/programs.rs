//! Owns the statements of programs. Tenant first.

use sqlx::postgres::PgRow;

use super::connect::PostgresStore;
use super::error::classify;
use super::rows::Columns;
use crate::core::ids::{ProgramId, TenantId};
use crate::store::{ProgramRecord, StoreError};

const INSERT_PROGRAM: &str =
    "INSERT INTO programs (tenant, id, settings) VALUES ($1, $2, $3) ON CONFLICT (tenant, id) DO NOTHING";

const READ_PROGRAM: &str = "SELECT id, settings FROM programs WHERE tenant = $1 AND id = $2";

const READ_PROGRAMS: &str = "SELECT id, settings FROM programs WHERE tenant = $1 ORDER BY id";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 3] =
    [("insert_program", INSERT_PROGRAM), ("read_program", READ_PROGRAM), ("read_programs", READ_PROGRAMS)];

impl PostgresStore {
    pub(super) async fn insert_program(&self, program: ProgramRecord) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(INSERT_PROGRAM).bind(program.tenant.0).bind(program.id.0).bind(program.settings);
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn read_program(
        &self,
        tenant: TenantId,
        id: ProgramId,
    ) -> Result<Option<ProgramRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_PROGRAM).bind(tenant.0).bind(id.0);
        let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
        row.map(|row| program(tenant, &row)).transpose()
    }

    pub(super) async fn read_programs(&self, tenant: TenantId) -> Result<Vec<ProgramRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_PROGRAMS).bind(tenant.0).fetch_all(&mut *connection).await.map_err(classify)?;
        rows.iter().map(|row| program(tenant, row)).collect()
    }
}

fn program(tenant: TenantId, row: &PgRow) -> Result<ProgramRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(ProgramRecord { tenant, id: ProgramId(columns.take()?), settings: columns.take()? })
}
