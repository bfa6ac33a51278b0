//! Owns the records of a file as text: each value into its field, or an error that names the field.

use chrono::{Datelike, NaiveDate};

use crate::core::ach::check::cents;
use crate::core::ach::check::sums::Sums;
use crate::core::ach::code::{SecCode, ServiceClass};
use crate::core::ach::record::{RoutingNumber, Trace, addenda, batch, entry, file};
use crate::core::ach::text::{Field, Record, Text};
use crate::core::ach::writer::WriteError;
use crate::core::ach::writer::spec::{AddendaSpec, BatchSpec, EntrySpec, FileSpec};

/// Which record it is.
const KIND: Field<1> = Field::new("record_type_code", 1);

pub(super) fn file_header(spec: &FileSpec<'_>) -> Result<Record, WriteError> {
    let mut record = Record::BLANK;
    let mut modifier = [0; 4];
    put(&mut record, KIND, Text::left("1"))?;
    put(&mut record, file::PRIORITY, Text::left("01"))?;
    put(&mut record, file::DESTINATION, Text::right(spec.destination))?;
    put(&mut record, file::ORIGIN, Text::right(spec.origin))?;
    put(&mut record, file::CREATION_DATE, date(spec.created_on))?;
    put(&mut record, file::CREATION_TIME, Text::left(&spec.created_at.format("%H%M").to_string()))?;
    put(&mut record, file::MODIFIER, Text::left(spec.modifier.encode_utf8(&mut modifier)))?;
    put(&mut record, file::RECORD_SIZE, Text::left("094"))?;
    put(&mut record, file::BLOCKING_FACTOR, Text::left("10"))?;
    put(&mut record, file::FORMAT, Text::left("1"))?;
    put(&mut record, file::DESTINATION_NAME, Text::left(spec.destination_name))?;
    put(&mut record, file::ORIGIN_NAME, Text::left(spec.origin_name))?;
    Ok(record)
}

pub(super) fn batch_header(spec: &BatchSpec<'_>, number: u64) -> Result<Record, WriteError> {
    let mut record = Record::BLANK;
    let settlement = spec.settlement_day.map_or(Some(Text::BLANK), |day| Text::number(u64::from(day)));
    put(&mut record, KIND, Text::left("5"))?;
    put(&mut record, batch::SERVICE_CLASS, Text::number(ServiceClass::Mixed.number()))?;
    put(&mut record, batch::COMPANY_NAME, Text::left(spec.company_name))?;
    put(&mut record, batch::COMPANY_ID, Text::left(spec.company_id))?;
    put(&mut record, batch::SEC_CODE, Text::left(spec.sec.name()).filter(|_| spec.sec != SecCode::Iat))?;
    put(&mut record, batch::DESCRIPTION, Text::left(spec.description))?;
    put(&mut record, batch::EFFECTIVE_DATE, spec.effective_entry_date.map_or(Some(Text::BLANK), date))?;
    put(&mut record, batch::SETTLEMENT, settlement)?;
    put(&mut record, batch::STATUS, Text::left("1"))?;
    put(&mut record, batch::ODFI, Text::number(u64::from(spec.odfi.number())))?;
    put(&mut record, batch::BATCH_NUMBER, Text::number(number))?;
    Ok(record)
}

pub(super) fn entry_record(spec: &EntrySpec<'_>, class: SecCode, trace: Trace) -> Result<Record, WriteError> {
    let mut record = Record::BLANK;
    let (number, amount) = (spec.code.number(), u64::try_from(spec.amount.units()).ok());
    put(&mut record, KIND, Text::left("6"))?;
    put(&mut record, entry::TRANSACTION_CODE, number.and_then(Text::number))?;
    put(&mut record, entry::RDFI, Text::number(u64::from(spec.rdfi.number())))?;
    put(&mut record, entry::CHECK_DIGIT, Text::number(u64::from(spec.rdfi.check_digit())))?;
    put(&mut record, entry::ACCOUNT, Text::left(spec.account))?;
    put(&mut record, entry::AMOUNT, amount.and_then(Text::number))?;
    put(&mut record, entry::INDIVIDUAL_ID, Text::left(spec.individual_id))?;
    if class == SecCode::Ctx {
        let remittances = spec.addenda.iter().filter(|addenda| matches!(addenda, AddendaSpec::Remittance(_)));
        let count = u64::try_from(remittances.count()).ok();
        put(&mut record, entry::CTX_ADDENDA_COUNT, count.and_then(Text::number))?;
        put(&mut record, entry::CTX_NAME, Text::left(spec.name))?;
    } else {
        put(&mut record, entry::NAME, Text::left(spec.name))?;
    }
    put(&mut record, entry::INDICATOR, Text::left(if spec.addenda.is_empty() { "0" } else { "1" }))?;
    put(&mut record, entry::TRACE, Text::left(&trace.to_string()))?;
    Ok(record)
}

