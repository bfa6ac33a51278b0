//! Owns `hpts tenant chart`: under which codes and names a tenant knows the accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::connect;
use crate::cli::{CliError, parse_tenant};
use crate::core::ids::TenantId;
use crate::core::ledger::{AccountSetting, Chart, is_added};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;

/// What can be done with a chart of accounts.
#[derive(Debug, Subcommand)]
pub(super) enum ChartCommand {
    /// Show the chart of accounts.
    Show(ChartShow),
    /// Take the chart of accounts from a file.
    Set(ChartSet),
}

/// Whose chart to show.
#[derive(Args, Debug)]
pub(super) struct ChartShow {
    /// Whose chart.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// Answer as JSON, in the form that `set` takes.
    #[arg(long)]
    json: bool,
}

/// A chart for a tenant.
#[derive(Args, Debug)]
pub(super) struct ChartSet {
    /// Whose chart.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// JSON: a list of `{"account": "1100", "code": "1205", "name": "Loans"}` for accounts of the default chart, and of
    /// `{"code": "6100", "name": "Rounding", "normal_balance": "DR"}` for accounts that are added. What is not in it is
    /// as by default; accounts that were added before must be in it.
    file: PathBuf,
}

/// `hpts tenant chart …`.
pub(super) async fn chart(config: &Config, command: ChartCommand) -> Result<(), CliError> {
    match command {
        ChartCommand::Show(arguments) => show(config, &arguments).await,
        ChartCommand::Set(arguments) => set(config, &arguments).await,
    }
}

async fn show(config: &Config, ChartShow { tenant, json }: &ChartShow) -> Result<(), CliError> {
    let store = connect::current_store(config, &Clock::system()).await?;
    let known = store.tenant(*tenant).await?;
    let chart = store.chart(*tenant).await?;
    store.close().await;
    if known.is_none() {
        return Err(CliError::Refused(format!("there is no tenant {tenant}")));
    }
    if *json {
        println!("{}", serde_json::to_string_pretty(&settings(&chart))?);
        return Ok(());
    }
    for account in chart.accounts() {
        let own = if account.code == account.account || is_added(account.account) {
            String::new()
        } else {
            format!("  ({})", account.account)
        };
        println!("{}  {}  {}{own}", account.code, account.normal.as_str(), account.name);
    }
    Ok(())
}

async fn set(config: &Config, ChartSet { tenant, file }: &ChartSet) -> Result<(), CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::io(format!("cannot read {}", file.display())))?;
    let settings: Vec<AccountSetting> = serde_json::from_str(&text)?;
    let store = connect::current_store(config, &Clock::system()).await?;
    if store.tenant(*tenant).await?.is_none() {
        return Err(CliError::Refused(format!("there is no tenant {tenant}")));
    }
    let revised = store.chart(*tenant).await?.revised(&settings);
    let chart = revised.map_err(|fault| CliError::Refused(fault.to_string()))?;
    store.set_chart(*tenant, chart).await?;
    store.close().await;
    println!("tenant {tenant}: {} accounts are shown otherwise or added", settings.len());
    Ok(())
}

/// A chart as `set` takes it.
fn settings(chart: &Chart) -> Vec<AccountSetting> {
    let setting = |shown: &crate::core::ledger::ShownAccount| {
        let is_added = is_added(shown.account);
        AccountSetting {
            account: (!is_added).then(|| shown.account.to_string()),
            code: shown.code.to_string(),
            name: shown.name.clone(),
            normal_balance: is_added.then(|| shown.normal.as_str().to_owned()),
        }
    };
    chart.settings().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_set() {
        let text = r#"[{"account":"1100","code":"1205","name":"Loans"},
            {"code":"6100","name":"Rounding","normal_balance":"CR"}]"#;
        let wanted: Vec<AccountSetting> = serde_json::from_str(text).unwrap();
        let chart = Chart::default().revised(&wanted).unwrap();
        assert_eq!(settings(&chart), wanted);
        assert_eq!(chart.revised(&settings(&chart)), Ok(chart.clone()));
    }
}
