//! Owns the shape of reconciliation: whether what was accepted is all there, and whether the sums of the books agree with
//! what they sum up.
//!
//! **Conservation**: accepted = posted + rejected + parked + held + in flight, over events with a slot. `accepted` is what
//! the intake counted in rows of its own, in the statement that took the events; the other side is counted from the
//! events. Events up to the sweeper's mark are counted once and remembered; a round looks at what came since.
//!
//! **Runs**: account totals against the lines of the postings, the principal of the general ledger against the sum of
//! the loans, and bank statements against the cash that the ledger has settled for their accounts.
//!
//! **Loans** are checked one by one beside it, see [`LoanFault`](crate::store::LoanFault).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::ids::{EventId, LoanKey, PaymentBatchId, TenantId, WorkerId};
use crate::core::ledger::{AccountCode, Layer};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::{AccountTotals, LoanFaults, LoansChecked, StoreError};

/// The most offenders and mismatches that are named.
pub(super) const NAMED_MAX: usize = 100;

/// Events of a tenant, or of an upload, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conservation {
    /// As the intake counted them.
    pub accepted: i64,
    /// In the books.
    pub posted: i64,
    /// Refused by a posting rule.
    pub rejected: i64,
    /// Waiting for a person.
    pub parked: i64,
    /// Waiting for a loan on hold.
    pub held: i64,
    /// On their way.
    pub in_flight: i64,
    /// Neither of these, though the sweeper is past them: the first hundred.
    pub lost: Vec<EventId>,
}

impl Conservation {
    /// Accepted events that are nowhere; negative where there are more events than were accepted. Must be zero.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let there = [self.posted, self.rejected, self.parked, self.held, self.in_flight];
        there.into_iter().fold(self.accepted, i64::saturating_sub)
    }

    /// Adds a count of a stored word; false for a word that is none.
    pub(crate) fn add(&mut self, word: &str, count: i64) -> bool {
        let sum = match word {
            "accepted" => &mut self.accepted,
            "posted" => &mut self.posted,
            "rejected" => &mut self.rejected,
            "parked" => &mut self.parked,
            "held" => &mut self.held,
            "in_flight" => &mut self.in_flight,
            // Counted nowhere, which is what makes the difference.
            "lost" => return true,
            _ => return false,
        };
        *sum = sum.saturating_add(count);
        true
    }
}

/// Which books a run looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReconciliationQuestion {
    /// Whose.
    pub tenant: TenantId,
    /// In this currency.
    pub currency: Currency,
    /// What is booked on or before this day.
    pub as_of: NaiveDate,
}

/// A sum of 128 bits, stored as decimal text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum(pub i128);

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.0.to_string()
    }
}

impl TryFrom<String> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// An account whose totals are not the sum of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountMismatch {
    /// As the books know it.
    pub account: i16,
    /// The layer's word.
    pub layer: String,
    /// Debits and credits of its totals.
    pub totals: (Sum, Sum),
    /// Debits and credits of its lines.
    pub lines: (Sum, Sum),
}

/// A bank statement beside the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankCheck {
    /// Which account at which bank, in the tenant's words.
    pub bank_account_ref: String,
    /// The day of the statement: the last one by the day of the run.
    pub statement_date: NaiveDate,
    /// What the bank says it holds.
    pub closing: Sum,
    /// What the ledger has settled for it by that day.
    pub cash: Sum,
    /// How many of its lines by that day wait for a person.
    #[serde(default)]
    pub open_lines: i64,
    /// What they come to.
    #[serde(default)]
    pub open: Sum,
}

impl BankCheck {
    /// What the bank holds beyond the ledger.
    #[must_use]
    pub fn difference(&self) -> i128 {
        self.closing.0.saturating_sub(self.cash.0)
    }

    /// Whether bank and ledger hold the same, and no line waits.
    #[must_use]
    pub fn is_reconciled(&self) -> bool {
        self.difference() == 0 && self.open_lines == 0
    }

