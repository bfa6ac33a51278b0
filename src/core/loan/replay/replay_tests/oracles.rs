//! Owns the histories of other systems: every case of the two files runs, or is listed with its reason.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

const PORTABLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/replay-portable.json"));
const CHARGEBACKS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/chargeback-credit-allocation.json"));

/// Their penalty and their fee are our fees: a case in which the two are apart in the order and both are charged has no
/// place here.
const APART: &str = "penalty and fee stand apart in the order of payment";
/// The one such case in which that decides nothing: its payments each pay all that is owed.
const PAYS_ALL: &str = "LoanRepayment-L2073";

/// Its numbers are said to be the same whichever day its fee counts from. But the split of its payment, which is reversed
/// later, has the fee behind installments that are due before it: as if it counted from its due day.
const DUE_ON: &str = "LoanAccrualTransaction-L713";

fn cents(value: &Value) -> i64 {
    value.as_str().unwrap_or("0.00").replace('.', "").parse().unwrap()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn date(value: &Value, key: &str) -> NaiveDate {
    text(value, key).parse().unwrap()
}

/// A case on its way.
struct Case<'c> {
    id: &'c str,
    life: Life,
    places: BTreeMap<&'c str, Place>,
    /// What an event had done by the time it was taken back.
    voided: BTreeMap<&'c str, Effect>,
    seq: i64,
}

/// The order of our buckets; `None` where theirs cannot be said in it.
fn waterfall(order: &[&str], charged: &[&str]) -> Option<Waterfall> {
    let has = |word: &str| charged.contains(&word);
    let mut buckets = Vec::new();
    for word in order {
        match *word {
            "interest" => buckets.push(Bucket::Interest),
            "principal" => buckets.push(Bucket::Principal),
            "penalty" if has("penalty") || !has("fee") => buckets.push(Bucket::Fees),
            "fee" if has("fee") => buckets.push(Bucket::Fees),
            _ => {}
        }
    }
    buckets.dedup();
    Waterfall::new(buckets.try_into().ok()?).ok()
}

impl<'c> Case<'c> {
    fn new(case: &'c Value, steps: &'c [Value], order: &[&str]) -> Option<Self> {
        let is_charge = |step: &&Value| text(case, "id") != PAYS_ALL && text(step, "type") == "charge";
        let charged: Vec<&str> = steps.iter().filter(is_charge).map(|step| text(step, "bucket")).collect();
        let waterfall = waterfall(order, &charged)?;
        let terms =
            ReplayTerms { waterfalls: waterfall.into(), suspense_release: SuspenseRelease::Automatic, interest: None };
        let life = Life::new(terms, Position::default());
        Some(Self { id: text(case, "id"), life, places: BTreeMap::new(), voided: BTreeMap::new(), seq: 0 })
    }

    /// Takes an event in. `credit` is the order in which a charge-back is put back; without one it is all principal.
    fn takes(&mut self, step: &'c Value, due_on_only: bool, credit: Option<Waterfall>) {
        let amount = cents(&step["amount"]);
        let back = |of: Place| match credit {
            Some(order) => Deed::ChargesBack { of, amount: Minor::new(amount), order },
            None => raise(3, -amount),
        };
        let (on, deed) = match text(step, "type") {
            "reversal" => {
                let (of, place) = (text(step, "of"), self.places[text(step, "of")]);
                self.voided.insert(of, *self.life.effect(place).unwrap());
                self.life.void(place).unwrap();
                return;
            }
            "charge" => {
                let (due, added) = (date(step, "due_on"), date(step, "posted_on"));
                (if due_on_only { due } else { due.min(added) }, raise(0, amount))
            }
            "disbursement" => (date(step, "effective_on"), lend(amount)),
            "payment" => (date(step, "effective_on"), pay(amount)),
            "refund_of_overpayment" => (date(step, "effective_on"), raise(3, -amount)),
            "chargeback" => (date(step, "effective_on"), back(self.places[text(step, "of")])),
            "charge_off" => (date(step, "effective_on"), charge_off()),
            other => panic!("{}: {other} is no event", self.id),
        };
        self.seq += 1;
        let fact = placed(self.seq, on, Turn::Event, deed);
        self.life.insert(fact).unwrap();
        self.places.insert(text(step, "id"), fact.place);
    }

    fn owed(&self) -> (i64, i64) {
        let position = self.life.position().unwrap();
        let memo = position.charged_off.map_or(0, |off| off.memo.total().unwrap().units());
        (position.balances.exposure().unwrap().units() + memo, position.balances.suspense.units())
    }

    /// Holds a check against the life. Answers how many values it compared.
    fn checks(&self, step: &Value) -> usize {
        let (owed, suspense) = self.owed();
        match text(step, "check") {
            "outstanding" => assert_eq!(owed, cents(&step["amount"]), "{} {step}", self.id),
            "overpaid" => assert_eq!(suspense, cents(&step["amount"]), "{} {step}", self.id),
            "totals" => assert_eq!(owed, cents(&step["outstanding"]), "{} {step}", self.id),
            "summary" => assert_eq!(owed, cents(&step["total_outstanding"]), "{} {step}", self.id),
            "transactions" => {
                let mut released = self.released();
                let rows = step["rows"].as_array().unwrap();
                return rows.iter().map(|row| self.row(row, &mut released)).sum();
            }
            // Statuses are derived from these; a life has no fees by item and no entries, which are held against the loan on
            // the whole path; and no installments.
            "status" | "charges" | "journal" | "schedule" => return 0,
            other => panic!("{}: {other} is no check", self.id),
        }
        1
    }

