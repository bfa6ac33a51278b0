//! Owns the posting rules: what an event does to a loan, or why it is refused. Accounts per event as in the contract,
//! section 7.

mod charge_off;
mod day;
mod money;
mod servicing;
mod undo;

pub(super) use charge_off::{principal_loss, recoveries};
pub(super) use day::{Day, movement_of};
pub(super) use money::judge_payment;
pub(super) use undo::judge_mirror;

use chrono::NaiveDate;

use crate::core::event::{Command, Fee, NO_BORROWER};
use crate::core::ids::Seq;
use crate::core::ledger::entry::{EntryError, JournalEntry, Layer, Line};
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::RejectionCode;
use crate::core::loan::{AccrualMark, Allocation, Balances, InterestError, LoanState, LoanStatus, Standing};
use crate::core::money::AmountOverflow;

/// Why an event was not booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A rule says no: an outcome that the caller is told.
    #[error("refused: {}", .0.as_str())]
    Rule(RejectionCode),
    /// Our own lines do not balance: a bug, never an outcome.
    #[error("the posting rule made no entry")]
    Broken(#[from] EntryError),
    /// A late event came without the loan's postings from its day on: a bug of the store, never an outcome.
    #[error("a late event came without the loan's history")]
    NoHistory,
    /// An event came without word of an earlier one that it names: a bug of the store, never an outcome.
    #[error("an event came without what became of the one it names")]
    NoEarlierEvent,
    /// An event came without the loan's fees, by which it is judged: a bug of the store, never an outcome.
    #[error("an event came without the loan's fees")]
    NoFees,
    /// A late fee came without the money that came in for its payment: a bug of the store, never an outcome.
    #[error("a late fee came without the loan's receipts")]
    NoReceipts,
    /// An accrual came without what its interest is computed from: a bug of ours, never an outcome.
    #[error("an accrual came without its rate, or without the loan's principal by day")]
    NoAccruals,
    /// The loan's principal by day cannot be: never an outcome.
    #[error("interest cannot be computed: {0}")]
    Interest(InterestError),
    /// A leg came without its group, or is of another sort than its group's: a bug of ours, never an outcome.
    #[error("a leg does not belong here")]
    OtherLeg,
    /// The loan's row was made from another opening event than the one that is judged first: the batch holds two.
    /// Not an outcome: the next batch makes the row anew from this event.
    #[error("the loan's row was made from another opening event")]
    OtherTerms,
}

impl From<AmountOverflow> for Refusal {
    fn from(_: AmountOverflow) -> Self {
        Self::Rule(RejectionCode::AmountOverflow)
    }
}

impl From<InterestError> for Refusal {
    fn from(error: InterestError) -> Self {
        match error {
            InterestError::OutOfRange => Self::Rule(RejectionCode::AmountOverflow),
            InterestError::NegativePrincipal | InterestError::BelowBooked | InterestError::Disorder => {
                Self::Interest(error)
            }
        }
    }
}

impl From<RejectionCode> for Refusal {
    fn from(code: RejectionCode) -> Self {
        Self::Rule(code)
    }
}

/// What an event does to its loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The lines; `None` when nothing moves.
    pub entry: Option<JournalEntry>,
    /// The split, for payments.
    pub allocation: Option<Allocation>,
    /// Movement of the loan's balances; signed.
    pub movement: Balances,
    /// Where the loan stands afterwards, where that changes.
    pub standing: Option<Standing>,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// The event it takes back.
    pub undoes_seq: Option<Seq>,
    /// The payment whose split it states anew.
    pub restates_seq: Option<Seq>,
    /// How far the loan is accrued afterwards, where interest was computed.
    pub accrued: Option<AccrualMark>,
}

impl Verdict {
    /// What an event does that takes nothing back.
    pub(super) fn new(
        lines: impl IntoIterator<Item = Line>,
        movement: Balances,
        effective_date: NaiveDate,
    ) -> Result<Self, EntryError> {
        let entry = JournalEntry::of_movements(lines, Layer::Settled)?;
        Ok(Self {
            entry,
            allocation: None,
            movement,
            standing: None,
            effective_date,
            undoes_seq: None,
            restates_seq: None,
            accrued: None,
        })
    }
}

