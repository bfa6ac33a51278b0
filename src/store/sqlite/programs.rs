//! Owns the statements of programs.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{ProgramId, TenantId};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{get, id};
use crate::store::{ProgramRecord, StoreError};

pub(super) const INSERT_PROGRAM: &str =
    "INSERT INTO programs (tenant, id, settings) VALUES (?1, ?2, ?3) ON CONFLICT (tenant, id) DO NOTHING";

pub(super) const PROGRAM: &str = "SELECT id, settings FROM programs WHERE tenant = ?1 AND id = ?2";

pub(super) const PROGRAMS: &str = "SELECT id, settings FROM programs WHERE tenant = ?1 ORDER BY id";

/// Makes a program; false when its id is taken.
pub(super) async fn insert_program(db: &mut SqliteConnection, program: ProgramRecord) -> Result<bool, StoreError> {
    let insert = sqlx::query(INSERT_PROGRAM).bind(program.tenant.0).bind(program.id.0).bind(program.settings);
    insert.execute(db).await.map(|done| done.rows_affected() == 1).map_err(store_error)
}

/// A program by its id.
pub(super) async fn program(
    db: &mut SqliteConnection,
    tenant: TenantId,
    id: ProgramId,
) -> Result<Option<ProgramRecord>, StoreError> {
    let row = sqlx::query(PROGRAM).bind(tenant.0).bind(id.0).fetch_optional(db).await.map_err(store_error)?;
    row.map(|row| decode(tenant, &row)).transpose()
}

/// A tenant's programs, by id.
pub(super) async fn programs(db: &mut SqliteConnection, tenant: TenantId) -> Result<Vec<ProgramRecord>, StoreError> {
    let rows = sqlx::query(PROGRAMS).bind(tenant.0).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| decode(tenant, row)).collect()
}

fn decode(tenant: TenantId, row: &SqliteRow) -> Result<ProgramRecord, StoreError> {
    Ok(ProgramRecord { tenant, id: ProgramId(id(row, "id")?), settings: get(row, "settings")? })
}
