//! Owns a loan between two facts, and what the next fact does to it.

use chrono::NaiveDate;

use crate::core::loan::accruing::Accruing;
use crate::core::loan::allocation::{Allocation, allocate};
use crate::core::loan::balances::Balances;
use crate::core::loan::charge_off::{ChargedOff, Memo};
use crate::core::loan::interest::{InterestError, InterestRule};
use crate::core::loan::replay::effect::{ChargeOffMade, Effect};
use crate::core::loan::replay::fact::{CreditOrder, Deed, Fact};
use crate::core::loan::replay::life::ReplayTerms;
use crate::core::loan::state::LoanStatus;
use crate::core::loan::waterfall::{Bucket, Waterfall};
use crate::core::loan::waterfalls::{PaymentKind, Waterfalls};
use crate::core::money::{AmountOverflow, Minor};

/// Where a loan stands between two facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// What it owes, and what waits in suspense.
    pub balances: Balances,
    /// Its charge-off, if it has one by then.
    pub charged_off: Option<ChargedOff>,
    /// Whether it takes events.
    pub status: LoanStatus,
    /// Where its interest stands; `None` where none is computed behind here, so that nothing depends on it.
    pub accruing: Option<Accruing>,
}

impl Default for Position {
    /// Before the first fact.
    fn default() -> Self {
        Self { balances: Balances::default(), charged_off: None, status: LoanStatus::Open, accruing: None }
    }
}

/// No principal is below nothing, days go forward and are never worth less than fewer of them, so all that can be wrong
/// with interest is that it has no room. Anything else is our own mistake, and the event is not judged.
fn without_room(error: InterestError) -> AmountOverflow {
    assert!(error == InterestError::OutOfRange, "interest of a life cannot be told: {error}");
    AmountOverflow
}

impl Position {
    /// What a fact does here. `left` is what its payment paid and was not put back before, for a fact that puts money back.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a movement leaves 64 bits.
    pub(super) fn effect(&self, fact: &Fact, terms: &ReplayTerms, left: &Allocation) -> Result<Effect, AmountOverflow> {
        match fact.deed {
            Deed::Moves(asked) => self.moved(&asked),
            Deed::Adjusts { asked, borne } => self.moved(&self.adjusted(&asked, borne)?),
            Deed::Accrues { interest, until } => {
                let interest = interest.map_or_else(|| self.interest(terms.interest.as_ref(), until), Ok)?;
                self.moved(&Balances { interest, ..Balances::default() })
            }
            Deed::Pays { amount, kind } => self.paid(amount, self.order_for(kind, &terms.waterfalls)),
            Deed::Applies(asked) => self.applied(asked, &self.payable(), &terms.waterfalls),
            Deed::ChargesOff { loss, status } => {
                let Balances { fees, interest, principal, .. } = self.balances;
                let memo = Balances { fees, interest, principal, suspense: Minor::ZERO };
                let charges_off = Some(ChargeOffMade { on: fact.place.date, loss, status });
                Ok(Effect { movement: mirrored(&memo)?, memo, split: None, charges_off })
            }
            Deed::ChargesBack { amount, order, .. } => self.charged_back(amount, order, left),
        }
    }

    /// What suspense pays behind a fact that brought debt; `None` where that is nothing. `effect` is what the fact did.
    ///
    /// Behind interest that is computed it is that interest and no more: principal of the day has borne it already.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a movement leaves 64 bits.
    pub(super) fn release(
        &self,
        deed: &Deed,
        effect: &Effect,
        waterfalls: &Waterfalls,
    ) -> Result<Option<Effect>, AmountOverflow> {
        let payable = self.payable();
        let payable = match deed {
            Deed::Accrues { interest: None, .. } => {
                let brought = effect.movement.interest.plus(effect.memo.interest)?;
                Balances { interest: payable.interest.min(brought), ..Balances::default() }
            }
            Deed::Accrues { interest: Some(_), .. }
            | Deed::Moves(_)
            | Deed::Adjusts { .. }
            | Deed::Pays { .. }
            | Deed::Applies(_)
            | Deed::ChargesOff { .. }
            | Deed::ChargesBack { .. } => payable,
        };
        Ok(Some(self.applied(None, &payable, waterfalls)?).filter(|effect| !effect.is_nothing()))
    }

