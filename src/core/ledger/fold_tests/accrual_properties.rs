//! Owns the property tests of interest that is computed: random lives of a loan in random orders of arrival, held against the
//! same life in order, and against the policy's total.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::charge_backs::charge_back;
use super::servicing::{act, adjustment, apply, fee, refund, reversal, waiver, waiver_of};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::ledger::FeeItem;
use crate::core::loan::{DayCount, DaySpan, InterestTerms, LossAccount, SuspenseRelease, segments};

/// What counts from a day of a random life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Pay(i64),
    Lend(i64),
    Fee(&'static str, i64),
    Given(i64),
    Accrue,
    /// By hand, so much more or less of the account, against an expense.
    Adjust(&'static str, i64),
    /// By hand, interest becomes principal.
    Capitalise(i64),
    Refund(i64),
    /// Suspense pays debts with so much of it, or with all there is.
    Apply(Option<i64>),
    /// Money for a loan that is charged off.
    Recover(i64),
    /// Of the fees of a code.
    Waive(&'static str, i64),
    /// Of the fee of a day.
    WaiveOne(u8, i64),
    ChargeOff,
    /// So much of the payment of a day goes back.
    ChargeBack(u8, i64),
}

impl Wish {
    fn is_accrual(self) -> bool {
        matches!(self, Self::Given(_) | Self::Accrue)
    }

    /// Whether a rule may refuse it on a loan that is open: it takes something that may not be there.
    fn takes(self) -> bool {
        match self {
            Self::Pay(_) | Self::Lend(_) | Self::Fee(..) | Self::Given(_) | Self::Accrue => false,
            Self::Adjust(..)
            | Self::Capitalise(_)
            | Self::Refund(_)
            | Self::Apply(_)
            | Self::Recover(_)
            | Self::Waive(..)
            | Self::WaiveOne(..)
            | Self::ChargeOff
            | Self::ChargeBack(..) => true,
        }
    }
}

/// A fact: its day, what it is, and whether it is taken back in the end.
type Fact = (u8, Wish, bool);

/// Which fact of a life: its day, and whether it is an accrual that is computed.
type Which = (u8, bool);

const fn which((day, wish, _): &Fact) -> Which {
    (*day, matches!(wish, Wish::Accrue))
}

fn fee_code() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["late", "nsf"])
}

fn wish() -> impl Strategy<Value = Wish> {
    let units = || 1..4_000_i64;
    prop_oneof![
        10 => units().prop_map(Wish::Pay),
        6 => units().prop_map(Wish::Lend),
        4 => (fee_code(), 1..300_i64).prop_map(|(code, units)| Wish::Fee(code, units)),
        2 => (0..90_i64).prop_map(Wish::Given),
        3 => (prop::sample::select(vec!["1100", "1200", "1300", "2100"]), -90..90_i64)
            .prop_filter_map("lines of nothing", |(account, units)| (units != 0).then_some(Wish::Adjust(account, units))),
        1 => (1..90_i64).prop_map(Wish::Capitalise),
        2 => (1..300_i64).prop_map(Wish::Refund),
        2 => (fee_code(), 1..200_i64).prop_map(|(code, units)| Wish::Waive(code, units)),
        2 => (1..200_i64).prop_map(|units| Wish::WaiveOne(0, units)),
        3 => prop::option::of(1..2_000_i64).prop_map(Wish::Apply),
        1 => units().prop_map(Wish::Recover),
        1 => Just(Wish::ChargeOff),
        2 => units().prop_map(|units| Wish::ChargeBack(0, units)),
    ]
}

/// The events of a life, at most one a day, and accruals, at most one a day. A charge-back is of an earlier payment, a
/// waiver by name of an earlier fee; where there is none, it is that.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let events = prop::collection::btree_map(1..60_u8, (wish(), prop::bool::weighted(0.2), any::<Index>()), 1..10);
    let accruals = prop::collection::btree_map(1..60_u8, prop::bool::weighted(0.2), 1..10);
    (events, accruals).prop_map(|(events, accruals)| {
        let mut facts: Vec<Fact> = Vec::new();
        for (day, (wish, gone, of)) in events {
            let days = |is_meant: fn(&Wish) -> bool| -> Vec<u8> {
                facts.iter().filter(|(_, wish, _)| is_meant(wish)).map(|it| it.0).collect()
            };
            let (paid, charged) = (days(|it| matches!(it, Wish::Pay(_))), days(|it| matches!(it, Wish::Fee(..))));
            let wish = if let Wish::ChargeBack(_, units) = wish {
                if paid.is_empty() { Wish::Pay(units) } else { Wish::ChargeBack(*of.get(&paid), units) }
            } else if let Wish::WaiveOne(_, units) = wish {
                if charged.is_empty() { Wish::Fee("late", units) } else { Wish::WaiveOne(*of.get(&charged), units) }
            } else {
                wish
            };
            facts.push((day, wish, gone));
        }
        facts.extend(accruals.into_iter().map(|(day, gone)| (day, Wish::Accrue, gone)));
        facts
    })
}

