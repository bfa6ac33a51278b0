//! Owns the step from bytes to CSV records, in bounded memory.
//!
//! A quote that is opened and never closed makes one record of all that follows. A record is bounded, so such a file
//! is found out when it is first read, before anything of it is sent.

use std::io::{self, BufRead, BufReader, Read};

use csv_core::ReadRecordResult;

/// The longest record, all cells together: a line of an upload may be as long.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The most cells of a record: as many as spreadsheets had columns for long.
const CELLS_MAX: usize = 1024;
const READ_BYTES: usize = 256 * 1024;

/// Why there is no further record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes could not be read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// Too long, or too many cells.
    #[error("the record that begins in line {line} has {what}; is a quote not closed?")]
    TooLarge {
        /// Where it begins, from 1.
        line: u64,
        /// What there is too much of.
        what: &'static str,
    },
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    /// How many cells it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A cell, from 0.
    pub(super) fn cell(&self, at: usize) -> Option<&'a [u8]> {
        let from = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(from..*self.ends.get(at)?)
    }

    /// Every cell.
    pub(super) fn cells(&self) -> impl Iterator<Item = &'a [u8]> {
        let record = *self;
        (0..self.len()).filter_map(move |at| record.cell(at))
    }
}

/// The records of a file, its header among them. Blank lines are none.
pub(super) struct Records<R> {
    input: BufReader<R>,
    parser: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: Read> Records<R> {
    /// The records of `input`.
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(READ_BYTES, input),
            parser: csv_core::Reader::new(),
            bytes: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; CELLS_MAX],
        }
    }

    /// What was read from.
    pub(super) fn into_input(self) -> R {
        self.input.into_inner()
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// The bytes cannot be read, or the record is too large.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        let line = self.parser.line();
        let (mut bytes, mut ends) = (0_usize, 0_usize);
        loop {
            let input = self.input.fill_buf()?;
            let free_bytes = self.bytes.get_mut(bytes..).unwrap_or_default();
            let free_ends = self.ends.get_mut(ends..).unwrap_or_default();
            let (result, read, written, ended) = self.parser.read_record(input, free_bytes, free_ends);
            self.input.consume(read);
            bytes = bytes.saturating_add(written);
            ends = ends.saturating_add(ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => return Err(RecordError::TooLarge { line, what: "over 64 KiB" }),
                ReadRecordResult::OutputEndsFull => {
                    return Err(RecordError::TooLarge { line, what: "over 1024 cells" });
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let bytes = self.bytes.get(..bytes).unwrap_or_default();
        let ends = self.ends.get(..ends).unwrap_or_default();
        Ok(Some(Record { bytes, ends }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<String>>, RecordError> {
        let mut records = Records::new(text.as_bytes());
        let mut seen = Vec::new();
        while let Some(record) = records.next()? {
            seen.push(record.cells().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect());
        }
        Ok(seen)
    }

    #[test]
    fn records_are_read_as_rfc_4180_writes_them() {
        let text = "\u{feff}a,b\r\n1,\"x, \"\"y\"\"\nz\"\n\n,\r\n last ,\"\"";
        let expected = [vec!["a", "b"], vec!["1", "x, \"y\"\nz"], vec!["", ""], vec![" last ", ""]];
        assert_eq!(read(text).unwrap(), expected);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found_with_its_line() {
        let text = format!("a,b\n1,2\n\"3,4\n{}", "5,6\n".repeat(20_000));
        let error = read(&text).unwrap_err();
        let told = "the record that begins in line 3 has over 64 KiB; is a quote not closed?";
        assert_eq!(error.to_string(), told);
        let error = read(&",".repeat(1024)).unwrap_err();
        assert_eq!(error.to_string(), "the record that begins in line 1 has over 1024 cells; is a quote not closed?");
    }
}
