//! Owns the rules of the operations on one loan besides payments, disbursements and fees.

use crate::core::event::{AdjustmentLine, Command, NO_BORROWER, Servicing, ServicingAct};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::fees::{Waiver, forgiven_by_hand};
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::charge_off::{apply_to_memo, judge_chargeoff, judge_recovery};
use crate::core::ledger::rules::day::{Day, movement_of};
use crate::core::ledger::rules::undo::{judge_reversal, unsettled};
use crate::core::ledger::rules::{Refusal, Verdict, check_day, check_party, check_status};
use crate::core::loan::{Allocation, Balances, LoanStatus, PaymentKind, Place, allocate};
use crate::core::money::Minor;

/// Judges an act against the loan as it stands.
pub(super) fn judge_servicing(
    day: &Day<'_>,
    command: &Command,
    servicing: &Servicing,
    past: &Past,
) -> Result<Verdict, Refusal> {
    // No loan was known when it was accepted, or it is one of our own, which nobody services.
    if servicing.party.borrower_id == NO_BORROWER {
        return Err(RejectionCode::LoanNotFound.into());
    }
    check_party(day.state, command)?;
    check_act(day, &servicing.act)?;
    check_day(day.state, command)?;
    match &servicing.act {
        ServicingAct::DisbursementSettled { disbursement } => settle(day, unsettled(past, disbursement.seq)?),
        ServicingAct::FeeWaived { fee_code, fee } => {
            // A fee that is named is posted first, whatever came of it.
            if let Some(seq) = fee.and_then(|fee| fee.seq) {
                past.earlier.state(seq).ok_or(Refusal::NoEarlierEvent)?;
            }
            let amount = servicing.amount.ok_or(RejectionCode::InsufficientBalance)?;
            let (code, fee) = (Some(fee_code.clone()), fee.map(|fee| fee.id));
            waive(day, &Waiver { code, fee, place: Place::of_posting(day.date, i64::MAX), amount }, past)
        }
        ServicingAct::SuspenseApplied { .. } => apply_suspense(day, servicing.amount),
        ServicingAct::SuspenseRefunded => refund(day, servicing.amount),
        ServicingAct::ManualAdjustment { lines, .. } => adjust(day, lines, past),
        ServicingAct::Reversal(reversed) => judge_reversal(day, reversed, past),
        ServicingAct::Chargeoff { collectibility, loss } => judge_chargeoff(day, *collectibility, *loss),
        ServicingAct::Recovery => {
            let charged_off = day.state.charged_off.ok_or(RejectionCode::InsufficientBalance)?;
            let amount = servicing.amount.ok_or(RejectionCode::InsufficientBalance)?;
            judge_recovery(day, charged_off, (amount, PaymentKind::Recovery))
        }
        // Born finished, so never here.
        ServicingAct::Restated { .. } => Err(RejectionCode::NotReversible.into()),
    }
}

/// Which standing of the loan an act needs.
fn check_act(day: &Day<'_>, act: &ServicingAct) -> Result<(), RejectionCode> {
    let allowed: &[LoanStatus] = match act {
        ServicingAct::FeeWaived { .. } | ServicingAct::Chargeoff { .. } => &[LoanStatus::Open],
        ServicingAct::SuspenseApplied { .. }
        | ServicingAct::SuspenseRefunded
        | ServicingAct::ManualAdjustment { .. }
        | ServicingAct::DisbursementSettled { .. } => &[LoanStatus::Open, LoanStatus::ChargedOff],
        ServicingAct::Reversal(_) | ServicingAct::Recovery | ServicingAct::Restated { .. } => &LoanStatus::ALL,
    };
    check_status(day.state, allowed)
}

/// Money lent has left the bank: no balance of the loan moves.
fn settle(day: &Day<'_>, amount: Minor) -> Result<Verdict, Refusal> {
    let lines = [Line::debit(AccountCode::DISBURSEMENT_CLEARING, amount), Line::credit(AccountCode::CASH, amount)?];
    Ok(Verdict::new(lines, Balances::default(), day.date)?)
}