    /// The position after an effect.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a bucket, or all that is owed, leaves 64 bits.
    pub fn after(&self, effect: &Effect) -> Result<Self, AmountOverflow> {
        let balances = self.balances.plus(&effect.movement)?;
        let moved = Memo { fees: effect.memo.fees, interest: effect.memo.interest, principal: effect.memo.principal };
        let (charged_off, status) = match (effect.charges_off, self.charged_off) {
            (Some(ChargeOffMade { on, loss, status }), _) => (Some(ChargedOff { on, loss, memo: moved }), status),
            (None, Some(off)) => (Some(ChargedOff { memo: off.memo.plus(&moved)?, ..off }), self.status),
            (None, None) => (None, self.status),
        };
        Ok(Self { balances, charged_off, status, ..*self })
    }

    /// The position on a later day, before anything of that day.
    ///
    /// # Errors
    /// [`AmountOverflow`] when interest leaves 64 bits.
    pub(super) fn on(&self, terms: &ReplayTerms, date: NaiveDate) -> Result<Self, AmountOverflow> {
        self.with_interest(terms, |accruing, rule| accruing.on(rule, date))
    }

    /// The position behind a fact with what it did, and with what suspense paid behind it.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a bucket, all that is owed, or interest leaves 64 bits.
    pub(super) fn behind(
        &self,
        terms: &ReplayTerms,
        fact: &Fact,
        (effect, release): (&Effect, Option<&Effect>),
    ) -> Result<Self, AmountOverflow> {
        let position = self.after(effect)?;
        let position = release.map_or(Ok(position), |release| position.after(release))?;
        let moved = position.balances.principal.minus(self.balances.principal)?;
        position.with_interest(terms, |accruing, rule| {
            let accruing = accruing.moved(rule, fact.place.date, moved)?;
            match fact.deed {
                Deed::Accrues { until, .. } => accruing.covered(rule, until),
                Deed::Moves(_)
                | Deed::Adjusts { .. }
                | Deed::Pays { .. }
                | Deed::Applies(_)
                | Deed::ChargesOff { .. }
                | Deed::ChargesBack { .. } => Ok(accruing),
            }
        })
    }

    fn with_interest(
        self,
        terms: &ReplayTerms,
        step: impl Fn(Accruing, &InterestRule) -> Result<Accruing, InterestError>,
    ) -> Result<Self, AmountOverflow> {
        let stepped = self.accruing.zip(terms.interest).map(|(accruing, rule)| step(accruing, &rule));
        Ok(Self { accruing: stepped.transpose().map_err(without_room)?, ..self })
    }

    /// What the days come to that no accrual covers. A life with computed interest has its rule and where it stands.
    fn interest(&self, rule: Option<&InterestRule>, until: NaiveDate) -> Result<Minor, AmountOverflow> {
        let (accruing, rule) = self.accruing.zip(rule).ok_or(AmountOverflow)?;
        accruing.interest(rule, until).map_err(without_room)
    }

    /// What can be paid: on a loan that is charged off, what stands on the memo accounts.
    #[must_use]
    pub fn payable(&self) -> Balances {
        self.charged_off.map_or(self.balances, |off| off.memo.payable())
    }

    /// What an adjustment asks for, with no more interest taken than there is: so much less is borne outside the loan, and
    /// then less given within it.
    fn adjusted(&self, asked: &Balances, borne: Minor) -> Result<Balances, AmountOverflow> {
        let short = short_of(self.payable().interest, asked.interest)?;
        let mut rest = short.minus(short.min(borne))?;
        let mut less = |given: Minor| -> Result<Minor, AmountOverflow> {
            let part = rest.min(given.max(Minor::ZERO));
            rest = rest.minus(part)?;
            Ok(part)
        };
        let of_suspense = less(asked.suspense.mirrored()?)?;
        let to_principal = less(asked.principal)?;
        let to_fees = less(asked.fees)?;
        // What is left was money: as with other debts it is the borrower's, in suspense.
        let short = short.minus(rest)?;
        Ok(Balances {
            fees: asked.fees.minus(to_fees)?,
            interest: asked.interest.plus(short)?,
            principal: asked.principal.minus(to_principal)?,
            suspense: asked.suspense.plus(of_suspense)?,
        })
    }

    /// The effect of a movement: on a loan that is charged off no debt comes back to the balance sheet, it is owed on the
    /// memo accounts.
    fn moved(&self, asked: &Balances) -> Result<Effect, AmountOverflow> {
        let Some(off) = self.charged_off else {
            return Ok(Effect { movement: within(&self.balances, asked)?, ..Effect::default() });
        };
        let owed = Balances { suspense: self.balances.suspense, ..off.memo.payable() };
        let moved = within(&owed, asked)?;
        let movement = Balances { suspense: moved.suspense, ..Balances::default() };
        Ok(Effect { movement, memo: Balances { suspense: Minor::ZERO, ..moved }, ..Effect::default() })
    }

