//! Owns the scopes: what a token may be used for.

use std::fmt;

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Post payments, batches, files, returns, suspense applications.
    PaymentsWrite,
    /// Disbursements and their settlement.
    DisbursementsWrite,
    /// Accrual batches.
    AccrualsWrite,
    /// Reversals.
    ReversalsWrite,
    /// Fees, waivers, charge-offs, recoveries, adjustments.
    AdjustmentsWrite,
    /// Loans, programs, feeds, holds.
    LoansWrite,
    /// Balances, payoff, trial balance.
    BalancesRead,
    /// Journal entries, statements, loans, payments.
    LedgerRead,
    /// Reconciliation status.
    ReconciliationRead,
    /// Bank statements.
    ReconciliationWrite,
    /// Webhook endpoints.
    WebhooksWrite,
    /// Operations API and console.
    Ops,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 12] = [
        Self::PaymentsWrite,
        Self::DisbursementsWrite,
        Self::AccrualsWrite,
        Self::ReversalsWrite,
        Self::AdjustmentsWrite,
        Self::LoansWrite,
        Self::BalancesRead,
        Self::LedgerRead,
        Self::ReconciliationRead,
        Self::ReconciliationWrite,
        Self::WebhooksWrite,
        Self::Ops,
    ];

    /// The word in tokens and requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentsWrite => "hpts:payments:write",
            Self::DisbursementsWrite => "hpts:disbursements:write",
            Self::AccrualsWrite => "hpts:accruals:write",
            Self::ReversalsWrite => "hpts:reversals:write",
            Self::AdjustmentsWrite => "hpts:adjustments:write",
            Self::LoansWrite => "hpts:loans:write",
            Self::BalancesRead => "hpts:balances:read",
            Self::LedgerRead => "hpts:ledger:read",
            Self::ReconciliationRead => "hpts:reconciliation:read",
            Self::ReconciliationWrite => "hpts:reconciliation:write",
            Self::WebhooksWrite => "hpts:webhooks:write",
            Self::Ops => "hpts:ops",
        }
    }

    /// What it allows, for the description of the API.
    pub(crate) const fn purpose(self) -> &'static str {
        match self {
            Self::PaymentsWrite => "Post payments",
            Self::DisbursementsWrite => "Post disbursements and their settlement",
            Self::AccrualsWrite => "Post accrual batches",
            Self::ReversalsWrite => "Reverse entries",
            Self::AdjustmentsWrite => "Fees, waivers, charge-offs, recoveries and adjustments",
            Self::LoansWrite => "Register loans and programs, hold and release loans",
            Self::BalancesRead => "Read balances",
            Self::LedgerRead => "Read journal entries, loans and payments",
            Self::ReconciliationRead => "Read the reconciliation status",
            Self::ReconciliationWrite => "Bring bank statements",
            Self::WebhooksWrite => "Manage webhook endpoints",
            Self::Ops => "Operate the service",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    const fn bit(self) -> u16 {
        match self {
            Self::PaymentsWrite => 1,
            Self::DisbursementsWrite => 1 << 1,
            Self::AccrualsWrite => 1 << 2,
            Self::ReversalsWrite => 1 << 3,
            Self::AdjustmentsWrite => 1 << 4,
            Self::LoansWrite => 1 << 5,
            Self::BalancesRead => 1 << 6,
            Self::LedgerRead => 1 << 7,
            Self::ReconciliationRead => 1 << 8,
            Self::ReconciliationWrite => 1 << 9,
            Self::WebhooksWrite => 1 << 10,
            Self::Ops => 1 << 11,
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(u16);

impl ScopeSet {
    /// The known ones among some words.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().filter_map(Scope::parse).fold(Self::default(), Self::with)
    }

    /// With one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Whether it holds at least one of `scopes`.
    #[must_use]
    pub fn has_any(self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.0 & scope.bit() != 0)
    }

    /// Whether every scope of `other` is in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether there is none in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for ScopeSet {
    /// The words with blanks between, as in a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> =
            Scope::ALL.into_iter().filter(|scope| self.has_any(&[*scope])).map(Scope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_a_bit_of_its_own_and_reads_back() {
        let all = Scope::ALL.into_iter().fold(ScopeSet::default(), ScopeSet::with);
        assert_eq!(all.0.count_ones(), u32::try_from(Scope::ALL.len()).unwrap());
        assert_eq!(ScopeSet::of_words(all.to_string().split(' ')), all);
        let narrow = ScopeSet::of_words(["hpts:balances:read", "openid"]);
        assert!(all.covers(narrow) && !narrow.covers(all));
        assert!(narrow.has_any(&[Scope::Ops, Scope::BalancesRead]) && !narrow.has_any(&[Scope::Ops]));
    }
}
