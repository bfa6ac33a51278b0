//! Owns statements whose rows are parameters: what every payment writes goes in so, without a JSON text between that is
//! made here and taken apart there.
//!
//! Such a statement is written for one row, `VALUES (?, ?)`. For more it is made once for each power of two and kept
//! prepared; the rows that a batch has less are NULL throughout, and the statement leaves them out by their first column.
//! Parameters have no numbers, because sqlx hands them out over the statements of a script in turn.

use std::sync::OnceLock;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, Encode, Sqlite, Type};

use crate::store::StoreError;

/// The most rows of one statement: SQLite takes 32,766 parameters, and the widest row has 25.
pub(super) const ROWS_MAX: usize = 1 << (SIZES - 1);
/// 1, 2, 4 … 512 rows.
const SIZES: usize = 10;
const ROW: &str = "VALUES (";

/// A statement for any number of rows up to [`ROWS_MAX`].
#[derive(Debug)]
pub(super) struct ManyRows {
    one: &'static str,
    texts: [OnceLock<String>; SIZES],
}

impl ManyRows {
    /// From the statement for one row.
    pub(super) const fn new(one: &'static str) -> Self {
        Self { one, texts: [const { OnceLock::new() }; SIZES] }
    }

    /// The text for so many rows, and how many it has.
    pub(super) fn text(&'static self, rows: usize) -> (&'static str, usize) {
        let place = usize::try_from(rows.max(1).next_power_of_two().trailing_zeros()).unwrap_or(0).min(SIZES - 1);
        let size = 1_usize << place;
        let text = self.texts.get(place).map_or(self.one, |text| text.get_or_init(|| repeated(self.one, size)));
        (text, size)
    }
}

/// The statement with each of its rows so many times.
fn repeated(one: &str, times: usize) -> String {
    let mut text = String::with_capacity(one.len().saturating_mul(times));
    let mut rest = one;
    while let Some((before, after)) = rest.split_once(ROW) {
        let (row, after) = after.split_once(')').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str("VALUES ");
        text.push_str(&vec![format!("({row})"); times].join(", "));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A row of parameters.
pub(super) trait Row {
    /// How many it has.
    const WIDTH: usize;

    /// Adds them in the order of the statement; the first is never NULL.
    fn add_to(self, values: &mut Values) -> Result<(), StoreError>;
}

/// The parameters of a statement, in order.
#[derive(Debug, Default)]
pub(super) struct Values(SqliteArguments);

impl Values {
    /// Adds one.
    pub(super) fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<(), StoreError> {
        self.0.add(value).map_err(|error| StoreError::Broken(error.to_string()))
    }

    /// Adds rows, and NULL for those that are missing of `size`.
    pub(super) fn add_rows<R: Row>(
        &mut self,
        rows: impl ExactSizeIterator<Item = R>,
        size: usize,
    ) -> Result<(), StoreError> {
        let missing = size.saturating_sub(rows.len()).saturating_mul(R::WIDTH);
        self.0.reserve(size.saturating_mul(R::WIDTH), 0);
        for row in rows {
            row.add_to(self)?;
        }
        (0..missing).try_for_each(|_| self.add(None::<i64>))
    }

    /// For [`sqlx::query_with`].
    pub(super) fn into_arguments(self) -> SqliteArguments {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TWO_LISTS: ManyRows = ManyRows::new(
        "INSERT INTO a SELECT * FROM (VALUES (?, ?)) WHERE true; UPDATE b FROM (VALUES (?)) AS c SET d = ?",
    );

    #[test]
    fn every_list_of_a_script_gets_the_same_number_of_rows() {
        let (text, size) = TWO_LISTS.text(2);
        assert_eq!(size, 2);
        assert_eq!(
            text,
            "INSERT INTO a SELECT * FROM (VALUES (?, ?), (?, ?)) WHERE true; \
             UPDATE b FROM (VALUES (?), (?)) AS c SET d = ?"
        );
        assert_eq!(TWO_LISTS.text(1).0, TWO_LISTS.one);
    }

    #[test]
    fn sizes_are_powers_of_two_up_to_the_limit() {
        let sizes = [0, 1, 3, 4, 33, 512, 5_000].map(|rows| TWO_LISTS.text(rows).1);
        assert_eq!(sizes, [1, 1, 4, 4, 64, 512, ROWS_MAX]);
    }
}
