//! Owns the way from a loan's postings to its life: which facts they tell, and what stands of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;

use crate::core::event::{Collectibility, Command, EventKind, LegTerms, NewEvent, ReturnedPayment, ServicingAct};
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{JournalEntry, Line};
use crate::core::ledger::late::adjustment::{deed_of_adjustment, is_within, lines_by_hand, spared};
use crate::core::ledger::late::difference::add_line;
use crate::core::ledger::late::history::{History, Row};
use crate::core::ledger::late::sum::Sum;
use crate::core::ledger::past::computes_interest;
use crate::core::ledger::posting::{Outcome, Posting};
use crate::core::ledger::rules::{Refusal, movement_of, principal_loss};
use crate::core::loan::{
    Accruing, Allocation, Balances, ChargeOffMade, ChargedOff, Deed, Effect, Fact, InterestRule, Life, LoanState,
    LoanStatus, LossAccount, Memo, Place, Position, ReplayTerms, ReturnManner, Turn,
};
use crate::core::money::{AmountOverflow, Minor};

/// An event that stands in the books, with what stands of it.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Which event; of a consequence of this batch, no number yet.
    pub(super) seq: Option<Seq>,
    /// The event.
    pub(super) event: Arc<NewEvent>,
    /// Its number among the loan's postings.
    version: i64,
    /// Whose split a new posting of it states: its own, or that of the receipt that it assigns.
    pub(super) restates: Option<Seq>,
    /// Its lines and those that restate it, together.
    pub(super) lines: Vec<Line>,
    /// Of these the lines that restate it.
    restating: Vec<Line>,
    /// The split that stands.
    pub(super) split: Option<Allocation>,
}

/// A loan's life as its postings tell it, and the event behind each fact.
#[derive(Clone, Debug)]
pub(super) struct Book {
    /// The life.
    pub(super) life: Life,
    /// The event of each fact.
    pub(super) facts: BTreeMap<Place, Standing>,
    /// The events by which suspense paid the debt that a fact brought.
    pub(super) releases: BTreeMap<Place, Standing>,
}

/// What an event is to a life.
enum Part {
    /// A fact of its own.
    Fact,
    /// Suspense that paid the debt which this event brought.
    ReleaseFor(EventId),
    /// It states another event anew.
    Restates(EventId),
    /// It states the event at a place anew, and names no other.
    RestatesAt(Seq),
    /// It takes another entry back.
    TakesBack,
}

fn part_of(event: &NewEvent, posting: &Posting) -> Part {
    if posting.undoes_seq.is_some() {
        return Part::TakesBack;
    }
    if let (Command::Payment(_), EventKind::PaymentAllocated, Some(seq)) =
        (&event.command, event.kind, posting.restates_seq)
    {
        return Part::RestatesAt(seq);
    }
    match &event.command {
        Command::Servicing(servicing) => match &servicing.act {
            ServicingAct::Restated { event, .. } => Part::Restates(event.id),
            ServicingAct::SuspenseApplied { raised_by: Some(debt) } => Part::ReleaseFor(*debt),
            ServicingAct::SuspenseApplied { raised_by: None }
            | ServicingAct::DisbursementSettled { .. }
            | ServicingAct::FeeWaived { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::ManualAdjustment { .. }
            | ServicingAct::Reversal(_)
            | ServicingAct::Chargeoff { .. }
            | ServicingAct::Recovery => Part::Fact,
        },
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_) => Part::Fact,
    }
}

/// Money of the command pays.
fn pays(command: &Command, amount: Minor, moved: Balances) -> Deed {
    command.payment_kind().map_or(Deed::Moves(moved), |kind| Deed::Pays { amount, kind })
}

