//! Owns the property tests: random lives in random orders of arrival, held against the naive model.

use proptest::prelude::*;
use proptest::sample::Index;

use super::model::{Did, lived};
use super::*;

const DAYS: u8 = 20;

/// What a fact of a random life asks; a charge-back names one of the payments.
#[derive(Clone, Debug)]
enum Wish {
    Deed(Deed),
    ChargeBack(Index, i64, [usize; 3]),
}

fn wish() -> impl Strategy<Value = Wish> {
    let units = 1..200_i64;
    prop_oneof![
        6 => (prop::bool::ANY, units.clone()).prop_map(|(by_card, units)| {
            Wish::Deed(paid_by(if by_card { PaymentKind::Card } else { PaymentKind::Ach }, units))
        }),
        5 => (0..3_usize, units.clone()).prop_map(|(bucket, units)| Wish::Deed(raise(bucket, units))),
        2 => (0..4_usize, units.clone()).prop_map(|(bucket, units)| Wish::Deed(raise(bucket, -units))),
        1 => prop::array::uniform4(-60..60_i64).prop_map(|moved| Wish::Deed(Deed::Moves(balances(moved)))),
        3 => (prop::array::uniform4(-60..60_i64), 0..40_i64).prop_map(|(asked, more)| Wish::Deed(adjust(asked, more))),
        1 => prop::option::of(units.clone()).prop_map(|units| Wish::Deed(Deed::Applies(units.map(Minor::new)))),
        1 => (any::<Index>(), units, Just([0, 1, 2]).prop_shuffle())
            .prop_map(|(of, units, order)| Wish::ChargeBack(of, units, order)),
    ]
}

/// By hand, lines that balance: outside the loan so much more is debited than has to be, and as much credited.
fn adjust(asked: [i64; 4], more: i64) -> Deed {
    let net = asked[0] + asked[1] + asked[2] - asked[3];
    Deed::Adjusts { asked: balances(asked), borne: Minor::new(more + (-net).max(0)) }
}

/// Facts with their days; at most one of them is a charge-off.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let wishes = prop::collection::vec((wish(), 0..DAYS), 1..40);
    (wishes, prop::option::of((any::<Index>(), 0..DAYS))).prop_map(|(wishes, off)| {
        let mut facts: Vec<Fact> = vec![fact(0, 0, lend(100))];
        for (seq, (wish, days)) in (1..).zip(wishes) {
            let deed = match wish {
                Wish::Deed(deed) => deed,
                Wish::ChargeBack(of, units, order) => {
                    let payments: Vec<Place> =
                        facts.iter().filter(|it| matches!(it.deed, Deed::Pays { .. })).map(|it| it.place).collect();
                    if payments.is_empty() {
                        continue;
                    }
                    let of = *of.get(&payments);
                    let order = Waterfall::new(order.map(|at| Bucket::ALL[at])).unwrap();
                    let days = days.max(u8::try_from((of.date - day(0)).num_days()).unwrap() + 1);
                    let deed = Deed::ChargesBack { of, amount: Minor::new(units), order };
                    facts.push(fact(seq, days, deed));
                    continue;
                }
            };
            facts.push(fact(seq, days, deed));
        }
        if let Some((at, days)) = off {
            let at = at.index(facts.len() + 1);
            facts.insert(at, fact(1_000, days, charge_off()));
        }
        facts
    })
}

/// The same with accruals among them, some of them computed.
fn bearing_facts() -> impl Strategy<Value = Vec<Fact>> {
    let interest = prop_oneof![4 => Just(None), 1 => (0..40_i64).prop_map(Some)];
    let accruals = prop::collection::vec((0..DAYS, interest, any::<Index>()), 1..12);
    (facts(), accruals).prop_map(|(mut facts, accruals)| {
        for (seq, (days, interest, at)) in (2_000..).zip(accruals) {
            let at = at.index(facts.len() + 1);
            facts.insert(at, accrue(seq, days, interest));
        }
        facts
    })
}

fn bearing_terms() -> impl Strategy<Value = ReplayTerms> {
    let roundings =
        ["half_up,daily", "half_even,once", "down,per_segment", "away_from_zero,per_diem", "half_up,per_diem"];
    let day_counts = prop::sample::select(DayCount::ALL.to_vec());
    (release(), prop::sample::select(roundings.to_vec()), day_counts).prop_map(|(release, rounding, day_count)| {
        ReplayTerms { waterfalls: ruled(), ..bearing(release, rounding, day_count) }
    })
}

/// Another order for cards, for suspense, and for a loan that is charged off.
fn ruled() -> Waterfalls {
    "fees,interest,principal;suspense@charged_off:interest,fees,principal;card@:principal,fees,interest;\
     suspense@:interest,principal,fees;@charged_off:principal,interest,fees"
        .parse()
        .unwrap()
}

fn terms(release: SuspenseRelease) -> ReplayTerms {
    ReplayTerms { waterfalls: ruled(), ..super::terms(release) }
}

fn life(release: SuspenseRelease, facts: &[Fact]) -> Life {
    life_of(terms(release), facts)
}

fn release() -> impl Strategy<Value = SuspenseRelease> {
    prop::sample::select(SuspenseRelease::ALL.to_vec())
}

fn wide(balances: &Balances) -> [i128; 4] {
    four(balances).map(i128::from)
}

