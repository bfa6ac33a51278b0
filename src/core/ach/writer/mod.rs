//! Owns the making of files: for load runs, examples and tests. What is written passes the strict check, because every
//! record is checked by the rules of the reader before it is kept.
//!
//! The whole file stands in memory: 95 bytes a record.

mod records;
mod spec;

use crate::core::ach::check::batch::OpenBatch;
use crate::core::ach::check::sums::Sums;
use crate::core::ach::code::{Direction, SecCode, ServiceClass};
use crate::core::ach::fault::{Fault, Notes};
use crate::core::ach::record::{FileHeader, Reader, RoutingNumber, Trace, batch, entry, file};
use crate::core::ach::text::{RECORD_LEN, Record, Text};
use crate::core::ach::tolerance::Tolerances;
use crate::core::ach::writer::records::{
    addenda_record, batch_control, batch_header, entry_record, file_control, file_header, put,
};

pub use spec::{AddendaSpec, BatchSpec, EntrySpec, FileSpec};

/// A block has ten records.
const BLOCK: u64 = 10;

/// Why a file cannot be written so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A value is too long for its field, or not printable ASCII.
    #[error("{field} does not fit its field")]
    DoesNotFit {
        /// The field.
        field: &'static str,
    },
    /// A record that the reader would refuse.
    #[error("the record would be refused: {0}")]
    Refused(Fault),
    /// An entry before the first batch, or a file without one.
    #[error("there is no batch")]
    NoBatch,
    /// A batch that ends without an entry.
    #[error("the batch has no entry")]
    EmptyBatch,
}

/// A file in the making.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    records: u64,
    batches: u64,
    sequence: u32,
    sums: Sums,
    batch: Option<WrittenBatch>,
    notes: Notes,
    /// The first error: what is written since is not to be used.
    failed: Option<WriteError>,
}

/// The batch that entries are written to.
#[derive(Debug)]
struct WrittenBatch {
    header: Record,
    /// Where the header stands in the file; its service class is known at the end of the batch.
    at: usize,
    odfi: RoutingNumber,
    sec: SecCode,
    has_debits: bool,
    has_credits: bool,
    /// The reader's view of it.
    read: OpenBatch,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// [`WriteError`] when the header does not fit or would be refused.
    pub fn new(spec: &FileSpec<'_>) -> Result<Self, WriteError> {
        let record = file_header(spec)?;
        let mut writer = Self {
            out: Vec::new(),
            records: 0,
            batches: 0,
            sequence: 0,
            sums: Sums::default(),
            batch: None,
            notes: Notes::new(Tolerances::STRICT),
            failed: None,
        };
        FileHeader::read(&mut Reader { record: &record, line: 1, notes: &mut writer.notes });
        writer.accepted()?;
        writer.line(&record);
        Ok(writer)
    }

    /// Begins a batch, and ends the one before.
    ///
    /// # Errors
    /// [`WriteError`] when the header does not fit or would be refused. The file can not be finished then.
    pub fn batch(&mut self, spec: &BatchSpec<'_>) -> Result<(), WriteError> {
        let result = self.begin_batch(spec);
        self.remember(result)
    }

    /// Writes an entry with its addenda, and gives it a trace number.
    ///
    /// # Errors
    /// [`WriteError`] when it does not fit, would be refused, or has no batch. The file can not be finished then.
    pub fn entry(&mut self, spec: &EntrySpec<'_>) -> Result<Trace, WriteError> {
        let result = self.add_entry(spec);
        self.remember(result)
    }

    /// Ends the file: batch control, file control, and filler to a multiple of ten.
    ///
    /// # Errors
    /// [`WriteError`] when a total does not fit, a batch is empty, there is none, or an earlier call failed.
    pub fn finish(mut self) -> Result<Vec<u8>, WriteError> {
        self.accepted()?;
        self.end_batch()?;
        if self.batches == 0 {
            return Err(WriteError::NoBatch);
        }
        let blocks = self.records.saturating_add(1).div_ceil(BLOCK);
        let record = file_control(self.batches, blocks, &self.sums)?;
        self.line(&record);
        while self.records.checked_rem(BLOCK) != Some(0) {
            self.line(&Record::FILLER);
        }
        Ok(self.out)
    }

