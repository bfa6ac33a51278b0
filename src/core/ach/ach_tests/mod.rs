//! Owns the tests of files as a whole: bad inputs as tables, meanings as a table, and properties over random files.
#![expect(clippy::arithmetic_side_effects, reason = "a test that is wrong fails")]

mod bad_inputs;
mod bad_lines;
mod meanings;
mod properties;
mod writing;

use chrono::{NaiveDate, NaiveTime};

use super::lines::Lines;
use super::*;
use crate::core::money::Minor;

/// A Friday.
const MADE_ON: NaiveDate = NaiveDate::from_ymd_opt(2026, 5, 8).unwrap();

fn bank(number: u32) -> RoutingNumber {
    RoutingNumber::new(number).unwrap()
}

fn odfi() -> RoutingNumber {
    bank(12_104_288)
}

fn code(number: u64) -> TransactionCode {
    TransactionCode::of_number(number).unwrap()
}

fn file_spec() -> FileSpec<'static> {
    FileSpec {
        destination: "231380104",
        origin: "121042882",
        destination_name: "Federal Reserve Bank",
        origin_name: "My Bank Name",
        created_on: MADE_ON,
        created_at: NaiveTime::from_hms_opt(15, 5, 0).unwrap(),
        modifier: 'A',
    }
}

fn batch_spec() -> BatchSpec<'static> {
    BatchSpec {
        company_name: "Lender",
        company_id: "1210428829",
        sec: SecCode::Ppd,
        description: "LOAN PYMT",
        effective_entry_date: Some(MADE_ON),
        settlement_day: None,
        odfi: odfi(),
    }
}

fn entry_spec() -> EntrySpec<'static> {
    EntrySpec {
        code: code(27),
        rdfi: bank(23_138_010),
        account: "744-5678-99",
        amount: Minor::new(88_849),
        individual_id: "LN-0000042",
        name: "Best Borrower",
        addenda: &[],
    }
}

/// A valid file of two batches:
///
/// | line | record |
/// | --- | --- |
/// | 1 | file header |
/// | 2-6 | PPD debits: 888.49; 100.00 with an addenda |
/// | 7-10 | CCD: debit 5.00, credit 7.00 |
/// | 11 | file control |
/// | 12-20 | filler |
fn two_batches() -> Vec<u8> {
    let mut writer = Writer::new(&file_spec()).unwrap();
    writer.batch(&batch_spec()).unwrap();
    writer.entry(&entry_spec()).unwrap();
    let remittance = [AddendaSpec::Remittance("LOAN 4711 for May")];
    writer.entry(&EntrySpec { amount: Minor::new(10_000), addenda: &remittance, ..entry_spec() }).unwrap();
    writer.batch(&BatchSpec { sec: SecCode::Ccd, ..batch_spec() }).unwrap();
    writer.entry(&EntrySpec { amount: Minor::new(500), ..entry_spec() }).unwrap();
    writer.entry(&EntrySpec { code: code(22), amount: Minor::new(700), ..entry_spec() }).unwrap();
    writer.finish().unwrap()
}

/// One way to spoil a file. Lines and columns count from 1.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    /// Overwrites from a column on.
    Put(usize, usize, &'static [u8]),
    /// Cuts a line to a length.
    Cut(usize, usize),
    /// Adds to the end of a line.
    Append(usize, &'static [u8]),
    /// Takes a line away.
    Remove(usize),
    /// Puts a line before another.
    Insert(usize, &'static [u8]),
    /// Copies a line before another.
    Copy(usize, usize),
}

impl Spoil {
    fn on(self, lines: &mut Vec<Vec<u8>>) {
        match self {
            Self::Put(line, column, text) => {
                lines[line - 1].splice(column - 1..column - 1 + text.len(), text.iter().copied());
            }
            Self::Cut(line, length) => lines[line - 1].truncate(length),
            Self::Append(line, text) => lines[line - 1].extend_from_slice(text),
            Self::Remove(line) => _ = lines.remove(line - 1),
            Self::Insert(line, text) => lines.insert(line - 1, text.to_vec()),
            Self::Copy(from, to) => {
                let copied = lines[from - 1].clone();
                lines.insert(to - 1, copied);
            }
        }
    }
}

fn spoiled(file: &[u8], ways: &[Spoil]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Lines::of(file).map(|line| line.bytes.to_vec()).collect();
    for way in ways {
        way.on(&mut lines);
    }
    lines.join(&b'\n')
}

/// Line, column, field and code of a fault.
type Place = (usize, usize, &'static str, &'static str);

fn places(faults: &Faults) -> Vec<Place> {
    let place = |fault: &Fault| (fault.line, fault.column, fault.field, fault.code.name());
    faults.list().iter().map(place).collect()
}

/// Every fault of a file under the strict check.
fn faults(file: &[u8]) -> Vec<Place> {
    read(file, Tolerances::STRICT).err().map_or_else(Vec::new, |refusal| places(&refusal.faults))
}

/// A bad input by its number, how it comes about, and all that is found.
type Row = (u32, &'static [Spoil], &'static [Place]);

#[track_caller]
fn hold(file: &[u8], rows: &[Row]) {
    assert_eq!(faults(file), []);
    for (number, ways, expected) in rows {
        assert_eq!(faults(&spoiled(file, ways)), *expected, "row {number}: {ways:?}");
    }
}
