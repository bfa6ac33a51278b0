//! Owns the state of a loan between two events.

use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::ids::{BorrowerId, LoanId, LoanKey, ProgramId, Seq, TenantId};
use crate::core::loan::balances::Balances;
use crate::core::loan::charge_off::ChargedOff;
use crate::core::loan::waterfall::Waterfall;
use crate::core::loan::waterfalls::{PaymentKind, Waterfalls};
use crate::core::money::Currency;
use crate::core::time::Timestamp;

/// A stored word is not a loan status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown loan status")]
pub struct UnknownLoanStatus;

/// Where a loan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoanStatus {
    /// Takes events. A paid-off loan stays open: an overpayment goes to suspense.
    Open,
    /// Charged off, and the borrower still owes: what is paid is a recovery; nothing more can be charged.
    ChargedOff,
    /// Written off as uncollectible: closed to all but recoveries, returns and reversals, from its day on.
    WrittenOff,
}

impl LoanStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Open, Self::ChargedOff, Self::WrittenOff];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ChargedOff => "charged_off",
            Self::WrittenOff => "written_off",
        }
    }
}

impl FromStr for LoanStatus {
    type Err = UnknownLoanStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownLoanStatus)
    }
}

/// A stored word is not a way to release suspense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be manual or automatic")]
pub struct UnknownSuspenseRelease;

/// What becomes of money in suspense when new debt arises (domain decision D6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspenseRelease {
    /// It waits until somebody applies it.
    #[default]
    Manual,
    /// It pays the debt, on the day the debt arises.
    Automatic,
}

impl SuspenseRelease {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Manual, Self::Automatic];

    /// The word in requests and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
}

impl FromStr for SuspenseRelease {
    type Err = UnknownSuspenseRelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|release| release.as_str() == text).ok_or(UnknownSuspenseRelease)
    }
}

/// Whether a loan is open or charged off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub status: LoanStatus,
    /// Its charge-off, while that stands.
    pub charged_off: Option<ChargedOff>,
}

/// What few postings change: a store writes it apart from the balances, where it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanTerms {
    /// Its program.
    pub program_id: Option<ProgramId>,
    /// Whether it takes events.
    pub status: LoanStatus,
    /// The orders in which payments pay.
    pub waterfalls: Waterfalls,
    /// Its charge-off, while that stands.
    pub charged_off: Option<ChargedOff>,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: SuspenseRelease,
}

/// Everything the posting of one loan's next event depends on. One row of `loans`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanState {
    /// Key, lock order and slot.
    pub key: LoanKey,
    /// Whose loan.
    pub tenant: TenantId,
    /// The tenant's id of it.
    pub loan_id: LoanId,
    /// Who owes.
    pub borrower_id: BorrowerId,
    /// The program it belongs to.
    pub program_id: Option<ProgramId>,
    /// Its only currency.
    pub currency: Currency,
    /// Its first day.
    pub opened_on: NaiveDate,
    /// Where it stands.
    pub status: LoanStatus,
    /// Its charge-off, while that stands.
    pub charged_off: Option<ChargedOff>,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: SuspenseRelease,
    /// What it owes after everything posted.
    pub balances: Balances,
    /// How payments are divided.
    pub waterfalls: Waterfalls,
    /// How many postings it has; they are numbered 1 to this without a gap.
    pub version: i64,
    /// The greatest `seq` posted, system events not counted.
    pub last_posted_seq: Seq,
    /// The latest day anything posted counts from; behind interest that was computed for that day, the next. An item dated
    /// before it is backdated.
    pub greatest_effective_date: NaiveDate,
    /// When the last posting was made; the next is never earlier.
    pub last_posted_at: Timestamp,
    /// Hash of the last posting.
    pub chain_head: [u8; 32],
}

impl LoanState {
    /// A loan before its first posting. The posting that opens it sets everything that can still change.
    #[must_use]
    pub fn unopened(
        (key, tenant): (LoanKey, TenantId),
        (loan_id, borrower_id): (LoanId, BorrowerId),
        currency: Currency,
        opened_on: NaiveDate,
    ) -> Self {
        Self {
            key,
            tenant,
            loan_id,
            borrower_id,
            program_id: None,
            currency,
            opened_on,
            status: LoanStatus::Open,
            charged_off: None,
            suspense_release: SuspenseRelease::default(),
            balances: Balances::default(),
            waterfalls: Waterfalls::default(),
            version: 0,
            last_posted_seq: Seq(0),
            greatest_effective_date: opened_on,
            last_posted_at: Timestamp::EPOCH,
            chain_head: [0; 32],
        }
    }

    /// The order that money of a kind follows on the loan as it stands.
    #[must_use]
    pub fn order_for(&self, kind: PaymentKind) -> Waterfall {
        self.waterfalls.order(kind, self.status)
    }

    /// What few postings change.
    #[must_use]
    pub const fn terms(&self) -> LoanTerms {
        LoanTerms {
            program_id: self.program_id,
            status: self.status,
            waterfalls: self.waterfalls,
            charged_off: self.charged_off,
            suspense_release: self.suspense_release,
        }
    }
}
