//! Owns the naive model: every question is answered by living the whole life again from its first day, in 128 bits,
//! bucket by bucket, without positions, checkpoints or differences.

use std::collections::BTreeMap;

use super::*;
use crate::core::loan::{DaySpan, segments};

/// Fees, interest, principal, suspense.
pub(super) type Wide = [i128; 4];

/// What one fact did: on the balance sheet, on the memo accounts, and what suspense paid behind it of either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Did {
    pub(super) moved: Wide,
    pub(super) memo: Wide,
    pub(super) released: Wide,
    pub(super) released_memo: Wide,
}

/// A loan while it is lived.
#[derive(Default)]
struct Lived {
    owed: [i128; 3],
    suspense: i128,
    memo: Option<[i128; 3]>,
    splits: BTreeMap<Place, [i128; 3]>,
    /// What moved principal, by day.
    principal: Vec<(NaiveDate, Minor)>,
    /// The first day behind the last accrual.
    accrued_until: Option<NaiveDate>,
}

/// Lives facts in order of their places.
pub(super) fn lived(facts: &[Fact], terms: ReplayTerms) -> BTreeMap<Place, Did> {
    let mut sorted = facts.to_vec();
    sorted.sort_by_key(|fact| fact.place);
    let mut loan = Lived::default();
    let mut all = BTreeMap::new();
    for fact in sorted {
        let mut did = loan.does(&fact, &terms);
        let is_move = matches!(fact.deed, Deed::Moves(_) | Deed::Adjusts { .. } | Deed::Accrues { .. });
        let raised = did.moved.iter().any(|part| *part > 0) || (is_move && did.memo.iter().any(|part| *part > 0));
        if terms.suspense_release == SuspenseRelease::Automatic && fact.releases_suspense && raised {
            let is_computed = matches!(fact.deed, Deed::Accrues { interest: None, .. });
            let brought = is_computed.then_some(did.moved[1] + did.memo[1]);
            (did.released, did.released_memo) = loan.releases(brought, loan.order(PaymentKind::Suspense, &terms));
        }
        let moved = i64::try_from(did.moved[2] + did.released[2]).unwrap();
        loan.principal.push((fact.place.date, Minor::new(moved)));
        all.insert(fact.place, did);
    }
    all
}

fn index(bucket: Bucket) -> usize {
    match bucket {
        Bucket::Fees => 0,
        Bucket::Interest => 1,
        Bucket::Principal => 2,
    }
}

fn units(amount: Minor) -> i128 {
    i128::from(amount.units())
}

impl Lived {
    /// The order of payment that money of a kind follows now.
    fn order(&self, kind: PaymentKind, terms: &ReplayTerms) -> [usize; 3] {
        let status = if self.memo.is_some() { LoanStatus::ChargedOff } else { LoanStatus::Open };
        terms.waterfalls.order(kind, status).order().map(index)
    }

    fn does(&mut self, fact: &Fact, terms: &ReplayTerms) -> Did {
        let before = (self.owed, self.suspense, self.memo.unwrap_or_default());
        match fact.deed {
            Deed::Moves(asked) => self.moves([asked.fees, asked.interest, asked.principal, asked.suspense].map(units)),
            Deed::Adjusts { asked, borne } => {
                self.adjusts([asked.fees, asked.interest, asked.principal, asked.suspense].map(units), units(borne));
            }
            Deed::Accrues { interest, until } => {
                let interest = interest.map_or_else(|| self.interest(terms.interest.as_ref().unwrap(), until), units);
                self.accrued_until = self.accrued_until.max(Some(until));
                self.moves([0, interest, 0, 0]);
            }
            Deed::Pays { amount, kind } => {
                let (split, rest) = self.divide(units(amount), self.order(kind, terms));
                self.suspense += rest;
                self.splits.insert(fact.place, split);
            }
            Deed::Applies(asked) => {
                let most = asked.map_or(self.suspense, |asked| units(asked).min(self.suspense));
                self.applies(most, self.order(PaymentKind::Suspense, terms));
            }
            Deed::ChargesOff { .. } => self.memo = Some(std::mem::take(&mut self.owed)),
            Deed::ChargesBack { of, amount, order } => self.charges_back(of, units(amount), order.order().map(index)),
        }
        let memo = self.memo.unwrap_or_default();
        Did {
            moved: std::array::from_fn(
                |at| if at < 3 { self.owed[at] - before.0[at] } else { self.suspense - before.1 },
            ),
            memo: std::array::from_fn(|at| if at < 3 { memo[at] - before.2[at] } else { 0 }),
            ..Did::default()
        }
    }

