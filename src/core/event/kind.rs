//! Owns the kinds of events: the stored words, the contract's event types, and the names under which answers carry ids.

use std::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::core::event::command::Command;
use crate::core::ids::EventId;

/// A stored word is not a kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of event")]
pub struct UnknownEventKind;

/// What sort of event it is. The words are the contract's event types where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A payment.
    PaymentReceived,
    /// Money lent.
    Disbursement,
    /// A loan registered; with opening balances its entry is a `manual_adjustment`.
    LoanOpened,
    /// A consequence: a new split of money that was already received.
    PaymentAllocated,
    /// Money received for no known loan.
    UnidentifiedReceipt,
    /// Cash that the bank has moved; its entry is a `manual_adjustment`.
    BankSettled,
    /// Many payments brought at once: finished by the api, never queued, without an entry.
    Upload,
    /// A payment taken back by the bank.
    PaymentReturned,
    /// A fee charged.
    FeeAssessed,
    /// Money lent has left the bank.
    DisbursementSettled,
    /// Interest accrued.
    Accrual,
    /// A fee forgiven.
    FeeWaived,
    /// Suspense paid on what the loan owes.
    SuspenseApplied,
    /// Suspense given back to the borrower.
    SuspenseRefunded,
    /// Suspense moved to another loan.
    SuspenseTransferred,
    /// An unidentified receipt that found its loan.
    ReceiptAssigned,
    /// The loan charged off.
    Chargeoff,
    /// Money received for a loan that is charged off.
    Recovery,
    /// A loan paid off by a new one.
    Refinance,
    /// What a loan owes, set up anew.
    Restructure,
    /// An entry taken back.
    Reversal,
    /// Lines written by hand.
    ManualAdjustment,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::PaymentReceived,
        Self::Disbursement,
        Self::LoanOpened,
        Self::PaymentAllocated,
        Self::PaymentReturned,
        Self::FeeAssessed,
        Self::UnidentifiedReceipt,
        Self::BankSettled,
        Self::Upload,
        Self::DisbursementSettled,
        Self::Accrual,
        Self::FeeWaived,
        Self::SuspenseApplied,
        Self::SuspenseRefunded,
        Self::SuspenseTransferred,
        Self::ReceiptAssigned,
        Self::Chargeoff,
        Self::Recovery,
        Self::Refinance,
        Self::Restructure,
        Self::Reversal,
        Self::ManualAdjustment,
    ];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentReceived => "payment_received",
            Self::Disbursement => "disbursement",
            Self::LoanOpened => "loan_opened",
            Self::PaymentAllocated => "payment_allocated",
            Self::UnidentifiedReceipt => "unidentified_receipt",
            Self::BankSettled => "bank_settled",
            Self::Upload => "upload",
            Self::PaymentReturned => "payment_returned",
            Self::FeeAssessed => "fee_assessed",
            Self::DisbursementSettled => "disbursement_settled",
            Self::Accrual => "accrual",
            Self::FeeWaived => "fee_waived",
            Self::SuspenseApplied => "suspense_applied",
            Self::SuspenseRefunded => "suspense_refunded",
            Self::SuspenseTransferred => "suspense_transferred",
            Self::ReceiptAssigned => "receipt_assigned",
            Self::Chargeoff => "chargeoff",
            Self::Recovery => "recovery",
            Self::Refinance => "refinance",
            Self::Restructure => "restructure",
            Self::Reversal => "reversal",
            Self::ManualAdjustment => "manual_adjustment",
        }
    }

    /// The contract's event type of its journal entry.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::LoanOpened | Self::SuspenseRefunded | Self::SuspenseTransferred | Self::BankSettled => {
                Self::ManualAdjustment.as_str()
            }
            Self::UnidentifiedReceipt => Self::PaymentReceived.as_str(),
            Self::SuspenseApplied | Self::ReceiptAssigned => Self::PaymentAllocated.as_str(),
            Self::PaymentReceived
            | Self::Disbursement
            | Self::PaymentAllocated
            | Self::PaymentReturned
            | Self::FeeAssessed
            | Self::Upload
            | Self::DisbursementSettled
            | Self::Accrual
            | Self::FeeWaived
            | Self::Chargeoff
            | Self::Recovery
            | Self::Refinance
            | Self::Restructure
            | Self::Reversal
            | Self::ManualAdjustment => self.as_str(),
        }
    }

    /// The name under which answers carry the id of an event of this kind.
    #[must_use]
    pub const fn id_field(self) -> &'static str {
        match self {
            Self::PaymentReceived | Self::UnidentifiedReceipt => "payment_event_id",
            Self::Disbursement => "disbursement_event_id",
            Self::LoanOpened => "loan_event_id",
            Self::PaymentAllocated => "event_id",
            Self::BankSettled => "bank_settled_event_id",
            Self::Upload => "batch_id",
            Self::PaymentReturned => "payment_returned_event_id",
            Self::FeeAssessed => "fee_event_id",
            Self::DisbursementSettled => "disbursement_settled_event_id",
            Self::Accrual => "accrual_event_id",
            Self::FeeWaived => "fee_waived_event_id",
            Self::SuspenseApplied => "suspense_applied_event_id",
            Self::SuspenseRefunded => "suspense_refunded_event_id",
            Self::SuspenseTransferred => "suspense_transferred_event_id",
            Self::ReceiptAssigned => "receipt_assigned_event_id",
            Self::Chargeoff => "chargeoff_event_id",
            Self::Recovery => "recovery_event_id",
            Self::Refinance => "refinance_event_id",
            Self::Restructure => "restructure_event_id",
            Self::Reversal => "reversal_event_id",
            Self::ManualAdjustment => "manual_adjustment_event_id",
        }
    }

    /// Whether it is served as a payment: with or without a known loan.
    #[must_use]
    pub const fn is_payment(self) -> bool {
        matches!(self, Self::PaymentReceived | Self::UnidentifiedReceipt)
    }

    /// The contract's status of an event that one of this kind has undone.
    #[must_use]
    pub fn undone_status(self) -> &'static str {
        if self == Self::PaymentReturned { "returned" } else { "reversed" }
    }
}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownEventKind)
    }
}

impl Command {
    /// The kind of event this command becomes.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Payment(_) => EventKind::PaymentReceived,
            Self::Disbursement(_) => EventKind::Disbursement,
            Self::LoanOpening(_) => EventKind::LoanOpened,
            Self::Receipt(_) => EventKind::UnidentifiedReceipt,
            Self::BankSettlement(_) => EventKind::BankSettled,
            Self::Upload(_) => EventKind::Upload,
            Self::PaymentReturn(_) => EventKind::PaymentReturned,
            Self::Fee(_) => EventKind::FeeAssessed,
            Self::Servicing(servicing) => servicing.act.kind(),
            Self::Group(group) => group.operation.kind(),
            Self::Leg(leg) => leg.terms.kind(),
        }
    }
}

/// An event's id under its kind's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedId {
    /// Which name.
    pub kind: EventKind,
    /// The id.
    pub id: EventId,
}

impl Serialize for NamedId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.kind.id_field(), &self.id)?;
        map.end()
    }
}
