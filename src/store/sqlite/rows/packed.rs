//! Owns rows that come packed, all in one text. Every row of a statement crosses from SQLite's thread by itself, wakes
//! whoever reads it, and copies each of its values: for the reads that every batch makes, more work than the reading.
//! Such a statement answers one row, `json_group_array(json_array(…))`, with bytes in hexadecimal, and the text is
//! taken apart here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row as _, Sqlite, SqliteConnection};

use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{Columns, broken};

/// The text that a statement answers, and the names of its columns in order.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Packed {
    text: String,
    columns: ColumnNames,
}

/// The names of columns in order, in parts.
pub(in crate::store::sqlite) type ColumnNames = &'static [&'static [&'static str]];

impl Packed {
    /// Runs a statement whose one row is the packed rows.
    pub(in crate::store::sqlite) async fn fetch(
        db: &mut SqliteConnection,
        query: Query<'_, Sqlite, SqliteArguments>,
        columns: ColumnNames,
    ) -> Result<Self, StoreError> {
        let row = query.fetch_one(db).await.map_err(store_error)?;
        Ok(Self { text: row.try_get(0).map_err(store_error)?, columns })
    }

    /// The rows.
    pub(in crate::store::sqlite) fn rows(&self) -> Result<Vec<PackedRow<'_>>, StoreError> {
        let rows: Vec<Vec<Cell<'_>>> =
            serde_json::from_str(&self.text).map_err(|error| StoreError::Broken(error.to_string()))?;
        let width = self.columns.concat().len();
        if rows.iter().any(|cells| cells.len() != width) {
            return Err(broken("packed columns"));
        }
        Ok(rows.into_iter().map(|cells| PackedRow { cells, columns: self.columns }).collect())
    }
}

/// One row of many.
#[derive(Debug)]
pub(in crate::store::sqlite) struct PackedRow<'t> {
    cells: Vec<Cell<'t>>,
    columns: ColumnNames,
}

impl PackedRow<'_> {
    fn cell(&self, column: &str) -> Result<&Cell<'_>, StoreError> {
        let place = self.columns.iter().copied().flatten().position(|name| *name == column);
        place.and_then(|place| self.cells.get(place)).ok_or_else(|| broken(column))
    }
}

impl Columns for PackedRow<'_> {
    fn optional_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(*value)),
            Cell::Text(_) => Err(broken(column)),
        }
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            Cell::Int(_) => Err(broken(column)),
        }
    }

    fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, StoreError> {
        match self.optional_text(column)? {
            // What `hex` makes of NULL.
            None | Some("") => Ok(None),
            Some(digits) => from_hex(digits).map(Some).ok_or_else(|| broken(column)),
        }
    }
}

/// A value: SQLite has these three, and real numbers, which nothing here uses.
#[derive(Debug, PartialEq)]
enum Cell<'t> {
    Null,
    Int(i64),
    Text(Cow<'t, str>),
}

impl<'de: 't, 't> Deserialize<'de> for Cell<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("null, a whole number or a text")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cell::Null)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Cell::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value).map(Cell::Int).map_err(E::custom)
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Owned(value.to_owned())))
    }
}

/// `2 N` hexadecimal digits.
fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != N.checked_mul(2)? {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::rows::{
        EVENT_COLUMNS, LOAN_COLUMNS, event_columns, loan_columns, packed_event, packed_loan,
    };

    const COLUMNS: ColumnNames = &[&["number", "word", "bytes"], &["none", "nothing"]];

    fn packed(text: &str) -> Packed {
        Packed { text: text.to_owned(), columns: COLUMNS }
    }

    #[test]
    fn values_come_out_as_they_went_in() {
        let packed = packed(r#"[[-7,"a \"word\"","0AfF","",null]]"#);
        let rows = packed.rows().unwrap();
        assert_eq!(rows[0].optional_int("number").unwrap(), Some(-7));
        assert_eq!(rows[0].optional_text("word").unwrap(), Some("a \"word\""));
        assert_eq!(rows[0].optional_bytes("bytes").unwrap(), Some([0x0a, 0xff]));
        assert_eq!(rows[0].optional_bytes::<2>("none").unwrap(), None);
        assert_eq!(rows[0].optional_int("nothing").unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_is_not_believed() {
        assert!(packed("[[1]]").rows().is_err());
        assert!(packed(r#"[[1.5,"","","",null]]"#).rows().is_err());
        let packed = packed(r#"[["x",1,"0AF","0",null]]"#);
        let rows = packed.rows().unwrap();
        assert!(rows[0].optional_int("number").is_err());
        assert!(rows[0].optional_text("word").is_err());
        assert!(rows[0].optional_bytes::<2>("bytes").is_err());
        assert!(rows[0].optional_int("elsewhere").is_err());
    }

    /// A packed row names its columns in the order of the plain one.
    #[test]
    fn packed_columns_are_the_columns() {
        for (plain, packed, names) in
            [(event_columns!(), packed_event!(), EVENT_COLUMNS), (loan_columns!(), packed_loan!(), LOAN_COLUMNS)]
        {
            let words = |text: &str| -> Vec<String> {
                let names = text.split(',').map(|name| name.trim().trim_start_matches("hex(").trim_end_matches(')'));
                names.map(|name| name.split_once('.').map_or(name, |(_, name)| name).to_owned()).collect()
            };
            assert_eq!(words(plain), names);
            assert_eq!(words(packed), names);
        }
    }
}
