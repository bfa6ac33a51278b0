//! Owns `hpts tenant` and `hpts client`.

use clap::{Args, Subcommand};

use crate::api::auth::{CLIENT_OUT_WITHIN, Scope, hash_secret, new_secret};
use crate::cli::chart::{self, ChartCommand};
use crate::cli::connect;
use crate::cli::operation::known_tenant;
use crate::cli::serve::commands_log;
use crate::cli::{CliError, new_id, parse_minor, parse_tenant};
use crate::core::ids::TenantId;
use crate::core::ledger::ClosedPeriodRule;
use crate::core::loan::LossAccount;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
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
    #[command(flatten)]
    settings: TenantSettings,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What is changed; whatever is not named stays.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct TenantSettings {
    /// Its name, for operators.
    #[arg(long)]
    name: Option<String>,
    /// IANA time zone of its business day.
    #[arg(long)]
    time_zone: Option<String>,
    /// Currency where a request names none.
    #[arg(long)]
    base_currency: Option<Currency>,
    /// How many days after the business date a payment may be dated.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=366))]
    future_days: Option<i32>,
    /// The most one payment may be, in minor units, or `none`.
    #[arg(long, value_name = "AMOUNT", value_parser = parse_limit)]
    payment_limit: Option<PaymentLimit>,
    /// Whether loans are charged off against an allowance for credit losses from now on, and recover into it; a loan
    /// that is charged off stays as it is.
    #[arg(long, value_name = "BOOL")]
    allowance: Option<bool>,
    /// What becomes of events dated in a closed accounting period: `next_open_day` (booked on the first open day after
    /// it) or `refuse` (rejected).
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    closed_periods: Option<ClosedPeriodRule>,
}

/// The most one payment may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PaymentLimit(Option<Minor>);

fn parse_limit(text: &str) -> Result<PaymentLimit, String> {
    if text == "none" { Ok(PaymentLimit(None)) } else { parse_minor(text).map(|limit| PaymentLimit(Some(limit))) }
}

impl TenantSettings {
    fn applied_to(&self, record: TenantRecord) -> TenantRecord {
        let loss_account = self.allowance.map_or(record.loss_account, loss_account);
        TenantRecord {
            id: record.id,
            name: self.name.clone().unwrap_or(record.name),
            time_zone: self.time_zone.clone().unwrap_or(record.time_zone),
            base_currency: self.base_currency.unwrap_or(record.base_currency),
            future_days: self.future_days.unwrap_or(record.future_days),
            payment_limit: self.payment_limit.map_or(record.payment_limit, |limit| limit.0),
            loss_account,
        }
    }
}

const fn loss_account(allowance: bool) -> LossAccount {
    if allowance { LossAccount::Allowance } else { LossAccount::Expense }
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
    /// Charge loans off against an allowance for credit losses (account 1150), and recover into it.
    #[arg(long)]
    allowance: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What can be done with clients.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Make a client and print its secret, once.
    Create(ClientCreate),
    /// Shut a client out: it gets no token any more, and within a minute nobody takes those that it has. Not for clients
    /// of an outside token issuer, who shuts them out himself.
    Disable(ClientNamed),
    /// Let a client in again, with the secret that it has; tokens that have not run out are good again, too.
    Enable(ClientNamed),
}

