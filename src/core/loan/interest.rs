//! Owns simple interest: principal by rate by fraction of a year, over the days on which principal and rate stood
//! unchanged ([`Segment`]), rounded by the program's policy.
//!
//! Exact until rounded: an amount by [`AnnualRate::parts`] by [`YEAR_PARTS`] is a whole number, so segments add up
//! without loss. It fits 128 bits whenever the interest itself fits 64: 2^63 minor units are fewer than 2^120 of them.
//!
//! A part of a segment is counted from the segment's first day (`30_360` is not additive: 15 to 31 January and 31
//! January to 15 February have 31 days, 15 January to 15 February has 30). So the days of a segment always add up to it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::loan::day_count::{DayCount, DaySpan, DaysCounted, YEAR_PARTS};
use crate::core::loan::rate::AnnualRate;
use crate::core::loan::rounding::{Rounding, RoundingTime};
use crate::core::money::{AmountOverflow, Minor};

/// Why there is no interest to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterestError {
    /// It leaves 64 bits.
    #[error("interest is out of range")]
    OutOfRange,
    /// A principal below zero: the balances are not believed.
    #[error("principal is below zero")]
    NegativePrincipal,
    /// The days up to one come to less than those of them that are booked: our own mistake.
    #[error("interest comes to less than what of it is booked")]
    BelowBooked,
    /// Segments overlap or are not in order: the caller's mistake.
    #[error("segments of principal are not in order of their days")]
    Disorder,
}

impl From<AmountOverflow> for InterestError {
    fn from(_: AmountOverflow) -> Self {
        Self::OutOfRange
    }
}

/// Days on which principal and rate stood unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Principal outstanding on each of them, in minor units.
    pub principal: Minor,
    /// The rate on each of them.
    pub rate: AnnualRate,
    /// The days.
    pub days: DaySpan,
}

/// How a program computes interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterestTerms {
    /// Days to fractions of a year.
    pub day_count: DayCount,
    /// Fractions of minor units to whole ones.
    pub rounding: Rounding,
}

/// How a loan bears interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterestRule {
    /// The rate.
    pub rate: AnnualRate,
    /// Day count and rounding.
    pub terms: InterestTerms,
}

/// Interest in parts of a minor unit: [`AnnualRate::PARTS_PER_UNIT`] times [`YEAR_PARTS`] make one.
const PARTS_PER_MINOR: i128 = AnnualRate::PARTS_PER_UNIT.saturating_mul(YEAR_PARTS);

/// Exact interest of the days before some day, as far as what follows depends on it: less a multiple of two minor units,
/// so that a half rounds to the same side. In parts of a minor unit, as [`AnnualRate::PARTS_PER_UNIT`] by [`YEAR_PARTS`]
/// make one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried(i64);

/// Two minor units.
pub(super) const TWO_MINOR: i128 = PARTS_PER_MINOR.saturating_mul(2);

impl Carried {
    /// Nothing before.
    pub const NOTHING: Self = Self(0);

    /// Reads a stored number; `None` for one that is out of range.
    #[must_use]
    pub fn from_parts(parts: i64) -> Option<Self> {
        (0..TWO_MINOR).contains(&i128::from(parts)).then_some(Self(parts))
    }

    /// Of exact interest; what is below nothing stands for that and some pairs of minor units.
    pub(super) fn of(exact: i128) -> Result<Self, InterestError> {
        let rest = exact.checked_rem_euclid(TWO_MINOR).and_then(|rest| i64::try_from(rest).ok());
        rest.map(Self).ok_or(InterestError::OutOfRange)
    }

    /// The number to store.
    #[must_use]
    pub const fn parts(self) -> i64 {
        self.0
    }
}

