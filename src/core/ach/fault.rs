//! Owns what is wrong with a file: a fault is a value with its place, its code and a sentence, and all of a file are
//! listed together.
//!
//! Messages quote control numbers and codes, never names, accounts or identifications.

use std::fmt;

use crate::core::ach::text::Place;
use crate::core::ach::tolerance::{Tolerance, Tolerances};
use crate::core::closed_list::closed_list;

/// How many faults of a file are listed; beyond, they are counted. A page of a hundred is more than a person reads, and
/// 128 MiB of noise must not become gigabytes of messages.
pub const FAULTS_MAX: usize = 100;

closed_list! {
    /// What is wrong. The list is closed; a name never changes its meaning.
    FaultCode {
        /// There is nothing in the file.
        EmptyFile = "empty_file",
        /// The records are not parted by line breaks.
        NoLineBreaks = "no_line_breaks",
        /// A line has not 94 characters, and blanks alone make the difference.
        LineLength = "line_length",
        /// A line goes on after its 94 characters.
        LineOverrun = "line_overrun",
        /// A character that is not printable ASCII.
        Character = "character",
        /// A byte above 7F in a name or free text.
        HighByte = "high_byte",
        /// The records are no multiple of ten.
        Padding = "padding",

        /// A record that begins with none of 1, 5, 6, 7, 8, 9.
        RecordType = "record_type",
        /// A record where another must stand.
        RecordOrder = "record_order",
        /// Neither file header nor file control.
        FileRecordsMissing = "file_records_missing",
        /// A file control and no file header.
        FileHeaderMissing = "file_header_missing",
        /// A file header and no file control: the file was cut off.
        FileControlMissing = "file_control_missing",
        /// An entry or batch control without a batch header before it.
        BatchHeaderMissing = "batch_header_missing",
        /// A batch that does not end with its control.
        BatchControlMissing = "batch_control_missing",
        /// An addenda without an entry before it.
        EntryMissing = "entry_missing",
        /// A batch without entries.
        BatchEmpty = "batch_empty",
        /// A file without batches.
        NoBatches = "no_batches",
        /// Something after the file control that is no filler.
        AfterFileControl = "after_file_control",

        /// A field that must be digits and is not.
        NotNumeric = "not_numeric",
        /// A field that has one fixed value and shows another.
        FixedValue = "fixed_value",
        /// A routing number of zeros, or one whose check digit does not fit.
        RoutingNumber = "routing_number",
        /// The file was not made on a day of the calendar.
        CreationDate = "creation_date",
        /// The file was not made at a time of the day.
        CreationTime = "creation_time",
        /// The file modifier is neither a capital letter nor a digit.
        FileModifier = "file_modifier",
        /// The file is addressed to somebody else than the feed's destination.
        DestinationNotExpected = "destination_not_expected",
        /// The file comes from somebody else than the feed's origin.
        OriginNotExpected = "origin_not_expected",

        /// The service class is none of 200, 220, 225.
        ServiceClass = "service_class",
        /// The standard entry class is not one that is read here.
        SecCode = "sec_code",
        /// The originator status is none of 0, 1, 2.
        OriginatorStatus = "originator_status",
        /// A batch number that is not above the one before.
        BatchNumberOrder = "batch_number_order",

        /// A batch control that names another batch than its header.
        ControlMismatch = "control_mismatch",
        /// A count of entries and addenda that is not what stands there.
        EntryCount = "entry_count",
        /// A sum of routing numbers that is not what stands there.
        EntryHash = "entry_hash",
        /// A debit total that is not what stands there.
        DebitTotal = "debit_total",
        /// A credit total that is not what stands there.
        CreditTotal = "credit_total",
        /// A count of batches that is not what stands there.
        BatchCount = "batch_count",
        /// A count of blocks that is not what stands there.
        BlockCount = "block_count",
        /// Sums beyond what can be added.
        Overflow = "overflow",

        /// A transaction code that does not exist.
        TransactionCode = "transaction_code",
        /// A debit in a batch of credits, or a credit in a batch of debits.
        Direction = "direction",
        /// Nothing on a live entry.
        ZeroAmount = "zero_amount",
        /// Something on a prenote, a zero-dollar entry or a notification of change.
        NonzeroAmount = "nonzero_amount",
        /// A trace number that is not above the one before.
        TraceOrder = "trace_order",
        /// A trace number that does not begin with the bank of its batch.
        TraceOdfi = "trace_odfi",

        /// The addenda indicator is neither 0 nor 1.
        AddendaIndicator = "addenda_indicator",
        /// Addenda are announced or needed and do not follow.
        AddendaMissing = "addenda_missing",
        /// Addenda follow that were not announced.
        AddendaUnexpected = "addenda_unexpected",
        /// More addenda than the entry class allows.
        AddendaTooMany = "addenda_too_many",
        /// A type of addenda that does not belong to the entry class.
        AddendaType = "addenda_type",
        /// The addenda count of a CTX entry is not what follows.
        AddendaCount = "addenda_count",
        /// Sequence numbers of addenda that do not run from 1, or name another entry.
        AddendaSequence = "addenda_sequence",
        /// A return code that the table does not know.
        ReturnCode = "return_code",
        /// A change code that the table does not know.
        ChangeCode = "change_code",
    }
}

