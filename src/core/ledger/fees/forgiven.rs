//! Owns what waivers forgive of which fees: it follows from the fees and the waivers alone.

use std::collections::{BTreeMap, HashMap};

use crate::core::event::FeeCode;
use crate::core::ids::EventId;
use crate::core::ledger::fees::{Charged, FeeSort, Waiver};

/// What waivers forgive. Wide: sums over all postings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forgiven {
    /// Of each fee, in their order.
    pub(super) of_each: Vec<i128>,
    /// What finds no fee.
    pub(super) rest: i128,
}

/// Named fees first, as those waivers have no choice, and what hands have forgiven last, as that has the most. Of the others
/// each finds all fees of its sort that earlier ones find, so in their order none takes from another what it could have
/// spared.
///
/// The fees come oldest first. For F fees and W waivers this takes (F + W) log (F + W): it stands in a transaction, once or
/// twice for each waiver of a batch.
pub(super) fn forgiven<'a>(charged: &[&'a Charged], waivers: impl Iterator<Item = &'a Waiver>) -> Forgiven {
    let assessed = || charged.iter().map(|charged| i128::from(charged.assessed.units()));
    let mut left: Vec<i128> = assessed().collect();
    let mut waivers: Vec<&Waiver> = waivers.collect();
    waivers.sort_by_key(|waiver| waiver.place);
    let named = waivers.iter().copied().filter(|waiver| waiver.fee.is_some());
    let of_named = forgive_named(charged, &mut left, named);
    let others = || waivers.iter().copied().filter(|waiver| waiver.fee.is_none());
    let of_code = others().filter(|waiver| waiver.code.is_some());
    let of_codes = forgive_youngest((charged, &mut left), of_code, code_of);
    let by_hand = others().filter(|waiver| waiver.code.is_none());
    let by_hands = forgive_youngest((charged, &mut left), by_hand, |_| None);
    let of_each = assessed().zip(left).map(|(assessed, left)| assessed.saturating_sub(left)).collect();
    Forgiven { of_each, rest: of_named.saturating_add(of_codes).saturating_add(by_hands) }
}

/// Waivers of fees that they name. Answers what finds no fee.
fn forgive_named<'a>(charged: &[&Charged], left: &mut [i128], waivers: impl Iterator<Item = &'a Waiver>) -> i128 {
    let mut waivers = waivers.peekable();
    if waivers.peek().is_none() {
        return 0;
    }
    let mut fees: HashMap<EventId, _> =
        charged.iter().zip(left).map(|(charged, left)| (charged.event_id, (charged, left))).collect();
    let rest_of = |waiver: &Waiver| {
        let mut rest = i128::from(waiver.amount.units());
        let named = waiver.fee.and_then(|fee| fees.get_mut(&fee)).filter(|(charged, _)| waiver.means(charged));
        if let Some((_, left)) = named {
            take(&mut rest, left);
        }
        rest
    };
    waivers.map(rest_of).fold(0, i128::saturating_add)
}