fn any_rule() -> impl Strategy<Value = InterestRule> {
    let roundings = ["half_up,daily", "half_even,once", "down,per_segment", "away_from_zero,per_diem"];
    (1..400_i64, prop::sample::select(roundings.to_vec()), prop::sample::select(DayCount::ALL.to_vec())).prop_map(
        |(percent, rounding, day_count)| InterestRule {
            rate: percent.to_string().parse().unwrap(),
            terms: InterestTerms { day_count, rounding: rounding.parse().unwrap() },
        },
    )
}

/// What became of facts.
#[derive(Clone, Debug, Default)]
struct Lived {
    /// The number of each that was posted.
    numbers: BTreeMap<Which, i64>,
    /// Those that a rule refused.
    refused: BTreeSet<Which>,
    /// Those that were to be taken back, and could not.
    kept: BTreeSet<Which>,
}

/// Posts facts in this order, and then takes back what is to go.
fn live(books: &mut Books, facts: &[Fact]) -> Lived {
    let mut lived = Lived::default();
    let may_be_closed = facts.iter().any(|(_, wish, _)| *wish == Wish::ChargeOff);
    for fact in facts {
        let number = i64::try_from(books.posted.len()).unwrap() + 1;
        if posts(books, fact, &lived) {
            lived.numbers.insert(which(fact), number);
        } else {
            let is_money = matches!(fact.1, Wish::Pay(_));
            assert!(fact.1.takes() || (may_be_closed && !is_money), "nothing refuses {fact:?}");
            lived.refused.insert(which(fact));
        }
    }
    for fact @ (day, wish, _) in facts.iter().filter(|(.., gone)| *gone) {
        let Some(number) = lived.numbers.get(&which(fact)) else { continue };
        let is_gone = if wish.is_accrual() {
            books.unaccrue(*number);
            true
        } else {
            let undo = reversal(books, *number, nth_day(90.max(*day)));
            tries(books, undo)
        };
        if !is_gone {
            lived.kept.insert(which(fact));
        }
    }
    lived
}

/// Posts a fact, unless a rule refuses it.
fn posts(books: &mut Books, (day, wish, _): &Fact, lived: &Lived) -> bool {
    let on = nth_day(*day);
    let command = match wish {
        Wish::Pay(units) => payment(*units, on),
        Wish::Lend(units) => disbursement(*units, on),
        Wish::Fee(code, units) => fee(code, *units, on),
        Wish::Adjust(account, units) => adjustment(&[("5200", -units), (account, *units)], on),
        Wish::Capitalise(units) => adjustment(&[("1200", -units), ("1100", *units)], on),
        Wish::Refund(units) => refund(Some(*units), on),
        Wish::Apply(units) => apply(*units, on),
        Wish::Recover(units) => act(ServicingAct::Recovery, Some(*units), on),
        Wish::Waive(code, units) => waiver(code, *units, on),
        Wish::WaiveOne(of, units) => {
            let Some(charged) = lived.numbers.get(&(*of, false)) else { return false };
            waiver_of(books, *charged, *units, on)
        }
        Wish::ChargeOff => {
            let off =
                ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
            act(off, None, on)
        }
        Wish::ChargeBack(of, units) => {
            let Some(paid) = lived.numbers.get(&(*of, false)) else { return false };
            let paid = books.event(*paid).clone();
            charge_back(&paid, (*units).min(paid.event.command.amount().unwrap().units()), on, Some(0))
        }
        Wish::Given(_) | Wish::Accrue => {
            let given = if let Wish::Given(units) = wish { Some(*units) } else { None };
            let number = books.accrue_at(on, given);
            let posted = books.posted.iter().find(|it| it.event.seq == Seq(number)).unwrap();
            return posted.posting.outcome == Outcome::Posted;
        }
    };
    tries(books, command)
}