impl FaultCode {
    /// The tolerance that turns it into a warning, if there is one.
    #[must_use]
    pub const fn excuse(self) -> Option<Tolerance> {
        match self {
            Self::NoLineBreaks => Some(Tolerance::NoLineBreaks),
            Self::LineLength => Some(Tolerance::TrailingSpaces),
            Self::HighByte => Some(Tolerance::HighBytes),
            Self::Padding => Some(Tolerance::MissingPadding),
            Self::FileRecordsMissing => Some(Tolerance::MissingFileRecords),
            Self::NoBatches => Some(Tolerance::NoBatches),
            Self::BatchNumberOrder => Some(Tolerance::BatchNumberOrder),
            Self::BlockCount => Some(Tolerance::BlockCount),
            Self::ZeroAmount | Self::NonzeroAmount => Some(Tolerance::EntryAmounts),
            Self::TraceOrder => Some(Tolerance::TraceOrder),
            Self::TraceOdfi => Some(Tolerance::TraceOdfi),
            Self::AddendaSequence => Some(Tolerance::AddendaSequence),
            Self::ReturnCode | Self::ChangeCode => Some(Tolerance::UnknownReasonCodes),
            Self::EmptyFile
            | Self::LineOverrun
            | Self::Character
            | Self::RecordType
            | Self::RecordOrder
            | Self::FileHeaderMissing
            | Self::FileControlMissing
            | Self::BatchHeaderMissing
            | Self::BatchControlMissing
            | Self::EntryMissing
            | Self::BatchEmpty
            | Self::AfterFileControl
            | Self::NotNumeric
            | Self::FixedValue
            | Self::RoutingNumber
            | Self::CreationDate
            | Self::CreationTime
            | Self::FileModifier
            | Self::DestinationNotExpected
            | Self::OriginNotExpected
            | Self::ServiceClass
            | Self::SecCode
            | Self::OriginatorStatus
            | Self::ControlMismatch
            | Self::EntryCount
            | Self::EntryHash
            | Self::DebitTotal
            | Self::CreditTotal
            | Self::BatchCount
            | Self::Overflow
            | Self::TransactionCode
            | Self::Direction
            | Self::AddendaIndicator
            | Self::AddendaMissing
            | Self::AddendaUnexpected
            | Self::AddendaTooMany
            | Self::AddendaType
            | Self::AddendaCount => None,
        }
    }
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; the number of the record where the file has no line breaks.
    pub line: usize,
    /// The column, from 1: where the field begins, or the character itself.
    pub column: usize,
    /// The field.
    pub field: &'static str,
    /// What is wrong.
    pub code: FaultCode,
    /// The same for people, in one clause.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}, {}: {}", self.line, self.column, self.field, self.message)
    }
}

/// The faults of a file: the first [`FAULTS_MAX`] in the order of their finding, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
    count: usize,
}

impl Faults {
    /// The first of them.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many there are, listed or not.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Orders the list by place.
    fn sort(&mut self) {
        self.list.sort_by_key(|fault| (fault.line, fault.column));
    }

    fn add(&mut self, place: Place, code: FaultCode, message: fmt::Arguments<'_>) {
        self.count = self.count.saturating_add(1);
        if self.list.len() < FAULTS_MAX {
            let Place { line, column, field } = place;
            self.list.push(Fault { line, column, field, code, message: message.to_string() });
        }
    }
}

/// Where those who read and check write down what they find.
#[derive(Debug)]
pub(super) struct Notes {
    tolerances: Tolerances,
    listening: bool,
    faults: Faults,
    warnings: Faults,
}

impl Notes {
    /// Notes of a check under these tolerances.
    pub(super) fn new(tolerances: Tolerances) -> Self {
        Self { tolerances, listening: true, faults: Faults::default(), warnings: Faults::default() }
    }

    /// For reading what was checked before: nothing is written down.
    pub(super) fn none() -> Self {
        Self { listening: false, ..Self::new(Tolerances::STRICT) }
    }

    /// The first fault so far.
    pub(super) fn first_fault(&self) -> Option<&Fault> {
        self.faults.list().first()
    }

    /// The end of the check: faults and warnings, by place.
    pub(super) fn finish(mut self) -> (Faults, Faults) {
        self.faults.sort();
        self.warnings.sort();
        (self.faults, self.warnings)
    }

    /// Writes a finding down.
    pub(super) fn add(&mut self, place: Place, code: FaultCode, message: fmt::Arguments<'_>) {
        if !self.listening {
            return;
        }
        let excused = code.excuse().is_some_and(|tolerance| self.tolerances.contains(tolerance));
        let kept = if excused { &mut self.warnings } else { &mut self.faults };
        kept.add(place, code, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { line: 3, column: 30, field: "amount" };

    #[test]
    fn a_tolerated_fault_is_a_warning() {
        let mut notes = Notes::new(Tolerances::STRICT.with(Tolerance::TraceOrder));
        notes.add(PLACE, FaultCode::TraceOrder, format_args!("tolerated"));
        notes.add(PLACE, FaultCode::TraceOdfi, format_args!("must be digits"));
        assert_eq!((notes.faults.count(), notes.warnings.count()), (1, 1));
        assert_eq!(notes.faults.list().first().unwrap().to_string(), "line 3, column 30, amount: must be digits");
    }

    #[test]
    fn the_list_ends_and_the_count_goes_on() {
        let mut notes = Notes::new(Tolerances::STRICT);
        for _ in 0..1000 {
            notes.add(PLACE, FaultCode::NotNumeric, format_args!("x"));
        }
        assert_eq!((notes.faults.count(), notes.faults.list().len()), (1000, FAULTS_MAX));
    }

    #[test]
    fn names_of_codes_are_unique_and_each_tolerance_excuses_something() {
        let mut names: Vec<_> = FaultCode::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FaultCode::ALL.len());
        for tolerance in Tolerance::ALL {
            assert!(FaultCode::ALL.iter().any(|code| code.excuse() == Some(tolerance)), "{tolerance:?}");
        }
    }
}
