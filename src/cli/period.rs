//! Owns `hpts period`: accounting periods are closed, opened again and listed.

use clap::{Args, Subcommand};

use crate::cli::operation::{business_date, done, known_tenant, operation};
use crate::cli::serve::commands_log;
use crate::cli::{CliError, connect, parse_tenant};
use crate::core::event::UploadOperation;
use crate::core::ids::TenantId;
use crate::core::ledger::{Period, PeriodStatus};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::PeriodChange;

/// What can be done with accounting periods.
#[derive(Debug, Subcommand)]
pub(super) enum PeriodCommand {
    /// Close a period: it takes no new booking date.
    Close(PeriodArgs),
    /// Open a closed period again.
    Reopen(PeriodArgs),
    /// List the periods that were ever closed.
    List(PeriodList),
}

/// Which period, and why.
#[derive(Args, Debug)]
pub(super) struct PeriodArgs {
    /// Whose period.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// The month, YYYY-MM.
    #[arg(value_parser = parse_period)]
    period: Period,
    /// Why; kept with the change.
    #[arg(long)]
    reason: String,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Whose periods to list.
#[derive(Args, Debug)]
pub(super) struct PeriodList {
    /// Whose periods.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_period(text: &str) -> Result<Period, String> {
    Period::parse(text).map_err(|error| error.to_string())
}

/// `hpts period …`.
pub(super) async fn period(config: &Config, command: PeriodCommand) -> Result<(), CliError> {
    commands_log(config)?;
    match command {
        PeriodCommand::Close(arguments) => change(config, arguments, PeriodStatus::Closed).await,
        PeriodCommand::Reopen(arguments) => change(config, arguments, PeriodStatus::Open).await,
        PeriodCommand::List(arguments) => list(config, arguments).await,
    }
}

async fn change(config: &Config, arguments: PeriodArgs, status: PeriodStatus) -> Result<(), CliError> {
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let tenant = known_tenant(&store, arguments.tenant).await?;
    let today = business_date(&tenant, &clock)?;
    if status == PeriodStatus::Closed && arguments.period.first_day() > today {
        return Err(CliError::Refused(format!("{} has not begun yet", arguments.period)));
    }
    let shown = serde_json::json!({
        "period": arguments.period.to_string(), "status": status.as_str(), "reason": arguments.reason,
    });
    let operation = operation(&tenant, asked(&arguments, status), &clock)?;
    let change = PeriodChange {
        operation,
        period: arguments.period,
        status,
        reason: arguments.reason,
        answer: serde_json::to_vec(&shown)?,
    };
    let end = store.change_period(change).await?;
    store.close().await;
    done(&end)?;
    if arguments.json {
        println!("{shown}");
    } else {
        println!("period {} is {}", arguments.period, status.as_str());
    }
    Ok(())
}

fn asked(arguments: &PeriodArgs, status: PeriodStatus) -> UploadOperation {
    let (period, reason) = (arguments.period.to_string(), arguments.reason.clone());
    match status {
        PeriodStatus::Closed => UploadOperation::PeriodClose { period, reason },
        PeriodStatus::Open => UploadOperation::PeriodReopen { period, reason },
    }
}

async fn list(config: &Config, PeriodList { tenant, json }: PeriodList) -> Result<(), CliError> {
    let store = connect::current_store(config, &Clock::system()).await?;
    known_tenant(&store, tenant).await?;
    let (rule, periods) = store.periods(tenant).await?;
    store.close().await;
    if json {
        let items: Vec<_> = periods
            .iter()
            .map(|record| {
                serde_json::json!({
                    "period": record.period.to_string(), "status": record.status.as_str(), "reason": record.reason,
                    "actor": record.actor, "changed_at": record.changed_at.to_string(),
                })
            })
            .collect();
        println!("{}", serde_json::json!({ "closed_periods": rule.as_str(), "items": items }));
        return Ok(());
    }
    for record in periods {
        let status = record.status.as_str();
        println!("{}  {status:6}  {}  {}  {}", record.period, record.changed_at, record.actor, record.reason);
    }
    Ok(())
}
