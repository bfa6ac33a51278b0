//! Owns the cases of `tests/data/chargeback-credit-allocation.json`: payments that go back on a later day, and what is put
//! back in which order.
//!
//! A row of theirs names no event: it is found by its kind, day and amount. Not held against them: the schedules, and the
//! buckets of a charge-back on an overpaid loan, where they list all that is put back and we what suspense does not pay.

use serde_json::Value;

use super::life::{Books, Loan, cents, order_of, same, text};
use super::{Reason, Rows, Told};

const DATA: &str = include_str!("../../../data/chargeback-credit-allocation.json");

/// How many rows run: all of them.
pub(super) const RUN: usize = 10;

/// Every row that does not.
pub(super) const LEFT_OUT: [(&str, Reason); 0] = [];

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("chargeback-credit-allocation.json");
    for case in file["cases"].as_array().unwrap() {
        rows.runs(case["id"].as_str().unwrap(), run(books, case.clone()));
    }
    rows
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
    let mut compared = 0;
    for step in case["events"].as_array().unwrap() {
        let at = |told: String| format!("line {}: {told}", step["line"]);
        if step["type"].is_string() {
            let answer = history.act(step).await.map_err(at)?;
            history.done.push((step.clone(), answer));
        } else {
            compared += history.check(step).await.map_err(at)?;
        }
    }
    Ok(compared)
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

    /// Answers how many numbers it held against the loan.
    async fn check(&self, step: &Value) -> Told {
        match step["check"].as_str().unwrap() {
            "summary" => {
                same("outstanding", &self.loan.owed().await?.0, &cents(&step["total_outstanding"]))?;
                Ok(1)
            }
            "journal" => self.check_entry(step).await,
            "transactions" => {
                let mut compared = 0;
                for row in step["rows"].as_array().unwrap() {
                    compared += self.check_row(row).await?;
                }
                Ok(compared)
            }
            _ => Ok(0),
        }
    }

    async fn check_row(&self, row: &Value) -> Told {
        let (word, id) = match row["type"].as_str().unwrap() {
            "Repayment" => ("payment", "payment_event_id"),
            "Chargeback" if cents(&row["overpaid"]) == 0 => ("chargeback", "payment_returned_event_id"),
            _ => return Ok(0),
        };
        let is_it = |step: &Value| {
            step["type"] == word
                && step["effective_on"] == row["effective_on"]
                && cents(&step["amount"]) == cents(&row["amount"])
        };
        let (_, answer) = self.done.iter().find(|(step, _)| is_it(step)).ok_or_else(|| format!("no event of {row}"))?;
        let split = self.loan.divided(&text(&answer[id])?).await?;
        let fees = cents(&row["penalty"]) + cents(&row["fee"]);
        let expected = [fees, cents(&row["interest"]), cents(&row["principal"]), cents(&row["overpaid"])];
        same(&format!("split of {row}"), &split, &expected)?;
        Ok(4)
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
        same(&format!("entry of {}", step["event"]), &ours, &theirs)?;
        Ok(ours.len())
    }
}
