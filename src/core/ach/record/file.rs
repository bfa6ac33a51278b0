//! Owns the first and the last record of a file: file header (1) and file control (9).

use chrono::NaiveDate;

use crate::core::ach::fault::FaultCode;
use crate::core::ach::record::{Reader, RoutingNumber, day_of};
use crate::core::ach::text::{Field, Text};

pub(in crate::core::ach) const PRIORITY: Field<2> = Field::new("priority_code", 2);
pub(in crate::core::ach) const DESTINATION: Field<10> = Field::new("immediate_destination", 4);
pub(in crate::core::ach) const ORIGIN: Field<10> = Field::new("immediate_origin", 14);
pub(in crate::core::ach) const CREATION_DATE: Field<6> = Field::new("file_creation_date", 24);
pub(in crate::core::ach) const CREATION_TIME: Field<4> = Field::new("file_creation_time", 30);
pub(in crate::core::ach) const MODIFIER: Field<1> = Field::new("file_id_modifier", 34);
pub(in crate::core::ach) const RECORD_SIZE: Field<3> = Field::new("record_size", 35);
pub(in crate::core::ach) const BLOCKING_FACTOR: Field<2> = Field::new("blocking_factor", 38);
pub(in crate::core::ach) const FORMAT: Field<1> = Field::new("format_code", 40);
pub(in crate::core::ach) const DESTINATION_NAME: Field<23> = Field::new("immediate_destination_name", 41);
pub(in crate::core::ach) const ORIGIN_NAME: Field<23> = Field::new("immediate_origin_name", 64);
const REFERENCE: Field<8> = Field::new("reference_code", 87);

pub(in crate::core::ach) const BATCH_COUNT: Field<6> = Field::new("batch_count", 2);
pub(in crate::core::ach) const BLOCK_COUNT: Field<6> = Field::new("block_count", 8);
pub(in crate::core::ach) const ENTRY_COUNT: Field<8> = Field::new("entry_addenda_count", 14);
pub(in crate::core::ach) const ENTRY_HASH: Field<10> = Field::new("entry_hash", 22);
pub(in crate::core::ach) const DEBIT_TOTAL: Field<12> = Field::new("total_debit", 32);
pub(in crate::core::ach) const CREDIT_TOTAL: Field<12> = Field::new("total_credit", 44);

/// File header: who sends the file to whom, and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Columns 4-13: the routing number it is addressed to, after a blank or a zero.
    pub immediate_destination: Text<10>,
    /// Columns 14-23: who sends it; a routing number or a company's number.
    pub immediate_origin: Text<10>,
    /// Columns 24-29.
    pub created_on: NaiveDate,
    /// Columns 30-33: `HHMM`, or blank.
    pub created_at: Text<4>,
    /// Column 34: tells files of one day apart, A to Z and 0 to 9.
    pub modifier: Text<1>,
    /// Columns 41-63.
    pub destination_name: Text<23>,
    /// Columns 64-86.
    pub origin_name: Text<23>,
    /// Columns 87-94.
    pub reference: Text<8>,
}

impl FileHeader {
    /// Reads a record and writes down what is wrong with it.
    pub(in crate::core::ach) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let fixed = [
            reader.fixed(PRIORITY, "01"),
            reader.fixed(RECORD_SIZE, "094"),
            reader.fixed(BLOCKING_FACTOR, "10"),
            reader.fixed(FORMAT, "1"),
        ];
        let destination = read_destination(reader);
        let created_on = day_of(reader.text(CREATION_DATE));
        if created_on.is_none() {
            reader.fault(CREATION_DATE, FaultCode::CreationDate, format_args!("must be a day written YYMMDD"));
        }
        let created_at = reader.text(CREATION_TIME);
        let is_time = created_at.is_blank() || created_at.digits().is_some_and(is_time_of_day);
        if !is_time {
            reader.fault(CREATION_TIME, FaultCode::CreationTime, format_args!("must be HHMM, 0000 to 2359, or blank"));
        }
        let modifier = reader.text(MODIFIER);
        let [letter] = modifier.bytes();
        let is_modifier = letter.is_ascii_uppercase() || letter.is_ascii_digit();
        if !is_modifier {
            reader.fault(MODIFIER, FaultCode::FileModifier, format_args!("must be A to Z or 0 to 9"));
        }
        let header = Self {
            immediate_destination: destination?,
            immediate_origin: reader.text(ORIGIN),
            created_on: created_on?,
            created_at,
            modifier,
            destination_name: reader.text(DESTINATION_NAME),
            origin_name: reader.text(ORIGIN_NAME),
            reference: reader.text(REFERENCE),
        };
        (fixed.iter().all(Option::is_some) && is_time && is_modifier).then_some(header)
    }
}

/// Nine digits after a blank or a zero, the last of which checks the others.
fn read_destination(reader: &mut Reader<'_>) -> Option<Text<10>> {
    let text = reader.text(DESTINATION);
    let routing = text.as_str().strip_prefix([' ', '0']).and_then(Text::<9>::left).and_then(|text| text.digits());
    let Some(routing) = routing else {
        let message = format_args!("must be a routing number of 9 digits after a blank or a zero");
        reader.fault(DESTINATION, FaultCode::NotNumeric, message);
        return None;
    };
    let bank = routing.checked_div(10).and_then(|bank| RoutingNumber::new(u32::try_from(bank).ok()?));
    let check = bank.map(RoutingNumber::check_digit).map(u64::from);
    let found = routing.checked_rem(10);
    if check != found {
        let expected = check.unwrap_or(0);
        let message = format_args!("routing number must end in check digit {expected} and not be all zeros");
        reader.fault(DESTINATION, FaultCode::RoutingNumber, message);
    }
    (check == found).then_some(text)
}

fn is_time_of_day(number: u64) -> bool {
    number < 2400 && number.checked_rem(100).is_some_and(|minute| minute < 60)
}