    fn begin_batch(&mut self, spec: &BatchSpec<'_>) -> Result<(), WriteError> {
        self.accepted()?;
        self.end_batch()?;
        self.batches = self.batches.saturating_add(1);
        let record = batch_header(spec, self.batches)?;
        let read = OpenBatch::new(self.next_line(), &record, &mut self.notes);
        self.accepted()?;
        self.batch = Some(WrittenBatch {
            header: record,
            at: self.out.len(),
            odfi: spec.odfi,
            sec: spec.sec,
            has_debits: false,
            has_credits: false,
            read,
        });
        self.line(&record);
        Ok(())
    }

    fn add_entry(&mut self, spec: &EntrySpec<'_>) -> Result<Trace, WriteError> {
        self.accepted()?;
        let mut batch = self.batch.take().ok_or(WriteError::NoBatch)?;
        self.sequence = self.sequence.saturating_add(1);
        let does_not_fit = WriteError::DoesNotFit { field: entry::TRACE.name };
        let trace = Trace::new(batch.odfi, self.sequence).ok_or(does_not_fit)?;
        let record = entry_record(spec, batch.sec, trace)?;
        match spec.code.direction {
            Direction::Debit => batch.has_debits = true,
            Direction::Credit => batch.has_credits = true,
        }
        batch.read.entry(self.next_line(), &record, &mut self.notes);
        self.line(&record);
        for (number, addenda) in (1..).zip(spec.addenda) {
            let record = addenda_record(addenda, spec.rdfi, number, trace)?;
            batch.read.addenda(self.next_line(), &record, &mut self.notes);
            self.line(&record);
        }
        batch.read.end_entry(&mut self.notes);
        self.batch = Some(batch);
        self.accepted()?;
        Ok(trace)
    }

    fn end_batch(&mut self) -> Result<(), WriteError> {
        let Some(mut batch) = self.batch.take() else { return Ok(()) };
        let sums = *batch.read.sums();
        if sums.records == 0 {
            return Err(WriteError::EmptyBatch);
        }
        let class = match (batch.has_debits, batch.has_credits) {
            (true, false) => ServiceClass::Debits,
            (false, true) => ServiceClass::Credits,
            (true, true) | (false, false) => ServiceClass::Mixed,
        };
        put(&mut batch.header, batch::SERVICE_CLASS, Text::number(class.number()))?;
        let record = batch_control(&batch.header, &sums)?;
        if let Some(written) = self.out.get_mut(batch.at..batch.at.saturating_add(RECORD_LEN)) {
            written.copy_from_slice(batch.header.bytes());
        }
        self.line(&record);
        self.sums.add(&sums).map_err(|_| WriteError::DoesNotFit { field: file::DEBIT_TOTAL.name })
    }

    /// Keeps an error, so that the file cannot be finished after it.
    fn remember<T>(&mut self, result: Result<T, WriteError>) -> Result<T, WriteError> {
        if let Err(error) = &result {
            self.failed.get_or_insert_with(|| error.clone());
        }
        result
    }

    fn line(&mut self, record: &Record) {
        self.out.extend_from_slice(record.bytes());
        self.out.push(b'\n');
        self.records = self.records.saturating_add(1);
    }

    fn next_line(&self) -> usize {
        usize::try_from(self.records.saturating_add(1)).unwrap_or(usize::MAX)
    }

    /// Whether the reader would accept everything so far.
    fn accepted(&self) -> Result<(), WriteError> {
        let refused = || self.notes.first_fault().cloned().map(WriteError::Refused);
        self.failed.clone().or_else(refused).map_or(Ok(()), Err)
    }
}
