//! Owns what follows from a late event: the postings that restate the events behind it.

use crate::core::event::{AcceptedEvent, Command, EarlierEvent, EventKind, NewEvent, Party, Servicing, ServicingAct};
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::entry::{JournalEntry, Layer};
use crate::core::ledger::fold::{Booking, book};
use crate::core::ledger::late::book::{Standing, deed_of, releases_suspense};
use crate::core::ledger::late::difference::difference;
use crate::core::ledger::late::look::{Looked, Target};
use crate::core::ledger::late::sum::Sum;
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::{Posting, SystemPosting};
use crate::core::ledger::rules::Verdict;
use crate::core::loan::{Allocation, Balances, Change, Deed, Effect, Fact, LoanState, LossAccount, Place, Position};
use crate::core::money::{AmountOverflow, Minor};
use crate::core::time::Timestamp;

/// Numbers of consequences that are not written yet begin here, where one is only imagined.
const UNNUMBERED: Seq = Seq(i64::MAX);

/// What a late event changes, before anything of it is booked.
#[derive(Debug)]
pub(in crate::core::ledger) struct Settlement {
    looked: Looked,
    changes: Vec<Change>,
    position: Position,
}

impl Looked {
    /// What an event that was judged changes behind it.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a balance would leave 64 bits on some day: the event is refused.
    pub(in crate::core::ledger) fn settlement(
        mut self,
        event: &NewEvent,
        verdict: &Verdict,
    ) -> Result<Settlement, AmountOverflow> {
        let mut changes = match self.target {
            None => {
                let deed = deed_of(&event.command, verdict.movement);
                let releases_suspense = releases_suspense(&deed);
                self.book.life.insert(Fact { place: self.place, deed, releases_suspense })?
            }
            Some(Target::Fact(place)) => self.book.life.void(place)?,
            Some(Target::ReleaseOf(place)) => self.keep_suspense(place)?,
            Some(Target::Nothing) => Vec::new(),
        };
        self.leave_own(&mut changes);
        let position = self.book.life.position()?;
        Ok(Settlement { looked: self, changes, position })
    }

    /// What suspense paid of a debt is taken back, and stays so.
    fn keep_suspense(&mut self, place: Place) -> Result<Vec<Change>, AmountOverflow> {
        let fact = self.book.life.facts().map(|(fact, ..)| *fact).find(|fact| fact.place == place);
        fact.map_or(Ok(Vec::new()), |fact| self.book.life.insert(Fact { releases_suspense: false, ..fact }))
    }

    /// What the event's own posting books is not restated.
    fn leave_own(&self, changes: &mut [Change]) {
        for change in changes {
            match self.target {
                None if change.place == self.place => change.before = change.after,
                Some(Target::Fact(place)) if change.place == place => change.after = change.before,
                Some(Target::ReleaseOf(place)) if change.place == place => change.release_after = change.release_before,
                Some(_) | None => {}
            }
        }
    }
}

/// Who caused a settlement: the event that a caller sent, and the event that was late, which is that or its fee.
#[derive(Clone, Copy)]
pub(in crate::core::ledger) struct Cause<'e> {
    /// The event that a caller sent.
    pub(in crate::core::ledger) event: &'e AcceptedEvent,
    /// The event that was late.
    pub(in crate::core::ledger) late: &'e NewEvent,
}

impl Cause<'_> {
    /// Which consequence it is: part of its id and key. The event and its fee may restate the same one.
    fn sort(&self, sort: &str) -> String {
        if self.late.id == self.event.event.id { sort.to_owned() } else { format!("{sort}_by_consequence") }
    }
}

