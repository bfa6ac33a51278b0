//! Owns the check of loans: whether a loan's row holds what its postings add up to, and whether their hashes link. Sums
//! over a portfolio do not tell of an error that another one makes up for; this names the loan.
//!
//! Loans are checked window by window in the order of their keys, each window in one snapshot with all its postings, so
//! what is posted meanwhile disturbs nothing. What is found is kept until the loan is found sound.

use std::collections::BTreeMap;

use crate::core::event::Fingerprint;
use crate::core::ids::{EventId, LoanId, LoanKey, TenantId};
use crate::core::ledger::{AccountCode, JournalEntry, Layer, Posting, chain_hash};
use crate::core::money::Currency;
use crate::core::time::Timestamp;

/// The most loans of a window.
pub(super) const LOANS_MAX: usize = 1000;
/// The most postings of a window, unless one loan has more: what is read in less than a second.
pub(super) const POSTINGS_MAX: i64 = 50_000;

/// A stored word is not a sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be balance or chain")]
pub struct UnknownLoanFault;

/// What a loan is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoanFaultKind {
    /// Its row holds other balances than its lines add up to.
    Balance,
    /// Its postings are not those that were made: one is missing, or is not what its hash covers.
    Chain,
}

impl LoanFaultKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Balance, Self::Chain];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Chain => "chain",
        }
    }
}

impl std::str::FromStr for LoanFaultKind {
    type Err = UnknownLoanFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownLoanFault)
    }
}

/// What is wrong with a loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoanFault {
    /// Whose.
    pub tenant: TenantId,
    /// The loan's.
    pub currency: Currency,
    /// The loan.
    pub loan_key: LoanKey,
    /// As its tenant knows it.
    pub loan_id: LoanId,
    /// Which check it fails.
    pub kind: LoanFaultKind,
    /// The first event whose posting is not what its hash covers.
    pub event: Option<EventId>,
    /// For a person.
    pub detail: String,
}

/// A window of loans that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoansChecked {
    /// Where to go on; `None` after the last loan.
    pub next: Option<LoanKey>,
    /// When it was read.
    pub read_at: Timestamp,
    /// How many loans it has.
    pub loans: usize,
    /// How many faults they have.
    pub faults: usize,
    /// Those that were not known before.
    pub found: Vec<LoanFault>,
}

/// The faults of the loans of a tenant's books, as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoanFaults {
    /// Since when every loan was checked; `None` before the first time.
    pub checked_at: Option<Timestamp>,
    /// How many loans hold other balances than their lines add up to.
    pub balances: i64,
    /// How many loans have a broken chain.
    pub chains: i64,
    /// The first hundred of each sort, by loan.
    pub named: Vec<LoanFault>,
}

impl LoanFaults {
    /// The named ones of a sort.
    pub fn of(&self, kind: LoanFaultKind) -> impl Iterator<Item = &LoanFault> {
        self.named.iter().filter(move |fault| fault.kind == kind)
    }

    /// Adds a named one, with how many there are of its sort.
    pub(super) fn add(&mut self, fault: LoanFault, count: i64) {
        match fault.kind {
            LoanFaultKind::Balance => self.balances = count,
            LoanFaultKind::Chain => self.chains = count,
        }
        self.named.push(fault);
    }
}

/// As whose a loan is reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoanName {
    pub(super) id: LoanId,
    pub(super) tenant: TenantId,
    pub(super) currency: Currency,
}

/// A loan's row, as far as its postings say what it must hold.
#[derive(Clone, Debug)]
pub(super) struct CheckedLoan {
    pub(super) key: LoanKey,
    /// `None` where it cannot be read.
    pub(super) name: Option<LoanName>,
    pub(super) version: i64,
    pub(super) balances: [i128; 5],
    pub(super) head: [u8; 32],
}

