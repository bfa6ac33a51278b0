//! Owns the form of a line: 94 characters, all of them printable ASCII.

use std::ops::RangeInclusive;

use crate::core::ach::fault::{FaultCode, Notes};
use crate::core::ach::lines::Line;
use crate::core::ach::text::{Place, RECORD_LEN, is_printable};

/// Checks length and characters of a line. At most one fault of characters a line: the first is where to look.
pub(super) fn check(line: Line<'_>, notes: &mut Notes) {
    let at = |column| Place { line: line.number, column, field: "record" };
    let length = line.bytes.len();
    let surplus = line.bytes.get(RECORD_LEN..).unwrap_or_default();
    let after_end = RECORD_LEN.saturating_add(1);
    if length < RECORD_LEN {
        let message = format_args!("must have 94 characters, has {length}");
        notes.add(at(length.saturating_add(1)), FaultCode::LineLength, message);
    } else if surplus.iter().any(|byte| *byte != b' ') {
        let message = format_args!("must have 94 characters, has {length}");
        notes.add(at(after_end), FaultCode::LineOverrun, message);
    } else if !surplus.is_empty() {
        let message = format_args!("must have 94 characters, has {length}, the last ones blank");
        notes.add(at(after_end), FaultCode::LineLength, message);
    }
    if !line.bytes.iter().all(|byte| is_printable(*byte)) {
        characters(line, notes);
    }
}

fn characters(line: Line<'_>, notes: &mut Notes) {
    let free = free_text(line.bytes);
    let odd = || (1_usize..).zip(line.bytes).filter(|(_, byte)| !is_printable(**byte));
    let in_free_text =
        |(column, byte): &(usize, &u8)| **byte >= 0x80 && free.iter().any(|range| range.contains(column));
    let place = |column| Place { line: line.number, column, field: "record" };
    if let Some((column, byte)) = odd().find(|found| !in_free_text(found)) {
        let hint = if column == 1 && *byte == 0xf1 { ": the file seems to be EBCDIC" } else { "" };
        let message = format_args!("byte {byte:02X} is not printable ASCII{hint}");
        notes.add(place(column), FaultCode::Character, message);
    } else if let Some((column, byte)) = odd().next() {
        let message = format_args!("byte {byte:02X} in a name or free text");
        notes.add(place(column), FaultCode::HighByte, message);
    }
}

/// The columns of a record that hold names and free text, and nothing that is looked up or added.
fn free_text(line: &[u8]) -> &'static [RangeInclusive<usize>] {
    match line {
        [b'1', ..] => &[41..=94],
        [b'5', ..] => &[5..=40],
        [b'6', ..] => &[55..=76],
        [b'7', b'0', b'2' | b'5', ..] => &[4..=83],
        [b'7', b'9', b'9', ..] => &[36..=79],
        _ => &[],
    }
}