/// What an event asks of the loan. `moved` is what its own posting moved, `place_of` tells where an earlier event stands.
pub(super) fn deed_of(command: &Command, moved: Balances, place_of: impl Fn(Seq) -> Option<Place>) -> Deed {
    let effective_date = command.effective_date();
    match command {
        Command::PaymentReturn(returned) => match returned.manner {
            ReturnManner::Void => Deed::Moves(moved),
            ReturnManner::Chargeback(order) => {
                let ReturnedPayment { seq, effective_date, .. } = returned.payment;
                // A history always reaches back to the payment.
                let of = place_of(seq).unwrap_or(Place::of_posting(effective_date, 0));
                Deed::ChargesBack { of, amount: returned.amount.minor, order }
            }
        },
        Command::Payment(payment) => pays(command, payment.amount.minor, moved),
        Command::Servicing(servicing) => match &servicing.act {
            ServicingAct::Recovery => {
                servicing.amount.map_or(Deed::Moves(moved), |amount| pays(command, amount, moved))
            }
            ServicingAct::SuspenseApplied { .. } => Deed::Applies(servicing.amount),
            ServicingAct::Chargeoff { collectibility, loss } => {
                let status = match collectibility {
                    Collectibility::Collectible => LoanStatus::ChargedOff,
                    Collectibility::Uncollectible => LoanStatus::WrittenOff,
                };
                Deed::ChargesOff { loss: *loss, status }
            }
            ServicingAct::ManualAdjustment { lines, .. } => deed_of_adjustment(lines, moved),
            // Of the bucket it takes what is there. What is not there was paid, and is the borrower's.
            ServicingAct::FeeWaived { .. } => match servicing.amount.map(Minor::mirrored) {
                Some(Ok(fees)) => Deed::Moves(Balances { fees, ..Balances::default() }),
                Some(Err(_)) | None => Deed::Moves(moved),
            },
            ServicingAct::DisbursementSettled { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::Reversal(_)
            | ServicingAct::Restated { .. } => Deed::Moves(moved),
        },
        Command::Leg(leg) => match &leg.terms {
            LegTerms::ReceiptIn { amount } => pays(command, *amount, moved),
            LegTerms::Accrual { interest, .. } => {
                Deed::Accrues { interest: *interest, until: effective_date.succ_opt().unwrap_or(effective_date) }
            }
            // From one bucket of the loan to another: interest that is not there becomes nothing else.
            LegTerms::MovedOut { .. } if is_within(&moved) => Deed::Adjusts { asked: moved, borne: Minor::ZERO },
            LegTerms::SuspenseOut { .. }
            | LegTerms::SuspenseIn
            | LegTerms::ReceiptOut { .. }
            | LegTerms::MovedOut { .. }
            | LegTerms::MovedIn { .. }
            | LegTerms::Reversal { .. } => Deed::Moves(moved),
        },
        Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_) => Deed::Moves(moved),
    }
}

/// Whether suspense pays the debt that a fact brings: money that comes in is divided as it comes, and what suspense pays
/// on somebody's word is what it pays.
pub(super) const fn releases_suspense(deed: &Deed) -> bool {
    match deed {
        Deed::Moves(_)
        | Deed::Adjusts { .. }
        | Deed::Accrues { .. }
        | Deed::ChargesOff { .. }
        | Deed::ChargesBack { .. } => true,
        Deed::Pays { .. } | Deed::Applies(_) => false,
    }
}

/// Where the posting of a command stands. An accrual covers its own day, which payments of that day do not bear (decision
/// D3): where it is computed, it is by the principal at the end of the day, and in front of the next day's.
pub(super) fn placed_of(command: &Command, date: NaiveDate, version: i64) -> Place {
    let place = Place::of_posting(date, version);
    if computes_interest(command) { Place { turn: Turn::Close, ..place } } else { place }
}

impl Book {
    /// Where an event stands.
    pub(super) fn place_of(&self, seq: Seq) -> Option<Place> {
        self.facts.iter().find(|(_, standing)| standing.seq == Some(seq)).map(|(place, _)| *place)
    }

    /// The life that a loan's postings tell, from their first day on.
    pub(super) fn new(state: &LoanState, history: &History) -> Result<Self, Refusal> {
        let posted = || history.rows.iter().filter(|row| row.posting.outcome == Outcome::Posted);
        let undone: BTreeSet<Seq> = posted().filter_map(|row| row.posting.undoes_seq).collect();
        let is_undone = |row: &Row| row.seq.is_some_and(|seq| undone.contains(&seq));
        let (mut standing, mut releases, mut kept) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut facts = Vec::new();
        for row in posted() {
            match part_of(&row.event, &row.posting) {
                Part::TakesBack => {}
                Part::Restates(event) => {
                    if let Some(standing) = standing.get_mut(&event) {
                        restate(standing, &row.posting)?;
                    }
                }
                Part::RestatesAt(seq) => {
                    let restated = standing.values_mut().find(|it: &&mut Standing| it.seq == Some(seq));
                    restated.map_or(Ok(()), |standing| restate(standing, &row.posting))?;
                }
                Part::ReleaseFor(debt) => {
                    if is_undone(row) {
                        kept.insert(debt);
                    } else {
                        standing.insert(row.event.id, stands(row)?);
                        releases.insert(debt, row.event.id);
                    }
                }
                Part::Fact if is_undone(row) => {}
                Part::Fact => {
                    standing.insert(row.event.id, stands(row)?);
                    facts.push(row);
                }
            }
        }
        let interest = history.accruals.as_ref();
        let accruing = interest.map(|(rule, book)| book.accruing(rule).map(|accruing| (*rule, accruing)));
        let told = Told { standing, releases, kept };
        Ok(told.book(state, accruing.transpose()?, &facts)?)
    }
}