/// A posting with the event it is of. What cannot be read is `None`: a fault of this loan, and the others are checked.
#[derive(Debug)]
pub(super) struct CheckedPosting {
    pub(super) key: LoanKey,
    /// The loan, as the event names it.
    pub(super) name: Option<LoanName>,
    pub(super) event: Option<EventId>,
    pub(super) version: i64,
    pub(super) stored: Option<[u8; 32]>,
    pub(super) fingerprint: Option<Fingerprint>,
    /// `None` where its lines cannot be read.
    pub(super) posting: Option<Posting>,
}

/// Cuts rows read in the order of their keys to a window, and says whether the window ends before the last loan.
pub(super) fn window(mut rows: Vec<CheckedLoan>) -> (Vec<CheckedLoan>, bool) {
    let (read, mut postings) = (rows.len(), 0_i64);
    let fits = rows.iter().take_while(|row| {
        postings = postings.saturating_add(row.version);
        postings <= POSTINGS_MAX
    });
    let fits = fits.count().max(1);
    rows.truncate(fits);
    let is_cut = rows.len() < read || read >= LOANS_MAX;
    (rows, is_cut)
}

/// Fees, interest, principal, suspense, and what is charged off and still owed.
fn add_lines(balances: &mut [i128; 5], entry: &JournalEntry) {
    if entry.layer() != Layer::Settled {
        return;
    }
    let [fees, interest, principal, suspense, memo] = balances;
    for line in entry.lines() {
        let signed = i128::from(line.signed.units());
        let (bucket, signed) = match line.account {
            AccountCode::FEES_RECEIVABLE => (&mut *fees, signed),
            AccountCode::INTEREST_RECEIVABLE => (&mut *interest, signed),
            AccountCode::PRINCIPAL_RECEIVABLE => (&mut *principal, signed),
            AccountCode::BORROWER_SUSPENSE => (&mut *suspense, signed.saturating_neg()),
            AccountCode::CHARGED_OFF_MEMO => (&mut *memo, signed),
            _ => continue,
        };
        *bucket = bucket.saturating_add(signed);
    }
}

/// Where the walk over a window's postings stands.
#[derive(Debug, Default)]
pub(super) struct LoanWalk {
    rows: BTreeMap<LoanKey, CheckedLoan>,
    at: Option<AtLoan>,
    faults: Vec<LoanFault>,
}

#[derive(Debug)]
struct AtLoan {
    key: LoanKey,
    /// The row's, where there is one: an event may have been changed.
    name: Option<LoanName>,
    row: Option<CheckedLoan>,
    version: i64,
    head: [u8; 32],
    balances: [i128; 5],
    broken: Option<(Option<EventId>, String)>,
}

impl AtLoan {
    fn new(key: LoanKey, row: Option<CheckedLoan>) -> Self {
        let name = row.as_ref().and_then(|row| row.name);
        let is_unreadable = row.is_some() && name.is_none();
        let broken = is_unreadable.then(|| (None, "its row cannot be read".to_owned()));
        Self { key, name, row, version: 0, head: [0; 32], balances: [0; 5], broken }
    }
}

impl LoanWalk {
    pub(super) fn new(rows: Vec<CheckedLoan>) -> Self {
        Self { rows: rows.into_iter().map(|row| (row.key, row)).collect(), ..Self::default() }
    }

    /// Takes the next posting, in the order of keys and versions.
    pub(super) fn step(&mut self, next: &CheckedPosting) {
        if self.at.as_ref().is_none_or(|at| at.key != next.key) {
            self.close();
            self.at = Some(AtLoan::new(next.key, self.rows.remove(&next.key)));
        }
        let Some(at) = &mut self.at else { return };
        at.name = at.name.or(next.name);
        if at.version.checked_add(1) != Some(next.version) && at.broken.is_none() {
            at.broken = Some((next.event, format!("version {} follows {}", next.version, at.version)));
        }
        if next.name.is_none() && at.broken.is_none() {
            at.broken = Some((next.event, format!("the event of version {} cannot be read", next.version)));
        }
        let covered = next.posting.as_ref().zip(next.fingerprint);
        let made = covered.map(|(posting, fingerprint)| chain_hash(&at.head, fingerprint, posting));
        if (made.is_none() || made != next.stored) && at.broken.is_none() {
            at.broken = Some((next.event, format!("the hash of version {} does not cover it", next.version)));
        }
        if let Some(entry) = next.posting.as_ref().and_then(|posting| posting.entry.as_ref()) {
            add_lines(&mut at.balances, entry);
        }
        (at.version, at.head) = (next.version, next.stored.unwrap_or_default());
    }

