//! Owns where the interest of a loan stands on the way through its days: the one place that says what an accrual comes
//! to, whether it is booked in order or judged anew because something came late.
//!
//! Interest is the rounded total since the loan's first day less the rounded total of the days that are accrued already
//! (decision D4), so accruals always add up to the total, and neither a day nor a fraction is lost or doubled. All that
//! has to be known of the days before is one exact number, which does not grow with them.
//!
//! What moved principal on a day is taken together, in whatever order it comes: a stretch of unchanged principal ends
//! where a day as a whole changed it. That matters, as `30_360` is not additive.

use chrono::NaiveDate;

use crate::core::loan::accrual::AccrualMark;
use crate::core::loan::day_count::DaySpan;
use crate::core::loan::interest::{Carried, InterestError, InterestRule, Segment, TWO_MINOR};
use crate::core::loan::rounding::RoundingTime;
use crate::core::money::Minor;

/// Where the interest of a loan stands. Two that are equal come to the same interest for whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accruing {
    stretch: Stretch,
    /// What the latest day on which principal moved did to it; never nothing.
    moved: Option<(NaiveDate, Minor)>,
    booked: Booked,
}

/// Days of unchanged principal, up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    since: NaiveDate,
    principal: Minor,
    /// Interest of the days before it, as [`InterestRule::passed`] adds it up. Shifted together with the total that is
    /// booked, so it may be below nothing.
    before: i128,
}

/// What of the total is covered by accruals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Booked {
    /// So much.
    Total(Minor),
    /// The days before one that is not over: what moves principal on its eve is still part of it.
    Until(NaiveDate),
}

impl Accruing {
    /// Before the loan's first day.
    pub(super) const START: Self = Self {
        stretch: Stretch { since: NaiveDate::MIN, principal: Minor::ZERO, before: 0 },
        moved: None,
        booked: Booked::Total(Minor::ZERO),
    };

    /// From a mark on.
    pub(super) fn since(mark: &AccrualMark, rule: &InterestRule) -> Self {
        let before = match rule.terms.rounding.time {
            RoundingTime::Daily | RoundingTime::Once => i128::from(mark.carried.parts()),
            // Whole minor units are in front of the mark, and stay there.
            RoundingTime::PerSegment | RoundingTime::PerDiem => 0,
        };
        let stretch = Stretch { since: mark.since, principal: mark.principal, before };
        Self { stretch, moved: None, booked: Booked::Until(mark.until) }
    }

    /// The same on a later day, before anything of that day.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn on(&self, rule: &InterestRule, date: NaiveDate) -> Result<Self, InterestError> {
        let mut next = *self;
        if let Booked::Until(until) = self.booked
            && until <= date
        {
            next.booked = Booked::Total(self.total(rule, until)?);
        }
        if let Some((day, _)) = self.moved
            && day < date
        {
            (next.stretch, next.moved) = (self.stretch_from(rule, day)?, None);
        }
        Ok(next.shifted(rule))
    }

    /// Behind what moves principal on a day, which is not before any that was told.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn moved(&self, rule: &InterestRule, date: NaiveDate, principal: Minor) -> Result<Self, InterestError> {
        if principal.is_zero() {
            return Ok(*self);
        }
        let now = self.on(rule, date)?;
        let sum = now.moved.map_or(Ok(principal), |(_, moved)| moved.plus(principal))?;
        Ok(Self { moved: (!sum.is_zero()).then_some((date, sum)), ..now })
    }

    /// Behind an accrual of all days before one.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn covered(&self, rule: &InterestRule, until: NaiveDate) -> Result<Self, InterestError> {
        let now = self.on(rule, until.pred_opt().unwrap_or(until))?;
        let covered = match now.booked {
            Booked::Until(further) => further.max(until),
            Booked::Total(_) => until,
        };
        Ok(Self { booked: Booked::Until(covered), ..now })
    }

    /// The interest of the days before one that no accrual covers.
    ///
    /// It is never below nothing: more days are never worth less than fewer, days that are covered already are counted
    /// as covered, and what a caller gave counts by its days, not by its amount.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn interest(&self, rule: &InterestRule, until: NaiveDate) -> Result<Minor, InterestError> {
        let booked = match self.booked {
            Booked::Total(total) => total,
            Booked::Until(covered) => self.total(rule, covered.min(until))?,
        };
        let interest = self.total(rule, until)?.minus(booked)?;
        if interest.is_negative() { Err(InterestError::BelowBooked) } else { Ok(interest) }
    }

    /// The mark of a loan that is accrued up to a day, on which nothing has moved yet.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub(super) fn mark(&self, rule: &InterestRule, until: NaiveDate) -> Result<AccrualMark, InterestError> {
        let Stretch { since, principal, before } = self.on(rule, until)?.stretch;
        let carried = match rule.terms.rounding.time {
            RoundingTime::Daily | RoundingTime::Once => Carried::of(before)?,
            RoundingTime::PerSegment | RoundingTime::PerDiem => Carried::NOTHING,
        };
        // Without principal no day adds anything, so the stretch may begin on any.
        let since = if principal.is_zero() { until } else { since };
        Ok(AccrualMark { until, since, principal, carried })
    }

    /// The rounded total up to a day.
    fn total(&self, rule: &InterestRule, until: NaiveDate) -> Result<Minor, InterestError> {
        let stretch = match self.moved {
            Some((day, _)) if day < until => self.stretch_from(rule, day)?,
            Some(_) | None => self.stretch,
        };
        rule.total(stretch.passed(rule, until)?)
    }

    /// The stretch that begins with the latest day on which principal moved.
    fn stretch_from(&self, rule: &InterestRule, day: NaiveDate) -> Result<Stretch, InterestError> {
        let moved = self.moved.map_or(Minor::ZERO, |(_, moved)| moved);
        let principal = self.stretch.principal.plus(moved)?;
        // Without principal it does not matter since when.
        let since = if principal.is_zero() { NaiveDate::MIN } else { day };
        Ok(Stretch { since, principal, before: self.stretch.passed(rule, day)? })
    }

    /// The same, with the total that is booked brought down by whole pairs of minor units, of which nothing depends.
    fn shifted(self, rule: &InterestRule) -> Self {
        let Booked::Total(total) = self.booked else { return self };
        let (shift, parts) = match rule.terms.rounding.time {
            // Two or three stay, so that no total is below nothing, where a half would go to the other side.
            RoundingTime::Daily | RoundingTime::Once => {
                let pairs = total.units().saturating_sub(2).max(0).checked_div(2).unwrap_or(0);
                (pairs.saturating_mul(2), TWO_MINOR.saturating_mul(i128::from(pairs)))
            }
            RoundingTime::PerSegment | RoundingTime::PerDiem => (total.units(), i128::from(total.units())),
        };
        let booked = Booked::Total(Minor::new(total.units().saturating_sub(shift)));
        let stretch = Stretch { before: self.stretch.before.saturating_sub(parts), ..self.stretch };
        Self { stretch, booked, ..self }
    }
}

impl Stretch {
    /// Interest up to a day of it.
    fn passed(&self, rule: &InterestRule, until: NaiveDate) -> Result<i128, InterestError> {
        if self.principal.is_zero() {
            return Ok(self.before);
        }
        let days = DaySpan::new(self.since, until.max(self.since)).ok_or(InterestError::Disorder)?;
        rule.passed(self.before, &Segment { principal: self.principal, rate: rule.rate, days })
    }
}
