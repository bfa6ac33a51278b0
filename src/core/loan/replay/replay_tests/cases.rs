//! Owns single cases, each with its arithmetic, and what a long life costs.

use super::*;
use crate::core::loan::Allocation;

fn split(life: &Life, fact: &Fact) -> Four {
    let Allocation { fees, interest, principal, suspense } = life.effect(fact.place).unwrap().split.unwrap();
    [fees, interest, principal, suspense].map(Minor::units)
}

/// Fee of 500 on 1 January, paid by the April payment until a March payment comes: then March pays it.
#[test]
fn a_late_payment_takes_the_fee_from_a_later_one() {
    let (lent, fee) = (fact(1, 0, lend(1_000)), fact(2, 0, raise(0, 500)));
    let (april, march) = (fact(3, 90, pay(600)), fact(4, 59, pay(550)));
    let mut life = life(SuspenseRelease::Manual, &[lent, fee, april]);
    assert_eq!(split(&life, &april), [500, 0, 100, 0]);
    let changes = life.insert(march).unwrap();
    assert_eq!(changes.iter().map(|change| change.place).collect::<Vec<_>>(), [march.place, april.place]);
    assert_eq!((split(&life, &march), split(&life, &april)), ([500, 0, 50, 0], [0, 0, 600, 0]));
}

/// A late payment that only moves principal earlier changes no split: nothing but itself is told.
#[test]
fn a_replay_without_effect_tells_nothing() {
    let known = [fact(1, 0, lend(10_000)), fact(2, 40, pay(100)), fact(3, 50, raise(0, 5)), fact(4, 60, pay(100))];
    let mut life = life(SuspenseRelease::Manual, &known);
    let late = fact(5, 30, pay(100));
    assert_eq!(life.insert(late).unwrap().len(), 1);
    assert_eq!(life.void(late.place).unwrap().len(), 1);
    assert_eq!(life.void(late.place).unwrap(), []);
}

/// Domain rule 24: 1,000 lent, 1,200 paid, 200 refunded, then a payment of 100 goes back: 100 is owed again.
#[test]
fn a_return_of_a_payment_whose_excess_was_refunded_becomes_debt() {
    let lent = fact(1, 0, lend(1_000));
    let payments = [(2, 2, 100), (3, 4, 500), (4, 4, 600)].map(|(seq, days, units)| fact(seq, days, pay(units)));
    let refund = fact(5, 6, raise(3, -200));
    let mut facts = vec![lent];
    facts.extend(payments);
    facts.push(refund);
    let mut life = life(SuspenseRelease::Automatic, &facts);
    assert_eq!(life.position().unwrap(), Position::default());
    life.void(payments[0].place).unwrap();
    assert_eq!(four(&life.effect(refund.place).unwrap().movement), [0, 0, 100, -100]);
    assert_eq!(four(&life.position().unwrap().balances), [0, 0, 100, 0]);
}

/// A payment from before a charge-off goes back: the charge-off takes more, and a recovery behind it pays other debts.
#[test]
fn a_charge_off_is_computed_anew_and_recoveries_with_it() {
    let (lent, fee) = (fact(1, 0, lend(1_000)), fact(2, 10, raise(0, 20)));
    let (paid, off, recovered) = (fact(3, 30, pay(1_000)), fact(4, 60, charge_off()), fact(5, 70, pay(25)));
    let mut life = life(SuspenseRelease::Manual, &[lent, fee, paid, off, recovered]);
    assert_eq!(four(&life.effect(off.place).unwrap().memo), [0, 0, 20, 0]);
    assert_eq!(split(&life, &recovered), [0, 0, 20, 5]);
    life.void(paid.place).unwrap();
    assert_eq!(four(&life.effect(off.place).unwrap().memo), [20, 0, 1_000, 0]);
    assert_eq!(split(&life, &recovered), [20, 0, 5, 0]);
    assert_eq!(four(&life.position().unwrap().charged_off.unwrap().memo.payable()), [0, 0, 995, 0]);
}

