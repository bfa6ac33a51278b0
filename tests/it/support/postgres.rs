//! A PostgreSQL database of a test's own, dropped with it, however the test ends.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use hpts::store::Store;
use hpts::store::postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

/// Where the server is; the role must be able to make databases.
const DEFAULT_URL: &str = "postgres://hpts:hpts@127.0.0.1:5432/hpts";

/// The role that migrations grant to where it exists; its password is its name.
pub(crate) const SERVICE_ROLE: &str = "hpts_service";

/// Makes the role of the servers, which belongs to the whole server and stays. One at a time: tests run side by side.
pub(crate) async fn service_role() {
    let sql = "BEGIN; SELECT pg_advisory_xact_lock(4711); DO $$ BEGIN \
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN \
        CREATE ROLE hpts_service LOGIN PASSWORD 'hpts_service'; END IF; END $$; COMMIT";
    run(&server_url(), sql).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
fn server_url() -> String {
    std::env::var("HPTS_TEST_DATABASE_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned())
}

/// The server's URL with another database in its path; what follows a `?` stays.
fn url_of(database: &str) -> String {
    let url = server_url();
    let (base, query) = url.split_once('?').map_or((url.as_str(), ""), |(base, query)| (base, query));
    let (server, _) = base.rsplit_once('/').unwrap();
    format!("{server}/{database}?{query}")
}

/// A migrated store on a fresh database.
pub(crate) struct PostgresDatabase {
    name: String,
    url: String,
    store: PostgresStore,
}

impl PostgresDatabase {
    /// Makes the database and migrates it.
    pub(crate) async fn open() -> Self {
        let name = format!("hpts_test_{}", Uuid::new_v4().simple());
        run(&server_url(), &format!("CREATE DATABASE {name}")).await.unwrap();
        let url = url_of(&name);
        let store = PostgresStore::connect(&url, 4).await.unwrap();
        store.migrate(8).await.unwrap();
        Self { name, url, store }
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same database through another address.
    pub(crate) async fn store_at(&self, address: SocketAddr) -> PostgresStore {
        let (login, place) = self.url.rsplit_once('@').unwrap();
        let (_, path) = place.split_once('/').unwrap();
        PostgresStore::connect(&format!("{login}@{address}/{path}"), 4).await.unwrap()
    }

    /// Where the server is.
    pub(crate) fn server(&self) -> SocketAddr {
        let (_, place) = self.url.rsplit_once('@').unwrap();
        let (address, _) = place.split_once('/').unwrap();
        address.to_socket_addrs().unwrap().next().unwrap()
    }

    /// A connection beside the store's.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Runs statements as the owner of the database.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), String> {
        run(&self.url, sql).await
    }

    /// Runs a query and tells by which plan, under the settings of the store's sessions.
    pub(crate) async fn plan(&self, sql: &str) -> String {
        self.plan_without(&[], sql).await
    }

    /// The same where a transaction of the store goes without more.
    pub(crate) async fn plan_without(&self, more: &[&str], sql: &str) -> String {
        let mut connection = self.connection().await;
        let always = ["enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"];
        for setting in always.iter().chain(more) {
            connection.execute(AssertSqlSafe(format!("SET {setting} = off"))).await.unwrap();
        }
        let explained = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {sql}");
        let rows = connection.fetch_all(AssertSqlSafe(explained)).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
    }

    /// Runs statements with the guards of the journal switched off, as a thief with the owner's password would.
    pub(crate) async fn tamper(&self, sql: &str) {
        let guards = |switch: &str| {
            format!("ALTER TABLE events {switch} TRIGGER ALL; ALTER TABLE postings {switch} TRIGGER ALL")
        };
        self.execute(&format!("{}; {sql}; {}", guards("DISABLE"), guards("ENABLE"))).await.unwrap();
    }
}

async fn run(url: &str, sql: &str) -> Result<(), String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test's runtime cannot be waited on from inside; a panicking test must clean up as well.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&server_url(), &sql))
        });
        let _dropped = dropped.join();
    }
}
