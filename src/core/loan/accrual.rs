//! Owns which days of a loan bear interest that is booked, and what the others come to.
//!
//! Every day is accrued once. An accrual of day D covers the days up to and including D that no accrual before it
//! covers, whether its interest was computed or came from the caller; an accrual that is taken back leaves its days
//! open again, and so they are caught up with by the next one. What an accrual covers therefore follows from what is
//! stored: the accruals of the loan in the order of their postings, and which of them were taken back when.
//!
//! The interest of open days is what they add to the total since the loan's first day ([`InterestTerms::accrued`]), by
//! the principal as it is known today. An accrual that was booked on another principal, because an item came late, is
//! not mended here.
//!
//! So that a loan's past need not be read for every day of it, an accrual leaves an [`AccrualMark`]: how far the loan is
//! accrued, and what the next accrual needs of the days before. A mark only spares reading: without it, or where
//! something came that it does not know of, the same cents come out of the whole past.
//!
//! [`InterestTerms::accrued`]: crate::core::loan::InterestTerms::accrued

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::loan::day_count::DaySpan;
use crate::core::loan::interest::{Carried, InterestError, InterestRule, Segment, segments};
use crate::core::loan::rate::AnnualRate;
use crate::core::money::Minor;

/// An accrual in a loan's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostedAccrual {
    /// Its number among the loan's postings.
    pub version: i64,
    /// The day it was made for.
    pub date: NaiveDate,
    /// The number of the posting that took it back.
    pub undone: Option<i64>,
}

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

/// What the interest of a loan is computed from: what moved its principal, and its accruals; all of them, or those that
/// came after a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccrualBook {
    mark: Option<AccrualMark>,
    principal: Vec<(NaiveDate, Minor)>,
    accruals: Vec<PostedAccrual>,
}

impl AccrualBook {
    /// A book that goes on from a mark.
    #[must_use]
    pub const fn since(mark: AccrualMark) -> Self {
        Self { mark: Some(mark), principal: Vec::new(), accruals: Vec::new() }
    }

    /// Whether what was noted since the mark leaves it good: no accrual, and no principal that counts from a day before
    /// its end. Otherwise the loan's whole past decides.
    #[must_use]
    pub fn holds(&self) -> bool {
        let is_later = |mark: AccrualMark| self.principal.iter().all(|(date, _)| *date >= mark.until);
        self.mark.is_none_or(|mark| self.accruals.is_empty() && is_later(mark))
    }

    /// Notes what moved principal on an effective date; signed, in any order, a date more than once.
    pub fn note_principal(&mut self, date: NaiveDate, movement: Minor) {
        if !movement.is_zero() {
            self.principal.push((date, movement));
        }
    }

    /// Notes an accrual, in any order. Where none was taken back, the one of the latest day says all.
    pub fn note_accrual(&mut self, accrual: PostedAccrual) {
        self.accruals.push(accrual);
    }

