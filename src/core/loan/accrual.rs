//! Owns which days of a loan bear interest that is booked, and what the others come to.
//!
//! Every day is accrued once. An accrual of day D covers the days up to and including D that no accrual of an earlier day
//! covers, whether its interest was computed or came from the caller. So what it covers follows from the days of the
//! accruals that stand, and not from the order in which they came: where one is taken back, the next one by its day has
//! its days as well, or where there is none yet, the next that comes. Of one day, interest that a caller gave stands in
//! front of what is computed, and has its days.
//!
//! The interest of open days is what they add to the total since the loan's first day ([`Accruing`]), by the principal as
//! it is known today. An accrual whose interest was computed is a fact of which only the day is fixed: where an item comes
//! late that moves principal before its end, or that is an accrual itself, the replay says what it comes to now
//! ([`Deed::Accrues`](crate::core::loan::Deed)), and it is restated like a payment. Interest that a caller gave stays
//! what it was given as.
//!
//! So that a loan's past need not be read for every day of it, an accrual leaves an [`AccrualMark`]: how far the loan is
//! accrued, and what the next accrual needs of the days before. A mark only spares reading: without it, or where
//! something came that it does not know of, the same cents come out of the whole past. A replay goes on from a mark as
//! well, from one in front of the late item.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::loan::accruing::Accruing;
use crate::core::loan::interest::{Carried, InterestError, InterestRule};
use crate::core::money::Minor;

/// How far a loan is accrued: every day before `until` is covered by an accrual, and none from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccrualMark {
    /// The first day that is not covered.
    pub until: NaiveDate,
    /// The first day of the stretch of unchanged principal that reaches `until`.
    pub since: NaiveDate,
    /// The principal of that stretch.
    pub principal: Minor,
    /// Exact interest of the days before that stretch.
    pub carried: Carried,
}

/// What the interest of a loan is computed from: what moved its principal, and its accruals; all of them that count from
/// before some day, or those of them that came after a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccrualBook {
    mark: Option<AccrualMark>,
    principal: Vec<(NaiveDate, Minor)>,
    /// The first day behind the accruals that stand.
    covered_until: Option<NaiveDate>,
    /// Whether there may be accruals that the mark does not know of.
    is_doubted: bool,
}

impl AccrualBook {
    /// A book that goes on from a mark.
    #[must_use]
    pub const fn since(mark: AccrualMark) -> Self {
        Self { mark: Some(mark), principal: Vec::new(), covered_until: None, is_doubted: false }
    }

    /// Whether what was noted since the mark leaves it good: no accrual, and no principal that counts from a day before
    /// its end. Otherwise the loan's whole past decides.
    #[must_use]
    pub fn holds(&self) -> bool {
        let is_later = |mark: AccrualMark| self.principal.iter().all(|(date, _)| *date >= mark.until);
        self.mark.is_none_or(|mark| !self.is_doubted && is_later(mark))
    }

    /// Notes what moved principal on an effective date; signed, in any order, a date more than once.
    pub fn note_principal(&mut self, date: NaiveDate, movement: Minor) {
        if !movement.is_zero() {
            self.principal.push((date, movement));
        }
    }

    /// Notes the day of an accrual that stands, in any order. That of the latest day says all.
    pub fn note_accrual(&mut self, date: NaiveDate) {
        self.covered_until = self.covered_until.max(Some(date.succ_opt().unwrap_or(date)));
    }

    /// Notes that an accrual may have come, or gone, since the mark.
    pub const fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Where the loan's interest stands behind all of this.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn accruing(&self, rule: &InterestRule) -> Result<Accruing, InterestError> {
        self.accruing_before(rule, NaiveDate::MAX)
    }

    /// The same without the principal that moves on a day or later.
    fn accruing_before(&self, rule: &InterestRule, end: NaiveDate) -> Result<Accruing, InterestError> {
        let mut days: BTreeMap<NaiveDate, i128> = BTreeMap::new();
        for (date, movement) in self.principal.iter().filter(|(date, _)| *date < end) {
            let sum = days.entry(*date).or_default();
            // 2^64 movements of 64 bits cannot leave 128 bits.
            *sum = sum.saturating_add(i128::from(movement.units()));
        }
        let mut covered = self.covered_until;
        let mut at = self.mark.map_or(Accruing::START, |mark| Accruing::since(&mark, rule));
        for (date, sum) in days {
            if let Some(until) = covered.take_if(|until| *until <= date) {
                at = at.covered(rule, until)?;
            }
            let sum = i64::try_from(sum).map(Minor::new).map_err(|_| InterestError::OutOfRange)?;
            at = at.moved(rule, date, sum)?;
        }
        covered.map_or(Ok(at), |until| at.covered(rule, until))
    }

    /// What the open days before `until` come to.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn open_interest(&self, rule: &InterestRule, until: NaiveDate) -> Result<Minor, InterestError> {
        self.accruing_before(rule, until)?.interest(rule, until)
    }

    /// The mark that an accrual of the open days before `until` leaves; `None` where days from `until` on are covered
    /// already or principal moves on one of them, which a mark does not tell: the next accrual reads only what was posted
    /// after the mark, whatever day it counts from.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn mark_at(&self, rule: &InterestRule, until: NaiveDate) -> Result<Option<AccrualMark>, InterestError> {
        let is_beyond = self.mark.map(|mark| mark.until).max(self.covered_until) > Some(until);
        if is_beyond || self.principal.iter().any(|(date, _)| *date >= until) {
            return Ok(None);
        }
        self.accruing(rule)?.mark(rule, until).map(Some)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]
mod tests;
