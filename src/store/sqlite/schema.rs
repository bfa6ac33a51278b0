//! Owns the schema's way to this release. Migrations are embedded, applied in one transaction, and remembered with
//! their hashes; a merged migration is never edited.

use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};

use crate::core::slot::{Partition, PartitionMap, Slot};
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params;
use crate::store::sqlite::rows::get;
use crate::store::{SchemaState, StoreError};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 19] = [
    Migration { version: 1, name: "books", sql: include_str!("../../../migrations/sqlite/0001_books.sql") },
    Migration { version: 2, name: "operations", sql: include_str!("../../../migrations/sqlite/0002_operations.sql") },
    Migration {
        version: 3,
        name: "administration",
        sql: include_str!("../../../migrations/sqlite/0003_administration.sql"),
    },
    Migration { version: 4, name: "ach", sql: include_str!("../../../migrations/sqlite/0004_ach.sql") },
    Migration { version: 6, name: "servicing", sql: include_str!("../../../migrations/sqlite/0006_servicing.sql") },
    Migration { version: 7, name: "programs", sql: include_str!("../../../migrations/sqlite/0007_programs.sql") },
    Migration { version: 8, name: "groups", sql: include_str!("../../../migrations/sqlite/0008_groups.sql") },
    Migration {
        version: 9,
        name: "general_ledger",
        sql: include_str!("../../../migrations/sqlite/0009_general_ledger.sql"),
    },
    Migration { version: 10, name: "webhooks", sql: include_str!("../../../migrations/sqlite/0010_webhooks.sql") },
    Migration {
        version: 11,
        name: "loans_borrower",
        sql: include_str!("../../../migrations/sqlite/0011_loans_borrower.sql"),
    },
    Migration {
        version: 12,
        name: "reconciliation",
        sql: include_str!("../../../migrations/sqlite/0012_reconciliation.sql"),
    },
    Migration {
        version: 13,
        name: "bank_statements",
        sql: include_str!("../../../migrations/sqlite/0013_bank_statements.sql"),
    },
    Migration { version: 14, name: "ach_review", sql: include_str!("../../../migrations/sqlite/0014_ach_review.sql") },
    Migration {
        version: 15,
        name: "loan_accruals",
        sql: include_str!("../../../migrations/sqlite/0015_loan_accruals.sql"),
    },
    Migration {
        version: 16,
        name: "refusing_holds",
        sql: include_str!("../../../migrations/sqlite/0016_refusing_holds.sql"),
    },
    Migration {
        version: 20,
        name: "bank_line_uploads",
        sql: include_str!("../../../migrations/sqlite/0020_bank_line_uploads.sql"),
    },
    Migration {
        version: 21,
        name: "loan_faults",
        sql: include_str!("../../../migrations/sqlite/0021_loan_faults.sql"),
    },
    Migration { version: 23, name: "late_fees", sql: include_str!("../../../migrations/sqlite/0023_late_fees.sql") },
    Migration {
        version: 24,
        name: "ended_rejections",
        sql: include_str!("../../../migrations/sqlite/0024_ended_rejections.sql"),
    },
];

pub(super) const CREATE_MIGRATIONS: &str = "
    CREATE TABLE IF NOT EXISTS migrations (
        version INTEGER PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL, applied_at INTEGER NOT NULL
    ) STRICT";

pub(super) const HAS_MIGRATIONS: &str =
    "SELECT count(*) AS found FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'";

pub(super) const SELECT_MIGRATIONS: &str = "SELECT version, hash FROM migrations ORDER BY version";

pub(super) const INSERT_MIGRATION: &str =
    "INSERT INTO migrations (version, name, hash, applied_at) VALUES (?1, ?2, ?3, ?4)";

/// Rows that name a row which is not there.
pub(super) const LOOSE_LINKS: &str = "SELECT count(*) AS found FROM pragma_foreign_key_check";

pub(super) const CURRENT_SLOTS: &str = "
    SELECT generation, slot, partition FROM slots WHERE generation = (SELECT max(generation) FROM slots)";