    /// The comparison in one line, for operators.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { bank_account_ref, statement_date, closing, cash, open_lines, open } = self;
        let waits = if *open_lines == 0 { String::new() } else { format!("; {open_lines} open lines of {}", open.0) };
        format!("{bank_account_ref} on {statement_date}: {} at the bank, {} in the ledger{waits}", closing.0, cash.0)
    }
}

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// How many accounts have totals that are not the sum of their lines.
    pub mismatched_accounts: usize,
    /// The first hundred of them, by layer.
    pub mismatches: Vec<AccountMismatch>,
    /// Principal Receivable of the general ledger.
    pub gl_principal: Sum,
    /// The principal of all loans, without what is booked later.
    pub loans_principal: Sum,
    /// Where the two differ: the first hundred loans whose principal is not the sum of its lines.
    pub wrong_loans: Vec<uuid::Uuid>,
    /// Every bank account with a statement.
    pub banks: Vec<BankCheck>,
}

impl Findings {
    /// Whether the books agree with themselves. A bank may hold something else: that is [`Findings::open_banks`].
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.mismatched_accounts == 0 && self.gl_principal == self.loans_principal
    }

    /// The bank accounts that wait for somebody: for the end of an open line, for a statement, for a settlement that is under
    /// way. That is ordinary work, and no fault of the books.
    pub fn open_banks(&self) -> impl Iterator<Item = &BankCheck> {
        self.banks.iter().filter(|bank| !bank.is_reconciled())
    }

    /// What is wrong with the books, a line each, for operators.
    #[must_use]
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let account = |it: &AccountMismatch| {
            let ((debits, credits), (dr, cr)) = (it.totals, it.lines);
            let layer = &it.layer;
            let totals = format!("totals {} / {}, lines {} / {}", debits.0, credits.0, dr.0, cr.0);
            ("ledger_integrity", format!("account {:04} {layer}: {totals}", it.account))
        };
        let mut told: Vec<_> = self.mismatches.iter().map(account).collect();
        if self.gl_principal != self.loans_principal {
            let (ledger, loans) = (self.gl_principal.0, self.loans_principal.0);
            let named: Vec<String> = self.wrong_loans.iter().map(ToString::to_string).collect();
            let named = if named.is_empty() { String::new() } else { format!("; loans {}", named.join(", ")) };
            told.push(("portfolio_rollup", format!("principal {ledger} in the ledger, {loans} in the loans{named}")));
        }
        told
    }
}

/// A run, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconciliationRun {
    /// What it looked at.
    pub question: ReconciliationQuestion,
    /// When.
    pub checked_at: Timestamp,
    /// What it found.
    pub findings: Findings,
}

/// Debits and credits by account and layer.
pub(crate) type Sides = BTreeMap<(AccountCode, Layer), AccountTotals>;

/// What the statements of a run have read for one question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    /// The account totals by the day.
    pub(crate) totals: Sides,
    /// The lines of postings by the day.
    pub(crate) lines: Sides,
    /// The principal of all loans as they stand.
    pub(crate) loans: i128,
    /// Lines of Principal Receivable that are booked later, settled: debits less credits.
    pub(crate) later: i128,
    /// Bank statements beside their cash.
    pub(crate) banks: Vec<BankCheck>,
}

impl Readings {
    /// Compares what was read.
    pub(crate) fn judged(self) -> Findings {
        let keys = self.totals.keys().chain(self.lines.keys()).collect::<std::collections::BTreeSet<_>>();
        let mut accounts = std::collections::BTreeSet::new();
        let mut mismatches = Vec::new();
        for key in keys {
            let of = |sides: &Sides| sides.get(key).copied().unwrap_or_default();
            let (totals, lines) = (of(&self.totals), of(&self.lines));
            if totals == lines {
                continue;
            }
            accounts.insert(key.0);
            if mismatches.len() < NAMED_MAX {
                let sums = |of: AccountTotals| (Sum(of.debits), Sum(of.credits));
                let (account, layer) = (key.0.number(), key.1.as_str().to_owned());
                mismatches.push(AccountMismatch { account, layer, totals: sums(totals), lines: sums(lines) });
            }
        }
        let principal = self.totals.get(&(AccountCode::PRINCIPAL_RECEIVABLE, Layer::Settled)).copied();
        let principal = principal.unwrap_or_default();
        Findings {
            mismatched_accounts: accounts.len(),
            mismatches,
            gl_principal: Sum(principal.debits.saturating_sub(principal.credits)),
            loans_principal: Sum(self.loans.saturating_sub(self.later)),
            wrong_loans: Vec::new(),
            banks: self.banks,
        }
    }
}

/// What reconciliation needs of the store.
#[async_trait]
pub trait Reconciliation: Send + Sync {
    /// Takes or renews the reconciler's lease; false when another process has it.
    async fn take_reconciler(&self, worker: WorkerId, lease: Duration) -> Result<bool, StoreError>;