/// Forgives fees. The bucket owes so much less; what it does not have was paid, and is the borrower's again. So money that
/// had paid a fee which is forgiven pays the next one first.
fn waive(day: &Day<'_>, waiver: &Waiver, past: &Past) -> Result<Verdict, Refusal> {
    let fees = past.fees.as_ref().ok_or(Refusal::NoFees)?;
    let owed = waiver.amount.min(day.there().fees);
    let paid = waiver.amount.minus(owed)?;
    if !fees.has_room_for(waiver) || owed > day.fees_unless_paid() {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let lines = [
        Line::debit(AccountCode::FEE_WAIVER_EXPENSE, waiver.amount),
        Line::credit(AccountCode::FEES_RECEIVABLE, owed)?,
        Line::credit(AccountCode::BORROWER_SUSPENSE, paid)?,
    ];
    let movement = Balances { fees: owed.mirrored()?, suspense: paid, ..Balances::default() };
    day.check_room(&movement)?;
    Ok(Verdict::new(lines, movement, day.date)?)
}

/// Suspense pays what is owed, in the loan's order; what finds no debt stays.
fn apply_suspense(day: &Day<'_>, asked: Option<Minor>) -> Result<Verdict, Refusal> {
    let there = day.there().suspense;
    let amount = asked.unwrap_or(there);
    if amount.is_zero() || amount > there {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let verdict = match day.state.charged_off {
        Some(charged_off) => apply_to_memo(day, charged_off, amount)?,
        None => apply_to_debts(day, amount)?,
    };
    let taken = verdict.movement.suspense.mirrored()?;
    if taken > day.spare_suspense() { Err(RejectionCode::InsufficientBalance.into()) } else { Ok(verdict) }
}

fn apply_to_debts(day: &Day<'_>, amount: Minor) -> Result<Verdict, Refusal> {
    let split = allocate(amount, day.there(), day.state.order_for(PaymentKind::Suspense))?;
    let split = Allocation { suspense: Minor::ZERO, ..split };
    let applied = split.total()?;
    if applied.is_zero() {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let lines = [
        Line::debit(AccountCode::BORROWER_SUSPENSE, applied),
        Line::credit(AccountCode::FEES_RECEIVABLE, split.fees)?,
        Line::credit(AccountCode::INTEREST_RECEIVABLE, split.interest)?,
        Line::credit(AccountCode::PRINCIPAL_RECEIVABLE, split.principal)?,
    ];
    let movement = Balances { suspense: applied.mirrored()?, ..split.movement()? };
    Ok(Verdict { allocation: Some(split), ..Verdict::new(lines, movement, day.date)? })
}

/// Suspense is given back; it waits on 2300 until it is sent.
fn refund(day: &Day<'_>, asked: Option<Minor>) -> Result<Verdict, Refusal> {
    let there = day.least().suspense;
    let amount = asked.unwrap_or(there);
    if amount.is_zero() || amount > there {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let lines =
        [Line::debit(AccountCode::BORROWER_SUSPENSE, amount), Line::credit(AccountCode::REFUNDS_PAYABLE, amount)?];
    let movement = Balances { suspense: amount.mirrored()?, ..Balances::default() };
    Ok(Verdict::new(lines, movement, day.date)?)
}

/// Lines written by hand. Where the loan is charged off its debts stand on the memo accounts, which no hand moves. What
/// they forgive of fees nobody else has forgiven, on a later day neither.
fn adjust(day: &Day<'_>, lines: &[AdjustmentLine], past: &Past) -> Result<Verdict, Refusal> {
    let forgiven = forgiven_by_hand(lines);
    let lines: Vec<Line> =
        lines.iter().map(|line| Line { account: line.account_code, signed: line.signed_minor }).collect();
    let movement = movement_of(&lines)?;
    let debts = Balances { suspense: Minor::ZERO, ..movement };
    if day.state.charged_off.is_some() && debts != Balances::default() {
        return Err(RejectionCode::LoanClosed.into());
    }
    day.check_takes(&movement)?;
    day.check_room(&movement)?;
    if !forgiven.is_zero() {
        let waiver = Waiver { code: None, fee: None, place: Place::of_posting(day.date, i64::MAX), amount: forgiven };
        if !past.fees.as_ref().ok_or(Refusal::NoFees)?.has_room_for(&waiver) {
            return Err(RejectionCode::InsufficientBalance.into());
        }
    }
    Ok(Verdict::new(lines, movement, day.date)?)
}
