//! Owns the sentence that says of an entry what it was for.

use crate::core::event::{CashFlow, Command};

/// What a command was for, in a few words; `None` for what makes no entry.
pub(crate) fn description(command: &Command) -> Option<String> {
    match command {
        Command::Payment(payment) => Some(format!("Payment received by {}", payment.source_method.as_str())),
        Command::Disbursement(disbursement) => Some(format!("Principal lent, by {}", disbursement.method.as_str())),
        Command::LoanOpening(_) => Some("Balances taken over when the loan was registered".to_owned()),
        Command::PaymentReturn(returned) => {
            let what = if returned.undoes().is_some() { "returned" } else { "charged back" };
            Some(format!("Payment {what} by the bank: {}", returned.return_code))
        }
        Command::Fee(fee) => Some(format!("Fee: {}", fee.fee_code.as_str())),
        Command::Receipt(_) => Some("Money received for no known loan".to_owned()),
        Command::BankSettlement(settlement) => Some(match settlement.flow {
            CashFlow::In => "Cash received at the bank".to_owned(),
            CashFlow::Out => "Cash paid out by the bank".to_owned(),
        }),
        Command::Servicing(servicing) => servicing.act.reason_description().map(str::to_owned),
        Command::Upload(_) | Command::Group(_) | Command::Leg(_) => None,
    }
}
