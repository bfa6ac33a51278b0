//! Owns what the fold is told of a loan's past: only what an event of the batch asks about. For a batch of plain
//! payments that is nothing.
//!
//! - A late event needs what the loan was posted from its day on ([`History`]).
//! - An event that names an earlier one, to take it back or to go on from it, needs what became of that ([`Earlier`]).
//! - A waiver, an adjustment that forgives fees, or the reversal of a return or of what brought fees, be it a leg, needs the
//!   loan's fees ([`FeeBook`]).
//! - A late fee needs the money that came in for the payment that was late ([`Receipts`]).
//! - An accrual whose interest is computed needs the loan's principal by day and its accruals ([`AccrualBook`]), a late
//!   event in front of one as well, with its history.
//! - Every event needs to know which accounting periods are closed ([`Calendar`]).

use std::collections::BTreeMap;

use crate::core::event::{AcceptedEvent, Command, EventKind, Leg, LegTerms, NewEvent, ServicingAct};
use crate::core::ids::Seq;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{JournalEntry, Line};
use crate::core::ledger::fees::{FeeBook, forgiven_by_hand, sum_on};
use crate::core::ledger::late::{History, View};
use crate::core::ledger::late_fees::{LateFeeBook, Receipts};
use crate::core::ledger::period::Calendar;
use crate::core::ledger::posting::{Outcome, Posting, RejectionCode};
use crate::core::loan::{AccrualBook, Allocation};

/// The part of a loan's past that a batch's events need. The fold adds what it posts, so that later events see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// What was posted from the day of the earliest late event on; `None` when no event is late.
    pub history: Option<History>,
    /// What the event that is judged sees of the days around it, where it is late. The fold's own.
    pub view: Option<View>,
    /// The earlier events that events of the batch name.
    pub earlier: Earlier,
    /// The loan's fees; `None` when no event is judged by them.
    pub fees: Option<FeeBook>,
    /// The money that came in; `None` when no event is a late fee that says what it is for.
    pub receipts: Option<Receipts>,
    /// The loan's late fees; told where an event is only imagined, and `None` where it is posted.
    pub late_fees: Option<LateFeeBook>,
    /// What interest is computed from; `None` when no event that is in order asks for it.
    pub accruals: Option<AccrualBook>,
    /// The periods in which nothing is booked any more.
    pub calendar: Calendar,
    /// Why every event is refused, whatever it is: the loan's hold says so, or a person discards a parked event.
    pub refusal: Option<RejectionCode>,
}

impl Past {
    /// Notes what the fold has booked.
    pub(super) fn note_booked(&mut self, seq: Option<Seq>, event: &NewEvent, posting: &Posting) {
        if let Some(history) = self.history.as_mut().filter(|_| posting.outcome == Outcome::Posted) {
            history.note(seq, event, posting);
        }
        if let Some(fees) = &mut self.fees {
            fees.note(event, posting);
        }
        if let (Some(receipts), Some(seq)) = (&mut self.receipts, seq) {
            receipts.note(seq, event, posting);
        }
        if let Some(late_fees) = &mut self.late_fees {
            late_fees.note(seq, event, posting);
        }
    }
}

/// An entry that stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Its lines, as posted.
    pub lines: Vec<Line>,
    /// How money that came in is divided today.
    pub split: Option<Allocation>,
    /// Of a disbursement: whether it is settled.
    pub is_settled: bool,
}

impl Booked {
    /// Whether it moved the memo accounts as money for a loan that is charged off does.
    #[must_use]
    pub fn is_recovery(&self) -> bool {
        self.split.is_some() && self.lines.iter().any(|line| line.account == AccountCode::CHARGED_OFF_MEMO)
    }

    /// Whether more fees are owed by it than before.
    pub(super) fn brings_fees(&self) -> bool {
        sum_on(&self.lines, AccountCode::FEES_RECEIVABLE) > 0
    }
}

/// What became of an earlier event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlierState {
    /// It stands in the books.
    Posted(Booked),
    /// A posting rule refused it: there is nothing to take back.
    Rejected,
    /// An event has taken it back.
    Undone,
}

/// The earlier events that events of a batch name, with what is known of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier(BTreeMap<Seq, Option<EarlierState>>);

impl Earlier {
    /// What these events name; nothing is known of it yet.
    #[must_use]
    pub fn of(events: &[AcceptedEvent]) -> Self {
        Self(events.iter().filter_map(|event| named(&event.event.command)).map(|seq| (seq, None)).collect())
    }

    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that no event before the one naming them will tell: a store reads them.
    #[must_use]
    pub fn unread(&self, events: &[AcceptedEvent]) -> Vec<Seq> {
        self.0.keys().copied().filter(|seq| events.iter().all(|event| event.seq != *seq)).collect()
    }

