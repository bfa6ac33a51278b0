//! A store for the worker's own tests: an embedded one in a file that goes with it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::runtime::clock::Clock;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

/// The store and its file.
pub(super) struct TryStore {
    folder: PathBuf,
    store: Arc<dyn Store>,
}

impl TryStore {
    /// Makes one that is migrated and empty.
    pub(super) async fn open() -> Self {
        let folder = std::env::temp_dir().join(format!("hpts-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = SqliteStore::open(&folder.join("hpts.sqlite3"), Clock::system()).await.unwrap();
        store.migrate(2).await.unwrap();
        Self { folder, store: Arc::new(store) }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }
}

impl Drop for TryStore {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}
