//! Owns bank statements: what one says, how it is read from CSV, and which events of the ledger its lines are.
//!
//! A statement adds up: its opening balance and its lines come to its closing balance. Amounts are signed minor units: what
//! came in is positive, what went out negative.

mod csv_form;
mod matching;

pub use csv_form::{LINES_MAX, StatementFault, StatementFaults, read_lines};
pub use matching::{Found, LineMatch, OpenReason, Standing, match_lines};

use std::fmt;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::core::ids::hex;
use crate::core::money::{Currency, Minor};

/// A text is no name of a bank account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first")]
pub struct NotABankAccountRef;

/// What a tenant calls one of its bank accounts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BankAccountRef(String);

impl BankAccountRef {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NotABankAccountRef`] for any other text.
    pub fn parse(text: &str) -> Result<Self, NotABankAccountRef> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let well_formed = begins && text.len() <= 64 && text.bytes().all(is_inner);
        well_formed.then(|| Self(text.to_owned())).ok_or(NotABankAccountRef)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BankAccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is no signed amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whole minor units: digits, a leading '-' for what went out, no decimals, no leading zero")]
pub struct NotASignedAmount;

/// Reads `^(0|-?[1-9][0-9]{0,18})$`, at most 2^63 - 1 either way.
///
/// # Errors
/// [`NotASignedAmount`] for any other text.
pub fn parse_signed(text: &str) -> Result<Minor, NotASignedAmount> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let amount = Minor::parse(digits).map_err(|_| NotASignedAmount)?;
    match (digits.len() < text.len(), amount.is_zero()) {
        (true, true) => Err(NotASignedAmount),
        (true, false) => amount.mirrored().map_err(|_| NotASignedAmount),
        (false, _) => Ok(amount),
    }
}

/// A line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    /// Its place, from 1.
    pub line_no: i64,
    /// The day the bank booked it.
    pub booking_date: NaiveDate,
    /// What came in, or went out; never nothing.
    pub amount: Minor,
    /// By what its event is found.
    pub reference: Option<String>,
    /// The bank's words.
    pub description: Option<String>,
}

/// What a statement says of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementHead {
    /// Which account.
    pub bank_account_ref: BankAccountRef,
    /// Its currency.
    pub currency: Currency,
    /// The last day it covers.
    pub statement_date: NaiveDate,
    /// What the account held before its first line.
    pub opening_balance: Minor,
    /// What it holds after its last line.
    pub closing_balance: Minor,
}

/// What a statement is known by when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementHash([u8; 32]);

impl StatementHash {
    /// The stored form.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for StatementHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// A statement that adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    head: StatementHead,
    lines: Vec<StatementLine>,
}

/// A statement does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the opening balance and the lines come to {0}")]
pub struct DoesNotAddUp(pub i128);

impl Statement {
    /// A statement of these lines.
    ///
    /// # Errors
    /// [`DoesNotAddUp`] where they do not lead from its opening to its closing balance.
    pub fn new(head: StatementHead, lines: Vec<StatementLine>) -> Result<Self, DoesNotAddUp> {
        // At most ten thousand amounts of 64 bits.
        let moved = lines.iter().fold(0_i128, |sum, line| sum.saturating_add(i128::from(line.amount.units())));
        let sum = moved.saturating_add(i128::from(head.opening_balance.units()));
        if sum == i128::from(head.closing_balance.units()) { Ok(Self { head, lines }) } else { Err(DoesNotAddUp(sum)) }
    }

    /// What it says of its account.
    #[must_use]
    pub const fn head(&self) -> &StatementHead {
        &self.head
    }

    /// Its lines, in its order.
    #[must_use]
    pub fn lines(&self) -> &[StatementLine] {
        &self.lines
    }

    /// What it is known by when it comes again: a hash over what it says of its account and the `bytes` of its lines.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> StatementHash {
        let StatementHead { bank_account_ref, currency, statement_date, opening_balance, closing_balance } = &self.head;
        let head = format!("{bank_account_ref}\n{currency}\n{statement_date}\n{opening_balance}\n{closing_balance}\n");
        let hash = Sha256::new().chain_update(b"hpts.statement\0").chain_update(head).chain_update(bytes);
        StatementHash(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(opening: i64, closing: i64) -> StatementHead {
        StatementHead {
            bank_account_ref: BankAccountRef::parse("OPERATING-1").unwrap(),
            currency: Currency::USD,
            statement_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            opening_balance: Minor::new(opening),
            closing_balance: Minor::new(closing),
        }
    }

    fn line(amount: i64) -> StatementLine {
        let booking_date = head(0, 0).statement_date;
        StatementLine { line_no: 1, booking_date, amount: Minor::new(amount), reference: None, description: None }
    }

    #[test]
    fn names_of_accounts_have_one_form() {
        for good in ["A", "operating-1", "0.x_Y-z", &"a".repeat(64)] {
            assert_eq!(BankAccountRef::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "é", &"a".repeat(65)] {
            assert_eq!(BankAccountRef::parse(bad), Err(NotABankAccountRef), "{bad}");
        }
    }

    #[test]
    fn amounts_carry_their_sign() {
        assert_eq!(parse_signed("0"), Ok(Minor::ZERO));
        assert_eq!(parse_signed("-9223372036854775807"), Ok(Minor::new(-i64::MAX)));
        for bad in ["", "-", "-0", "+1", "--1", "1.5", "01", "-01", "9223372036854775808", "1 ", "(1)"] {
            assert_eq!(parse_signed(bad), Err(NotASignedAmount), "{bad}");
        }
    }

    #[test]
    fn a_statement_adds_up() {
        assert!(Statement::new(head(10, 3), vec![line(5), line(-12)]).is_ok());
        assert!(Statement::new(head(-4, -4), Vec::new()).is_ok());
        assert_eq!(Statement::new(head(10, 4), vec![line(5), line(-12)]), Err(DoesNotAddUp(3)));
        let most = i128::from(i64::MAX) * 2;
        assert_eq!(Statement::new(head(i64::MAX, 0), vec![line(i64::MAX)]), Err(DoesNotAddUp(most)));
    }

    #[test]
    fn the_hash_covers_head_and_bytes() {
        let of = |head: StatementHead, bytes: &[u8]| Statement::new(head, Vec::new()).unwrap().hash(bytes);
        let first = of(head(1, 1), b"x");
        assert_eq!(first, of(head(1, 1), b"x"));
        assert_ne!(first, of(head(1, 1), b"y"));
        assert_ne!(first, of(head(2, 2), b"x"));
        assert_ne!(first, of(StatementHead { statement_date: NaiveDate::MAX, ..head(1, 1) }, b"x"));
    }
}
