//! Owns the file: opened, recognised, read once for its fingerprint and its rows, and then, as often as it takes, read
//! again to be sent. A file that changes in between is not sent to its end.

use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::cli::import::ImportError;
use crate::cli::import::columns::{Columns, CsvArgs};
use crate::cli::import::course::Course;
use crate::cli::import::format::{Format, Packing};
use crate::cli::import::records::{RecordError, Records};

/// How much of a file is looked at to tell its format.
const BEGINNING_BYTES: u64 = 512;
/// How much is read at once.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
const CHANGED: &str = "it changed while it was imported";

/// A file that is about to be sent.
#[derive(Debug)]
pub(super) struct ImportFile {
    path: PathBuf,
    pub(super) format: Format,
    pub(super) packing: Packing,
    /// Of its bytes; of CSV, of what they unpack to.
    pub(super) sha256: String,
    /// Of CSV.
    pub(super) columns: Option<Arc<Columns>>,
    /// Rows, where they can be counted without unpacking it.
    pub(super) rows: Option<u64>,
    stamp: Stamp,
}

/// What a file that was not touched keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// What the caller says of a file.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: PathBuf,
    pub(super) format: Option<Format>,
    pub(super) csv: CsvArgs,
}

impl ImportFile {
    /// Opens a file and reads it once. Takes as long as that; not for the runtime's own threads.
    ///
    /// # Errors
    /// It cannot be read, is in no format we know, or is a CSV file that is not understood.
    pub(super) fn survey(asked: &Asked, course: &Arc<Course>) -> Result<Self, ImportError> {
        let path = &asked.path;
        let fail = |source| ImportError::Io { what: format!("cannot read {}", path.display()), source };
        // Before it is opened: opening a pipe waits for whoever writes to it.
        let metadata = std::fs::metadata(path).map_err(fail)?;
        if !metadata.is_file() {
            return Err(ImportError::NotUnderstood(format!("{} is not a file", path.display())));
        }
        let stamp = Stamp::of(&metadata);
        course.note(|stand| stand.bytes_all = stamp.length);
        let packing = Packing::of(&File::open(path).and_then(beginning).map_err(fail)?);
        let format = match asked.format {
            Some(format) => format,
            None => recognised(path, packing)?,
        };
        if format != Format::Csv && !asked.csv.is_empty() {
            let only = "--column, --value, --amount-major and --ignore-other-columns are for CSV";
            return Err(ImportError::NotUnderstood(only.to_owned()));
        }
        let plan =
            Self { path: path.clone(), format, packing, sha256: String::new(), columns: None, rows: None, stamp };
        match format {
            Format::Csv => plan.survey_records(&asked.csv, course),
            Format::Ndjson | Format::Nacha => plan.survey_bytes(course).map_err(fail),
        }
    }

    fn survey_bytes(mut self, course: &Arc<Course>) -> io::Result<Self> {
        let mut input = self.open(course)?;
        let (mut hash, mut counter) = (Sha256::new(), RowCounter::default());
        let counts_rows = self.counts_rows();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = input.read(&mut piece)?;
            let bytes = piece.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hash.update(bytes);
            if counts_rows {
                counter.add(bytes);
            }
        }
        self.sha256 = hex(&hash.finalize());
        self.rows = counts_rows.then_some(counter.rows);
        Ok(self)
    }

    fn survey_records(mut self, arguments: &CsvArgs, course: &Arc<Course>) -> Result<Self, ImportError> {
        let input = self.open(course).map_err(RecordError::from)?;
        let mut records = Records::new(Hashed { input, hash: Sha256::new() });
        let columns = Columns::of(records.next()?, arguments)?;
        let mut rows = 0_u64;
        while records.next()?.is_some() {
            rows = rows.saturating_add(1);
        }
        (self.columns, self.rows) = (Some(Arc::new(columns)), Some(rows));
        self.sha256 = hex(&records.into_input().hash.finalize());
        Ok(self)
    }

    /// Whether rows are lines that can be seen as they pass.
    pub(super) fn counts_rows(&self) -> bool {
        self.format == Format::Ndjson && self.packing == Packing::Plain
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Its bytes from the beginning; CSV is unpacked, the others are as they are.
    pub(super) fn open(&self, course: &Arc<Course>) -> io::Result<Content> {
        let file = File::open(&self.path)?;
        if Stamp::of(&file.metadata()?) != self.stamp {
            return Err(io::Error::other(CHANGED));
        }
        let input = Watched { file, stamp: self.stamp, read: 0, course: Arc::clone(course) };
        Ok(match (self.format, self.packing) {
            (Format::Csv, Packing::Gzip) => Content::Packed(Box::new(MultiGzDecoder::new(input))),
            (Format::Csv, Packing::Plain) | (Format::Ndjson | Format::Nacha, _) => Content::Plain(input),
        })
    }
}