/// Waivers, in the order of their places, each of the youngest fees of a sort that stand in front of it. Such fees lie on a
/// stack, which each waiver finds as the one before it has left it. Answers what finds no fee.
fn forgive_youngest<'a>(
    (charged, left): (&[&'a Charged], &mut [i128]),
    waivers: impl Iterator<Item = &'a Waiver>,
    sort_of: impl Fn(&'a Charged) -> Option<&'a FeeCode>,
) -> i128 {
    let mut fees = charged.iter().zip(left).peekable();
    let mut passed: BTreeMap<Option<&FeeCode>, Vec<&mut i128>> = BTreeMap::new();
    let mut all_rest = 0_i128;
    for waiver in waivers {
        while let Some((charged, left)) = fees.next_if(|(charged, _)| charged.place < waiver.place) {
            passed.entry(sort_of(charged)).or_default().push(left);
        }
        let mut rest = i128::from(waiver.amount.units());
        if let Some(stack) = passed.get_mut(&waiver.code.as_ref()) {
            while rest > 0
                && let Some(left) = stack.last_mut()
            {
                take(&mut rest, left);
                if **left <= 0 {
                    stack.pop();
                }
            }
        }
        all_rest = all_rest.saturating_add(rest);
    }
    all_rest
}

/// Takes of a fee what is left of it, at most the rest.
fn take(rest: &mut i128, left: &mut i128) {
    let taken = (*rest).min(*left).max(0);
    (*rest, *left) = (rest.saturating_sub(taken), left.saturating_sub(taken));
}

fn code_of(charged: &Charged) -> Option<&FeeCode> {
    match &charged.sort {
        FeeSort::Code(code) => Some(code),
        FeeSort::Of(_) => None,
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]
mod tests {
    use chrono::{Days, NaiveDate};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::core::event::EventKind;
    use crate::core::loan::Place;
    use crate::core::money::Minor;

    fn place(day: u8, version: i64) -> Place {
        let first = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        Place::of_posting(first + Days::new(u64::from(day)), version)
    }

    fn id(number: usize) -> EventId {
        EventId(Uuid::from_u128(u128::try_from(number).unwrap()))
    }

    /// Each waiver looks at all fees, from the youngest on.
    fn naive(charged: &[&Charged], waivers: &[Waiver]) -> Forgiven {
        let mut left: Vec<i128> = charged.iter().map(|charged| i128::from(charged.assessed.units())).collect();
        let mut waivers: Vec<&Waiver> = waivers.iter().collect();
        waivers.sort_by_key(|waiver| (waiver.fee.is_none(), waiver.code.is_none(), waiver.place));
        let mut all_rest = 0;
        for waiver in waivers {
            let mut rest = i128::from(waiver.amount.units());
            for (_, left) in charged.iter().zip(&mut left).rev().filter(|(charged, _)| waiver.means(charged)) {
                take(&mut rest, left);
            }
            all_rest += rest;
        }
        let of_each = charged.iter().zip(left).map(|(charged, left)| i128::from(charged.assessed.units()) - left);
        Forgiven { of_each: of_each.collect(), rest: all_rest }
    }

    /// Fees and waivers of a few days and codes: so most waivers meet others at their fees.
    fn book() -> impl Strategy<Value = (Vec<Charged>, Vec<Waiver>)> {
        let code = || prop::sample::select(vec!["late", "nsf", "wire"]).prop_map(|code| FeeCode::parse(code).unwrap());
        let sort =
            prop_oneof![4 => code().prop_map(FeeSort::Code), 1 => Just(FeeSort::Of(EventKind::ManualAdjustment))];
        // What is restated may come to nothing.
        let fees = prop::collection::vec((sort, 0..20_u8, 0..60_i64), 0..24);
        let asked = prop_oneof![
            3 => code().prop_map(|code| (Some(code), None)),
            2 => (code(), 0..30_usize).prop_map(|(code, fee)| (Some(code), Some(id(fee)))),
            1 => Just((None, None)),
        ];
        let waivers = prop::collection::vec((asked, 0..22_u8, 0..80_i64), 0..24);
        (fees, waivers).prop_map(|(fees, waivers)| {
            let charged = |(number, (sort, day, units)): (usize, (FeeSort, u8, i64))| Charged {
                event_id: id(number),
                sort,
                place: place(day, i64::try_from(number).unwrap()),
                due_on: None,
                assessed: Minor::new(units),
            };
            let mut charged: Vec<Charged> = fees.into_iter().enumerate().map(charged).collect();
            charged.sort_by_key(|charged| charged.place);
            let waiver = |(number, ((code, fee), day, units)): (usize, ((_, _), u8, i64))| Waiver {
                code,
                fee,
                place: place(day, 100 + i64::try_from(number).unwrap()),
                amount: Minor::new(units),
            };
            (charged, waivers.into_iter().enumerate().map(waiver).collect())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_is_what_a_look_at_every_fee_finds((charged, waivers) in book()) {
            let charged: Vec<&Charged> = charged.iter().collect();
            prop_assert_eq!(forgiven(&charged, waivers.iter()), naive(&charged, &waivers));
        }
    }
}
