//! Owns what a rule may use of a loan where an event stands: money that comes pays what is owed there; what is taken of
//! the loan is never more than is there on every later day as well, but for what only money or debts took on those days:
//! that is divided anew.

use chrono::NaiveDate;

use crate::core::event::NO_BORROWER;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{Direction, Line};
use crate::core::ledger::late::{ChargeBack, View};
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::Refusal;
use crate::core::loan::{Balances, LoanState};
use crate::core::money::{AmountOverflow, Minor};

/// A loan, seen from where an event stands.
pub(in crate::core::ledger) struct Day<'a> {
    /// The loan as it stands there.
    pub(in crate::core::ledger) state: &'a LoanState,
    /// The day.
    pub(in crate::core::ledger) date: NaiveDate,
    /// The days around it; `None` where nothing is later.
    view: Option<&'a View>,
}

impl<'a> Day<'a> {
    /// The loan where an event stands; in front of anything that is posted, with the past's view of it.
    pub(in crate::core::ledger) fn new(state: &'a LoanState, date: NaiveDate, past: &'a Past) -> Result<Self, Refusal> {
        let view = past.view.as_ref();
        // A loan of our own has no balance: nothing is later there.
        let is_own = state.borrower_id == NO_BORROWER;
        if view.is_none() && date < state.greatest_effective_date && !is_own {
            Err(Refusal::NoHistory)
        } else {
            Ok(Self { state, date, view })
        }
    }

    /// What the event finds.
    pub(in crate::core::ledger) const fn there(&self) -> &'a Balances {
        &self.state.balances
    }

    /// The smallest balance of each bucket where the event stands and on any day from then on: what may be taken.
    pub(in crate::core::ledger) fn least(&self) -> Balances {
        self.view.map_or(*self.there(), |view| view.floor.least(self.there()))
    }

    /// The fees that may be forgiven: those that are there, as far as nothing but money and waivers took them later. Money is
    /// divided anew behind a waiver, and a later waiver gives back what it does not find.
    pub(in crate::core::ledger) fn fees_unless_paid(&self) -> Minor {
        self.view.map_or(self.there().fees, |view| view.fees_unless_paid)
    }

    /// The suspense that may pay debts: what is there, as far as nothing but debts took it later. Those are paid with what is
    /// left.
    pub(in crate::core::ledger) fn spare_suspense(&self) -> Minor {
        self.view.map_or(self.there().suspense, |view| view.spare_suspense)
    }

    /// The balances at the end of this day.
    pub(in crate::core::ledger) fn balances(&self) -> Balances {
        self.view.map_or(*self.there(), |view| view.end_of_day)
    }

    /// The balances after everything but interest that was computed for later days.
    pub(in crate::core::ledger) fn today(&self) -> Balances {
        self.view.map_or(*self.there(), |view| view.today)
    }

    /// The lines that take back what the event names, as it stands today; `None` where nothing is later.
    pub(in crate::core::ledger) fn taken_back(&self) -> Result<Option<&'a [Line]>, Refusal> {
        let lines = self.view.map(|view| view.taken_back.as_deref().ok_or(Refusal::NoHistory));
        lines.transpose()
    }

    /// Whether money of what the event takes back went back on a later day.
    pub(in crate::core::ledger) fn is_charged_back(&self) -> bool {
        self.view.is_some_and(|view| view.is_charged_back)
    }

    /// What the event does, where it gives money of a payment back.
    pub(in crate::core::ledger) fn charge_back(&self) -> Result<&'a ChargeBack, Refusal> {
        self.view.and_then(|view| view.charge_back.as_ref()).ok_or(Refusal::NoHistory)
    }

    /// Proves that the balances do not leave 64 bits. Those of later days are proved by the replay.
    pub(in crate::core::ledger) fn check_room(&self, movement: &Balances) -> Result<(), AmountOverflow> {
        self.there().plus(movement).map(drop)
    }

    /// Proves that no bucket falls below nothing, on this day or a later one.
    pub(in crate::core::ledger) fn check_takes(&self, movement: &Balances) -> Result<(), Refusal> {
        let least = self.least();
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
