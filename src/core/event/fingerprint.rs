//! Owns "the same request": a hash over our own, versioned encoding of the parsed command.
//!
//! Encoding, version 1: a version byte, the operation, then every field in a fixed order as a tag byte (0 absent, 1
//! present), a 32-bit length and the bytes. White space, field order and letter case of UUIDs therefore do not
//! matter, and no two commands share an encoding.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::core::event::bank_settlement::BankSettlement;
use crate::core::event::command::{Command, Disbursement, LoanOpening, Payment};
use crate::core::event::fee::{Fee, LateFor};
use crate::core::event::group::{Group, Leg};
use crate::core::event::payment_return::PaymentReturn;
use crate::core::event::receipt::Receipt;
use crate::core::event::review::Review;
use crate::core::event::servicing::Servicing;
use crate::core::event::upload::{Upload, UploadOperation};
use crate::core::money::Money;

const VERSION: u8 = 1;

/// SHA-256 of a command's canonical encoding, operation included.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a command.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        let mut encoder = Encoder::new();
        match command {
            Command::Payment(payment) => encode_payment(&mut encoder, payment),
            Command::Disbursement(disbursement) => encode_disbursement(&mut encoder, disbursement),
            Command::LoanOpening(opening) => encode_opening(&mut encoder, opening),
            Command::Receipt(receipt) => encode_receipt(&mut encoder, receipt),
            Command::BankSettlement(settlement) => encode_bank_settlement(&mut encoder, settlement),
            Command::Upload(upload) => encode_upload(&mut encoder, upload),
            Command::Group(group) => encode_group(&mut encoder, group),
            Command::Leg(leg) => encode_leg(&mut encoder, leg),
            Command::PaymentReturn(returned) => encode_return(&mut encoder, returned),
            Command::Fee(fee) => encode_fee(&mut encoder, fee),
            Command::Servicing(servicing) => encode_servicing(&mut encoder, servicing),
        }
        Self(encoder.0.finalize().into())
    }

    /// Wraps a stored fingerprint.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The stored form.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Encoder(Sha256);

impl Encoder {
    fn new() -> Self {
        Self(Sha256::new().chain_update([VERSION]))
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.update([1]);
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        if let Some(bytes) = bytes {
            return self.field(bytes);
        }
        self.0.update([0]);
        self
    }

    fn money(&mut self, money: Money) -> &mut Self {
        self.field(&money.minor.units().to_be_bytes()).field(money.currency.code().as_bytes())
    }
}

fn encode_payment(encoder: &mut Encoder, payment: &Payment) {
    let Payment { loan_id, borrower_id, amount, effective_date, source_method, external_ref, metadata } = payment;
    encoder
        .field(b"payment")
        .field(loan_id.0.as_bytes())
        .field(borrower_id.0.as_bytes())
        .money(*amount)
        .field(effective_date.to_string().as_bytes())
        .field(source_method.as_str().as_bytes())
        .optional(external_ref.as_deref().map(str::as_bytes))
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
}

fn encode_disbursement(encoder: &mut Encoder, disbursement: &Disbursement) {
    let Disbursement { loan_id, borrower_id, amount, effective_date, method, destination_ref, metadata } = disbursement;
    encoder
        .field(b"disbursement")
        .field(loan_id.0.as_bytes())
        .field(borrower_id.0.as_bytes())
        .money(*amount)
        .field(effective_date.to_string().as_bytes())
        .field(method.as_str().as_bytes())
        .optional(destination_ref.as_deref().map(str::as_bytes))
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
}

fn encode_receipt(encoder: &mut Encoder, receipt: &Receipt) {
    let Receipt { loan_id, amount, effective_date, source_method, external_ref, metadata } = receipt;
    encoder
        .field(b"receipt")
        .field(loan_id.0.as_bytes())
        .money(*amount)
        .field(effective_date.to_string().as_bytes())
        .field(source_method.as_str().as_bytes())
        .optional(external_ref.as_deref().map(str::as_bytes))
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
}

fn encode_bank_settlement(encoder: &mut Encoder, settlement: &BankSettlement) {
    let BankSettlement { loan_id, amount, flow, account, settles, effective_date, external_ref } = settlement;
    encoder
        .field(b"bank_settlement")
        .field(loan_id.0.as_bytes())
        .money(*amount)
        .field(flow.as_str().as_bytes())
        .field(account.to_string().as_bytes())
        .optional(settles.as_ref().map(|event| event.0.as_bytes().as_slice()))
        .field(effective_date.to_string().as_bytes())
        .optional(external_ref.as_deref().map(str::as_bytes));
}

