//! Owns the schema: the migrations of this release, and whether a database has them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection};

use super::connect::PostgresStore;
use super::error::classify;
use super::intake_rows::slot_column;
use super::rows::{Columns, broken, slot};
use crate::core::slot::{Partition, PartitionMap, Slot};
use crate::store::{SchemaState, StoreError};

/// A macro, because `include_str!` takes a literal.
macro_rules! migration {
    ($version:literal, $name:literal) => {
        ($version, $name, include_str!(concat!("../../../migrations/postgres/", $version, "_", $name, ".sql")))
    };
}

/// Every migration: version, name, text. A test compares this with the directory.
pub(super) const MIGRATIONS: [(&str, &str, &str); 27] = [
    migration!("0001", "tenants"),
    migration!("0002", "events"),
    migration!("0003", "postings"),
    migration!("0004", "loans"),
    migration!("0005", "totals"),
    migration!("0006", "changes"),
    migration!("0007", "exceptions"),
    migration!("0008", "insert_only"),
    migration!("0009", "processes"),
    migration!("0010", "grants"),
    migration!("0011", "ach"),
    migration!("0012", "cheaper_rows"),
    migration!("0013", "servicing"),
    migration!("0014", "programs"),
    migration!("0016", "general_ledger"),
    migration!("0017", "webhooks"),
    migration!("0018", "loans_borrower"),
    migration!("0019", "reconciliation"),
    migration!("0020", "bank_statements"),
    migration!("0021", "ach_review"),
    migration!("0022", "loan_accruals"),
    migration!("0023", "refusing_holds"),
    migration!("0027", "bank_line_uploads"),
    migration!("0028", "loan_faults"),
    migration!("0030", "late_fees"),
    migration!("0031", "remove_signing_keys"),
    migration!("0032", "ended_rejections"),
];

/// Makes generation 1 where there is no generation. One statement: of several processes the first wins whole.
const MAKE_SLOTS: &str = "INSERT INTO slots (generation, slot, partition) \
     SELECT $1, n.slot, n.partition FROM unnest($2::smallint[], $3::smallint[]) AS n (slot, partition) \
     WHERE NOT EXISTS (SELECT FROM slots) ORDER BY n.slot ON CONFLICT DO NOTHING";

const READ_SLOTS: &str = "SELECT generation, slot, partition FROM slots \
     WHERE generation = (SELECT max(generation) FROM slots) ORDER BY slot";

const HAS_MIGRATIONS: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";

const READ_MIGRATIONS: &str = "SELECT version, checksum FROM _sqlx_migrations WHERE success";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 4] = [
    ("make_slots", MAKE_SLOTS),
    ("read_slots", READ_SLOTS),
    ("has_migrations", HAS_MIGRATIONS),
    ("read_migrations", READ_MIGRATIONS),
];

fn migrations() -> Vec<Migration> {
    let migrations = MIGRATIONS.into_iter().map(|(version, name, text)| {
        let version = version.parse().unwrap_or(0);
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, text.into_sql_str(), false)
    });
    migrations.collect()
}

impl PostgresStore {
    pub(super) async fn run_migrations(&self, partitions: u16) -> Result<(), StoreError> {
        let mut connection = self.patient_connection().await?;
        let migrator = Migrator::with_migrations(migrations());
        let done = match migrator.run_direct(None, &mut connection, false).await {
            Ok(()) => make_slots(&mut connection, partitions).await,
            Err(error) => Err(refused(error)),
        };
        // The lock goes with the connection, however this ended.
        let _closed = connection.close().await;
        done
    }

    pub(super) async fn read_schema_state(&self) -> Result<SchemaState, StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(HAS_MIGRATIONS).fetch_one(&mut *connection).await.map_err(classify)?;
        if !Columns::of(&row).take::<bool>()? {
            return Ok(SchemaState::Behind);
        }
        let rows = sqlx::query(READ_MIGRATIONS).fetch_all(&mut *connection).await.map_err(classify)?;
        let read = rows.iter().map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.take()?, columns.take()?))
        });
        let applied: BTreeMap<i64, Vec<u8>> = read.collect::<Result<_, StoreError>>()?;
        Ok(state_of(&applied))
    }

    pub(super) async fn read_partition_map(&self) -> Result<PartitionMap, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_SLOTS).fetch_all(&mut *connection).await.map_err(classify)?;
        let mut generation = 0;
        let mut pairs: Vec<(Slot, Partition)> = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row);
            generation = columns.take()?;
            let number: i16 = columns.take()?;
            let partition: i16 = columns.take()?;
            let partition = u16::try_from(partition).map_err(|_| broken("partition", &partition.to_string()))?;
            pairs.push((slot(number)?, Partition(partition)));
        }
        PartitionMap::from_rows(generation, &pairs).ok_or(StoreError::WrongSchema)
    }
}

fn state_of(applied: &BTreeMap<i64, Vec<u8>>) -> SchemaState {
    let ours = migrations();
    let differs = |migration: &Migration| {
        applied.get(&migration.version).is_some_and(|checksum| checksum.as_slice() != &*migration.checksum)
    };
    if ours.iter().any(differs) {
        SchemaState::Foreign
    } else if ours.iter().any(|migration| !applied.contains_key(&migration.version)) {
        SchemaState::Behind
    } else if applied.len() > ours.len() {
        SchemaState::Ahead
    } else {
        SchemaState::Current
    }
}

async fn make_slots(connection: &mut PgConnection, partitions: u16) -> Result<(), StoreError> {
    let map = PartitionMap::even(1, partitions);
    let (slots, numbers): (Vec<i16>, Vec<i16>) =
        map.rows().map(|(slot, partition)| (slot_column(slot), i16::try_from(partition.0).unwrap_or(i16::MAX))).unzip();
    let query = sqlx::query(MAKE_SLOTS).bind(map.generation).bind(slots).bind(numbers);
    query.execute(connection).await.map_err(classify)?;
    Ok(())
}

fn refused(error: sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError;
    if matches!(error, MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) | MigrateError::VersionMissing(_)) {
        return StoreError::WrongSchema;
    }
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return classify(error);
    }
    StoreError::Broken(error.to_string())
}