    /// What suspense has paid by itself of later debts: they write the split of the payment anew whose money that was, the
    /// oldest first, where a release of ours is an event of its own (decision D6).
    fn released(&self) -> [i64; 3] {
        let releases = self.life.facts().filter_map(|(_, _, release)| release.and_then(|release| release.split));
        releases.fold([0; 3], |[fees, interest, principal], split| {
            [fees + split.fees.units(), interest + split.interest.units(), principal + split.principal.units()]
        })
    }

    /// A row of theirs names its event, or is found by kind, day and amount.
    fn row(&self, row: &Value, released: &mut [i64; 3]) -> usize {
        let (kind, event) = (text(row, "type"), text(row, "event"));
        // The money of the first is in what is owed; fees are income of another day with them.
        if matches!(kind, "Disbursement" | "Accrual") {
            return 0;
        }
        let found = self.life.facts().find(|(fact, ..)| match row["event"].as_str() {
            Some(event) => self.places.get(event) == Some(&fact.place),
            None => is_of(fact, row),
        });
        let effect = if row["reversed"] == true { self.voided.get(event) } else { found.map(|(_, effect, _)| effect) };
        let effect = effect.unwrap_or_else(|| panic!("{}: no event of {row}", self.id));
        let mut theirs = ["fee", "interest", "principal"].map(|part| cents(&row[part]));
        theirs[0] += cents(&row["penalty"]);
        let on = if effect.memo == Balances::default() { effect.movement } else { effect.memo };
        let [fees, interest, principal, _] = four(&on);
        let Some(split) = effect.split else {
            // A charge-off, a refund, a charge-back without an order.
            assert_eq!([fees, interest, principal], theirs, "{} {row}", self.id);
            return 1;
        };
        let mut ours = [split.fees, split.interest, split.principal].map(Minor::units);
        let mut suspense = split.suspense.units();
        if kind == "Chargeback" {
            // They list all that an overpaid loan's charge-back puts back by bucket, and we what suspense does not pay.
            let (overpaid, sum) = (cents(&row["overpaid"]), ours.iter().sum::<i64>() + suspense);
            assert_eq!((suspense, sum), (overpaid, theirs.iter().sum()), "{} {row}", self.id);
            if overpaid > 0 {
                return 1;
            }
        } else if row["reversed"] != true {
            for (part, released) in ours.iter_mut().zip(released) {
                let moved = suspense.min(*released);
                (*part, suspense, *released) = (*part + moved, suspense - moved, *released - moved);
            }
        }
        let waiting = ["suspense", "overpaid"].into_iter().find(|name| !row[*name].is_null());
        assert_eq!(suspense, waiting.map_or(suspense, |name| cents(&row[name])), "{} {row}", self.id);
        assert_eq!(ours, theirs, "{} {row}", self.id);
        1
    }
}

fn is_of(fact: &Fact, row: &Value) -> bool {
    let amount = cents(&row["amount"]);
    let is_kind = match fact.deed {
        Deed::Pays { amount: paid, .. } => text(row, "type") == "Repayment" && paid.units() == amount,
        Deed::ChargesBack { amount: back, .. } => text(row, "type") == "Chargeback" && back.units() == amount,
        Deed::ChargesOff { .. } => text(row, "type") == "Charge-off",
        Deed::Moves(_) | Deed::Adjusts { .. } | Deed::Accrues { .. } | Deed::Applies(_) => false,
    };
    is_kind && fact.place.date == date(row, "effective_on")
}

#[test]
fn every_portable_history_runs_or_is_listed() {
    let file: Value = serde_json::from_str(PORTABLE).unwrap();
    let (mut ran, mut compared, mut listed) = (0, 0, Vec::new());
    for case in file["cases"].as_array().unwrap() {
        let steps = case["steps"].as_array().unwrap();
        let order: Vec<&str> = case["allocation_order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let Some(mut running) = Case::new(case, steps, &order) else {
            listed.push((text(case, "id"), APART));
            continue;
        };
        ran += 1;
        let before = compared;
        for step in steps {
            if step["type"].is_null() {
                compared += running.checks(step);
            } else {
                let due_on_only = text(case, "profile") == "due_on" || running.id == DUE_ON;
                running.takes(step, due_on_only, None);
            }
        }
        assert!(compared > before, "{} is held against nothing", running.id);
    }
    assert_eq!(listed, [("LoanRepayment-L2527", APART)]);
    assert_eq!((ran, compared), (69, 285), "histories, and values held against them");
}

#[test]
fn every_charge_back_with_a_credit_order_runs_or_is_listed() {
    let file: Value = serde_json::from_str(CHARGEBACKS).unwrap();
    let (mut ran, mut compared, mut listed) = (0, 0, Vec::new());
    for case in file["cases"].as_array().unwrap() {
        let steps = case["events"].as_array().unwrap();
        let words = text(case, "payment_order").split("; ").next().unwrap().split(": ").nth(1).unwrap();
        let order: Vec<&str> = words.split(", ").collect();
        let credit: Vec<&str> =
            case["credit_allocation"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let Some(mut running) = Case::new(case, steps, &order) else {
            listed.push((text(case, "id"), APART));
            continue;
        };
        // Where installments not yet due are paid in another order, everything is paid: the order decides nothing.
        let credit = waterfall(&credit, &["fee", "penalty"]).unwrap();
        ran += 1;
        for step in steps {
            if step["type"].is_null() {
                compared += running.checks(step);
            } else {
                running.takes(step, false, Some(credit));
            }
        }
    }
    assert_eq!((ran + listed.len(), listed.len()), (10, 0), "{listed:?}");
    assert_eq!(compared, 40, "values held against them");
}
