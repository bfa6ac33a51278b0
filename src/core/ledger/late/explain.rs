//! Owns why money that came in was divided as it was: what it found where it stands in the life of its loan.
//!
//! A split is posted with its money, and again by every late event that changes it. Each time it follows from the loan's
//! [`Position`] in front of the money's place, as the loan's postings told it when the split was posted. So a payment of a
//! day whose interest was computed finds the loan in front of that interest, and one behind a charge-off what stands on the
//! memo accounts. What the facts in front of it did is taken from their postings; none is judged again, so neither a rate
//! nor a program is asked for, and the check that comes of it is honest: where the waterfall makes another split of what the
//! money found than the ledger has, the ledger's is not explained.
//!
//! Of the days before the money's own nothing is needed but their sums. From the first day on that moved the memo accounts
//! each posting is: no account tells which buckets are owed on them.

use chrono::NaiveDate;

use crate::core::event::AcceptedEvent;
use crate::core::ledger::late::book::Book;
use crate::core::ledger::late::history::History;
use crate::core::ledger::late::sum::Sum;
use crate::core::ledger::posting::Posting;
use crate::core::ledger::rules::Refusal;
use crate::core::loan::{
    Allocation, Balances, BucketStep, Life, LoanState, LoanStatus, PaymentKind, Place, Position, ReplayTerms,
    Waterfall, explain,
};
use crate::core::money::{AmountOverflow, Minor};

/// What a loan's postings between two versions moved on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySum {
    /// Between which: 0 for those up to the first version that was asked for, 1 for those behind it up to the second.
    pub cut: usize,
    /// The day.
    pub date: NaiveDate,
    /// Fees, interest, principal and suspense. Wide: parts of a history may leave 64 bits.
    pub moved: [i128; 4],
    /// Whether any of them moved the memo accounts.
    pub has_memo: bool,
}

/// Money that came in for a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyIn {
    /// How much.
    pub amount: Minor,
    /// How it came.
    pub kind: PaymentKind,
    /// The day it counts from.
    pub date: NaiveDate,
    /// Its number among the loan's postings.
    pub version: i64,
}

/// A split with how it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitExplained {
    /// The order that the money followed.
    pub waterfall: Waterfall,
    /// Its steps, the first one first.
    pub steps: Vec<BucketStep>,
    /// What it comes to.
    pub split: Allocation,
    /// Whether the money found the loan charged off: then it pays what is owed on the memo accounts.
    pub is_recovery: bool,
    /// Whether something that was posted before the split stands behind the money.
    pub is_in_front: bool,
}

/// What is known of a loan around money that came in, version by version.
#[derive(Clone, Debug)]
pub struct Found {
    money: MoneyIn,
    versions: Vec<i64>,
    days: Vec<DaySum>,
}

impl Found {
    /// What is known by each of `versions`, which rise: what moved by day, cut at these versions.
    #[must_use]
    pub const fn new(money: MoneyIn, versions: Vec<i64>, days: Vec<DaySum>) -> Self {
        Self { money, versions, days }
    }

    /// The first day whose postings have to be told one by one, up to the money's own.
    #[must_use]
    pub fn since(&self) -> NaiveDate {
        let memo = self.days.iter().filter(|day| day.has_memo).map(|day| day.date).min();
        memo.map_or(self.money.date, |day| day.min(self.money.date))
    }

    /// The split of the money by what was known at the version with this number in the list. `rows` are the loan's
    /// postings that count from [`Self::since`] to the money's day; of those behind the version none counts.
    ///
    /// # Errors
    /// A [`Refusal`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn explain(
        &self,
        state: &LoanState,
        cut: usize,
        rows: &[(AcceptedEvent, Posting)],
    ) -> Result<SplitExplained, Refusal> {
        let MoneyIn { amount, kind, date, version } = self.money;
        let known = self.versions.get(cut).copied().unwrap_or(0);
        let is_known = |row: &&(AcceptedEvent, Posting)| row.1.loan_version.is_some_and(|version| version <= known);
        let rows = History::new(rows.iter().filter(is_known).cloned());
        // The book counts back from where the loan stands; here it is asked for the facts and their effects alone.
        let (balances, status) = (Balances::default(), LoanStatus::Open);
        let nothing = LoanState { balances, charged_off: None, status, ..*state };
        let book = Book::new(&nothing, &rows)?;
        let terms =
            ReplayTerms { waterfalls: state.waterfalls, suspense_release: state.suspense_release, interest: None };
        let start = Position { balances: self.before(cut)?, ..Position::default() };
        let facts = book.life.facts().map(|(fact, effect, release)| (*fact, *effect, release.copied()));
        let place = Place::of_posting(date, version);
        let position = Life::resume(terms, start, facts)?.position_before(place)?;
        let waterfall = position.order_for(kind, &state.waterfalls);
        let (steps, split) = explain(amount, &position.payable(), waterfall)?;
        let is_later = self.days.iter().any(|day| day.cut <= cut && day.date > date);
        let is_in_front = is_later || book.life.facts().any(|(fact, ..)| fact.place > place);
        Ok(SplitExplained { waterfall, steps, split, is_recovery: position.charged_off.is_some(), is_in_front })
    }

    /// The balances in front of the first day that is told one by one.
    fn before(&self, cut: usize) -> Result<Balances, AmountOverflow> {
        let since = self.since();
        let days = self.days.iter().filter(|day| day.cut <= cut && day.date < since);
        Sum::wide(days.map(|day| day.moved)).narrow()
    }
}
