//! Owns what controls are compared with: counts, hash and totals, added up with every overflow checked.

use crate::core::ach::code::Direction;
use crate::core::money::{AmountOverflow, Minor};

/// A hash keeps ten digits; what is above is dropped.
const HASH_RANGE: u64 = 10_000_000_000;

/// What a batch or a file adds up to.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::core::ach) struct Sums {
    /// Entries and addenda.
    pub(in crate::core::ach) records: u64,
    /// The routing numbers of the entries, eight digits each.
    hash: u64,
    /// What is taken.
    pub(in crate::core::ach) debit: Minor,
    /// What is given.
    pub(in crate::core::ach) credit: Minor,
}

impl Sums {
    /// One more entry or addenda.
    pub(in crate::core::ach) fn add_record(&mut self) -> Result<(), AmountOverflow> {
        self.records = self.records.checked_add(1).ok_or(AmountOverflow)?;
        Ok(())
    }

    /// The bank of an entry.
    pub(in crate::core::ach) fn add_bank(&mut self, bank: u64) -> Result<(), AmountOverflow> {
        self.hash = self.hash.checked_add(bank).ok_or(AmountOverflow)?;
        Ok(())
    }

    /// The amount of an entry.
    pub(in crate::core::ach) fn add_amount(
        &mut self,
        direction: Direction,
        amount: Minor,
    ) -> Result<(), AmountOverflow> {
        let total = match direction {
            Direction::Debit => &mut self.debit,
            Direction::Credit => &mut self.credit,
        };
        *total = total.plus(amount)?;
        Ok(())
    }

    /// A batch into its file.
    pub(in crate::core::ach) fn add(&mut self, batch: &Self) -> Result<(), AmountOverflow> {
        self.records = self.records.checked_add(batch.records).ok_or(AmountOverflow)?;
        self.hash = self.hash.checked_add(batch.hash).ok_or(AmountOverflow)?;
        self.debit = self.debit.plus(batch.debit)?;
        self.credit = self.credit.plus(batch.credit)?;
        Ok(())
    }

    /// The last ten digits of the sum of routing numbers.
    pub(in crate::core::ach) fn hash(&self) -> u64 {
        self.hash.checked_rem(HASH_RANGE).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_keeps_its_last_ten_digits() {
        let mut sums = Sums::default();
        for _ in 0..200 {
            sums.add_bank(99_999_999).unwrap();
        }
        assert_eq!(sums.hash(), 9_999_999_800);
    }

    #[test]
    fn sums_refuse_to_wrap() {
        let mut sums = Sums { records: u64::MAX, hash: u64::MAX, debit: Minor::new(i64::MAX), credit: Minor::ZERO };
        assert_eq!(sums.add_record(), Err(AmountOverflow));
        assert_eq!(sums.add_bank(1), Err(AmountOverflow));
        assert_eq!(sums.add_amount(Direction::Debit, Minor::new(1)), Err(AmountOverflow));
        assert_eq!(Sums::default().add(&sums), Ok(()));
        let most = sums;
        assert_eq!(sums.add(&most), Err(AmountOverflow));
    }
}
