//! Owns the posting rules: what an event does to a loan, or why it is refused. Accounts per event as in the contract,
//! section 7.

use chrono::NaiveDate;

use crate::core::event::{Command, Disbursement, Fee, LoanOpening, Payment, PaymentReturn, Receipt};
use crate::core::ids::Seq;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{EntryError, JournalEntry, Layer, Line};
use crate::core::ledger::past::{Past, PaymentState};
use crate::core::ledger::posting::RejectionCode;
use crate::core::loan::{Allocation, Balances, LoanState, LoanStatus, Timeline, allocate};
use crate::core::money::{AmountOverflow, Currency, Minor};

/// Why an event was not booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A rule says no: an outcome that the caller is told.
    #[error("refused: {}", .0.as_str())]
    Rule(RejectionCode),
    /// Our own lines do not balance: a bug, never an outcome.
    #[error("the posting rule made no entry")]
    Broken(#[from] EntryError),
    /// A backdated event came without the movements after its day: a bug of the store, never an outcome.
    #[error("a backdated event came without the loan's later movements")]
    NoTimeline,
    /// A return came without word of its payment: a bug of the store, never an outcome.
    #[error("a return came without what became of its payment")]
    NoPayment,
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
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// The payment it takes back.
    pub undoes_seq: Option<Seq>,
}

impl Verdict {
    /// What an event does that takes nothing back.
    fn new(
        lines: impl IntoIterator<Item = Line>,
        movement: Balances,
        effective_date: NaiveDate,
    ) -> Result<Self, EntryError> {
        let entry = JournalEntry::of_movements(lines, Layer::Settled)?;
        Ok(Self { entry, allocation: None, movement, effective_date, undoes_seq: None })
    }
}

/// Judges one event against the loan as it stands. The past's timeline must hold every movement dated after the first
/// day that the event counts from when that lies before the loan's greatest one; otherwise it is not looked at. For a
/// return the past must know the payment.
///
/// # Errors
/// [`Refusal::Rule`] with the contract's code; any other refusal is our own mistake, and nothing is known of the event.
pub fn judge(state: &LoanState, command: &Command, past: &Past) -> Result<Verdict, Refusal> {
    if state.version == 0 && command.opens_loan() {
        check_terms(state, command)?;
    }
    let is_open = state.version > 0;
    let timeline = past.timeline.as_ref();
    match command {
        // Never queued, so never here; on no loan, were it.
        Command::Upload(_) => Err(RejectionCode::LoanNotFound.into()),
        Command::Receipt(receipt) => judge_receipt(receipt),
        Command::LoanOpening(_) if is_open => Err(RejectionCode::LoanExists.into()),
        Command::LoanOpening(opening) => judge_opening(opening),
        Command::Payment(_) | Command::PaymentReturn(_) | Command::Fee(_) if !is_open => {
            Err(RejectionCode::LoanNotFound.into())
        }
        Command::Payment(payment) => {
            check_loan(state, command)?;
            judge_payment(state, payment, timeline)
        }
        Command::Disbursement(disbursement) => {
            check_loan(state, command)?;
            judge_disbursement(state, disbursement, timeline)
        }
        // Borrower, currency and day were the payment's when it was posted; a closed loan takes returns.
        Command::PaymentReturn(returned) => judge_return(state, returned, past),
        Command::Fee(fee) => {
            check_loan(state, command)?;
            judge_fee(state, fee, timeline)
        }
    }
}

/// An unopened loan has the terms of the event that opens it.
fn check_terms(state: &LoanState, command: &Command) -> Result<(), Refusal> {
    let terms = (command.borrower_id(), command.currency(), command.effective_date());
    if terms == (state.borrower_id, state.currency, state.opened_on) { Ok(()) } else { Err(Refusal::OtherTerms) }
}

/// The movements after `date`, which a backdated event needs and no other.
fn later_movements<'a>(
    state: &LoanState,
    date: NaiveDate,
    timeline: Option<&'a Timeline>,
) -> Result<Option<&'a Timeline>, Refusal> {
    if date < state.greatest_effective_date { timeline.ok_or(Refusal::NoTimeline).map(Some) } else { Ok(None) }
}

/// Proves that neither today's balances nor those of a later day leave 64 bits.
fn check_room(
    state: &LoanState,
    date: NaiveDate,
    later: Option<&Timeline>,
    movement: &Balances,
) -> Result<(), AmountOverflow> {
    state.balances.plus(movement)?;
    later.map_or(Ok(()), |later| later.check_room(date, &state.balances, movement))
}

fn check_loan(state: &LoanState, command: &Command) -> Result<(), RejectionCode> {
    let (borrower, currency, date): (_, Currency, NaiveDate) =
        (command.borrower_id(), command.currency(), command.effective_date());
    if borrower != state.borrower_id {
        return Err(RejectionCode::BorrowerMismatch);
    }
    if currency != state.currency {
        return Err(RejectionCode::CurrencyMismatch);
    }
    match state.status {
        LoanStatus::Open => {}
        LoanStatus::WrittenOff => return Err(RejectionCode::LoanClosed),
    }
    if date < state.opened_on { Err(RejectionCode::EffectiveBeforeOpening) } else { Ok(()) }
}

