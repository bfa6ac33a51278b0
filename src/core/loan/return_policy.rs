//! Owns what a program says of payments that the bank sends back: how they are booked, and what they cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::loan::replay::CreditOrder;
use crate::core::money::Minor;

/// How a payment that goes back is booked (domain decision D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnManner {
    /// It never came: it is taken back on its own day, and what came after is divided anew.
    #[default]
    Void,
    /// The money goes back on the day of the return, and is owed again from then on: out of suspense first, then in this
    /// order, of each bucket at most what the payment paid there (domain rule 46).
    Chargeback(CreditOrder),
}

impl ReturnManner {
    /// The words, in the order of the contract.
    pub const WORDS: [&'static str; 2] = ["void", "chargeback"];

    /// The word in requests and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Chargeback(_) => "chargeback",
        }
    }
}

/// What returns with some codes cost, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnFeeSetting {
    /// The codes: `R01`, `R09`, ….
    pub return_codes: Vec<String>,
    /// What the borrower is charged, in minor units.
    pub fee_minor: String,
}

/// What a program says of returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnPolicy {
    /// How they are booked.
    pub manner: ReturnManner,
    /// What a returned payment costs, by the number of the code.
    fees: BTreeMap<u8, Minor>,
}

impl ReturnPolicy {
    /// A policy of the words for its fees.
    ///
    /// # Errors
    /// Why, for people.
    pub fn new(manner: ReturnManner, settings: &[ReturnFeeSetting]) -> Result<Self, &'static str> {
        let mut fees = BTreeMap::new();
        for setting in settings {
            let fee = Minor::parse(&setting.fee_minor).ok().filter(|fee| !fee.is_zero());
            let fee = fee.ok_or("must each have a fee of more than 0 in minor units")?;
            if setting.return_codes.is_empty() {
                return Err("must each name a return code");
            }
            for code in &setting.return_codes {
                let number = return_code_number(code).ok_or("must name codes of R and two digits, such as R01")?;
                if fees.insert(number, fee).is_some() {
                    return Err("must name a return code once");
                }
            }
        }
        Ok(Self { manner, fees })
    }

    /// What a payment costs whose first return has this code, by the number of the code.
    #[must_use]
    pub fn fee_of(&self, code: u8) -> Option<Minor> {
        self.fees.get(&code).copied()
    }

    /// The same with a fee for one code: the feed that brings a return may say what it costs, and then the program does not.
    #[must_use]
    pub fn with_fee(mut self, code: u8, fee: Minor) -> Self {
        self.fees.insert(code, fee);
        self
    }

    /// The words again: codes of one fee together, in order.
    #[must_use]
    pub fn fee_settings(&self) -> Vec<ReturnFeeSetting> {
        let mut by_fee: BTreeMap<Minor, Vec<String>> = BTreeMap::new();
        for (code, fee) in &self.fees {
            by_fee.entry(*fee).or_default().push(format!("R{code:02}"));
        }
        let mut settings: Vec<ReturnFeeSetting> = by_fee
            .into_iter()
            .map(|(fee, return_codes)| ReturnFeeSetting { return_codes, fee_minor: fee.to_string() })
            .collect();
        settings.sort_unstable_by(|a, b| a.return_codes.cmp(&b.return_codes));
        settings
    }
}

/// The number of a return code, which is `R` and two digits.
#[must_use]
pub fn return_code_number(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('R').filter(|digits| digits.len() == 2)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(codes: &[&str], fee: &str) -> ReturnFeeSetting {
        ReturnFeeSetting {
            return_codes: codes.iter().map(|code| (*code).to_owned()).collect(),
            fee_minor: fee.to_owned(),
        }
    }

    #[test]
    fn fees_read_back_by_code() {
        let settings = [setting(&["R01", "R09"], "2500"), setting(&["R08"], "1000")];
        let policy = ReturnPolicy::new(ReturnManner::Void, &settings).unwrap();
        assert_eq!(
            [1, 8, 9, 2].map(|code| policy.fee_of(code).map(Minor::units)),
            [Some(2500), Some(1000), Some(2500), None]
        );
        assert_eq!(policy.fee_settings(), settings);
        assert_eq!(ReturnPolicy::new(ReturnManner::Void, &policy.fee_settings()), Ok(policy));
    }

    #[test]
    fn bad_fees_are_told() {
        let bad = [
            vec![setting(&["R01"], "0")],
            vec![setting(&["R01"], "25.00")],
            vec![setting(&[], "25")],
            vec![setting(&["R1"], "25")],
            vec![setting(&["C01"], "25")],
            vec![setting(&["R01", "R01"], "25")],
            vec![setting(&["R01"], "25"), setting(&["R01"], "30")],
        ];
        for settings in bad {
            assert!(ReturnPolicy::new(ReturnManner::Void, &settings).is_err(), "{settings:?}");
        }
    }
}
