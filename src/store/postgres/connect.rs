//! Owns the connections: how they are made, what every session is set to, and who may hold one for how long.

use std::future::Future;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio_util::task::TaskTracker;

use super::error::classify;
use super::fresh::KeyForecast;
use super::post::KnownLoans;
use crate::runtime::clock::Stopwatch;
use crate::runtime::telemetry::DB_POOL_WAIT;
use crate::store::StoreError;
use crate::store::calendars::CalendarCache;

/// How long a call waits for a connection. Longer than a posting transaction, shorter than a caller's patience.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);

/// How long a call may take: waiting for a connection and one statement at its own limit, and no longer where the
/// server or the network does not answer at all. The driver sets no TCP keepalive.
const CALL_MAX: Duration = Duration::from_secs(35);

/// The same for what reads much or changes the schema.
const LONG_CALL_MAX: Duration = Duration::from_mins(10);

/// How many prepared statements a connection keeps: all of ours, several times over.
const STATEMENT_CACHE: usize = 200;

/// From here on a server that hangs up has ended a transaction which rested: somewhat less than the sessions' setting. It
/// says so before it closes, but who writes into a closed connection need not read that.
pub(super) const REST_MAX: Duration = Duration::from_secs(9);

/// Settings of every session.
///
/// The timeouts free the loans of a frozen worker. The planner is held to index walks: every statement here is a walk
/// by key over arrays, and statistics of an empty database must not choose otherwise. `verify` and the sweep lift this
/// inside their own transactions.
const SETTINGS: [(&str, &str); 10] = [
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("statement_timeout", "30s"),
    ("timezone", "UTC"),
    ("jit", "off"),
    ("plan_cache_mode", "force_custom_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// A path on which each round trip counts, with connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HotPath {
    /// The intake's one statement.
    Accept,
    /// A lane's batch.
    Post,
    /// The beginning, the progress and the end of an upload: each of its thousand rows pays for their planning.
    Upload,
}

impl HotPath {
    /// What its connections are set to. Planning anew costs 0.5 to 1 ms a statement, half of a single payment. A number
    /// that the intake has drawn may stay invisible for as long as its three statements and the pauses between them may
    /// take, 10 s each: the sweeper moves its mark over far older rows only.
    const fn settings(self) -> &'static str {
        match self {
            Self::Accept => "SET plan_cache_mode = force_generic_plan; SET statement_timeout = '10s'",
            Self::Post | Self::Upload => "SET plan_cache_mode = force_generic_plan; SET statement_timeout = '30s'",
        }
    }
}

/// Plans are made from the tables' sizes of that moment; a fresh database outgrows them within seconds.
const PLAN_ANEW: &str = "DISCARD PLANS";

/// How long a plan serves.
const PLAN_AGE_MAX: Duration = Duration::from_secs(2);

/// The PostgreSQL store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    connections: Arc<Connections>,
    /// What the posting transactions have read of closed periods.
    pub(super) calendars: CalendarCache,
    /// How the loans stood that they posted to.
    pub(super) known_loans: KnownLoans,
    call_max: Duration,
    /// Whether the call this handle was made for must not leave its connections to others.
    spoiled: Arc<AtomicBool>,
}

/// A connection in the hands of a call. It goes back to the pool, unless the call ran out of time in the middle of
/// something or lost the server: then it is closed.
#[derive(Debug)]
pub(super) struct CallConnection {
    connection: PoolConnection<Postgres>,
    spoiled: Arc<AtomicBool>,
}

impl Deref for CallConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for CallConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for CallConnection {
    fn drop(&mut self) {
        if self.spoiled.load(Ordering::Relaxed) {
            self.connection.close_on_drop();
        }
    }
}

/// A connection of a hot path, with the age of its plans. The intake's is closed when it is not given back, because
/// nobody else works within its time limit.
#[derive(Debug)]
pub(super) struct HotConnection {
    connection: CallConnection,
    path: HotPath,
    planned: Stopwatch,
}

impl HotConnection {
    async fn set(mut self, settings: &'static str) -> Result<Self, StoreError> {
        sqlx::raw_sql(settings).execute(&mut *self).await.map_err(classify)?;
        self.planned = Stopwatch::start();
        Ok(self)
    }
}

impl Drop for HotConnection {
    fn drop(&mut self) {
        match self.path {
            HotPath::Accept => self.connection.connection.close_on_drop(),
            HotPath::Post | HotPath::Upload => {}
        }
    }
}

impl Deref for HotConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for HotConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

#[derive(Debug)]
struct Connections {
    pool: PgPool,
    options: PgConnectOptions,
    tasks: TaskTracker,
    /// Connections that the hot paths keep in hand: the pool pings a connection that comes back, which would cost
    /// each batch a round trip. At most half of the pool rests here for posting, two for the intake's tasks and two for
    /// uploads, and one is always left, so nobody waits for an idle connection.
    resting: Mutex<Vec<HotConnection>>,
    pool_size: u32,
    key_forecast: KeyForecast,
}

impl Connections {
    /// How many connections of a path may rest.
    fn resting_max(&self, path: HotPath) -> usize {
        let post = self.pool_size >> 1;
        let others = self.pool_size.saturating_sub(post).saturating_sub(1);
        let most = match path {
            HotPath::Accept => others.min(2),
            HotPath::Post => post,
            HotPath::Upload => others.saturating_sub(2).min(2),
        };
        usize::try_from(most).unwrap_or(0)
    }
}

