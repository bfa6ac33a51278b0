//! Owns what a fact did.

use chrono::NaiveDate;

use crate::core::loan::allocation::Allocation;
use crate::core::loan::balances::Balances;
use crate::core::loan::charge_off::LossAccount;
use crate::core::loan::replay::fact::Place;
use crate::core::loan::state::LoanStatus;
use crate::core::money::AmountOverflow;

/// A charge-off that a fact made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeOffMade {
    /// The day it counts from.
    pub on: NaiveDate,
    /// Who bears the loss.
    pub loss: LossAccount,
    /// Where the loan stands since.
    pub status: LoanStatus,
}

/// What a fact did to the loan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Movement of the balances; signed.
    pub movement: Balances,
    /// Movement of what is owed on the memo accounts; signed, and never in suspense.
    pub memo: Balances,
    /// How money was divided, for what divides money; of money that goes back, where it was put back.
    pub split: Option<Allocation>,
    /// Of a charge-off, what it is.
    pub charges_off: Option<ChargeOffMade>,
}

impl Effect {
    /// Both effects after each other.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a movement leaves 64 bits.
    pub fn and(&self, next: &Self) -> Result<Self, AmountOverflow> {
        let add = |a: &Balances, b: &Balances| -> Result<Balances, AmountOverflow> {
            Ok(Balances {
                fees: a.fees.plus(b.fees)?,
                interest: a.interest.plus(b.interest)?,
                principal: a.principal.plus(b.principal)?,
                suspense: a.suspense.plus(b.suspense)?,
            })
        };
        Ok(Self {
            movement: add(&self.movement, &next.movement)?,
            memo: add(&self.memo, &next.memo)?,
            split: next.split.or(self.split),
            charges_off: next.charges_off.or(self.charges_off),
        })
    }

    /// Whether nothing moved.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.movement == Balances::default() && self.memo == Balances::default()
    }
}

/// A fact, or the release of suspense behind it, that does something else than before. `None` stands for nothing: a
/// fact that was not there, a release that does not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The fact.
    pub place: Place,
    /// What it did.
    pub before: Option<Effect>,
    /// What it does now.
    pub after: Option<Effect>,
    /// What suspense paid of the debt it brought.
    pub release_before: Option<Effect>,
    /// What suspense pays of it now.
    pub release_after: Option<Effect>,
}

impl Change {
    /// Whether anything is different.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.before != self.after || self.release_before != self.release_after
    }
}
