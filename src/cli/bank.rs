//! Owns `hpts bank`: the statement of a bank account goes to a running API, and what became of its lines is told.
//!
//! Safe to repeat: the key is made from the account and the day, and the API answers the same statement as the first time.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::cli::CliError;
use crate::cli::api_client::{ANSWER_WITHIN, ApiArgs, ApiClient, ClientError};
use crate::cli::serve::commands_log;
use crate::core::bank::{BankAccountRef, parse_signed};
use crate::core::event::IdempotencyKey;
use crate::core::money::{Currency, Minor};
use crate::core::time::parse_date;
use crate::runtime::config::Config;

/// What can be done with banks.
#[derive(Debug, Subcommand)]
pub(super) enum BankCommand {
    /// Send a statement as CSV: `booking_date`, `amount_minor`, `reference`, `description`.
    Import(Box<BankImport>),
}

/// A statement.
#[derive(Args, Debug)]
pub(super) struct BankImport {
    /// The CSV file.
    file: PathBuf,
    /// The account, as you call it.
    #[arg(long, value_parser = BankAccountRef::parse)]
    account: BankAccountRef,
    /// The last day it covers, YYYY-MM-DD.
    #[arg(long, value_parser = parse_date)]
    date: NaiveDate,
    /// The account's currency.
    #[arg(long, default_value = "USD", value_parser = Currency::parse)]
    currency: Currency,
    /// The balance before its first line, in minor units.
    #[arg(long, value_parser = parse_signed, allow_hyphen_values = true)]
    opening: Minor,
    /// The balance after its last line, in minor units.
    #[arg(long, value_parser = parse_signed, allow_hyphen_values = true)]
    closing: Minor,
    #[command(flatten)]
    api: ApiArgs,
    /// The idempotency key; made from account and day where absent.
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    key: Option<IdempotencyKey>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// `hpts bank …`.
pub(super) async fn bank(config: &Config, command: BankCommand) -> Result<(), CliError> {
    commands_log(config)?;
    match command {
        BankCommand::Import(statement) => import(config, &statement).await,
    }
}

async fn import(config: &Config, statement: &BankImport) -> Result<(), CliError> {
    let BankImport { file, account, date, currency, opening, closing, .. } = statement;
    let bytes = tokio::fs::read(file).await.map_err(CliError::io(format!("{} cannot be read", file.display())))?;
    let key_of_day = format!("bank-statement:{account}:{date}");
    let key = statement.key.as_ref().map_or(key_of_day.as_str(), IdempotencyKey::as_str);
    // None of these has a character that must be escaped.
    let path = format!(
        "/v1/bank-statements?bank_account_ref={account}&statement_date={date}&currency={currency}\
         &opening_balance_minor={opening}&closing_balance_minor={closing}"
    );
    let client = ApiClient::new(&statement.api, config)?;
    let make = |http: &Client, base: &str| {
        let request = http.post(format!("{base}{path}")).timeout(ANSWER_WITHIN).header(CONTENT_TYPE, "text/csv");
        Ok::<_, ClientError>(request.header("idempotency-key", key).body(bytes.clone()))
    };
    let answer = client.json(client.send(make).await?).await?;
    if statement.json {
        println!("{answer}");
        return Ok(());
    }
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let [lines, cleared, matched, open] = ["lines", "cleared", "matched", "open"].map(count);
    let id = answer.get("statement_id").and_then(Value::as_str).unwrap_or_default();
    println!("{account} {date}: {lines} lines, {cleared} cleared, {matched} matched, {open} open; statement {id}");
    Ok(())
}
