//! Returns that come in ACH files: one before its payment, and what they cost by their code.

use std::time::Duration;

use chrono::NaiveDate;
use hpts::core::ach::{AddendaSpec, ReturnCode, SecCode, Trace};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::loan::{Books, Upload, key, same, text};
use super::{Case, Told};
use crate::support::ach::{AchFile, trace};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case { name: "a return of a file before its payment", run: |books| Box::pin(before_its_payment(books)) },
    Case { name: "what a return of a file costs by its code", run: |books| Box::pin(fees_by_code(books)) },
    Case { name: "a payment that goes back by file twice is charged once", run: |books| Box::pin(one_fee(books)) },
];

/// How long the worker may take for what it does by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a case collects.
const COLLECTED: i64 = 500;

fn april(day: u32) -> Result<NaiveDate, String> {
    NaiveDate::from_ymd_opt(2026, 4, day).ok_or_else(|| "no day".to_owned())
}

/// A file of one return, of a collection of 1 April.
fn return_file(made_on: u32, (number, code): (&str, &str), original_trace: Trace) -> Result<AchFile, String> {
    let code = ReturnCode::parse(code).ok_or("no return code")?;
    let mut file = AchFile::made_on('R', april(made_on)?);
    let addenda = [AddendaSpec::Return { code, original_trace }];
    file.batch_of(SecCode::Ppd, Some(april(1)?), None).entry(26, number, COLLECTED, &addenda);
    Ok(file)
}

/// Sends a file in; its batch.
async fn sent(books: &Books, feed: &str, file: AchFile) -> Result<String, String> {
    let bytes = String::from_utf8(file.finish()).map_err(|error| error.to_string())?;
    let told = books.upload(&format!("/v1/ach/files?feed={feed}"), &key(), Upload::Text(&bytes)).await?;
    Ok(text(&told, "batch_id"))
}

/// What became of the one row of a file.
async fn row(books: &Books, batch: &str) -> Result<Value, String> {
    books.get(&format!("/v1/batches/{batch}/results")).await
}

