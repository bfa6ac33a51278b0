//! Owns the naive model of a loan: no running balances, no shortcuts. Every question is answered by adding up all that
//! ever moved, one day after the other, in 128 bits.

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

struct Terms {
    borrower: BorrowerId,
    currency: Currency,
    opened_on: NaiveDate,
    order: [usize; 3],
}

/// What an accepted event did.
#[derive(Debug, PartialEq)]
pub(super) struct Effect {
    /// What moved.
    pub(super) movement: Four,
    /// How a payment was divided.
    pub(super) split: Option<Four>,
}

/// A loan as its history.
#[derive(Default)]
pub(super) struct Model {
    terms: Option<Terms>,
    history: Vec<(NaiveDate, Four)>,
    /// The splits of payments that stand; `None` once taken back.
    payments: BTreeMap<Seq, Option<Four>>,
}

impl Model {
    /// Takes the event at a place in, or says why not. A fee that a return brings with it comes as an event of its own
    /// right behind it.
    pub(super) fn take(&mut self, seq: Seq, command: &Command) -> Result<Effect, RejectionCode> {
        let effect = self.judge(command)?;
        if self.terms.is_none() {
            self.terms = Some(terms_of(command));
        }
        self.history.push((command.days().0, effect.movement));
        match (command, effect.split) {
            (Command::Payment(_), Some(split)) => {
                self.payments.insert(seq, Some(split));
            }
            (Command::PaymentReturn(returned), _) => {
                if let Some(fee) = returned.fee().map(Command::Fee)
                    && let Err(code) = self.judge(&fee)
                {
                    self.history.pop();
                    return Err(code);
                }
                self.payments.insert(returned.payment.seq, None);
            }
            _ => {}
        }
        Ok(effect)
    }

    /// What the payments that stand brought in.
    pub(super) fn cash(&self) -> i128 {
        self.payments.values().flatten().flatten().sum()
    }

    /// The balances at the end of a day.
    pub(super) fn on(&self, day: NaiveDate) -> Four {
        let until = self.history.iter().filter(|(date, _)| *date <= day);
        until.fold([0; 4], |sum, (_, movement)| plus(sum, *movement))
    }

    /// The balances after everything.
    pub(super) fn today(&self) -> Four {
        self.on(NaiveDate::MAX)
    }

    fn judge(&self, command: &Command) -> Result<Effect, RejectionCode> {
        match &self.terms {
            None => judge_unopened(command)?,
            Some(terms) => judge_open(terms, command)?,
        }
        let effect = self.effect(command)?;
        let fits = self.days_from(command.days().0).all(|day| is_storable(plus(self.on(day), effect.movement)));
        if fits { Ok(effect) } else { Err(RejectionCode::AmountOverflow) }
    }

    fn effect(&self, command: &Command) -> Result<Effect, RejectionCode> {
        Ok(match command {
            Command::LoanOpening(opening) => {
                let owed = &opening.opening_balances;
                let [fees, interest, principal] =
                    [owed.fees, owed.interest, owed.principal].map(|it| i128::from(it.units()));
                Effect { movement: [fees, interest, principal, 0], split: None }
            }
            Command::Disbursement(lent) => {
                Effect { movement: [0, 0, i128::from(lent.amount.minor.units()), 0], split: None }
            }
            Command::Servicing(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Upload(_)
            | Command::Group(_)
            | Command::Leg(_) => Effect { movement: [0; 4], split: None },
            Command::Payment(paid) => self.pay(i128::from(paid.amount.minor.units()), paid.effective_date),
            Command::PaymentReturn(returned) => self.give_back(returned)?,
            Command::Fee(fee) => Effect { movement: [i128::from(fee.amount.minor.units()), 0, 0, 0], split: None },
        })
    }

    /// The split backwards. What is not in suspense on some day since is owed as principal.
    fn give_back(&self, returned: &PaymentReturn) -> Result<Effect, RejectionCode> {
        let payment = self.payments.get(&returned.payment.seq).ok_or(RejectionCode::NotReversible)?;
        let [fees, interest, principal, suspense] = payment.ok_or(RejectionCode::AlreadyUndone)?;
        let days = self.days_from(returned.payment.effective_date);
        let left = days.map(|day| self.on(day)[3]).min().unwrap().min(suspense);
        Ok(Effect { movement: [fees, interest, principal + suspense - left, -left], split: None })
    }

    fn pay(&self, amount: i128, date: NaiveDate) -> Effect {
        let order = self.terms.as_ref().map_or([0, 1, 2], |terms| terms.order);
        let mut split = [0; 4];
        let mut rest = amount;
        for bucket in order {
            let payable = self.days_from(date).map(|day| self.on(day)[bucket]).min().unwrap();
            split[bucket] = rest.min(payable);
            rest -= split[bucket];
        }
        split[3] = rest;
        Effect { movement: [-split[0], -split[1], -split[2], split[3]], split: Some(split) }
    }

    /// Every day from `date` to the last that anything counts from.
    fn days_from(&self, date: NaiveDate) -> impl Iterator<Item = NaiveDate> + use<> {
        let last = self.history.iter().map(|(day, _)| *day).max().unwrap_or(date).max(date);
        date.iter_days().take_while(move |day| *day <= last)
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
