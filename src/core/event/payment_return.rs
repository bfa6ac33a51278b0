//! Owns the return of a payment: the bank has taken the money back.
//!
//! A return is made of the payment's own row and of what the bank says of it, so loan, borrower and amount cannot
//! differ from the payment's. It needs no HTTP: a return file makes its returns with [`PaymentReturn::of`] as well.

use std::fmt;

use chrono::NaiveDate;

use crate::core::event::accepted::AcceptedEvent;
use crate::core::event::command::{Command, Payment};
use crate::core::event::fee::{Fee, FeeCode};
use crate::core::event::kind::EventKind;
use crate::core::event::metadata::Metadata;
use crate::core::event::upload::NO_BORROWER;
use crate::core::ids::{BorrowerId, EventId, LoanId, Seq};
use crate::core::loan::{ReturnManner, ReturnPolicy, return_code_number};
use crate::core::money::{Minor, Money};

/// Which consequence of a return its fee is: part of the fee's id and key.
pub(super) const FEE_SORT: &str = "return_fee";

/// A text is not a return code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be R and two digits, such as R01")]
pub struct ReturnCodeError;

/// Why the bank sent the money back: `^R[0-9]{2}$`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReturnCode(u8);

impl ReturnCode {
    /// Reads a code.
    ///
    /// # Errors
    /// [`ReturnCodeError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, ReturnCodeError> {
        return_code_number(text).map(Self).ok_or(ReturnCodeError)
    }

    /// The number behind the `R`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{:02}", self.0)
    }
}

impl fmt::Debug for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is said of a return, by a caller or by a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTerms {
    /// Why.
    pub code: ReturnCode,
    /// The day the money went back.
    pub effective_date: NaiveDate,
    /// How much goes back; all of the payment where it is not said.
    pub amount: Option<Minor>,
    /// What the borrower is charged for it, where it is said.
    pub fee: Option<Minor>,
    /// Free data.
    pub metadata: Option<Metadata>,
}

/// Why no return can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentReturnError {
    /// The event is of another kind.
    #[error("only a payment can be returned")]
    NotAPayment,
    /// The money cannot go back before it came.
    #[error("must not be before {0}, the day of the payment")]
    BeforePayment(NaiveDate),
    /// A part goes back, and the loan's program does not know of parts.
    #[error("must be all of the payment where the loan's program takes returned payments back")]
    NotWhole,
    /// More than came in.
    #[error("must be more than 0 and at most {0}, the amount of the payment")]
    NotOfPayment(Minor),
}

/// The payment that a return takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnedPayment {
    /// Its event.
    pub id: EventId,
    /// Its place in the order; the return's own is greater.
    pub seq: Seq,
    /// The day it counts from, and with it the return.
    pub effective_date: NaiveDate,
}

/// `POST /v1/payments/{id}/return`: a payment taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentReturn {
    /// What it takes back.
    pub payment: ReturnedPayment,
    /// The payment's loan.
    pub loan_id: LoanId,
    /// The payment's borrower.
    pub borrower_id: BorrowerId,
    /// How much goes back: the payment's amount, or of one that is charged back a part.
    pub amount: Money,
    /// Why.
    pub return_code: ReturnCode,
    /// The day the money went back; the fee counts from it.
    pub effective_date: NaiveDate,
    /// What the borrower is charged for it, as its caller said; more than nothing.
    pub fee: Option<Minor>,
    /// What the loan's program charges for its payment, or the feed that brought it, where no caller said; more than nothing.
    /// It is charged with the payment's first return only (domain rule 48), which is known when it is posted.
    pub program_fee: Option<Minor>,
    /// How it is booked: what the loan's program said when it was accepted.
    pub manner: ReturnManner,
    /// Free data.
    pub metadata: Option<Metadata>,
}

impl PaymentReturn {
    /// Whether an event is a payment, which a return can be made of.
    #[must_use]
    pub fn is_of(event: &AcceptedEvent) -> bool {
        paid(event).is_some()
    }

    /// The return of an accepted payment of a loan without a program. A fee of nothing is no fee.
    ///
    /// # Errors
    /// See [`PaymentReturnError`].
    pub fn of(payment: &AcceptedEvent, terms: ReturnTerms) -> Result<Self, PaymentReturnError> {
        Self::by_program(payment, terms, &ReturnPolicy::default())
    }

