//! Owns `hpts tenant` and `hpts client`.

use clap::{Args, Subcommand};

use crate::api::auth::{Scope, hash_secret, new_secret};
use crate::cli::chart::{self, ChartCommand};
use crate::cli::connect;
use crate::cli::serve::commands_log;
use crate::cli::{CliError, new_id, parse_minor, parse_tenant};
use crate::core::ids::TenantId;
use crate::core::ledger::ClosedPeriodRule;
use crate::core::money::{Currency, Minor};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::{ClientRecord, TenantRecord};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Make a tenant and print its id.
    Create(TenantCreate),
    /// Change a tenant's settings.
    Set(TenantSet),
    /// A tenant's chart of accounts.
    #[command(subcommand)]
    Chart(ChartCommand),
}

/// A tenant's settings that can be changed.
#[derive(Args, Debug)]
pub(super) struct TenantSet {
    /// Which tenant.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// What becomes of events dated in a closed accounting period: `next_open_day` (booked on the first open day after
    /// it) or `refuse` (rejected).
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    closed_periods: ClosedPeriodRule,
}

fn parse_rule(text: &str) -> Result<ClosedPeriodRule, String> {
    text.parse().map_err(|_| "must be next_open_day or refuse".to_owned())
}

/// A new tenant.
#[derive(Args, Debug)]
pub(super) struct TenantCreate {
    /// Its name, for operators.
    #[arg(long)]
    name: String,
    /// Its id; made where absent.
    #[arg(long, value_parser = parse_tenant)]
    id: Option<TenantId>,
    /// IANA time zone of its business day.
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// Currency where a request names none.
    #[arg(long, default_value = "USD")]
    base_currency: Currency,
    /// How many days after the business date a payment may be dated.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=366))]
    future_days: i32,
    /// The most one payment may be, in minor units.
    #[arg(long, value_parser = parse_minor)]
    payment_limit: Option<Minor>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What can be done with clients.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Make a client and print its secret, once.
    Create(ClientCreate),
}

/// A new client.
#[derive(Args, Debug)]
pub(super) struct ClientCreate {
    /// Whose client.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// Its id.
    #[arg(long)]
    id: String,
    /// A scope it may ask for; repeat for more. All scopes where absent.
    #[arg(long = "scope", value_delimiter = ' ')]
    scopes: Vec<String>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// `hpts tenant …`.
pub(super) async fn tenant(config: &Config, command: TenantCommand) -> Result<(), CliError> {
    commands_log(config)?;
    match command {
        TenantCommand::Create(new) => create(config, new).await,
        TenantCommand::Set(settings) => set(config, settings).await,
        TenantCommand::Chart(command) => chart::chart(config, command).await,
    }
}

async fn set(config: &Config, TenantSet { tenant, closed_periods }: TenantSet) -> Result<(), CliError> {
    let store = connect::current_store(config, &Clock::system()).await?;
    let is_set = store.set_closed_periods(tenant, closed_periods).await?;
    store.close().await;
    if !is_set {
        return Err(CliError::Refused(format!("there is no tenant {tenant}")));
    }
    println!("tenant {tenant}: closed periods {}", closed_periods.as_str());
    Ok(())
}

async fn create(config: &Config, new: TenantCreate) -> Result<(), CliError> {
    if new.time_zone.parse::<chrono_tz::Tz>().is_err() {
        return Err(CliError::Refused(format!("{} is not an IANA time zone", new.time_zone)));
    }
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let id = new.id.unwrap_or_else(|| TenantId(new_id(&clock)));
    let record = TenantRecord {
        id,
        name: new.name,
        time_zone: new.time_zone,
        base_currency: new.base_currency,
        future_days: new.future_days,
        payment_limit: new.payment_limit,
    };
    let made = store.create_tenant(record).await?;
    store.close().await;
    if !made {
        return Err(CliError::Refused(format!("tenant {id} exists already")));
    }
    if new.json {
        println!("{}", serde_json::json!({ "tenant_id": id }));
    } else {
        println!("tenant {id}");
    }
    Ok(())
}

/// `hpts client …`.
pub(super) async fn client(config: &Config, command: ClientCommand) -> Result<(), CliError> {
    let ClientCommand::Create(new) = command;
    commands_log(config)?;
    if let Some(unknown) = new.scopes.iter().find(|scope| Scope::parse(scope).is_none()) {
        let known = Scope::ALL.map(Scope::as_str).join(", ");
        return Err(CliError::Refused(format!("{unknown} is not a scope; there are {known}")));
    }
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    if store.tenant(new.tenant).await?.is_none() {
        return Err(CliError::Refused(format!("there is no tenant {}", new.tenant)));
    }
    let all = || Scope::ALL.iter().map(|scope| scope.as_str().to_owned()).collect();
    let scopes = if new.scopes.is_empty() { all() } else { new.scopes };
    let secret = new_secret()?;
    let record = ClientRecord {
        client_id: new.id.clone(),
        tenant: new.tenant,
        secret_hash: hash_secret(&secret)?,
        scopes: scopes.clone(),
        disabled_at: None,
    };
    let made = store.create_client(record).await?;
    store.close().await;
    if !made {
        return Err(CliError::Refused(format!("client {} exists already", new.id)));
    }
    if new.json {
        let shown = serde_json::json!({ "client_id": new.id, "client_secret": secret, "tenant_id": new.tenant, "scopes": scopes });
        println!("{shown}");
    } else {
        println!("client {}\nsecret {secret}\n(the secret is not shown again)", new.id);
    }
    Ok(())
}