/// What the rows tell, before it is put in order.
struct Told {
    standing: BTreeMap<EventId, Standing>,
    /// The release behind an event that brought debt.
    releases: BTreeMap<EventId, EventId>,
    /// Events whose release somebody took back: they keep it so.
    kept: BTreeSet<EventId>,
}

impl Told {
    fn book(
        mut self,
        state: &LoanState,
        interest: Option<(InterestRule, Accruing)>,
        rows: &[&Row],
    ) -> Result<Book, AmountOverflow> {
        let (mut facts, mut released, mut places) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut told = Vec::with_capacity(rows.len());
        let mut start = Start::of(state);
        for row in rows {
            let id = row.event.id;
            let Some(standing) = self.standing.remove(&id) else { continue };
            let place = placed_of(&row.event.command, row.posting.effective_date, standing.version);
            let moved =
                row.posting.entry.as_ref().map_or(Ok(Balances::default()), |entry| movement_of(entry.lines()))?;
            let deed = deed_of(&row.event.command, moved, |seq| places.get(&seq).copied());
            places.extend(row.seq.map(|seq| (seq, place)));
            let releases_suspense = releases_suspense(&deed) && !self.kept.contains(&id);
            let effect = effect_of(&standing, &deed, place)?;
            let release = self.releases.remove(&id).and_then(|release| self.standing.remove(&release));
            let release_effect = release.as_ref().map(|it| effect_of(it, &Deed::Applies(None), place)).transpose()?;
            start.without(&effect);
            if let Some(effect) = &release_effect {
                start.without(effect);
            }
            told.push((Fact { place, deed, releases_suspense }, effect, release_effect.filter(|it| !it.is_nothing())));
            facts.insert(place, standing);
            released.extend(release.map(|release| (place, release)));
        }
        // Releases whose debt was taken back: what is left of them, if anything, is an application like any other.
        for standing in self.standing.into_values() {
            let deed = Deed::Applies(standing.event.command.amount());
            let place = Place::of_posting(standing.event.command.effective_date(), standing.version);
            let effect = effect_of(&standing, &deed, place)?;
            if !effect.is_nothing() {
                start.without(&effect);
                told.push((Fact { place, deed, releases_suspense: false }, effect, None));
                facts.insert(place, standing);
            }
        }
        let (waterfalls, suspense_release) = (state.waterfalls, state.suspense_release);
        let terms = ReplayTerms { waterfalls, suspense_release, interest: interest.map(|(rule, _)| rule) };
        let start = Position { accruing: interest.map(|(_, accruing)| accruing), ..start.position()? };
        Ok(Book { life: Life::resume(terms, start, told)?, facts, releases: released })
    }
}

/// Where the loan stood before the first row: what it is now, without them.
struct Start {
    balances: Sum,
    memo: Sum,
    charged_off: Option<ChargedOff>,
    status: LoanStatus,
}

impl Start {
    fn of(state: &LoanState) -> Self {
        let memo = state.charged_off.map(|off| off.memo.payable()).unwrap_or_default();
        let (balances, memo) = (Sum::of(&state.balances), Sum::of(&memo));
        Self { balances, memo, charged_off: state.charged_off, status: state.status }
    }

    fn without(&mut self, effect: &Effect) {
        (self.balances, self.memo) = (self.balances.without(&effect.movement), self.memo.without(&effect.memo));
        if effect.charges_off.is_some() {
            (self.charged_off, self.status) = (None, LoanStatus::Open);
        }
    }

    fn position(self) -> Result<Position, AmountOverflow> {
        let Balances { fees, interest, principal, .. } = self.memo.narrow()?;
        let memo = Memo { fees, interest, principal };
        let charged_off = self.charged_off.map(|off| ChargedOff { memo, ..off });
        Ok(Position { balances: self.balances.narrow()?, charged_off, status: self.status, accruing: None })
    }
}

fn stands(row: &Row) -> Result<Standing, AmountOverflow> {
    let mut standing = Standing {
        seq: row.seq,
        event: Arc::clone(&row.event),
        version: row.posting.loan_version.unwrap_or(i64::MAX),
        restates: row.posting.restates_seq.or(row.seq),
        lines: Vec::new(),
        restating: Vec::new(),
        split: None,
    };
    add(&mut standing, &row.posting)?;
    Ok(standing)
}