/// Principal 100 is charged off, 150 comes in, 50 of it is refunded, and the 150 go back: the refund was not the
/// borrower's, and is owed where everything else is owed.
#[test]
fn a_refund_without_its_money_is_owed_on_the_memo_accounts_of_a_charged_off_loan() {
    let (lent, off, paid) = (fact(1, 0, lend(100)), fact(2, 30, charge_off()), fact(3, 40, pay(150)));
    let refund = fact(4, 50, raise(3, -50));
    let mut life = life(SuspenseRelease::Automatic, &[lent, off, paid, refund]);
    assert_eq!(split(&life, &paid), [0, 0, 100, 50]);
    life.void(paid.place).unwrap();
    let did = life.effect(refund.place).unwrap();
    assert_eq!((four(&did.movement), four(&did.memo)), ([0; 4], [0, 0, 50, 0]));
    let position = life.position().unwrap();
    assert_eq!(four(&position.balances), [0; 4]);
    assert_eq!(four(&position.charged_off.unwrap().memo.payable()), [0, 0, 150, 0]);
}

/// A charge-off that comes late in front of a fee and of the payment that paid it: the fee is owed on the memo accounts,
/// and so paid there.
#[test]
fn debt_behind_a_late_charge_off_is_owed_on_the_memo_accounts() {
    let (lent, fee, paid) = (fact(1, 0, lend(100)), fact(2, 20, raise(0, 5)), fact(3, 30, pay(5)));
    let mut life = life(SuspenseRelease::Manual, &[lent, fee, paid]);
    let off = fact(4, 10, charge_off());
    life.insert(off).unwrap();
    let did = life.effect(fee.place).unwrap();
    assert_eq!((four(&did.movement), four(&did.memo)), ([0; 4], [5, 0, 0, 0]));
    assert_eq!(four(&life.effect(paid.place).unwrap().memo), [-5, 0, 0, 0]);
    assert_eq!(four(&life.position().unwrap().balances), [0; 4]);
    life.void(off.place).unwrap();
    assert_eq!(four(&life.position().unwrap().balances), [0, 0, 100, 0]);
}

/// Given interest stands where it was posted on its day, so a payment behind it finds it and one in front of it does not.
/// Computed interest stands at the day's end: 30 days of 10 and the day itself by the 900 that are left, 9. The payment of
/// the next day finds it, whenever it is booked.
#[test]
fn a_payment_finds_interest_given_in_front_of_it_and_computed_interest_of_earlier_days() {
    let (lent, paid, next) = (fact(1, 0, lend(1_000)), fact(3, 30, pay(100)), fact(4, 31, pay(400)));
    for (seq, found) in [(2, [0, 7, 93, 0]), (5, [0, 0, 100, 0])] {
        let mut life = life(SuspenseRelease::Manual, &[lent, paid]);
        life.insert(accrue(seq, 30, Some(7))).unwrap();
        assert_eq!(split(&life, &paid), found);
    }
    for seq in [2, 5] {
        let mut life =
            life_of(bearing(SuspenseRelease::Manual, "half_up,daily", DayCount::Act365), &[lent, paid, next]);
        life.insert(accrue(seq, 30, None)).unwrap();
        assert_eq!((split(&life, &paid), split(&life, &next)), ([0, 0, 100, 0], [0, 309, 91, 0]));
    }
}

/// Suspense pays a debt on the day it arose, and less of it when the money turns out not to have come.
#[test]
fn a_release_follows_its_suspense() {
    let (lent, over, fee) = (fact(1, 0, lend(100)), fact(2, 10, pay(150)), fact(3, 20, raise(0, 30)));
    let mut life = life(SuspenseRelease::Automatic, &[lent, over, fee]);
    assert_eq!(four(&life.release(fee.place).unwrap().movement), [-30, 0, 0, -30]);
    let smaller = Fact { deed: pay(110), ..over };
    let changes = life.insert(smaller).unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!(four(&changes[1].release_after.unwrap().movement), [-10, 0, 0, -10]);
    assert_eq!(four(&life.position().unwrap().balances), [20, 0, 0, 0]);
    life.void(over.place).unwrap();
    assert_eq!(life.release(fee.place), None);
}

