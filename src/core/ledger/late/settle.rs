//! Owns what follows from a late event: the postings that restate the events behind it.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::event::{AcceptedEvent, Command, EarlierEvent, EventKind, NewEvent, Party, Servicing, ServicingAct};
use crate::core::ids::EventId;
use crate::core::ledger::entry::{JournalEntry, Layer, Line};
use crate::core::ledger::fold::{Booking, RELEASE_SORT, book};
use crate::core::ledger::late::adjustment::lines_by_hand;
use crate::core::ledger::late::book::{Standing, deed_of, releases_suspense};
use crate::core::ledger::late::difference::{adjustment_difference, charge_back_difference, difference};
use crate::core::ledger::late::look::{Looked, Target, bearer};
use crate::core::ledger::late::sum::Sum;
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::{Posting, SystemPosting};
use crate::core::ledger::rules::Verdict;
use crate::core::loan::{Allocation, Balances, Change, Deed, Effect, Fact, LoanState, LossAccount, Place, Position};
use crate::core::money::{AmountOverflow, Minor};
use crate::core::time::Timestamp;

/// Which consequence of an event a restatement is: part of its id and key.
const RESTATEMENT_SORT: &str = "restatement";

/// A late event over the life of its loan, before anything of it is booked.
#[derive(Clone, Debug)]
pub(in crate::core::ledger) struct Settling {
    looked: Looked,
    changes: BTreeMap<Place, Change>,
    fee: Option<Place>,
}

/// What a late event changes, before anything of it is booked.
#[derive(Debug)]
pub(in crate::core::ledger) struct Settlement {
    looked: Looked,
    changes: BTreeMap<Place, Change>,
    fee: Option<Place>,
    position: Position,
}

impl Looked {
    /// What an event that was judged changes behind it.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance would leave 64 bits on some day: the event is refused.
    pub(in crate::core::ledger) fn settlement(
        self,
        event: &NewEvent,
        verdict: &Verdict,
    ) -> Result<Settlement, AmountOverflow> {
        self.settling(event, verdict)?.settled()
    }

    /// The life with the event in it, or without what the event takes back.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance would leave 64 bits on some day: the event is refused.
    pub(in crate::core::ledger) fn settling(
        mut self,
        event: &NewEvent,
        verdict: &Verdict,
    ) -> Result<Settling, AmountOverflow> {
        let changes = match self.target {
            None => {
                let deed = deed_of(&event.command, verdict.movement, |seq| self.book.place_of(seq));
                let releases_suspense = releases_suspense(&deed);
                self.book.life.insert(Fact { place: self.place, deed, releases_suspense })?
            }
            Some(Target::Fact(place)) => self.book.life.void(place)?,
            Some(Target::ReleaseOf(place)) => self.keep_suspense(place)?,
            Some(Target::Nothing) => Vec::new(),
        };
        let mut settling = Settling { looked: self, changes: BTreeMap::new(), fee: None };
        settling.take_in(changes);
        Ok(settling)
    }

    /// What suspense paid of a debt is taken back, and stays so.
    fn keep_suspense(&mut self, place: Place) -> Result<Vec<Change>, AmountOverflow> {
        let fact = self.book.life.facts().map(|(fact, ..)| *fact).find(|fact| fact.place == place);
        fact.map_or(Ok(Vec::new()), |fact| self.book.life.insert(Fact { releases_suspense: false, ..fact }))
    }
}

impl Settling {
    /// Where a fee of a day stands that the event brings with it: last of its day.
    fn place_of_fee(&self, date: NaiveDate) -> Place {
        Place::of_posting(date, self.looked.place.version.saturating_add(1))
    }

    /// The loan as such a fee finds it.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which the life keeps from happening.
    pub(in crate::core::ledger) fn found_by_fee(
        &self,
        state: &LoanState,
        date: NaiveDate,
    ) -> Result<LoanState, AmountOverflow> {
        let Position { balances, charged_off, status, .. } =
            self.looked.book.life.position_before(self.place_of_fee(date))?;
        Ok(LoanState { balances, charged_off, status, greatest_effective_date: date, ..*state })
    }

    /// The same with a fee that was judged: the event and its fee come to one life, so each event behind them is stated
    /// anew once, for both.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance would leave 64 bits on some day: event and fee are refused.
    pub(in crate::core::ledger) fn with_fee(
        mut self,
        fee: &NewEvent,
        verdict: &Verdict,
    ) -> Result<Self, AmountOverflow> {
        let place = self.place_of_fee(verdict.effective_date);
        let deed = deed_of(&fee.command, verdict.movement, |_| None);
        let changes =
            self.looked.book.life.insert(Fact { place, deed, releases_suspense: releases_suspense(&deed) })?;
        self.take_in(changes);
        self.fee = Some(place);
        Ok(self)
    }

