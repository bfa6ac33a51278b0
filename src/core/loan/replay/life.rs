//! Owns the life of a loan: its facts in order with what each did, and what a late fact changes in that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::core::loan::allocation::Allocation;
use crate::core::loan::balances::Balances;
use crate::core::loan::interest::InterestRule;
use crate::core::loan::replay::effect::{Change, Effect};
use crate::core::loan::replay::fact::{Deed, Fact, Place};
use crate::core::loan::replay::position::Position;
use crate::core::loan::state::SuspenseRelease;
use crate::core::loan::waterfalls::Waterfalls;
use crate::core::money::{AmountOverflow, Minor};

/// So many facts lie between two checkpoints: finding a position adds up at most so many effects.
const CHECKPOINT_EVERY: usize = 64;

/// What of a loan's terms decides what its facts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayTerms {
    /// The order in which payments pay.
    pub waterfalls: Waterfalls,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: SuspenseRelease,
    /// How interest is computed; `None` where no interest of the life is.
    pub interest: Option<InterestRule>,
}

/// A fact with what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    fact: Fact,
    effect: Effect,
    release: Option<Effect>,
}

impl Told {
    fn after(&self, terms: &ReplayTerms, position: &Position) -> Result<Position, AmountOverflow> {
        position.behind(terms, &self.fact, (&self.effect, self.release.as_ref()))
    }
}

/// A loan's facts from some position on. See the [module](super).
#[derive(Clone, Debug)]
pub struct Life {
    terms: ReplayTerms,
    start: Position,
    told: BTreeMap<Place, Told>,
    /// Positions in front of places.
    checkpoints: BTreeMap<Place, Position>,
    /// Payments that went back in part on a later day.
    charged_back: BTreeSet<Place>,
}

/// What a late fact changes, before it is taken over.
struct Plan {
    changes: Vec<Change>,
    told: BTreeMap<Place, Told>,
    checkpoints: BTreeMap<Place, Position>,
    /// The fact that is left out.
    voided: Option<Place>,
    /// Where the position was again what it had been; `None` where it never was.
    settled_at: Option<Place>,
}

impl Life {
    /// A life from a position on, without facts.
    #[must_use]
    pub fn new(terms: ReplayTerms, start: Position) -> Self {
        let (told, checkpoints, charged_back) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { terms, start, told, checkpoints, charged_back }
    }

