//! Owns the one table from SQLSTATE to [`StoreError`].

use std::error::Error;

use crate::store::StoreError;

/// Sorts an error of the driver by what a caller does about it.
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Database(database) = &error {
        let code = database.code().unwrap_or_default().into_owned();
        let constraint = database.constraint().unwrap_or(&code).to_owned();
        return classify_state(&code, constraint, error);
    }
    if is_connection(&error) {
        return StoreError::Unavailable(Box::new(error));
    }
    StoreError::Broken(with_causes(&error))
}

fn classify_state(code: &str, constraint: String, error: sqlx::Error) -> StoreError {
    match code {
        // Serialisation failure, deadlock, lock timeout, statement timeout.
        "40001" | "40P01" | "55P03" | "57014" => StoreError::Retry(Box::new(error)),
        // Shut down by the administrator, crash of another backend, starting up, idle in transaction for too long,
        // too many connections.
        "57P01" | "57P02" | "57P03" | "25P03" | "53300" => StoreError::Unavailable(Box::new(error)),
        state if state.starts_with("08") => StoreError::Unavailable(Box::new(error)),
        state if state.starts_with("22") || state.starts_with("23") => {
            StoreError::Data { constraint, source: Box::new(error) }
        }
        // A table or column that is not there.
        "42P01" | "42703" => StoreError::WrongSchema,
        _ => StoreError::Broken(with_causes(&error)),
    }
}

fn is_connection(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
    )
}

/// A retry for a reason of our own: what we read is not what we found when writing.
pub(super) fn overtaken(what: &'static str) -> StoreError {
    StoreError::Retry(what.into())
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