    /// Counts the next window of events below the sweeper's mark, at most 1,000,000: some two seconds. Only for the holder
    /// of the lease. True when everything up to the mark is counted.
    async fn count_on(&self) -> Result<bool, StoreError>;

    /// The conservation of every tenant, in one snapshot. Walks the events above what is counted.
    async fn conservation(&self) -> Result<BTreeMap<TenantId, Conservation>, StoreError>;

    /// The conservation of a tenant's upload, counted anew from its rows; `None` where there is no such upload.
    async fn batch_conservation(
        &self,
        tenant: TenantId,
        batch: PaymentBatchId,
    ) -> Result<Option<Conservation>, StoreError>;

    /// Every currency that a tenant's accounts, those at banks among them, are kept in.
    async fn ledger_currencies(&self) -> Result<Vec<(TenantId, Currency)>, StoreError>;

    /// Makes a run for each of these, in one snapshot, and keeps them. Reads every posting once.
    async fn reconcile(&self, of: Vec<ReconciliationQuestion>) -> Result<Vec<ReconciliationRun>, StoreError>;

    /// The latest run for these books.
    async fn latest_run(&self, of: ReconciliationQuestion) -> Result<Option<ReconciliationRun>, StoreError>;

    /// Checks the next loans after a key, in one snapshot: at most 1000, and at most 50,000 postings unless one loan has
    /// more. Keeps what it finds in the place of what was known of them; writes nothing where that is the same.
    async fn check_loans(&self, after: Option<LoanKey>) -> Result<LoansChecked, StoreError>;

    /// Notes that every loan was checked since an instant.
    async fn note_loans_checked(&self, since: Timestamp) -> Result<(), StoreError>;

    /// How many faults of loans are known, of all tenants: those of the last check of each loan.
    async fn count_loan_faults(&self) -> Result<u64, StoreError>;

    /// What is known to be wrong with the loans of these books.
    async fn loan_faults(&self, tenant: TenantId, currency: Currency) -> Result<LoanFaults, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_names_what_is_wrong() {
        let totals = AccountTotals { debits: 10, credits: 3 };
        let key = (AccountCode::PRINCIPAL_RECEIVABLE, Layer::Settled);
        let sound = Readings {
            totals: Sides::from([(key, totals)]),
            lines: Sides::from([(key, totals)]),
            loans: 9,
            later: 2,
            banks: Vec::new(),
        };
        let findings = sound.clone().judged();
        assert!(findings.is_ok() && findings.told().is_empty(), "{findings:?}");
        let lines = Sides::from([(key, AccountTotals { debits: 10, credits: 4 })]);
        let wrong = Readings { lines, ..sound.clone() }.judged();
        assert_eq!(
            wrong.told(),
            [("ledger_integrity", "account 1100 SETTLED: totals 10 / 3, lines 10 / 4".to_owned())]
        );
        let wrong = Readings { loans: 8, ..sound.clone() }.judged();
        let rollup = "principal 7 in the ledger, 6 in the loans".to_owned();
        assert_eq!(wrong.told(), [("portfolio_rollup", rollup)]);
        let bank = BankCheck {
            bank_account_ref: "OPS-1".to_owned(),
            statement_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            closing: Sum(5),
            cash: Sum(-1),
            open_lines: 2,
            open: Sum(6),
        };
        let open = Readings { banks: vec![bank], ..sound }.judged();
        assert!(open.is_ok() && open.told().is_empty(), "an open line is no fault of the books: {open:?}");
        let told: Vec<_> = open.open_banks().map(BankCheck::told).collect();
        assert_eq!(told, ["OPS-1 on 2026-05-01: 5 at the bank, -1 in the ledger; 2 open lines of 6"]);
        let text = serde_json::to_string(&open).unwrap();
        assert_eq!(serde_json::from_str::<Findings>(&text).unwrap(), open);
    }

    #[test]
    fn what_is_nowhere_is_the_difference() {
        let mut counts = Conservation::default();
        for (word, count) in [("accepted", 10), ("posted", 4), ("rejected", 1), ("parked", 1), ("held", 1)] {
            assert!(counts.add(word, count));
        }
        assert!(counts.add("in_flight", 2) && counts.add("lost", 1) && !counts.add("gone", 1));
        assert_eq!(counts.difference(), 1);
    }
}
