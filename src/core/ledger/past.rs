//! Owns what the fold is told of a loan's past: only what an event of the batch asks about. For a batch of plain
//! payments that is nothing.
//!
//! - A backdated event needs what moved after its day ([`Timeline`]).
//! - An event that takes a payment back needs what became of that payment ([`TakenBack`]).
//! - Every event needs to know which accounting periods are closed ([`Calendar`]).

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::Seq;
use crate::core::ledger::period::Calendar;
use crate::core::ledger::posting::{Outcome, Posting};
use crate::core::loan::{Allocation, Timeline};

/// The part of a loan's past that a batch's events need. The fold adds what it posts, so that later events see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// What moved after the earliest backdated event; `None` when no event is backdated.
    pub timeline: Option<Timeline>,
    /// The payments that events of the batch take back.
    pub taken_back: TakenBack,
    /// The periods in which nothing is booked any more.
    pub calendar: Calendar,
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// It stands in the books, divided like this today.
    Posted(Allocation),
    /// A posting rule refused it: there is nothing to take back.
    Rejected,
    /// An event has taken it back.
    Undone,
}

/// The payments that events of a batch take back, with what is known of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack(BTreeMap<Seq, Option<PaymentState>>);

impl TakenBack {
    /// The payments that these events take back; nothing is known of them yet.
    #[must_use]
    pub fn of(events: &[AcceptedEvent]) -> Self {
        Self(
            events.iter().filter_map(|event| payment_taken_back(&event.event.command)).map(|seq| (seq, None)).collect(),
        )
    }

    /// Whether nothing is taken back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that no event before the one taking them back will tell: a store reads them.
    #[must_use]
    pub fn unread(&self, events: &[AcceptedEvent]) -> Vec<Seq> {
        self.0.keys().copied().filter(|seq| events.iter().all(|event| event.seq != *seq)).collect()
    }

    /// Learns what became of a payment; one that nobody takes back is not kept.
    pub fn learn(&mut self, payment: Seq, state: PaymentState) {
        if let Some(known) = self.0.get_mut(&payment) {
            *known = Some(state);
        }
    }

    /// What became of a payment; `None` where that is not known.
    #[must_use]
    pub fn state(&self, payment: Seq) -> Option<PaymentState> {
        self.0.get(&payment).copied().flatten()
    }

    /// Notes what the fold has done with an event.
    pub(super) fn note(&mut self, event: &AcceptedEvent, posting: &Posting) {
        match (posting.outcome, posting.undoes_seq) {
            (Outcome::Posted, Some(payment)) => self.learn(payment, PaymentState::Undone),
            (Outcome::Posted, None) => {
                if let Some(split) = posting.allocation {
                    self.learn(event.seq, PaymentState::Posted(split));
                }
            }
            (Outcome::Rejected(_), _) => self.learn(event.seq, PaymentState::Rejected),
            (Outcome::Done, _) => {}
        }
    }
}

/// The payment that an event takes back.
fn payment_taken_back(command: &Command) -> Option<Seq> {
    match command {
        Command::PaymentReturn(returned) => Some(returned.payment.seq),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::Upload(_) => None,
    }
}

/// The earliest day of these events that lies before a day already reached, by the loan or by an event in front of
/// it: the timeline begins there. `None` when none is backdated.
#[must_use]
pub fn earliest_backdated(reached: NaiveDate, events: &[AcceptedEvent]) -> Option<NaiveDate> {
    let mut reached = reached;
    let mut earliest: Option<NaiveDate> = None;
    // A receipt moves no balance, so what came after it does not matter.
    let moving = events.iter().map(|event| &event.event.command).filter(|it| !matches!(it, Command::Receipt(_)));
    for (first, last) in moving.map(Command::days) {
        if first < reached {
            earliest = Some(earliest.map_or(first, |earliest| earliest.min(first)));
        }
        reached = reached.max(last);
    }
    earliest
}