fn agrees(life: &Life, facts: &[Fact], terms: ReplayTerms) -> Result<(), TestCaseError> {
    let expected = lived(facts, terms);
    let mut found = std::collections::BTreeMap::new();
    for (place, effect, release) in told(life) {
        let release = release.unwrap_or_default();
        let (moved, memo) = (wide(&effect.movement), wide(&effect.memo));
        let (released, released_memo) = (wide(&release.movement), wide(&release.memo));
        found.insert(place, Did { moved, memo, released, released_memo });
    }
    prop_assert_eq!(found, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_life_is_as_the_naive_model_lives_it(facts in facts(), release in release()) {
        agrees(&life(release, &facts), &facts, terms(release))?;
    }

    /// The facts come in any order, and checkpoints, differences and early ends leave no trace of it.
    #[test]
    fn any_order_of_arrival_comes_to_the_same(
        (facts, shuffled) in facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
        release in release(),
    ) {
        let life = life(release, &shuffled);
        agrees(&life, &facts, terms(release))?;
        prop_assert_eq!(told(&life), told(&life_of(terms(release), &facts)));
    }

    /// The same with interest that is computed: each accrual has what the policy says of its days by the principal as it
    /// is known in the end, and all behind it follows.
    #[test]
    fn any_order_of_arrival_comes_to_the_same_interest(
        (facts, shuffled) in bearing_facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
        terms in bearing_terms(),
    ) {
        let life = life_of(terms, &shuffled);
        agrees(&life, &facts, terms)?;
        prop_assert_eq!(told(&life), told(&life_of(terms, &facts)));
    }

    #[test]
    fn void_and_post_again_leaves_interest_as_before(facts in bearing_facts(), of in any::<Index>(), terms in bearing_terms()) {
        let mut life = life_of(terms, &facts);
        let (before, gone) = (told(&life), *of.get(&facts));
        life.void(gone.place).unwrap();
        let rest: Vec<Fact> = facts.iter().filter(|fact| fact.place != gone.place).copied().collect();
        agrees(&life, &rest, terms)?;
        life.insert(gone).unwrap();
        prop_assert_eq!(told(&life), before);
    }

    /// What suspense and charge-backs leave below nothing on no date, interest that shrinks does not either.
    #[test]
    fn nothing_is_negative_where_interest_is_mended(facts in bearing_facts(), terms in bearing_terms()) {
        let life = life_of(terms, &facts);
        let mut position = Position::default();
        for (_, effect, release) in told(&life) {
            position = position.after(&effect).unwrap();
            position = release.map_or(position, |release| position.after(&release).unwrap());
            prop_assert!(!position.balances.has_negative(), "{position:?}");
        }
    }

    /// A fact that is taken out leaves the life as it was, to the last effect; so it does when it comes again.
    #[test]
    fn void_and_post_again_leaves_everything_as_before(facts in facts(), of in any::<Index>(), release in release()) {
        let mut life = life(release, &facts);
        let (before, gone) = (told(&life), *of.get(&facts));
        let position = life.position().unwrap();
        life.void(gone.place).unwrap();
        let rest: Vec<Fact> = facts.iter().filter(|fact| fact.place != gone.place).copied().collect();
        agrees(&life, &rest, terms(release))?;
        life.insert(gone).unwrap();
        prop_assert_eq!(told(&life), before);
        prop_assert_eq!(life.position().unwrap(), position);
    }

    /// What is told as changed is all that has changed, and only that.
    #[test]
    fn changes_are_exactly_what_is_different(facts in facts(), release in release()) {
        let (late, early) = facts.split_last().unwrap();
        let mut life = life(release, early);
        let before: std::collections::BTreeMap<_, _> =
            told(&life).into_iter().map(|(place, effect, release)| (place, (effect, release))).collect();
        let changes = life.insert(*late).unwrap();
        let mut expected = Vec::new();
        for (place, effect, release) in told(&life) {
            let (was, was_released) = before.get(&place).map_or((None, None), |(was, released)| (Some(*was), *released));
            let change = Change { place, before: was, after: Some(effect), release_before: was_released, release_after: release };
            expected.extend(change.is_real().then_some(change));
        }
        prop_assert_eq!(changes, expected);
    }

    /// No bucket is negative after any fact, so on no date, and what was paid is what the splits add up to.
    #[test]
    fn nothing_is_negative_and_the_splits_add_up_to_the_cash(facts in facts(), release in release()) {
        let life = life(release, &facts);
        let mut position = Position::default();
        for (_, effect, release) in told(&life) {
            position = position.after(&effect).unwrap();
            prop_assert!(!position.balances.has_negative(), "{position:?}");
            position = release.map_or(position, |release| position.after(&release).unwrap());
            prop_assert!(!position.balances.has_negative(), "{position:?}");
            let memo = position.charged_off.map(|off| off.memo.payable()).unwrap_or_default();
            prop_assert!(!memo.has_negative(), "{position:?}");
            let Balances { fees, interest, principal, .. } = position.balances;
            let is_off_sheet = [fees, interest, principal].iter().all(|part| part.is_zero());
            prop_assert!(position.charged_off.is_none() || is_off_sheet, "{position:?}");
        }
        prop_assert_eq!(position, life.position().unwrap());
        for (fact, effect, _) in life.facts() {
            if let Deed::Pays { amount, .. } = fact.deed {
                prop_assert_eq!(effect.split.unwrap().total(), Ok(amount));
            }
        }
    }

    /// A life that is taken up from what the books say goes on as if it had never been put down.
    #[test]
    fn a_life_that_is_taken_up_goes_on_the_same(facts in facts(), release in release()) {
        let (late, early) = facts.split_last().unwrap();
        let mut whole = life(release, early);
        let known = whole.facts().map(|(fact, effect, release)| (*fact, *effect, release.copied()));
        let mut resumed = Life::resume(terms(release), Position::default(), known.collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(resumed.insert(*late).unwrap(), whole.insert(*late).unwrap());
        prop_assert_eq!(told(&resumed), told(&whole));
    }
}