impl Settlement {
    /// Books the late event's own posting and everything that follows from it; the loan stands where its life ends.
    ///
    /// # Errors
    /// A text when our own rule is broken.
    pub(in crate::core::ledger) fn book(
        self,
        state: &mut LoanState,
        past: &mut Past,
        (cause, verdict): (Cause<'_>, Verdict),
        now: Timestamp,
    ) -> Result<(Posting, Vec<SystemPosting>), String> {
        let own_seq = (cause.late.id == cause.event.event.id).then_some(cause.event.seq);
        let moved = verdict.movement;
        let own = Booking { seq: own_seq, event: cause.late, verdict: Ok(still(verdict)) };
        let posting = book(state, past, own, now)?;
        let mut sum = Sum::of(&state.balances).and(&moved);
        let mut system = Vec::new();
        let loss = self.position.charged_off.or(state.charged_off).map_or(LossAccount::default(), |off| off.loss);
        for change in &self.changes {
            for (event, verdict) in self.consequences(state, cause, (change, loss))? {
                sum = sum.and(&verdict.movement);
                let booking = Booking { seq: None, event: &event, verdict: Ok(still(verdict)) };
                let posting = book(state, past, booking, now)?;
                system.push(SystemPosting { event, posting });
            }
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
        cause: Cause<'_>,
        (change, loss): (&Change, LossAccount),
    ) -> Result<Vec<(NewEvent, Verdict)>, String> {
        let nothing = Effect::default();
        let mut written = Vec::new();
        let book = &self.looked.book;
        if change.before != change.after {
            let standing = book.facts.get(&change.place).ok_or("a fact changed that is not in the books")?;
            let deed = deed_of(&standing.event.command, Balances::default());
            let effects = (&change.before.unwrap_or(nothing), &change.after.unwrap_or(nothing));
            written.extend(restated(state, cause, (standing, change.place), (&deed, effects), loss)?);
        }
        if change.release_before != change.release_after {
            let after = change.release_after.unwrap_or(nothing);
            let deed = Deed::Applies(None);
            match book.releases.get(&change.place) {
                Some(standing) => {
                    let effects = (&change.release_before.unwrap_or(nothing), &after);
                    written.extend(restated(state, cause, (standing, change.place), (&deed, effects), loss)?);
                }
                None => written.extend(self.released(state, cause, (change.place, &after), loss)?),
            }
        }
        Ok(written)
    }

    /// Suspense pays a debt that it did not pay before.
    fn released(
        &self,
        state: &LoanState,
        cause: Cause<'_>,
        (place, effect): (Place, &Effect),
        loss: LossAccount,
    ) -> Result<Option<(NewEvent, Verdict)>, String> {
        let debt = match self.looked.book.facts.get(&place) {
            Some(standing) => standing.event.id,
            None => cause.late.id,
        };
        let applied = effect.split.and_then(|split| split.total().ok()).unwrap_or(Minor::ZERO);
        let release = Servicing {
            loan_id: state.loan_id,
            party: Party { borrower_id: state.borrower_id, currency: state.currency },
            amount: Some(applied),
            effective_date: place.date,
            metadata: None,
            act: ServicingAct::SuspenseApplied { raised_by: Some(debt) },
        };
        let verdict = verdict_of(&Deed::Applies(None), (&Effect::default(), effect), (place, loss))?;
        let sort = cause.sort("suspense_release");
        let event = NewEvent::of_consequence(cause.event, debt, &sort, Command::Servicing(release));
        Ok(verdict.map(|verdict| (event, verdict)))
    }
}

/// An event that states another anew.
fn restated(
    state: &LoanState,
    cause: Cause<'_>,
    (standing, place): (&Standing, Place),
    (deed, effects): (&Deed, (&Effect, &Effect)),
    loss: LossAccount,
) -> Result<Option<(NewEvent, Verdict)>, String> {
    let Some(verdict) = verdict_of(deed, effects, (place, loss))? else { return Ok(None) };
    // A release that this very event has brought has no number yet, and nothing that is kept may name it: the event fails,
    // and waits for a person. An imagined event names it all the same.
    let is_numbered = standing.seq.is_some() && standing.restates.is_some();
    if !is_numbered && cause.event.seq != UNNUMBERED {
        return Err("a consequence of the same event cannot be restated by it".to_owned());
    }
    let command = &standing.event.command;
    let earlier = EarlierEvent { id: standing.event.id, seq: standing.seq.unwrap_or(UNNUMBERED) };
    let restatement = Servicing {
        loan_id: state.loan_id,
        party: Party { borrower_id: state.borrower_id, currency: state.currency },
        amount: command.amount(),
        effective_date: place.date,
        metadata: None,
        act: ServicingAct::Restated { event: earlier, kind: standing.event.kind, replaces: effects.0.split },
    };
    let target: EventId = standing.event.id;
    let event =
        NewEvent::of_consequence(cause.event, target, &cause.sort("restatement"), Command::Servicing(restatement));
    debug_assert_eq!(event.kind, EventKind::PaymentAllocated);
    let restates_seq = Some(standing.restates.unwrap_or(UNNUMBERED));
    Ok(Some((event, Verdict { restates_seq, ..verdict })))
}

/// What leads from one effect to another; `None` where nothing does.
fn verdict_of(
    deed: &Deed,
    (before, after): (&Effect, &Effect),
    (place, loss): (Place, LossAccount),
) -> Result<Option<Verdict>, String> {
    let lines = difference(deed, (before, after), loss).map_err(|overflow| overflow.to_string())?;
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
