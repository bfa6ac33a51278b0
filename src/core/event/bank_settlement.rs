//! Owns what a line of a bank statement books: cash that the bank has moved, against the account it was waited for on.
//!
//! The cash of a bank account stands on one loan of our own: it has no borrower and is not listed, and gives the
//! account's movements an order, a version and a hash chain like any other event's.

use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::core::ids::{EventId, LoanId, TenantId};
use crate::core::ledger::AccountCode;
use crate::core::money::Money;

/// A stored word is not a direction of cash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be in or out")]
pub struct UnknownCashFlow;

/// Which way cash moved at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CashFlow {
    /// The account holds more.
    In,
    /// The account holds less.
    Out,
}

impl CashFlow {
    /// Both.
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl FromStr for CashFlow {
    type Err = UnknownCashFlow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|flow| flow.as_str() == text).ok_or(UnknownCashFlow)
    }
}

/// Cash that the bank has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankSettlement {
    /// The loan of our own that the bank account's cash stands on.
    pub loan_id: LoanId,
    /// How much; more than nothing.
    pub amount: Money,
    /// Which way.
    pub flow: CashFlow,
    /// The account it was waited for on: Payment Clearing, unless a person says otherwise.
    pub account: AccountCode,
    /// The event whose clearing it settles, where one is named.
    pub settles: Option<EventId>,
    /// The day the bank booked it.
    pub effective_date: NaiveDate,
    /// The bank's reference.
    pub external_ref: Option<String>,
}

impl BankSettlement {
    /// The loan of our own on which the cash of a bank account stands.
    #[must_use]
    pub fn loan_of(tenant: TenantId, bank_account_ref: &str) -> LoanId {
        let hash = Sha256::new().chain_update(b"hpts.bank\0").chain_update(tenant.0).chain_update(bank_account_ref);
        let digest: [u8; 32] = hash.finalize().into();
        LoanId(Uuid::from_bytes(digest.first_chunk::<16>().copied().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{Command, CommandColumns, EventKind, Fingerprint, NO_BORROWER};
    use crate::core::money::{Currency, Minor};

    fn settlement() -> BankSettlement {
        BankSettlement {
            loan_id: BankSettlement::loan_of(TenantId(Uuid::from_u128(1)), "OPERATING-1"),
            amount: Money::new(Minor::new(100), Currency::USD),
            flow: CashFlow::In,
            account: AccountCode::PAYMENT_CLEARING,
            settles: Some(EventId(Uuid::from_u128(4))),
            effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            external_ref: Some("ACH 17".to_owned()),
        }
    }

    #[test]
    fn each_tenant_and_bank_account_has_a_loan_of_its_own() {
        let (one, two) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let of = BankSettlement::loan_of;
        assert_eq!(of(one, "A"), of(one, "A"));
        assert!(of(one, "A") != of(two, "A") && of(one, "A") != of(one, "B"));
    }

    #[test]
    fn it_reads_back_from_its_columns() {
        for (flow, settles) in [(CashFlow::In, None), (CashFlow::Out, settlement().settles)] {
            let command = Command::BankSettlement(BankSettlement { flow, settles, ..settlement() });
            let columns = CommandColumns {
                kind: command.kind(),
                loan_id: command.loan_id(),
                borrower_id: command.borrower_id(),
                amount: command.amount(),
                currency: command.currency(),
                effective_date: command.effective_date(),
                source_method: command.source_method(),
                external_ref: command.external_ref().map(str::to_owned),
                metadata: None,
                details: command.details(),
            };
            assert_eq!((columns.kind, columns.borrower_id), (EventKind::BankSettled, NO_BORROWER));
            assert_eq!(Command::from_columns(columns.clone()).as_ref(), Ok(&command));
            assert!(Command::from_columns(CommandColumns { details: None, ..columns }).is_err());
        }
    }

    #[test]
    fn all_of_it_makes_the_fingerprint() {
        let of = |settlement| Fingerprint::of(&Command::BankSettlement(settlement));
        for other in [
            BankSettlement { flow: CashFlow::Out, ..settlement() },
            BankSettlement { account: AccountCode::CASH, ..settlement() },
            BankSettlement { settles: None, ..settlement() },
            BankSettlement { external_ref: None, ..settlement() },
            BankSettlement { amount: Money::new(Minor::new(101), Currency::USD), ..settlement() },
            BankSettlement { effective_date: NaiveDate::MAX, ..settlement() },
            BankSettlement { loan_id: LoanId(Uuid::nil()), ..settlement() },
        ] {
            assert_ne!(of(other.clone()), of(settlement()), "{other:?}");
        }
        assert_eq!(of(settlement()), of(settlement()));
    }
}
