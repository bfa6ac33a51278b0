//! Owns the cases of `tests/data/chargeback-credit-allocation.json`: payments that go back on a later day, and what is put
//! back in which order.
//!
//! A row of theirs names no event: it is found by its kind, day and amount. Of a charge-back on an overpaid loan they list
//! all that is put back by bucket, and we what suspense does not pay: held against each other are what suspense pays, and
//! the sum. What a summary says is credited stands in the rows as well.

use serde_json::Value;

use super::booked::debts;
use super::life::{Books, Loan, cents, same, text};
use super::{Expected, Reason, Rows, Told};
use crate::oracles::order_of;

const DATA: &str = include_str!("../../../data/chargeback-credit-allocation.json");

/// All rows run.
pub(super) const EXPECTED: Expected =
    Expected { run: 10, compared: 99, left_out: &[], parts: &[(Reason::Schedule, 23), (Reason::FeesAccrued, 2)] };

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("chargeback-credit-allocation.json");
    for case in file["cases"].as_array().unwrap() {
        for step in case["events"].as_array().unwrap() {
            let rows_of = step["rows"].as_array().into_iter().flatten();
            rows_of.filter_map(passed_over).chain(passed_over(step)).for_each(|reason| rows.passes_over(reason));
        }
        rows.runs(case["id"].as_str().unwrap(), run(books, case.clone()));
    }
    rows
}

/// Why a check, or a row of one, is not held against the loan.
fn passed_over(it: &Value) -> Option<Reason> {
    if it["check"] == "schedule" {
        Some(Reason::Schedule)
    } else {
        (it["type"] == "Accrual").then_some(Reason::FeesAccrued)
    }
}

/// The order of payment of what is due, and the order in which what goes back is owed again.
fn orders(case: &Value) -> Option<(Vec<&'static str>, Vec<&'static str>)> {
    let words = case["payment_order"].as_str()?.split("; ").next()?.split(": ").nth(1)?;
    let words: Vec<&str> = words.split(", ").collect();
    let credit: Vec<&str> = case["credit_allocation"].as_array()?.iter().filter_map(Value::as_str).collect();
    Some((order_of(&words, &["penalty"])?, order_of(&credit, &["penalty", "fee"])?))
}

/// A history under way: every event with its answer.
struct History<'b> {
    books: &'b Books,
    loan: Loan<'b>,
    done: Vec<(Value, Value)>,
}

async fn run(books: &Books, case: Value) -> Told {
    let (order, credit_order) = orders(&case).ok_or("no order of ours")?;
    let loan = books.open_charging_back(&order, &credit_order, [0; 3]).await?;
    let mut history = History { books, loan, done: Vec::new() };
    for step in case["events"].as_array().unwrap() {
        let at = |told: String| format!("line {}: {told}", step["line"]);
        if step["type"].is_string() {
            let answer = history.act(step).await.map_err(at)?;
            history.done.push((step.clone(), answer));
        } else {
            history.check(step).await.map_err(at)?;
        }
    }
    Ok(())
}

impl History<'_> {
    fn answer(&self, id: &Value) -> Result<&Value, String> {
        let found = self.done.iter().find(|(step, _)| step["id"] == *id);
        found.map(|(_, answer)| answer).ok_or_else(|| format!("{id} is no event"))
    }

    async fn act(&self, step: &Value) -> Result<Value, String> {
        let amount = cents(&step["amount"]);
        // A fee can be paid from the day it was added, where that is before it is due.
        let day = step["effective_on"].as_str().or(step["posted_on"].as_str()).ok_or("an event without a day")?;
        match step["type"].as_str().unwrap() {
            "disbursement" => self.loan.lends(amount, day).await,
            "payment" => self.loan.pays(amount, day).await,
            "charge" => self.loan.charges(amount, day).await,
            "charge_off" => self.loan.charges_off(day).await,
            "chargeback" => self.loan.charges_back(self.answer(&step["of"])?, amount, day).await,
            other => Err(format!("{other} is no event")),
        }
    }

    async fn check(&self, step: &Value) -> Told {
        match step["check"].as_str().unwrap() {
            "schedule" => Ok(()),
            "summary" => same("outstanding", &self.loan.owed().await?.0, &cents(&step["total_outstanding"])),
            "journal" => self.check_entry(step).await,
            "transactions" => {
                let rows = step["rows"].as_array().unwrap();
                for row in rows.iter().filter(|row| passed_over(row).is_none()) {
                    self.check_row(row).await?;
                }
                self.loan.ends_days(rows.iter()).await
            }
            other => Err(format!("{other} is no check")),
        }
    }

    async fn check_row(&self, row: &Value) -> Told {
        let (word, id) = match row["type"].as_str().unwrap() {
            // Its money is in what the day ends with.
            "Disbursement" => return Ok(()),
            "Repayment" => ("payment", "payment_event_id"),
            "Chargeback" => ("chargeback", "payment_returned_event_id"),
            "Charge-off" => ("charge_off", "journal_entry_id"),
            other => return Err(format!("{other} is no transaction")),
        };
        let is_it = |step: &Value| {
            step["type"] == word
                && step["effective_on"] == row["effective_on"]
                && (step["amount"].is_null() || step["amount"] == row["amount"])
        };
        let (_, answer) = self.done.iter().find(|(step, _)| is_it(step)).ok_or_else(|| format!("no event of {row}"))?;
        let (what, overpaid) = (format!("split of {row}"), cents(&row["overpaid"]));
        let theirs = [cents(&row["penalty"]) + cents(&row["fee"]), cents(&row["interest"]), cents(&row["principal"])];
        if word == "charge_off" {
            let taken = debts(&self.books.lines(&answer[id]).await?.into_iter().collect()).map(|part| -part);
            return same(&what, &taken, &theirs);
        }
        let [fees, interest, principal, suspense] = self.loan.divided(&text(&answer[id])?).await?;
        if word == "chargeback" && overpaid > 0 {
            let sum = fees + interest + principal + suspense;
            return same(&what, &(suspense, sum), &(overpaid, theirs.iter().sum()));
        }
        same(&what, &([fees, interest, principal], suspense), &(theirs, overpaid))
    }

    async fn check_entry(&self, step: &Value) -> Told {
        let entry = &self.answer(&step["event"])?["journal_entry_id"];
        let mut ours: Vec<(String, i64)> = self.books.lines(entry).await?;
        // The memo accounts are ours alone.
        ours.retain(|(account, _)| account != "9100" && account != "9900");
        ours.sort_unstable();
        let theirs = step["entries"].as_array().unwrap().iter().map(|line| {
            let account = match line["account"].as_str().unwrap() {
                "fundSource" => "1010",
                "loansReceivableAccount" => "1100",
                "feeReceivableAccount" => "1300",
                "overpaymentAccount" => "2100",
                "chargeOffExpenseAccount" => "5100",
                "feeChargeOffAccount" => "4290",
                other => panic!("{other} is no account"),
            };
            let amount = cents(&line["amount"]);
            (account.to_owned(), if line["side"] == "debit" { amount } else { -amount })
        });
        let mut theirs: Vec<(String, i64)> = theirs.collect();
        theirs.sort_unstable();
        same(&format!("entry of {}", step["event"]), &ours, &theirs)
    }
}
