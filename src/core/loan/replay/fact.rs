//! Owns facts: what was asked of a loan, and where it stands in the loan's life.

use chrono::NaiveDate;

use crate::core::ids::Seq;
use crate::core::loan::balances::Balances;
use crate::core::loan::charge_off::LossAccount;
use crate::core::loan::state::LoanStatus;
use crate::core::loan::waterfall::Waterfall;
use crate::core::loan::waterfalls::PaymentKind;
use crate::core::money::Minor;

/// Which part of its day a fact belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turn {
    /// What was asked of that day, in the order in which it was posted; interest that somebody gave as well.
    Event,
    /// Interest that is computed for the day, by the principal at its end: the next day's payments find it.
    Close,
}

/// Where a fact stands; the order of the fields is the order of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The day it counts from.
    pub date: NaiveDate,
    /// Which part of the day.
    pub turn: Turn,
    /// The order of acceptance: of the fact itself or, for a consequence, of its cause.
    pub seq: Seq,
    /// Its number among the loan's postings: consequences stand behind their cause.
    pub version: i64,
}

impl Place {
    /// Where a posting stands: on its day, in the order of its loan's postings.
    #[must_use]
    pub const fn of_posting(date: NaiveDate, version: i64) -> Self {
        Self { date, turn: Turn::Event, seq: Seq(0), version }
    }
}

/// In which order a payment that goes back is owed again (domain rule 46): the order of a waterfall.
pub type CreditOrder = Waterfall;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The balances move by so much: money lent, a fee, interest, suspense refunded, a fee waived. Where a bucket holds
    /// less than is taken from it, and where the loan is charged off, see the module.
    Moves(Balances),
    /// The balances move by so much on somebody's word, and what is taken of interest is at most what is there.
    Adjusts {
        /// How they are to move.
        asked: Balances,
        /// What accounts outside the loan bear of it: it is lowered first where there is less interest.
        borne: Minor,
    },
    /// Interest of all days before one that no earlier accrual covers.
    Accrues {
        /// How much, where somebody said so; else what the days come to by the principal of each.
        interest: Option<Minor>,
        /// The first day that is not covered.
        until: NaiveDate,
    },
    /// Money came in.
    Pays {
        /// How much.
        amount: Minor,
        /// How it came: that decides in which order it pays.
        kind: PaymentKind,
    },
    /// Suspense pays what is owed: at most so much, or all there is.
    Applies(Option<Minor>),
    /// All that is owed leaves the balance sheet.
    ChargesOff {
        /// Who bears the loss.
        loss: LossAccount,
        /// Where the loan stands afterwards.
        status: LoanStatus,
    },
    /// A part of a payment goes back on a later day, and is owed again from then on: out of suspense first, then bucket
    /// by bucket, in each at most what the payment paid there and was not put back before.
    ChargesBack {
        /// The payment.
        of: Place,
        /// How much.
        amount: Minor,
        /// Which bucket first.
        order: CreditOrder,
    },
}

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Where it stands.
    pub place: Place,
    /// What was asked.
    pub deed: Deed,
    /// Whether suspense pays the debt it brings, where the loan's program says that suspense does so by itself.
    pub releases_suspense: bool,
}
