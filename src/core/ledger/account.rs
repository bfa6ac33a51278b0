//! Owns the chart of accounts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text is not an account code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be four digits")]
pub struct AccountCodeError;

/// A four-digit account code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountCode(u16);

impl TryFrom<String> for AccountCode {
    type Error = AccountCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AccountCode> for String {
    fn from(code: AccountCode) -> Self {
        code.to_string()
    }
}

impl AccountCode {
    /// Cash.
    pub const CASH: Self = Self(1000);
    /// Money received that the bank has not settled yet.
    pub const PAYMENT_CLEARING: Self = Self(1010);
    /// Money lent that the bank has not settled yet.
    pub const DISBURSEMENT_CLEARING: Self = Self(1020);
    /// What a group moves from one loan to another: every group leaves it at zero, and it is shown in no entry.
    pub const LOAN_TRANSFER_CLEARING: Self = Self(1030);
    /// Principal Receivable.
    pub const PRINCIPAL_RECEIVABLE: Self = Self(1100);
    /// Allowance for Credit Losses.
    pub const ALLOWANCE: Self = Self(1150);
    /// Interest Receivable.
    pub const INTEREST_RECEIVABLE: Self = Self(1200);
    /// Fees Receivable.
    pub const FEES_RECEIVABLE: Self = Self(1300);
    /// Borrower Suspense.
    pub const BORROWER_SUSPENSE: Self = Self(2100);
    /// Unidentified Receipts.
    pub const UNIDENTIFIED_RECEIPTS: Self = Self(2200);
    /// Refunds Payable.
    pub const REFUNDS_PAYABLE: Self = Self(2300);
    /// Interest Income.
    pub const INTEREST_INCOME: Self = Self(4100);
    /// Opening Balances.
    pub const OPENING_BALANCES: Self = Self(3000);
    /// Interest Income Reversed.
    pub const INTEREST_REVERSED: Self = Self(4190);
    /// Fee Income.
    pub const FEE_INCOME: Self = Self(4200);
    /// Fee Income Reversed.
    pub const FEES_REVERSED: Self = Self(4290);
    /// Recovery Income.
    pub const RECOVERY_INCOME: Self = Self(4300);
    /// Charge-off Expense.
    pub const CHARGE_OFF_EXPENSE: Self = Self(5100);
    /// Fee Waiver Expense.
    pub const FEE_WAIVER_EXPENSE: Self = Self(5200);
    /// Charged-off Memo.
    pub const CHARGED_OFF_MEMO: Self = Self(9100);
    /// Memo Contra.
    pub const MEMO_CONTRA: Self = Self(9900);

    /// Reads `^[0-9]{4}$`.
    ///
    /// # Errors
    /// [`AccountCodeError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, AccountCodeError> {
        let well_formed = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| text.parse().ok()).flatten().map(Self).ok_or(AccountCodeError)
    }

    /// Whether what stands on it is the sum of what loans owe, or hold in suspense: only a loan's own events move it.
    #[must_use]
    pub fn is_of_loans(self) -> bool {
        [Self::PRINCIPAL_RECEIVABLE, Self::INTEREST_RECEIVABLE, Self::FEES_RECEIVABLE, Self::BORROWER_SUSPENSE]
            .contains(&self)
    }

    /// Whether what stands on it is money, or is owed to somebody outside: what it says has happened, and does not become
    /// less because a debt does.
    #[must_use]
    pub fn holds_money(self) -> bool {
        [
            Self::CASH,
            Self::PAYMENT_CLEARING,
            Self::DISBURSEMENT_CLEARING,
            Self::LOAN_TRANSFER_CLEARING,
            Self::UNIDENTIFIED_RECEIPTS,
            Self::REFUNDS_PAYABLE,
        ]
        .contains(&self)
    }

    /// Wraps a stored number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| *number <= 9999).map(Self)
    }

    /// The stored number.
    #[must_use]
    pub fn number(self) -> i16 {
        i16::try_from(self.0).unwrap_or(i16::MAX)
    }
}

impl fmt::Display for AccountCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

impl fmt::Debug for AccountCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// The side on which an account grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalBalance {
    /// Assets and expenses.
    Debit,
    /// Liabilities, equity and income.
    Credit,
}

impl NormalBalance {
    /// `DR` or `CR`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "DR",
            Self::Credit => "CR",
        }
    }

    /// Reads `DR` or `CR`; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Debit, Self::Credit].into_iter().find(|side| side.as_str() == text)
    }
}

/// One account of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its code.
    pub code: AccountCode,
    /// Its name.
    pub name: &'static str,
    /// The side on which it grows.
    pub normal: NormalBalance,
}

const fn account(code: u16, name: &'static str, normal: NormalBalance) -> Account {
    Account { code: AccountCode(code), name, normal }
}

/// The default chart, in code order.
pub const CHART: [Account; 21] = [
    account(1000, "Cash", NormalBalance::Debit),
    account(1010, "Payment Clearing", NormalBalance::Debit),
    account(1020, "Disbursement Clearing", NormalBalance::Credit),
    account(1030, "Loan Transfer Clearing", NormalBalance::Debit),
    account(1100, "Principal Receivable", NormalBalance::Debit),
    account(1150, "Allowance for Credit Losses", NormalBalance::Credit),
    account(1200, "Interest Receivable", NormalBalance::Debit),
    account(1300, "Fees Receivable", NormalBalance::Debit),
    account(2100, "Borrower Suspense", NormalBalance::Credit),
    account(2200, "Unidentified Receipts", NormalBalance::Credit),
    account(2300, "Refunds Payable", NormalBalance::Credit),
    account(3000, "Opening Balances", NormalBalance::Credit),
    account(4100, "Interest Income", NormalBalance::Credit),
    account(4190, "Interest Income Reversed", NormalBalance::Debit),
    account(4200, "Fee Income", NormalBalance::Credit),
    account(4290, "Fee Income Reversed", NormalBalance::Debit),
    account(4300, "Recovery Income", NormalBalance::Credit),
    account(5100, "Charge-off Expense", NormalBalance::Debit),
    account(5200, "Fee Waiver Expense", NormalBalance::Debit),
    account(9100, "Charged-off Memo", NormalBalance::Debit),
    account(9900, "Memo Contra", NormalBalance::Credit),
];

/// The account of a code; `None` where the chart has none.
#[must_use]
pub fn account_of(code: AccountCode) -> Option<&'static Account> {
    CHART.iter().find(|account| account.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_four_digits_and_the_chart_is_in_order() {
        assert_eq!(AccountCode::parse("1010"), Ok(AccountCode::PAYMENT_CLEARING));
        for bad in ["", "101", "10100", "1O10", "+101", "１０１０"] {
            assert_eq!(AccountCode::parse(bad), Err(AccountCodeError), "{bad}");
        }
        assert!(CHART.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(account_of(AccountCode::PRINCIPAL_RECEIVABLE).unwrap().name, "Principal Receivable");
    }
}