    /// Takes in what changes further: what was before all of it stays what was before.
    fn take_in(&mut self, changes: Vec<Change>) {
        for change in changes {
            let first = self.changes.get(&change.place).copied().unwrap_or(change);
            let merged = Change { before: first.before, release_before: first.release_before, ..change };
            self.changes.insert(change.place, merged);
        }
    }

    /// What is to be booked.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance leaves 64 bits, which the life keeps from happening.
    pub(in crate::core::ledger) fn settled(mut self) -> Result<Settlement, AmountOverflow> {
        self.leave_own();
        let position = self.looked.book.life.position()?;
        Ok(Settlement { looked: self.looked, changes: self.changes, fee: self.fee, position })
    }

    /// What the event's own posting books is not restated, nor what that of its fee books.
    fn leave_own(&mut self) {
        let (own, fee) = (self.looked.place, self.fee);
        for (place, change) in &mut self.changes {
            match self.looked.target {
                _ if Some(*place) == fee => change.before = change.after,
                None if *place == own => change.before = change.after,
                Some(Target::Fact(target)) if *place == target => change.after = change.before,
                Some(Target::ReleaseOf(target)) if *place == target => change.release_after = change.release_before,
                Some(_) | None => {}
            }
        }
    }
}

/// What is booked of a late event before what follows from it.
pub(in crate::core::ledger) struct Own<'e> {
    /// The event that a caller sent.
    pub(in crate::core::ledger) event: &'e AcceptedEvent,
    /// What it does.
    pub(in crate::core::ledger) verdict: Verdict,
    /// The fee that it brings with it, and what that does.
    pub(in crate::core::ledger) fee: Option<(NewEvent, Verdict)>,
}

impl Settlement {
    /// Books the late event's own posting and everything that follows from it, its fee in its place; the loan stands
    /// where its life ends.
    ///
    /// # Errors
    /// A text when our own rule is broken.
    pub(in crate::core::ledger) fn book(
        self,
        state: &mut LoanState,
        past: &mut Past,
        Own { event: cause, verdict, mut fee }: Own<'_>,
        now: Timestamp,
    ) -> Result<(Posting, Vec<SystemPosting>), String> {
        let fee_id = fee.as_ref().map(|(fee, _)| fee.id);
        let mut sum = Sum::of(&state.balances).and(&verdict.movement);
        let own = Booking { seq: Some(cause.seq), event: &cause.event, verdict: Ok(still(verdict)) };
        let posting = book(state, past, own, now)?;
        let mut system = Vec::new();
        let loss = self.position.charged_off.or(state.charged_off).map_or(LossAccount::default(), |off| off.loss);
        for change in self.changes.values() {
            let own_fee = fee.take_if(|_| Some(change.place) == self.fee);
            let follows = self.consequences(state, (cause, fee_id), (change, loss))?;
            for (event, verdict) in own_fee.into_iter().chain(follows) {
                sum = sum.and(&verdict.movement);
                let booking = Booking { seq: None, event: &event, verdict: Ok(still(verdict)) };
                let posting = book(state, past, booking, now)?;
                system.push(SystemPosting { event, posting });
            }
        }
        if fee.is_some() {
            return Err("a fee has no place in the life of its loan".to_owned());
        }
        if sum != Sum::of(&self.position.balances) || self.position.balances.has_negative() {
            return Err("a replay does not come to what its postings move".to_owned());
        }
        state.balances = self.position.balances;
        (state.status, state.charged_off) = (self.position.status, self.position.charged_off);
        Ok((posting, system))
    }

    /// What is written of a change: the fact restated, and what suspense pays behind it.
    fn consequences(
        &self,
        state: &LoanState,
        (cause, fee): (&AcceptedEvent, Option<EventId>),
        (change, loss): (&Change, LossAccount),
    ) -> Result<Vec<(NewEvent, Verdict)>, String> {
        let nothing = Effect::default();
        let mut written = Vec::new();
        let book = &self.looked.book;
        if change.before != change.after {
            let standing = book.facts.get(&change.place).ok_or("a fact changed that is not in the books")?;
            let effects = (&change.before.unwrap_or(nothing), &change.after.unwrap_or(nothing));
            let lines = self.restating_lines(standing, (change.place, effects), loss).map_err(|it| it.to_string())?;
            written.extend(restated(state, cause, (standing, change.place), (lines, effects))?);
        }
        if change.release_before != change.release_after {
            let effects = (&change.release_before.unwrap_or(nothing), &change.release_after.unwrap_or(nothing));
            match book.releases.get(&change.place) {
                Some(standing) => {
                    let lines = difference(&Deed::Applies(None), effects, loss).map_err(|it| it.to_string())?;
                    written.extend(restated(state, cause, (standing, change.place), (lines, effects))?);
                }
                None => written.extend(self.released(state, (cause, fee), (change.place, effects.1), loss)?),
            }
        }
        Ok(written)
    }