    /// Learns what became of an event; one that nobody names is not kept.
    pub fn learn(&mut self, seq: Seq, state: EarlierState) {
        if let Some(known) = self.0.get_mut(&seq) {
            *known = Some(state);
        }
    }

    /// What became of an event; `None` where that is not known.
    #[must_use]
    pub fn state(&self, seq: Seq) -> Option<&EarlierState> {
        self.0.get(&seq).and_then(Option::as_ref)
    }

    /// Whether legs among these events take back one that has brought fees: a store then tells the loan's fees.
    #[must_use]
    pub fn takes_back_fees(&self, events: &[AcceptedEvent]) -> bool {
        let brought_fees = |seq| matches!(self.state(seq), Some(EarlierState::Posted(booked)) if booked.brings_fees());
        let is_undo = |leg: &Leg| matches!(leg.terms, LegTerms::Reversal { .. });
        events.iter().any(|event| match &event.event.command {
            Command::Leg(leg) => is_undo(leg) && leg.terms.names().is_some_and(|named| brought_fees(named.seq)),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::PaymentReturn(_)
            | Command::Fee(_)
            | Command::Servicing(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Upload(_)
            | Command::Group(_) => false,
        })
    }

    /// Notes what the fold has done with an event.
    pub(super) fn note(&mut self, event: &AcceptedEvent, posting: &Posting) {
        if self.is_empty() {
            return;
        }
        match posting.outcome {
            Outcome::Posted => {
                if let Some(undone) = posting.undoes_seq {
                    self.learn(undone, EarlierState::Undone);
                }
                self.note_settled(&event.event.command);
                let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default().to_vec();
                let booked = Booked { lines, split: posting.allocation, is_settled: false };
                self.learn(event.seq, EarlierState::Posted(booked));
            }
            Outcome::Rejected(_) => self.learn(event.seq, EarlierState::Rejected),
            Outcome::Done => {}
        }
    }

    fn note_settled(&mut self, command: &Command) {
        let Command::Servicing(servicing) = command else { return };
        let ServicingAct::DisbursementSettled { disbursement } = &servicing.act else { return };
        if let Some(Some(EarlierState::Posted(booked))) = self.0.get_mut(&disbursement.seq) {
            booked.is_settled = true;
        }
    }
}

/// The earlier event that one names.
fn named(command: &Command) -> Option<Seq> {
    match command {
        Command::PaymentReturn(returned) => Some(returned.payment.seq),
        Command::Servicing(servicing) => servicing.act.names().map(|named| named.seq),
        Command::Leg(leg) => leg.terms.names().map(|named| named.seq),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_) => None,
    }
}

/// Whether an event of these is judged by the loan's fees: a store then tells them. Of legs see [`Earlier::takes_back_fees`].
#[must_use]
pub fn needs_fees(events: &[AcceptedEvent]) -> bool {
    events.iter().any(|event| is_judged_by_fees(&event.event.command))
}

/// Whether an event is judged by its loan's fees, as is what forgives fees, and reversals of returns and of what brings fees.
pub(super) fn is_judged_by_fees(command: &Command) -> bool {
    match command {
        Command::Servicing(servicing) => match &servicing.act {
            ServicingAct::FeeWaived { .. } => true,
            ServicingAct::ManualAdjustment { lines, .. } => !forgiven_by_hand(lines).is_zero(),
            ServicingAct::Reversal(reversed) => {
                let brings_fees = [EventKind::FeeAssessed, EventKind::ManualAdjustment, EventKind::LoanOpened];
                brings_fees.contains(&reversed.kind) || reversed.kind == EventKind::PaymentReturned
            }
            ServicingAct::DisbursementSettled { .. }
            | ServicingAct::SuspenseApplied { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::Chargeoff { .. }
            | ServicingAct::Recovery
            | ServicingAct::Restated { .. } => false,
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
        | Command::Leg(_) => false,
    }
}

/// Whether an event is an accrual whose interest is computed.
pub(super) fn computes_interest(command: &Command) -> bool {
    match command {
        Command::Leg(leg) => matches!(leg.terms, LegTerms::Accrual { interest: None, .. }),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Servicing(_)
        | Command::Upload(_)
        | Command::Group(_) => false,
    }
}

/// The group of an accrual among these events whose interest is computed, which tells by what rule; `None` where no
/// interest is computed. A store then tells principal by day and accruals.
#[must_use]
pub fn computing_group<'e>(events: impl IntoIterator<Item = &'e AcceptedEvent>) -> Option<Seq> {
    let mut computed = events.into_iter().filter(|event| computes_interest(&event.event.command));
    computed.find_map(|event| event.event.origin.group.map(|group| group.group_seq))
}