fn judge_payment(state: &LoanState, payment: &Payment, timeline: Option<&Timeline>) -> Result<Verdict, Refusal> {
    let (amount, date) = (payment.amount.minor, payment.effective_date);
    let later = later_movements(state, date, timeline)?;
    let payable = later.map_or(Ok(state.balances), |later| later.least_since(date, &state.balances))?;
    let split = allocate(amount, &payable, state.waterfall)?;
    let lines = [
        Line::debit(AccountCode::PAYMENT_CLEARING, amount),
        Line::credit(AccountCode::FEES_RECEIVABLE, split.fees)?,
        Line::credit(AccountCode::INTEREST_RECEIVABLE, split.interest)?,
        Line::credit(AccountCode::PRINCIPAL_RECEIVABLE, split.principal)?,
        Line::credit(AccountCode::BORROWER_SUSPENSE, split.suspense)?,
    ];
    let movement = split.movement()?;
    check_room(state, date, later, &movement)?;
    Ok(Verdict { allocation: Some(split), ..Verdict::new(lines, movement, date)? })
}

fn judge_disbursement(
    state: &LoanState,
    disbursement: &Disbursement,
    timeline: Option<&Timeline>,
) -> Result<Verdict, Refusal> {
    let (amount, date) = (disbursement.amount.minor, disbursement.effective_date);
    let later = later_movements(state, date, timeline)?;
    let lines = [
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, amount),
        Line::credit(AccountCode::DISBURSEMENT_CLEARING, amount)?,
    ];
    let movement = Balances { principal: amount, ..Balances::default() };
    check_room(state, date, later, &movement)?;
    Ok(Verdict::new(lines, movement, date)?)
}

/// Takes a payment back at its own effective date: the mirror of its current split against the money received. What
/// of its suspense is not there any more, on any day since, has gone out otherwise and is owed again as principal
/// (domain rule 24). Payments after it keep their splits until replay is built.
fn judge_return(state: &LoanState, returned: &PaymentReturn, past: &Past) -> Result<Verdict, Refusal> {
    let split = match past.taken_back.state(returned.payment.seq).ok_or(Refusal::NoPayment)? {
        PaymentState::Posted(split) => split,
        PaymentState::Rejected => return Err(RejectionCode::NotReversible.into()),
        PaymentState::Undone => return Err(RejectionCode::AlreadyUndone.into()),
    };
    let date = returned.payment.effective_date;
    let later = later_movements(state, date, past.timeline.as_ref())?;
    let least = later.map_or(Ok(state.balances), |later| later.least_since(date, &state.balances))?;
    let suspense = split.suspense.min(least.suspense).max(Minor::ZERO);
    let principal = split.principal.plus(split.suspense.minus(suspense)?)?;
    let lines = [
        Line::debit(AccountCode::FEES_RECEIVABLE, split.fees),
        Line::debit(AccountCode::INTEREST_RECEIVABLE, split.interest),
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, principal),
        Line::debit(AccountCode::BORROWER_SUSPENSE, suspense),
        Line::credit(AccountCode::PAYMENT_CLEARING, returned.amount.minor)?,
    ];
    let movement = Balances { fees: split.fees, interest: split.interest, principal, suspense: suspense.mirrored()? };
    check_room(state, date, later, &movement)?;
    Ok(Verdict { undoes_seq: Some(returned.payment.seq), ..Verdict::new(lines, movement, date)? })
}

fn judge_fee(state: &LoanState, fee: &Fee, timeline: Option<&Timeline>) -> Result<Verdict, Refusal> {
    let (amount, date) = (fee.amount.minor, fee.effective_date);
    let later = later_movements(state, date, timeline)?;
    let lines = [Line::debit(AccountCode::FEES_RECEIVABLE, amount), Line::credit(AccountCode::FEE_INCOME, amount)?];
    let movement = Balances { fees: amount, ..Balances::default() };
    check_room(state, date, later, &movement)?;
    Ok(Verdict::new(lines, movement, date)?)
}

/// Of no loan: it moves no balance, so no day is too early for it and no timeline is looked at.
fn judge_receipt(receipt: &Receipt) -> Result<Verdict, Refusal> {
    let amount = receipt.amount.minor;
    let lines =
        [Line::debit(AccountCode::PAYMENT_CLEARING, amount), Line::credit(AccountCode::UNIDENTIFIED_RECEIPTS, amount)?];
    Ok(Verdict::new(lines, Balances::default(), receipt.effective_date)?)
}

fn judge_opening(opening: &LoanOpening) -> Result<Verdict, Refusal> {
    let owed = opening.opening_balances;
    let total = Minor::sum([owed.fees, owed.interest, owed.principal])?;
    let lines = [
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, owed.principal),
        Line::debit(AccountCode::INTEREST_RECEIVABLE, owed.interest),
        Line::debit(AccountCode::FEES_RECEIVABLE, owed.fees),
        Line::credit(AccountCode::OPENING_BALANCES, total)?,
    ];
    let movement =
        Balances { fees: owed.fees, interest: owed.interest, principal: owed.principal, suspense: Minor::ZERO };
    Ok(Verdict::new(lines, movement, opening.opened_on)?)
}
