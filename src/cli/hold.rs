//! Owns `hpts hold` and `hpts release`: loans stand still, and go on in order.
//!
//! Both work on the database beside running servers. What a release lets go on is published by a worker's sweeper, within
//! a few seconds.

use clap::Args;

use crate::cli::operation::{done, known_tenant, operation};
use crate::cli::serve::commands_log;
use crate::cli::{CliError, connect, parse_tenant};
use crate::core::event::{HoldMode, HoldOperation, UploadOperation};
use crate::core::ids::{LoanId, LoanKey, TenantId};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::HoldChange;

/// Which loan stands still, and why.
#[derive(Args, Debug)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    loan: LoanArgs,
    /// Reject what comes, `loan_on_hold`, instead of letting it wait.
    #[arg(long)]
    refuse: bool,
}

/// Which loan, and why.
#[derive(Args, Debug)]
pub(super) struct LoanArgs {
    /// Whose loan.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// The loan.
    #[arg(value_parser = parse_loan)]
    loan: LoanId,
    /// Why; kept with the change.
    #[arg(long)]
    reason: String,
    /// Change nothing; say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_loan(text: &str) -> Result<LoanId, String> {
    LoanId::parse(text).map_err(|error| error.to_string())
}

/// `hpts hold …`.
pub(super) async fn hold(config: &Config, HoldArgs { loan, refuse }: HoldArgs) -> Result<(), CliError> {
    change(config, loan, Some(HoldMode::of(refuse))).await
}

/// `hpts release …`.
pub(super) async fn release(config: &Config, loan: LoanArgs) -> Result<(), CliError> {
    change(config, loan, None).await
}

async fn change(config: &Config, asked: LoanArgs, mode: Option<HoldMode>) -> Result<(), CliError> {
    commands_log(config)?;
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let tenant = known_tenant(&store, asked.tenant).await?;
    let key = LoanKey::of_loan(tenant.id, asked.loan);
    let held = store.loan_hold(tenant.id, key).await?;
    // A loan whose opening is parked does not exist yet, and can be released.
    let is_known = store.loan(tenant.id, key).await?.is_some() || (mode.is_none() && held.is_some());
    if !is_known {
        return Err(CliError::Refused(format!("there is no loan {}", asked.loan)));
    }
    let waiting = held.map_or(0, |held| held.waiting);
    let answer = serde_json::json!({
        "loan_id": asked.loan.to_string(), "on_hold": mode.is_some(), "reason": asked.reason,
        "refuse": mode.is_some_and(HoldMode::refuses),
    });
    if !asked.dry_run {
        let (loan_id, reason) = (asked.loan, asked.reason.clone());
        let operation_of = match mode {
            Some(mode) => HoldOperation::Hold { loan_id, mode, reason },
            None => HoldOperation::Release { loan_id, reason },
        };
        let operation = operation(&tenant, UploadOperation::Hold(operation_of), &clock)?;
        let answer = serde_json::to_vec(&answer)?;
        let change = HoldChange { operation, loan_key: key, mode, reason: asked.reason, answer };
        done(&store.change_hold(change).await?.0)?;
    }
    store.close().await;
    let would = if asked.dry_run { "would be" } else { "is" };
    match (asked.json, mode) {
        (true, _) => println!("{answer}"),
        (false, Some(HoldMode::Wait)) => println!("loan {} {would} on hold: its events wait", asked.loan),
        (false, Some(HoldMode::Refuse)) => println!("loan {} {would} on hold: its events are rejected", asked.loan),
        (false, None) => println!("loan {} {would} released: {waiting} events go on", asked.loan),
    }
    Ok(())
}
