//! Owns the histories of `tests/data/replay-portable.json`: their events in the order of posting, and every check where it
//! stands.
//!
//! A fee counts from the earlier of the day it was added and the day it is due, or from the latter where the row says so.
//! A charge-back without a credit order is put back on principal first. A row of a transaction is held against the split
//! of its payment, as it stands or stood when the payment was taken back, or against what is booked for its event; an
//! entry of theirs against the sum of an event's own entry and of those that have restated it. Of totals only what is
//! outstanding is held against the loan: the others stand for installments. A status is told by what is owed and what waits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::booked::{Booked, Net, debts, net};
use super::journal::name_of;
use super::life::{Books, Loan, cents, same, text};
use super::{Expected, Reason, Rows, Told};
use crate::oracles::order_of;

const DATA: &str = include_str!("../../../data/replay-portable.json");

pub(super) const EXPECTED: Expected = Expected {
    run: 69,
    compared: 616,
    left_out: &[("LoanRepayment-L2527", Reason::PenaltyApartFromFee)],
    parts: &[(Reason::Goodwill, 1), (Reason::MoreThanCameIn, 5)],
};

/// Its payments each pay all that is owed, so that the order, in which penalty and fee stand apart, decides nothing.
const PAYS_ALL: &str = "LoanRepayment-L2073";

/// Its numbers are said to be the same whichever day its fee counts from. But the split of its payment, which is reversed
/// later, has the fee behind installments that are due before it: as if it counted from its due day.
const DUE_ON: &str = "LoanAccrualTransaction-L713";

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("replay-portable.json");
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        match order(case) {
            Ok(order) => {
                let end = refused(case).unwrap_or(usize::MAX);
                for (number, step) in steps(case).enumerate() {
                    let behind = (number > end && step["check"].is_string()).then_some(Reason::MoreThanCameIn);
                    passed_over(step).or(behind).into_iter().for_each(|reason| rows.passes_over(reason));
                }
                rows.runs(id, run(books, order, case.clone()));
            }
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

/// Why a check is not held against the loan.
fn passed_over(step: &Value) -> Option<Reason> {
    (step["check"] == "journal" && step["tx_type"] == "GOODWILL_CREDIT").then_some(Reason::Goodwill)
}

/// Their word for the transaction of an event.
fn transaction(step: &Value) -> String {
    match step["type"].as_str().unwrap_or_default() {
        "payment" => step["kind"].as_str().unwrap_or_default().to_uppercase().replace(' ', "_"),
        "refund_of_overpayment" => "CREDIT_BALANCE_REFUND".to_owned(),
        other => other.to_uppercase(),
    }
}

/// The number of the first step that gives more of a payment back than came in. It is refused here, and the history ends.
fn refused(case: &Value) -> Option<usize> {
    let mut left: BTreeMap<&str, i64> = BTreeMap::new();
    steps(case).position(|step| {
        let amount = cents(&step["amount"]);
        if let Some(id) = step["id"].as_str().filter(|_| is(step, "payment")) {
            left.insert(id, amount);
        }
        let of = step["of"].as_str().filter(|_| is(step, "chargeback"));
        let left = of.and_then(|of| left.get_mut(of));
        left.is_some_and(|left| {
            *left -= amount;
            *left < 0
        })
    })
}

fn order(case: &Value) -> Result<Vec<&'static str>, Reason> {
    let words: Vec<&str> = case["allocation_order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut charged: Vec<&str> = steps(case).filter_map(|step| step["bucket"].as_str()).collect();
    if case["id"] == PAYS_ALL {
        charged.clear();
    }
    order_of(&words, &charged).ok_or(Reason::PenaltyApartFromFee)
}

/// The day that an event counts from; `None` for what takes another one back, and for checks.
fn day_of<'s>(step: &'s Value, case: &Value) -> Option<&'s str> {
    if !is(step, "charge") {
        return step["effective_on"].as_str();
    }
    let (added, due) = (step["posted_on"].as_str()?, step["due_on"].as_str()?);
    Some(if case["profile"] == "due_on" || case["id"] == DUE_ON { due } else { added.min(due) })
}