    /// The lines that state a fact anew.
    fn restating_lines(
        &self,
        standing: &Standing,
        (place, effects): (Place, (&Effect, &Effect)),
        loss: LossAccount,
    ) -> Result<Vec<Line>, AmountOverflow> {
        let life = &self.looked.book.life;
        match life.deed(place) {
            Some(Deed::ChargesBack { of, amount, .. }) => {
                charge_back_difference(&standing.lines, effects, *amount, bearer(life, *of, loss))
            }
            Some(deed @ Deed::Adjusts { asked, .. }) => {
                adjustment_difference((deed, asked), lines_by_hand(&standing.event), effects, loss)
            }
            Some(deed) => difference(deed, effects, loss),
            None => Ok(Vec::new()),
        }
    }

    /// Suspense pays a debt that it did not pay before.
    fn released(
        &self,
        state: &LoanState,
        (cause, fee): (&AcceptedEvent, Option<EventId>),
        (place, effect): (Place, &Effect),
        loss: LossAccount,
    ) -> Result<Option<(NewEvent, Verdict)>, String> {
        let own = || fee.filter(|_| Some(place) == self.fee).unwrap_or(cause.event.id);
        let debt = self.looked.book.facts.get(&place).map_or_else(own, |standing| standing.event.id);
        let applied = effect.split.and_then(|split| split.total().ok()).unwrap_or(Minor::ZERO);
        let release = Servicing {
            loan_id: state.loan_id,
            party: Party { borrower_id: state.borrower_id, currency: state.currency },
            amount: Some(applied),
            effective_date: place.date,
            metadata: None,
            act: ServicingAct::SuspenseApplied { raised_by: Some(debt) },
        };
        let effects = (&Effect::default(), effect);
        let lines = difference(&Deed::Applies(None), effects, loss).map_err(|overflow| overflow.to_string())?;
        let verdict = verdict_of(lines, effects, place)?;
        let event = NewEvent::of_consequence(cause, debt, RELEASE_SORT, Command::Servicing(release));
        Ok(verdict.map(|verdict| (event, verdict)))
    }
}

/// An event that states another anew.
fn restated(
    state: &LoanState,
    cause: &AcceptedEvent,
    (standing, place): (&Standing, Place),
    (lines, effects): (Vec<Line>, (&Effect, &Effect)),
) -> Result<Option<(NewEvent, Verdict)>, String> {
    let Some(verdict) = verdict_of(lines, effects, place)? else { return Ok(None) };
    // What this batch has made has no number yet, and nothing that is kept may name it.
    let (Some(seq), Some(restates)) = (standing.seq, standing.restates) else {
        return Err("a consequence without a number cannot be restated".to_owned());
    };
    let command = &standing.event.command;
    let earlier = EarlierEvent { id: standing.event.id, seq };
    let restatement = Servicing {
        loan_id: state.loan_id,
        party: Party { borrower_id: state.borrower_id, currency: state.currency },
        amount: command.amount(),
        effective_date: place.date,
        metadata: None,
        act: ServicingAct::Restated {
            event: earlier,
            kind: standing.event.kind,
            replaces: replaced(standing, effects.0)?,
        },
    };
    let event = NewEvent::of_consequence(cause, standing.event.id, RESTATEMENT_SORT, Command::Servicing(restatement));
    debug_assert_eq!(event.kind, EventKind::PaymentAllocated);
    Ok(Some((event, Verdict { restates_seq: Some(restates), ..verdict })))
}

/// What a restatement replaces: how money was divided, or the interest that was computed, in the terms of a split.
fn replaced(standing: &Standing, before: &Effect) -> Result<Option<Allocation>, String> {
    if standing.event.kind != EventKind::Accrual {
        return Ok(before.split);
    }
    let interest = before.movement.interest.plus(before.memo.interest).map_err(|overflow| overflow.to_string())?;
    Ok(Some(Allocation { interest, ..Allocation::default() }))
}

/// What leads from one effect to another; `None` where nothing does.
fn verdict_of(lines: Vec<Line>, (before, after): (&Effect, &Effect), place: Place) -> Result<Option<Verdict>, String> {
    if lines.is_empty() {
        return Ok(None);
    }
    let entry = JournalEntry::of_movements(lines, Layer::Settled).map_err(|error| error.to_string())?;
    let movement = after.movement.minus(&before.movement).map_err(|overflow| overflow.to_string())?;
    Ok(Some(Verdict {
        entry,
        allocation: after.split.or_else(|| before.split.map(|_| Allocation::default())),
        movement,
        standing: None,
        accrued: None,
        effective_date: place.date,
        undoes_seq: None,
        restates_seq: None,
    }))
}

/// The verdict with the balances left alone: they are set once, when everything is booked.
fn still(verdict: Verdict) -> Verdict {
    Verdict { movement: Balances::default(), standing: None, ..verdict }
}