/// Judges one event against the loan where the event stands: as it is, or for a late event as it was there, with the
/// past's view of the days around. The past must know the earlier event that this one names, and the loan's fees where
/// it waives one or takes one back.
///
/// # Errors
/// [`Refusal::Rule`] with the contract's code; any other refusal is our own mistake, and nothing is known of the event.
pub fn judge(state: &LoanState, command: &Command, past: &Past) -> Result<Verdict, Refusal> {
    let verdict = by_its_rule(state, command, past)?;
    // Nobody chooses the day of what takes an entry back, and money of a receipt, a return or a bank statement has moved:
    // these are booked on the first open day, whatever the tenant says of closed periods.
    let has_moved = matches!(command, Command::Receipt(_) | Command::BankSettlement(_) | Command::PaymentReturn(_));
    let is_bound = verdict.undoes_seq.is_some() || has_moved;
    if !is_bound && past.calendar.refuses(verdict.effective_date) {
        return Err(RejectionCode::PeriodClosed.into());
    }
    Ok(verdict)
}

fn by_its_rule(state: &LoanState, command: &Command, past: &Past) -> Result<Verdict, Refusal> {
    if state.version == 0 && command.opens_loan() {
        check_terms(state, command)?;
    }
    let is_open = state.version > 0;
    let day = || Day::new(state, command.days().0, past);
    match command {
        // Never queued, so never here; on no loan, were it.
        Command::Upload(_) | Command::Group(_) => Err(RejectionCode::LoanNotFound.into()),
        // Judged with its group, never alone.
        Command::Leg(_) => Err(Refusal::OtherLeg),
        Command::Receipt(receipt) => money::judge_receipt(receipt),
        Command::BankSettlement(settlement) => money::judge_bank_settlement(settlement),
        Command::LoanOpening(_) if is_open => Err(RejectionCode::LoanExists.into()),
        Command::LoanOpening(opening) => money::judge_opening(opening),
        Command::Payment(_) | Command::PaymentReturn(_) | Command::Fee(_) | Command::Servicing(_) if !is_open => {
            Err(RejectionCode::LoanNotFound.into())
        }
        Command::Payment(payment) => {
            check_party(state, command)?;
            check_status(state, &[LoanStatus::Open, LoanStatus::ChargedOff])?;
            check_day(state, command)?;
            judge_payment(&day()?, (payment.amount.minor, payment.source_method.payment_kind()))
        }
        Command::Disbursement(disbursement) => {
            check_chargeable(state, command)?;
            money::judge_disbursement(&day()?, disbursement)
        }
        // Borrower, currency and day were the payment's when it was posted; a closed loan takes returns.
        Command::PaymentReturn(returned) => undo::judge_return(&day()?, returned, past),
        // No loan was known when it was accepted, or it is one of our own, which nobody charges.
        Command::Fee(fee) if fee.borrower_id == NO_BORROWER && fee.charged_for.is_none() => {
            Err(RejectionCode::LoanNotFound.into())
        }
        Command::Fee(fee) => {
            check_chargeable(state, command)?;
            check_late(fee, past)?;
            money::judge_fee(&day()?, fee)
        }
        Command::Servicing(servicing) => servicing::judge_servicing(&day()?, command, servicing, past),
    }
}

/// An unopened loan has the terms of the event that opens it.
fn check_terms(state: &LoanState, command: &Command) -> Result<(), Refusal> {
    let terms = (command.borrower_id(), command.currency(), command.effective_date());
    if terms == (state.borrower_id, state.currency, state.opened_on) { Ok(()) } else { Err(Refusal::OtherTerms) }
}

/// New debt is taken by an open loan only.
fn check_chargeable(state: &LoanState, command: &Command) -> Result<(), RejectionCode> {
    check_party(state, command)?;
    check_status(state, &[LoanStatus::Open])?;
    check_day(state, command)
}

/// No late fee is charged for a payment that came in whole and on time (domain rule 52).
fn check_late(fee: &Fee, past: &Past) -> Result<(), Refusal> {
    let Some(late_for) = &fee.late_for else { return Ok(()) };
    let receipts = past.receipts.as_ref().ok_or(Refusal::NoReceipts)?;
    if receipts.has_paid(late_for) { Err(RejectionCode::PaidOnTime.into()) } else { Ok(()) }
}

fn check_party(state: &LoanState, command: &Command) -> Result<(), RejectionCode> {
    if command.borrower_id() != state.borrower_id {
        return Err(RejectionCode::BorrowerMismatch);
    }
    if command.currency() == state.currency { Ok(()) } else { Err(RejectionCode::CurrencyMismatch) }
}

fn check_status(state: &LoanState, allowed: &[LoanStatus]) -> Result<(), RejectionCode> {
    if allowed.contains(&state.status) { Ok(()) } else { Err(RejectionCode::LoanClosed) }
}

fn check_day(state: &LoanState, command: &Command) -> Result<(), RejectionCode> {
    if command.effective_date() < state.opened_on { Err(RejectionCode::EffectiveBeforeOpening) } else { Ok(()) }
}
