//! Owns what is told of a loan's postings where an event is late, and which events are.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveDate;

use crate::core::event::{AcceptedEvent, Command, EventKind, LegTerms, NO_BORROWER, NewEvent, ServicingAct};
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::fold::LoanWork;
use crate::core::ledger::late_fees::{late_for_of, needs_receipts};
use crate::core::ledger::past::{computes_interest, needs_fees};
use crate::core::ledger::posting::{Outcome, Posting};
use crate::core::loan::{AccrualBook, InterestRule, LoanState};

/// A posted event of a loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its place; `None` for a consequence that this batch has made, which has none before it is written.
    pub(super) seq: Option<Seq>,
    /// The event.
    pub(super) event: Arc<NewEvent>,
    /// What came of it.
    pub(super) posting: Posting,
}

/// The postings of a loan that count from some day on, in the order of their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub(super) rows: Vec<Row>,
    /// How the loan bears interest, and what it is computed from of the days before the first row; `None` where no
    /// interest of these rows is computed.
    pub(super) accruals: Option<(InterestRule, AccrualBook)>,
    /// How often this batch has replayed it.
    replays: usize,
    /// Whether a late fee stands in the rows that says what it is for.
    has_late_fees: bool,
    /// What has no number yet of that which another late event may restate.
    unnumbered: Unnumbered,
}

/// Which consequences this batch has made that are restated where something else comes in front of them: nothing that is
/// kept may name them before they are written. Restatements are none of them, for what they restate has a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unnumbered {
    /// Suspense that paid new debt.
    releases: bool,
    /// Fees that returns have brought.
    fees: bool,
}

impl History {
    /// The postings that a store has read, in the order of their versions.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = (AcceptedEvent, Posting)>) -> Self {
        let row =
            |(event, posting): (AcceptedEvent, Posting)| Row { seq: Some(event.seq), event: event.event, posting };
        let rows: Vec<Row> = rows.into_iter().map(row).collect();
        let has_late_fees = rows.iter().any(|row| late_for_of(&row.event.command).is_some());
        Self { rows, has_late_fees, ..Self::default() }
    }

    /// The same with what its interest is computed from: what counts from before the first day of the postings.
    #[must_use]
    pub fn with_accruals(self, rule: InterestRule, before: AccrualBook) -> Self {
        Self { accruals: Some((rule, before)), ..self }
    }

    /// Takes in what the fold has posted.
    pub(in crate::core::ledger) fn note(&mut self, seq: Option<Seq>, event: &NewEvent, posting: &Posting) {
        self.has_late_fees |= late_for_of(&event.command).is_some();
        if seq.is_none() {
            self.unnumbered.releases |= event.kind == EventKind::SuspenseApplied;
            self.unnumbered.fees |= event.kind == EventKind::FeeAssessed;
        }
        self.rows.push(Row { seq, event: Arc::new(event.clone()), posting: posting.clone() });
    }

    /// Notes a replay.
    pub(in crate::core::ledger) const fn note_replay(&mut self) {
        self.replays = self.replays.saturating_add(1);
    }

    /// Gives numbers that no event has to the consequences that have none, where nothing of them is kept.
    pub(in crate::core::ledger) fn imagine_numbers(&mut self) {
        for (number, row) in (1_i64..).zip(&mut self.rows) {
            row.seq = row.seq.or(Some(Seq(number.saturating_neg())));
        }
        self.unnumbered = Unnumbered::default();
    }

    /// Whether this batch has replayed it for long enough: another late event waits for the next one, so that no
    /// transaction stands still for longer than its database allows.
    pub(in crate::core::ledger) const fn is_worn(&self) -> bool {
        self.replays.saturating_mul(self.rows.len()) > ROWS_REPLAYED_MAX
    }

    /// Whether a late fee stands in it that says what it is for: a late payment may show that it was on time.
    #[must_use]
    pub const fn has_late_fees(&self) -> bool {
        self.has_late_fees
    }

    /// Whether a payment has gone back before: a return of it stands, or the fee that one brought. Such a fee that was refused,
    /// taken back or waived does not come again with the next part of the payment. A return of which nothing stands any
    /// more has never been.
    pub(in crate::core::ledger) fn went_back(&self, payment: EventId) -> bool {
        let posted = || self.rows.iter().filter(|row| row.posting.outcome == Outcome::Posted);
        let undone: BTreeSet<Seq> = posted().filter_map(|row| row.posting.undoes_seq).collect();
        let is_of_payment = |row: &&Row| match &row.event.command {
            Command::PaymentReturn(returned) => returned.payment.id == payment,
            Command::Fee(fee) => fee.charged_for == Some(payment),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::Servicing(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Upload(_)
            | Command::Group(_)
            | Command::Leg(_) => false,
        };
        posted().filter(is_of_payment).any(|row| row.seq.is_none_or(|seq| !undone.contains(&seq)))
    }

    /// Whether a late event may restate what is not numbered yet, and so waits for the next batch. What suspense pays, any
    /// may change. A fee does something else only where the loan is charged off in front of it, or is so no more.
    pub(in crate::core::ledger) const fn awaits_numbers_for(&self, command: &Command) -> bool {
        self.unnumbered.releases || (self.unnumbered.fees && changes_charge_off(command))
    }
}