    /// The return of an accepted payment, as the loan's program has it, or of a receipt.
    ///
    /// # Errors
    /// See [`PaymentReturnError`].
    pub fn by_program(
        payment: &AcceptedEvent,
        terms: ReturnTerms,
        policy: &ReturnPolicy,
    ) -> Result<Self, PaymentReturnError> {
        let paid = received(payment).ok_or(PaymentReturnError::NotAPayment)?;
        // A receipt is nobody's: no program says how it is returned, and nobody pays a fee for it.
        if paid.borrower_id == NO_BORROWER && (terms.fee.is_some() || *policy != ReturnPolicy::default()) {
            return Self::by_program(payment, ReturnTerms { fee: None, ..terms }, &ReturnPolicy::default());
        }
        if terms.effective_date < paid.effective_date {
            return Err(PaymentReturnError::BeforePayment(paid.effective_date));
        }
        let amount = terms.amount.unwrap_or(paid.amount.minor);
        if amount.is_zero() || amount > paid.amount.minor {
            return Err(PaymentReturnError::NotOfPayment(paid.amount.minor));
        }
        if policy.manner == ReturnManner::Void && amount != paid.amount.minor {
            return Err(PaymentReturnError::NotWhole);
        }
        let program_fee = if terms.fee.is_none() { policy.fee_of(terms.code.number()) } else { None };
        Ok(Self {
            payment: ReturnedPayment { id: payment.event.id, seq: payment.seq, effective_date: paid.effective_date },
            loan_id: paid.loan_id,
            borrower_id: paid.borrower_id,
            amount: Money::new(amount, paid.amount.currency),
            return_code: terms.code,
            effective_date: terms.effective_date,
            fee: terms.fee.filter(|fee| !fee.is_zero()),
            program_fee,
            manner: policy.manner,
            metadata: terms.metadata,
        })
    }

    /// The payment that it takes back as a whole; `None` where the money goes back on a day of its own.
    #[must_use]
    pub fn undoes(&self) -> Option<&ReturnedPayment> {
        (self.manner == ReturnManner::Void).then_some(&self.payment)
    }

    /// The day it counts from.
    #[must_use]
    pub fn counts_from(&self) -> NaiveDate {
        self.undoes().map_or(self.effective_date, |payment| payment.effective_date)
    }

    /// What the borrower is charged for it, where its payment has not gone back before.
    #[must_use]
    pub fn charged(&self) -> Option<Minor> {
        self.fee.or(self.program_fee)
    }

    /// The fee it brings with it: an event of its own, on the day of the return.
    #[must_use]
    pub fn fee(&self) -> Option<Fee> {
        self.charged().map(|fee| Fee {
            loan_id: self.loan_id,
            borrower_id: self.borrower_id,
            amount: Money::new(fee, self.amount.currency),
            effective_date: self.effective_date,
            fee_code: FeeCode::returned_payment(),
            due_on: None,
            charged_for: Some(self.payment.id),
            late_for: None,
            metadata: None,
        })
    }

    /// The id of its fee's event, where the return is the event `id` and has a fee. A fee of the program that a rule refuses
    /// is an event that is rejected; of a payment that went back before there is none.
    #[must_use]
    pub fn fee_event_id(&self, id: EventId) -> Option<EventId> {
        self.charged().map(|_| id.consequence(self.payment.id, FEE_SORT))
    }

    /// The same where the fee is certain: its caller has named it, so both are posted or neither is.
    #[must_use]
    pub fn certain_fee_event_id(&self, id: EventId) -> Option<EventId> {
        self.fee.and_then(|_| self.fee_event_id(id))
    }
}

/// Money that came in: for a loan, or for none that is known.
struct Received {
    loan_id: LoanId,
    borrower_id: BorrowerId,
    amount: Money,
    effective_date: NaiveDate,
}

/// The money that an event brought.
fn received(event: &AcceptedEvent) -> Option<Received> {
    if let Command::Receipt(receipt) = &event.event.command {
        return Some(Received {
            loan_id: receipt.loan_id,
            borrower_id: NO_BORROWER,
            amount: receipt.amount,
            effective_date: receipt.effective_date,
        });
    }
    paid(event).map(|payment| Received {
        loan_id: payment.loan_id,
        borrower_id: payment.borrower_id,
        amount: payment.amount,
        effective_date: payment.effective_date,
    })
}

/// The payment that an event is. A consequence that divides a payment anew is none.
fn paid(event: &AcceptedEvent) -> Option<&Payment> {
    match (event.event.kind, &event.event.command) {
        (EventKind::PaymentReceived, Command::Payment(payment)) => Some(payment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_codes_are_r_and_two_digits() {
        assert_eq!(ReturnCode::parse("R01").unwrap().to_string(), "R01");
        assert_eq!(ReturnCode::parse("R99").unwrap().number(), 99);
        for bad in ["", "R", "R1", "R001", "r01", "01", "R0a", "R+1", "R-1", " R01", "R01 ", "C01", "R\u{661}1"] {
            assert_eq!(ReturnCode::parse(bad), Err(ReturnCodeError), "{bad:?}");
        }
    }
}
