//! Owns the rules of charge-offs and of what is recovered afterwards (domain 3.10 and 5.2).
//!
//! A charge-off takes all that the loan owes off the balance sheet; the borrower still owes it, on the memo accounts. The
//! memo accounts move by whole amounts; how much of each bucket stands on them is kept with the loan.

use crate::core::event::Collectibility;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::day::Day;
use crate::core::ledger::rules::{Refusal, Verdict};
use crate::core::loan::{
    Allocation, Balances, ChargedOff, LoanStatus, LossAccount, Memo, PaymentKind, Standing, allocate,
};
use crate::core::money::{AmountOverflow, Minor};

/// The account that bears the loss of principal.
pub(in crate::core::ledger) const fn principal_loss(loss: LossAccount) -> AccountCode {
    match loss {
        LossAccount::Expense => AccountCode::CHARGE_OFF_EXPENSE,
        LossAccount::Allowance => AccountCode::ALLOWANCE,
    }
}

/// The account that gets what is recovered.
pub(in crate::core::ledger) const fn recoveries(loss: LossAccount) -> AccountCode {
    match loss {
        LossAccount::Expense => AccountCode::RECOVERY_INCOME,
        LossAccount::Allowance => AccountCode::ALLOWANCE,
    }
}

/// The debt on the memo accounts grows.
fn memo_up(amount: Minor) -> Result<[Line; 2], AmountOverflow> {
    Ok([Line::debit(AccountCode::CHARGED_OFF_MEMO, amount), Line::credit(AccountCode::MEMO_CONTRA, amount)?])
}

/// The debt on the memo accounts shrinks.
fn memo_down(amount: Minor) -> Result<[Line; 2], AmountOverflow> {
    Ok([Line::debit(AccountCode::MEMO_CONTRA, amount), Line::credit(AccountCode::CHARGED_OFF_MEMO, amount)?])
}

/// Takes all that the loan owes off the balance sheet. Dated before a day on which the loan owes something else, it
/// cannot: what came after it came to a loan that nobody had charged off. Interest that was computed for later days did
/// not come, and is not computed any more.
pub(super) fn judge_chargeoff(
    day: &Day<'_>,
    collectibility: Collectibility,
    loss: LossAccount,
) -> Result<Verdict, Refusal> {
    let Balances { fees, interest, principal, suspense } = day.state.balances;
    let memo = Memo { fees, interest, principal };
    let total = memo.total()?;
    let is_all = |balances: Balances| Balances { suspense, ..balances } == day.state.balances;
    if total.is_zero() || !is_all(day.least()) || !is_all(day.today()) {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let off = [
        Line::debit(principal_loss(loss), principal),
        Line::debit(AccountCode::INTEREST_REVERSED, interest),
        Line::debit(AccountCode::FEES_REVERSED, fees),
        Line::credit(AccountCode::PRINCIPAL_RECEIVABLE, principal)?,
        Line::credit(AccountCode::INTEREST_RECEIVABLE, interest)?,
        Line::credit(AccountCode::FEES_RECEIVABLE, fees)?,
    ];
    let movement = Balances {
        fees: fees.mirrored()?,
        interest: interest.mirrored()?,
        principal: principal.mirrored()?,
        suspense: Minor::ZERO,
    };
    let status = match collectibility {
        Collectibility::Collectible => LoanStatus::ChargedOff,
        Collectibility::Uncollectible => LoanStatus::WrittenOff,
    };
    let standing = Standing { status, charged_off: Some(ChargedOff { on: day.date, loss, memo }) };
    let lines = off.into_iter().chain(memo_up(total)?);
    Ok(Verdict { standing: Some(standing), ..Verdict::new(lines, movement, day.date)? })
}

/// Money for a loan that is charged off pays the memo buckets in the loan's order; what is more is the borrower's.
pub(super) fn judge_recovery(
    day: &Day<'_>,
    charged_off: ChargedOff,
    (amount, kind): (Minor, PaymentKind),
) -> Result<Verdict, Refusal> {
    let split = allocate(amount, &payable(day, charged_off), day.state.order_for(kind))?;
    let recovered = amount.minus(split.suspense)?;
    let money = [
        Line::debit(AccountCode::PAYMENT_CLEARING, amount),
        Line::credit(recoveries(charged_off.loss), recovered)?,
        Line::credit(AccountCode::BORROWER_SUSPENSE, split.suspense)?,
    ];
    let movement = Balances { suspense: split.suspense, ..Balances::default() };
    day.check_room(&movement)?;
    recovered_verdict(day, charged_off, split, (money, movement))
}

/// Suspense pays the memo buckets in the loan's order, at most `amount`.
pub(super) fn apply_to_memo(day: &Day<'_>, charged_off: ChargedOff, amount: Minor) -> Result<Verdict, Refusal> {
    let split = allocate(amount, &payable(day, charged_off), day.state.order_for(PaymentKind::Suspense))?;
    let recovered = amount.minus(split.suspense)?;
    if recovered.is_zero() {
        return Err(RejectionCode::InsufficientBalance.into());
    }
    let money = [
        Line::debit(AccountCode::BORROWER_SUSPENSE, recovered),
        Line::credit(recoveries(charged_off.loss), recovered)?,
    ];
    let movement = Balances { suspense: recovered.mirrored()?, ..Balances::default() };
    let split = Allocation { suspense: Minor::ZERO, ..split };
    recovered_verdict(day, charged_off, split, (money, movement))
}

/// What a day finds on the memo accounts. Before the charge-off they were empty, and since then they only shrink: what
/// is taken back counts from the day of what it takes back.
fn payable(day: &Day<'_>, charged_off: ChargedOff) -> Balances {
    if day.date < charged_off.on { Balances::default() } else { charged_off.memo.payable() }
}

fn recovered_verdict<const N: usize>(
    day: &Day<'_>,
    charged_off: ChargedOff,
    split: Allocation,
    (money, movement): ([Line; N], Balances),
) -> Result<Verdict, Refusal> {
    let memo = charged_off.memo.paid(&split)?;
    let recovered = split.total()?.minus(split.suspense)?;
    let charged_off = Some(ChargedOff { memo, ..charged_off });
    let standing = Some(Standing { status: day.state.status, charged_off });
    let lines = money.into_iter().chain(memo_down(recovered)?);
    Ok(Verdict { allocation: Some(split), standing, ..Verdict::new(lines, movement, day.date)? })
}
