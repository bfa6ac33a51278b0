//! Owns the first and the last record of a batch: batch header (5) and batch control (8).

use chrono::NaiveDate;

use crate::core::ach::code::{SecCode, ServiceClass};
use crate::core::ach::fault::FaultCode;
use crate::core::ach::record::{Reader, RoutingNumber, day_of};
use crate::core::ach::text::{Field, Record, Text};

pub(in crate::core::ach) const SERVICE_CLASS: Field<3> = Field::new("service_class_code", 2);
pub(in crate::core::ach) const COMPANY_NAME: Field<16> = Field::new("company_name", 5);
pub(in crate::core::ach) const COMPANY_ID: Field<10> = Field::new("company_identification", 41);
pub(in crate::core::ach) const SEC_CODE: Field<3> = Field::new("standard_entry_class_code", 51);
pub(in crate::core::ach) const DESCRIPTION: Field<10> = Field::new("company_entry_description", 54);
pub(in crate::core::ach) const EFFECTIVE_DATE: Field<6> = Field::new("effective_entry_date", 70);
pub(in crate::core::ach) const SETTLEMENT: Field<3> = Field::new("settlement_date", 76);
pub(in crate::core::ach) const STATUS: Field<1> = Field::new("originator_status_code", 79);
pub(in crate::core::ach) const ODFI: Field<8> = Field::new("originating_dfi", 80);
pub(in crate::core::ach) const BATCH_NUMBER: Field<7> = Field::new("batch_number", 88);
const DESCRIPTIVE_DATE: Field<6> = Field::new("company_descriptive_date", 64);

pub(in crate::core::ach) const ENTRY_COUNT: Field<6> = Field::new("entry_addenda_count", 5);
pub(in crate::core::ach) const ENTRY_HASH: Field<10> = Field::new("entry_hash", 11);
pub(in crate::core::ach) const DEBIT_TOTAL: Field<12> = Field::new("total_debit", 21);
pub(in crate::core::ach) const CREDIT_TOTAL: Field<12> = Field::new("total_credit", 33);
pub(in crate::core::ach) const CONTROL_COMPANY_ID: Field<10> = Field::new("company_identification", 45);

/// The day a batch settles, as the operator writes it: a day of the year, without the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Blank or zero: not settled yet, or not told.
    NotGiven,
    /// Day 1 to 366.
    DayOfYear(u16),
    /// Anything else.
    Wrong,
}

impl Settlement {
    fn of_text(text: Text<3>) -> Self {
        match text.digits().and_then(|day| u16::try_from(day).ok()) {
            Some(0) => Self::NotGiven,
            Some(day) if day <= 366 => Self::DayOfYear(day),
            None if text.is_blank() => Self::NotGiven,
            Some(_) | None => Self::Wrong,
        }
    }
}

/// Batch header: who collects or pays, how it was authorised, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Columns 2-4.
    pub service_class: ServiceClass,
    /// Columns 5-20.
    pub company_name: Text<16>,
    /// Columns 41-50.
    pub company_id: Text<10>,
    /// Columns 51-53.
    pub sec: SecCode,
    /// Columns 54-63: what the entries are for; `REVERSAL` takes entries of another batch back.
    pub description: Text<10>,
    /// Columns 64-69, of any form.
    pub descriptive_date: Text<6>,
    /// Columns 70-75: the day the sender wants it to count; `None` when blank or no day of the calendar.
    pub effective_entry_date: Option<NaiveDate>,
    /// Columns 76-78.
    pub settlement: Settlement,
    /// Columns 80-87: the bank that sends the batch; of returns, the bank that sends them back.
    pub odfi: RoutingNumber,
    /// Columns 88-94.
    pub number: u32,
}

impl BatchHeader {
    /// Reads a record and writes down what is wrong with it.
    pub(in crate::core::ach) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let service_class = reader.text(SERVICE_CLASS).digits().and_then(ServiceClass::of_number);
        if service_class.is_none() {
            let message = format_args!("must be 200, 220 or 225; 280 is of ADV batches, which are not read");
            reader.fault(SERVICE_CLASS, FaultCode::ServiceClass, message);
        }
        let letters = reader.text(SEC_CODE);
        let sec = SecCode::parse(letters.as_str());
        if sec.is_none() {
            let letters = letters.as_str();
            // Their entries have a layout of their own, so everything after this header reads wrong.
            let advice = if letters == "ADV" { ": it holds a bank's accounting advices and no payment" } else { "" };
            reader.fault(
                SEC_CODE,
                FaultCode::SecCode,
                format_args!("{letters:?} is no entry class that is read here{advice}"),
            );
        }
        let [status] = *reader.text(STATUS).bytes();
        let status_known = (b'0'..=b'2').contains(&status);
        if !status_known {
            reader.fault(STATUS, FaultCode::OriginatorStatus, format_args!("must be 0, 1 or 2"));
        }
        let odfi = reader.bank(ODFI);
        let number = reader.number(BATCH_NUMBER);
        let header = Self {
            service_class: service_class?,
            company_name: reader.text(COMPANY_NAME),
            company_id: reader.text(COMPANY_ID),
            sec: sec?,
            description: reader.text(DESCRIPTION),
            descriptive_date: reader.text(DESCRIPTIVE_DATE),
            effective_entry_date: day_of(reader.text(EFFECTIVE_DATE)),
            settlement: Settlement::of_text(reader.text(SETTLEMENT)),
            odfi: odfi?,
            number: u32::try_from(number?).ok()?,
        };
        status_known.then_some(header)
    }

    /// Whether the entries take those of another batch back.
    #[must_use]
    pub fn is_reversal(&self) -> bool {
        self.description.trimmed().eq_ignore_ascii_case("REVERSAL")
    }
}

/// Where a batch control names another batch than the header does.
pub(in crate::core::ach) fn control_mismatches(header: &Record, reader: &mut Reader<'_>) {
    compare(header, SERVICE_CLASS, SERVICE_CLASS, reader);
    // The control may leave the company out, and banks re-pad it.
    if !reader.text(CONTROL_COMPANY_ID).is_blank() {
        compare(header, COMPANY_ID, CONTROL_COMPANY_ID, reader);
    }
    compare(header, ODFI, ODFI, reader);
    compare(header, BATCH_NUMBER, BATCH_NUMBER, reader);
}

fn compare<const N: usize>(header: &Record, there: Field<N>, here: Field<N>, reader: &mut Reader<'_>) {
    let (expected, found) = (header.text(there), reader.text(here));
    if expected.trimmed() != found.trimmed() {
        let message = format_args!("is {:?}, and {:?} in the batch header", found.trimmed(), expected.trimmed());
        reader.fault(here, FaultCode::ControlMismatch, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_day_is_a_day_of_the_year_or_not_given() {
        for (text, expected) in [
            ("   ", Settlement::NotGiven),
            ("000", Settlement::NotGiven),
            ("001", Settlement::DayOfYear(1)),
            ("366", Settlement::DayOfYear(366)),
            ("367", Settlement::Wrong),
            (" 12", Settlement::Wrong),
            ("1A2", Settlement::Wrong),
        ] {
            assert_eq!(Settlement::of_text(Text::left(text).unwrap()), expected, "{text}");
        }
    }
}