/// The stretches of unchanged principal that movements of principal by effective date make, up to `until`.
///
/// A movement of day D counts from D on. Movements may come in any order and more than once a day; those from `until` on
/// do not matter.
///
/// # Errors
/// [`InterestError::NegativePrincipal`] where the movements take more than there was.
pub fn segments(
    movements: impl IntoIterator<Item = (NaiveDate, Minor)>,
    rate: AnnualRate,
    until: NaiveDate,
) -> Result<Vec<Segment>, InterestError> {
    let mut days: BTreeMap<NaiveDate, i128> = BTreeMap::new();
    for (date, movement) in movements.into_iter().filter(|(date, _)| *date < until) {
        let sum = days.entry(date).or_default();
        // 2^64 movements of 64 bits cannot leave 128 bits.
        *sum = sum.saturating_add(i128::from(movement.units()));
    }
    days.retain(|_, sum| *sum != 0);
    let ends: Vec<NaiveDate> = days.keys().copied().skip(1).chain([until]).collect();
    let mut principal = 0_i128;
    let mut segments = Vec::with_capacity(days.len());
    for ((from, movement), until) in days.into_iter().zip(ends) {
        principal = principal.saturating_add(movement);
        if principal.is_negative() {
            return Err(InterestError::NegativePrincipal);
        }
        let days = DaySpan::new(from, until).ok_or(InterestError::Disorder)?;
        let principal = i64::try_from(principal).map_err(|_| InterestError::OutOfRange)?;
        segments.push(Segment { principal: Minor::new(principal), rate, days });
    }
    Ok(segments)
}

impl InterestTerms {
    /// The interest of the days asked for, given the loan's segments since its first.
    ///
    /// Days without a segment bear none. For [`RoundingTime::Daily`] the segments must begin where the total begins;
    /// asking for one day gives what that day adds to it.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn interest(self, segments: &[Segment], days: DaySpan) -> Result<Minor, InterestError> {
        check(segments)?;
        match self.rounding.time {
            RoundingTime::Daily => {
                let total = |until| self.rounded(self.exact_until(segments, until)?);
                Ok(total(days.until())?.minus(total(days.from())?)?)
            }
            RoundingTime::Once => {
                let sum =
                    segments.iter().try_fold(0, |sum, segment| add(sum, exact(segment, self.part(segment, days))?));
                self.rounded(sum?)
            }
            RoundingTime::PerSegment => {
                add_up(segments, |segment| self.rounded(exact(segment, self.part(segment, days))?))
            }
            RoundingTime::PerDiem => add_up(segments, |segment| self.by_day(segment, self.part(segment, days))),
        }
    }

    /// What the days asked for add to the interest since the loan's first day: the total up to their end less the total
    /// up to their beginning, each by the policy.
    ///
    /// So days add up whichever way they are accrued, by the day, week or month: neither a day nor a fraction is lost or
    /// doubled. Under [`RoundingTime::Once`] that makes the end of the days the end of the sum.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn accrued(self, segments: &[Segment], days: DaySpan) -> Result<Minor, InterestError> {
        check(segments)?;
        let since = segments.first().map_or(days.from(), |first| first.days.from()).min(days.from());
        let total = |until| match self.rounding.time {
            RoundingTime::Daily | RoundingTime::Once => self.rounded(self.exact_until(segments, until)?),
            RoundingTime::PerSegment | RoundingTime::PerDiem => {
                self.interest(segments, DaySpan::new(since, until).ok_or(InterestError::Disorder)?)
            }
        };
        Ok(total(days.until())?.minus(total(days.from())?)?)
    }

    /// One day's interest on a principal, rounded: the per diem of a payoff quote.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn per_diem(self, principal: Minor, rate: AnnualRate, day: NaiveDate) -> Result<Minor, InterestError> {
        if principal.is_negative() {
            return Err(InterestError::NegativePrincipal);
        }
        self.rounded(of_parts(principal, rate, self.day_count.day_parts(day))?)
    }

    /// The days that a segment has in common with those asked for.
    fn part(self, segment: &Segment, days: DaySpan) -> DaysCounted {
        let first = segment.days.from();
        let until = |last: NaiveDate| {
            let last = last.clamp(first, segment.days.until());
            // Not before `first`, so there is a span.
            DaySpan::new(first, last).map_or(DaysCounted([(0, 0); 2]), |days| self.day_count.count(days))
        };
        until(days.until()).after(until(days.from()))
    }

    /// The exact interest from the first segment up to a day.
    fn exact_until(self, segments: &[Segment], until: NaiveDate) -> Result<i128, InterestError> {
        let since = segments.first().map_or(until, |first| first.days.from()).min(until);
        let days = DaySpan::new(since, until).ok_or(InterestError::Disorder)?;
        segments.iter().try_fold(0, |sum, segment| add(sum, exact(segment, self.part(segment, days))?))
    }

    /// Each sort of day's interest rounded, times its days.
    fn by_day(self, segment: &Segment, days: DaysCounted) -> Result<Minor, InterestError> {
        let mut sum = 0;
        for (count, day) in days.0 {
            let per_diem = self.rounded(of_parts(segment.principal, segment.rate, day)?)?;
            let part = i128::from(count).checked_mul(i128::from(per_diem.units())).ok_or(InterestError::OutOfRange)?;
            sum = add(sum, part)?;
        }
        i64::try_from(sum).map(Minor::new).map_err(|_| InterestError::OutOfRange)
    }

    fn rounded(self, exact: i128) -> Result<Minor, InterestError> {
        let units = self.rounding.mode.divide(exact, PARTS_PER_MINOR).and_then(|units| i64::try_from(units).ok());
        units.map(Minor::new).ok_or(InterestError::OutOfRange)
    }
}

