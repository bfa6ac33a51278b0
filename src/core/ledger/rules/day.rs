//! Owns what a rule may use of a loan on the day that an event counts from: never more than is there on every later day
//! as well, so that no bucket is negative on any date, whatever the order of arrival.

use chrono::NaiveDate;

use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{Direction, Line};
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::Refusal;
use crate::core::loan::{Balances, LoanState, Timeline};
use crate::core::money::{AmountOverflow, Minor};

/// A loan, seen from a day on.
pub(in crate::core::ledger) struct Day<'a> {
    /// The loan as it stands.
    pub(in crate::core::ledger) state: &'a LoanState,
    /// The day.
    pub(in crate::core::ledger) date: NaiveDate,
    /// What moved later; `None` where nothing did.
    later: Option<&'a Timeline>,
}

impl<'a> Day<'a> {
    /// The loan from a day on; a day before the loan's greatest one needs the past's timeline.
    pub(in crate::core::ledger) fn new(state: &'a LoanState, date: NaiveDate, past: &'a Past) -> Result<Self, Refusal> {
        let is_backdated = date < state.greatest_effective_date;
        let later = if is_backdated { Some(past.timeline.as_ref().ok_or(Refusal::NoTimeline)?) } else { None };
        Ok(Self { state, date, later })
    }

    /// The smallest balance of each bucket on any day from this one on.
    pub(in crate::core::ledger) fn least(&self) -> Result<Balances, AmountOverflow> {
        let balances = self.state.balances;
        self.later.map_or(Ok(balances), |later| later.least_since(self.date, &balances))
    }

    /// The balances at the end of this day.
    pub(in crate::core::ledger) fn balances(&self) -> Result<Balances, AmountOverflow> {
        let balances = self.state.balances;
        self.later.map_or(Ok(balances), |later| later.balances_on(self.date, &balances))
    }

    /// Proves that neither today's balances nor those of a later day leave 64 bits.
    pub(in crate::core::ledger) fn check_room(&self, movement: &Balances) -> Result<(), AmountOverflow> {
        self.state.balances.plus(movement)?;
        self.later.map_or(Ok(()), |later| later.check_room(self.date, &self.state.balances, movement))
    }

    /// Proves that no bucket falls below nothing, on this day or a later one.
    pub(in crate::core::ledger) fn check_takes(&self, movement: &Balances) -> Result<(), Refusal> {
        let least = self.least()?;
        for (moved, least) in [
            (movement.fees, least.fees),
            (movement.interest, least.interest),
            (movement.principal, least.principal),
            (movement.suspense, least.suspense),
        ] {
            if moved.is_negative() && least.plus(moved)?.is_negative() {
                return Err(RejectionCode::InsufficientBalance.into());
            }
        }
        Ok(())
    }
}

/// What lines move in the loan's balances: receivables grow with debits, suspense with credits.
pub(in crate::core::ledger) fn movement_of(lines: &[Line]) -> Result<Balances, AmountOverflow> {
    let of = |account| Minor::sum(lines.iter().filter(|line| line.account == account).map(|line| line.signed));
    Ok(Balances {
        fees: of(AccountCode::FEES_RECEIVABLE)?,
        interest: of(AccountCode::INTEREST_RECEIVABLE)?,
        principal: of(AccountCode::PRINCIPAL_RECEIVABLE)?,
        suspense: of(AccountCode::BORROWER_SUSPENSE)?.mirrored()?,
    })
}

/// What lines put on one side of an account.
pub(in crate::core::ledger) fn side_of(
    lines: &[Line],
    account: AccountCode,
    side: Direction,
) -> Result<Minor, AmountOverflow> {
    let on_it = lines.iter().filter(|line| line.account == account && line.direction() == side);
    let sum = Minor::sum(on_it.map(|line| line.signed))?;
    if side == Direction::Debit { Ok(sum) } else { sum.mirrored() }
}
