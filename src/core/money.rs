//! Owns amounts: whole minor units of an ISO 4217 currency. Floats do not exist here.
//!
//! Every operation is checked; an overflow is an error value and never a wrap.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A sum left the range of a 64-bit signed integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("amount is out of range")]
pub struct AmountOverflow;

/// Why a text is not an amount or a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text does not match `^(0|[1-9][0-9]{0,18})$`.
    #[error("must be a string of digits: whole minor units, no sign, no decimals, no leading zero")]
    NotAnAmount,
    /// Not an exact number of minor units.
    #[error("must be digits, with no more decimals after a point than the currency has")]
    NotMajorUnits,
    /// More than 9223372036854775807.
    #[error("must be at most 9223372036854775807")]
    TooLarge,
    /// Not three capital letters that ISO 4217 lists today.
    #[error("must be a current ISO 4217 code in capital letters")]
    NotACurrency,
}

/// An amount in minor units of the currency that its holder names. Signed: in a journal line debits are positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minor(i64);

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Wraps a count of minor units.
    #[must_use]
    pub const fn new(units: i64) -> Self {
        Self(units)
    }

    /// Reads the contract's form of an amount: `^(0|[1-9][0-9]{0,18})$`.
    ///
    /// # Errors
    /// [`MoneyError::NotAnAmount`] for any other text, [`MoneyError::TooLarge`] beyond 64 bits.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let digits = text.as_bytes();
        let well_formed = match digits {
            [b'0'] => true,
            [first, rest @ ..] => (b'1'..=b'9').contains(first) && rest.iter().all(u8::is_ascii_digit),
            [] => false,
        };
        if !well_formed {
            return Err(MoneyError::NotAnAmount);
        }
        text.parse().map(Self).map_err(|_| MoneyError::TooLarge)
    }

    /// Reads an amount in major units, as people write it: 888.49 USD are 88849 minor units. Nothing is rounded.
    ///
    /// # Errors
    /// [`MoneyError::NotMajorUnits`] for any other text, and where minor units are left over (888.495 USD);
    /// [`MoneyError::TooLarge`] beyond 64 bits.
    pub fn parse_major(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_number(whole) || !is_number(decimals) || has_leading_zero {
            return Err(MoneyError::NotMajorUnits);
        }
        let decimals = decimals.trim_end_matches('0');
        let places = u32::try_from(decimals.len()).unwrap_or(u32::MAX);
        if places > currency.decimals() {
            return Err(MoneyError::NotMajorUnits);
        }
        let too_large = MoneyError::TooLarge;
        let mut major = Decimal::from_str_exact(&format!("{whole}.{decimals}0")).map_err(|_| too_large)?;
        // Only zeros are added or taken behind the point: exact. Where they do not fit, the scale stays as it was.
        major.rescale(currency.decimals());
        if major.scale() != currency.decimals() {
            return Err(too_large);
        }
        i64::try_from(major.mantissa()).map(Self).map_err(|_| too_large)
    }

    /// The count of minor units.
    #[must_use]
    pub const fn units(self) -> i64 {
        self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Sum.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the sum leaves 64 bits.
    pub fn plus(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountOverflow)
    }

    /// Difference.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the difference leaves 64 bits.
    pub fn minus(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountOverflow)
    }

    /// The same amount on the other side of the journal.
    ///
    /// # Errors
    /// [`AmountOverflow`] for the one number without a mirror, -2^63.
    pub fn mirrored(self) -> Result<Self, AmountOverflow> {
        self.0.checked_neg().map(Self).ok_or(AmountOverflow)
    }

    /// Sum of many.
    ///
    /// # Errors
    /// [`AmountOverflow`] when any partial sum leaves 64 bits.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, AmountOverflow> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A currency of today's ISO 4217 list that money can be held in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// Reads three capital letters.
    ///
    /// # Errors
    /// [`MoneyError::NotACurrency`] for anything that ISO 4217 does not list as money today.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| MoneyError::NotACurrency)?;
        // A flag says what is no money today: superseded, a fund code, or special (metals, tests, no currency).
        let listed = code.iter().all(u8::is_ascii_uppercase)
            && iso_currency::Currency::from_code(text).is_some_and(|currency| currency.flags().is_empty());
        listed.then_some(Self(code)).ok_or(MoneyError::NotACurrency)
    }

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimals the currency has (2 for USD, 0 for JPY, 3 for KWD).
    #[must_use]
    pub fn decimals(self) -> u32 {
        let exponent = iso_currency::Currency::from_code(self.code()).and_then(iso_currency::Currency::exponent);
        exponent.map_or(0, u32::from)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// An amount with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// How much, in minor units.
    pub minor: Minor,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// Joins an amount and its currency.
    #[must_use]
    pub const fn new(minor: Minor, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The amount in major units, for people: 88849 US cents are 888.49.
    #[must_use]
    pub fn major(self) -> Decimal {
        Decimal::new(self.minor.units(), self.currency.decimals())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.major(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_digit_strings_only() {
        for good in ["0", "1", "88849", "9223372036854775807"] {
            assert_eq!(Minor::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "-0", "-500", "+5", "005", "10.5", "1,000", "1_000", " 5", "5\n", "1e3", "0x10", "NaN", "١٢", "１"]
        {
            assert_eq!(Minor::parse(bad), Err(MoneyError::NotAnAmount), "{bad:?}");
        }
        assert_eq!(Minor::parse("9223372036854775808"), Err(MoneyError::TooLarge));
        assert_eq!(Minor::parse(&"9".repeat(400)), Err(MoneyError::TooLarge));
    }

    #[test]
    fn major_units_are_read_exactly() {
        let of = |text: &str, code: &str| Minor::parse_major(text, Currency::parse(code).unwrap()).map(Minor::units);
        let good = [
            ("888.49", "USD", 88_849),
            ("888", "USD", 88_800),
            ("888.5", "USD", 88_850),
            ("888.490", "USD", 88_849),
            ("0.01", "USD", 1),
            ("888", "JPY", 888),
            ("0.005", "KWD", 5),
            ("92233720368547758.07", "USD", i64::MAX),
        ];
        for (text, code, minor) in good {
            assert_eq!(of(text, code), Ok(minor), "{text} {code}");
        }
        let bad = ["", ".", ".5", "5.", "-1", "+1", "1,000.00", "1_0", "1e2", "007", " 1", "$1", "1.2.3", "１"];
        for text in bad {
            assert_eq!(of(text, "USD"), Err(MoneyError::NotMajorUnits), "{text:?}");
        }
        for (text, code) in [("888.495", "USD"), ("1.5", "JPY"), ("0.0005", "KWD")] {
            assert_eq!(of(text, code), Err(MoneyError::NotMajorUnits), "{text} {code}");
        }
        assert_eq!(of("0.00000000000000000000000000000001", "USD"), Err(MoneyError::NotMajorUnits));
        for text in ["92233720368547758.08", "92233720368547759", "99999999999999999999999999999999"] {
            assert_eq!(of(text, "USD"), Err(MoneyError::TooLarge), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_people_see_reads_as_what_it_was(units in 0..=i64::MAX, code in 0..3_usize) {
            let currency = Currency::parse(["USD", "JPY", "KWD"][code]).unwrap();
            let shown = Money::new(Minor::new(units), currency).major().to_string();
            prop_assert_eq!(Minor::parse_major(&shown, currency), Ok(Minor::new(units)));
        }
    }

    #[test]
    fn currencies_are_those_of_today() {
        for good in ["USD", "EUR", "JPY", "KWD"] {
            assert_eq!(Currency::parse(good).unwrap().code(), good);
        }
        for bad in ["usd", "US", "USDD", "XXX", "ZZZ", "DEM", "XTS", "", "U$D"] {
            assert_eq!(Currency::parse(bad), Err(MoneyError::NotACurrency), "{bad:?}");
        }
    }

    #[test]
    fn sums_refuse_to_wrap() {
        let most = Minor::new(i64::MAX);
        assert_eq!(most.plus(Minor::new(1)), Err(AmountOverflow));
        assert_eq!(Minor::new(i64::MIN).mirrored(), Err(AmountOverflow));
        assert_eq!(Minor::sum([most, Minor::new(-5), Minor::new(5)]), Ok(most));
    }

    #[test]
    fn people_see_major_units() {
        assert_eq!(Money::new(Minor::new(88_849), Currency::USD).to_string(), "888.49 USD");
        assert_eq!(Money::new(Minor::new(5), Currency::parse("JPY").unwrap()).to_string(), "5 JPY");
        assert_eq!(Money::new(Minor::new(5), Currency::parse("KWD").unwrap()).to_string(), "0.005 KWD");
    }
}