/// The return is an exception until a file brings its payment; then it is booked by itself, with the feed's fee.
async fn before_its_payment(books: &Books) -> Told {
    let number = "94201";
    let loan = books.open_numbered([0, 0, 100_000], None, Some(number)).await?;
    let early = sent(books, "demo", return_file(3, (number, "R01"), trace(1))?).await?;
    let waiting = row(books, &early).await?;
    same(
        "the row",
        &(waiting["status"].clone(), waiting["code"].clone()),
        &(json!("invalid"), json!("return_unmatched")),
    )?;
    same("nothing is owed more", &loan.balances().await?, &[0, 0, 100_000, 0])?;

    let mut file = AchFile::made_on('P', april(1)?);
    let collected = file.batch_of(SecCode::Ppd, Some(april(1)?), None).debit(number, COLLECTED);
    same("the trace", &collected, &trace(1))?;
    let paid = row(books, &sent(books, "demo", file).await?).await?;
    let deadline = Instant::now() + PATIENCE;
    let returned = loop {
        let row = row(books, &early).await?;
        if row.get("payment_returned_event_id").is_some() {
            break text(&row, "payment_returned_event_id");
        }
        if Instant::now() > deadline {
            return Err(format!("the return still waits: {row}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let returned = books.get(&format!("/v1/events/{returned}?wait=30")).await?;
    same("what it takes back", &returned["undoes"], &paid["payment_event_id"])?;
    let payment = books.get(&format!("/v1/payments/{}", text(&paid, "payment_event_id"))).await?;
    same("the payment", &payment["status"], &json!("returned"))?;
    same("the loan", &loan.balances().await?, &[2_500, 0, 100_000, 0])
}

/// The program charges 15.00 for want of funds, and nothing for an account that is closed; the feed says nothing. Of a loan
/// that is charged off the fee is refused, and the return is booked all the same.
async fn fees_by_code(books: &Books) -> Told {
    books.post("/v1/ach/feeds", &json!({"name": "cases", "view": "originator"})).await?;
    let fees = json!([{"return_codes": ["R01"], "fee_minor": "1500"}]);
    let program = books.program(&json!({"return_fees": fees})).await?;
    let numbers = ["94211", "94212", "94213"];
    let mut loans = Vec::new();
    for number in numbers {
        loans.push(books.open_numbered([0, 0, 100_000], Some(program), Some(number)).await?);
    }
    let mut file = AchFile::made_on('Q', april(1)?);
    file.batch_of(SecCode::Ppd, Some(april(1)?), None);
    let traces = numbers.map(|number| file.debit(number, COLLECTED));
    sent(books, "cases", file).await?;
    loans[2].act("/v1/chargeoffs", "2026-04-05", &json!({})).await?;
    let mut told = Vec::new();
    for ((number, code), (made_on, original_trace)) in
        numbers.into_iter().zip(["R01", "R02", "R01"]).zip((10..).zip(traces))
    {
        let row =
            row(books, &sent(books, "cases", return_file(made_on, (number, code), original_trace)?).await?).await?;
        let event = books.get(&format!("/v1/events/{}", text(&row, "payment_returned_event_id"))).await?;
        for name in ["fee_event_id", "fee_refused"] {
            same(name, &row.get(name), &event.get(name))?;
        }
        told.push((text(&row, "status"), row.get("fee_event_id").is_some(), text(&row["fee_refused"], "code")));
    }
    let posted = |is_charged, refused: &str| ("posted".to_owned(), is_charged, refused.to_owned());
    same("the fees", &told, &vec![posted(true, ""), posted(false, ""), posted(false, "loan_closed")])?;
    same("for want of funds", &loans[0].balances().await?, &[1_500, 0, 100_000, 0])?;
    same("of a closed account", &loans[1].balances().await?, &[0, 0, 100_000, 0])?;
    let charged_off = loans[2].read("").await?;
    same("charged off", &charged_off["charged_off"]["principal_owed_minor"], &json!("100000"))?;
    same("its fees", &charged_off["charged_off"]["fees_owed_minor"], &json!("0"))
}

/// A feed charges 25.00. Its return was a mistake and is reversed; the fee stands. When the payment goes back once more, it
/// has its fee. Of a loan that is charged off the fee is refused, and the return is booked, for the bank has moved the money.
async fn one_fee(books: &Books) -> Told {
    let feed = json!({"name": "charging", "view": "originator", "return_fee_minor": "2500"});
    books.post("/v1/ach/feeds", &feed).await?;
    let program = books.program(&json!({"returns": "chargeback"})).await?;
    let numbers = ["94221", "94222"];
    let loan = books.open_numbered([0, 0, 100_000], Some(program), Some(numbers[0])).await?;
    let charged_off = books.open_numbered([0, 0, 100_000], Some(program), Some(numbers[1])).await?;
    let mut file = AchFile::made_on('S', april(1)?);
    file.batch_of(SecCode::Ppd, Some(april(1)?), None);
    let traces = numbers.map(|number| file.debit(number, COLLECTED));
    sent(books, "charging", file).await?;
    charged_off.act("/v1/chargeoffs", "2026-04-05", &json!({})).await?;
    let mut told = Vec::new();
    for (made_on, number, original_trace) in
        [(20, numbers[0], traces[0]), (21, numbers[0], traces[0]), (22, numbers[1], traces[1])]
    {
        let file = return_file(made_on, (number, "R01"), original_trace)?;
        let row = row(books, &sent(books, "charging", file).await?).await?;
        let event = books.get(&format!("/v1/events/{}", text(&row, "payment_returned_event_id"))).await?;
        for name in ["fee_event_id", "fee_refused"] {
            same(name, &row.get(name), &event.get(name))?;
        }
        told.push((text(&row, "status"), row.get("fee_event_id").is_some(), text(&row["fee_refused"], "code")));
        if made_on == 20 {
            loan.reverses(&row, &text(&event, "effective_at")).await?;
        }
    }
    let posted = |is_charged, refused: &str| ("posted".to_owned(), is_charged, refused.to_owned());
    same("the fees", &told, &vec![posted(true, ""), posted(false, ""), posted(false, "loan_closed")])?;
    same("the loan", &loan.balances().await?, &[2_500, 0, 100_000, 0])
}