/// Neither the tenant's currency nor the day of receipt: the same upload may come again tomorrow.
fn encode_upload(encoder: &mut Encoder, upload: &Upload) {
    encoder.field(upload.operation.as_str().as_bytes());
    match &upload.operation {
        UploadOperation::PaymentBatch { mode } => encoder.field(mode.as_str().as_bytes()),
        UploadOperation::AchFeed { settings } | UploadOperation::Program { settings } => {
            encoder.field(settings.as_bytes())
        }
        UploadOperation::AchFile { feed } => encoder.field(feed.as_bytes()),
        UploadOperation::AchReview(Review { batch_id, row_no, resolution, reason, effective_at }) => encoder
            .field(batch_id.0.as_bytes())
            .field(&row_no.to_be_bytes())
            .field(resolution.as_str().as_bytes())
            .field(reason.as_bytes())
            .optional(effective_at.map(|date| date.to_string()).as_deref().map(str::as_bytes)),
        UploadOperation::BankStatement { bank_account_ref, statement_date, sha256 } => encoder
            .field(bank_account_ref.as_bytes())
            .field(statement_date.to_string().as_bytes())
            .field(sha256.as_bytes()),
        UploadOperation::BankLineResolution { statement_id, line_no, target, reason } => encoder
            .field(statement_id.0.as_bytes())
            .field(&line_no.to_be_bytes())
            .field(target.as_bytes())
            .field(reason.as_bytes()),
        UploadOperation::PeriodClose { period, reason } | UploadOperation::PeriodReopen { period, reason } => {
            encoder.field(period.as_bytes()).field(reason.as_bytes())
        }
        UploadOperation::Hold(operation) => {
            operation.asked().iter().fold(encoder, |encoder, (_, part)| encoder.field(part.as_bytes()))
        }
        UploadOperation::Webhook(operation) => {
            operation.parts().iter().fold(encoder, |encoder, part| encoder.field(part.as_bytes()))
        }
    };
}

fn encode_opening(encoder: &mut Encoder, opening: &LoanOpening) {
    let LoanOpening {
        loan_id,
        borrower_id,
        currency,
        opened_on,
        loan_number,
        program_id,
        program_defaults: _,
        waterfall,
        opening_balances,
        metadata,
    } = opening;
    encoder
        .field(b"loan_opening")
        .field(loan_id.0.as_bytes())
        .field(borrower_id.0.as_bytes())
        .field(currency.code().as_bytes())
        .field(opened_on.to_string().as_bytes())
        .optional(loan_number.as_ref().map(|number| number.as_str().as_bytes()))
        .optional(program_id.as_ref().map(|program| program.0.as_bytes().as_slice()))
        .optional(waterfall.map(|waterfall| waterfall.to_string()).as_deref().map(str::as_bytes))
        .field(&opening_balances.fees.units().to_be_bytes())
        .field(&opening_balances.interest.units().to_be_bytes())
        .field(&opening_balances.principal.units().to_be_bytes())
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
}

/// The payment's place in the order is left out: its id says the same. What the program says is no part of the request.
fn encode_return(encoder: &mut Encoder, returned: &PaymentReturn) {
    let PaymentReturn {
        payment,
        loan_id,
        borrower_id,
        amount,
        return_code,
        effective_date,
        fee,
        program_fee: _,
        manner: _,
        metadata,
    } = returned;
    encoder
        .field(b"payment_return")
        .field(payment.id.0.as_bytes())
        .field(loan_id.0.as_bytes())
        .field(borrower_id.0.as_bytes())
        .money(*amount)
        .field(return_code.to_string().as_bytes())
        .field(effective_date.to_string().as_bytes())
        .optional(fee.map(|fee| fee.units().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice))
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
}

/// Neither borrower nor currency: they are the loan's, and no caller says them. What the fee is late for stands behind
/// all else and only where it is said, so that fees from before there was such a thing keep their fingerprint.
fn encode_fee(encoder: &mut Encoder, fee: &Fee) {
    let Fee { loan_id, borrower_id: _, amount, effective_date, fee_code, due_on, charged_for, late_for, metadata } =
        fee;
    encoder
        .field(b"fee")
        .field(loan_id.0.as_bytes())
        .field(&amount.minor.units().to_be_bytes())
        .field(effective_date.to_string().as_bytes())
        .field(fee_code.as_str().as_bytes())
        .optional(due_on.map(|due| due.to_string()).as_deref().map(str::as_bytes))
        .optional(charged_for.as_ref().map(|event| event.0.as_bytes().as_slice()))
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
    for (_, text) in late_for.iter().flat_map(LateFor::asked) {
        encoder.optional(text.as_deref().map(str::as_bytes));
    }
}

