//! Owns the table of bad lines and bad structure: rows 94 to 96 of the bad inputs.

use super::Spoil::{Append, Copy, Cut, Insert, Put, Remove};
use super::*;

#[test]
fn a_line_has_94_printable_characters() {
    hold(
        &two_batches(),
        &[
            (94, &[Cut(11, 93)], &[(11, 94, "record", "line_length")]),
            (94, &[Cut(3, 93)], &[(3, 80, "trace_number", "not_numeric"), (3, 94, "record", "line_length")]),
            (94, &[Append(3, b"X")], &[(3, 95, "record", "line_overrun")]),
            (94, &[Append(3, b" ")], &[(3, 95, "record", "line_length")]),
            (94, &[Append(3, b"\r\r")], &[(3, 95, "record", "line_overrun"), (3, 95, "record", "character")]),
            (94, &[Put(3, 60, b"\t")], &[(3, 60, "record", "character")]),
            (94, &[Put(3, 60, b"\x01")], &[(3, 60, "record", "character")]),
            (94, &[Put(3, 60, b"\0")], &[(3, 60, "record", "character")]),
            (94, &[Put(3, 60, b"\x7f")], &[(3, 60, "record", "character")]),
            (94, &[Put(3, 60, b"\xc3\xa9")], &[(3, 60, "record", "high_byte")]),
            (94, &[Put(3, 15, b"\xc3\xa9")], &[(3, 15, "record", "character")]),
            (94, &[Put(3, 42, b"\xe9")], &[(3, 42, "record", "character")]),
            (
                94,
                &[Put(3, 30, b"\t")],
                &[
                    (3, 30, "record", "character"),
                    (3, 30, "amount", "not_numeric"),
                    (6, 21, "total_debit", "debit_total"),
                    (11, 32, "total_debit", "debit_total"),
                ],
            ),
            (
                94,
                &[Insert(4, b"")],
                &[
                    (4, 1, "record", "line_length"),
                    (4, 1, "record_type_code", "record_type"),
                    (12, 8, "block_count", "block_count"),
                    (21, 1, "record_type_code", "padding"),
                ],
            ),
        ],
    );
}

#[test]
fn other_encodings_are_found_at_the_first_character() {
    let file = two_batches();
    let ebcdic: Vec<u8> = file
        .iter()
        .map(|byte| match byte {
            b'0'..=b'9' => byte + 0xc0,
            b' ' => 0x40,
            b'\n' => 0x15,
            _ => 0xc1,
        })
        .collect();
    let refusal = read(&ebcdic, Tolerances::STRICT).unwrap_err();
    let first = refusal.faults.list().iter().find(|fault| fault.code == FaultCode::Character).unwrap();
    assert_eq!((first.line, first.column), (1, 1));
    assert!(first.message.contains("EBCDIC"), "{first}");
    for bom in ["\u{feff}".as_bytes(), b"\xff\xfe"] {
        let found = faults(&[bom, &file].concat());
        assert!(found.contains(&(1, 1, "record", "character")), "{found:?}");
    }
    let wide: Vec<u8> = file.iter().flat_map(|byte| [*byte, 0]).collect();
    assert!(faults(&wide).contains(&(1, 2, "record", "character")));
}

