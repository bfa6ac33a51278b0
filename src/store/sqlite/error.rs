//! Owns what an error of SQLite means to a caller of the store: decided by result code, here and nowhere else.

use crate::store::StoreError;

/// What a caller does about a result code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    TryAgain,
    ChangeData,
    Wait,
    Stop,
}

/// The low byte of a result code is its family: <https://sqlite.org/rescode.html>.
const fn remedy(code: i32) -> Remedy {
    match code & 0xff {
        // BUSY, LOCKED.
        5 | 6 => Remedy::TryAgain,
        // TOOBIG, CONSTRAINT, MISMATCH.
        18..=20 => Remedy::ChangeData,
        // NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB.
        7..=11 | 13..=15 | 26 => Remedy::Wait,
        _ => Remedy::Stop,
    }
}

/// The store's error for one of sqlx.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse().ok());
    let Some(code) = code else {
        return of_driver(error);
    };
    match remedy(code) {
        Remedy::TryAgain => StoreError::Retry(error.into()),
        Remedy::ChangeData => StoreError::Data { constraint: format!("sqlite {code}"), source: error.into() },
        Remedy::Wait => StoreError::Unavailable(error.into()),
        Remedy::Stop => StoreError::Broken(error.to_string()),
    }
}

fn of_driver(error: sqlx::Error) -> StoreError {
    use sqlx::Error::{BeginFailed, Io, PoolClosed, PoolTimedOut, WorkerCrashed};
    if matches!(error, BeginFailed | Io(_) | PoolClosed | PoolTimedOut | WorkerCrashed) {
        StoreError::Unavailable(error.into())
    } else {
        StoreError::Broken(error.to_string())
    }
}

/// The store has been closed, or its writer has ended.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes_say_what_to_do() {
        for (code, expected) in [
            (5, Remedy::TryAgain),
            (517, Remedy::TryAgain),
            (6, Remedy::TryAgain),
            (19, Remedy::ChangeData),
            (1811, Remedy::ChangeData),
            (2067, Remedy::ChangeData),
            (3091, Remedy::ChangeData),
            (10, Remedy::Wait),
            (1034, Remedy::Wait),
            (13, Remedy::Wait),
            (14, Remedy::Wait),
            (8, Remedy::Wait),
            (1032, Remedy::Wait),
            (26, Remedy::Wait),
            (4874, Remedy::Wait),
            (11, Remedy::Wait),
            (1, Remedy::Stop),
            (21, Remedy::Stop),
        ] {
            assert_eq!(remedy(code), expected, "{code}");
        }
    }
}
