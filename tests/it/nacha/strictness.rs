//! Owns what strict and tolerant reading say of each sample: which tolerance a valid one needs, and for which fault an
//! invalid one is refused.

use hpts::core::ach::{Faults, Tolerance, Tolerances, read};

use super::{bytes, samples};

/// Line, column and code of a fault.
type Found = (usize, usize, &'static str);
/// The same with its field.
pub(crate) type FoundIn = (usize, usize, &'static str, &'static str);

/// Valid samples that the strict check refuses: for what, and which tolerances take them.
const NEED_TOLERANCE: [(&str, &[Found], &[Tolerance]); 4] = [
    ("ppd-debit.ach", &[(1, 76, "line_length"), (5, 56, "line_length")], &[Tolerance::TrailingSpaces]),
    (
        "ccd-txp-addenda-debit.ach",
        &[(4, 84, "addenda_sequence"), (4, 88, "addenda_sequence"), (6, 8, "block_count")],
        &[Tolerance::BlockCount, Tolerance::AddendaSequence],
    ),
    (
        "ppd-debit-no-line-breaks.ach",
        &[(1, 95, "no_line_breaks"), (5, 1, "padding")],
        &[Tolerance::NoLineBreaks, Tolerance::MissingPadding],
    ),
    ("ppd-trailing-spaces-trimmed.ach", &[(5, 75, "line_length")], &[Tolerance::TrailingSpaces]),
];

/// Invalid samples, and every fault that no usual tolerance excuses: line, column, field, code.
pub(crate) const REFUSED: [(&str, &[FoundIn]); 7] = [
    (
        "invalid-batch-control-totals.ach",
        &[
            (15, 30, "amount", "not_numeric"),
            (15, 80, "trace_number", "not_numeric"),
            (17, 21, "total_debit", "debit_total"),
            (18, 32, "total_debit", "debit_total"),
        ],
    ),
    ("invalid-trace-not-odfi.ach", &[(3, 80, "trace_number", "trace_odfi")]),
    ("invalid-return-code-r96.ach", &[(4, 4, "return_reason_code", "return_code")]),
    ("invalid-return-without-file-records.ach", &[(1, 1, "record_type_code", "file_records_missing")]),
    (
        "invalid-return-and-noc-without-controls.ach",
        &[
            (1, 1, "record_type_code", "file_records_missing"),
            (4, 1, "record_type_code", "batch_control_missing"),
            (4, 88, "batch_number", "batch_number_order"),
            (6, 1, "record_type_code", "batch_control_missing"),
        ],
    ),
    (
        "invalid-vendor-empty-file.ach",
        &[
            (1, 4, "immediate_destination", "routing_number"),
            (1, 34, "file_id_modifier", "file_modifier"),
            (10, 1, "record_type_code", "no_batches"),
        ],
    ),
    ("invalid-record-order-5-before-1.txt", &[(4, 1, "record_type_code", "record_order")]),
];

/// Refused files that a named tolerance takes.
const TAKEN_IF_TOLERATED: [(&str, Tolerance); 3] = [
    ("invalid-trace-not-odfi.ach", Tolerance::TraceOdfi),
    ("invalid-return-code-r96.ach", Tolerance::UnknownReasonCodes),
    ("invalid-return-without-file-records.ach", Tolerance::MissingFileRecords),
];

fn places(faults: &Faults) -> Vec<Found> {
    faults.list().iter().map(|fault| (fault.line, fault.column, fault.code.name())).collect()
}

#[test]
fn strict_reading_takes_the_valid_samples_but_four() {
    for sample in samples().iter().filter(|sample| sample.valid) {
        let bytes = bytes(&sample.file);
        let strict = read(&bytes, Tolerances::STRICT);
        match NEED_TOLERANCE.iter().find(|(file, ..)| *file == sample.file) {
            None => assert!(strict.unwrap().warnings().is_empty(), "{}", sample.file),
            Some((file, faults, tolerances)) => {
                assert_eq!(places(&strict.unwrap_err().faults), *faults, "{file}");
                for left_out in *tolerances {
                    let others = tolerances.iter().copied().filter(|tolerance| tolerance != left_out);
                    assert!(read(&bytes, others.collect()).is_err(), "{file} without {left_out:?}");
                }
                let tolerant = read(&bytes, tolerances.iter().copied().collect()).unwrap();
                assert_eq!(places(tolerant.warnings()), *faults, "{file}");
            }
        }
    }
}

#[test]
fn usual_tolerances_take_the_valid_samples_and_no_other() {
    let mut refused = Vec::new();
    for sample in samples() {
        let bytes = bytes(&sample.file);
        if let Err(refusal) = read(&bytes, Tolerances::USUAL) {
            let faults = refusal.faults.list().iter();
            let places = faults.map(|fault| (fault.line, fault.column, fault.field, fault.code.name()));
            refused.push((sample.file.clone(), places.collect::<Vec<_>>()));
        }
        assert_eq!(sample.valid, refused.iter().all(|(file, _)| *file != sample.file), "{}", sample.file);
    }
    let expected: Vec<_> = REFUSED.iter().map(|(file, faults)| ((*file).to_owned(), faults.to_vec())).collect();
    assert_eq!(refused, expected);
}

#[test]
fn a_refused_sample_is_taken_where_its_fault_is_tolerated_by_name() {
    for (file, tolerance) in TAKEN_IF_TOLERATED {
        let bytes = bytes(file);
        assert!(read(&bytes, Tolerances::USUAL.with(tolerance)).is_ok(), "{file}");
    }
    let everything = Tolerance::ALL.into_iter().collect();
    for (file, _) in REFUSED.iter().filter(|(file, _)| TAKEN_IF_TOLERATED.iter().all(|(taken, _)| taken != file)) {
        assert!(read(&bytes(file), everything).is_err(), "{file}");
    }
}

#[test]
fn messages_say_what_is_wrong_to_people() {
    let bytes = bytes("invalid-batch-control-totals.ach");
    let refusal = read(&bytes, Tolerances::STRICT).unwrap_err();
    let messages: Vec<_> = refusal.faults.list().iter().map(ToString::to_string).collect();
    assert_eq!(messages[0], "line 15, column 30, amount: must be 10 digits");
    assert!(
        messages
            .contains(&"line 17, column 21, total_debit: control says 44, the records before it come to 0".to_owned())
    );
}
