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
    match remedy(code) {
        // The rows, not the day: they will be refused again.
        Remedy::ChangeData => StoreError::Data { constraint, source: Box::new(error) },
        Remedy::TryAgain => StoreError::Retry(Box::new(error)),
        Remedy::DoLess => StoreError::OutOfTime(Box::new(error)),
        Remedy::Wait => StoreError::Unavailable(Box::new(error)),
        Remedy::Migrate => StoreError::WrongSchema,
        Remedy::Stop => StoreError::Broken(with_causes(&error)),
    }
}

/// What a caller does about a SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    TryAgain,
    DoLess,
    ChangeData,
    Wait,
    Migrate,
    Stop,
}

/// The first two characters are the class: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn remedy(code: &str) -> Remedy {
    match (code, code.get(..2).unwrap_or_default()) {
        // Serialisation failure, deadlock, lock timeout, statement timeout, a transaction that failed before.
        ("40001" | "40P01" | "55P03" | "57014" | "25P02", _) => Remedy::TryAgain,
        // A transaction that rested for too long.
        ("25P03", _) => Remedy::DoLess,
        // Cardinality, values, constraints; what our triggers raise.
        ("P0001", _) | (_, "21" | "22" | "23") => Remedy::ChangeData,
        // A table or column that is not there.
        ("42P01" | "42703", _) => Remedy::Migrate,
        // Connections, plans from before a migration, a server that only reads, credentials, a database that is not
        // there, resources, operators, the server's disk, the server itself; and a privilege that an operator took.
        ("42501", _) | (_, "08" | "0A" | "25" | "28" | "3D" | "53" | "57" | "58" | "XX") => Remedy::Wait,
        _ => Remedy::Stop,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_say_what_to_do() {
        for (code, expected) in [
            ("40001", Remedy::TryAgain),
            ("40P01", Remedy::TryAgain),
            ("55P03", Remedy::TryAgain),
            ("57014", Remedy::TryAgain),
            ("25P02", Remedy::TryAgain),
            ("21000", Remedy::ChangeData),
            ("22003", Remedy::ChangeData),
            ("23505", Remedy::ChangeData),
            ("23001", Remedy::ChangeData),
            ("P0001", Remedy::ChangeData),
            ("08006", Remedy::Wait),
            ("0A000", Remedy::Wait),
            ("25006", Remedy::Wait),
            ("25P03", Remedy::DoLess),
            ("28P01", Remedy::Wait),
            ("3D000", Remedy::Wait),
            ("42501", Remedy::Wait),
            ("53100", Remedy::Wait),
            ("53300", Remedy::Wait),
            ("57P01", Remedy::Wait),
            ("57P03", Remedy::Wait),
            ("58030", Remedy::Wait),
            ("XX001", Remedy::Wait),
            ("42P01", Remedy::Migrate),
            ("42703", Remedy::Migrate),
            ("42601", Remedy::Stop),
            ("42883", Remedy::Stop),
            ("", Remedy::Stop),
        ] {
            assert_eq!(remedy(code), expected, "{code}");
        }
    }
}