    /// The policy's interest of the days that are not accrued, out of all the principal from the first day on.
    fn interest(&self, rule: &InterestRule, until: NaiveDate) -> i128 {
        let stretches = segments(self.principal.iter().copied(), rule.rate, until).unwrap();
        let Some(first) = stretches.first() else { return 0 };
        let from = self.accrued_until.unwrap_or(first.days.from()).max(first.days.from()).min(until);
        units(rule.terms.accrued(&stretches, DaySpan::new(from, until).unwrap()).unwrap())
    }

    /// Cent by cent: for each of interest that is not there, one less is given elsewhere.
    fn adjusts(&mut self, mut asked: Wide, mut borne: i128) {
        let there = self.memo.unwrap_or(self.owed)[1];
        while asked[1] < 0 && there + asked[1] < 0 {
            asked[1] += 1;
            match (borne > 0, asked[3] < 0, asked[2] > 0) {
                (true, ..) => borne -= 1,
                (false, true, _) => asked[3] += 1,
                (false, false, true) => asked[2] -= 1,
                (false, false, false) => asked[0] -= 1,
            }
        }
        self.moves(asked);
    }

    /// Cent by cent would be as good: a debt never pays more than it has, suspense neither.
    fn moves(&mut self, asked: Wide) {
        let owed = self.memo.as_mut().unwrap_or(&mut self.owed);
        for (owed, part) in owed.iter_mut().zip(asked) {
            *owed += part;
            if *owed < 0 {
                self.suspense -= *owed;
                *owed = 0;
            }
        }
        self.suspense += asked[3];
        if self.suspense < 0 {
            owed[2] -= self.suspense;
            self.suspense = 0;
        }
    }

    fn divide(&mut self, amount: i128, order: [usize; 3]) -> ([i128; 3], i128) {
        let owed = self.memo.as_mut().unwrap_or(&mut self.owed);
        let (mut split, mut rest) = ([0; 3], amount);
        for bucket in order {
            split[bucket] = rest.min(owed[bucket]);
            owed[bucket] -= split[bucket];
            rest -= split[bucket];
        }
        (split, rest)
    }

    /// What suspense pays, on the balance sheet and on the memo accounts.
    fn applies(&mut self, most: i128, order: [usize; 3]) -> (Wide, Wide) {
        let (split, rest) = self.divide(most, order);
        self.suspense -= most - rest;
        let [fees, interest, principal] = split.map(|part| -part);
        if self.memo.is_some() {
            ([0, 0, 0, rest - most], [fees, interest, principal, 0])
        } else {
            ([fees, interest, principal, rest - most], [0; 4])
        }
    }

    /// What suspense pays behind a fact: all that is owed, or of interest that was computed just so much.
    fn releases(&mut self, interest: Option<i128>, order: [usize; 3]) -> (Wide, Wide) {
        let Some(brought) = interest else { return self.applies(self.suspense, order) };
        let owed = self.memo.as_mut().unwrap_or(&mut self.owed);
        let paid = self.suspense.min(brought).min(owed[1]);
        owed[1] -= paid;
        self.suspense -= paid;
        if self.memo.is_some() { ([0, 0, 0, -paid], [0, -paid, 0, 0]) } else { ([0, -paid, 0, -paid], [0; 4]) }
    }

    fn charges_back(&mut self, of: Place, amount: i128, order: [usize; 3]) {
        let from_suspense = amount.min(self.suspense);
        self.suspense -= from_suspense;
        let mut rest = amount - from_suspense;
        let owed = self.memo.as_mut().unwrap_or(&mut self.owed);
        let left = self.splits.entry(of).or_default();
        for bucket in order {
            let part = rest.min(left[bucket].max(0));
            left[bucket] -= part;
            owed[bucket] += part;
            rest -= part;
        }
        left[2] -= rest;
        owed[2] += rest;
    }
}
