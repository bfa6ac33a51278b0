//! Owns databases that a measurement makes beside another one and drops afterwards.
//!
//! Each carries a mark. One that an interrupted measurement left behind is dropped by the next; one without the mark
//! is somebody else's and is left alone, and so is one that is in use.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::store::StoreError;
use crate::store::postgres::connect::PostgresStore;
use crate::store::postgres::error::classify;

/// What a database of ours says of itself.
const MARK: &str = "made by hpts bench, dropped by the next run";

/// The longest name PostgreSQL keeps whole.
const NAME_BYTES_MAX: usize = 63;

const READ_MARK: &str = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1";

/// What a database is made for; gives it its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchPurpose {
    /// The raw limit.
    Limit,
    /// The usual worker.
    Naive,
}

impl BenchPurpose {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Limit => "_bench_limit",
            Self::Naive => "_bench_naive",
        }
    }
}

/// Why there is no such database.
#[derive(Debug, thiserror::Error)]
pub enum BenchDatabaseError {
    /// One of that name is there and was not made by a measurement.
    #[error("there is a database {0} that no measurement made; drop it first if nobody needs it")]
    Taken(String),
    /// The name does not fit.
    #[error("{0} is too long for the name of a database")]
    Name(String),
    /// The server.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A database made for a measurement. Nothing drops it but [`Self::drop_database`] and the next measurement.
#[derive(Debug)]
pub struct BenchDatabase {
    server: PgConnectOptions,
    name: String,
}

impl BenchDatabase {
    /// Makes an empty database beside the one of the URL, whose role must be able to make databases.
    ///
    /// # Errors
    /// See [`BenchDatabaseError`].
    pub async fn create(url: &str, purpose: BenchPurpose) -> Result<Self, BenchDatabaseError> {
        let server: PgConnectOptions = url.parse().map_err(classify)?;
        let beside = server.get_database().unwrap_or_else(|| server.get_username());
        let name = format!("{beside}{}", purpose.suffix());
        if name.len() > NAME_BYTES_MAX {
            return Err(BenchDatabaseError::Name(name));
        }
        let mut connection = connect(&server).await?;
        let row: Option<(Option<String>,)> =
            sqlx::query_as(READ_MARK).bind(&name).fetch_optional(&mut connection).await.map_err(classify)?;
        match row {
            None => {}
            Some((Some(mark),)) if mark == MARK => run(&mut connection, &drop_statement(&name)).await?,
            Some(_) => return Err(BenchDatabaseError::Taken(name)),
        }
        run(&mut connection, &format!("CREATE DATABASE {}", quoted(&name))).await?;
        run(&mut connection, &format!("COMMENT ON DATABASE {} IS '{MARK}'", quoted(&name))).await?;
        close(connection).await;
        Ok(Self { server, name })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A store on it, without a schema yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    pub async fn store(&self, pool_size: u32) -> Result<PostgresStore, StoreError> {
        PostgresStore::connect_with(self.server.clone().database(&self.name), pool_size).await
    }

    /// Drops it. Stores on it are closed before.
    ///
    /// # Errors
    /// [`StoreError`] when it is still in use, or the server does not answer.
    pub async fn drop_database(self) -> Result<(), StoreError> {
        let mut connection = connect(&self.server).await?;
        run(&mut connection, &drop_statement(&self.name)).await?;
        close(connection).await;
        Ok(())
    }
}

fn drop_statement(name: &str) -> String {
    format!("DROP DATABASE {}", quoted(name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn connect(server: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    server.clone().application_name("hpts bench").disable_statement_logging().connect().await.map_err(classify)
}

/// Names of databases cannot be arguments; [`quoted`] makes them harmless.
async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map_err(classify)?;
    Ok(())
}

async fn close(connection: PgConnection) {
    // All is done by now; a connection that does not close in order costs nobody anything.
    let _closed = connection.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        assert_eq!(quoted("hpts"), "\"hpts\"");
        assert_eq!(quoted("a\"; DROP TABLE b"), "\"a\"\"; DROP TABLE b\"");
    }
}
