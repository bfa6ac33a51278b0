//! Owns what is known of a loan's charge-off: when, at whose cost, and what the borrower still owes of it.
//!
//! After a charge-off the debt stands outside the balance sheet, on the memo accounts; a recovery pays it in the order
//! of the waterfall (domain rules 62 and 68).

use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::loan::allocation::Allocation;
use crate::core::loan::balances::Balances;
use crate::core::money::{AmountOverflow, Minor};

/// A stored word is not a loss account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown loss account")]
pub struct UnknownLossAccount;

/// Who bears the loss of principal, and gets what is recovered (domain 5.2: lenders without and with an allowance).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossAccount {
    /// The period: principal to 5100, recoveries to 4300.
    #[default]
    Expense,
    /// The allowance for credit losses, 1150, both ways.
    Allowance,
}

impl LossAccount {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Expense, Self::Allowance];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expense => "expense",
            Self::Allowance => "allowance",
        }
    }
}

impl FromStr for LossAccount {
    type Err = UnknownLossAccount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|account| account.as_str() == text).ok_or(UnknownLossAccount)
    }
}

/// Fees, interest and principal that stand on the memo accounts: never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// Fees charged off and still owed.
    pub fees: Minor,
    /// Interest charged off and still owed.
    pub interest: Minor,
    /// Principal charged off and still owed.
    pub principal: Minor,
}

impl Memo {
    /// What a recovery can pay.
    #[must_use]
    pub const fn payable(&self) -> Balances {
        Balances { fees: self.fees, interest: self.interest, principal: self.principal, suspense: Minor::ZERO }
    }

    /// All of it.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the sum leaves 64 bits.
    pub fn total(&self) -> Result<Minor, AmountOverflow> {
        Minor::sum([self.fees, self.interest, self.principal])
    }

    /// With a debt added, bucket by bucket.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a bucket or the sum leaves 64 bits.
    pub fn plus(&self, other: &Self) -> Result<Self, AmountOverflow> {
        let sum = Self {
            fees: self.fees.plus(other.fees)?,
            interest: self.interest.plus(other.interest)?,
            principal: self.principal.plus(other.principal)?,
        };
        sum.total().map(|_| sum)
    }

    /// Without what a recovery paid; a split that [`allocate`](super::allocate) made of [`Self::payable`] leaves no
    /// bucket negative.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a bucket leaves 64 bits.
    pub fn paid(&self, split: &Allocation) -> Result<Self, AmountOverflow> {
        Ok(Self {
            fees: self.fees.minus(split.fees)?,
            interest: self.interest.minus(split.interest)?,
            principal: self.principal.minus(split.principal)?,
        })
    }
}

/// A charge-off that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargedOff {
    /// The day it counts from.
    pub on: NaiveDate,
    /// Who bears the loss.
    pub loss: LossAccount,
    /// What is still owed of it.
    pub memo: Memo,
}