    /// What is wrong with the window's loans, by loan.
    pub(super) fn finish(mut self) -> Vec<LoanFault> {
        self.close();
        for (_, row) in std::mem::take(&mut self.rows) {
            self.at = Some(AtLoan::new(row.key, Some(row)));
            self.close();
        }
        self.faults.sort_by_key(|fault| (fault.loan_key, fault.kind));
        self.faults
    }

    /// Compares a loan's row with what its postings say.
    fn close(&mut self) {
        let Some(at) = self.at.take() else { return };
        let broken = at.broken.or_else(|| match &at.row {
            None => Some((None, format!("has {} postings and no row", at.version))),
            Some(row) if row.version != at.version => {
                Some((None, format!("is at version {} with {} postings", row.version, at.version)))
            }
            Some(row) if row.head != at.head => Some((None, "its head is not the hash of its last posting".to_owned())),
            Some(_) => None,
        });
        let loan_key = at.key;
        let Some(LoanName { id: loan_id, tenant, currency }) = at.name else {
            tracing::error!(loan.key = ?loan_key, "neither the row of a loan nor an event of it can be read");
            return;
        };
        let fault = |kind, event, detail| LoanFault { tenant, currency, loan_key, loan_id, kind, event, detail };
        if let Some((event, detail)) = broken {
            self.faults.push(fault(LoanFaultKind::Chain, event, detail));
        }
        if let Some(row) = at.row.filter(|row| row.balances != at.balances) {
            let told = |balances: [i128; 5]| balances.map(|balance| balance.to_string()).join("/");
            let detail = format!("holds {} where its lines say {}", told(row.balances), told(at.balances));
            self.faults.push(fault(LoanFaultKind::Balance, None, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn row(number: u128, version: i64) -> CheckedLoan {
        CheckedLoan {
            key: LoanKey::from_bytes(number.to_be_bytes()),
            name: Some(LoanName {
                id: LoanId(Uuid::from_u128(number)),
                tenant: TenantId(Uuid::nil()),
                currency: Currency::USD,
            }),
            version,
            balances: [0; 5],
            head: [0; 32],
        }
    }

    #[test]
    fn a_window_has_a_loan_at_least_and_ends_where_its_postings_are_many() {
        let (rows, is_cut) = window(vec![row(1, POSTINGS_MAX + 1), row(2, 1)]);
        assert_eq!((rows.len(), is_cut), (1, true));
        let (rows, is_cut) = window(vec![row(1, POSTINGS_MAX - 1), row(2, 1), row(3, 1)]);
        assert_eq!((rows.len(), is_cut), (2, true));
        assert!(!window(vec![row(1, 1), row(2, 1)]).1);
        assert_eq!(window(Vec::new()).0.len(), 0);
        assert!(window((0..1000).map(|number| row(number, 1)).collect()).1, "there may be more");
    }

    #[test]
    fn a_row_without_postings_holds_nothing() {
        assert_eq!(LoanWalk::new(vec![row(1, 0)]).finish(), []);
        let held = CheckedLoan { balances: [0, 0, 7, 0, 0], ..row(2, 0) };
        let faults = LoanWalk::new(vec![row(1, 3), held]).finish();
        let told: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.detail.as_str())).collect();
        let expected = [
            (LoanFaultKind::Chain, "is at version 3 with 0 postings"),
            (LoanFaultKind::Balance, "holds 0/0/7/0/0 where its lines say 0/0/0/0/0"),
        ];
        assert_eq!(told, expected);
    }
}