fn add(standing: &mut Standing, posting: &Posting) -> Result<(), AmountOverflow> {
    let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
    standing.split = posting.allocation.or(standing.split);
    add_lines(&mut standing.lines, lines)
}

fn restate(standing: &mut Standing, posting: &Posting) -> Result<(), AmountOverflow> {
    let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
    add_lines(&mut standing.restating, lines)?;
    add(standing, posting)
}

fn add_lines(sums: &mut Vec<Line>, lines: &[Line]) -> Result<(), AmountOverflow> {
    lines.iter().try_for_each(|line| add_line(sums, *line))
}

/// What restatements of a movement have put on the memo accounts, told by who bears it. Its own posting was taken by a loan
/// that was not charged off, or moves no debt, and a hand may write on these accounts as well.
fn memo_of(lines: &[Line]) -> Result<Balances, AmountOverflow> {
    let on = |accounts: &[AccountCode]| {
        Minor::sum(lines.iter().filter(|line| accounts.contains(&line.account)).map(|line| line.signed))
    };
    Ok(Balances {
        fees: on(&[AccountCode::FEES_REVERSED])?,
        interest: on(&[AccountCode::INTEREST_REVERSED])?,
        principal: on(&LossAccount::ALL.map(principal_loss))?,
        suspense: Minor::ZERO,
    })
}

/// The same of an adjustment, whose restatements write on the accounts that bear it as well: these may be the accounts
/// that bear a charge-off. How much came to the memo accounts in all tells what they write there.
fn adjusted_memo(standing: &Standing, asked: &Balances, movement: &Balances) -> Result<Balances, AmountOverflow> {
    let on_memo = standing.restating.iter().filter(|line| line.account == AccountCode::CHARGED_OFF_MEMO);
    let total = Minor::sum(on_memo.map(|line| line.signed))?;
    // In which bucket it is does not matter for what is spared.
    let memo = Balances { principal: total, ..Balances::default() };
    let effect = Effect { movement: *movement, memo, ..Effect::default() };
    let mut restating = standing.restating.clone();
    let spared = spared(lines_by_hand(&standing.event), asked, &effect)?;
    let taken_out = spared.iter().map(|line| Line::credit(line.account, line.signed));
    add_lines(&mut restating, &taken_out.collect::<Result<Vec<_>, _>>()?)?;
    memo_of(&restating)
}

impl Standing {
    /// The lines that take it back: of money what it goes back to first, of anything else as they were.
    pub(super) fn mirrored(&self) -> Result<Vec<Line>, AmountOverflow> {
        let mirrored = self.lines.iter().map(|line| Line::credit(line.account, line.signed));
        let mut mirrored = mirrored.collect::<Result<Vec<_>, _>>()?;
        if self.split.is_some() {
            mirrored.sort_by_key(|line| line.signed.is_negative());
        }
        Ok(mirrored)
    }
}

/// What stands of an event, in the terms of a life. What a split paid and no balance shows, it paid on the memo accounts.
fn effect_of(standing: &Standing, deed: &Deed, place: Place) -> Result<Effect, AmountOverflow> {
    let movement = movement_of(&standing.lines)?;
    let debts = Balances { suspense: Minor::ZERO, ..movement };
    let nothing = Balances::default();
    let effect = Effect { movement, memo: nothing, split: None, charges_off: None };
    Ok(match deed {
        Deed::Pays { .. } | Deed::Applies(_) => {
            let split = standing.split.unwrap_or_default();
            let paid = Balances { suspense: Minor::ZERO, ..split.movement()? };
            Effect { memo: paid.minus(&debts)?, split: Some(split), ..effect }
        }
        Deed::ChargesOff { loss, status } => {
            let made = ChargeOffMade { on: place.date, loss: *loss, status: *status };
            Effect { memo: nothing.minus(&debts)?, charges_off: Some(made), ..effect }
        }
        Deed::Moves(_) | Deed::Accrues { .. } => Effect { memo: memo_of(&standing.restating)?, ..effect },
        Deed::Adjusts { asked, .. } => Effect { memo: adjusted_memo(standing, asked, &movement)?, ..effect },
        Deed::ChargesBack { .. } => {
            let split = standing.split.unwrap_or_default();
            let Allocation { fees, interest, principal, .. } = split;
            let owed = Balances { fees, interest, principal, suspense: Minor::ZERO };
            Effect { memo: owed.minus(&debts)?, split: Some(split), ..effect }
        }
    })
}