/// Only while there is no generation at all.
pub(super) const INSERT_SLOTS: &str = "
    INSERT INTO slots (generation, slot, partition)
    SELECT 1, value ->> 'slot', value ->> 'partition' FROM jsonb_each(?1)
    WHERE NOT EXISTS (SELECT 1 FROM slots)";

fn hash(migration: &Migration) -> Vec<u8> {
    Sha256::digest(migration.sql).to_vec()
}

/// Compares what is applied, in order of version, with what this release has.
fn judge(applied: &[(i64, Vec<u8>)]) -> SchemaState {
    let known = |version: i64| MIGRATIONS.iter().find(|migration| migration.version == version);
    let foreign = applied.iter().any(|(version, bytes)| known(*version).is_some_and(|ours| hash(ours) != *bytes));
    if foreign {
        return SchemaState::Foreign;
    }
    let has = |version: i64| applied.iter().any(|(other, _)| *other == version);
    if !MIGRATIONS.iter().all(|migration| has(migration.version)) {
        SchemaState::Behind
    } else if applied.iter().any(|(version, _)| known(*version).is_none()) {
        SchemaState::Ahead
    } else {
        SchemaState::Current
    }
}

async fn applied(db: &mut SqliteConnection) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let found = sqlx::query(HAS_MIGRATIONS).fetch_one(&mut *db).await.map_err(store_error)?;
    if get::<i64>(&found, "found")? == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(SELECT_MIGRATIONS).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| Ok((get(row, "version")?, get(row, "hash")?))).collect()
}

/// Whether the schema is this release's.
pub(super) fn state(db: &mut SqliteConnection) -> BoxFuture<'_, Result<SchemaState, StoreError>> {
    Box::pin(async move { applied(db).await.map(|applied| judge(&applied)) })
}

/// Applies what is missing, and makes partition generation 1 where there is none. Foreign keys are not looked at
/// meanwhile, because tables are made anew under the feet of those that name them; so they are looked at here.
pub(super) async fn migrate(db: &mut SqliteConnection, partitions: u16, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(CREATE_MIGRATIONS).execute(&mut *db).await.map_err(store_error)?;
    let applied = applied(db).await?;
    if judge(&applied) == SchemaState::Foreign {
        return Err(StoreError::WrongSchema);
    }
    for migration in &MIGRATIONS {
        if applied.iter().any(|(version, _)| *version == migration.version) {
            continue;
        }
        sqlx::raw_sql(migration.sql).execute(&mut *db).await.map_err(store_error)?;
        let insert = sqlx::query(INSERT_MIGRATION).bind(migration.version).bind(migration.name);
        insert.bind(hash(migration)).bind(now.micros()).execute(&mut *db).await.map_err(store_error)?;
    }
    let loose = sqlx::query(LOOSE_LINKS).fetch_one(&mut *db).await.map_err(store_error)?;
    if get::<i64>(&loose, "found")? > 0 {
        return Err(StoreError::Broken("rows name others that are not there".to_owned()));
    }
    let map = PartitionMap::even(1, partitions);
    let rows: Vec<_> = map.rows().map(|(slot, partition)| params::SlotRow::new(slot, partition)).collect();
    sqlx::query(INSERT_SLOTS).bind(params::json(&rows)?).execute(db).await.map_err(store_error)?;
    Ok(())
}

/// The current partition map.
pub(super) async fn partition_map(db: &mut SqliteConnection) -> Result<PartitionMap, StoreError> {
    let rows = sqlx::query(CURRENT_SLOTS).fetch_all(db).await.map_err(store_error)?;
    let broken = || StoreError::Broken("the partition map does not cover every slot".to_owned());
    let generation: i32 = rows.first().map(|row| get(row, "generation")).transpose()?.ok_or_else(broken)?;
    let slots: Vec<(Slot, Partition)> = rows
        .iter()
        .map(|row| {
            let slot = Slot::from_number(row.try_get("slot").map_err(store_error)?).ok_or_else(broken)?;
            Ok((slot, Partition(row.try_get("partition").map_err(store_error)?)))
        })
        .collect::<Result<_, StoreError>>()?;
    PartitionMap::from_rows(generation, &slots).ok_or_else(broken)
}
