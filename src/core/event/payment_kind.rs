//! Owns what kind of payment the money of a command is: which of its loan's orders of payment it follows.

use crate::core::event::{Command, LegTerms, ServicingAct, SourceMethod};
use crate::core::loan::PaymentKind;

impl SourceMethod {
    /// What kind of payment comes so.
    #[must_use]
    pub const fn payment_kind(self) -> PaymentKind {
        match self {
            Self::Ach => PaymentKind::Ach,
            Self::Card => PaymentKind::Card,
            Self::Check => PaymentKind::Check,
            Self::Wire => PaymentKind::Wire,
            Self::Cash => PaymentKind::Cash,
            Self::Rtp => PaymentKind::Rtp,
            Self::Fednow => PaymentKind::Fednow,
            Self::Lockbox => PaymentKind::Lockbox,
            Self::Internal => PaymentKind::Internal,
        }
    }
}

impl Command {
    /// What kind of payment pays a loan by it: `None` for what brings no money and applies none.
    #[must_use]
    pub fn payment_kind(&self) -> Option<PaymentKind> {
        match self {
            Self::Payment(payment) => Some(payment.source_method.payment_kind()),
            Self::Servicing(servicing) => match &servicing.act {
                ServicingAct::Recovery => Some(PaymentKind::Recovery),
                ServicingAct::SuspenseApplied { .. } => Some(PaymentKind::Suspense),
                ServicingAct::DisbursementSettled { .. }
                | ServicingAct::FeeWaived { .. }
                | ServicingAct::SuspenseRefunded
                | ServicingAct::ManualAdjustment { .. }
                | ServicingAct::Reversal(_)
                | ServicingAct::Chargeoff { .. }
                | ServicingAct::Restated { .. } => None,
            },
            Self::Leg(leg) => matches!(leg.terms, LegTerms::ReceiptIn { .. }).then_some(PaymentKind::Receipt),
            Self::Disbursement(_)
            | Self::LoanOpening(_)
            | Self::Receipt(_)
            | Self::PaymentReturn(_)
            | Self::Fee(_)
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
    fn a_payment_is_of_the_kind_that_bears_the_word_of_its_method() {
        for method in SourceMethod::ALL {
            assert_eq!(method.payment_kind().as_str(), method.as_str());
        }
    }
}
