//! Owns the naive model of a loan: no running balances, no positions, no differences. Every question is answered by living
//! the loan's whole life again from its first fact, in the order in which the facts count, in 128 bits.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::event::{Command, PaymentReturn};
use crate::core::ids::{BorrowerId, Seq};
use crate::core::ledger::RejectionCode;
use crate::core::loan::{Bucket, Waterfall};
use crate::core::money::Currency;

/// Fees, interest, principal, suspense.
pub(super) type Four = [i128; 4];

const MOST: i128 = 9_223_372_036_854_775_807;

/// Where a fact stands: its day, and its turn of arrival.
type Place = (NaiveDate, usize);

struct Terms {
    borrower: BorrowerId,
    currency: Currency,
    opened_on: NaiveDate,
    order: [usize; 3],
}

#[derive(Clone, Copy)]
enum Fact {
    Owes(Four),
    Pays(i128),
}

/// What an accepted event did.
#[derive(Debug, PartialEq)]
pub(super) struct Effect {
    /// What moved.
    pub(super) movement: Four,
    /// How a payment was divided.
    pub(super) split: Option<Four>,
}

/// A loan as its facts.
#[derive(Default)]
pub(super) struct Model {
    terms: Option<Terms>,
    facts: BTreeMap<Place, Fact>,
    /// The payments by their number; `None` once taken back.
    payments: BTreeMap<Seq, Option<Place>>,
    arrived: usize,
}

impl Model {
    /// Takes the event at a place in, or says why not. A fee that a return brings with it comes as an event of its own
    /// behind it, with its return's place.
    pub(super) fn take(&mut self, seq: Seq, command: &Command) -> Result<Effect, RejectionCode> {
        match &self.terms {
            None => judge_unopened(command)?,
            Some(terms) => judge_open(terms, command)?,
        }
        self.arrived += 1;
        let place = (command.days().0, self.arrived);
        if let Command::PaymentReturn(returned) = command {
            return self.give_back(returned);
        }
        let fact = fact_of(command);
        self.facts.insert(place, fact);
        let Some(lived) = self.live(&terms_or(self.terms.as_ref(), command)) else {
            self.facts.remove(&place);
            return Err(RejectionCode::AmountOverflow);
        };
        if self.terms.is_none() {
            self.terms = Some(terms_of(command));
        }
        if let Fact::Pays(_) = fact {
            self.payments.insert(seq, Some(place));
        }
        Ok(effect(fact, lived[&place]))
    }

    /// What each payment that stands is divided into.
    pub(super) fn splits(&self) -> BTreeMap<Seq, Four> {
        let Some(order) = self.terms.as_ref().map(|terms| terms.order) else { return BTreeMap::new() };
        let lived = self.live(&order).unwrap();
        self.payments.iter().filter_map(|(seq, place)| Some((*seq, split_of(lived[&(*place)?])))).collect()
    }

    /// The balances after everything.
    pub(super) fn today(&self) -> Four {
        let order = self.terms.as_ref().map_or([0, 1, 2], |terms| terms.order);
        self.live(&order).unwrap().into_values().fold([0; 4], plus)
    }

    fn give_back(&mut self, returned: &PaymentReturn) -> Result<Effect, RejectionCode> {
        let payment = *self.payments.get(&returned.payment.seq).ok_or(RejectionCode::NotReversible)?;
        let place = payment.ok_or(RejectionCode::AlreadyUndone)?;
        let order = self.terms.as_ref().unwrap().order;
        let moved = self.live(&order).unwrap()[&place];
        let fact = self.facts.remove(&place).unwrap();
        let fee = returned.fee().map(Command::Fee);
        let day = returned.effective_date;
        let at = (day, usize::MAX);
        if let Some(fee) = &fee {
            // Judged behind the return; it comes as an event of its own.
            self.facts.insert(at, fact_of(fee));
        }
        let fits = self.live(&order).is_some();
        self.facts.remove(&at);
        if !fits || self.live(&order).is_none() {
            self.facts.insert(place, fact);
            return Err(RejectionCode::AmountOverflow);
        }
        self.payments.insert(returned.payment.seq, None);
        Ok(Effect { movement: moved.map(|part| -part), split: None })
    }