/// A history under way.
struct History<'b> {
    books: &'b Books,
    loan: Loan<'b>,
    case: Value,
    booked: Booked,
}

async fn run(books: &Books, order: Vec<&'static str>, case: Value) -> Told {
    let loan = books.open_charging_back(&order, &["principal", "interest", "fees"], [0; 3]).await?;
    let mut history = History { books, loan, case: case.clone(), booked: Booked::default() };
    // How many checks of a transaction's kind and day there were: two of them are two transactions.
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let refused = refused(&case);
    for (number, step) in steps(&case).enumerate() {
        let at = |told: String| format!("line {}: {told}", step["line"]);
        if step["type"].is_string() {
            seen.clear();
            if Some(number) == refused {
                return history.is_refused(step).await.map_err(at);
            }
            history.act(step, day_of(step, &case)).await.map_err(at)?;
        } else if passed_over(step).is_none() {
            let key = (step["tx_type"].as_str().unwrap_or_default(), step["tx_date"].as_str().unwrap_or_default());
            let nth = seen.entry(key).or_default();
            history.check(step, *nth).await.map_err(at)?;
            *nth += 1;
        }
    }
    Ok(())
}

impl History<'_> {
    async fn act(&mut self, step: &Value, day: Option<&str>) -> Told {
        let amount = cents(&step["amount"]);
        let day = day.or(step["posted_on"].as_str()).ok_or("an event without a day")?;
        let answer = match step["type"].as_str().unwrap() {
            "disbursement" => self.loan.lends(amount, day).await?,
            "payment" => self.loan.pays(amount, day).await?,
            "charge" => self.loan.charges(amount, day).await?,
            "refund_of_overpayment" => self.loan.refunds(amount, day).await?,
            "charge_off" => self.loan.charges_off(day).await?,
            "chargeback" => self.loan.charges_back(self.booked.answer(&step["of"])?, amount, day).await?,
            "reversal" => {
                let of = self.booked.answer(&step["of"])?;
                let answer = self.loan.reverses(&of["journal_entry_id"], day).await?;
                self.booked.taken_back(&text(&step["of"])?, &answer);
                return Ok(());
            }
            other => return Err(format!("{other} is no event")),
        };
        self.booked.posted(&text(&step["id"])?, answer)
    }

    /// All of the payment has gone back.
    async fn is_refused(&self, step: &Value) -> Told {
        let (of, day) = (self.booked.answer(&step["of"])?, text(&step["effective_on"])?);
        let code = self.loan.refuses_to_charge_back(of, cents(&step["amount"]), &day).await?;
        same("more than came in", &code.as_str(), &"already_undone")
    }

    /// Holds a check against the loan; of a transaction, the `nth` of its kind and day.
    async fn check(&self, step: &Value, nth: usize) -> Told {
        match step["check"].as_str().unwrap() {
            "outstanding" => same("outstanding", &self.loan.owed().await?.0, &cents(&step["amount"])),
            "overpaid" => same("overpaid", &self.loan.owed().await?.1, &cents(&step["amount"])),
            "totals" => same("total outstanding", &self.loan.owed().await?.0, &cents(&step["outstanding"])),
            "status" => {
                let status = match self.loan.owed().await? {
                    (0, 0) => "CLOSED_OBLIGATIONS_MET",
                    (0, _) => "OVERPAID",
                    (_, _) => "ACTIVE",
                };
                same("status", &Some(status), &step["status"].as_str())
            }
            "charges" => {
                let rows = step["rows"].as_array().unwrap().iter();
                let mut expected: Vec<[i64; 3]> =
                    rows.map(|row| ["amount", "paid", "outstanding"].map(|name| cents(&row[name]))).collect();
                expected.sort_unstable();
                same("charges", &self.loan.fees().await?, &expected)
            }
            "transactions" => self.check_rows(step["rows"].as_array().unwrap()).await,
            "journal" => self.check_entries(step, nth).await,
            other => Err(format!("{other} is no check")),
        }
    }

    async fn check_rows(&self, rows: &[Value]) -> Told {
        let mut released = self.released().await?;
        for row in rows {
            self.check_row(row, &mut released).await?;
        }
        self.loan.ends_days(rows.iter().filter(|row| row["reversed"] != true)).await
    }

    /// `released` is what suspense has paid by itself since: they write the split of the payment anew whose money that was,
    /// the oldest first, where a release of ours is an event of its own.
    async fn check_row(&self, row: &Value, released: &mut [i64; 3]) -> Told {
        let event = text(&row["event"])?;
        let [interest, principal] = [cents(&row["interest"]), cents(&row["principal"])];
        let parts = [cents(&row["penalty"]) + cents(&row["fee"]), interest, principal];
        match row["type"].as_str().unwrap() {
            // Its money is in what the day ends with.
            "Disbursement" => return Ok(()),
            kind @ ("Charge-off" | "Credit Balance Refund" | "Chargeback") => {
                let sign = if kind == "Charge-off" { -1 } else { 1 };
                let found = debts(&self.booked.net(self.books, &event).await?).map(|part| sign * part);
                return same(&format!("{kind} {event}"), &found, &parts);
            }
            _ => {}
        }
        let payment = text(&self.booked.answer(&row["event"])?["payment_event_id"])?;
        let [fees, interest, principal, mut suspense] = self.loan.split(&payment).await?;
        let mut found = [fees, interest, principal];
        if row["reversed"] != true {
            for (part, released) in found.iter_mut().zip(released) {
                let moved = suspense.min(*released);
                (*part, suspense, *released) = (*part + moved, suspense - moved, *released - moved);
            }
        }
        let waiting = if row["suspense"].is_null() { suspense } else { cents(&row["suspense"]) };
        same(&format!("split of {event}"), &(found, suspense), &(parts, waiting))
    }

    /// What suspense has paid of later fees, by no event of the history.
    async fn released(&self) -> Result<[i64; 3], String> {
        if !self.case["tags"].as_array().unwrap().iter().any(|tag| tag == "charge_while_overpaid") {
            return Ok([0; 3]);
        }
        let path = format!("/v1/loans/{}/journal-entries?event_type=payment_allocated", self.loan.id);
        let listed = self.books.get(&path).await?;
        let entries = listed["items"].as_array().ok_or("entries are no list")?.iter();
        let entries = entries.map(|entry| entry["journal_entry_id"].clone()).filter(|entry| !self.booked.has(entry));
        Ok(debts(&net(self.books, &entries.collect::<Vec<_>>()).await?).map(|part| -part))
    }

    /// The entries of a transaction of theirs; of one that was reversed, each line on both sides.
    async fn check_entries(&self, step: &Value, nth: usize) -> Told {
        let is_it = |event: &&Value| {
            transaction(event) == step["tx_type"].as_str().unwrap() && event["effective_on"] == step["tx_date"]
        };
        let event = steps(&self.case).filter(is_it).nth(nth).ok_or_else(|| format!("no event of {step}"))?;
        let event = text(&event["id"])?;
        let lines = step["entries"].as_array().unwrap();
        let (first, second) = lines.split_at(lines.len().div_euclid(2));
        let (first, second) = (theirs(first), theirs(second));
        let is_reversed =
            first.len() == second.len() && first.iter().all(|(account, sum)| second.get(account) == Some(&-*sum));
        let expected = if is_reversed { (first, Some(second)) } else { (theirs(lines), None) };
        let found = self.booked.net(self.books, &event).await?;
        let back = self.booked.net_back(self.books, &event).await?;
        same(&format!("entries of {event}"), &(named(&found), back.as_ref().map(named)), &expected)
    }
}

/// Our sums by their names of accounts.
fn named(net: &Net) -> Net {
    let mut sums = Net::new();
    for (account, sum) in net {
        if let Some(name) = name_of(account) {
            *sums.entry(name.to_owned()).or_default() += sum;
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// Their sums.
fn theirs(lines: &[Value]) -> Net {
    let mut sums = Net::new();
    for line in lines {
        *sums.entry(line["account"].as_str().unwrap().to_owned()).or_default() +=
            cents(&line["debit"]) - cents(&line["credit"]);
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}
