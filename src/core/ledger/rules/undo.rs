//! Owns the rules of what takes an entry back, once and at the entry's own day: returns and reversals.

use crate::core::event::{EarlierEvent, EventKind, NO_BORROWER, PaymentReturn, ReversedEntry};
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{Direction, Line};
use crate::core::ledger::late::ChargeBack;
use crate::core::ledger::past::{Booked, EarlierState, Past};
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::day::{Day, movement_of, side_of};
use crate::core::ledger::rules::{Refusal, Verdict};
use crate::core::loan::{Balances, LoanStatus, Memo, ReturnManner};
use crate::core::money::Minor;

/// Takes a payment back at its own effective date, or gives its money back on the return's.
pub(super) fn judge_return(day: &Day<'_>, returned: &PaymentReturn, past: &Past) -> Result<Verdict, Refusal> {
    let booked = standing(past, returned.payment.seq)?;
    // A receipt that was assigned is its loan's money: that is taken back first.
    if returned.borrower_id == NO_BORROWER && booked.split.is_some() {
        return Err(RejectionCode::NotReversible.into());
    }
    match returned.manner {
        ReturnManner::Void => Ok(Verdict { undoes_seq: Some(returned.payment.seq), ..take_back(day, booked)? }),
        ReturnManner::Chargeback(_) => judge_chargeback(day, returned.amount.minor),
    }
}

/// Money of a payment goes back, never more than came in, and is owed again from this day on: out of suspense first, then
/// bucket by bucket what the payment paid there. Of a loan that is charged off it is owed on the memo accounts.
fn judge_chargeback(day: &Day<'_>, amount: Minor) -> Result<Verdict, Refusal> {
    let ChargeBack { lines, split, left } = day.charge_back()?;
    if left.is_zero() {
        return Err(RejectionCode::AlreadyUndone.into());
    }
    if amount > *left {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let movement = movement_of(lines)?;
    day.check_room(&movement)?;
    Ok(Verdict { allocation: Some(*split), ..Verdict::new(lines.iter().copied(), movement, day.date)? })
}

/// Takes an entry back at its own effective date.
pub(super) fn judge_reversal(day: &Day<'_>, reversed: &ReversedEntry, past: &Past) -> Result<Verdict, Refusal> {
    let booked = standing(past, reversed.event.seq)?;
    let verdict = match reversed.kind {
        EventKind::PaymentReceived if day.state.status == LoanStatus::WrittenOff && !booked.is_recovery() => {
            return Err(RejectionCode::NotReversible.into());
        }
        EventKind::Chargeoff => undo_chargeoff(day, booked)?,
        // What brought fees stays as long as waivers find no others.
        EventKind::FeeAssessed | EventKind::ManualAdjustment | EventKind::LoanOpened => {
            check_stands_without(reversed.event.id, past)?;
            take_back(day, booked)?
        }
        EventKind::PaymentReceived
        | EventKind::Recovery
        | EventKind::Disbursement
        | EventKind::DisbursementSettled
        | EventKind::Accrual
        | EventKind::FeeWaived
        | EventKind::SuspenseApplied
        | EventKind::SuspenseRefunded
        | EventKind::SuspenseTransferred
        | EventKind::Refinance
        | EventKind::Restructure => take_back(day, booked)?,
        // Money that went back on a day of its own has come again; a payment that was taken back as a whole stays so.
        EventKind::PaymentReturned if day.taken_back()?.is_some_and(|lines| !lines.is_empty()) => {
            // A fee that it had owed again was forgiven a second time: that is taken back first.
            if past.fees.as_ref().ok_or(Refusal::NoFees)?.is_forgiven_again() {
                return Err(RejectionCode::NotReversible.into());
            }
            take_back(day, booked)?
        }
        EventKind::Reversal
        | EventKind::PaymentReturned
        | EventKind::PaymentAllocated
        | EventKind::UnidentifiedReceipt
        | EventKind::BankSettled
        | EventKind::ReceiptAssigned
        | EventKind::Upload => return Err(RejectionCode::NotReversible.into()),
    };
    Ok(Verdict { undoes_seq: Some(reversed.event.seq), ..verdict })
}

/// Takes a leg of a group back by its mirror. One that brought fees stays as long as waivers find no others.
pub(in crate::core::ledger) fn judge_mirror(day: &Day<'_>, leg: EarlierEvent, past: &Past) -> Result<Verdict, Refusal> {
    let booked = standing(past, leg.seq)?;
    if booked.brings_fees() {
        check_stands_without(leg.id, past)?;
    }
    Ok(Verdict { undoes_seq: Some(leg.seq), ..take_back(day, booked)? })
}

/// Proves that waivers find as much to forgive without what brought fees.
fn check_stands_without(event: EventId, past: &Past) -> Result<(), Refusal> {
    let fees = past.fees.as_ref().ok_or(Refusal::NoFees)?;
    if fees.stands_without(event) { Ok(()) } else { Err(RejectionCode::NotReversible.into()) }
}

/// The entry to take back, if there is one that stands.
fn standing(past: &Past, seq: Seq) -> Result<&Booked, Refusal> {
    match past.earlier.state(seq).ok_or(Refusal::NoEarlierEvent)? {
        EarlierState::Posted(booked) => Ok(booked),
        EarlierState::Rejected => Err(RejectionCode::NotReversible.into()),
        EarlierState::Undone => Err(RejectionCode::AlreadyUndone.into()),
    }
}

/// The mirror of all that stands of an entry, its restatements with it. What follows from that for later events, the
/// replay tells. Receipts without a loan have no life to be replayed, and no restatements.
fn take_back(day: &Day<'_>, booked: &Booked) -> Result<Verdict, Refusal> {
    // Its money went back already: that is taken back first.
    if day.is_charged_back() {
        return Err(RejectionCode::NotReversible.into());
    }
    let lines = match day.taken_back()? {
        Some(lines) => lines.to_vec(),
        None => booked.lines.iter().map(|line| Line::credit(line.account, line.signed)).collect::<Result<_, _>>()?,
    };
    let movement = movement_of(&lines)?;
    Ok(Verdict::new(lines, movement, day.date)?)
}

/// What was charged off is owed on the balance sheet again, as long as nothing of it was recovered since. More may be owed
/// by now: money that was paid out and turned out not to be the borrower's.
fn undo_chargeoff(day: &Day<'_>, booked: &Booked) -> Result<Verdict, Refusal> {
    let charged_off = day.state.charged_off.ok_or(RejectionCode::NotReversible)?;
    let Memo { fees, interest, principal } = charged_off.memo;
    let back = Balances { fees, interest, principal, suspense: Minor::ZERO };
    let verdict = take_back(day, booked)?;
    let is_whole = back.least(&verdict.movement) == verdict.movement;
    if is_whole { Ok(verdict) } else { Err(RejectionCode::NotReversible.into()) }
}

/// What waits in clearing of a disbursement that stands and is not settled.
pub(super) fn unsettled(past: &Past, disbursement: Seq) -> Result<Minor, Refusal> {
    match past.earlier.state(disbursement).ok_or(Refusal::NoEarlierEvent)? {
        EarlierState::Posted(booked) if !booked.is_settled => {
            Ok(side_of(&booked.lines, AccountCode::DISBURSEMENT_CLEARING, Direction::Credit)?)
        }
        EarlierState::Posted(_) | EarlierState::Rejected | EarlierState::Undone => {
            Err(RejectionCode::InsufficientBalance.into())
        }
    }
}