/// Whether an event charges its loan off, or takes that back.
const fn changes_charge_off(command: &Command) -> bool {
    match command {
        Command::Servicing(servicing) => match &servicing.act {
            ServicingAct::Chargeoff { .. } => true,
            ServicingAct::Reversal(reversed) => matches!(reversed.kind, EventKind::Chargeoff),
            ServicingAct::DisbursementSettled { .. }
            | ServicingAct::FeeWaived { .. }
            | ServicingAct::SuspenseApplied { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::ManualAdjustment { .. }
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

/// Whether an event stands in front of something that is posted: it counts from an earlier day. Of one day's events that
/// were accepted at once either order is right, and it is that of their postings. What takes an entry back always does,
/// and what gives money of a payment back must know what the payment paid.
fn is_late(command: &Command, reached: NaiveDate) -> bool {
    command.days().0 < reached || undoes_or_returns(command)
}

/// The first day from which on an event is not late behind this one: its own, or behind interest that was computed for a
/// day and so by all that counts from it, the next.
pub(in crate::core::ledger) fn reached_by(command: &Command, date: NaiveDate) -> NaiveDate {
    if computes_interest(command) { date.succ_opt().unwrap_or(date) } else { date }
}

/// Where the history of a late event begins: on its day, or on that of the payment whose money goes back.
fn since(command: &Command) -> NaiveDate {
    let first = command.days().0;
    command.payment_return().map_or(first, |returned| first.min(returned.payment.effective_date))
}

/// The earlier day from which these postings have to be read, for payments whose money went back in them on a day of its
/// own: what goes back depends on what they paid. `None` where none does.
#[must_use]
pub fn reaches_back_to(rows: &[(AcceptedEvent, Posting)], since: NaiveDate) -> Option<NaiveDate> {
    let charged_back = rows.iter().filter(|(_, posting)| posting.undoes_seq.is_none());
    let charged_back = charged_back.filter_map(|(event, _)| event.event.command.payment_return());
    let charged_back = charged_back.map(|returned| returned.payment.effective_date);
    charged_back.min().filter(|date| *date < since)
}

/// Whether an event takes an entry back, or gives money of a payment back: what it does depends on what stands of that
/// event today, whatever day it counts from.
fn undoes_or_returns(command: &Command) -> bool {
    match command {
        Command::PaymentReturn(_) => true,
        Command::Servicing(servicing) => matches!(servicing.act, ServicingAct::Reversal(_)),
        Command::Leg(leg) => matches!(leg.terms, LegTerms::Reversal { .. }),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_) => false,
    }
}

/// Whether it stands on a loan of our own: such a loan has no balance, so what came after does not matter.
fn is_on_own_loan(state: &LoanState, command: &Command) -> bool {
    state.borrower_id == NO_BORROWER || matches!(command, Command::Receipt(_) | Command::BankSettlement(_))
}

/// The earliest day of these events that are late: the history begins there. `None` where none is.
#[must_use]
pub fn earliest_late(state: &LoanState, events: &[AcceptedEvent]) -> Option<NaiveDate> {
    let mut reached = state.greatest_effective_date;
    let mut earliest: Option<NaiveDate> = None;
    for event in events {
        let command = &event.event.command;
        if is_on_own_loan(state, command) {
            continue;
        }
        let (first, latest) = (since(command), command.days().1);
        if is_late(command, reached) {
            earliest = Some(earliest.map_or(first, |earliest| earliest.min(first)));
        }
        reached = reached.max(reached_by(command, latest));
    }
    earliest
}

/// A batch replays at most this many rows of a loan's past, give or take one event: a second or two.
const ROWS_REPLAYED_MAX: usize = 1_000_000;

/// A loan with more postings than this gets a transaction of its own where its past is asked for: reading them, and writing
/// what a late item changes in them, takes as long as a whole batch of others. So a batch of several loans reads at most
/// this many postings of each.
const LONG_HISTORY: i64 = 512;

/// Whether a loan's events ask for much of its past, to replay it, to count what came in for a late fee (whose period may
/// begin with the loan), or to tell its fees apart. Its batch then holds no other loan, so that nobody waits for it.
#[must_use]
pub fn reads_long(state: Option<&LoanState>, events: &[AcceptedEvent]) -> bool {
    let reads = |state: &LoanState| {
        earliest_late(state, events).is_some() || needs_receipts(events).is_some() || needs_fees(events)
    };
    state.filter(|state| state.version > LONG_HISTORY).is_some_and(reads)
}

/// Whether what becomes of a loan's events rests on them and on its state alone: payments in order, on a loan that was not
/// charged off. Nothing else of the books is read for them.
#[must_use]
pub fn rests_on_state(loan: &LoanWork) -> bool {
    let are_payments = loan.events.iter().all(|event| matches!(event.event.command, Command::Payment(_)));
    let is_plain = |state: &LoanState| state.charged_off.is_none() && earliest_late(state, &loan.events).is_none();
    are_payments && loan.state.as_ref().is_some_and(is_plain)
}

/// Whether an event of a loan is late.
pub(in crate::core::ledger) fn is_late_on(state: &LoanState, command: &Command) -> bool {
    !is_on_own_loan(state, command) && state.version > 0 && is_late(command, state.greatest_effective_date)
}