#[test]
fn records_follow_one_another_in_order() {
    hold(
        &two_batches(),
        &[
            (
                95,
                &[Remove(1)],
                &[(1, 1, "record_type_code", "file_header_missing"), (19, 1, "record_type_code", "padding")],
            ),
            (
                95,
                &[Put(1, 1, b"2")],
                &[(1, 1, "record_type_code", "record_type"), (1, 1, "record_type_code", "file_header_missing")],
            ),
            (95, &[Remove(11)], &[(19, 1, "record_type_code", "file_control_missing")]),
            (95, &[Remove(11), Remove(1)], &[(1, 1, "record_type_code", "file_records_missing")]),
            (
                95,
                &[Remove(6)],
                &[(6, 1, "record_type_code", "batch_control_missing"), (19, 1, "record_type_code", "padding")],
            ),
            (
                95,
                &[Remove(10)],
                &[(10, 1, "record_type_code", "batch_control_missing"), (19, 1, "record_type_code", "padding")],
            ),
            (95, &[Copy(1, 7), Remove(20)], &[(7, 1, "record_type_code", "record_order")]),
            (95, &[Copy(6, 7), Remove(20)], &[(7, 1, "record_type_code", "batch_header_missing")]),
            (95, &[Copy(3, 12), Remove(20)], &[(12, 1, "record_type_code", "after_file_control")]),
            (95, &[Copy(11, 12), Remove(20)], &[(12, 1, "record_type_code", "after_file_control")]),
            (
                95,
                &[Copy(5, 3), Remove(20)],
                &[
                    (3, 1, "record_type_code", "entry_missing"),
                    (7, 5, "entry_addenda_count", "entry_count"),
                    (12, 14, "entry_addenda_count", "entry_count"),
                ],
            ),
            (95, &[Copy(5, 2), Remove(20)], &[(2, 1, "record_type_code", "entry_missing")]),
            (
                95,
                &[Copy(8, 7), Remove(20)],
                &[
                    (7, 1, "record_type_code", "batch_header_missing"),
                    (8, 1, "record_type_code", "batch_control_missing"),
                    (12, 14, "entry_addenda_count", "entry_count"),
                    (12, 22, "entry_hash", "entry_hash"),
                    (12, 32, "total_debit", "debit_total"),
                ],
            ),
            (
                95,
                &[Remove(3), Remove(3), Remove(3)],
                &[
                    (3, 1, "record_type_code", "batch_empty"),
                    (3, 5, "entry_addenda_count", "entry_count"),
                    (3, 11, "entry_hash", "entry_hash"),
                    (3, 21, "total_debit", "debit_total"),
                    (8, 14, "entry_addenda_count", "entry_count"),
                    (8, 22, "entry_hash", "entry_hash"),
                    (8, 32, "total_debit", "debit_total"),
                    (17, 1, "record_type_code", "padding"),
                ],
            ),
        ],
    );
}

#[test]
fn a_file_fills_its_blocks() {
    hold(
        &two_batches(),
        &[
            (96, &[Remove(20)], &[(19, 1, "record_type_code", "padding")]),
            (96, &[Copy(20, 20)], &[(11, 8, "block_count", "block_count"), (21, 1, "record_type_code", "padding")]),
            (96, &[Put(11, 8, b"000003")], &[(11, 8, "block_count", "block_count")]),
            (96, &[Put(11, 8, b"     2")], &[(11, 8, "block_count", "not_numeric")]),
        ],
    );
    let unpadded = spoiled(&two_batches(), &[Remove(20), Put(11, 8, b"000001")]);
    let tolerances = Tolerances::STRICT.with(Tolerance::MissingPadding).with(Tolerance::BlockCount);
    let file = read(&unpadded, tolerances).unwrap();
    assert_eq!(
        places(file.warnings()),
        [(11, 8, "block_count", "block_count"), (19, 1, "record_type_code", "padding")]
    );
}

#[test]
fn nothing_is_a_fault_of_its_own() {
    for nothing in [&b""[..], b"\n", b"\r\n\r\n"] {
        assert_eq!(faults(nothing), [(1, 1, "record_type_code", "empty_file")]);
    }
}

#[test]
fn line_ends_may_be_of_either_kind_and_stand_at_the_end_or_not() {
    let file = String::from_utf8(two_batches()).unwrap();
    for text in [file.replace('\n', "\r\n"), file.trim_end().to_owned(), format!("{file}\n\r\n")] {
        assert_eq!(faults(text.as_bytes()), []);
    }
}

#[test]
fn high_bytes_in_names_are_replaced_where_they_are_tolerated() {
    let bytes = spoiled(&two_batches(), &[Put(3, 60, b"\xe9")]);
    let file = read(&bytes, Tolerances::STRICT.with(Tolerance::HighBytes)).unwrap();
    assert_eq!(file.entries().next().unwrap().entry.name.trimmed(), "Best ?orrower");
    let in_account = spoiled(&two_batches(), &[Put(3, 15, b"\xe9")]);
    assert!(read(&in_account, Tolerance::ALL.into_iter().collect()).is_err());
}
