//! Owns the reading of a statement's lines from CSV: a header, then a line a movement. Every fault is named with its line,
//! its column (which cell, from 1) and its field.

use chrono::NaiveDate;
use csv::{ByteRecord, ReaderBuilder};

use crate::core::bank::{StatementLine, parse_signed};
use crate::core::money::Minor;
use crate::core::reference::parse_reference;
use crate::core::time::parse_date;

/// The most lines of a statement: they are accepted in one transaction.
pub const LINES_MAX: usize = 10_000;
/// How many faults are listed.
const FAULTS_MAX: usize = 100;
/// The fields of a line. The first two must be there.
const FIELDS: [&str; 4] = ["booking_date", "amount_minor", "reference", "description"];
const REQUIRED: usize = 2;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementFault {
    /// The line of the file, from 1.
    pub line: usize,
    /// Which cell of the line, from 1.
    pub column: usize,
    /// The field.
    pub field: &'static str,
    /// What is wrong, for programs.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

/// Why bytes are not the lines of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementFaults {
    /// There are more lines than a statement may have.
    TooManyLines,
    /// The first hundred faults.
    Faults(Vec<StatementFault>),
}

/// Where each field stands in a line.
type Places = [Option<usize>; FIELDS.len()];

/// Reads the lines of a statement; `latest` is the last day that one may be of.
///
/// # Errors
/// [`StatementFaults`] with every fault, as far as they are listed.
pub fn read_lines(bytes: &[u8], latest: NaiveDate) -> Result<Vec<StatementLine>, StatementFaults> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut reading = Reading { latest, faults: Vec::new(), cells: 0, places: [None; FIELDS.len()] };
    // Reading from memory does not fail, and cells are bytes.
    let mut is_more = reader.read_byte_record(&mut record).unwrap_or(false);
    reading.header(&record);
    if !reading.faults.is_empty() {
        return Err(StatementFaults::Faults(reading.faults));
    }
    let mut lines = Vec::new();
    while is_more && reading.faults.len() < FAULTS_MAX {
        is_more = reader.read_byte_record(&mut record).unwrap_or(false);
        if !is_more {
            break;
        }
        if lines.len() == LINES_MAX {
            return Err(StatementFaults::TooManyLines);
        }
        let line_no = i64::try_from(lines.len()).unwrap_or(i64::MAX).saturating_add(1);
        lines.push(reading.line(&record, line_no));
    }
    reading.faults.truncate(FAULTS_MAX);
    let read = lines.into_iter().collect::<Option<Vec<_>>>();
    read.filter(|_| reading.faults.is_empty()).ok_or(StatementFaults::Faults(reading.faults))
}

struct Reading {
    latest: NaiveDate,
    faults: Vec<StatementFault>,
    /// How many cells a line has.
    cells: usize,
    places: Places,
}

impl Reading {
    /// Finds out which column is which field.
    fn header(&mut self, record: &ByteRecord) {
        self.cells = record.len();
        for (at, cell) in record.iter().enumerate() {
            let name = FIELDS.iter().position(|name| name.as_bytes() == cell);
            let known = name.and_then(|name| Some((FIELDS.get(name)?, self.places.get_mut(name)?)));
            let place = (line_of(record), at.saturating_add(1));
            match known {
                Some((_, found @ None)) => *found = Some(at),
                Some((name, Some(_))) => {
                    self.faults.push(fault(place, name, "repeated", "is the name of two columns".to_owned()));
                }
                None => {
                    let named = FIELDS.join(", ");
                    self.faults.push(fault(place, "header", "unknown_field", format!("must be one of {named}")));
                }
            }
        }
        for (name, found) in FIELDS.into_iter().zip(self.places).take(REQUIRED) {
            if found.is_none() {
                let message = "must be the name of a column of the first line".to_owned();
                self.faults.push(fault((1, self.cells.saturating_add(1)), name, "required", message));
            }
        }
    }

    /// A line; `None` where it has a fault.
    fn line(&mut self, record: &ByteRecord, line_no: i64) -> Option<StatementLine> {
        if record.len() != self.cells {
            let message = format!("the line has {} cells and the first one {}", record.len(), self.cells);
            let place = (line_of(record), record.len().min(self.cells).saturating_add(1));
            self.faults.push(fault(place, "line", "cells", message));
            return None;
        }
        let [date, amount, reference, description] = [0, 1, 2, 3].map(|field| self.text(record, field));
        let latest = self.latest;
        let date = date.and_then(|it| self.parsed(record, 0, it, |text| day(text, latest)));
        let amount = amount.and_then(|it| self.parsed(record, 1, it, moved));
        let reference = reference.map(|it| self.free(record, 2, it));
        let description = description.map(|it| self.free(record, 3, it));
        Some(StatementLine {
            line_no,
            booking_date: date?,
            amount: amount?,
            reference: reference?,
            description: description?,
        })
    }

