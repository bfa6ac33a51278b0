//! Owns what groups do: the operation of a parent, and what it means for the loan of each leg.

use serde::{Deserialize, Serialize};

use crate::core::event::group::moves::{Move, NewLoanTerms, Rearrangement};
use crate::core::event::kind::EventKind;
use crate::core::event::reversal::ReversedEntry;
use crate::core::event::servicing::EarlierEvent;
use crate::core::ids::{EventId, ProgramId, Seq};
use crate::core::loan::InterestRule;
use crate::core::money::Minor;

/// What a group does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOperation {
    /// `POST /v1/accruals/batch`: interest of many loans.
    Accrual {
        /// The program whose loans they are.
        program_id: ProgramId,
        /// The contract's word for how days are counted.
        day_count_convention: String,
        /// How the program bears interest, where the caller leaves the interest of a loan to it. No part of the request:
        /// acceptance finds it out, and a program never changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<InterestRule>,
    },
    /// `POST /v1/suspense/transfers`: suspense of one loan becomes that of another.
    SuspenseTransfer,
    /// `POST /v1/receipts/{id}/assignment`: an unidentified receipt goes to its loan.
    ReceiptAssignment {
        /// The receipt.
        receipt_id: EventId,
    },
    /// `POST /v1/refinances`, `POST /v1/restructures`: what one loan owes becomes what another owes.
    Rearrangement {
        /// Which of the two.
        sort: Rearrangement,
        /// What is moved.
        moves: Vec<Move>,
    },
    /// `POST /v1/reversals`: a group's entry is taken back.
    Reversal(ReversedEntry),
}

/// What a group does to the loan of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegTerms {
    /// Interest earned.
    Accrual {
        /// What the caller says that the loan owes in principal on that day.
        outstanding_principal: Minor,
        /// The interest; computed by the program's rule where the caller leaves it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interest: Option<Minor>,
    },
    /// Suspense goes out: so much, or all of it.
    SuspenseOut {
        /// How much, where the caller says so; more than nothing.
        amount: Option<Minor>,
    },
    /// Suspense comes in.
    SuspenseIn,
    /// A receipt leaves the receipts without a loan.
    ReceiptOut {
        /// The receipt.
        receipt: EarlierEvent,
        /// Its amount.
        amount: Minor,
    },
    /// A receipt pays a loan.
    ReceiptIn {
        /// Its amount.
        amount: Minor,
    },
    /// What the old loan owes is moved, to another loan or to other buckets of its own.
    MovedOut {
        /// Why.
        sort: Rearrangement,
    },
    /// What the new loan owes from now on.
    MovedIn {
        /// Why.
        sort: Rearrangement,
        /// The terms of the loan, where this opens it.
        new_loan: Option<NewLoanTerms>,
    },
    /// A leg of another group is taken back.
    Reversal {
        /// That leg.
        leg: EarlierEvent,
        /// The payment whose split that leg had stated anew.
        restates: Option<Seq>,
    },
}