fn recognised(path: &Path, packing: Packing) -> Result<Format, ImportError> {
    let fail = |source| ImportError::Io { what: format!("cannot read {}", path.display()), source };
    let file = File::open(path).map_err(fail)?;
    let beginning = match packing {
        Packing::Plain => beginning(file),
        Packing::Gzip => beginning(MultiGzDecoder::new(file)),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let unknown = || {
        let why = "its name ends in none of .ndjson, .jsonl and .csv, and it begins neither with { nor with 101";
        ImportError::NotUnderstood(format!("{}: {why}; say --format", path.display()))
    };
    Format::of(&name, &beginning.map_err(fail)?).ok_or_else(unknown)
}

fn beginning(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(BEGINNING_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file whose reading is counted, and that must end as it was.
#[derive(Debug)]
pub(super) struct Watched {
    file: File,
    stamp: Stamp,
    read: u64,
    course: Arc<Course>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        let is_over = length == 0 && !buffer.is_empty();
        if self.read > self.stamp.length || (is_over && Stamp::of(&self.file.metadata()?) != self.stamp) {
            return Err(io::Error::other(CHANGED));
        }
        self.course.note(|stand| stand.bytes = self.read);
        Ok(length)
    }
}

/// What a file says.
#[derive(Debug)]
pub(super) enum Content {
    Plain(Watched),
    Packed(Box<MultiGzDecoder<Watched>>),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Packed(input) => input.read(buffer),
        }
    }
}

/// Bytes that are hashed as they pass.
struct Hashed<R> {
    input: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.hash.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Counts the rows of NDJSON as the server does: lines that are not blank.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowCounter {
    pub(super) rows: u64,
    is_in_row: bool,
}

impl RowCounter {
    /// Adds bytes, cut anywhere.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            if !self.is_in_row && !line.trim_ascii().is_empty() {
                self.is_in_row = true;
                self.rows = self.rows.saturating_add(1);
            }
            rest = after.get(1..).unwrap_or_default();
            self.is_in_row &= end.is_none();
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a text cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_wherever_the_bytes_are_cut() {
        let file = "{}\r\n\n  \r\n {}\n{}";
        for size in 1..file.len() {
            let mut counter = RowCounter::default();
            file.as_bytes().chunks(size).for_each(|piece| counter.add(piece));
            assert_eq!(counter.rows, 3, "pieces of {size}");
        }
    }

    fn written(name: &str, bytes: &[u8]) -> Asked {
        let path = std::env::temp_dir().join(format!("hpts-{}-{name}", uuid::Uuid::new_v4()));
        std::fs::write(&path, bytes).unwrap();
        Asked { path, format: None, csv: CsvArgs::default() }
    }

    #[test]
    fn a_file_that_grows_or_shrinks_is_not_read_to_its_end() {
        for changed in ["{}\n{}\n", "{}"] {
            let asked = written("a.ndjson", b"{}\n");
            let course = Arc::new(Course::default());
            let file = ImportFile::survey(&asked, &course).unwrap();
            assert_eq!((file.rows, file.format, file.packing), (Some(1), Format::Ndjson, Packing::Plain));
            assert_eq!((course.look().bytes, course.look().bytes_all), (3, 3));
            let mut opened = file.open(&course).unwrap();
            std::fs::write(&asked.path, changed).unwrap();
            assert_eq!(opened.read_to_end(&mut Vec::new()).unwrap_err().to_string(), CHANGED);
            assert_eq!(file.open(&course).unwrap_err().to_string(), CHANGED);
            std::fs::remove_file(&asked.path).unwrap();
        }
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused() {
        let refused = |asked: &Asked| ImportFile::survey(asked, &Arc::default()).unwrap_err();
        let json = written("a.json", b"[{}]");
        assert!(matches!(refused(&json), ImportError::NotUnderstood(why) if why.contains("say --format")));
        let mut lines = written("a.jsonl", b"{}");
        lines.csv = CsvArgs::all_columns();
        assert!(matches!(refused(&lines), ImportError::NotUnderstood(why) if why.ends_with("are for CSV")));
        let folder = Asked { path: std::env::temp_dir(), ..json.clone() };
        assert!(matches!(refused(&folder), ImportError::NotUnderstood(why) if why.ends_with("is not a file")));
        let none = Asked { path: PathBuf::from("/nothing/here.csv"), ..json.clone() };
        assert!(matches!(refused(&none), ImportError::Io { .. }));
        for asked in [json, lines] {
            std::fs::remove_file(&asked.path).unwrap();
        }
    }
}
