//! Owns the totals of a classified file: parsed = payments + returns + changes + exceptions, in count and in cents,
//! debits and credits apart.

use crate::core::ach::check::Summary;
use crate::core::ach::classify::Meaning;
use crate::core::ach::code::Direction;
use crate::core::ach::record::Entry;
use crate::core::money::{AmountOverflow, Minor};

/// What entries of one kind come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Cents of the debits among them.
    pub debit: Minor,
    /// Cents of the credits among them.
    pub credit: Minor,
}

impl Total {
    /// One more entry.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a sum leaves its range; nothing is added then.
    pub fn add_entry(&mut self, entry: &Entry) -> Result<(), AmountOverflow> {
        let one = match entry.code.direction {
            Direction::Debit => Self { count: 1, debit: entry.amount, credit: Minor::ZERO },
            Direction::Credit => Self { count: 1, debit: Minor::ZERO, credit: entry.amount },
        };
        *self = self.plus(one)?;
        Ok(())
    }

    /// Both together.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a sum leaves its range.
    pub fn plus(self, other: Self) -> Result<Self, AmountOverflow> {
        Ok(Self {
            count: self.count.checked_add(other.count).ok_or(AmountOverflow)?,
            debit: self.debit.plus(other.debit)?,
            credit: self.credit.plus(other.credit)?,
        })
    }
}

/// The totals of a file by what its entries mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Borrowers' payments.
    pub payments: Total,
    /// Payments that came back.
    pub returns: Total,
    /// Notifications of change.
    pub changes: Total,
    /// What waits for a person.
    pub exceptions: Total,
}

impl Tally {
    /// One more entry.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a sum leaves its range; nothing is added then.
    pub fn add(&mut self, entry: &Entry, meaning: &Meaning) -> Result<(), AmountOverflow> {
        let total = match meaning {
            Meaning::Payment(_) => &mut self.payments,
            Meaning::Return(_) => &mut self.returns,
            Meaning::Change(_) => &mut self.changes,
            Meaning::Exception(_) => &mut self.exceptions,
        };
        total.add_entry(entry)
    }

    /// All kinds together.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a sum leaves its range.
    pub fn parsed(&self) -> Result<Total, AmountOverflow> {
        self.payments.plus(self.returns)?.plus(self.changes)?.plus(self.exceptions)
    }

    /// Whether it accounts for every entry and every cent of the file.
    #[must_use]
    pub fn accounts_for(&self, summary: &Summary) -> bool {
        let file = Total { count: summary.entries, debit: summary.debit, credit: summary.credit };
        self.parsed() == Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_refuse_to_wrap() {
        let most = Total { count: 1, debit: Minor::new(i64::MAX), credit: Minor::ZERO };
        let tally = Tally { payments: most, returns: most, ..Tally::default() };
        assert_eq!(tally.parsed(), Err(AmountOverflow));
        assert_eq!(Total { count: u64::MAX, ..Total::default() }.plus(most), Err(AmountOverflow));
    }
}