    /// The order that money of a kind follows here.
    #[must_use]
    pub fn order_for(&self, kind: PaymentKind, waterfalls: &Waterfalls) -> Waterfall {
        waterfalls.order(kind, self.status)
    }

    /// The effect of a split: debts fall on the balance sheet, or on the memo accounts.
    fn divided(&self, split: Allocation, suspense: Minor) -> Result<Effect, AmountOverflow> {
        let debts = Balances { suspense: Minor::ZERO, ..split.movement()? };
        let waiting = Balances { suspense, ..Balances::default() };
        let (movement, memo) = match self.charged_off {
            None => (Balances { suspense, ..debts }, Balances::default()),
            Some(_) => (waiting, debts),
        };
        Ok(Effect { movement, memo, split: Some(split), charges_off: None })
    }

    fn paid(&self, amount: Minor, waterfall: Waterfall) -> Result<Effect, AmountOverflow> {
        let split = allocate(amount, &self.payable(), waterfall)?;
        self.divided(split, split.suspense)
    }

    fn applied(
        &self,
        asked: Option<Minor>,
        payable: &Balances,
        waterfalls: &Waterfalls,
    ) -> Result<Effect, AmountOverflow> {
        let there = self.balances.suspense.max(Minor::ZERO);
        let amount = asked.map_or(there, |asked| asked.min(there));
        let split = allocate(amount, payable, self.order_for(PaymentKind::Suspense, waterfalls))?;
        let split = Allocation { suspense: Minor::ZERO, ..split };
        self.divided(split, split.total()?.mirrored()?)
    }

    fn charged_back(&self, amount: Minor, order: CreditOrder, left: &Allocation) -> Result<Effect, AmountOverflow> {
        let suspense = amount.min(self.balances.suspense.max(Minor::ZERO));
        let mut rest = amount.minus(suspense)?;
        let mut owed = Balances::default();
        for bucket in order.order() {
            let most = match bucket {
                Bucket::Fees => left.fees,
                Bucket::Interest => left.interest,
                Bucket::Principal => left.principal,
            };
            let part = rest.min(most.max(Minor::ZERO));
            rest = rest.minus(part)?;
            match bucket {
                Bucket::Fees => owed.fees = part,
                Bucket::Interest => owed.interest = part,
                Bucket::Principal => owed.principal = part,
            }
        }
        // What the payment had left in suspense, and is not there any more, has gone out otherwise.
        owed.principal = owed.principal.plus(rest)?;
        let Balances { fees, interest, principal, .. } = owed;
        let split = Some(Allocation { fees, interest, principal, suspense });
        let waiting = Balances { suspense: suspense.mirrored()?, ..Balances::default() };
        let (movement, memo) = match self.charged_off {
            None => (Balances { suspense: waiting.suspense, ..owed }, Balances::default()),
            Some(_) => (waiting, owed),
        };
        Ok(Effect { movement, memo, split, charges_off: None })
    }
}

/// The movement that is asked for, as far as the buckets have it: what a debt does not have goes to suspense, what
/// suspense does not have is owed as principal.
fn within(balances: &Balances, asked: &Balances) -> Result<Balances, AmountOverflow> {
    let mut moved = *asked;
    for bucket in Bucket::ALL {
        let (there, part) = match bucket {
            Bucket::Fees => (balances.fees, &mut moved.fees),
            Bucket::Interest => (balances.interest, &mut moved.interest),
            Bucket::Principal => (balances.principal, &mut moved.principal),
        };
        let short = short_of(there, *part)?;
        *part = part.plus(short)?;
        moved.suspense = moved.suspense.plus(short)?;
    }
    let short = short_of(balances.suspense, moved.suspense)?;
    moved.suspense = moved.suspense.plus(short)?;
    moved.principal = moved.principal.plus(short)?;
    Ok(moved)
}

/// How much of what is taken is not there.
fn short_of(there: Minor, moved: Minor) -> Result<Minor, AmountOverflow> {
    if !moved.is_negative() {
        return Ok(Minor::ZERO);
    }
    there.max(Minor::ZERO).plus(moved)?.min(Minor::ZERO).mirrored()
}

fn mirrored(balances: &Balances) -> Result<Balances, AmountOverflow> {
    Balances::default().minus(balances)
}
