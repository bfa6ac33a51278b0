//! Owns the table of bad records: rows 97 to 106 of the bad inputs, each value by line, column, field and code.

use super::Spoil::{Copy, Cut, Put, Remove};
use super::*;

#[test]
fn controls_say_what_stands_before_them() {
    hold(
        &two_batches(),
        &[
            (97, &[Put(6, 5, b"000004")], &[(6, 5, "entry_addenda_count", "entry_count")]),
            (97, &[Put(6, 11, b"0000000001")], &[(6, 11, "entry_hash", "entry_hash")]),
            (97, &[Put(6, 21, b"000000098848")], &[(6, 21, "total_debit", "debit_total")]),
            (97, &[Put(10, 33, b"000000000701")], &[(10, 33, "total_credit", "credit_total")]),
            (97, &[Put(6, 5, b"00000X")], &[(6, 5, "entry_addenda_count", "not_numeric")]),
            (97, &[Put(6, 33, b"            ")], &[(6, 33, "total_credit", "not_numeric")]),
            (97, &[Put(6, 45, b"9999999999")], &[(6, 45, "company_identification", "control_mismatch")]),
            (97, &[Put(6, 80, b"99999999")], &[(6, 80, "originating_dfi", "control_mismatch")]),
            (97, &[Put(6, 88, b"0000009")], &[(6, 88, "batch_number", "control_mismatch")]),
            (97, &[Put(6, 2, b"200")], &[(6, 2, "service_class_code", "control_mismatch")]),
            (97, &[Put(11, 2, b"000003")], &[(11, 2, "batch_count", "batch_count")]),
            (97, &[Put(11, 14, b"00000006")], &[(11, 14, "entry_addenda_count", "entry_count")]),
            (97, &[Put(11, 22, b"0000000001")], &[(11, 22, "entry_hash", "entry_hash")]),
            (97, &[Put(11, 32, b"000000099348")], &[(11, 32, "total_debit", "debit_total")]),
            (97, &[Put(11, 44, b"000000000000")], &[(11, 44, "total_credit", "credit_total")]),
            (97, &[Cut(11, 50)], &[(11, 44, "total_credit", "not_numeric"), (11, 51, "record", "line_length")]),
        ],
    );
    // The control may leave the company out.
    assert_eq!(faults(&spoiled(&two_batches(), &[Put(6, 45, b"          ")])), []);
}

#[test]
fn routing_numbers_carry_their_check_digit() {
    hold(
        &two_batches(),
        &[
            (98, &[Put(3, 12, b"5")], &[(3, 12, "check_digit", "routing_number")]),
            (98, &[Put(3, 12, b" ")], &[(3, 12, "check_digit", "routing_number")]),
            (
                98,
                &[Put(3, 4, b"000000000")],
                &[
                    (3, 4, "receiving_dfi", "routing_number"),
                    (6, 11, "entry_hash", "entry_hash"),
                    (11, 22, "entry_hash", "entry_hash"),
                ],
            ),
            (
                98,
                &[Put(3, 4, b"2313801X")],
                &[
                    (3, 4, "receiving_dfi", "not_numeric"),
                    (6, 11, "entry_hash", "entry_hash"),
                    (11, 22, "entry_hash", "entry_hash"),
                ],
            ),
            (98, &[Put(1, 4, b" 231380105")], &[(1, 4, "immediate_destination", "routing_number")]),
            (98, &[Put(1, 4, b" 000000000")], &[(1, 4, "immediate_destination", "routing_number")]),
            (98, &[Put(1, 4, b"1231380104")], &[(1, 4, "immediate_destination", "not_numeric")]),
            (
                98,
                &[Put(2, 80, b"00000000")],
                &[(2, 80, "originating_dfi", "routing_number"), (6, 80, "originating_dfi", "control_mismatch")],
            ),
        ],
    );
    assert_eq!(faults(&spoiled(&two_batches(), &[Put(1, 4, b"0")])), []);
}