/// Posts the next command, unless a rule refuses it. The fees one by one are always those of the bucket, and each is
/// forgiven once, but for those that were owed again.
fn tries(books: &mut Books, command: Command) -> bool {
    let seq = i64::try_from(books.posted.len()).unwrap() + 1;
    books.post(&[accepted(seq, command)], at(seq));
    let owed: i64 = fees_of(books).iter().map(|[.., owed]| owed.units()).sum();
    assert_eq!(owed, books.state.map_or(0, |state| state.balances.fees.units()));
    let mut kinds = books.posted.iter().map(|posted| posted.event.event.kind);
    assert!(kinds.any(|kind| kind == EventKind::PaymentReturned) || !books.fees().is_forgiven_again());
    books.last_sent().outcome == Outcome::Posted
}

/// In the order in which they count.
fn in_order(facts: &[Fact]) -> Vec<Fact> {
    let mut sorted = facts.to_vec();
    sorted.sort_by_key(which);
    sorted
}

/// Leaves out what a rule refuses in one order or the other, and leaves standing what cannot be taken back in one of
/// them; answers the books of both orders, as facts come and in order.
fn settled(facts: &mut Vec<Fact>, make: impl Fn() -> Books) -> [(Books, Lived); 2] {
    loop {
        let [arrived, ordered] = [facts.clone(), in_order(facts)].map(|facts| {
            let mut books = make();
            let lived = live(&mut books, &facts);
            (books, lived)
        });
        let either = |of: fn(&Lived) -> &BTreeSet<Which>, it: &Which| {
            [&arrived, &ordered].iter().any(|(_, lived)| of(lived).contains(it))
        };
        let count = (facts.len(), facts.iter().filter(|(.., gone)| *gone).count());
        facts.retain(|fact| !either(|lived| &lived.refused, &which(fact)));
        for fact in facts.iter_mut() {
            fact.2 &= !either(|lived| &lived.kept, &which(fact));
        }
        if count == (facts.len(), facts.iter().filter(|(.., gone)| *gone).count()) {
            return [arrived, ordered];
        }
    }
}

