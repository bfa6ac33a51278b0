//! Owns what becomes of a manual adjustment that finds less interest than it took.
//!
//! Interest of a day is what is known of it today. Where a correction leaves less of it in front of an adjustment than
//! the adjustment took, nobody has paid the rest, so it is nobody's: the adjustment takes what is there, and what stood
//! against the rest is not borne. In time it could not have taken more. Of the accounts outside the loan that bear an
//! adjustment the last of its lines is spared first, and only when none of them bears anything any more, what it gave
//! within the loan. Money bears nothing: where an adjustment booked money that came in, the rest of it is the borrower's,
//! in suspense. It never takes more than was asked.

use crate::core::event::{AdjustmentLine, Command, NewEvent, ServicingAct};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::loan::{Balances, Deed, Effect};
use crate::core::money::{AmountOverflow, Minor};

/// The lines of an adjustment; none of any other event.
pub(super) fn lines_by_hand(event: &NewEvent) -> &[AdjustmentLine] {
    if let Command::Servicing(servicing) = &event.command
        && let ServicingAct::ManualAdjustment { lines, .. } = &servicing.act
    {
        lines
    } else {
        &[]
    }
}

/// What an adjustment asks of its loan, which it moves by so much.
pub(super) fn deed_of_adjustment(lines: &[AdjustmentLine], asked: Balances) -> Deed {
    // What leaves 64 bits is more than any interest.
    let borne = Minor::new(i64::try_from(borne_by_hand(lines)).unwrap_or(i64::MAX));
    Deed::Adjusts { asked, borne }
}

/// What accounts outside the loan bear of an adjustment, in minor units.
pub(in crate::core::ledger) fn borne_by_hand(lines: &[AdjustmentLine]) -> i128 {
    bearers(lines).into_iter().fold(0_i128, |sum, (_, borne)| sum.saturating_add(borne))
}

/// The lines on accounts outside the loan between an adjustment as it was asked for and what it does. `asked` is what it
/// was to move in the loan, `effect` what it moves.
pub(super) fn spared(lines: &[AdjustmentLine], asked: &Balances, effect: &Effect) -> Result<Vec<Line>, AmountOverflow> {
    let moved = net(&effect.movement).saturating_add(net(&effect.memo));
    let mut rest = moved.saturating_sub(net(asked)).max(0);
    let mut spared = Vec::new();
    for (account, borne) in bearers(lines).into_iter().rev() {
        let part = rest.min(borne);
        rest = rest.saturating_sub(part);
        if part > 0 {
            let part = i64::try_from(part).map_err(|_| AmountOverflow)?;
            spared.push(Line::credit(account, Minor::new(part))?);
        }
    }
    Ok(spared)
}

/// The accounts outside the loan, but for those of money, to which an adjustment debits more than it credits, in the order
/// of its lines.
fn bearers(lines: &[AdjustmentLine]) -> Vec<(AccountCode, i128)> {
    let mut sums: Vec<(AccountCode, i128)> = Vec::new();
    let bears = |line: &&AdjustmentLine| !line.account_code.is_of_loans() && !line.account_code.holds_money();
    for line in lines.iter().filter(bears) {
        let units = i128::from(line.signed_minor.units());
        match sums.iter_mut().find(|(account, _)| *account == line.account_code) {
            Some((_, sum)) => *sum = sum.saturating_add(units),
            None => sums.push((line.account_code, units)),
        }
    }
    sums.retain(|(_, sum)| *sum > 0);
    sums
}

/// Whether a movement leaves its loan as a whole as it was.
pub(super) fn is_within(moved: &Balances) -> bool {
    net(moved) == 0
}

/// What a movement comes to on the debit side. Four parts of 64 bits cannot leave 128 bits.
fn net(moved: &Balances) -> i128 {
    let Balances { fees, interest, principal, suspense } = moved;
    let debts = [fees, interest, principal].into_iter();
    let debts = debts.fold(0_i128, |sum, part| sum.saturating_add(i128::from(part.units())));
    debts.saturating_sub(i128::from(suspense.units()))
}
