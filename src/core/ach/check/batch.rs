//! Owns the check of one batch: its entries in order, and its control against them.

use crate::core::ach::check::entry::OpenEntry;
use crate::core::ach::check::sums::Sums;
use crate::core::ach::check::{RECORD, cents, sums_agree};
use crate::core::ach::code::{SecCode, TransactionCode};
use crate::core::ach::fault::{FaultCode, Notes};
use crate::core::ach::record::{BatchHeader, Entry, Reader, Trace, batch, entry};
use crate::core::ach::text::Record;
use crate::core::money::{AmountOverflow, Minor};

/// A batch whose end has not come yet.
#[derive(Debug)]
pub(in crate::core::ach) struct OpenBatch {
    line: usize,
    /// The header as it stands there; the control must repeat parts of it.
    record: Option<Record>,
    /// The header, if it can be read.
    header: Option<BatchHeader>,
    sums: Sums,
    last_trace: Option<Trace>,
    entry: Option<OpenEntry>,
}

impl OpenBatch {
    pub(in crate::core::ach) fn new(line: usize, record: &Record, notes: &mut Notes) -> Self {
        let header = BatchHeader::read(&mut Reader { record, line, notes });
        Self { line, record: Some(*record), header, ..Self::without_header() }
    }

    /// A batch that began with an entry.
    pub(in crate::core::ach) fn without_header() -> Self {
        Self { line: 0, record: None, header: None, sums: Sums::default(), last_trace: None, entry: None }
    }

    pub(in crate::core::ach) fn number(&self) -> Option<u32> {
        self.header.as_ref().map(|header| header.number)
    }

    pub(in crate::core::ach) fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(in crate::core::ach) fn number_does_not_rise(&self, notes: &mut Notes) {
        let message = format_args!("batch numbers must rise inside a file");
        notes.add(batch::BATCH_NUMBER.on(self.line), FaultCode::BatchNumberOrder, message);
    }

    pub(in crate::core::ach) fn entry(&mut self, line: usize, record: &Record, notes: &mut Notes) {
        self.end_entry(notes);
        let mut reader = Reader { record, line, notes };
        let entry = Entry::read(&mut reader);
        if let (Some(entry), Some(header)) = (&entry, self.header) {
            self.entry_in_batch(entry, &header, &mut reader);
        }
        if self.add_entry(record, entry.as_ref()).is_err() {
            let message = format_args!("the sums of the batch are out of range");
            reader.fault(entry::AMOUNT, FaultCode::Overflow, message);
        }
        let sec = self.header.as_ref().map(|header| header.sec);
        self.entry = Some(OpenEntry::new(entry, sec, &mut reader));
    }

    fn entry_in_batch(&mut self, entry: &Entry, header: &BatchHeader, reader: &mut Reader<'_>) {
        // A notification of change moves no money, whichever direction the entry had.
        if header.sec != SecCode::Cor && !header.service_class.admits(entry.code.direction) {
            let class = header.service_class.number();
            let message = format_args!("a {} in a batch of class {class}", entry.code.direction.name());
            reader.fault(entry::TRANSACTION_CODE, FaultCode::Direction, message);
        }
        if entry.trace.bank() != u64::from(header.odfi.number()) {
            let message = format_args!("must begin with {}, the originating bank of the batch", header.odfi);
            reader.fault(entry::TRACE, FaultCode::TraceOdfi, message);
        }
        if self.last_trace.is_some_and(|last| entry.trace <= last) {
            let message = format_args!("trace numbers must rise inside a batch");
            reader.fault(entry::TRACE, FaultCode::TraceOrder, message);
        }
        self.last_trace = Some(entry.trace);
    }

    /// Adds what can be read of an entry, so that one bad field does not spoil every total.
    fn add_entry(&mut self, record: &Record, read: Option<&Entry>) -> Result<(), AmountOverflow> {
        self.sums.add_record()?;
        if let Some(entry) = read {
            self.sums.add_bank(u64::from(entry.rdfi.number()))?;
            return self.sums.add_amount(entry.code.direction, entry.amount);
        }
        self.sums.add_bank(record.text(entry::RDFI).digits().unwrap_or(0))?;
        let code = record.text(entry::TRANSACTION_CODE).digits().and_then(TransactionCode::of_number);
        let amount = record.text(entry::AMOUNT).digits().and_then(|cents| i64::try_from(cents).ok());
        match (code, amount) {
            (Some(code), Some(amount)) => self.sums.add_amount(code.direction, Minor::new(amount)),
            (None, _) | (_, None) => Ok(()),
        }
    }

    pub(in crate::core::ach) fn addenda(&mut self, line: usize, record: &Record, notes: &mut Notes) {
        let overflow = self.sums.add_record().is_err();
        let mut reader = Reader { record, line, notes };
        if overflow {
            reader.fault(RECORD, FaultCode::Overflow, format_args!("the sums of the batch are out of range"));
        }
        match &mut self.entry {
            Some(entry) => entry.addenda(&mut reader),
            None => reader.fault(RECORD, FaultCode::EntryMissing, format_args!("an addenda must follow an entry")),
        }
    }

    pub(in crate::core::ach) fn control(&mut self, line: usize, record: &Record, notes: &mut Notes) {
        self.end_entry(notes);
        let mut reader = Reader { record, line, notes };
        if self.sums.records == 0 {
            reader.fault(RECORD, FaultCode::BatchEmpty, format_args!("the batch has no entry"));
        }
        if let Some(header) = &self.record {
            batch::control_mismatches(header, &mut reader);
        }
        sums_agree(&mut reader, batch::ENTRY_COUNT, FaultCode::EntryCount, self.sums.records);
        sums_agree(&mut reader, batch::ENTRY_HASH, FaultCode::EntryHash, self.sums.hash());
        sums_agree(&mut reader, batch::DEBIT_TOTAL, FaultCode::DebitTotal, cents(self.sums.debit));
        sums_agree(&mut reader, batch::CREDIT_TOTAL, FaultCode::CreditTotal, cents(self.sums.credit));
    }

    /// Ends the entry before, whose addenda are all there now.
    pub(in crate::core::ach) fn end_entry(&mut self, notes: &mut Notes) {
        if let Some(entry) = self.entry.take() {
            entry.end(notes);
        }
    }
}
