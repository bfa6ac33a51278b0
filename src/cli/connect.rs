//! Owns the way from a configuration to an open store and a connected broker.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::in_process::InProcessBroker;
use crate::broker::rabbitmq::{DeclareMode, RabbitBroker, RabbitOptions};
use crate::cli::CliError;
use crate::core::slot::PartitionMap;
use crate::runtime::clock::Clock;
use crate::runtime::config::{Config, DeclareQueues, Deployment};
use crate::runtime::lifecycle::Lifecycle;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{SchemaState, Store, StoreError};

/// The embedded store's file inside the data folder.
const DATABASE_FILE: &str = "hpts.sqlite3";
/// Its lock, which one server holds.
const LOCK_FILE: &str = "hpts.lock";

/// Whose rights to use at the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// A server's.
    Service,
    /// The schema owner's.
    Owner,
}

/// Where the embedded store lives in a data folder.
pub(super) fn database_file(data_dir: &Path) -> PathBuf {
    data_dir.join(DATABASE_FILE)
}

/// Opens the store that the configuration names, as it stands: an embedded one that is not there is refused, because a
/// command in the wrong folder would speak of empty books.
pub(super) async fn store(config: &Config, rights: Rights, clock: &Clock) -> Result<Arc<dyn Store>, CliError> {
    match config.deployment()? {
        Deployment::Embedded { data_dir } if is_missing(config)? => Err(no_store(&data_dir)),
        Deployment::Embedded { data_dir } => {
            Ok(Arc::new(SqliteStore::open(&database_file(&data_dir), clock.clone()).await?))
        }
        Deployment::Distributed { database_url, migrate_database_url, .. } => {
            let url = match rights {
                Rights::Service => database_url,
                Rights::Owner => migrate_database_url,
            };
            Ok(Arc::new(PostgresStore::connect(&url, config.db_pool).await?))
        }
    }
}

/// Opens it as the owner of the schema, who brings it to this release: an embedded one is made where there is none.
pub(super) async fn owned_store(config: &Config, clock: &Clock) -> Result<Arc<dyn Store>, CliError> {
    match config.deployment()? {
        Deployment::Embedded { data_dir } => {
            std::fs::create_dir_all(&data_dir).map_err(CliError::io(format!("cannot make {}", data_dir.display())))?;
            Ok(Arc::new(SqliteStore::open(&database_file(&data_dir), clock.clone()).await?))
        }
        Deployment::Distributed { .. } => store(config, Rights::Owner, clock).await,
    }
}

/// Opens the store and refuses one that does not fit this release. It is not migrated: a server of the release before may
/// be at work on it, and whoever only reads or administers must not change the schema under it.
pub(super) async fn current_store(config: &Config, clock: &Clock) -> Result<Arc<dyn Store>, CliError> {
    let store = store(config, Rights::Service, clock).await?;
    match store.schema_state().await? {
        SchemaState::Current => {}
        SchemaState::Ahead => tracing::warn!("a later release has migrated the database; going on"),
        SchemaState::Behind | SchemaState::Foreign => return Err(StoreError::WrongSchema.into()),
    }
    Ok(store)
}

/// Brings the store to this release as its owner; an embedded one is made where there is none.
pub(super) async fn bring_up(config: &Config, clock: &Clock) -> Result<(), CliError> {
    let store = owned_store(config, clock).await?;
    store.migrate(config.partitions).await?;
    store.close().await;
    Ok(())
}

/// Whether the store is an embedded one and has no file yet.
pub(super) fn is_missing(config: &Config) -> Result<bool, CliError> {
    match config.deployment()? {
        Deployment::Embedded { data_dir } => {
            let file = database_file(&data_dir);
            let is_there = file.try_exists().map_err(CliError::io(format!("cannot look for {}", file.display())))?;
            Ok(!is_there)
        }
        Deployment::Distributed { .. } => Ok(false),
    }
}

fn no_store(data_dir: &Path) -> CliError {
    let file = database_file(data_dir);
    // Whole, because a relative folder is what goes wrong in another directory.
    let file = std::path::absolute(&file).unwrap_or(file);
    CliError::Refused(format!(
        "there are no books at {}: HPTS_DATA_DIR names their folder, HPTS_DATABASE_URL a server with them; \
         `hpts serve` and `hpts migrate` make new ones",
        file.display()
    ))
}

/// Connects the broker that the configuration names.
pub(super) async fn broker(
    config: &Config,
    name: &str,
    map: &PartitionMap,
    lifecycle: &Lifecycle,
) -> Result<Arc<dyn Broker>, CliError> {
    match config.deployment()? {
        Deployment::Embedded { .. } => Ok(Arc::new(InProcessBroker::new(map))),
        Deployment::Distributed { amqp_url, .. } => {
            let declare = match config.amqp_declare {
                DeclareQueues::Auto => DeclareMode::Auto,
                DeclareQueues::Never => DeclareMode::Never,
            };
            let options =
                RabbitOptions { url: amqp_url, prefix: config.queue_prefix.clone(), declare, name: name.to_owned() };
            Ok(Arc::new(RabbitBroker::connect(options, lifecycle.clone()).await?))
        }
    }
}

/// The right to serve from a data folder; ends when it is dropped, or with the process.
#[derive(Debug)]
pub(super) struct DataLock {
    _file: File,
}

/// Takes the data folder's lock, so that a second server is refused.
pub(super) fn lock(data_dir: &Path) -> Result<DataLock, CliError> {
    std::fs::create_dir_all(data_dir).map_err(CliError::io(format!("cannot make {}", data_dir.display())))?;
    let path = data_dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(CliError::io(format!("cannot open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { _file: file }),
        Err(std::fs::TryLockError::WouldBlock) => Err(CliError::InUse(data_dir.display().to_string())),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(CliError::Io { what: format!("cannot lock {}", path.display()), source })
        }
    }
}
