//! An SQLite file of a test's own, removed with it.

use std::path::PathBuf;
use std::sync::Arc;

use hpts::runtime::clock::Clock;
use hpts::store::Store;
use hpts::store::sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use uuid::Uuid;

/// Guards of the journal, by their first words in the schema.
const GUARDS: &str =
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '%\\_refuse\\_%' ESCAPE '\\'";

/// A migrated store on a fresh file.
pub(crate) struct SqliteDatabase {
    path: PathBuf,
    store: Arc<SqliteStore>,
}

impl SqliteDatabase {
    /// Makes the file and migrates it.
    pub(crate) async fn open() -> Self {
        let path = std::env::temp_dir().join(format!("hpts-test-{}.db", Uuid::new_v4().simple()));
        let store = Arc::new(SqliteStore::open(&path, Clock::system()).await.unwrap());
        store.migrate(8).await.unwrap();
        Self { path, store }
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Opens the same file again, as the next process does.
    pub(crate) async fn reopen(&self) -> SqliteStore {
        SqliteStore::open(&self.path, Clock::system()).await.unwrap()
    }

    /// A connection beside the store's.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(&self.path).connect().await.unwrap()
    }

    /// Runs statements beside the store.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), String> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection().await).await;
        done.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Runs statements with the guards of the journal taken away, as a thief with the file would.
    pub(crate) async fn tamper(&self, sql: &str) {
        let guards: Vec<(String, String)> =
            sqlx::query_as(GUARDS).fetch_all(&mut self.connection().await).await.unwrap();
        let (drops, makes): (Vec<String>, Vec<String>) =
            guards.into_iter().map(|(name, sql)| (format!("DROP TRIGGER {name}"), sql)).unzip();
        self.execute(&format!("{}; {sql}; {}", drops.join("; "), makes.join("; "))).await.unwrap();
    }
}

impl Drop for SqliteDatabase {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            // The log is gone where the store was closed.
            let _removed = std::fs::remove_file(path);
        }
    }
}
