//! Owns the annual rate of interest: a decimal in percent, exact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text is not an annual rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal in percent a year from 0 to 1000, with at most 6 decimals, no sign and no leading zero")]
pub struct AnnualRateError;

/// A nominal rate of interest in percent a year: `7.25` is 7.25 %. Exact to six decimals, 0 to 1000 %.
///
/// In percent, as contracts and statements write it. A rate is never negative; the upper bound keeps a misplaced point
/// (`725` for `7.25`) representable and refuses what no lender charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnnualRate(i64);

impl AnnualRate {
    /// No interest.
    pub const ZERO: Self = Self(0);
    /// How many decimals a rate has at most.
    pub const DECIMALS: usize = 6;
    /// [`Self::parts`] of a rate at which a year's interest equals the principal, 100 %.
    pub const PARTS_PER_UNIT: i128 = 100_000_000;

    const PARTS_PER_PERCENT: i64 = 1_000_000;
    const PERCENT_MAX: i64 = 1_000;

    /// Reads `^(0|[1-9][0-9]{0,3})(\.[0-9]{1,6})?$`, at most 1000.
    ///
    /// # Errors
    /// [`AnnualRateError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, AnnualRateError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_number(whole) || !is_number(decimals) || has_leading_zero || decimals.len() > Self::DECIMALS {
            return Err(AnnualRateError);
        }
        let whole: i64 = whole.parse().map_err(|_| AnnualRateError)?;
        let decimals: i64 = format!("{decimals:0<6}").parse().map_err(|_| AnnualRateError)?;
        let parts = whole.checked_mul(Self::PARTS_PER_PERCENT).and_then(|parts| parts.checked_add(decimals));
        parts.and_then(Self::from_parts).ok_or(AnnualRateError)
    }

    /// Wraps millionths of a percent; `None` outside 0 to 1000 %.
    #[must_use]
    pub fn from_parts(parts: i64) -> Option<Self> {
        let most = Self::PERCENT_MAX.saturating_mul(Self::PARTS_PER_PERCENT);
        (0..=most).contains(&parts).then_some(Self(parts))
    }

    /// Millionths of a percent: 7.25 % is 7250000.
    #[must_use]
    pub const fn parts(self) -> i64 {
        self.0
    }

    /// Whether no interest accrues.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for AnnualRate {
    /// The shortest text that reads as this rate: `7.25`, `7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.div_euclid(Self::PARTS_PER_PERCENT);
        let decimals = format!("{:06}", self.0.rem_euclid(Self::PARTS_PER_PERCENT));
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

impl From<AnnualRate> for String {
    fn from(rate: AnnualRate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for AnnualRate {
    type Error = AnnualRateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl FromStr for AnnualRate {
    type Err = AnnualRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_plain_decimals_in_percent() {
        for (text, parts, shown) in [
            ("0", 0, "0"),
            ("7.25", 7_250_000, "7.25"),
            ("7.250", 7_250_000, "7.25"),
            ("0.000001", 1, "0.000001"),
            ("15.678", 15_678_000, "15.678"),
            ("1000", 1_000_000_000, "1000"),
            ("1000.000000", 1_000_000_000, "1000"),
        ] {
            let rate = AnnualRate::parse(text).unwrap();
            assert_eq!((rate.parts(), rate.to_string().as_str()), (parts, shown), "{text}");
        }
        for bad in [
            "",
            ".",
            ".5",
            "5.",
            "-1",
            "+1",
            "07",
            "00",
            "7,25",
            "7.25%",
            " 7",
            "7 ",
            "1e2",
            "0.0000001",
            "1000.000001",
            "1001",
            "NaN",
            "inf",
            "1_0",
            "٧",
            "99999999999999999999",
        ] {
            assert_eq!(AnnualRate::parse(bad), Err(AnnualRateError), "{bad:?}");
        }
    }
}
