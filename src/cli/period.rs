//! Owns `hpts period`: accounting periods are closed, opened again and listed.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::connect;
use crate::cli::serve::commands_log;
use crate::cli::{CliError, new_id, parse_tenant};
use crate::core::event::{IdempotencyKey, NewEvent, Upload, UploadOperation};
use crate::core::ids::{EventId, PublisherId, TenantId};
use crate::core::ledger::{Period, PeriodStatus};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::{NewUpload, OperationDone, PeriodChange, Store, TenantRecord};

/// Who closed a period at this command line.
const ACTOR: &str = "hpts";

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
    let operation = operation(&tenant, &arguments, (status, today), &clock)?;
    let change = PeriodChange {
        operation,
        period: arguments.period,
        status,
        reason: arguments.reason,
        answer: serde_json::to_vec(&shown)?,
    };
    let done = store.change_period(change).await?;
    store.close().await;
    if !matches!(done, OperationDone::Done(_)) {
        return Err(CliError::Refused("the key of the operation was taken".to_owned()));
    }
    if arguments.json {
        println!("{shown}");
    } else {
        println!("period {} is {}", arguments.period, status.as_str());
    }
    Ok(())
}

/// The event that keeps who changed what, and why, as it is kept for a caller of the API.
fn operation(
    tenant: &TenantRecord,
    arguments: &PeriodArgs,
    (status, today): (PeriodStatus, chrono::NaiveDate),
    clock: &Clock,
) -> Result<NewUpload, CliError> {
    let (period, reason) = (arguments.period.to_string(), arguments.reason.clone());
    let operation = match status {
        PeriodStatus::Closed => UploadOperation::PeriodClose { period, reason },
        PeriodStatus::Open => UploadOperation::PeriodReopen { period, reason },
    };
    let id = EventId(new_id(clock));
    let key = IdempotencyKey::parse(&format!("period:{id}")).map_err(|error| CliError::Refused(error.to_string()))?;
    let upload = Upload { operation, currency: tenant.base_currency, received_on: today };
    let publisher = PublisherId(uuid::Uuid::new_v4());
    let event = NewEvent::of_upload(id, tenant.id, key, upload, publisher, ACTOR.to_owned());
    Ok(NewUpload { event, holder: uuid::Uuid::new_v4(), lease: Duration::from_mins(1) })
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

async fn known_tenant(store: &Arc<dyn Store>, tenant: TenantId) -> Result<TenantRecord, CliError> {
    let record = store.tenant(tenant).await?;
    record.ok_or_else(|| CliError::Refused(format!("there is no tenant {tenant}")))
}

fn business_date(tenant: &TenantRecord, clock: &Clock) -> Result<chrono::NaiveDate, CliError> {
    let zone: chrono_tz::Tz =
        tenant.time_zone.parse().map_err(|_| CliError::Refused("the tenant's time zone is not known".to_owned()))?;
    Ok(clock.now().utc().with_timezone(&zone).date_naive())
}
