//! Owns the lines between what an event did and what it does now.

use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::rules::{principal_loss, recoveries};
use crate::core::loan::{Balances, Deed, Effect, LossAccount};
use crate::core::money::{AmountOverflow, Minor};

/// The lines that lead from one effect of a deed to another; none where there is no difference.
///
/// What comes from outside a loan does not change: a difference moves between its buckets, and between them and the
/// accounts that bear a charge-off.
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
    let parts = [memo.fees, memo.interest, memo.principal];
    let total = Minor::sum(parts)?;
    match deed {
        Deed::Pays(_) | Deed::Applies(_) => lines.push(Line::debit(recoveries(loss), total)),
        Deed::Moves(_) | Deed::ChargesOff { .. } | Deed::ChargesBack { .. } => lines.extend([
            Line::debit(principal_loss(loss), memo.principal),
            Line::debit(AccountCode::INTEREST_REVERSED, memo.interest),
            Line::debit(AccountCode::FEES_REVERSED, memo.fees),
        ]),
    }
    lines.push(Line::debit(AccountCode::CHARGED_OFF_MEMO, total));
    lines.push(Line::credit(AccountCode::MEMO_CONTRA, total)?);
    lines.retain(|line| !line.signed.is_zero());
    if lines.is_empty() && memo != Balances::default() {
        // From one bucket to another on the memo accounts, which are one account: the lines say so all the same.
        lines.extend(
            parts
                .into_iter()
                .filter(|part| !part.is_zero())
                .map(|part| Line::debit(AccountCode::CHARGED_OFF_MEMO, part)),
        );
    }
    Ok(lines)
}
