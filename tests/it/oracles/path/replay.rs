//! Owns the histories of `tests/data/replay-portable.json`: their events in the order of posting, and every check where it
//! stands.
//!
//! A fee counts from the earlier of the day it was added and the day it is due, or from the latter where the row says so.
//! A charge-back without a credit order is put back on principal first. Not held against them: the totals of schedules but for what is outstanding, which stand for installments, and the
//! entries, which `journal.json` has by kind.

use std::collections::BTreeMap;

use serde_json::Value;

use super::life::{Books, Loan, cents, order_of, same, text};
use super::{Reason, Rows, Told};

const DATA: &str = include_str!("../../../data/replay-portable.json");

/// How many rows run.
pub(super) const RUN: usize = 67;

/// Every row that does not.
const LEFT_OUT: [(&str, Reason); 3] = [
    ("LoanRepayment-L2073", Reason::PenaltyApartFromFee),
    ("LoanRepayment-L2527", Reason::PenaltyApartFromFee),
    ("LoanChargeback-L1841", Reason::MoreThanCameIn),
];

/// The same as a list.
pub(super) fn left_out() -> Vec<(&'static str, Reason)> {
    LEFT_OUT.to_vec()
}

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("replay-portable.json");
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        match order(case) {
            Ok(order) => rows.runs(id, run(books, order, case.clone())),
            Err(reason) => rows.leaves_out(id, reason),
        }
    }
    rows
}

fn steps(case: &Value) -> impl Iterator<Item = &Value> {
    case["steps"].as_array().unwrap().iter()
}

fn is(step: &Value, word: &str) -> bool {
    step["type"] == word
}

/// What goes back of the payment of which most does, and the amount of that payment.
fn charged_back(case: &Value) -> (i64, i64) {
    let mut back: BTreeMap<&str, i64> = BTreeMap::new();
    for step in steps(case).filter(|step| is(step, "chargeback")) {
        *back.entry(step["of"].as_str().unwrap()).or_default() += cents(&step["amount"]);
    }
    let paid = |of: &str| steps(case).find(|step| step["id"] == of).map_or(0, |step| cents(&step["amount"]));
    back.into_iter().map(|(of, back)| (back, paid(of))).max_by_key(|(back, paid)| back - paid).unwrap_or_default()
}

fn order(case: &Value) -> Result<Vec<&'static str>, Reason> {
    let (back, paid) = charged_back(case);
    if back > paid {
        return Err(Reason::MoreThanCameIn);
    }
    let words: Vec<&str> = case["allocation_order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut charged: Vec<&str> = steps(case).filter_map(|step| step["bucket"].as_str()).collect();
    if charged.is_empty() {
        // Where nothing is charged, their place in the order decides nothing.
        charged.push("penalty");
    }
    order_of(&words, &charged).ok_or(Reason::PenaltyApartFromFee)
}

/// The day that an event counts from; `None` for what takes another one back, and for checks.
fn day_of<'s>(step: &'s Value, case: &Value) -> Option<&'s str> {
    if !is(step, "charge") {
        return step["effective_on"].as_str();
    }
    let (added, due) = (step["posted_on"].as_str()?, step["due_on"].as_str()?);
    Some(if case["profile"] == "due_on" { due } else { added.min(due) })
}

/// A history under way.
struct History<'b> {
    loan: Loan<'b>,
    /// The answers, by the row's name of the event.
    done: BTreeMap<String, Value>,
    /// Whether suspense has paid a later fee: they write the split of the older payment anew, where a release of ours is
    /// an event of its own. What is owed is the same.
    is_released: bool,
    /// Whether money of a payment goes back.
    is_charged_back: bool,
}

async fn run(books: &Books, order: Vec<&'static str>, case: Value) -> Told {
    let is_released = case["tags"].as_array().unwrap().iter().any(|tag| tag == "charge_while_overpaid");
    let loan = books.open_charging_back(&order, &["principal", "interest", "fees"], [0; 3]).await?;
    let mut history = History {
        loan,
        done: BTreeMap::new(),
        is_released,
        is_charged_back: steps(&case).any(|step| is(step, "chargeback")),
    };
    let mut compared = 0;
    for step in steps(&case) {
        let at = |told: String| format!("line {}: {told}", step["line"]);
        if step["type"].is_string() {
            let answer = history.act(step, day_of(step, &case)).await.map_err(at)?;
            history.done.insert(text(&step["id"])?, answer);
        } else {
            compared += history.check(step).await.map_err(at)?;
        }
    }
    Ok(compared)
}

