//! Owns the histories of other systems: every case of the two files runs, or is listed with its reason.

use serde_json::Value;

use super::*;

const PORTABLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/replay-portable.json"));
const CHARGEBACKS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/chargeback-credit-allocation.json"));

/// Their penalty and their fee are our fees: a case in which the two are apart in the order and both are charged has no
/// place here.
const APART: &str = "penalty and fee stand apart in the order of payment";
/// Suspense that pays a later fee does so in an event of its own here (decision D6); they write the older payment's split
/// anew. What is owed is the same, and is compared.
const RELEASED: &str = "rows of payments: a release of suspense is an event of its own";

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
    places: std::collections::BTreeMap<&'c str, Place>,
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
        let charged: Vec<&str> = steps.iter().map(|step| text(step, "bucket")).collect();
        let waterfall = waterfall(order, &charged)?;
        let terms = ReplayTerms { waterfall, suspense_release: SuspenseRelease::Automatic, interest: None };
        let life = Life::new(terms, Position::default());
        Some(Self { id: text(case, "id"), life, places: std::collections::BTreeMap::new(), seq: 0 })
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
                self.life.void(self.places[text(step, "of")]).unwrap();
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

    /// Holds a check against the life. Answers how many numbers it compared.
    fn checks(&self, step: &Value, is_moving: bool) -> usize {
        let (owed, suspense) = self.owed();
        match text(step, "check") {
            "outstanding" => assert_eq!(owed, cents(&step["amount"]), "{} {step}", self.id),
            "overpaid" => assert_eq!(suspense, cents(&step["amount"]), "{} {step}", self.id),
            "totals" if !is_moving => assert_eq!(owed, cents(&step["outstanding"]), "{} {step}", self.id),
            "summary" => assert_eq!(owed, cents(&step["total_outstanding"]), "{} {step}", self.id),
            "transactions" => {
                let rows = step["rows"].as_array().unwrap();
                return rows.iter().map(|row| self.row(row)).sum();
            }
            _ => return 0,
        }
        1
    }

    /// A row of theirs names its event, or is found by kind, day and amount.
    fn row(&self, row: &Value) -> usize {
        let found = match row["event"].as_str() {
            Some(event) => self.places.get(event).copied(),
            None => self.life.facts().map(|(fact, ..)| fact).find(|fact| is_of(fact, row)).map(|fact| fact.place),
        };
        let is_compared = matches!(text(row, "type"), "Repayment" | "Goodwill Credit" | "Charge-off")
            || text(row, "type").ends_with("Refund")
            || (row["event"].is_null() && text(row, "type") == "Chargeback");
        let Some(place) = found.filter(|_| is_compared && row["reversed"] != true) else { return 0 };
        let effect = self.life.effect(place).unwrap();
        let [fees, interest, principal] = ["fee", "interest", "principal"].map(|part| cents(&row[part]));
        let fees = fees + cents(&row["penalty"]);
        let theirs = [fees, interest, principal];
        match effect.split {
            // They list all that an overpaid loan's charge-back puts back, and what suspense pays of it in the balance.
            Some(_) if text(row, "type") == "Chargeback" && cents(&row["overpaid"]) > 0 => return 0,
            Some(split) => {
                let ours = [split.fees, split.interest, split.principal].map(Minor::units);
                assert_eq!(ours, theirs, "{} {row}", self.id);
                if !row["suspense"].is_null() {
                    assert_eq!(split.suspense.units(), cents(&row["suspense"]), "{} {row}", self.id);
                }
            }
            None if text(row, "type") == "Credit Balance Refund" => {
                assert_eq!(effect.movement.principal.units(), principal, "{} {row}", self.id);
            }
            // They charge off in one sum of principal what the loan owes by buckets.
            None if effect.charges_off.is_some() => {
                let taken = four(&effect.memo);
                assert_eq!(taken[0] + taken[1] + taken[2], cents(&row["amount"]), "{} {row}", self.id);
            }
            None => {
                let on = if effect.memo == Balances::default() { effect.movement } else { effect.memo };
                let ours = [on.fees, on.interest, on.principal].map(Minor::units);
                assert_eq!(ours, theirs, "{} {row}", self.id);
            }
        }
        1
    }
}

fn is_of(fact: &Fact, row: &Value) -> bool {
    let amount = cents(&row["amount"]);
    let is_kind = match fact.deed {
        Deed::Pays(paid) => text(row, "type") == "Repayment" && paid.units() == amount,
        Deed::ChargesBack { amount: back, .. } => text(row, "type") == "Chargeback" && back.units() == amount,
        Deed::ChargesOff { .. } => text(row, "type") == "Charge-off",
        Deed::Moves(_) | Deed::Adjusts { .. } | Deed::Accrues { .. } | Deed::Applies(_) => false,
    };
    is_kind && fact.place.date == date(row, "effective_on")
}

#[test]
fn every_portable_history_runs_or_is_listed() {
    let file: Value = serde_json::from_str(PORTABLE).unwrap();
    let (mut ran, mut compared, mut listed, mut rows_left_out) = (0, 0, Vec::new(), Vec::new());
    for case in file["cases"].as_array().unwrap() {
        let steps = case["steps"].as_array().unwrap();
        let order: Vec<&str> = case["allocation_order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let Some(mut running) = Case::new(case, steps, &order) else {
            listed.push((text(case, "id"), APART));
            continue;
        };
        ran += 1;
        // Behind a charge-back their totals are of the schedule, which has it twice.
        let is_moving = steps.iter().any(|step| text(step, "type") == "chargeback");
        let is_released = case["tags"].as_array().unwrap().iter().any(|tag| tag == "charge_while_overpaid");
        if is_released {
            rows_left_out.push((running.id, RELEASED));
        }
        for step in steps {
            if step["type"].is_null() {
                let is_compared = !is_released || text(step, "check") != "transactions";
                compared += if is_compared { running.checks(step, is_moving) } else { 0 };
            } else {
                running.takes(step, text(case, "profile") == "due_on", None);
            }
        }
    }
    assert_eq!(listed, ["LoanRepayment-L2073", "LoanRepayment-L2527"].map(|id| (id, APART)));
    assert_eq!((ran, compared), (68, 237), "histories, and numbers held against them");
    assert_eq!(rows_left_out, [("LoanRepayment-L3247", RELEASED)]);
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
                compared += running.checks(step, false);
            } else {
                running.takes(step, false, Some(credit));
            }
        }
    }
    assert_eq!((ran + listed.len(), listed.len()), (10, 0), "{listed:?}");
    assert!(compared > 10, "{compared} numbers");
}