#[test]
fn a_file_for_somebody_else_is_refused() {
    let settings = |destination: &str, origin: &str| FeedSettings {
        name: "collections".to_owned(),
        view: "originator".to_owned(),
        destination: Some(destination.to_owned()),
        origin: Some(origin.to_owned()),
        ..FeedSettings::default()
    };
    let file = two_batches();
    assert!(Feed::new(&settings("231380104", "121042882")).unwrap().read(&file).is_ok());
    let refusal = Feed::new(&settings("091000019", "1234567890")).unwrap().read(&file).unwrap_err();
    assert_eq!(
        places(&refusal.faults),
        [
            (1, 4, "immediate_destination", "destination_not_expected"),
            (1, 14, "immediate_origin", "origin_not_expected"),
        ]
    );
}

#[test]
fn classes_and_codes_are_known_and_fit() {
    hold(
        &two_batches(),
        &[
            (
                99,
                &[Put(2, 2, b"220"), Put(6, 2, b"220")],
                &[(3, 2, "transaction_code", "direction"), (4, 2, "transaction_code", "direction")],
            ),
            (99, &[Put(7, 2, b"225"), Put(10, 2, b"225")], &[(9, 2, "transaction_code", "direction")]),
            (99, &[Put(2, 2, b"280"), Put(6, 2, b"280")], &[(2, 2, "service_class_code", "service_class")]),
            (99, &[Put(2, 2, b"2 0"), Put(6, 2, b"2 0")], &[(2, 2, "service_class_code", "service_class")]),
            (99, &[Put(2, 51, b"XXX")], &[(2, 51, "standard_entry_class_code", "sec_code")]),
            (99, &[Put(2, 51, b"ppd")], &[(2, 51, "standard_entry_class_code", "sec_code")]),
            (99, &[Put(2, 51, b"ADV")], &[(2, 51, "standard_entry_class_code", "sec_code")]),
            (99, &[Put(2, 79, b"9")], &[(2, 79, "originator_status_code", "originator_status")]),
            (
                99,
                &[Put(3, 2, b"25")],
                &[
                    (3, 2, "transaction_code", "transaction_code"),
                    (6, 21, "total_debit", "debit_total"),
                    (11, 32, "total_debit", "debit_total"),
                ],
            ),
            (
                99,
                &[Put(3, 2, b"2A")],
                &[
                    (3, 2, "transaction_code", "transaction_code"),
                    (6, 21, "total_debit", "debit_total"),
                    (11, 32, "total_debit", "debit_total"),
                ],
            ),
            (99, &[Put(7, 88, b"0000001"), Put(10, 88, b"0000001")], &[(7, 88, "batch_number", "batch_number_order")]),
            (99, &[Put(7, 88, b"      2"), Put(10, 88, b"      2")], &[(7, 88, "batch_number", "not_numeric")]),
        ],
    );
}

#[test]
fn amounts_are_ten_digits_and_fit_the_code() {
    const DEBITS: [Place; 2] = [(6, 21, "total_debit", "debit_total"), (11, 32, "total_debit", "debit_total")];
    for bad in [b"00000000AB", b"          ", b"     88849", b"-000088849", b"+000088849", b"00000888.4", b"0000088,84"]
    {
        let file = spoiled(&two_batches(), &[Put(3, 30, bad)]);
        assert_eq!(faults(&file), [&[(3, 30, "amount", "not_numeric")][..], &DEBITS].concat(), "row 100: {bad:?}");
    }
    hold(
        &two_batches(),
        &[
            (100, &[Put(3, 30, b"0000000000")], &[(3, 30, "amount", "zero_amount"), DEBITS[0], DEBITS[1]]),
            (100, &[Put(3, 2, b"28")], &[(3, 30, "amount", "nonzero_amount")]),
            (100, &[Put(3, 2, b"38")], &[(3, 30, "amount", "nonzero_amount")]),
            (100, &[Put(3, 2, b"29")], &[(3, 30, "amount", "nonzero_amount")]),
            (100, &[Put(9, 2, b"23")], &[(9, 30, "amount", "nonzero_amount")]),
            (100, &[Put(9, 2, b"33")], &[(9, 30, "amount", "nonzero_amount")]),
            (100, &[Put(9, 2, b"53")], &[(9, 30, "amount", "nonzero_amount")]),
            (100, &[Put(3, 30, b"0000088848")], &DEBITS),
        ],
    );
}