impl InterestRule {
    /// Interest `before` a stretch and that of the stretch: exact parts of a minor unit where the sum is rounded, whole
    /// minor units where each stretch is.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub(super) fn passed(&self, before: i128, stretch: &Segment) -> Result<i128, InterestError> {
        let terms = self.terms;
        check(std::slice::from_ref(stretch))?;
        let days = terms.day_count.count(stretch.days);
        let units = |rounded: Minor| i128::from(rounded.units());
        let part = match terms.rounding.time {
            RoundingTime::Daily | RoundingTime::Once => exact(stretch, days)?,
            RoundingTime::PerSegment => units(terms.rounded(exact(stretch, days)?)?),
            RoundingTime::PerDiem => units(terms.by_day(stretch, days)?),
        };
        add(before, part)
    }

    /// What has passed, in whole minor units.
    ///
    /// # Errors
    /// [`InterestError::OutOfRange`] when it leaves 64 bits.
    pub(super) fn total(&self, passed: i128) -> Result<Minor, InterestError> {
        match self.terms.rounding.time {
            RoundingTime::Daily | RoundingTime::Once => self.terms.rounded(passed),
            RoundingTime::PerSegment | RoundingTime::PerDiem => {
                i64::try_from(passed).map(Minor::new).map_err(|_| InterestError::OutOfRange)
            }
        }
    }
}

fn exact(segment: &Segment, days: DaysCounted) -> Result<i128, InterestError> {
    of_parts(segment.principal, segment.rate, days.year_parts())
}

fn of_parts(principal: Minor, rate: AnnualRate, year_parts: i128) -> Result<i128, InterestError> {
    let yearly = i128::from(principal.units()).checked_mul(i128::from(rate.parts()));
    yearly.and_then(|yearly| yearly.checked_mul(year_parts)).ok_or(InterestError::OutOfRange)
}

fn add(sum: i128, part: i128) -> Result<i128, InterestError> {
    sum.checked_add(part).ok_or(InterestError::OutOfRange)
}

fn add_up(
    segments: &[Segment],
    of_one: impl Fn(&Segment) -> Result<Minor, InterestError>,
) -> Result<Minor, InterestError> {
    segments.iter().try_fold(Minor::ZERO, |sum, segment| Ok(sum.plus(of_one(segment)?)?))
}

fn check(segments: &[Segment]) -> Result<(), InterestError> {
    if segments.iter().any(|segment| segment.principal.is_negative()) {
        return Err(InterestError::NegativePrincipal);
    }
    let in_order = segments.is_sorted_by(|earlier, later| earlier.days.until() <= later.days.from());
    if in_order { Ok(()) } else { Err(InterestError::Disorder) }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]
mod tests;
