//! Owns the tests of the replay: a naive model, random lives held against it, and cases of other systems.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]

mod cases;
mod model;
mod oracles;
mod properties;

use chrono::{Days, NaiveDate};

use super::*;
use crate::core::ids::Seq;
use crate::core::loan::{Balances, Bucket, LoanStatus, LossAccount, SuspenseRelease, Waterfall};
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
    let releases_suspense = !matches!(deed, Deed::Pays(_) | Deed::Applies(_));
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
    Deed::Pays(Minor::new(units))
}

const fn charge_off() -> Deed {
    Deed::ChargesOff { loss: LossAccount::Expense, status: LoanStatus::ChargedOff }
}

fn terms(suspense_release: SuspenseRelease) -> ReplayTerms {
    ReplayTerms { waterfall: Waterfall::default(), suspense_release }
}

/// A life of these facts, in the order in which they come.
fn life(suspense_release: SuspenseRelease, facts: &[Fact]) -> Life {
    let mut life = Life::new(terms(suspense_release), Position::default());
    for fact in facts {
        life.insert(*fact).unwrap();
    }
    life
}

/// What each fact did, and what suspense paid behind it.
fn told(life: &Life) -> Vec<(Place, Effect, Option<Effect>)> {
    life.facts().map(|(fact, effect, release)| (fact.place, *effect, release.copied())).collect()
}
