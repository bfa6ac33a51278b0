//! Owns where a payment names its loan. Nothing is guessed: what does not fit the rule names no loan.

use std::fmt;

use crate::core::ach::code::{AccountKind, Direction};
use crate::core::ach::customers::Customers;
use crate::core::ach::reading::FileEntry;
use crate::core::ach::record::Addenda;
use crate::core::event::LoanNumber;

/// What may stand between the word before a loan number and its digits.
const SEPARATORS: &[u8] = b" #:*=-/.";
/// The longest word before a loan number.
const PREFIX_MAX: usize = 20;

/// One place where a loan number may stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LoanNumberRule {
    /// The payer's identification: columns 40-54 of the entry, 55-76 of CIE and MTE, nowhere in classes made of checks.
    IndividualId,
    /// Columns 13-29 of an entry with code 52, whose account is the loan.
    AccountNumber,
    /// The digits after a word in the text of an addenda 05: `LOAN 12345`, `RMR*IV*12345*PI`.
    Addenda {
        /// The word, in any case.
        prefix: String,
    },
    /// The feed's own map from companies and their customers to loans.
    CustomerMap,
}

impl LoanNumberRule {
    /// How a rule is written.
    pub(super) const FORM: &'static str = "must be individual_id, account_number, customer_map, or addenda: and a word of 1 to 20 characters before the \
         digits";

    /// Reads `individual_id`, `account_number`, `customer_map` or `addenda:PREFIX`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "individual_id" => Some(Self::IndividualId),
            "account_number" => Some(Self::AccountNumber),
            "customer_map" => Some(Self::CustomerMap),
            _ => {
                let prefix = text.strip_prefix("addenda:")?;
                // A digit at its end would make the number's first digit a matter of taste.
                let well_formed = (1..=PREFIX_MAX).contains(&prefix.len())
                    && prefix.trim() == prefix
                    && prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                    && !prefix.ends_with(|last: char| last.is_ascii_digit());
                well_formed.then(|| Self::Addenda { prefix: prefix.to_owned() })
            }
        }
    }

    /// The loan number of an entry by this rule.
    #[must_use]
    pub(super) fn find(&self, at: &FileEntry<'_>, customers: &Customers) -> Option<LoanNumber> {
        let entry = &at.entry;
        match self {
            Self::IndividualId => number(at.individual_id().trimmed()),
            Self::AccountNumber => {
                let is_loan = entry.code.account == AccountKind::Loan && entry.code.direction == Direction::Credit;
                is_loan.then(|| number(entry.account.trimmed()))?
            }
            Self::Addenda { prefix } => {
                let text = at.addenda().find_map(|addenda| match addenda {
                    Addenda::Remittance(remittance) => Some(remittance.text),
                    Addenda::Change(_) | Addenda::Return(_) | Addenda::Other(_) => None,
                })?;
                after_prefix(text.trimmed(), prefix).and_then(number)
            }
            Self::CustomerMap => customers.find(at.batch.company_id.trimmed(), at.individual_id().trimmed()),
        }
    }
}

impl fmt::Display for LoanNumberRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndividualId => f.write_str("individual_id"),
            Self::AccountNumber => f.write_str("account_number"),
            Self::CustomerMap => f.write_str("customer_map"),
            Self::Addenda { prefix } => write!(f, "addenda:{prefix}"),
        }
    }
}

/// A loan number, unless the field is only filled up with zeros, or has a character that could not be read.
fn number(text: &str) -> Option<LoanNumber> {
    let is_filling = text.bytes().all(|byte| byte == b'0');
    if is_filling || text.contains('?') { None } else { LoanNumber::parse(text).ok() }
}

/// The digits after the first place where the word stands alone and digits follow that stand alone, too: a number cut
/// short or run into other characters is no number.
fn after_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let length = prefix.len();
    text.char_indices().find_map(|(at, _)| {
        let (before, from) = text.split_at_checked(at)?;
        let (word, rest) = from.split_at_checked(length)?;
        let begins = !before.ends_with(|last: char| last.is_ascii_alphanumeric());
        if !begins || !word.eq_ignore_ascii_case(prefix) {
            return None;
        }
        let rest = rest.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(|byte| SEPARATORS.contains(&byte)));
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at_checked(end)?;
        let ends = !after.starts_with(|next: char| next.is_ascii_alphanumeric() || matches!(next, '?' | '-' | '_'));
        (!digits.is_empty() && ends).then_some(digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in ["individual_id", "account_number", "customer_map", "addenda:LOAN", "addenda:RMR*IV"] {
            assert_eq!(LoanNumberRule::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "name", "addenda:", "addenda: LOAN", "addenda:LOAN1", &format!("addenda:{}", "x".repeat(21))] {
            assert_eq!(LoanNumberRule::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn digits_after_the_word_are_the_number_or_there_is_none() {
        for (text, expected) in [
            ("LOAN 12345", Some("12345")),
            ("payment for loan#0012345, thank you", Some("0012345")),
            ("LOAN:12345*PI*100", Some("12345")),
            ("LOAN12345\\", Some("12345")),
            ("MYLOAN 1 LOAN 2", Some("2")),
            ("LOAN OFFICE, LOAN 77", Some("77")),
            ("LOAN 12?45", None),
            ("LOAN 12A45", None),
            ("LOAN 12-45", None),
            ("LOAN", None),
            ("LOANS 5", None),
            ("", None),
        ] {
            assert_eq!(after_prefix(text, "LOAN"), expected, "{text}");
        }
        assert_eq!(after_prefix("RMR*IV*4711*PI*88849", "RMR*IV"), Some("4711"));
    }

    #[test]
    fn filling_is_no_number() {
        for (text, expected) in
            [("", None), ("000000", None), ("00420", Some("00420")), ("12?45", None), ("A-7 x", Some("A-7 x"))]
        {
            assert_eq!(number(text).as_ref().map(LoanNumber::as_str), expected, "{text}");
        }
    }
}
