//! Owns what the writer refuses, so that no file comes out of it that the reader would not take.

use super::*;

/// Why an entry in a batch cannot be written; the file cannot be finished after that.
fn refusal(batch: &BatchSpec<'_>, entry: &EntrySpec<'_>) -> WriteError {
    let mut writer = Writer::new(&file_spec()).unwrap();
    let error = writer.batch(batch).and_then(|()| writer.entry(entry)).unwrap_err();
    assert_eq!(writer.entry(&entry_spec()), Err(error.clone()));
    assert_eq!(writer.finish(), Err(error.clone()));
    error
}

fn named(error: WriteError) -> &'static str {
    match error {
        WriteError::DoesNotFit { field } => field,
        WriteError::Refused(fault) => fault.code.name(),
        WriteError::NoBatch => "no_batch",
        WriteError::EmptyBatch => "empty_batch",
    }
}

#[test]
fn what_does_not_fit_is_named_and_ends_the_file() {
    let remittance = [AddendaSpec::Remittance("x")];
    let (batch, entry) = (batch_spec(), entry_spec());
    let ctx = BatchSpec { sec: SecCode::Ctx, ..batch };
    let tel = BatchSpec { sec: SecCode::Tel, ..batch };
    for (batch, entry, expected) in [
        (BatchSpec { company_name: "more than sixteen", ..batch }, entry, "company_name"),
        (BatchSpec { sec: SecCode::Iat, ..batch }, entry, "standard_entry_class_code"),
        (BatchSpec { settlement_day: Some(1000), ..batch }, entry, "settlement_date"),
        (
            BatchSpec { effective_entry_date: NaiveDate::from_ymd_opt(2100, 1, 1), ..batch },
            entry,
            "effective_entry_date",
        ),
        (batch, EntrySpec { account: "more than seventeen", ..entry }, "account_number"),
        (batch, EntrySpec { individual_id: "é", ..entry }, "individual_identification"),
        (batch, EntrySpec { name: "tab\there", ..entry }, "individual_name"),
        (ctx, EntrySpec { name: "more than sixteen", ..entry }, "receiving_company_name"),
        (batch, EntrySpec { amount: Minor::new(10_000_000_000), ..entry }, "amount"),
        (batch, EntrySpec { amount: Minor::new(-1), ..entry }, "amount"),
        (batch, EntrySpec { amount: Minor::ZERO, ..entry }, "zero_amount"),
        (batch, EntrySpec { code: code(28), ..entry }, "nonzero_amount"),
        (batch, EntrySpec { code: code(26), ..entry }, "addenda_missing"),
        (tel, EntrySpec { addenda: &remittance, ..entry }, "addenda_too_many"),
    ] {
        assert_eq!(named(refusal(&batch, &entry)), expected);
    }
}

#[test]
fn a_header_the_reader_would_refuse_is_refused() {
    let spec = file_spec();
    for (spec, expected) in [
        (FileSpec { destination: "231380105", ..spec }, "routing_number"),
        (FileSpec { destination: "23138010", ..spec }, "not_numeric"),
        (FileSpec { destination: "12345678901", ..spec }, "immediate_destination"),
        (FileSpec { modifier: 'a', ..spec }, "file_modifier"),
        (FileSpec { modifier: 'é', ..spec }, "file_id_modifier"),
    ] {
        assert_eq!(named(Writer::new(&spec).unwrap_err()), expected);
    }
}

#[test]
fn a_file_has_batches_and_a_batch_entries() {
    let mut writer = Writer::new(&file_spec()).unwrap();
    assert_eq!(writer.entry(&entry_spec()), Err(WriteError::NoBatch));
    assert_eq!(Writer::new(&file_spec()).unwrap().finish(), Err(WriteError::NoBatch));
    let mut writer = Writer::new(&file_spec()).unwrap();
    writer.batch(&batch_spec()).unwrap();
    assert_eq!(writer.batch(&batch_spec()), Err(WriteError::EmptyBatch));
    let mut writer = Writer::new(&file_spec()).unwrap();
    writer.batch(&batch_spec()).unwrap();
    assert_eq!(writer.finish(), Err(WriteError::EmptyBatch));
}

#[test]
fn a_batch_gets_the_class_of_its_directions() {
    for (codes, expected) in
        [(&[27][..], ServiceClass::Debits), (&[22], ServiceClass::Credits), (&[27, 23], ServiceClass::Mixed)]
    {
        let mut writer = Writer::new(&file_spec()).unwrap();
        writer.batch(&batch_spec()).unwrap();
        for number in codes {
            let amount = if code(*number).purpose == Purpose::Live { Minor::new(1) } else { Minor::ZERO };
            writer.entry(&EntrySpec { code: code(*number), amount, ..entry_spec() }).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let file = read(&bytes, Tolerances::STRICT).unwrap();
        assert_eq!(file.entries().next().unwrap().batch.service_class, expected);
    }
}