impl GroupOperation {
    /// The kind of event that a parent is.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Accrual { .. } => EventKind::Accrual,
            Self::SuspenseTransfer => EventKind::SuspenseTransferred,
            Self::ReceiptAssignment { .. } => EventKind::ReceiptAssigned,
            Self::Rearrangement { sort, .. } => sort.kind(),
            Self::Reversal(_) => EventKind::Reversal,
        }
    }

    /// The event of the entry that is taken back, and the first of its chain.
    #[must_use]
    pub const fn takes_back(&self) -> Option<&ReversedEntry> {
        if let Self::Reversal(reversed) = self { Some(reversed) } else { None }
    }

    /// How interest is computed that a leg leaves to it.
    #[must_use]
    pub const fn interest_rule(&self) -> Option<&InterestRule> {
        if let Self::Accrual { rule, .. } = self { rule.as_ref() } else { None }
    }

    /// The canonical text that a fingerprint covers: what was asked, and nothing that acceptance found out.
    pub(in crate::core::event) fn to_json(&self) -> String {
        let mut asked = self.clone();
        if let Self::Accrual { rule, .. } = &mut asked {
            *rule = None;
        }
        serde_json::to_string(&asked).unwrap_or_default()
    }

    /// The fields in which two operations differ.
    pub(super) fn differing(&self, other: &Self) -> Vec<&'static str> {
        if self.kind() != other.kind() {
            return vec!["operation"];
        }
        let asked = self.asked().into_iter().zip(other.asked());
        asked.filter(|(a, b)| a != b).map(|((name, _), _)| name).collect()
    }

    /// What the caller asked for beside day and legs, by the contract's names.
    fn asked(&self) -> Vec<(&'static str, Option<String>)> {
        match self {
            Self::Accrual { program_id, day_count_convention, rule: _ } => vec![
                ("program_id", Some(program_id.to_string())),
                ("day_count_convention", Some(day_count_convention.clone())),
            ],
            Self::SuspenseTransfer => Vec::new(),
            Self::ReceiptAssignment { receipt_id } => vec![("payment_event_id", Some(receipt_id.to_string()))],
            Self::Rearrangement { moves, .. } => vec![("moves", serde_json::to_string(moves).ok())],
            Self::Reversal(reversed) => vec![
                ("reverses_entry_id", Some(reversed.event.id.entry_id().to_string())),
                ("reason_code", Some(reversed.reason_code.as_str().to_owned())),
                ("reason_description", reversed.reason_description.clone()),
            ],
        }
    }

    /// What a request calls the day it counts from.
    pub(super) const fn date_field(&self) -> &'static str {
        match self {
            Self::Accrual { .. } => "accrual_date",
            Self::SuspenseTransfer
            | Self::ReceiptAssignment { .. }
            | Self::Rearrangement { .. }
            | Self::Reversal(_) => "effective_at",
        }
    }

    /// What a request calls that which the legs are made of.
    pub(super) const fn legs_field(&self) -> &'static str {
        match self {
            Self::Accrual { .. } => "loans",
            Self::SuspenseTransfer | Self::ReceiptAssignment { .. } | Self::Rearrangement { .. } => "loan_id",
            Self::Reversal(_) => "reverses_entry_id",
        }
    }
}

impl LegTerms {
    /// The kind of event that a leg is: its parent's.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Accrual { .. } => EventKind::Accrual,
            Self::SuspenseOut { .. } | Self::SuspenseIn => EventKind::SuspenseTransferred,
            Self::ReceiptOut { .. } | Self::ReceiptIn { .. } => EventKind::ReceiptAssigned,
            Self::MovedOut { sort } | Self::MovedIn { sort, .. } => sort.kind(),
            Self::Reversal { .. } => EventKind::Reversal,
        }
    }

    /// The amount that was said.
    pub(super) const fn amount(&self) -> Option<Minor> {
        match self {
            Self::Accrual { interest: amount, .. } | Self::SuspenseOut { amount } => *amount,
            Self::ReceiptOut { amount, .. } | Self::ReceiptIn { amount } => Some(*amount),
            Self::SuspenseIn | Self::MovedOut { .. } | Self::MovedIn { .. } | Self::Reversal { .. } => None,
        }
    }

    /// The terms of the loan that it makes where there is none.
    #[must_use]
    pub const fn new_loan(&self) -> Option<&NewLoanTerms> {
        match self {
            Self::MovedIn { new_loan, .. } => new_loan.as_ref(),
            Self::Accrual { .. }
            | Self::SuspenseOut { .. }
            | Self::SuspenseIn
            | Self::ReceiptOut { .. }
            | Self::ReceiptIn { .. }
            | Self::MovedOut { .. }
            | Self::Reversal { .. } => None,
        }
    }

    /// The earlier event whose standing decides what the leg does: it is read before the leg is judged.
    #[must_use]
    pub const fn names(&self) -> Option<EarlierEvent> {
        match self {
            Self::ReceiptOut { receipt, .. } => Some(*receipt),
            Self::Reversal { leg, .. } => Some(*leg),
            Self::Accrual { .. }
            | Self::SuspenseOut { .. }
            | Self::SuspenseIn
            | Self::ReceiptIn { .. }
            | Self::MovedOut { .. }
            | Self::MovedIn { .. } => None,
        }
    }

    /// The canonical text that a fingerprint covers: what was asked, and nothing that acceptance found out.
    pub(in crate::core::event) fn to_json(&self) -> String {
        let mut asked = self.clone();
        if let Self::MovedIn { new_loan: Some(terms), .. } = &mut asked {
            terms.program_defaults = None;
        }
        serde_json::to_string(&asked).unwrap_or_default()
    }
}
