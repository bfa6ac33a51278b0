//! Owns what a caller can ask for, parsed into types that cannot be wrong.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::bank_settlement::BankSettlement;
use crate::core::event::fee::Fee;
use crate::core::event::group::{Group, Leg};
use crate::core::event::metadata::Metadata;
use crate::core::event::payment_return::PaymentReturn;
use crate::core::event::receipt::Receipt;
use crate::core::event::servicing::Servicing;
use crate::core::event::upload::{NO_BORROWER, NO_LOAN, Upload};
use crate::core::ids::{BorrowerId, EntryId, EventId, LoanId, ProgramId};
use crate::core::loan::{SuspenseRelease, Waterfall, Waterfalls};
use crate::core::money::{Currency, Minor, Money};

/// How money came or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceMethod {
    /// Automated clearing house.
    Ach,
    /// Card.
    Card,
    /// Paper check.
    Check,
    /// Wire transfer.
    Wire,
    /// Cash.
    Cash,
    /// Real-time payments network.
    Rtp,
    /// `FedNow` instant payment.
    Fednow,
    /// Lockbox.
    Lockbox,
    /// Book transfer inside the lender.
    Internal,
}

impl SourceMethod {
    /// Every method, in the contract's order.
    pub const ALL: [Self; 9] = [
        Self::Ach,
        Self::Card,
        Self::Check,
        Self::Wire,
        Self::Cash,
        Self::Rtp,
        Self::Fednow,
        Self::Lockbox,
        Self::Internal,
    ];

    /// The contract's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ach => "ach",
            Self::Card => "card",
            Self::Check => "check",
            Self::Wire => "wire",
            Self::Cash => "cash",
            Self::Rtp => "rtp",
            Self::Fednow => "fednow",
            Self::Lockbox => "lockbox",
            Self::Internal => "internal",
        }
    }

    /// Reads the contract's word; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// Why a text is not a loan number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 22 printable ASCII characters without a blank at either end")]
pub struct LoanNumberError;

/// The number a lender prints on a loan: unique per tenant, compared without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoanNumber(String);

impl LoanNumber {
    /// Reads a loan number.
    ///
    /// # Errors
    /// [`LoanNumberError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, LoanNumberError> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let well_formed = (1..=22).contains(&text.len()) && printable && text.trim() == text;
        well_formed.then(|| Self(text.to_owned())).ok_or(LoanNumberError)
    }

    /// As the caller wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form it is unique and searched by: without leading zeros.
    #[must_use]
    pub fn comparable(&self) -> &str {
        let trimmed = self.0.trim_start_matches('0');
        if trimmed.is_empty() { "0" } else { trimmed }
    }
}

/// `POST /v1/payments`: money received for a loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The loan it pays.
    pub loan_id: LoanId,
    /// Who pays; must be the loan's borrower.
    pub borrower_id: BorrowerId,
    /// How much; more than nothing.
    pub amount: Money,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// How it came.
    pub source_method: SourceMethod,
    /// The caller's own reference.
    pub external_ref: Option<String>,
    /// Free data.
    pub metadata: Option<Metadata>,
}

/// `POST /v1/disbursements`: money lent. Opens the loan if it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disbursement {
    /// The loan it goes out on.
    pub loan_id: LoanId,
    /// Who owes it.
    pub borrower_id: BorrowerId,
    /// How much; more than nothing.
    pub amount: Money,
    /// The day it counts from; the day the loan opens if it is new.
    pub effective_date: NaiveDate,
    /// How it goes.
    pub method: SourceMethod,
    /// The caller's reference of the destination.
    pub destination_ref: Option<String>,
    /// Free data.
    pub metadata: Option<Metadata>,
}

/// What a loan owed when it was registered here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpeningBalances {
    /// Unpaid fees.
    pub fees: Minor,
    /// Accrued, unpaid interest.
    pub interest: Minor,
    /// Principal outstanding.
    pub principal: Minor,
}

/// What a loan takes from its program where its opening does not say otherwise, as the program stood at acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDefaults {
    /// The orders payments are allocated in.
    #[serde(rename = "waterfall")]
    pub waterfalls: Waterfalls,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: SuspenseRelease,
}

/// `POST /v1/loans`: registers a loan that may already have balances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoanOpening {
    /// The loan.
    pub loan_id: LoanId,
    /// Who owes.
    pub borrower_id: BorrowerId,
    /// Its only currency.
    pub currency: Currency,
    /// Its first day; nothing counts before it.
    pub opened_on: NaiveDate,
    /// The lender's number for it.
    pub loan_number: Option<LoanNumber>,
    /// The program whose defaults it takes.
    pub program_id: Option<ProgramId>,
    /// That program's defaults; `None` where it is not described. No part of the request: acceptance finds them out.
    pub program_defaults: Option<ProgramDefaults>,
    /// The order payments are allocated in; the program's, or the default order, where absent.
    pub waterfall: Option<Waterfall>,
    /// What it owed on its first day here.
    pub opening_balances: OpeningBalances,
    /// Free data.
    pub metadata: Option<Metadata>,
}

