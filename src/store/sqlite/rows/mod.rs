//! Owns how rows come out of a statement: into types that cannot be wrong. A row that does not fit is not believed:
//! [`StoreError::Broken`].

mod event;
mod loan;
mod packed;
mod posting;

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};
use uuid::Uuid;

use crate::core::ids::TenantId;
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;

pub(super) use event::{
    EVENT_COLUMNS, decode_event, decode_posted, decode_record, decode_stage, decode_status, event_columns, packed_event,
};
pub(super) use loan::{LOAN_COLUMNS, decode_loan, loan_columns, on_hold, packed_loan};
pub(super) use packed::{ColumnNames, Packed, PackedRow};
pub(super) use posting::{
    decode_accrual, decode_allocation, decode_lines, decode_moved, decode_movement, decode_outcome, decode_posting,
    posting_columns,
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

/// A row whose columns are read by name: one that came by itself, or one of many that came packed.
pub(super) trait Columns {
    /// A whole number, or NULL.
    fn optional_int(&self, column: &str) -> Result<Option<i64>, StoreError>;

    /// A text, or NULL.
    fn optional_text(&self, column: &str) -> Result<Option<&str>, StoreError>;

    /// `N` bytes, or NULL.
    fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, StoreError>;
}

impl Columns for SqliteRow {
    fn optional_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        get(self, column)
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
        get(self, column)
    }

    fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, StoreError> {
        let value: Option<&[u8]> = get(self, column)?;
        value.map(|bytes| bytes.try_into().map_err(|_| broken(column))).transpose()
    }
}

/// A column of a whole number.
pub(super) fn int(row: &impl Columns, column: &str) -> Result<i64, StoreError> {
    row.optional_int(column)?.ok_or_else(|| broken(column))
}

/// A column of a smaller whole number that may be NULL.
pub(super) fn optional_small<T: TryFrom<i64>>(row: &impl Columns, column: &str) -> Result<Option<T>, StoreError> {
    row.optional_int(column)?.map(|value| T::try_from(value).map_err(|_| broken(column))).transpose()
}

/// A column of a text.
pub(super) fn text<'r>(row: &'r impl Columns, column: &str) -> Result<&'r str, StoreError> {
    row.optional_text(column)?.ok_or_else(|| broken(column))
}

/// A column of `N` bytes.
pub(super) fn bytes<const N: usize>(row: &impl Columns, column: &str) -> Result<[u8; N], StoreError> {
    row.optional_bytes(column)?.ok_or_else(|| broken(column))
}

/// A column of `N` bytes that may be NULL.
pub(super) fn optional_bytes<const N: usize>(row: &impl Columns, column: &str) -> Result<Option<[u8; N]>, StoreError> {
    row.optional_bytes(column)
}

/// A column of an instant.
pub(super) fn instant(row: &impl Columns, column: &str) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(int(row, column)?).ok_or_else(|| broken(column))
}

/// A column of a date.
pub(super) fn date(row: &impl Columns, column: &str) -> Result<chrono::NaiveDate, StoreError> {
    crate::core::time::parse_date(text(row, column)?).map_err(|_| broken(column))
}

/// A column of an amount.
pub(super) fn minor(row: &impl Columns, column: &str) -> Result<Minor, StoreError> {
    int(row, column).map(Minor::new)
}

/// A column of a stored word.
pub(super) fn word<T: std::str::FromStr>(row: &impl Columns, column: &str) -> Result<T, StoreError> {
    text(row, column)?.parse().map_err(|_| broken(column))
}

/// A column of a sum of 128 bits in decimal text.
pub(super) fn sum(row: &impl Columns, column: &str) -> Result<i128, StoreError> {
    word(row, column)
}

/// A column of an id.
pub(super) fn id(row: &impl Columns, column: &str) -> Result<Uuid, StoreError> {
    bytes(row, column).map(Uuid::from_bytes)
}

/// The column `tenant`.
pub(super) fn tenant(row: &impl Columns) -> Result<TenantId, StoreError> {
    id(row, "tenant").map(TenantId)
}
