//! Owns how the database file is opened, and the limits of its connections.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::SqlitePool;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// Reads that run at once. More would only take turns on the machine's cores.
pub(super) const READERS_MAX: u32 = 4;
/// How long a read waits for a connection before it counts as unavailable.
const READER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a statement waits for a lock that another process holds (a backup, an operator's command).
const BUSY_WAIT_MAX: Duration = Duration::from_secs(3);
/// Statements kept prepared per connection: more than [`super::statements::STATEMENTS`] has.
const PREPARED_MAX: usize = 150;
/// Rows that cross from SQLite's thread before it waits for us: a whole batch.
const ROWS_IN_FLIGHT: usize = 2048;
/// Page cache of the writer, in KiB (a negative `cache_size` counts KiB, a positive one pages). A page that is not in it
/// comes from the system's cache for a microsecond or two; but a commit that split a page walks the whole cache, which
/// cost a tenth of a payment with 96 MiB.
const WRITER_CACHE: &str = "-12288";
/// Page cache of each reader.
const READER_CACHE: &str = "-4096";
/// Pages in the write-ahead log before a commit moves them into the file: 128 MiB, so that a page that many batches
/// touch is moved once, and the log's file stops growing soon: the disk takes a file that grows more slowly.
const CHECKPOINT_PAGES: &str = "32768";
/// The log file is cut back to this many bytes after a checkpoint.
const LOG_BYTES_KEPT: &str = "268435456";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_WAIT_MAX)
        .statement_cache_capacity(PREPARED_MAX)
        .row_buffer_size(ROWS_IN_FLIGHT)
        .disable_statement_logging()
}

/// The writer: makes the file, waits for the disk at every commit.
pub(super) fn writer_options(path: &Path) -> SqliteConnectOptions {
    options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", WRITER_CACHE)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        .thread_name(|_| "sqlite-writer".to_owned())
}

/// The readers; they connect when they are first needed.
pub(super) fn readers(path: &Path) -> SqlitePool {
    let reader = options(path)
        .read_only(true)
        .pragma("cache_size", READER_CACHE)
        .thread_name(|number| format!("sqlite-reader-{number}"));
    PoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(READER_WAIT_MAX)
        .test_before_acquire(false)
        .connect_lazy_with(reader)
}