/// Everything a caller can ask for: what is posted to one loan, and uploads, which stand on none and are never posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Money received.
    Payment(Payment),
    /// Money lent.
    Disbursement(Disbursement),
    /// A loan registered.
    LoanOpening(LoanOpening),
    /// Money received for no known loan.
    Receipt(Receipt),
    /// Cash that the bank has moved.
    BankSettlement(BankSettlement),
    /// Many payments brought at once.
    Upload(Upload),
    /// A payment taken back.
    PaymentReturn(PaymentReturn),
    /// A fee charged.
    Fee(Fee),
    /// Another operation on one loan.
    Servicing(Servicing),
    /// Something that concerns several loans: stands on none, its legs do.
    Group(Group),
    /// What a group does to one loan.
    Leg(Leg),
}

impl Command {
    /// The journal entry that the lines of its event belong to: a leg's are its group's.
    #[must_use]
    pub fn entry_id(&self, event_id: EventId) -> EntryId {
        let group = if let Self::Leg(leg) = self { Some(leg.group) } else { None };
        group.unwrap_or(event_id).entry_id()
    }

    /// The loan it is about; the nil id for an upload and a group.
    #[must_use]
    pub fn loan_id(&self) -> LoanId {
        match self {
            Self::Payment(payment) => payment.loan_id,
            Self::Disbursement(disbursement) => disbursement.loan_id,
            Self::LoanOpening(opening) => opening.loan_id,
            Self::Receipt(receipt) => receipt.loan_id,
            Self::BankSettlement(settlement) => settlement.loan_id,
            Self::Upload(_) | Self::Group(_) => NO_LOAN,
            Self::Leg(leg) => leg.loan_id,
            Self::PaymentReturn(returned) => returned.loan_id,
            Self::Fee(fee) => fee.loan_id,
            Self::Servicing(servicing) => servicing.loan_id,
        }
    }

    /// The borrower it names; the nil id where it names none.
    #[must_use]
    pub fn borrower_id(&self) -> BorrowerId {
        match self {
            Self::Payment(payment) => payment.borrower_id,
            Self::Disbursement(disbursement) => disbursement.borrower_id,
            Self::LoanOpening(opening) => opening.borrower_id,
            Self::Receipt(_) | Self::BankSettlement(_) | Self::Upload(_) | Self::Group(_) => NO_BORROWER,
            Self::Leg(leg) => leg.borrower_id,
            Self::PaymentReturn(returned) => returned.borrower_id,
            Self::Fee(fee) => fee.borrower_id,
            Self::Servicing(servicing) => servicing.party.borrower_id,
        }
    }

    /// The currency it is in.
    #[must_use]
    pub fn currency(&self) -> Currency {
        match self {
            Self::Payment(payment) => payment.amount.currency,
            Self::Disbursement(disbursement) => disbursement.amount.currency,
            Self::LoanOpening(opening) => opening.currency,
            Self::Receipt(receipt) => receipt.amount.currency,
            Self::BankSettlement(settlement) => settlement.amount.currency,
            Self::Upload(upload) => upload.currency,
            Self::Group(group) => group.currency,
            Self::Leg(leg) => leg.currency,
            Self::PaymentReturn(returned) => returned.amount.currency,
            Self::Fee(fee) => fee.amount.currency,
            Self::Servicing(servicing) => servicing.party.currency,
        }
    }

    /// The amount it moves, where it is of one amount.
    #[must_use]
    pub fn amount(&self) -> Option<Minor> {
        match self {
            Self::Payment(payment) => Some(payment.amount.minor),
            Self::Disbursement(disbursement) => Some(disbursement.amount.minor),
            Self::LoanOpening(_) | Self::Upload(_) | Self::Group(_) => None,
            Self::Leg(leg) => leg.amount(),
            Self::PaymentReturn(returned) => Some(returned.amount.minor),
            Self::Fee(fee) => Some(fee.amount.minor),
            Self::Servicing(servicing) => servicing.amount,
            Self::Receipt(receipt) => Some(receipt.amount.minor),
            Self::BankSettlement(settlement) => Some(settlement.amount.minor),
        }
    }

    /// The day it is dated: for all but what takes something back, the day that its posting counts from.
    #[must_use]
    pub fn effective_date(&self) -> NaiveDate {
        match self {
            Self::Payment(payment) => payment.effective_date,
            Self::Disbursement(disbursement) => disbursement.effective_date,
            Self::LoanOpening(opening) => opening.opened_on,
            Self::Receipt(receipt) => receipt.effective_date,
            Self::BankSettlement(settlement) => settlement.effective_date,
            Self::Upload(upload) => upload.received_on,
            Self::Group(group) => group.effective_date,
            Self::Leg(leg) => leg.effective_date,
            Self::PaymentReturn(returned) => returned.effective_date,
            Self::Fee(fee) => fee.effective_date,
            Self::Servicing(servicing) => servicing.effective_date,
        }
    }

