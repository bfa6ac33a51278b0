//! Owns the entry detail record (6): one movement of one account.

use crate::core::ach::code::TransactionCode;
use crate::core::ach::fault::FaultCode;
use crate::core::ach::record::{Reader, RoutingNumber, Trace};
use crate::core::ach::text::{Field, Text};
use crate::core::money::Minor;

pub(in crate::core::ach) const TRANSACTION_CODE: Field<2> = Field::new("transaction_code", 2);
pub(in crate::core::ach) const RDFI: Field<8> = Field::new("receiving_dfi", 4);
pub(in crate::core::ach) const CHECK_DIGIT: Field<1> = Field::new("check_digit", 12);
pub(in crate::core::ach) const ACCOUNT: Field<17> = Field::new("account_number", 13);
pub(in crate::core::ach) const AMOUNT: Field<10> = Field::new("amount", 30);
pub(in crate::core::ach) const INDIVIDUAL_ID: Field<15> = Field::new("individual_identification", 40);
pub(in crate::core::ach) const NAME: Field<22> = Field::new("individual_name", 55);
pub(in crate::core::ach) const CTX_ADDENDA_COUNT: Field<4> = Field::new("addenda_count", 55);
pub(in crate::core::ach) const CTX_NAME: Field<16> = Field::new("receiving_company_name", 59);
pub(in crate::core::ach) const INDICATOR: Field<1> = Field::new("addenda_record_indicator", 79);
pub(in crate::core::ach) const TRACE: Field<15> = Field::new("trace_number", 80);
const DISCRETIONARY: Field<2> = Field::new("discretionary_data", 77);

/// One movement of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Columns 2-3: account, direction and purpose.
    pub code: TransactionCode,
    /// Columns 4-12: the bank of the account, whose check digit fits.
    pub rdfi: RoutingNumber,
    /// Columns 13-29: the account; with code 52 the loan.
    pub account: Text<17>,
    /// Columns 30-39: cents, never negative.
    pub amount: Minor,
    /// Columns 40-54: how the sender knows the payer, in most classes; see
    /// [`FileEntry::individual_id`](crate::core::ach::FileEntry::individual_id). Banks cut and re-pad it.
    pub individual_id: Text<15>,
    /// Columns 55-76: the payer's name, in most classes. Of CTX, four digits of addenda count and a name from column 59.
    pub name: Text<22>,
    /// Columns 77-78; of WEB and TEL, whether the payment is one of many.
    pub discretionary: Text<2>,
    /// Column 79.
    pub has_addenda: bool,
    /// Columns 80-94.
    pub trace: Trace,
}

impl Entry {
    /// Reads a record and writes down what is wrong with it.
    pub(in crate::core::ach) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let code = read_code(reader);
        let rdfi = read_rdfi(reader);
        let amount = reader.number(AMOUNT).and_then(|cents| i64::try_from(cents).ok()).map(Minor::new);
        let has_addenda = match reader.text(INDICATOR).bytes() {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => {
                reader.fault(INDICATOR, FaultCode::AddendaIndicator, format_args!("must be 0 or 1"));
                None
            }
        };
        let trace = reader.trace(TRACE);
        Some(Self {
            code: code?,
            rdfi: rdfi?,
            account: reader.text(ACCOUNT),
            amount: amount?,
            individual_id: reader.text(INDIVIDUAL_ID),
            name: reader.text(NAME),
            discretionary: reader.text(DISCRETIONARY),
            has_addenda: has_addenda?,
            trace: trace?,
        })
    }
}

fn read_code(reader: &mut Reader<'_>) -> Option<TransactionCode> {
    let text = reader.text(TRANSACTION_CODE);
    let code = text.digits().and_then(TransactionCode::of_number);
    if code.is_none() {
        let message = format_args!("{:?} is no transaction code", text.as_str());
        reader.fault(TRANSACTION_CODE, FaultCode::TransactionCode, message);
    }
    code
}

fn read_rdfi(reader: &mut Reader<'_>) -> Option<RoutingNumber> {
    let bank = reader.bank(RDFI)?;
    let found = reader.text(CHECK_DIGIT).digits();
    let expected = bank.check_digit();
    if found != Some(u64::from(expected)) {
        let message = format_args!("check digit of {bank} must be {expected}");
        reader.fault(CHECK_DIGIT, FaultCode::RoutingNumber, message);
        return None;
    }
    Some(bank)
}