    /// A life as it stands in the books: facts with what each did and with what suspense paid of the debt it brought.
    /// Nothing of it is judged.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn resume(
        terms: ReplayTerms,
        start: Position,
        facts: impl IntoIterator<Item = (Fact, Effect, Option<Effect>)>,
    ) -> Result<Self, AmountOverflow> {
        let mut life = Self::new(terms, start);
        let told = facts.into_iter().map(|(fact, effect, release)| (fact.place, Told { fact, effect, release }));
        life.told = told.collect();
        let mut position = start;
        let mut passed = 0_usize;
        for (place, told) in &life.told {
            if is_due(passed) {
                life.checkpoints.insert(*place, position);
            }
            position = told.after(&terms, &position)?;
            passed = passed.saturating_add(1);
            life.charged_back.extend(charged_back(&told.fact));
        }
        Ok(life)
    }

    /// Where the loan stands in front of a place.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn position_before(&self, place: Place) -> Result<Position, AmountOverflow> {
        let checkpoint = self.checkpoints.range(..=place).next_back();
        let (from, position) = match checkpoint {
            Some((from, position)) => (Bound::Included(*from), *position),
            None => (Bound::Unbounded, self.start),
        };
        let until = self.told.range((from, Bound::Excluded(place)));
        until.into_iter().try_fold(position, |position, (_, told)| told.after(&self.terms, &position))
    }

    /// Where the loan stands after everything.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which posting keeps from happening.
    pub fn position(&self) -> Result<Position, AmountOverflow> {
        let (from, position) = self
            .checkpoints
            .last_key_value()
            .map_or((Bound::Unbounded, self.start), |(from, at)| (Bound::Included(*from), *at));
        self.told
            .range((from, Bound::Unbounded))
            .try_fold(position, |position, (_, told)| told.after(&self.terms, &position))
    }

    /// What a fact did.
    #[must_use]
    pub fn effect(&self, place: Place) -> Option<&Effect> {
        self.told.get(&place).map(|told| &told.effect)
    }

    /// What a fact asks.
    #[must_use]
    pub fn deed(&self, place: Place) -> Option<&Deed> {
        self.told.get(&place).map(|told| &told.fact.deed)
    }

    /// What suspense paid of the debt that a fact brought.
    #[must_use]
    pub fn release(&self, place: Place) -> Option<&Effect> {
        self.told.get(&place).and_then(|told| told.release.as_ref())
    }

    /// Every fact with what it did, in order.
    pub fn facts(&self) -> impl Iterator<Item = (&Fact, &Effect, Option<&Effect>)> {
        self.told.values().map(|told| (&told.fact, &told.effect, told.release.as_ref()))
    }

    /// Takes a fact in, whenever it counts from. Answers what is different now, the fact itself first. A place that is
    /// taken already gets the fact in place of the other.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance would leave 64 bits on some day; the life is as before then.
    pub fn insert(&mut self, fact: Fact) -> Result<Vec<Change>, AmountOverflow> {
        self.charged_back.extend(charged_back(&fact));
        let plan = self.plan(fact.place, Some(fact))?;
        Ok(self.take_over(fact.place, plan))
    }

    /// Takes a fact out, as if it had never been. Answers what is different now, the fact itself first; nothing where
    /// there is no such fact.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance would leave 64 bits on some day; the life is as before then.
    pub fn void(&mut self, place: Place) -> Result<Vec<Change>, AmountOverflow> {
        if !self.told.contains_key(&place) {
            return Ok(Vec::new());
        }
        let plan = self.plan(place, None)?;
        self.told.remove(&place);
        Ok(self.take_over(place, plan))
    }

    /// What a fact would do where it stands, without taking it in.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a movement leaves 64 bits.
    pub fn foresee(&self, fact: Fact) -> Result<Effect, AmountOverflow> {
        let (told, checkpoints) = (BTreeMap::new(), BTreeMap::new());
        let nothing = Plan { changes: Vec::new(), told, checkpoints, voided: None, settled_at: None };
        Ok(self.judge(&nothing, &self.position_before(fact.place)?, fact)?.effect)
    }

    /// Judges everything from a place on anew, as far as it can have changed. `here` is the fact that stands there now.
    fn plan(&self, at: Place, here: Option<Fact>) -> Result<Plan, AmountOverflow> {
        let (told, checkpoints) = (BTreeMap::new(), BTreeMap::new());
        let voided = here.is_none().then_some(at);
        let mut plan = Plan { changes: Vec::new(), told, checkpoints, voided, settled_at: None };
        let mut before = self.position_before(at)?;
        let mut after = before;
        let first = (at, self.told.get(&at), here);
        let range = self.told.range((Bound::Excluded(at), Bound::Unbounded));
        let rest = range.map(|(place, told)| (*place, Some(told), Some(told.fact)));
        for (passed, (place, was, fact)) in std::iter::once(first).chain(rest).enumerate() {
            (before, after) = (before.on(&self.terms, place.date)?, after.on(&self.terms, place.date)?);
            if passed > 0 && before == after && !self.is_owed_to_charge_back(&plan) {
                plan.settled_at = Some(place);
                break;
            }
            if passed > 0 && is_due(passed) {
                plan.checkpoints.insert(place, after);
            }
            if let Some(was) = was {
                before = was.after(&self.terms, &before)?;
            }
            let is = fact.map(|fact| self.judge(&plan, &after, fact)).transpose()?;
            if let Some(is) = &is {
                after = is.after(&self.terms, &after)?;
            }
            let change = Change {
                place,
                before: was.map(|was| was.effect),
                after: is.map(|is| is.effect),
                release_before: was.and_then(|was| was.release),
                release_after: is.and_then(|is| is.release),
            };
            if change.is_real() || passed == 0 {
                plan.changes.push(change);
                plan.told.extend(is.map(|is| (place, is)));
            }
        }
        Ok(plan)
    }

    /// What a fact does at a position.
    fn judge(&self, plan: &Plan, position: &Position, fact: Fact) -> Result<Told, AmountOverflow> {
        let ReplayTerms { waterfalls, suspense_release, .. } = &self.terms;
        let left = match fact.deed {
            Deed::ChargesBack { of, .. } => self.left_of(plan, of, fact.place)?,
            Deed::Moves(_)
            | Deed::Adjusts { .. }
            | Deed::Accrues { .. }
            | Deed::Pays { .. }
            | Deed::Applies(_)
            | Deed::ChargesOff { .. } => Allocation::default(),
        };
        let effect = position.effect(&fact, &self.terms, &left)?;
        let release = match suspense_release {
            SuspenseRelease::Automatic if fact.releases_suspense && raises(&fact, &effect) => {
                position.after(&effect)?.release(&fact.deed, &effect, waterfalls)?
            }
            SuspenseRelease::Automatic | SuspenseRelease::Manual => None,
        };
        Ok(Told { fact, effect, release })
    }

    /// What a payment paid, without what was put back of it in front of a place.
    fn left_of(&self, plan: &Plan, payment: Place, until: Place) -> Result<Allocation, AmountOverflow> {
        let of = |place: &Place| {
            let stands = self.told.get(place).filter(|_| plan.voided != Some(*place));
            plan.told.get(place).or(stands)
        };
        let mut left = of(&payment).and_then(|told| told.effect.split).unwrap_or_default();
        let places = self.told.range(payment..until).chain(plan.told.range(payment..until)).map(|(place, _)| *place);
        for place in places.collect::<BTreeSet<_>>() {
            let Some(told) = of(&place).filter(|told| charged_back(&told.fact) == Some(payment)) else { continue };
            let back = if told.effect.memo == Balances::default() { told.effect.movement } else { told.effect.memo };
            left.fees = left.fees.minus(back.fees)?;
            left.interest = left.interest.minus(back.interest)?;
            left.principal = left.principal.minus(back.principal)?;
        }
        Ok(left)
    }

    /// Whether a payment that goes back later, or what went back of one before, is divided anew: then the loan may stand
    /// where it stood, and yet not all that follows does.
    fn is_owed_to_charge_back(&self, plan: &Plan) -> bool {
        let charges_back = |place| {
            let told = plan.told.get(place).or_else(|| self.told.get(place));
            told.is_some_and(|told| charged_back(&told.fact).is_some())
        };
        let is_owed = |place| self.charged_back.contains(place) || charges_back(place);
        !self.charged_back.is_empty() && plan.changes.iter().any(|change| is_owed(&change.place))
    }

    fn take_over(&mut self, at: Place, plan: Plan) -> Vec<Change> {
        let is_stale = |place: &Place| *place > at && plan.settled_at.is_none_or(|settled| *place < settled);
        self.checkpoints.retain(|place, _| !is_stale(place));
        self.checkpoints.extend(plan.checkpoints);
        self.told.extend(plan.told);
        plan.changes.into_iter().filter(Change::is_real).collect()
    }
}

fn is_due(passed: usize) -> bool {
    passed.is_multiple_of(CHECKPOINT_EVERY)
}

fn charged_back(fact: &Fact) -> Option<Place> {
    match fact.deed {
        Deed::ChargesBack { of, .. } => Some(of),
        Deed::Moves(_)
        | Deed::Adjusts { .. }
        | Deed::Accrues { .. }
        | Deed::Pays { .. }
        | Deed::Applies(_)
        | Deed::ChargesOff { .. } => None,
    }
}

/// Whether there is debt, or suspense to pay it with, that was not there before. What a charge-off puts on the memo
/// accounts was owed before.
fn raises(fact: &Fact, effect: &Effect) -> bool {
    let rises = |moved: &Balances| {
        [moved.fees, moved.interest, moved.principal, moved.suspense].into_iter().any(|part| part > Minor::ZERO)
    };
    let brings_debt = matches!(fact.deed, Deed::Moves(_) | Deed::Adjusts { .. } | Deed::Accrues { .. });
    rises(&effect.movement) || (brings_debt && rises(&effect.memo))
}
