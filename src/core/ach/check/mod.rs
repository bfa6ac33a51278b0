//! Owns the check of a whole file: lines, structure, controls, and the form of every entry. What the entries mean for
//! loans is not judged here.
//!
//! One walk over the lines with constant memory: the open batch, the open entry, the sums, and the first
//! [`FAULTS_MAX`](crate::core::ach::FAULTS_MAX) faults. A fault never ends the walk, so that all of a file are found;
//! a fault may bring others with it (an amount that is no number also misses in the totals).

pub(super) mod batch;
mod entry;
mod form;
pub(super) mod sums;

use std::fmt;

use crate::core::ach::check::batch::OpenBatch;
use crate::core::ach::check::sums::Sums;
use crate::core::ach::fault::{FaultCode, Faults, Notes};
use crate::core::ach::lines::{Cut, Line, Lines};
use crate::core::ach::record::{FileHeader, Reader, file};
use crate::core::ach::text::{Field, RECORD_LEN, Record};
use crate::core::ach::tolerance::Tolerances;
use crate::core::money::Minor;

/// A block has ten records.
const BLOCK: u64 = 10;
/// What a fault of a whole record is said of.
const RECORD: Field<1> = Field::new("record_type_code", 1);

/// What a file holds, by its own records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Batch headers.
    pub batches: u64,
    /// Entries.
    pub entries: u64,
    /// Addenda.
    pub addenda: u64,
    /// Cents of all debits, returned ones included.
    pub debit: Minor,
    /// Cents of all credits, returned ones included.
    pub credit: Minor,
}

/// Whom a file must be addressed to and come from, if a feed says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// Columns 4-13 of the header, without blanks.
    pub(super) destination: Option<String>,
    /// Columns 14-23, without blanks.
    pub(super) origin: Option<String>,
}

/// What the walk has found.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) header: Option<FileHeader>,
    pub(super) summary: Summary,
    pub(super) faults: Faults,
    pub(super) warnings: Faults,
}

/// Checks a file.
pub(super) fn check(bytes: &[u8], tolerances: Tolerances, expected: &Expected) -> Checked {
    let mut walk = Walk::new(tolerances, expected);
    let lines = Lines::of(bytes);
    if lines.cut() == Cut::EveryRecord {
        let place = Field::<1>::new("record", RECORD_LEN.saturating_add(1)).on(1);
        walk.notes.add(place, FaultCode::NoLineBreaks, format_args!("records are not parted by line breaks"));
    }
    for line in lines {
        walk.line(line);
    }
    walk.finish()
}

/// A file control that was met, until the end of the file tells how many records there are.
struct MetControl {
    line: usize,
    blocks: Option<u64>,
}

struct Walk<'e> {
    expected: &'e Expected,
    notes: Notes,
    header_met: bool,
    header: Option<FileHeader>,
    batch: Option<OpenBatch>,
    last_batch_number: Option<u32>,
    sums: Sums,
    summary: Summary,
    control: Option<MetControl>,
    records: u64,
    last_line: usize,
}

impl<'e> Walk<'e> {
    fn new(tolerances: Tolerances, expected: &'e Expected) -> Self {
        Self {
            expected,
            notes: Notes::new(tolerances),
            header_met: false,
            header: None,
            batch: None,
            last_batch_number: None,
            sums: Sums::default(),
            summary: Summary::default(),
            control: None,
            records: 0,
            last_line: 1,
        }
    }

    fn line(&mut self, line: Line<'_>) {
        self.records = self.records.saturating_add(1);
        self.last_line = line.number;
        form::check(line, &mut self.notes);
        let record = Record::of(line.bytes);
        let number = line.number;
        if record == Record::FILLER {
            return;
        }
        if self.control.is_some() {
            self.fault(number, FaultCode::AfterFileControl, format_args!("only filler may follow the file control"));
            return;
        }
        match record.kind() {
            b'1' => self.file_header(number, &record),
            b'5' => self.batch_header(number, &record),
            b'6' => self.entry(number, &record),
            b'7' => self.addenda(number, &record),
            b'8' => self.batch_control(number, &record),
            b'9' => self.file_control(number, &record),
            _ => self.fault(number, FaultCode::RecordType, format_args!("must be 1, 5, 6, 7, 8 or 9")),
        }
    }

    fn fault(&mut self, line: usize, code: FaultCode, message: fmt::Arguments<'_>) {
        self.notes.add(RECORD.on(line), code, message);
    }

    fn file_header(&mut self, line: usize, record: &Record) {
        if self.records > 1 {
            let message = format_args!("a file header must be the first record, and the only one of its kind");
            self.fault(line, FaultCode::RecordOrder, message);
        }
        let mut reader = Reader { record, line, notes: &mut self.notes };
        let header = FileHeader::read(&mut reader);
        let others = [
            (file::DESTINATION, &self.expected.destination, FaultCode::DestinationNotExpected),
            (file::ORIGIN, &self.expected.origin, FaultCode::OriginNotExpected),
        ];
        for (field, expected, code) in others {
            let found = reader.text(field);
            if let Some(expected) = expected.as_deref().filter(|expected| *expected != found.trimmed()) {
                reader.fault(field, code, format_args!("the feed expects {expected:?}, not {:?}", found.trimmed()));
            }
        }
        if !self.header_met {
            self.header = header;
        }
        self.header_met = true;
    }

