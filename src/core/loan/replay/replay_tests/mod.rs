//! Owns the tests of the replay: a naive model, random lives held against it, and cases of other systems.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]

mod cases;
mod model;
mod oracles;
mod properties;

use chrono::{Days, NaiveDate};

use super::*;
use crate::core::ids::Seq;
use crate::core::loan::{
    AccrualBook, Balances, Bucket, DayCount, InterestRule, InterestTerms, LoanStatus, LossAccount, PaymentKind,
    SuspenseRelease, Waterfall, Waterfalls,
};
use crate::core::money::Minor;

/// Fees, interest, principal, suspense.
type Four = [i64; 4];

/// The day so many days after New Year 2026.
fn day(days: u8) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + Days::new(u64::from(days))
}

fn balances([fees, interest, principal, suspense]: Four) -> Balances {
    let [fees, interest, principal, suspense] = [fees, interest, principal, suspense].map(Minor::new);
    Balances { fees, interest, principal, suspense }
}

fn four(balances: &Balances) -> Four {
    [balances.fees, balances.interest, balances.principal, balances.suspense].map(Minor::units)
}

/// The fact that comes as the `seq`th.
fn fact(seq: i64, days: u8, deed: Deed) -> Fact {
    placed(seq, day(days), Turn::Event, deed)
}

fn placed(seq: i64, date: NaiveDate, turn: Turn, deed: Deed) -> Fact {
    let releases_suspense = !matches!(deed, Deed::Pays { .. } | Deed::Applies(_));
    Fact { place: Place { date, turn, seq: Seq(seq), version: seq }, deed, releases_suspense }
}

fn raise(bucket: usize, units: i64) -> Deed {
    let mut moved = [0; 4];
    moved[bucket] = units;
    Deed::Moves(balances(moved))
}

fn lend(units: i64) -> Deed {
    raise(2, units)
}

fn pay(units: i64) -> Deed {
    paid_by(PaymentKind::Ach, units)
}

fn paid_by(kind: PaymentKind, units: i64) -> Deed {
    Deed::Pays { amount: Minor::new(units), kind }
}

const fn charge_off() -> Deed {
    Deed::ChargesOff { loss: LossAccount::Expense, status: LoanStatus::ChargedOff }
}

fn terms(suspense_release: SuspenseRelease) -> ReplayTerms {
    ReplayTerms { waterfalls: Waterfalls::default(), suspense_release, interest: None }
}

/// The same of a loan that bears 1 % a day, so that a few days and small amounts make whole units.
fn bearing(suspense_release: SuspenseRelease, rounding: &str, day_count: DayCount) -> ReplayTerms {
    let policy = InterestTerms { day_count, rounding: rounding.parse().unwrap() };
    let interest = Some(InterestRule { rate: "365".parse().unwrap(), terms: policy });
    ReplayTerms { interest, ..terms(suspense_release) }
}

/// Before the first fact of such a loan.
fn start(terms: ReplayTerms) -> Position {
    let accruing = terms.interest.map(|rule| AccrualBook::default().accruing(&rule).unwrap());
    Position { accruing, ..Position::default() }
}

/// Interest of all days up to and with one: computed, or so much.
fn accrue(seq: i64, days: u8, interest: Option<i64>) -> Fact {
    let until = day(days) + Days::new(1);
    let turn = if interest.is_none() { Turn::Close } else { Turn::Event };
    placed(seq, day(days), turn, Deed::Accrues { interest: interest.map(Minor::new), until })
}

/// A life of these facts, in the order in which they come.
fn life(suspense_release: SuspenseRelease, facts: &[Fact]) -> Life {
    life_of(terms(suspense_release), facts)
}

fn life_of(terms: ReplayTerms, facts: &[Fact]) -> Life {
    let mut life = Life::new(terms, start(terms));
    for fact in facts {
        life.insert(*fact).unwrap();
    }
    life
}

/// What each fact did, and what suspense paid behind it.
fn told(life: &Life) -> Vec<(Place, Effect, Option<Effect>)> {
    life.facts().map(|(fact, effect, release)| (fact.place, *effect, release.copied())).collect()
}
