//! Owns journal lines and entries.

use std::str::FromStr;

use crate::core::ledger::account::AccountCode;
use crate::core::loan::Balances;
use crate::core::money::{AmountOverflow, Minor};

/// The most lines one entry has: the contract numbers them 1 to 32767.
pub const LINES_MAX: usize = 32_767;

/// The side of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Debit.
    Debit,
    /// Credit.
    Credit,
}

impl Direction {
    /// `DR` or `CR`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "DR",
            Self::Credit => "CR",
        }
    }
}

/// A stored word is not a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be SETTLED, PENDING or ENCUMBRANCE")]
pub struct UnknownLayer;

/// How final the money of an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Booked.
    #[default]
    Settled,
    /// Expected.
    Pending,
    /// Set aside.
    Encumbrance,
}

impl Layer {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "SETTLED",
            Self::Pending => "PENDING",
            Self::Encumbrance => "ENCUMBRANCE",
        }
    }
}

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Settled, Self::Pending, Self::Encumbrance]
            .into_iter()
            .find(|layer| layer.as_str() == text)
            .ok_or(UnknownLayer)
    }
}

/// One side of an entry: an account and a signed amount, debits positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The account.
    pub account: AccountCode,
    /// Minor units of the loan's currency; debits positive, credits negative, never zero.
    pub signed: Minor,
}

impl Line {
    /// A debit of `amount`.
    #[must_use]
    pub const fn debit(account: AccountCode, amount: Minor) -> Self {
        Self { account, signed: amount }
    }

    /// A credit of `amount`.
    ///
    /// # Errors
    /// [`AmountOverflow`] for -2^63.
    pub fn credit(account: AccountCode, amount: Minor) -> Result<Self, AmountOverflow> {
        Ok(Self { account, signed: amount.mirrored()? })
    }

    /// The side it stands on.
    #[must_use]
    pub fn direction(&self) -> Direction {
        if self.signed.is_negative() { Direction::Credit } else { Direction::Debit }
    }

    /// The amount without its side, in minor units.
    #[must_use]
    pub fn magnitude(&self) -> u64 {
        self.signed.units().unsigned_abs()
    }
}

/// Why lines are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Debits and credits differ.
    #[error("debits and credits of the entry differ")]
    Unbalanced,
    /// A line without an amount.
    #[error("the entry has a line of zero")]
    ZeroLine,
    /// Fewer than two lines, or more than [`LINES_MAX`].
    #[error("the entry has too few or too many lines")]
    LineCount,
}

/// A balanced set of lines in one currency and one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    lines: Vec<Line>,
    layer: Layer,
}

impl JournalEntry {
    /// Proves that the lines balance. Lines of zero are a caller's mistake; see [`JournalEntry::of_movements`].
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn new(lines: Vec<Line>, layer: Layer) -> Result<Self, EntryError> {
        if !(2..=LINES_MAX).contains(&lines.len()) {
            return Err(EntryError::LineCount);
        }
        if lines.iter().any(|line| line.signed.is_zero()) {
            return Err(EntryError::ZeroLine);
        }
        // 32767 lines of 64 bits cannot leave 128 bits.
        let sum = lines.iter().fold(0_i128, |sum, line| sum.saturating_add(i128::from(line.signed.units())));
        if sum == 0 { Ok(Self { lines, layer }) } else { Err(EntryError::Unbalanced) }
    }

    /// The entry of some movements, leaving out those of zero; `None` when all are.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn of_movements(lines: impl IntoIterator<Item = Line>, layer: Layer) -> Result<Option<Self>, EntryError> {
        let lines: Vec<Line> = lines.into_iter().filter(|line| !line.signed.is_zero()).collect();
        if lines.is_empty() { Ok(None) } else { Self::new(lines, layer).map(Some) }
    }

    /// The lines, in order.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether an account is among them.
    #[must_use]
    pub fn has_line_on(&self, account: AccountCode) -> bool {
        self.lines.iter().any(|line| line.account == account)
    }

    /// The layer.
    #[must_use]
    pub const fn layer(&self) -> Layer {
        self.layer
    }

    /// What it moves in its loan's balances: receivables grow with debits, suspense with credits. Only what is booked
    /// counts, not what is expected or set aside.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the lines of one account leave 64 bits, which no posting rule makes.
    pub fn movement(&self) -> Result<Balances, AmountOverflow> {
        let mut moved = Balances::default();
        for line in self.settled() {
            match line.account {
                AccountCode::FEES_RECEIVABLE => moved.fees = moved.fees.plus(line.signed)?,
                AccountCode::INTEREST_RECEIVABLE => moved.interest = moved.interest.plus(line.signed)?,
                AccountCode::PRINCIPAL_RECEIVABLE => moved.principal = moved.principal.plus(line.signed)?,
                AccountCode::BORROWER_SUSPENSE => moved.suspense = moved.suspense.minus(line.signed)?,
                _ => {}
            }
        }
        Ok(moved)
    }

    /// The interest it accrues: what it credits to income.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the lines leave 64 bits, which no posting rule makes.
    pub fn accrued(&self) -> Result<Minor, AmountOverflow> {
        let of_income = self.settled().filter(|line| line.account == AccountCode::INTEREST_INCOME);
        of_income.into_iter().try_fold(Minor::ZERO, |sum, line| sum.minus(line.signed))
    }

    fn settled(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|_| self.layer == Layer::Settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(account: &str, units: i64) -> Line {
        Line { account: AccountCode::parse(account).unwrap(), signed: Minor::new(units) }
    }

    #[test]
    fn only_balanced_lines_become_an_entry() {
        let make = |lines: &[Line]| JournalEntry::new(lines.to_vec(), Layer::Settled);
        assert!(make(&[line("1010", 100), line("1100", -100)]).is_ok());
        assert_eq!(make(&[line("1010", 100), line("1100", -99)]), Err(EntryError::Unbalanced));
        assert_eq!(make(&[line("1010", i64::MAX), line("1100", i64::MAX)]), Err(EntryError::Unbalanced));
        assert_eq!(make(&[line("1010", 0), line("1100", 0)]), Err(EntryError::ZeroLine));
        assert_eq!(make(&[]), Err(EntryError::LineCount));
    }

    #[test]
    fn an_entry_moves_the_balances_of_its_loan() {
        let entry = |layer| {
            let lines =
                [("1010", 60), ("1300", -10), ("1200", -15), ("1200", 9), ("1100", -20), ("2100", -15), ("4100", -9)];
            JournalEntry::new(lines.map(|(account, units)| line(account, units)).to_vec(), layer).unwrap()
        };
        let moved = entry(Layer::Settled).movement().unwrap();
        assert_eq!([moved.fees, moved.interest, moved.principal, moved.suspense].map(Minor::units), [-10, -6, -20, 15]);
        assert_eq!(entry(Layer::Settled).accrued().unwrap().units(), 9);
        assert_eq!(entry(Layer::Pending).movement(), Ok(Balances::default()), "what is expected is not owed yet");
        assert_eq!(entry(Layer::Pending).accrued(), Ok(Minor::ZERO));
    }

    #[test]
    fn movements_of_zero_leave_no_line() {
        let entry = JournalEntry::of_movements([line("1010", 5), line("1300", 0), line("1100", -5)], Layer::Settled);
        assert_eq!(entry.unwrap().unwrap().lines().len(), 2);
        assert_eq!(JournalEntry::of_movements([line("1010", 0)], Layer::Settled), Ok(None));
    }
}