impl History<'_> {
    async fn act(&self, step: &Value, day: Option<&str>) -> Result<Value, String> {
        let amount = cents(&step["amount"]);
        let day = day.or(step["posted_on"].as_str()).ok_or("an event without a day")?;
        match step["type"].as_str().unwrap() {
            "disbursement" => self.loan.lends(amount, day).await,
            "payment" => self.loan.pays(amount, day).await,
            "charge" => self.loan.charges(amount, day).await,
            "refund_of_overpayment" => self.loan.refunds(amount, day).await,
            "charge_off" => self.loan.charges_off(day).await,
            "chargeback" => {
                let of = self.done.get(&text(&step["of"])?).ok_or("a charge-back of nothing")?;
                self.loan.charges_back(of, amount, day).await
            }
            "reversal" => {
                let of = self.done.get(&text(&step["of"])?).ok_or("a reversal of nothing")?;
                self.loan.reverses(&of["journal_entry_id"], day).await
            }
            other => Err(format!("{other} is no event")),
        }
    }

    /// Answers how many numbers it held against the loan.
    async fn check(&self, step: &Value) -> Told {
        match step["check"].as_str().unwrap() {
            "outstanding" => same("outstanding", &self.loan.owed().await?.0, &cents(&step["amount"]))?,
            "overpaid" => same("overpaid", &self.loan.owed().await?.1, &cents(&step["amount"]))?,
            // Behind a charge-back their totals are of the schedule, which has it twice.
            "totals" if self.is_charged_back => return Ok(0),
            "totals" => same("total outstanding", &self.loan.owed().await?.0, &cents(&step["outstanding"]))?,
            "status" => {
                let status = match self.loan.owed().await? {
                    (0, 0) => "CLOSED_OBLIGATIONS_MET",
                    (0, _) => "OVERPAID",
                    (_, _) => "ACTIVE",
                };
                same("status", &Some(status), &step["status"].as_str())?;
            }
            "charges" => {
                let rows = step["rows"].as_array().unwrap().iter();
                let mut expected: Vec<[i64; 3]> =
                    rows.map(|row| ["amount", "paid", "outstanding"].map(|name| cents(&row[name]))).collect();
                expected.sort_unstable();
                same("charges", &self.loan.fees().await?, &expected)?;
            }
            "transactions" => return self.check_rows(step["rows"].as_array().unwrap()).await,
            _ => return Ok(0),
        }
        Ok(1)
    }

    async fn check_rows(&self, rows: &[Value]) -> Told {
        let mut compared = 0;
        // The last row of a day says what the day ends with; behind a charge-off they say what is owed off the books.
        let mut ends: BTreeMap<&str, i64> = BTreeMap::new();
        let mut is_on_books = true;
        for row in rows.iter().filter(|row| row["reversed"] != true) {
            if is_on_books {
                ends.insert(row["effective_on"].as_str().unwrap(), cents(&row["principal_balance_after"]));
            }
            is_on_books &= row["type"] != "Charge-off";
            let event = row["event"].as_str().and_then(|event| self.done.get(event));
            let Some(payment) = event.and_then(|event| event["payment_event_id"].as_str()) else { continue };
            if self.is_released {
                continue;
            }
            let split = self.loan.split(payment).await?;
            let suspense = if row["suspense"].is_null() { split[3] } else { cents(&row["suspense"]) };
            let fees = cents(&row["penalty"]) + cents(&row["fee"]);
            let expected = [fees, cents(&row["interest"]), cents(&row["principal"]), suspense];
            same(&format!("split of {}", row["event"]), &split, &expected)?;
            compared += 4;
        }
        for (day, expected) in ends {
            same(&format!("principal on {day}"), &self.loan.principal_on(day).await?, &expected)?;
            compared += 1;
        }
        Ok(compared)
    }
}
