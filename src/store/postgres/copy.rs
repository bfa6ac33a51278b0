//! Owns the binary form in which many rows go into a table at once (`COPY … FROM STDIN (FORMAT binary)`).
//!
//! A row that is copied costs a third less than one that comes out of `unnest`: nothing is taken apart and put together
//! again, and the rows of a page are written and logged together. Checks and keys hold as for any other row. The form:
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use chrono::{Datelike, NaiveDate};
use sqlx::PgConnection;
use uuid::Uuid;

use super::error::{classify, overtaken};
use crate::core::time::Timestamp;
use crate::store::StoreError;

/// From how many rows on copying pays: it takes more round trips than one statement with arrays, and over TCP each copy
/// may wait for a delayed acknowledgement (the driver does not set `TCP_NODELAY`), which the callers of single payments
/// would feel: 256 of them came to 1,600/s where commits of 32 were copied. Uploads come by the thousand.
pub(super) const COPIED_FROM: usize = 512;

/// Signature, flags and the length of a header extension that we do not have.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Ends the rows.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Stands for the length of a NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// PostgreSQL counts from 1 January 2000: microseconds of 1970 until then.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// And days of the common era.
const EPOCH_DAYS: i32 = 730_120;
/// The types of array elements: <https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat>.
const SMALLINT: i32 = 21;
const BIGINT: i32 = 20;

/// Rows on their way into a table.
#[derive(Debug)]
pub(super) struct CopiedRows {
    bytes: Vec<u8>,
    columns: [u8; 2],
    rows: u64,
}

impl CopiedRows {
    /// No rows yet, of so many columns.
    pub(super) fn of_columns(columns: i16, bytes: usize) -> Self {
        let mut copied = Self { bytes: Vec::with_capacity(bytes), columns: columns.to_be_bytes(), rows: 0 };
        copied.bytes.extend_from_slice(HEADER);
        copied
    }

    /// Begins a row: its columns follow in the order of the statement.
    pub(super) fn row(&mut self) -> &mut Self {
        self.rows = self.rows.saturating_add(1);
        self.bytes.extend_from_slice(&self.columns);
        self
    }

    /// A column of bytes: `bytea`, `text`, `uuid`.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.length(value.len());
        self.bytes.extend_from_slice(value);
        self
    }

    /// A column without a value.
    pub(super) fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&NULL);
        self
    }

    /// A column that may lack its value.
    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl Fn(&mut Self, T) -> &mut Self) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// `text`.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// `uuid`.
    pub(super) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// `bigint`.
    pub(super) fn bigint(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// `smallint`.
    pub(super) fn smallint(&mut self, value: i16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// `date`.
    pub(super) fn date(&mut self, value: NaiveDate) -> &mut Self {
        self.bytes(&value.num_days_from_ce().saturating_sub(EPOCH_DAYS).to_be_bytes())
    }

    /// `timestamptz`.
    pub(super) fn instant(&mut self, value: Timestamp) -> &mut Self {
        self.bigint(value.micros().saturating_sub(EPOCH_MICROS))
    }

    /// `smallint[]`.
    pub(super) fn smallints(&mut self, values: impl ExactSizeIterator<Item = i16>) -> &mut Self {
        self.array(SMALLINT, values.map(i16::to_be_bytes))
    }

    /// `bigint[]`.
    pub(super) fn bigints(&mut self, values: impl ExactSizeIterator<Item = i64>) -> &mut Self {
        self.array(BIGINT, values.map(i64::to_be_bytes))
    }

    /// Dimensions, whether there are NULLs, the elements' type; then, where there are elements, how many, the number of
    /// the first, and each with its length.
    fn array<const N: usize>(&mut self, element: i32, values: impl ExactSizeIterator<Item = [u8; N]>) -> &mut Self {
        let count = values.len();
        let each = size_of::<i32>().saturating_add(N);
        let (dimensions, counted) = if count == 0 { (0, 0) } else { (1, 8) };
        self.length(count.saturating_mul(each).saturating_add(12).saturating_add(counted));
        self.integer(dimensions).integer(0).integer(element);
        if count > 0 {
            self.length(count);
            self.integer(1);
        }
        for value in values {
            self.bytes(&value);
        }
        self
    }

    fn integer(&mut self, value: i32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// No column of ours comes near two gigabytes; the server would refuse one.
    fn length(&mut self, bytes: usize) {
        self.integer(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    /// Sends the rows: three round trips. In a transaction of the caller's; all of them are written, or none.
    pub(super) async fn send(
        mut self,
        connection: &mut PgConnection,
        statement: &'static str,
    ) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&TRAILER);
        let mut copy = connection.copy_in_raw(statement).await.map_err(classify)?;
        copy.send(self.bytes).await.map_err(classify)?;
        let written = copy.finish().await.map_err(classify)?;
        if written == self.rows { Ok(()) } else { Err(overtaken("fewer rows were copied than given")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_the_first_day_of_2000() {
        let day = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        assert_eq!(day.num_days_from_ce(), EPOCH_DAYS);
        let instant = day.and_hms_opt(0, 0, 0).unwrap().and_utc();
        assert_eq!(Timestamp::new(instant).micros(), EPOCH_MICROS);
    }

    #[test]
    fn a_row_is_its_columns_with_their_lengths() {
        let mut rows = CopiedRows::of_columns(3, 0);
        rows.row().optional(None::<i64>, CopiedRows::bigint).text("ab").smallints([7].into_iter());
        let row = [
            [0, 3].as_slice(),
            &[255; 4],
            &[0, 0, 0, 2, b'a', b'b'],
            &[0, 0, 0, 26, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7],
        ];
        assert_eq!(rows.bytes[HEADER.len()..], row.concat());
    }
}
