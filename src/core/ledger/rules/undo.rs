//! Owns the rules of what takes an entry back, once and at the entry's own day: returns and reversals.

use crate::core::event::{EventKind, PaymentReturn, ReversedEntry};
use crate::core::ids::Seq;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{Direction, Line};
use crate::core::ledger::past::{Booked, EarlierState, Past};
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::charge_off::{memo_up, principal_loss, recoveries};
use crate::core::ledger::rules::day::{Day, movement_of, side_of};
use crate::core::ledger::rules::{Refusal, Verdict};
use crate::core::loan::{Allocation, Balances, ChargedOff, LoanStatus, Memo, Standing};
use crate::core::money::{AmountOverflow, Minor};

/// Takes a payment back at its own effective date. Payments after it keep their splits until replay is built.
pub(super) fn judge_return(day: &Day<'_>, returned: &PaymentReturn, past: &Past) -> Result<Verdict, Refusal> {
    let booked = standing(past, returned.payment.seq)?;
    let verdict = take_back_money(day, booked)?;
    Ok(Verdict { undoes_seq: Some(returned.payment.seq), ..verdict })
}

/// Takes an entry back: money that came in as a return does, anything else by its mirror.
pub(super) fn judge_reversal(day: &Day<'_>, reversed: &ReversedEntry, past: &Past) -> Result<Verdict, Refusal> {
    let booked = standing(past, reversed.event.seq)?;
    let verdict = match reversed.kind {
        EventKind::PaymentReceived if day.state.status == LoanStatus::WrittenOff && !booked.is_recovery() => {
            return Err(RejectionCode::NotReversible.into());
        }
        EventKind::PaymentReceived | EventKind::Recovery => take_back_money(day, booked)?,
        EventKind::Chargeoff => undo_chargeoff(day, booked)?,
        EventKind::FeeAssessed => {
            let fees = past.fees.as_ref().ok_or(Refusal::NoFees)?;
            if fees.is_waived(reversed.event.id) {
                return Err(RejectionCode::NotReversible.into());
            }
            mirror(day, booked)?
        }
        EventKind::Disbursement
        | EventKind::LoanOpened
        | EventKind::DisbursementSettled
        | EventKind::Accrual
        | EventKind::FeeWaived
        | EventKind::SuspenseApplied
        | EventKind::SuspenseRefunded
        | EventKind::SuspenseTransferred
        | EventKind::Refinance
        | EventKind::Restructure
        | EventKind::ManualAdjustment => mirror(day, booked)?,
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

/// Takes a leg of a group back by its mirror.
pub(in crate::core::ledger) fn judge_mirror(day: &Day<'_>, seq: Seq, past: &Past) -> Result<Verdict, Refusal> {
    let booked = standing(past, seq)?;
    Ok(Verdict { undoes_seq: Some(seq), ..mirror(day, booked)? })
}

/// The entry to take back, if there is one that stands.
fn standing(past: &Past, seq: Seq) -> Result<&Booked, Refusal> {
    match past.earlier.state(seq).ok_or(Refusal::NoEarlierEvent)? {
        EarlierState::Posted(booked) => Ok(booked),
        EarlierState::Rejected => Err(RejectionCode::NotReversible.into()),
        EarlierState::Undone => Err(RejectionCode::AlreadyUndone.into()),
    }
}

/// The mirror of a current split against the money received. What of its suspense is not there any more, on any day
/// since, has gone out otherwise and is owed again as principal (domain rule 24).
fn take_back_money(day: &Day<'_>, booked: &Booked) -> Result<Verdict, Refusal> {
    let split = booked.split.ok_or(RejectionCode::NotReversible)?;
    let suspense = split.suspense.min(day.least()?.suspense).max(Minor::ZERO);
    let gone = split.suspense.minus(suspense)?;
    if let Some(charged_off) = day.state.charged_off {
        return owe_on_memo(day, booked, charged_off, (Allocation { suspense, ..split }, gone));
    }
    let principal = split.principal.plus(gone)?;
    let lines = [
        Line::debit(AccountCode::FEES_RECEIVABLE, split.fees),
        Line::debit(AccountCode::INTEREST_RECEIVABLE, split.interest),
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, principal),
        Line::debit(AccountCode::BORROWER_SUSPENSE, suspense),
        Line::credit(AccountCode::PAYMENT_CLEARING, split.total()?)?,
    ];
    let movement = Balances { fees: split.fees, interest: split.interest, principal, suspense: suspense.mirrored()? };
    day.check_room(&movement)?;
    Ok(Verdict::new(lines, movement, day.date)?)
}

/// The same on a loan that is charged off: the debt comes back on the memo accounts. A recovery leaves the recovery
/// accounts again (domain rule 50); an older payment makes the loss greater (domain 5.2, chargeback after charge-off).
fn owe_on_memo(
    day: &Day<'_>,
    booked: &Booked,
    charged_off: ChargedOff,
    (split, gone): (Allocation, Minor),
) -> Result<Verdict, Refusal> {
    let owed = Memo { fees: split.fees, interest: split.interest, principal: split.principal.plus(gone)? };
    let loss = principal_loss(charged_off.loss);
    let bearers = if booked.is_recovery() {
        [
            Line::debit(recoveries(charged_off.loss), owed.total()?.minus(gone)?),
            Line::debit(loss, gone),
            Line::debit(AccountCode::FEES_REVERSED, Minor::ZERO),
        ]
    } else {
        [
            Line::debit(AccountCode::FEES_REVERSED, owed.fees),
            Line::debit(AccountCode::INTEREST_REVERSED, owed.interest),
            Line::debit(loss, owed.principal),
        ]
    };
    let money = [
        Line::debit(AccountCode::BORROWER_SUSPENSE, split.suspense),
        Line::credit(AccountCode::PAYMENT_CLEARING, split.total()?.plus(gone)?)?,
    ];
    let movement = Balances { suspense: split.suspense.mirrored()?, ..Balances::default() };
    day.check_room(&movement)?;
    let memo = charged_off.memo.plus(&owed)?;
    let standing = Standing { status: day.state.status, charged_off: Some(ChargedOff { memo, ..charged_off }) };
    let lines = bearers.into_iter().chain(money).chain(memo_up(owed.total()?)?);
    Ok(Verdict { standing: Some(standing), ..Verdict::new(lines, movement, day.date)? })
}

/// What was charged off is owed on the balance sheet again, as long as nothing was recovered or returned since.
fn undo_chargeoff(day: &Day<'_>, booked: &Booked) -> Result<Verdict, Refusal> {
    let charged_off = day.state.charged_off.ok_or(RejectionCode::NotReversible)?;
    let movement = movement_of(&booked.lines)?;
    let Memo { fees, interest, principal } = charged_off.memo;
    let back = Balances { fees, interest, principal, suspense: Minor::ZERO };
    if movement.plus(&back)? != Balances::default() {
        return Err(RejectionCode::NotReversible.into());
    }
    day.check_room(&back)?;
    let standing = Standing { status: LoanStatus::Open, charged_off: None };
    Ok(Verdict { standing: Some(standing), ..Verdict::new(mirrored(&booked.lines)?, back, day.date)? })
}

/// The mirror of a whole entry. A loan that is charged off takes no debt back on its balance sheet; suspense that paid
/// its memo buckets is owed on them again.
fn mirror(day: &Day<'_>, booked: &Booked) -> Result<Verdict, Refusal> {
    let lines = mirrored(&booked.lines)?;
    let movement = movement_of(&lines)?;
    let debts = Balances { suspense: Minor::ZERO, ..movement };
    let standing = match (day.state.charged_off, booked.is_recovery(), booked.split) {
        (None, true, _) => return Err(RejectionCode::NotReversible.into()),
        (Some(charged_off), true, Some(split)) => {
            let owed = Memo { fees: split.fees, interest: split.interest, principal: split.principal };
            let memo = charged_off.memo.plus(&owed)?;
            Some(Standing { status: day.state.status, charged_off: Some(ChargedOff { memo, ..charged_off }) })
        }
        (Some(_), _, _) if debts != Balances::default() => return Err(RejectionCode::NotReversible.into()),
        (Some(_) | None, _, _) => None,
    };
    if let Err(refusal) = day.check_takes(&movement) {
        let is_short = refusal == Refusal::Rule(RejectionCode::InsufficientBalance);
        return Err(if is_short { RejectionCode::NotReversible.into() } else { refusal });
    }
    day.check_room(&movement)?;
    Ok(Verdict { standing, ..Verdict::new(lines, movement, day.date)? })
}

fn mirrored(lines: &[Line]) -> Result<Vec<Line>, AmountOverflow> {
    lines.iter().map(|line| Line::credit(line.account, line.signed)).collect()
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
