//! Owns the addenda records (7): remittance text (05), notification of change (98), return (99).

use crate::core::ach::fault::FaultCode;
use crate::core::ach::reason::{ChangeCode, ReturnCode};
use crate::core::ach::record::{Reader, Trace};
use crate::core::ach::text::{Field, Text};

pub(in crate::core::ach) const TYPE: Field<2> = Field::new("addenda_type_code", 2);
pub(in crate::core::ach) const REMITTANCE: Field<80> = Field::new("payment_related_information", 4);
pub(in crate::core::ach) const SEQUENCE: Field<4> = Field::new("addenda_sequence_number", 84);
pub(in crate::core::ach) const ENTRY_SEQUENCE: Field<7> = Field::new("entry_detail_sequence_number", 88);
pub(in crate::core::ach) const REASON: Field<3> = Field::new("return_reason_code", 4);
pub(in crate::core::ach) const CHANGE: Field<3> = Field::new("change_code", 4);
pub(in crate::core::ach) const ORIGINAL_TRACE: Field<15> = Field::new("original_entry_trace_number", 7);
pub(in crate::core::ach) const DATE_OF_DEATH: Field<6> = Field::new("date_of_death", 22);
pub(in crate::core::ach) const ORIGINAL_RDFI: Field<8> = Field::new("original_receiving_dfi", 28);
pub(in crate::core::ach) const RETURN_TEXT: Field<44> = Field::new("addenda_information", 36);
pub(in crate::core::ach) const CORRECTED: Field<29> = Field::new("corrected_data", 36);
pub(in crate::core::ach) const ADDENDA_TRACE: Field<15> = Field::new("trace_number", 80);

/// One addenda of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addenda {
    /// Type 05.
    Remittance(RemittanceAddenda),
    /// Type 98.
    Change(ChangeAddenda),
    /// Type 99.
    Return(ReturnAddenda),
    /// A type without a form of its own here: 02 (terminal) and 10 to 18 (international).
    Other(u8),
}

/// Type 05: what the payer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemittanceAddenda {
    /// Columns 4-83.
    pub text: Text<80>,
}

/// Type 98: what the payer's bank asks to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeAddenda {
    /// Columns 4-6, as written.
    pub reason: Text<3>,
    /// Columns 7-21: the entry it is about.
    pub original_trace: Trace,
    /// Columns 28-35: the bank of the account it was sent to.
    pub original_rdfi: Text<8>,
    /// Columns 36-64: the right value.
    pub corrected: Text<29>,
}

impl ChangeAddenda {
    /// What is to be changed; `None` for a code that does not exist.
    #[must_use]
    pub fn code(&self) -> Option<ChangeCode> {
        ChangeCode::parse(self.reason.as_str())
    }
}

/// Type 99: why the entry came back. Dishonoured and contested returns share these columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnAddenda {
    /// Columns 4-6, as written.
    pub reason: Text<3>,
    /// Columns 7-21: the entry that comes back.
    pub original_trace: Trace,
    /// Columns 22-27, where the payer has died.
    pub date_of_death: Text<6>,
    /// Columns 28-35: the bank of the account it was sent to.
    pub original_rdfi: Text<8>,
    /// Columns 36-79.
    pub text: Text<44>,
}

impl ReturnAddenda {
    /// Why; `None` for a code that the table does not know.
    #[must_use]
    pub fn code(&self) -> Option<ReturnCode> {
        ReturnCode::parse(self.reason.as_str())
    }
}

impl Addenda {
    /// Reads a record and writes down what is wrong with it.
    pub(in crate::core::ach) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.text(TYPE).bytes() {
            b"05" => Some(Self::Remittance(RemittanceAddenda { text: reader.text(REMITTANCE) })),
            b"98" => read_change(reader).map(Self::Change),
            b"99" => read_return(reader).map(Self::Return),
            _ => read_other(reader).map(Self::Other),
        }
    }
}

fn read_change(reader: &mut Reader<'_>) -> Option<ChangeAddenda> {
    let reason = reader.text(CHANGE);
    let original_trace = reader.trace(ORIGINAL_TRACE);
    let addenda = ChangeAddenda {
        reason,
        original_trace: original_trace?,
        original_rdfi: reader.text(ORIGINAL_RDFI),
        corrected: reader.text(CORRECTED),
    };
    if addenda.code().is_none() {
        let message = format_args!("{:?} is no change code", reason.as_str());
        reader.fault(CHANGE, FaultCode::ChangeCode, message);
    }
    Some(addenda)
}

fn read_return(reader: &mut Reader<'_>) -> Option<ReturnAddenda> {
    let reason = reader.text(REASON);
    let original_trace = reader.trace(ORIGINAL_TRACE);
    let addenda = ReturnAddenda {
        reason,
        original_trace: original_trace?,
        date_of_death: reader.text(DATE_OF_DEATH),
        original_rdfi: reader.text(ORIGINAL_RDFI),
        text: reader.text(RETURN_TEXT),
    };
    if addenda.code().is_none() {
        let message = format_args!("{:?} is no return code", reason.as_str());
        reader.fault(REASON, FaultCode::ReturnCode, message);
    }
    Some(addenda)
}

fn read_other(reader: &mut Reader<'_>) -> Option<u8> {
    let text = reader.text(TYPE);
    let number = text.digits().and_then(|number| u8::try_from(number).ok());
    let known = number.filter(|number| matches!(number, 2 | 10..=18));
    if known.is_none() {
        let message = format_args!("{:?} is no type of addenda", text.as_str());
        reader.fault(TYPE, FaultCode::AddendaType, message);
    }
    known
}