#[test]
fn traces_rise_inside_a_batch_and_begin_with_its_bank() {
    hold(
        &two_batches(),
        &[
            (101, &[Put(8, 80, b"121042880000009")], &[(9, 80, "trace_number", "trace_order")]),
            (101, &[Put(9, 80, b"121042880000003")], &[(9, 80, "trace_number", "trace_order")]),
            (101, &[Put(8, 80, b"111111110000003")], &[(8, 80, "trace_number", "trace_odfi")]),
            (101, &[Put(9, 80, b"12104288000000X")], &[(9, 80, "trace_number", "not_numeric")]),
        ],
    );
    let same_twice = spoiled(&two_batches(), &[Put(9, 80, b"121042880000003")]);
    let file = read(&same_twice, Tolerances::STRICT.with(Tolerance::TraceOrder)).unwrap();
    assert_eq!((file.entries().count(), file.warnings().count()), (4, 1));
}

#[test]
fn addenda_are_announced_and_allowed() {
    const COUNTS: [Place; 2] =
        [(7, 5, "entry_addenda_count", "entry_count"), (12, 14, "entry_addenda_count", "entry_count")];
    hold(
        &two_batches(),
        &[
            (102, &[Put(3, 79, b"1")], &[(3, 79, "addenda_record_indicator", "addenda_missing")]),
            (102, &[Put(4, 79, b"0")], &[(4, 79, "addenda_record_indicator", "addenda_unexpected")]),
            (102, &[Put(3, 79, b" ")], &[(3, 79, "addenda_record_indicator", "addenda_indicator")]),
            (
                102,
                &[Copy(5, 6), Put(6, 84, b"0002"), Remove(21)],
                &[(6, 2, "addenda_type_code", "addenda_too_many"), COUNTS[0], COUNTS[1]],
            ),
            (102, &[Put(5, 84, b"0002")], &[(5, 84, "addenda_sequence_number", "addenda_sequence")]),
            (102, &[Put(5, 88, b"0000009")], &[(5, 88, "entry_detail_sequence_number", "addenda_sequence")]),
            (102, &[Put(5, 2, b"77")], &[(5, 2, "addenda_type_code", "addenda_type")]),
            (102, &[Put(5, 2, b"02")], &[(5, 2, "addenda_type_code", "addenda_type")]),
            (102, &[Put(2, 51, b"TEL")], &[(5, 2, "addenda_type_code", "addenda_too_many")]),
            (102, &[Put(3, 2, b"26")], &[(3, 79, "addenda_record_indicator", "addenda_missing")]),
        ],
    );
    let ctx = include_bytes!("../../../../tests/data/nacha/ctx-debit.ach");
    hold(
        ctx,
        &[
            (102, &[Put(3, 55, b"0003")], &[(3, 55, "addenda_count", "addenda_count")]),
            (102, &[Put(3, 55, b"   2")], &[(3, 55, "addenda_count", "not_numeric")]),
        ],
    );
}

#[test]
fn reasons_are_known_and_stand_where_they_belong() {
    let returned = include_bytes!("../../../../tests/data/nacha/return-web-r01-r03.ach");
    hold(
        returned,
        &[
            (103, &[Put(4, 4, b"R96")], &[(4, 4, "return_reason_code", "return_code")]),
            (103, &[Put(4, 4, b"r01")], &[(4, 4, "return_reason_code", "return_code")]),
            (103, &[Put(4, 7, b"               ")], &[(4, 7, "original_entry_trace_number", "not_numeric")]),
            (103, &[Put(4, 1, b"798C01")], &[(4, 2, "addenda_type_code", "addenda_type")]),
        ],
    );
    let change = include_bytes!("../../../../tests/data/nacha/noc-cor-c01.ach");
    hold(
        change,
        &[
            (103, &[Put(4, 4, b"C99")], &[(4, 4, "change_code", "change_code")]),
            (103, &[Put(4, 1, b"799R01")], &[(4, 2, "addenda_type_code", "addenda_type")]),
        ],
    );
}

#[test]
fn a_return_in_a_payment_file_is_a_return() {
    let original_trace = Trace::new(odfi(), 17).unwrap();
    let addenda = [AddendaSpec::Return { code: ReturnCode::parse("R01").unwrap(), original_trace }];
    let mut writer = Writer::new(&file_spec()).unwrap();
    writer.batch(&batch_spec()).unwrap();
    writer.entry(&entry_spec()).unwrap();
    writer.entry(&EntrySpec { code: code(26), addenda: &addenda, ..entry_spec() }).unwrap();
    assert_eq!(faults(&writer.finish().unwrap()), []);
}

