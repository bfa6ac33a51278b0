//! Owns what a measurement tells of the server: how much it has logged, and the settings that a rate depends on.

use crate::store::StoreError;
use crate::store::postgres::connect::PostgresStore;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::Columns;

/// Bytes of write-ahead log since the cluster was made. Of all its databases: measure on a quiet server.
const WAL_POSITION: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";

/// What a reader must know to compare rates.
const READ_SETTINGS: &str = "SELECT name, current_setting(name) FROM pg_settings \
     WHERE name IN ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', \
     'shared_buffers', 'max_wal_size', 'checkpoint_timeout') ORDER BY name";

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 2] =
    [("wal_position", WAL_POSITION), ("read_settings", READ_SETTINGS)];

impl PostgresStore {
    /// How many bytes of write-ahead log the server has written so far, for all its databases.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    pub async fn wal_position(&self) -> Result<u64, StoreError> {
        self.owned(|store| async move {
            let mut connection = store.connection().await?;
            let row = sqlx::query(WAL_POSITION).fetch_one(&mut *connection).await.map_err(classify)?;
            Ok(u64::try_from(Columns::of(&row).take::<i64>()?).unwrap_or(0))
        })
        .await
    }

    /// The server's settings that a rate depends on, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    pub async fn server_settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.owned(|store| async move {
            let mut connection = store.connection().await?;
            let rows = sqlx::query(READ_SETTINGS).fetch_all(&mut *connection).await.map_err(classify)?;
            let settings = rows.iter().map(|row| {
                let mut columns = Columns::of(row);
                Ok((columns.take()?, columns.take()?))
            });
            settings.collect()
        })
        .await
    }
}