impl PostgresStore {
    /// Connects to a database, without touching its schema.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the URL is not one, [`StoreError::Unavailable`] when the database does not answer.
    pub async fn connect(url: &str, pool_size: u32) -> Result<Self, StoreError> {
        Self::connect_with(url.parse().map_err(classify)?, pool_size).await
    }

    /// The same with parsed options.
    pub(super) async fn connect_with(options: PgConnectOptions, pool_size: u32) -> Result<Self, StoreError> {
        let base = plain_on_loopback(options);
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
        let pool_size = pool_size.max(1);
        let connections = Connections {
            pool,
            options: base,
            tasks: TaskTracker::new(),
            resting: Mutex::default(),
            pool_size,
            key_forecast: KeyForecast::default(),
        };
        Ok(Self {
            connections: Arc::new(connections),
            calendars: CalendarCache::default(),
            known_loans: KnownLoans::default(),
            call_max: CALL_MAX,
            spoiled: Arc::default(),
        })
    }

    /// The same store with another limit for an ordinary call.
    #[must_use]
    pub fn with_call_max(self, call_max: Duration) -> Self {
        Self { call_max, ..self }
    }

    /// Runs database work in an owned task and waits for it. A caller that stops waiting changes nothing; the work
    /// ends by itself, at the latest when its time is over.
    pub(super) async fn owned<T, W, F>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Self) -> F,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.owned_for(self.call_max, work).await
    }

    /// The same for work that may take minutes.
    pub(super) async fn owned_long<T, W, F>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Self) -> F,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.owned_for(LONG_CALL_MAX, work).await
    }

    async fn owned_for<T, W, F>(&self, call_max: Duration, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Self) -> F,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let store = Self { spoiled: Arc::default(), ..self.clone() };
        let spoiled = Arc::clone(&store.spoiled);
        let work = work(store);
        let task = self.connections.tasks.spawn(async move {
            let work = pin!(work);
            match tokio::time::timeout(call_max, work).await {
                Ok(done) => done,
                Err(elapsed) => {
                    // Before the work is dropped with its connections.
                    spoiled.store(true, Ordering::Relaxed);
                    Err(StoreError::Unavailable(Box::new(elapsed)))
                }
            }
        });
        task.await.unwrap_or_else(|ended| Err(StoreError::Broken(format!("a database task ended early: {ended}"))))
    }

    /// A connection from the pool. Only inside [`Self::owned`].
    pub(super) async fn connection(&self) -> Result<CallConnection, StoreError> {
        let watch = Stopwatch::start();
        let connection = self.connections.pool.acquire().await.map_err(classify)?;
        metrics::histogram!(DB_POOL_WAIT).record(watch.elapsed().as_secs_f64());
        Ok(CallConnection { connection, spoiled: Arc::clone(&self.spoiled) })
    }

    /// A connection for a hot path. Give it back with [`Self::rest`] when all went well; otherwise drop it, and the
    /// pool looks at it.
    pub(super) async fn hot_connection(&self, path: HotPath) -> Result<HotConnection, StoreError> {
        let Some(mut hot) = self.resting(path) else {
            let hot = HotConnection { connection: self.connection().await?, path, planned: Stopwatch::start() };
            return hot.set(path.settings()).await.inspect_err(|error| self.doubt(error));
        };
        hot.connection.spoiled = Arc::clone(&self.spoiled);
        if hot.planned.elapsed() < PLAN_AGE_MAX {
            return Ok(hot);
        }
        hot.set(PLAN_ANEW).await.inspect_err(|error| self.doubt(error))
    }

    fn resting(&self, path: HotPath) -> Option<HotConnection> {
        let mut resting = self.connections.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let place = resting.iter().rposition(|hot| hot.path == path)?;
        Some(resting.remove(place))
    }

    /// What a hot path's error says of the connections: when the server is gone, those that lie idle are gone as well,
    /// and a call that tries again must not try each of them. The caller's own is closed, too.
    pub(super) fn doubt(&self, error: &StoreError) {
        if !matches!(error, StoreError::Unavailable(_)) {
            return;
        }
        self.spoiled.store(true, Ordering::Relaxed);
        let resting = std::mem::take(&mut *self.connections.resting.lock().unwrap_or_else(PoisonError::into_inner));
        for mut hot in resting {
            hot.connection.connection.close_on_drop();
        }
        // Those that are taken stay taken until all are, so that none is seen twice.
        let mut idle: Vec<_> = std::iter::from_fn(|| self.connections.pool.try_acquire()).collect();
        idle.iter_mut().for_each(PoolConnection::close_on_drop);
    }

    /// Keeps a connection in hand.
    pub(super) fn rest(&self, connection: HotConnection) {
        let mut resting = self.connections.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let others = resting.iter().filter(|hot| hot.path == connection.path).count();
        if others < self.connections.resting_max(connection.path) && !self.connections.tasks.is_closed() {
            resting.push(connection);
        }
    }

    /// What this process has seen of keys lately.
    pub(super) fn key_forecast(&self) -> &KeyForecast {
        &self.connections.key_forecast
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

/// Leaves out TLS towards our own machine unless the URL insists. It protects nothing there, and the driver writes a
/// record at a time without `TCP_NODELAY`: the last record of a batch then waits 40 ms for an acknowledgement.
fn plain_on_loopback(options: PgConnectOptions) -> PgConnectOptions {
    let host = options.get_host();
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_loopback && matches!(options.get_ssl_mode(), PgSslMode::Prefer) {
        options.ssl_mode(PgSslMode::Disable)
    } else {
        options
    }
}

/// READ COMMITTED: only there does a statement after the locks see what was committed while they were waited for.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What is read one after the other and must fit together, as of one moment.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

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
