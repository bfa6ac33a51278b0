//! Owns the lines between what an event did and what it does now.

use crate::core::event::AdjustmentLine;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::late::adjustment::spared;
use crate::core::ledger::rules::{principal_loss, recoveries};
use crate::core::loan::{Balances, Deed, Effect, LossAccount};
use crate::core::money::{AmountOverflow, Minor};

/// The lines that lead from one effect of a deed to another; none where there is no difference.
///
/// What comes from outside a loan does not change, but for interest that is computed and for adjustments of interest (see
/// [`adjustment_difference`]): a difference moves between its buckets, and between them and the accounts that bear a
/// charge-off.
pub(super) fn difference(
    deed: &Deed,
    (before, after): (&Effect, &Effect),
    loss: LossAccount,
) -> Result<Vec<Line>, AmountOverflow> {
    let moved = after.movement.minus(&before.movement)?;
    let memo = after.memo.minus(&before.memo)?;
    let mut lines = vec![
        Line::debit(AccountCode::FEES_RECEIVABLE, moved.fees),
        Line::debit(AccountCode::INTEREST_RECEIVABLE, moved.interest),
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, moved.principal),
        Line::credit(AccountCode::BORROWER_SUSPENSE, moved.suspense)?,
    ];
    let total = Minor::sum([memo.fees, memo.interest, memo.principal])?;
    match deed {
        Deed::Pays { .. } | Deed::Applies(_) => lines.push(Line::debit(recoveries(loss), total)),
        Deed::Moves(_) | Deed::Adjusts { .. } | Deed::ChargesOff { .. } | Deed::ChargesBack { .. } => {
            lines.extend(borne(&memo, loss));
        }
        Deed::Accrues { .. } => {
            lines.extend(borne(&memo, loss));
            lines.push(Line::credit(AccountCode::INTEREST_INCOME, moved.interest.plus(memo.interest)?)?);
        }
    }
    lines.push(Line::debit(AccountCode::CHARGED_OFF_MEMO, total));
    lines.push(Line::credit(AccountCode::MEMO_CONTRA, total)?);
    lines.retain(|line| !line.signed.is_zero());
    Ok(said(lines, &memo))
}

/// The same of an adjustment, with what the accounts outside the loan bear less or more of it.
pub(super) fn adjustment_difference(
    (deed, asked): (&Deed, &Balances),
    by_hand: &[AdjustmentLine],
    (before, after): (&Effect, &Effect),
    loss: LossAccount,
) -> Result<Vec<Line>, AmountOverflow> {
    let mut lines = spared(by_hand, asked, after)?;
    for line in spared(by_hand, asked, before)? {
        add_line(&mut lines, Line { signed: line.signed.mirrored()?, ..line })?;
    }
    for line in difference(deed, (before, after), loss)? {
        add_line(&mut lines, line)?;
    }
    lines.retain(|line| !line.signed.is_zero());
    // What moves in the loan is told first, as it is in all entries.
    lines.sort_by_key(|line| !line.account.is_of_loans());
    Ok(lines)
}

/// Adds a line to those of its account.
pub(super) fn add_line(lines: &mut Vec<Line>, line: Line) -> Result<(), AmountOverflow> {
    match lines.iter_mut().find(|sum| sum.account == line.account) {
        Some(sum) => sum.signed = sum.signed.plus(line.signed)?,
        None => lines.push(line),
    }
    Ok(())
}

/// From one bucket to another on the memo accounts, which are one account: the lines say so all the same.
fn said(lines: Vec<Line>, memo: &Balances) -> Vec<Line> {
    if !lines.is_empty() {
        return lines;
    }
    let parts = [memo.fees, memo.interest, memo.principal].into_iter().filter(|part| !part.is_zero());
    parts.map(|part| Line::debit(AccountCode::CHARGED_OFF_MEMO, part)).collect()
}

/// What the lender bears of debt that comes to the memo accounts.
fn borne(memo: &Balances, loss: LossAccount) -> [Line; 3] {
    [
        Line::debit(principal_loss(loss), memo.principal),
        Line::debit(AccountCode::INTEREST_REVERSED, memo.interest),
        Line::debit(AccountCode::FEES_REVERSED, memo.fees),
    ]
}

/// Who bears what goes back to a borrower of a loan that is charged off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    /// The payment had lowered the loss.
    Loss(LossAccount),
    /// The payment was a recovery, which has not come (domain rule 50).
    Recoveries(LossAccount),
}

/// The lines of money that goes back: all of them, not a difference.
pub(super) fn charge_back_lines(effect: &Effect, amount: Minor, bearer: Bearer) -> Result<Vec<Line>, AmountOverflow> {
    let Effect { movement, memo, .. } = effect;
    let total = Minor::sum([memo.fees, memo.interest, memo.principal])?;
    let mut lines = vec![
        Line::debit(AccountCode::FEES_RECEIVABLE, movement.fees),
        Line::debit(AccountCode::INTEREST_RECEIVABLE, movement.interest),
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, movement.principal),
        Line::credit(AccountCode::BORROWER_SUSPENSE, movement.suspense)?,
    ];
    match bearer {
        Bearer::Loss(loss) => lines.extend(borne(memo, loss)),
        Bearer::Recoveries(loss) => lines.push(Line::debit(recoveries(loss), total)),
    }
    lines.push(Line::debit(AccountCode::CHARGED_OFF_MEMO, total));
    lines.push(Line::credit(AccountCode::MEMO_CONTRA, total)?);
    lines.push(Line::credit(AccountCode::PAYMENT_CLEARING, amount)?);
    lines.retain(|line| !line.signed.is_zero());
    Ok(lines)
}

/// The lines that lead from what stands of money that went back to what goes back now.
pub(super) fn charge_back_difference(
    standing: &[Line],
    (before, after): (&Effect, &Effect),
    amount: Minor,
    bearer: Bearer,
) -> Result<Vec<Line>, AmountOverflow> {
    let mut lines = charge_back_lines(after, amount, bearer)?;
    for line in standing {
        add_line(&mut lines, Line { signed: line.signed.mirrored()?, ..*line })?;
    }
    lines.retain(|line| !line.signed.is_zero());
    Ok(said(lines, &after.memo.minus(&before.memo)?))
}
