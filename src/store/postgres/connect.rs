//! Owns the connections: how they are made, what every session is set to, and who may hold one for how long.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio_util::task::TaskTracker;

use super::error::classify;
use crate::store::StoreError;

/// How long a call waits for a connection. Longer than a posting transaction, shorter than a caller's patience.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);

/// How many prepared statements a connection keeps: all of ours, several times over.
const STATEMENT_CACHE: usize = 200;

/// Settings of every session.
///
/// The timeouts free the loans of a frozen worker. The planner is held to index walks and plans once per statement:
/// every statement here is a walk by key over arrays, statistics of an empty database must not choose otherwise, and
/// planning anew costs up to 1 ms a batch. `verify` and the sweep lift this inside their own transactions.
const SETTINGS: [(&str, &str); 9] = [
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("statement_timeout", "30s"),
    ("timezone", "UTC"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// The PostgreSQL store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    connections: Arc<Connections>,
}

#[derive(Debug)]
struct Connections {
    pool: PgPool,
    options: PgConnectOptions,
    tasks: TaskTracker,
    /// Connections that the hot paths keep in hand: the pool pings a connection that comes back, which would cost
    /// each batch a round trip. At most half of the pool rests here, so nobody waits for an idle connection.
    resting: Mutex<Vec<PoolConnection<Postgres>>>,
    resting_max: usize,
}

impl PostgresStore {
    /// Connects to a database, without touching its schema.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the URL is not one, [`StoreError::Unavailable`] when the database does not answer.
    pub async fn connect(url: &str, pool_size: u32) -> Result<Self, StoreError> {
        let base: PgConnectOptions = url.parse().map_err(classify)?;
        let base = base.application_name("hpts").statement_cache_capacity(STATEMENT_CACHE).disable_statement_logging();
        let options = base.clone().options(SETTINGS);
        let pool = PgPoolOptions::new()
            .max_connections(pool_size.max(1))
            .acquire_timeout(ACQUIRE_WAIT)
            .test_before_acquire(false)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(classify)?;
        let resting_max = usize::try_from(pool_size.max(1) >> 1).unwrap_or(0);
        let connections =
            Connections { pool, options: base, tasks: TaskTracker::new(), resting: Mutex::default(), resting_max };
        Ok(Self { connections: Arc::new(connections) })
    }

    /// Runs database work in an owned task and waits for it. A caller that stops waiting changes nothing.
    pub(super) async fn owned<T, W, F>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Self) -> F,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = self.connections.tasks.spawn(work(self.clone()));
        task.await.unwrap_or_else(|ended| Err(StoreError::Broken(format!("a database task ended early: {ended}"))))
    }

    /// A connection from the pool. Only inside [`Self::owned`].
    pub(super) async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.connections.pool.acquire().await.map_err(classify)
    }

    /// A connection for a hot path. Give it back with [`Self::rest`] when all went well; otherwise drop it, and the
    /// pool looks at it.
    pub(super) async fn hot_connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let resting = self.connections.resting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match resting {
            Some(connection) => Ok(connection),
            None => self.connection().await,
        }
    }

    /// Keeps a connection in hand.
    pub(super) fn rest(&self, connection: PoolConnection<Postgres>) {
        let mut resting = self.connections.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() < self.connections.resting_max && !self.connections.tasks.is_closed() {
            resting.push(connection);
        }
    }

    /// A connection of its own without time limits, for migrations.
    pub(super) async fn patient_connection(&self) -> Result<PgConnection, StoreError> {
        self.connections.options.connect().await.map_err(classify)
    }

    /// Waits for running work, then closes every connection.
    pub(super) async fn shut(&self) {
        self.connections.tasks.close();
        self.connections.tasks.wait().await;
        self.connections.resting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.connections.pool.close().await;
    }
}

/// READ COMMITTED: only there does a statement after the locks see what was committed while they were waited for.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Begins a transaction that writes.
pub(super) async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, StoreError> {
    connection.begin_with(BEGIN).await.map_err(classify)
}

/// Commits what went well and rolls back what did not.
pub(super) async fn finish<T>(
    transaction: Transaction<'_, Postgres>,
    done: Result<T, StoreError>,
) -> Result<T, StoreError> {
    match done {
        Ok(value) => transaction.commit().await.map_err(classify).map(|()| value),
        Err(error) => {
            // A rollback that fails leaves a broken connection, which the pool finds; the first error matters.
            let _rolled_back = transaction.rollback().await;
            Err(error)
        }
    }
}
