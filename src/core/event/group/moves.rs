//! Owns what a refinance or a restructure moves: an amount from one bucket of the old loan to one of the new. So every
//! cent has a name, on both sides.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::event::command::{LoanNumber, ProgramDefaults};
use crate::core::event::kind::EventKind;
use crate::core::ids::ProgramId;
use crate::core::loan::Waterfall;
use crate::core::money::Minor;

/// A text is not a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be fees, interest, principal or suspense")]
pub struct UnknownMovedBucket;

/// What a loan owes, or what of the borrower's money waits unapplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedBucket {
    /// Unpaid fees.
    Fees,
    /// Accrued, unpaid interest.
    Interest,
    /// Principal outstanding.
    Principal,
    /// Money in suspense.
    Suspense,
}

impl MovedBucket {
    /// Every bucket.
    pub const ALL: [Self; 4] = [Self::Fees, Self::Interest, Self::Principal, Self::Suspense];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fees => "fees",
            Self::Interest => "interest",
            Self::Principal => "principal",
            Self::Suspense => "suspense",
        }
    }

    /// Whether what stands in this bucket may go to another: to the same, or, capitalised, from fees and interest to
    /// principal.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        self == to || (to == Self::Principal && matches!(self, Self::Fees | Self::Interest))
    }
}

impl FromStr for MovedBucket {
    type Err = UnknownMovedBucket;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|bucket| bucket.as_str() == text).ok_or(UnknownMovedBucket)
    }
}

/// An amount that leaves one bucket for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The old loan's bucket.
    pub from: MovedBucket,
    /// The new loan's.
    pub to: MovedBucket,
    /// How much; more than nothing.
    pub amount_minor: Minor,
}

/// Why debt is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rearrangement {
    /// A loan is paid off by a new one: all it owes is moved.
    Refinance,
    /// What is owed is set up anew.
    Restructure,
}

impl Rearrangement {
    /// The kind of event.
    #[must_use]
    pub const fn kind(self) -> EventKind {
        match self {
            Self::Refinance => EventKind::Refinance,
            Self::Restructure => EventKind::Restructure,
        }
    }
}

/// The terms of a loan that a group opens, which takes the defaults of its program as a registered loan does; borrower and currency are the old loan's, its first day is the group's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLoanTerms {
    /// The lender's number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loan_number: Option<LoanNumber>,
    /// The program whose defaults it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_id: Option<ProgramId>,
    /// The order payments are allocated in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waterfall: Option<Waterfall>,
    /// The program's defaults; `None` where it is not described. No part of the request: acceptance finds them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_defaults: Option<ProgramDefaults>,
}