    /// What every fact moves; `None` where a balance would not fit.
    fn live(&self, order: &[usize; 3]) -> Option<BTreeMap<Place, Four>> {
        let mut balances = [0; 4];
        let mut lived = BTreeMap::new();
        for (place, fact) in &self.facts {
            let moved = match fact {
                Fact::Owes(owed) => *owed,
                Fact::Pays(amount) => pay(*amount, balances, order),
            };
            balances = plus(balances, moved);
            if !is_storable(balances) {
                return None;
            }
            lived.insert(*place, moved);
        }
        Some(lived)
    }
}

fn pay(amount: i128, owed: Four, order: &[usize; 3]) -> Four {
    let (mut moved, mut rest) = ([0; 4], amount);
    for bucket in order {
        let part = rest.min(owed[*bucket]);
        moved[*bucket] = -part;
        rest -= part;
    }
    moved[3] = rest;
    moved
}

fn split_of([fees, interest, principal, suspense]: Four) -> Four {
    [-fees, -interest, -principal, suspense]
}

fn effect(fact: Fact, movement: Four) -> Effect {
    let split = match fact {
        Fact::Pays(_) => Some(split_of(movement)),
        Fact::Owes(_) => None,
    };
    Effect { movement, split }
}

fn fact_of(command: &Command) -> Fact {
    match command {
        Command::LoanOpening(opening) => {
            let owed = &opening.opening_balances;
            let [fees, interest, principal] =
                [owed.fees, owed.interest, owed.principal].map(|it| i128::from(it.units()));
            Fact::Owes([fees, interest, principal, 0])
        }
        Command::Disbursement(lent) => Fact::Owes([0, 0, i128::from(lent.amount.minor.units()), 0]),
        Command::Payment(paid) => Fact::Pays(i128::from(paid.amount.minor.units())),
        Command::Fee(fee) => Fact::Owes([i128::from(fee.amount.minor.units()), 0, 0, 0]),
        Command::PaymentReturn(_)
        | Command::Servicing(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_) => Fact::Owes([0; 4]),
    }
}

fn judge_unopened(command: &Command) -> Result<(), RejectionCode> {
    if command.opens_loan() { Ok(()) } else { Err(RejectionCode::LoanNotFound) }
}

fn judge_open(terms: &Terms, command: &Command) -> Result<(), RejectionCode> {
    if matches!(command, Command::PaymentReturn(_)) {
        Ok(())
    } else if matches!(command, Command::LoanOpening(_)) {
        Err(RejectionCode::LoanExists)
    } else if command.borrower_id() != terms.borrower {
        Err(RejectionCode::BorrowerMismatch)
    } else if command.currency() != terms.currency {
        Err(RejectionCode::CurrencyMismatch)
    } else if command.effective_date() < terms.opened_on {
        Err(RejectionCode::EffectiveBeforeOpening)
    } else {
        Ok(())
    }
}

fn terms_or(terms: Option<&Terms>, command: &Command) -> [usize; 3] {
    terms.map_or_else(|| terms_of(command).order, |terms| terms.order)
}

fn terms_of(command: &Command) -> Terms {
    let waterfall = match command {
        Command::LoanOpening(opening) => opening.waterfall,
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Servicing(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_) => None,
    };
    let order = waterfall.map_or([Bucket::Fees, Bucket::Interest, Bucket::Principal], Waterfall::order);
    Terms {
        borrower: command.borrower_id(),
        currency: command.currency(),
        opened_on: command.effective_date(),
        order: order.map(|bucket| match bucket {
            Bucket::Fees => 0,
            Bucket::Interest => 1,
            Bucket::Principal => 2,
        }),
    }
}

pub(super) fn plus(a: Four, b: Four) -> Four {
    std::array::from_fn(|bucket| a[bucket] + b[bucket])
}

fn is_storable(balances: Four) -> bool {
    let exposure = balances[0] + balances[1] + balances[2];
    exposure <= MOST && balances.into_iter().all(|balance| (0..=MOST).contains(&balance))
}