fn by_account(books: &Books) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for line in books.posted.iter().filter_map(|it| it.posting.entry.as_ref()).flat_map(JournalEntry::lines) {
        *sums.entry(line.account.to_string()).or_default() += i128::from(line.signed.units());
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// What is paid, waived, charged off and owed of each fee, oldest first.
fn fees_of(books: &Books) -> Vec<[Minor; 4]> {
    let of = |item: &FeeItem| [item.paid, item.waived, item.charged_off, item.outstanding().unwrap()];
    books.fees().items().iter().map(of).collect()
}

/// Every balance of every day, every account, every fee, every split, and the interest of every accrual.
fn same_books(
    facts: &[Fact],
    (found, arrived): (&Books, &Lived),
    (expected, ordered): (&Books, &Lived),
) -> Result<(), TestCaseError> {
    for day in 0..61 {
        let (found, expected) = (found.balances_on(nth_day(day)), expected.balances_on(nth_day(day)));
        prop_assert_eq!(found, expected, "day {}", day);
        prop_assert!(found.iter().all(|part| *part >= 0), "{:?} on day {}", found, day);
    }
    prop_assert_eq!(by_account(found), by_account(expected));
    let memo = |books: &Books| books.state.unwrap().charged_off.map(|off| off.memo);
    prop_assert_eq!(memo(found), memo(expected));
    prop_assert_eq!(fees_of(found), fees_of(expected));
    for fact in facts.iter().filter(|(.., gone)| !gone) {
        let [one, other] = [arrived, ordered].map(|lived| lived.numbers[&which(fact)]);
        match fact.1 {
            Wish::Pay(_) | Wish::Recover(_) | Wish::Apply(_) | Wish::ChargeBack(..) => {
                prop_assert_eq!(found.split(one), expected.split(other));
            }
            Wish::Given(_) | Wish::Accrue => prop_assert_eq!(found.interest_of(one), expected.interest_of(other)),
            Wish::Lend(_)
            | Wish::Fee(..)
            | Wish::Adjust(..)
            | Wish::Capitalise(_)
            | Wish::Refund(_)
            | Wish::Waive(..)
            | Wish::WaiveOne(..)
            | Wish::ChargeOff => {}
        }
    }
    Ok(())
}

/// Every cent that came in is in the split of its payment as it stands, and all of them together, less what went back, are
/// what payment clearing has.
fn all_cash_is_divided(facts: &[Fact], (books, lived): (&Books, &Lived)) -> Result<(), TestCaseError> {
    let mut cash = 0;
    for fact in facts.iter().filter(|(.., gone)| !gone) {
        match fact.1 {
            Wish::Pay(units) | Wish::Recover(units) => {
                cash += units;
                prop_assert_eq!(books.split(lived.numbers[&which(fact)]).iter().sum::<i64>(), units);
            }
            Wish::ChargeBack(..) => {
                let back = books.split(lived.numbers[&which(fact)]).iter().sum::<i64>();
                prop_assert!(back > 0);
                cash -= back;
            }
            Wish::Lend(_)
            | Wish::Fee(..)
            | Wish::Given(_)
            | Wish::Accrue
            | Wish::Adjust(..)
            | Wish::Capitalise(_)
            | Wish::Refund(_)
            | Wish::Apply(_)
            | Wish::Waive(..)
            | Wish::WaiveOne(..)
            | Wish::ChargeOff => {}
        }
    }
    prop_assert_eq!(by_account(books).get("1010").copied().unwrap_or_default(), i128::from(cash));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Facts that come in any order, some of them to be taken back, leave the books as they do when they come in order,
    /// and as those that stand do alone.
    #[test]
    fn any_order_of_arrival_ends_in_the_same_books(
        mut facts in facts().prop_shuffle(),
        rule in any_rule(),
        release in prop::sample::select(SuspenseRelease::ALL.to_vec()),
    ) {
        let [(mut found, arrived), (expected, ordered)] = settled(&mut facts, || Books::bearing_and_ruled(rule, release));
        same_books(&facts, (&found, &arrived), (&expected, &ordered))?;
        explanations::check(&found);
        all_cash_is_divided(&facts, (&found, &arrived))?;
        let mut standing: Vec<Fact> = facts.iter().filter(|(.., gone)| !gone).copied().collect();
        let mut alone = Books::bearing_and_ruled(rule, release);
        let lived = live(&mut alone, &in_order(&standing));
        if lived.refused.is_empty() {
            let is_restated = alone.posted.iter().any(|it| it.posting.restates_seq.is_some());
            prop_assert!(!is_restated, "in order nothing is restated");
            same_books(&standing, (&found, &arrived), (&alone, &lived))?;
        }
        // One more accrual: all of them together are the policy's total, by the principal as it is known now.
        let until = nth_day(61);
        found.accrue_at(nth_day(60), None);
        standing.retain(|(_, wish, _)| matches!(wish, Wish::Given(_) | Wish::ChargeOff));
        if standing.is_empty() {
            let stretches = segments(found.principal(), rule.rate, until).unwrap();
            let days = stretches.first().map(|first| DaySpan::new(first.days.from(), until).unwrap());
            let total = days.map_or(0, |days| rule.terms.accrued(&stretches, days).unwrap().units());
            prop_assert_eq!(by_account(&found).get("4100").map_or(0, |sum| -sum), i128::from(total));
        }
    }

    /// What is posted and taken back again leaves no account as it was not before.
    #[test]
    fn void_and_post_again_leaves_the_ledger_as_before(
        facts in facts().prop_shuffle(),
        (wish, day) in (wish(), 1..60_u8),
        rule in any_rule(),
        release in prop::sample::select(SuspenseRelease::ALL.to_vec()),
    ) {
        let standing: Vec<Fact> = facts.into_iter().map(|(day, wish, _)| (day, wish, false)).collect();
        let mut books = Books::bearing_and_ruled(rule, release);
        let mut lived = live(&mut books, &standing);
        let told = |books: &Books| (by_account(books), books.balances(), (0..61).map(|day| books.balances_on(nth_day(day))).collect::<Vec<_>>());
        let before = told(&books);
        let number = i64::try_from(books.posted.len()).unwrap() + 1;
        let late = (day, wish, false);
        if !posts(&mut books, &late, &lived) {
            return Ok(());
        }
        let after = told(&books);
        lived.numbers.insert(which(&late), number);
        if wish.is_accrual() {
            books.unaccrue(number);
        } else {
            let undo = reversal(&books, number, nth_day(90));
            if !tries(&mut books, undo) {
                return Ok(());
            }
        }
        prop_assert_eq!(told(&books), before);
        prop_assert!(posts(&mut books, &late, &lived));
        prop_assert_eq!(told(&books), after);
    }
}