    /// The stretches of unchanged principal up to a day.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn segments(&self, rate: AnnualRate, until: NaiveDate) -> Result<Vec<Segment>, InterestError> {
        let before = self.mark.map(|mark| (mark.since, mark.principal));
        segments(before.into_iter().chain(self.principal.iter().copied()), rate, until)
    }

    /// The days before `until` that bear interest which is not booked: from the first day that had principal, in order.
    #[must_use]
    pub fn open_days(&self, until: NaiveDate) -> Vec<DaySpan> {
        let first = match self.mark {
            Some(mark) => Some(mark.until),
            None => self.principal.iter().map(|(date, _)| *date).min(),
        };
        let asked = first.filter(|first| *first < until).and_then(|first| DaySpan::new(first, until));
        asked.map_or_else(Vec::new, |asked| without(vec![asked], &self.covered()))
    }

    /// What the open days before `until` come to.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn open_interest(&self, rule: &InterestRule, until: NaiveDate) -> Result<Minor, InterestError> {
        let segments = self.segments(rule.rate, until)?;
        let days = self.open_days(until).into_iter();
        days.map(|days| rule.terms.accrued(self.carried(), &segments, days))
            .try_fold(Minor::ZERO, |sum, interest| Ok(sum.plus(interest?)?))
    }

    /// The mark that an accrual of the open days before `until` leaves; `None` where days from `until` on are covered
    /// already or principal moves on one of them, which a mark does not tell: the next accrual reads only what was posted
    /// after the mark, whatever day it counts from.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn mark_at(&self, rule: &InterestRule, until: NaiveDate) -> Result<Option<AccrualMark>, InterestError> {
        let is_beyond = self.mark.is_some_and(|mark| mark.until > until);
        let is_ahead = self.principal.iter().any(|(date, _)| *date >= until);
        if is_beyond || is_ahead || self.covered().iter().any(|days| days.until() > until) {
            return Ok(None);
        }
        let segments = self.segments(rule.rate, until)?;
        let (since, principal) =
            segments.last().map_or((until, Minor::ZERO), |last| (last.days.from(), last.principal));
        let carried = rule.terms.carry(self.carried(), &segments, since)?;
        Ok(Some(AccrualMark { until, since, principal, carried }))
    }

    fn carried(&self) -> Carried {
        self.mark.map_or(Carried::NOTHING, |mark| mark.carried)
    }

    /// The days that accruals cover which stand.
    fn covered(&self) -> Vec<DaySpan> {
        let mut turns: BTreeMap<i64, Turn> = BTreeMap::new();
        for accrual in &self.accruals {
            turns.insert(accrual.version, Turn::Accrued(accrual.date));
            turns.extend(accrual.undone.map(|undone| (undone, Turn::TakenBack(accrual.version))));
        }
        let mut covered = Vec::new();
        let mut own: BTreeMap<i64, Vec<DaySpan>> = BTreeMap::new();
        for (version, turn) in turns {
            match turn {
                Turn::Accrued(date) => {
                    let days = without(up_to(date), &covered);
                    covered = union(covered, days.clone());
                    own.insert(version, days);
                }
                Turn::TakenBack(accrual) => {
                    let days = own.remove(&accrual).unwrap_or_default();
                    covered = without(covered, &days);
                }
            }
        }
        covered
    }
}

/// What a posting does to the days that are covered.
enum Turn {
    /// It covers days up to one.
    Accrued(NaiveDate),
    /// It takes the accrual of this version back.
    TakenBack(i64),
}

/// All days up to and including one.
fn up_to(date: NaiveDate) -> Vec<DaySpan> {
    let until = date.succ_opt().unwrap_or(date);
    DaySpan::new(NaiveDate::MIN, until).into_iter().collect()
}

/// Both, in order, where they have no day in common.
fn union(one: Vec<DaySpan>, other: Vec<DaySpan>) -> Vec<DaySpan> {
    let mut days: Vec<DaySpan> = one.into_iter().chain(other).collect();
    days.sort_unstable_by_key(|span| span.from());
    let mut joined: Vec<DaySpan> = Vec::with_capacity(days.len());
    for span in days {
        match joined.last_mut() {
            Some(last) if last.until() == span.from() => {
                *last = DaySpan::new(last.from(), span.until()).unwrap_or(span);
            }
            Some(_) | None => joined.push(span),
        }
    }
    joined
}

/// The days of one list that are not in the other; both in order.
fn without(days: Vec<DaySpan>, taken: &[DaySpan]) -> Vec<DaySpan> {
    let mut left = days;
    for gone in taken {
        let parts = left.iter().flat_map(|span| {
            let before = DaySpan::new(span.from(), span.until().min(gone.from()));
            let after = DaySpan::new(span.from().max(gone.until()), span.until());
            before.into_iter().chain(after)
        });
        left = parts.filter(|span| span.from() < span.until()).collect();
    }
    left
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]
mod tests;