    /// The text of a field; empty where the statement has no such column, `None` where it is not UTF-8.
    fn text<'r>(&mut self, record: &'r ByteRecord, field: usize) -> Option<&'r str> {
        let Some(at) = self.places.get(field).copied().flatten() else { return Some("") };
        let text = std::str::from_utf8(record.get(at).unwrap_or_default());
        text.inspect_err(|_| self.fail(record, field, ("encoding", "is not UTF-8".to_owned()))).ok()
    }

    fn parsed<T>(
        &mut self,
        record: &ByteRecord,
        field: usize,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, (&'static str, String)>,
    ) -> Option<T> {
        parse(text).map_err(|failure| self.fail(record, field, failure)).ok()
    }

    /// A reference or the bank's words: blanks around them are nobody's.
    fn free(&mut self, record: &ByteRecord, field: usize, text: &str) -> Option<String> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        self.parsed(record, field, text, |text| parse_reference(text).map_err(|error| ("invalid", error.to_string())))
    }

    fn fail(&mut self, record: &ByteRecord, field: usize, (code, message): (&'static str, String)) {
        let column = self.places.get(field).copied().flatten().unwrap_or_default().saturating_add(1);
        let name = FIELDS.get(field).copied().unwrap_or_default();
        self.faults.push(fault((line_of(record), column), name, code, message));
    }
}

fn day(text: &str, latest: NaiveDate) -> Result<NaiveDate, (&'static str, String)> {
    let date = parse_date(text).map_err(|error| ("invalid", error.to_string()))?;
    if date > latest { Err(("after_statement", format!("must not be after {latest}"))) } else { Ok(date) }
}

fn moved(text: &str) -> Result<Minor, (&'static str, String)> {
    let amount = parse_signed(text).map_err(|error| ("invalid", error.to_string()))?;
    if amount.is_zero() { Err(("zero", "must not be 0".to_owned())) } else { Ok(amount) }
}

fn line_of(record: &ByteRecord) -> usize {
    record.position().map_or(1, |position| usize::try_from(position.line()).unwrap_or(usize::MAX))
}

fn fault((line, column): (usize, usize), field: &'static str, code: &'static str, message: String) -> StatementFault {
    StatementFault { line, column, field, code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 5, 1).unwrap()
    }

    fn faults(text: &str) -> Vec<(usize, usize, &'static str, &'static str)> {
        let Err(StatementFaults::Faults(faults)) = read_lines(text.as_bytes(), latest()) else {
            panic!("{text} has no faults")
        };
        faults.iter().map(|fault| (fault.line, fault.column, fault.field, fault.code)).collect()
    }

    #[test]
    fn lines_are_read_in_any_order_of_columns() {
        let text =
            "\u{feff}amount_minor,description,booking_date\r\n-5,\" wire, out \",2026-04-30\r\n\r\n7,,2026-05-01\r\n";
        let lines = read_lines(text.as_bytes(), latest()).unwrap();
        let [out, back] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((out.line_no, out.amount, out.description.as_deref()), (1, Minor::new(-5), Some("wire, out")));
        assert_eq!((back.line_no, back.amount, back.description.as_deref()), (2, Minor::new(7), None));
        assert!(read_lines(b"booking_date,amount_minor\n", latest()).unwrap().is_empty());
    }

    #[test]
    fn every_fault_has_line_column_and_field() {
        assert_eq!(
            faults("date,amount_minor,amount_minor\n"),
            [(1, 1, "header", "unknown_field"), (1, 3, "amount_minor", "repeated"), (1, 4, "booking_date", "required")]
        );
        let header = "booking_date,amount_minor,reference";
        let control = "\u{7}";
        let bad = format!("{header}\n2026-05-02,0,x\n\"2026-05-01\",1.5,{control}\n2026-13-01,1\n2026-04-31,2,\n");
        assert_eq!(
            faults(&bad),
            [
                (2, 1, "booking_date", "after_statement"),
                (2, 2, "amount_minor", "zero"),
                (3, 2, "amount_minor", "invalid"),
                (3, 3, "reference", "invalid"),
                (4, 3, "line", "cells"),
                (5, 1, "booking_date", "invalid")
            ]
        );
        let encoding = [header.as_bytes(), b"\n2026-05-01,1,\xff\n"].concat();
        let Err(StatementFaults::Faults(found)) = read_lines(&encoding, latest()) else { panic!("is not UTF-8") };
        assert_eq!((found[0].line, found[0].column, found[0].code), (2, 3, "encoding"));
        assert_eq!(faults(&format!("{header}\n{}", "x,y,z\n".repeat(200))).len(), FAULTS_MAX);
        assert_eq!(faults("")[0].3, "required");
    }

    #[test]
    fn ten_thousand_lines_are_enough() {
        let of = |count| format!("booking_date,amount_minor\n{}", "2026-05-01,1\n".repeat(count));
        assert_eq!(read_lines(of(LINES_MAX).as_bytes(), latest()).unwrap().len(), LINES_MAX);
        assert_eq!(read_lines(of(LINES_MAX + 1).as_bytes(), latest()), Err(StatementFaults::TooManyLines));
    }
}