    fn batch_header(&mut self, line: usize, record: &Record) {
        self.end_batch(line);
        self.summary.batches = self.summary.batches.saturating_add(1);
        let batch = OpenBatch::new(line, record, &mut self.notes);
        if let Some(number) = batch.number() {
            if self.last_batch_number.is_some_and(|last| number <= last) {
                batch.number_does_not_rise(&mut self.notes);
            }
            self.last_batch_number = Some(number);
        }
        self.batch = Some(batch);
    }

    fn entry(&mut self, line: usize, record: &Record) {
        self.summary.entries = self.summary.entries.saturating_add(1);
        if self.batch.is_none() {
            self.fault(line, FaultCode::BatchHeaderMissing, format_args!("an entry must stand in a batch"));
        }
        let batch = self.batch.get_or_insert_with(OpenBatch::without_header);
        batch.entry(line, record, &mut self.notes);
    }

    fn addenda(&mut self, line: usize, record: &Record) {
        self.summary.addenda = self.summary.addenda.saturating_add(1);
        match &mut self.batch {
            Some(batch) => batch.addenda(line, record, &mut self.notes),
            None => self.fault(line, FaultCode::EntryMissing, format_args!("an addenda must follow an entry")),
        }
    }

    fn batch_control(&mut self, line: usize, record: &Record) {
        let Some(mut batch) = self.batch.take() else {
            self.fault(line, FaultCode::BatchHeaderMissing, format_args!("a batch control must end a batch"));
            return;
        };
        batch.control(line, record, &mut self.notes);
        self.add_batch(line, &batch);
    }

    /// Ends a batch that has no control.
    fn end_batch(&mut self, line: usize) {
        if let Some(mut batch) = self.batch.take() {
            batch.end_entry(&mut self.notes);
            self.fault(line, FaultCode::BatchControlMissing, format_args!("the batch before has no batch control"));
            self.add_batch(line, &batch);
        }
    }

    fn add_batch(&mut self, line: usize, batch: &OpenBatch) {
        if self.sums.add(batch.sums()).is_err() {
            self.fault(line, FaultCode::Overflow, format_args!("the sums of the file are out of range"));
        }
    }

    fn file_control(&mut self, line: usize, record: &Record) {
        self.end_batch(line);
        let batches = self.summary.batches;
        let sums = self.sums;
        let mut reader = Reader { record, line, notes: &mut self.notes };
        sums_agree(&mut reader, file::BATCH_COUNT, FaultCode::BatchCount, batches);
        sums_agree(&mut reader, file::ENTRY_COUNT, FaultCode::EntryCount, sums.records);
        sums_agree(&mut reader, file::ENTRY_HASH, FaultCode::EntryHash, sums.hash());
        sums_agree(&mut reader, file::DEBIT_TOTAL, FaultCode::DebitTotal, cents(sums.debit));
        sums_agree(&mut reader, file::CREDIT_TOTAL, FaultCode::CreditTotal, cents(sums.credit));
        let blocks = reader.number(file::BLOCK_COUNT);
        self.control = Some(MetControl { line, blocks });
    }

    fn finish(mut self) -> Checked {
        let last = self.last_line;
        self.end_batch(last);
        if self.records == 0 {
            self.fault(1, FaultCode::EmptyFile, format_args!("there is no record in the file"));
        } else {
            self.file_records();
        }
        let summary = Summary { debit: self.sums.debit, credit: self.sums.credit, ..self.summary };
        let (faults, warnings) = self.notes.finish();
        Checked { header: self.header, summary, faults, warnings }
    }

    /// What only the end of the file can tell.
    fn file_records(&mut self) {
        match (self.header_met, self.control.take()) {
            (false, None) => {
                let message = format_args!("neither file header nor file control");
                self.fault(1, FaultCode::FileRecordsMissing, message);
            }
            (true, None) => {
                let message = format_args!("the file has no file control: it may have been cut off");
                self.fault(self.last_line, FaultCode::FileControlMissing, message);
            }
            (header_met, Some(control)) => {
                if !header_met {
                    self.fault(1, FaultCode::FileHeaderMissing, format_args!("the first record must be a file header"));
                }
                self.blocks(&control);
            }
        }
        if self.summary.batches == 0 && self.summary.entries == 0 {
            self.fault(self.last_line, FaultCode::NoBatches, format_args!("the file has no batch"));
        }
    }

    fn blocks(&mut self, control: &MetControl) {
        let records = self.records;
        let blocks = records.div_ceil(BLOCK);
        if control.blocks.is_some_and(|found| found != blocks) {
            let message = format_args!("must be {blocks}: the file has {records} records");
            self.notes.add(file::BLOCK_COUNT.on(control.line), FaultCode::BlockCount, message);
        }
        if records.checked_rem(BLOCK) != Some(0) {
            let message = format_args!("{records} records are no multiple of ten: filler is missing");
            self.fault(self.last_line, FaultCode::Padding, message);
        }
    }
}

/// Compares a control field with what was added up.
fn sums_agree<const N: usize>(reader: &mut Reader<'_>, field: Field<N>, code: FaultCode, sum: u64) {
    if let Some(said) = reader.number(field)
        && said != sum
    {
        reader.fault(field, code, format_args!("control says {said}, the records before it come to {sum}"));
    }
}

/// Cents as a control writes them. Amounts are never negative here.
pub(super) fn cents(amount: Minor) -> u64 {
    u64::try_from(amount.units()).unwrap_or(0)
}