pub(super) fn addenda_record(
    spec: &AddendaSpec<'_>,
    rdfi: RoutingNumber,
    number: u64,
    trace: Trace,
) -> Result<Record, WriteError> {
    let mut record = Record::BLANK;
    put(&mut record, KIND, Text::left("7"))?;
    match spec {
        AddendaSpec::Remittance(text) => {
            put(&mut record, addenda::TYPE, Text::left("05"))?;
            put(&mut record, addenda::REMITTANCE, Text::left(text))?;
            put(&mut record, addenda::SEQUENCE, Text::number(number))?;
            put(&mut record, addenda::ENTRY_SEQUENCE, Text::number(trace.sequence()))?;
        }
        AddendaSpec::Change { code, original_trace, corrected } => {
            put(&mut record, addenda::TYPE, Text::left("98"))?;
            put(&mut record, addenda::CHANGE, Text::left(&code.to_string()))?;
            put(&mut record, addenda::CORRECTED, Text::left(corrected))?;
            put_original(&mut record, *original_trace, rdfi, trace)?;
        }
        AddendaSpec::Return { code, original_trace } => {
            put(&mut record, addenda::TYPE, Text::left("99"))?;
            put(&mut record, addenda::REASON, Text::left(&code.to_string()))?;
            put_original(&mut record, *original_trace, rdfi, trace)?;
        }
    }
    Ok(record)
}

pub(super) fn batch_control(header: &Record, sums: &Sums) -> Result<Record, WriteError> {
    let mut record = Record::BLANK;
    put(&mut record, KIND, Text::left("8"))?;
    put(&mut record, batch::SERVICE_CLASS, Some(header.text(batch::SERVICE_CLASS)))?;
    put(&mut record, batch::ENTRY_COUNT, Text::number(sums.records))?;
    put(&mut record, batch::ENTRY_HASH, Text::number(sums.hash()))?;
    put(&mut record, batch::DEBIT_TOTAL, Text::number(cents(sums.debit)))?;
    put(&mut record, batch::CREDIT_TOTAL, Text::number(cents(sums.credit)))?;
    put(&mut record, batch::CONTROL_COMPANY_ID, Some(header.text(batch::COMPANY_ID)))?;
    put(&mut record, batch::ODFI, Some(header.text(batch::ODFI)))?;
    put(&mut record, batch::BATCH_NUMBER, Some(header.text(batch::BATCH_NUMBER)))?;
    Ok(record)
}

pub(super) fn file_control(batches: u64, blocks: u64, sums: &Sums) -> Result<Record, WriteError> {
    let mut record = Record::BLANK;
    put(&mut record, KIND, Text::left("9"))?;
    put(&mut record, file::BATCH_COUNT, Text::number(batches))?;
    put(&mut record, file::BLOCK_COUNT, Text::number(blocks))?;
    put(&mut record, file::ENTRY_COUNT, Text::number(sums.records))?;
    put(&mut record, file::ENTRY_HASH, Text::number(sums.hash()))?;
    put(&mut record, file::DEBIT_TOTAL, Text::number(cents(sums.debit)))?;
    put(&mut record, file::CREDIT_TOTAL, Text::number(cents(sums.credit)))?;
    Ok(record)
}

/// What returns and changes share: the entry they are about, and the one they stand under.
fn put_original(record: &mut Record, original: Trace, rdfi: RoutingNumber, trace: Trace) -> Result<(), WriteError> {
    put(record, addenda::ORIGINAL_TRACE, Text::left(&original.to_string()))?;
    put(record, addenda::ORIGINAL_RDFI, Text::number(u64::from(rdfi.number())))?;
    put(record, addenda::ADDENDA_TRACE, Text::left(&trace.to_string()))
}

pub(super) fn put<const N: usize>(
    record: &mut Record,
    field: Field<N>,
    text: Option<Text<N>>,
) -> Result<(), WriteError> {
    let text = text.ok_or(WriteError::DoesNotFit { field: field.name })?;
    record.set(field, text);
    Ok(())
}

/// `YYMMDD`, for years the format can tell.
fn date(day: NaiveDate) -> Option<Text<6>> {
    let in_century = (2000..2100).contains(&day.year());
    in_century.then(|| Text::left(&day.format("%y%m%d").to_string()))?
}
