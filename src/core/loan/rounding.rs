//! Owns how exact interest becomes whole minor units: which way, and when.
//!
//! Public sources round the same interest in five ways (domain rule 30), so a program names its policy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text is not a rounding policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must name a mode (half_up, half_even, away_from_zero, down) and a time (daily, once, per_segment, per_diem)")]
pub struct RoundingError;

/// Which way a fraction of a minor unit goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoundingMode {
    /// To the nearest; a half away from zero.
    #[default]
    HalfUp,
    /// To the nearest; a half to the even neighbour.
    HalfEven,
    /// Any fraction away from zero.
    AwayFromZero,
    /// Any fraction is cut off.
    Down,
}

impl RoundingMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::HalfUp, Self::HalfEven, Self::AwayFromZero, Self::Down];

    /// The word in requests and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HalfUp => "half_up",
            Self::HalfEven => "half_even",
            Self::AwayFromZero => "away_from_zero",
            Self::Down => "down",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }

    /// The quotient as a whole number; `None` where there is none: the divisor must be positive.
    #[must_use]
    pub fn divide(self, dividend: i128, divisor: i128) -> Option<i128> {
        if divisor <= 0 {
            return None;
        }
        let (whole, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?.abs());
        // Which side of the half: `rest` against what is missing to the next whole number.
        let half = rest.cmp(&divisor.checked_sub(rest)?);
        let away = match self {
            Self::HalfUp => half.is_ge(),
            Self::HalfEven => half.is_gt() || (half.is_eq() && whole.checked_rem(2)? != 0),
            Self::AwayFromZero => rest != 0,
            Self::Down => false,
        };
        if away { whole.checked_add(dividend.signum()) } else { Some(whole) }
    }
}

/// What is rounded: sums, or parts that are then added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoundingTime {
    /// Each day gets `round(total so far) - round(total before)` (decision D4 of the domain): days add up to the total,
    /// and no fraction is lost.
    #[default]
    Daily,
    /// The sum over the days asked for is rounded once.
    Once,
    /// Each stretch of unchanged principal and rate is rounded, then added.
    PerSegment,
    /// One day's interest is rounded, then multiplied by the days.
    PerDiem,
}

impl RoundingTime {
    /// Every time.
    pub const ALL: [Self; 4] = [Self::Daily, Self::Once, Self::PerSegment, Self::PerDiem];

    /// The word in requests and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Once => "once",
            Self::PerSegment => "per_segment",
            Self::PerDiem => "per_diem",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|time| time.as_str() == word)
    }
}

/// A program's rounding policy. By default half up, daily.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rounding {
    /// Which way.
    pub mode: RoundingMode,
    /// When.
    pub time: RoundingTime,
}

impl fmt::Display for Rounding {
    /// The stored form, `half_up,daily`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.mode.as_str(), self.time.as_str())
    }
}

impl From<Rounding> for String {
    fn from(rounding: Rounding) -> Self {
        rounding.to_string()
    }
}

impl TryFrom<String> for Rounding {
    type Error = RoundingError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Rounding {
    type Err = RoundingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mode, time) = text.split_once(',').ok_or(RoundingError)?;
        let (mode, time) = (RoundingMode::from_word(mode), RoundingTime::from_word(time));
        Ok(Self { mode: mode.ok_or(RoundingError)?, time: time.ok_or(RoundingError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_goes_its_way_on_both_sides_of_zero() {
        // In tenths.
        for (dividend, [half_up, half_even, away, down]) in [
            (24, [2, 2, 3, 2]),
            (25, [3, 2, 3, 2]),
            (26, [3, 3, 3, 2]),
            (35, [4, 4, 4, 3]),
            (30, [3, 3, 3, 3]),
            (0, [0, 0, 0, 0]),
            (1, [0, 0, 1, 0]),
            (5, [1, 0, 1, 0]),
            (-25, [-3, -2, -3, -2]),
            (-24, [-2, -2, -3, -2]),
            (-35, [-4, -4, -4, -3]),
        ] {
            let found = RoundingMode::ALL.map(|mode| mode.divide(dividend, 10).unwrap());
            assert_eq!(found, [half_up, half_even, away, down], "{dividend}");
        }
    }

    #[test]
    fn extreme_numbers_divide_or_say_no() {
        for mode in RoundingMode::ALL {
            assert_eq!(mode.divide(i128::MAX, 1), Some(i128::MAX));
            assert_eq!(mode.divide(i128::MIN, 1), Some(i128::MIN));
            assert_eq!(mode.divide(i128::MAX, i128::MAX), Some(1));
            assert_eq!(mode.divide(1, 0), None);
            assert_eq!(mode.divide(1, -2), None);
        }
    }

    #[test]
    fn policies_read_back() {
        for mode in RoundingMode::ALL {
            for time in RoundingTime::ALL {
                let rounding = Rounding { mode, time };
                assert_eq!(rounding.to_string().parse(), Ok(rounding));
            }
        }
        assert_eq!(Rounding::default().to_string(), "half_up,daily");
        for bad in ["", "half_up", "daily,half_up", "half_up,daily,once", "half_up, daily", "HALF_UP,daily"] {
            assert_eq!(bad.parse::<Rounding>(), Err(RoundingError), "{bad}");
        }
    }
}
