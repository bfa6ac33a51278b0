//! Owns balances added up wide: on the way from one life to another they may leave 64 bits, at its end they do not.

use crate::core::loan::Balances;
use crate::core::money::{AmountOverflow, Minor};

/// Fees, interest, principal, suspense. 2^64 movements of 64 bits cannot leave 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum([i128; 4]);

impl Sum {
    pub(super) fn of(balances: &Balances) -> Self {
        let Balances { fees, interest, principal, suspense } = *balances;
        Self([fees, interest, principal, suspense].map(|part| i128::from(part.units())))
    }

    /// Of sums that were added up elsewhere.
    pub(super) fn wide(sums: impl IntoIterator<Item = [i128; 4]>) -> Self {
        let mut total = [0; 4];
        for part in sums {
            for (sum, part) in total.iter_mut().zip(part) {
                *sum = i128::saturating_add(*sum, part);
            }
        }
        Self(total)
    }

    pub(super) fn and(self, moved: &Balances) -> Self {
        self.with(moved, i128::saturating_add)
    }

    pub(super) fn without(self, moved: &Balances) -> Self {
        self.with(moved, i128::saturating_sub)
    }

    fn with(self, moved: &Balances, add: fn(i128, i128) -> i128) -> Self {
        let (Self(mut sums), Self(parts)) = (self, Self::of(moved));
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = add(*sum, part);
        }
        Self(sums)
    }

    /// The balances again.
    ///
    /// # Errors
    /// [`AmountOverflow`] when one leaves 64 bits.
    pub(super) fn narrow(self) -> Result<Balances, AmountOverflow> {
        let Self(sums) = self;
        let [fees, interest, principal, suspense] =
            sums.map(|sum| i64::try_from(sum).map(Minor::new).map_err(|_| AmountOverflow));
        Ok(Balances { fees: fees?, interest: interest?, principal: principal?, suspense: suspense? })
    }
}