    /// The first and the last day that its postings count from: a return counts from its payment's day, its fee from
    /// the return's own; a reversal counts from the day of what it takes back.
    #[must_use]
    pub fn days(&self) -> (NaiveDate, NaiveDate) {
        match self {
            Self::PaymentReturn(returned) => {
                let first = returned.counts_from();
                (first, if returned.charged().is_some() { returned.effective_date } else { first })
            }
            Self::Servicing(servicing) => (servicing.counts_from(), servicing.counts_from()),
            Self::Payment(_)
            | Self::Disbursement(_)
            | Self::LoanOpening(_)
            | Self::Fee(_)
            | Self::Receipt(_)
            | Self::BankSettlement(_)
            | Self::Upload(_)
            | Self::Group(_)
            | Self::Leg(_) => (self.effective_date(), self.effective_date()),
        }
    }

    /// How the money came or goes.
    #[must_use]
    pub fn source_method(&self) -> Option<SourceMethod> {
        match self {
            Self::Payment(payment) => Some(payment.source_method),
            Self::Disbursement(disbursement) => Some(disbursement.method),
            Self::Receipt(receipt) => Some(receipt.source_method),
            Self::LoanOpening(_)
            | Self::PaymentReturn(_)
            | Self::Fee(_)
            | Self::Servicing(_)
            | Self::BankSettlement(_)
            | Self::Upload(_)
            | Self::Group(_)
            | Self::Leg(_) => None,
        }
    }

    /// The caller's own reference.
    #[must_use]
    pub fn external_ref(&self) -> Option<&str> {
        match self {
            Self::Payment(payment) => payment.external_ref.as_deref(),
            Self::Disbursement(disbursement) => disbursement.destination_ref.as_deref(),
            Self::Receipt(receipt) => receipt.external_ref.as_deref(),
            Self::BankSettlement(settlement) => settlement.external_ref.as_deref(),
            Self::LoanOpening(_)
            | Self::PaymentReturn(_)
            | Self::Fee(_)
            | Self::Servicing(_)
            | Self::Upload(_)
            | Self::Group(_)
            | Self::Leg(_) => None,
        }
    }

    /// The free data.
    #[must_use]
    pub fn metadata(&self) -> Option<&Metadata> {
        match self {
            Self::Payment(payment) => payment.metadata.as_ref(),
            Self::Disbursement(disbursement) => disbursement.metadata.as_ref(),
            Self::LoanOpening(opening) => opening.metadata.as_ref(),
            Self::Receipt(receipt) => receipt.metadata.as_ref(),
            Self::Upload(_) | Self::Leg(_) | Self::BankSettlement(_) => None,
            Self::Group(group) => group.metadata.as_ref(),
            Self::PaymentReturn(returned) => returned.metadata.as_ref(),
            Self::Fee(fee) => fee.metadata.as_ref(),
            Self::Servicing(servicing) => servicing.metadata.as_ref(),
        }
    }

    /// The return that it is; `None` for every other command.
    #[must_use]
    pub fn payment_return(&self) -> Option<&PaymentReturn> {
        if let Self::PaymentReturn(returned) = self { Some(returned) } else { None }
    }

    /// Whether it makes the loan where there is none.
    #[must_use]
    pub fn opens_loan(&self) -> bool {
        match self {
            Self::Payment(_)
            | Self::PaymentReturn(_)
            | Self::Fee(_)
            | Self::Servicing(_)
            | Self::Upload(_)
            | Self::Group(_) => false,
            Self::Leg(leg) => leg.terms.new_loan().is_some(),
            Self::Disbursement(_) | Self::LoanOpening(_) | Self::Receipt(_) | Self::BankSettlement(_) => true,
        }
    }

    /// The lender's number of the loan that it opens, where the caller gave one.
    #[must_use]
    pub fn loan_number(&self) -> Option<&LoanNumber> {
        match self {
            Self::LoanOpening(opening) => opening.loan_number.as_ref(),
            Self::Leg(leg) => leg.terms.new_loan().and_then(|terms| terms.loan_number.as_ref()),
            Self::Payment(_)
            | Self::Disbursement(_)
            | Self::PaymentReturn(_)
            | Self::Fee(_)
            | Self::Servicing(_)
            | Self::Receipt(_)
            | Self::BankSettlement(_)
            | Self::Upload(_)
            | Self::Group(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loan_numbers_compare_without_leading_zeros() {
        assert_eq!(LoanNumber::parse("000420").unwrap().comparable(), "420");
        assert_eq!(LoanNumber::parse("000").unwrap().comparable(), "0");
        for bad in ["", " 1", "1 ", "é", &"1".repeat(23), "a\tb"] {
            assert_eq!(LoanNumber::parse(bad), Err(LoanNumberError), "{bad:?}");
        }
    }

    #[test]
    fn every_method_reads_back() {
        for method in SourceMethod::ALL {
            assert_eq!(SourceMethod::parse(method.as_str()), Some(method));
        }
    }
}