/// A waiver whose fee an earlier payment pays gives the money back.
#[test]
fn a_waiver_of_a_fee_that_is_paid_by_then_goes_to_suspense() {
    let (lent, fee, waived) = (fact(1, 0, lend(500)), fact(2, 5, raise(0, 40)), fact(3, 20, raise(0, -40)));
    let mut life = life(SuspenseRelease::Manual, &[lent, fee, waived]);
    life.insert(fact(4, 10, pay(30))).unwrap();
    assert_eq!(four(&life.effect(waived.place).unwrap().movement), [-10, 0, 0, 30]);
    assert_eq!(four(&life.position().unwrap().balances), [0, 0, 500, 30]);
}

/// Of a payment 50 go back twice. Without the 40 that suspense paid, the first 50 are 40 of suspense and 10 of fees; the
/// payment between them pays these and so leaves the loan where it stood, but the second 50 are all fees now.
#[test]
fn what_goes_back_second_follows_what_went_back_first() {
    let (fees, lent, paid) = (fact(1, 0, raise(0, 70)), fact(2, 0, lend(30)), fact(3, 0, pay(140)));
    let (more, applied) = (fact(4, 2, lend(170)), fact(5, 4, Deed::Applies(None)));
    let back = Deed::ChargesBack { of: paid.place, amount: Minor::new(50), order: Waterfall::default() };
    let (first, between, second) = (fact(6, 9, back), fact(7, 14, pay(180)), fact(8, 19, back));
    let known = [fees, lent, paid, more, applied, first, between, second];
    let mut life = life(SuspenseRelease::Manual, &known);
    let splits = |life: &Life| [first, between, second].map(|fact| split(life, &fact));
    let as_was = [[50, 0, 0, 0], [50, 0, 130, 0], [20, 0, 30, 0]];
    assert_eq!(splits(&life), as_was);
    life.void(applied.place).unwrap();
    assert_eq!(splits(&life), [[10, 0, 0, 40], [10, 0, 170, 0], [50, 0, 0, 0]]);
    assert_eq!(four(&life.position().unwrap().balances), [50, 0, 0, 0]);
    life.insert(applied).unwrap();
    assert_eq!(splits(&life), as_was);
}

/// A refusal leaves the life alone.
#[test]
fn a_fact_without_room_changes_nothing() {
    let mut life = life(SuspenseRelease::Manual, &[fact(1, 0, lend(i64::MAX)), fact(2, 9, pay(i64::MAX))]);
    let before = told(&life);
    assert!(life.insert(fact(3, 5, lend(1))).is_err());
    assert_eq!(told(&life), before);
    assert!(life.insert(fact(3, 9, lend(1))).is_ok());
}

/// 1,000 later payments of which every one is divided anew.
fn long_life() -> Life {
    let date = |days: u64| day(0) + Days::new(days);
    let mut facts = vec![fact(1, 0, lend(1_000_000)), fact(2, 0, raise(0, 1_000_000))];
    facts.extend((0..1_000).map(|at| placed(at + 3, date(2 + at.unsigned_abs()), Turn::Event, pay(700))));
    life(SuspenseRelease::Automatic, &facts)
}

#[test]
fn checkpoints_change_nothing_in_a_long_life() {
    let mut life = long_life();
    let late = fact(5_000, 1, pay(999_900));
    let changes = life.insert(late).unwrap();
    assert_eq!(changes.len(), 1 + 1_000, "the late payment leaves 100 of the fee, so every later one pays principal");
    let facts: Vec<Fact> = life.facts().map(|(fact, ..)| *fact).collect();
    let again = super::life(SuspenseRelease::Automatic, &facts);
    assert_eq!(told(&life), told(&again));
    let middle = Place { date: day(0) + Days::new(500), turn: Turn::Event, seq: Seq(0), version: 0 };
    assert_eq!(life.position_before(middle), again.position_before(middle));
    assert_eq!(life.position(), again.position());
}
