//! Owns a loan's four balances.

use crate::core::loan::waterfall::Bucket;
use crate::core::money::{AmountOverflow, Minor};

/// What a loan owes, and what of the borrower's money waits unapplied. Minor units of the loan's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// Unpaid fees.
    pub fees: Minor,
    /// Accrued, unpaid interest.
    pub interest: Minor,
    /// Principal outstanding.
    pub principal: Minor,
    /// Money received and not yet applied: a liability.
    pub suspense: Minor,
}

impl Balances {
    /// The balance that a payment can take from a bucket.
    #[must_use]
    pub const fn owed(&self, bucket: Bucket) -> Minor {
        match bucket {
            Bucket::Fees => self.fees,
            Bucket::Interest => self.interest,
            Bucket::Principal => self.principal,
        }
    }

    /// Fees, interest and principal together.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the sum leaves 64 bits.
    pub fn exposure(&self) -> Result<Minor, AmountOverflow> {
        self.fees.plus(self.interest)?.plus(self.principal)
    }

    /// These balances with `movement` added, bucket by bucket.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a bucket, or the exposure of the result, leaves 64 bits.
    pub fn plus(&self, movement: &Self) -> Result<Self, AmountOverflow> {
        let sum = Self {
            fees: self.fees.plus(movement.fees)?,
            interest: self.interest.plus(movement.interest)?,
            principal: self.principal.plus(movement.principal)?,
            suspense: self.suspense.plus(movement.suspense)?,
        };
        sum.exposure().map(|_| sum)
    }

    /// These balances with `movement` taken away, bucket by bucket.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a bucket leaves 64 bits.
    pub fn minus(&self, movement: &Self) -> Result<Self, AmountOverflow> {
        Ok(Self {
            fees: self.fees.minus(movement.fees)?,
            interest: self.interest.minus(movement.interest)?,
            principal: self.principal.minus(movement.principal)?,
            suspense: self.suspense.minus(movement.suspense)?,
        })
    }

    /// The smaller of each bucket.
    #[must_use]
    pub fn least(&self, other: &Self) -> Self {
        Self {
            fees: self.fees.min(other.fees),
            interest: self.interest.min(other.interest),
            principal: self.principal.min(other.principal),
            suspense: self.suspense.min(other.suspense),
        }
    }

    /// Whether a bucket is below nothing, which must never be.
    #[must_use]
    pub fn has_negative(&self) -> bool {
        [self.fees, self.interest, self.principal, self.suspense].into_iter().any(Minor::is_negative)
    }
}