/// Which client.
#[derive(Args, Debug)]
pub(super) struct ClientNamed {
    /// Whose client.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// Its id.
    #[arg(long)]
    id: String,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
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

async fn set(config: &Config, TenantSet { tenant, settings, json }: TenantSet) -> Result<(), CliError> {
    if let Some(zone) = &settings.time_zone {
        check_zone(zone)?;
    }
    let store = connect::current_store(config, &Clock::system()).await?;
    let record = settings.applied_to(known_tenant(&store, tenant).await?);
    store.set_tenant(record.clone()).await?;
    if let Some(rule) = settings.closed_periods {
        store.set_closed_periods(tenant, rule).await?;
    }
    let (rule, _) = store.periods(tenant).await?;
    store.close().await;
    let shown = serde_json::json!({
        "tenant_id": tenant, "name": record.name, "time_zone": record.time_zone,
        "base_currency": record.base_currency.code(), "future_days": record.future_days,
        "payment_limit_minor": record.payment_limit.map(|limit| limit.to_string()),
        "allowance": record.loss_account == LossAccount::Allowance, "closed_periods": rule.as_str(),
    });
    if json {
        println!("{shown}");
        return Ok(());
    }
    let limit = record.payment_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    println!(
        "tenant {tenant} ({})\ntime zone {}, base currency {}, future days {}\npayment limit {limit}, losses to {}\n\
         closed periods {}",
        record.name,
        record.time_zone,
        record.base_currency,
        record.future_days,
        record.loss_account.as_str(),
        rule.as_str(),
    );
    Ok(())
}

fn check_zone(zone: &str) -> Result<(), CliError> {
    match zone.parse::<chrono_tz::Tz>() {
        Ok(_) => Ok(()),
        Err(_) => Err(CliError::Refused(format!("{zone} is not an IANA time zone"))),
    }
}

async fn create(config: &Config, new: TenantCreate) -> Result<(), CliError> {
    check_zone(&new.time_zone)?;
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
        loss_account: loss_account(new.allowance),
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
    commands_log(config)?;
    match command {
        ClientCommand::Create(new) => create_client(config, new).await,
        ClientCommand::Disable(named) => set_disabled(config, named, Some(Clock::system().now())).await,
        ClientCommand::Enable(named) => set_disabled(config, named, None).await,
    }
}

async fn set_disabled(config: &Config, named: ClientNamed, at: Option<Timestamp>) -> Result<(), CliError> {
    if config.jwks_url.is_some() {
        return Err(CliError::Refused(
            "with HPTS_JWKS_URL the outside issuer shuts clients out; the clients in the store are not looked at"
                .to_owned(),
        ));
    }
    let ClientNamed { tenant, id, json } = named;
    let store = connect::current_store(config, &Clock::system()).await?;
    let found = store.set_client_disabled(tenant, &id, at).await?;
    let disabled_at = store.client(&id).await?.and_then(|client| client.disabled_at);
    store.close().await;
    if !found {
        return Err(CliError::Refused(format!("tenant {tenant} has no client {id}")));
    }
    if json {
        let at = disabled_at.map(|at| at.to_string());
        println!("{}", serde_json::json!({ "client_id": id, "tenant_id": tenant, "disabled_at": at }));
        return Ok(());
    }
    let seconds = CLIENT_OUT_WITHIN.as_secs();
    match disabled_at {
        Some(at) => println!(
            "client {id} is disabled since {at}: it gets no token, and those it has are refused everywhere within \
             {seconds} s"
        ),
        None => println!("client {id} is enabled"),
    }
    Ok(())
}

async fn create_client(config: &Config, new: ClientCreate) -> Result<(), CliError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let record = TenantRecord {
            id: TenantId(uuid::Uuid::from_u128(1)),
            name: "Lender".to_owned(),
            time_zone: "UTC".to_owned(),
            base_currency: Currency::USD,
            future_days: 3,
            payment_limit: Some(Minor::new(500)),
            loss_account: LossAccount::Expense,
        };
        let nothing = TenantSettings {
            name: None,
            time_zone: None,
            base_currency: None,
            future_days: None,
            payment_limit: None,
            allowance: None,
            closed_periods: None,
        };
        assert_eq!(nothing.applied_to(record.clone()), record);
        let some = TenantSettings { payment_limit: parse_limit("none").ok(), allowance: Some(true), ..nothing };
        let changed = TenantRecord { payment_limit: None, loss_account: LossAccount::Allowance, ..record.clone() };
        assert_eq!(some.applied_to(record), changed);
        assert_eq!(parse_limit("12"), Ok(PaymentLimit(Some(Minor::new(12)))));
        assert!(parse_limit("-1").is_err());
    }
}
