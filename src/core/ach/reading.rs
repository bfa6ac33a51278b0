//! Owns the way in: bytes to a [`File`] that has passed every check, or to a [`Refusal`] that says all that is wrong.
//!
//! Both borrow the bytes and hold no entry: [`Contents::entries`] goes over the bytes again, in constant memory, as
//! often as one likes. A file that passed has exactly the entries its controls say; of a refused one, those that can be
//! read are there for the report, so that a return inside it is not lost from sight.

use crate::core::ach::check::{Expected, Summary, check};
use crate::core::ach::code::{Identification, SecCode};
use crate::core::ach::fault::{Faults, Notes};
use crate::core::ach::identity::{FileIdentity, Position};
use crate::core::ach::lines::{Line, Lines};
use crate::core::ach::record::{Addenda, BatchHeader, Entry, FileHeader, Reader};
use crate::core::ach::text::{Record, Text};
use crate::core::ach::tolerance::Tolerances;

/// Reads and checks a whole file: lines, structure, controls, the form of every entry.
///
/// Goes over the bytes once, and keeps nothing of them but the header and the sums.
///
/// # Errors
/// [`Refusal`] with every fault that no tolerance excuses.
pub fn read(bytes: &[u8], tolerances: Tolerances) -> Result<File<'_>, Box<Refusal<'_>>> {
    read_expecting(bytes, tolerances, &Expected::default())
}

/// [`read`], with the addresses a feed expects.
pub(super) fn read_expecting<'a>(
    bytes: &'a [u8],
    tolerances: Tolerances,
    expected: &Expected,
) -> Result<File<'a>, Box<Refusal<'a>>> {
    let checked = check(bytes, tolerances, expected);
    let contents = Contents { header: checked.header, summary: checked.summary, bytes };
    if checked.faults.is_empty() {
        Ok(File { contents, warnings: checked.warnings })
    } else {
        Err(Box::new(Refusal { faults: checked.faults, readable: contents }))
    }
}

/// A file that passed every check.
#[derive(Clone, Debug)]
pub struct File<'a> {
    contents: Contents<'a>,
    warnings: Faults,
}

impl<'a> File<'a> {
    /// What stands in it.
    #[must_use]
    pub const fn contents(&self) -> &Contents<'a> {
        &self.contents
    }

    /// Its header; `None` only under [`MissingFileRecords`](crate::core::ach::Tolerance::MissingFileRecords).
    #[must_use]
    pub const fn header(&self) -> Option<&FileHeader> {
        self.contents.header()
    }

    /// Counts and totals, equal to its controls.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        self.contents.summary()
    }

    /// Its entries, in order.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        self.contents.entries()
    }

    /// What a tolerance excused.
    #[must_use]
    pub const fn warnings(&self) -> &Faults {
        &self.warnings
    }
}

/// A file that is not taken.
#[derive(Clone, Debug)]
pub struct Refusal<'a> {
    /// Everything that is wrong with it.
    pub faults: Faults,
    /// What can be read all the same, for the report. Never to be posted.
    pub readable: Contents<'a>,
}

/// What stands in a file.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    header: Option<FileHeader>,
    summary: Summary,
    bytes: &'a [u8],
}

impl<'a> Contents<'a> {
    /// The file header, if there is a sound one.
    #[must_use]
    pub const fn header(&self) -> Option<&FileHeader> {
        self.header.as_ref()
    }

    /// What the header says that the file is.
    #[must_use]
    pub fn identity(&self) -> Option<FileIdentity> {
        self.header.as_ref().map(FileIdentity::of)
    }

    /// Counts and totals of what can be read.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The entries that can be read, in order, each with its batch and its addenda.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries { lines: Lines::of(self.bytes), batch: None, position: Position { batch: 0, entry: 0 } }
    }
}

/// The entries of a file, in order.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    lines: Lines<'a>,
    batch: Option<BatchHeader>,
    position: Position,
}

/// An entry where it stands in its file.
#[derive(Clone, Debug)]
pub struct FileEntry<'a> {
    /// Its place among the batches of the file and the entries of its batch.
    pub position: Position,
    /// Its line, from 1.
    pub line: usize,
    /// The header of its batch.
    pub batch: BatchHeader,
    /// The entry.
    pub entry: Entry,
    addenda: Lines<'a>,
}

impl<'a> FileEntry<'a> {
    /// The addenda that follow it, in order.
    pub fn addenda(&self) -> impl Iterator<Item = Addenda> + use<'a> {
        let own = self.addenda.clone().take_while(|line| line.kind() == Some(b'7'));
        own.filter_map(|line| {
            let record = Record::of(line.bytes);
            Addenda::read(&mut Reader { record: &record, line: line.number, notes: &mut Notes::none() })
        })
    }

    /// How the sender knows the payer, from where its class has it; blank where it has none.
    #[must_use]
    pub fn individual_id(&self) -> Text<22> {
        match self.sec().identification() {
            Identification::BeforeName => Text::left(self.entry.individual_id.trimmed()).unwrap_or_default(),
            Identification::AfterName => self.entry.name,
            Identification::Nowhere => Text::BLANK,
        }
    }

    /// The standard entry class of its batch.
    #[must_use]
    pub const fn sec(&self) -> SecCode {
        self.batch.sec
    }
}

impl<'a> Entries<'a> {
    fn batch_header(&mut self, line: Line<'_>) {
        let record = Record::of(line.bytes);
        let mut notes = Notes::none();
        self.batch = BatchHeader::read(&mut Reader { record: &record, line: line.number, notes: &mut notes });
        self.position = Position { batch: self.position.batch.saturating_add(1), entry: 0 };
    }

    fn entry(&mut self, line: Line<'_>) -> Option<FileEntry<'a>> {
        self.position.entry = self.position.entry.saturating_add(1);
        let record = Record::of(line.bytes);
        let mut notes = Notes::none();
        let entry = Entry::read(&mut Reader { record: &record, line: line.number, notes: &mut notes })?;
        let (position, line) = (self.position, line.number);
        Some(FileEntry { position, line, batch: self.batch?, entry, addenda: self.lines.clone() })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = FileEntry<'a>;

    fn next(&mut self) -> Option<FileEntry<'a>> {
        loop {
            let line = self.lines.next()?;
            match line.kind() {
                Some(b'5') => self.batch_header(line),
                Some(b'8') => self.batch = None,
                // What stands after the file control is not the file's.
                Some(b'9') if Record::of(line.bytes) != Record::FILLER => self.lines = Lines::of(&[]),
                Some(b'6') => {
                    let entry = self.entry(line);
                    if entry.is_some() {
                        return entry;
                    }
                }
                _ => {}
            }
        }
    }
}