#[test]
fn dates_and_times_exist() {
    hold(
        &two_batches(),
        &[
            (104, &[Put(1, 30, b"2400")], &[(1, 30, "file_creation_time", "creation_time")]),
            (104, &[Put(1, 30, b"2900")], &[(1, 30, "file_creation_time", "creation_time")]),
            (104, &[Put(1, 30, b"0960")], &[(1, 30, "file_creation_time", "creation_time")]),
            (104, &[Put(1, 30, b"9:30")], &[(1, 30, "file_creation_time", "creation_time")]),
            (104, &[Put(1, 24, b"261332")], &[(1, 24, "file_creation_date", "creation_date")]),
            (104, &[Put(1, 24, b"000000")], &[(1, 24, "file_creation_date", "creation_date")]),
            (104, &[Put(1, 34, b"a")], &[(1, 34, "file_id_modifier", "file_modifier")]),
            (104, &[Put(1, 35, b"095")], &[(1, 35, "record_size", "fixed_value")]),
            (104, &[Put(1, 38, b"01")], &[(1, 38, "blocking_factor", "fixed_value")]),
            (104, &[Put(1, 40, b"2")], &[(1, 40, "format_code", "fixed_value")]),
            (104, &[Put(1, 2, b"02")], &[(1, 2, "priority_code", "fixed_value")]),
        ],
    );
    // A blank time is allowed; a wrong effective entry date makes exceptions, not a wrong file.
    for fine in [Put(1, 30, b"    "), Put(2, 70, b"261332"), Put(2, 70, b"      "), Put(2, 76, b"400")] {
        assert_eq!(faults(&spoiled(&two_batches(), &[fine])), [], "{fine:?}");
    }
}

#[test]
fn one_header_is_one_identity_whatever_the_bytes() {
    let (file, other) = (two_batches(), spoiled(&two_batches(), &[Put(3, 55, b"Somebody")]));
    let identity = |bytes: &[u8]| read(bytes, Tolerances::STRICT).unwrap().contents().identity().unwrap();
    assert_eq!(identity(&file), identity(&other));
    assert_ne!(FileHash::of(&file), FileHash::of(&other));
    for differs in
        [Put(1, 4, b" 091000019"), Put(1, 14, b" 9"), Put(1, 24, b"260509"), Put(1, 30, b"1506"), Put(1, 34, b"B")]
    {
        assert_ne!(identity(&spoiled(&file, &[differs])), identity(&file), "{differs:?}");
    }
}

#[test]
fn many_batches_and_great_totals_are_counted_or_refused() {
    let mut writer = Writer::new(&file_spec()).unwrap();
    for _ in 0..9999 {
        writer.batch(&batch_spec()).unwrap();
        writer.entry(&EntrySpec { amount: Minor::new(9_999_999_999), ..entry_spec() }).unwrap();
    }
    // 99,989,999,990,001 cents are more than the twelve digits of a file control.
    assert_eq!(writer.finish(), Err(WriteError::DoesNotFit { field: "total_debit" }));
    let mut writer = Writer::new(&file_spec()).unwrap();
    for _ in 0..9999 {
        writer.batch(&batch_spec()).unwrap();
        writer.entry(&EntrySpec { amount: Minor::new(100_000_000), ..entry_spec() }).unwrap();
    }
    let file = writer.finish().unwrap();
    let read_file = read(&file, Tolerances::STRICT).unwrap();
    assert_eq!((read_file.summary().batches, read_file.summary().debit.units()), (9999, 999_900_000_000));
    // The same with every amount at its greatest: no control can say it, and every one is told.
    let text = String::from_utf8(file).unwrap().replace("0100000000LN", "9999999999LN");
    let refusal = read(text.as_bytes(), Tolerances::STRICT).unwrap_err();
    assert_eq!((refusal.faults.count(), refusal.faults.list().len()), (10_000, FAULTS_MAX));
    assert_eq!(refusal.readable.summary().debit.units(), 99_989_999_990_001);
}