/// The legs stand in it by their hash. The currency is the loans' own, never the caller's word.
fn encode_group(encoder: &mut Encoder, group: &Group) {
    let Group { operation, currency: _, effective_date, legs, legs_hash, metadata } = group;
    encoder
        .field(b"group")
        .field(operation.to_json().as_bytes())
        .field(effective_date.to_string().as_bytes())
        .field(&legs.to_be_bytes())
        .field(legs_hash.bytes())
        .optional(metadata.as_ref().map(|metadata| metadata.as_json().as_bytes()));
}

/// The group is left out: the leg's key says which it is.
fn encode_leg(encoder: &mut Encoder, leg: &Leg) {
    let Leg { group: _, loan_id, borrower_id, currency, effective_date, terms } = leg;
    encoder
        .field(b"leg")
        .field(loan_id.0.as_bytes())
        .field(borrower_id.0.as_bytes())
        .field(currency.code().as_bytes())
        .field(effective_date.to_string().as_bytes())
        .field(terms.to_json().as_bytes());
}

/// The kind is the operation. Neither borrower nor currency, as for fees.
fn encode_servicing(encoder: &mut Encoder, servicing: &Servicing) {
    encoder.field(servicing.act.kind().as_str().as_bytes()).field(servicing.loan_id.0.as_bytes());
    for (_, text) in servicing.asked() {
        encoder.optional(text.as_deref().map(str::as_bytes));
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::*;
    use crate::core::event::command::SourceMethod;
    use crate::core::event::payment_return::{ReturnCode, ReturnedPayment};
    use crate::core::ids::{BorrowerId, EventId, LoanId, Seq};
    use crate::core::money::{Currency, Minor};

    fn payment() -> Payment {
        Payment {
            loan_id: LoanId(Uuid::from_u128(1)),
            borrower_id: BorrowerId(Uuid::from_u128(2)),
            amount: Money::new(Minor::new(100), Currency::USD),
            effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: None,
        }
    }

    #[test]
    fn the_encoding_is_golden() {
        let expected = "98021afb43b4443a3c0f2919eb2988daa85b2a0b2f014837ee9318a5f71f077a";
        assert_eq!(format!("{:?}", Fingerprint::of(&Command::Payment(payment()))), expected);
    }

    fn payment_return() -> PaymentReturn {
        PaymentReturn {
            payment: ReturnedPayment {
                id: EventId(Uuid::from_u128(4)),
                seq: Seq(1),
                effective_date: payment().effective_date,
            },
            loan_id: payment().loan_id,
            borrower_id: payment().borrower_id,
            amount: payment().amount,
            return_code: ReturnCode::parse("R01").unwrap(),
            effective_date: payment().effective_date,
            fee: Some(Minor::new(25)),
            program_fee: None,
            manner: crate::core::loan::ReturnManner::Void,
            metadata: None,
        }
    }

    #[test]
    fn the_encoding_of_a_return_is_golden() {
        let expected = "cedf793c9caf0f1e5600c551eed95589c3109898056386c4644f68dc0bfcd92e";
        assert_eq!(format!("{:?}", Fingerprint::of(&Command::PaymentReturn(payment_return()))), expected);
    }

    #[test]
    fn another_return_has_another_fingerprint() {
        let of = |returned| Fingerprint::of(&Command::PaymentReturn(returned));
        let other_payment = ReturnedPayment { id: EventId(Uuid::from_u128(6)), ..payment_return().payment };
        for other in [
            PaymentReturn { payment: other_payment, ..payment_return() },
            PaymentReturn { return_code: ReturnCode::parse("R02").unwrap(), ..payment_return() },
            PaymentReturn { fee: None, ..payment_return() },
            PaymentReturn { fee: Some(Minor::new(26)), ..payment_return() },
            PaymentReturn { effective_date: NaiveDate::MAX, ..payment_return() },
        ] {
            assert_ne!(of(other.clone()), of(payment_return()), "{other:?}");
        }
    }

    #[test]
    fn one_cent_and_the_operation_make_a_difference() {
        let first = Fingerprint::of(&Command::Payment(payment()));
        let dearer = Payment { amount: Money::new(Minor::new(101), Currency::USD), ..payment() };
        assert_ne!(Fingerprint::of(&Command::Payment(dearer)), first);
        let referenced = Payment { external_ref: Some(String::new()), ..payment() };
        assert_ne!(Fingerprint::of(&Command::Payment(referenced)), first);
        let out = Disbursement {
            loan_id: payment().loan_id,
            borrower_id: payment().borrower_id,
            amount: payment().amount,
            effective_date: payment().effective_date,
            method: SourceMethod::Ach,
            destination_ref: None,
            metadata: None,
        };
        assert_ne!(Fingerprint::of(&Command::Disbursement(out)), first);
    }
}
