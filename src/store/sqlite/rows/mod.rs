//! Owns how rows come out of a statement: into types that cannot be wrong. A row that does not fit is not believed:
//! [`StoreError::Broken`].

mod event;
mod loan;
mod posting;

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};
use uuid::Uuid;

use crate::core::ids::TenantId;
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;

pub(super) use event::{decode_event, decode_record, decode_stage, event_columns};
pub(super) use loan::{decode_loan, loan_columns, on_hold};
pub(super) use posting::{
    decode_accrual, decode_allocation, decode_lines, decode_movement, decode_outcome, decode_posting, posting_columns,
};

/// A column by its name.
pub(super) fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(column).map_err(store_error)
}

/// A row that cannot be.
pub(super) fn broken(what: &str) -> StoreError {
    StoreError::Broken(what.to_owned())
}

/// A column of `N` bytes.
pub(super) fn bytes<const N: usize>(row: &SqliteRow, column: &str) -> Result<[u8; N], StoreError> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| broken(column))
}

/// A column of `N` bytes that may be NULL.
pub(super) fn optional_bytes<const N: usize>(row: &SqliteRow, column: &str) -> Result<Option<[u8; N]>, StoreError> {
    let value: Option<&[u8]> = get(row, column)?;
    value.map(|bytes| bytes.try_into().map_err(|_| broken(column))).transpose()
}

/// A column of an instant.
pub(super) fn instant(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(get(row, column)?).ok_or_else(|| broken(column))
}

/// A column of a date.
pub(super) fn date(row: &SqliteRow, column: &str) -> Result<chrono::NaiveDate, StoreError> {
    crate::core::time::parse_date(get(row, column)?).map_err(|_| broken(column))
}

/// A column of an amount.
pub(super) fn minor(row: &SqliteRow, column: &str) -> Result<Minor, StoreError> {
    get(row, column).map(Minor::new)
}

/// A column of a stored word.
pub(super) fn word<T: std::str::FromStr>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    get::<&str>(row, column)?.parse().map_err(|_| broken(column))
}

/// A column of a sum of 128 bits in decimal text.
pub(super) fn sum(row: &SqliteRow, column: &str) -> Result<i128, StoreError> {
    word(row, column)
}

/// A column of an id.
pub(super) fn id(row: &SqliteRow, column: &str) -> Result<Uuid, StoreError> {
    bytes(row, column).map(Uuid::from_bytes)
}

/// The column `tenant`.
pub(super) fn tenant(row: &SqliteRow) -> Result<TenantId, StoreError> {
    id(row, "tenant").map(TenantId)
}
