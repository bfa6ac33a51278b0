//! Owns `hpts feed`: how a tenant's ACH files are read.

use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::api::FeedView;
use crate::cli::connect;
use crate::cli::serve::commands_log;
use crate::cli::{CliError, parse_minor, parse_tenant};
use crate::core::ach::{CustomerSetting, Feed, FeedFault, FeedSettings};
use crate::core::ids::TenantId;
use crate::core::money::Minor;
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::{FeedRecord, Store};

/// What can be done with feeds.
#[derive(Debug, Subcommand)]
pub(super) enum FeedCommand {
    /// Make a feed.
    Create(Box<FeedCreate>),
    /// List a tenant's feeds.
    List(FeedList),
}

/// A new feed.
#[derive(Args, Debug)]
pub(super) struct FeedCreate {
    /// Whose feed.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// Its name: 1 to 63 of a-z, 0-9, '_' and '-'.
    #[arg(long)]
    name: String,
    /// Whose view its files have: `originator` (debits are payments, returns come back) or `receiver` (credits are
    /// payments).
    #[arg(long)]
    view: String,
    /// The immediate destination its files must have; any where absent.
    #[arg(long)]
    destination: Option<String>,
    /// The immediate origin its files must have; any where absent.
    #[arg(long)]
    origin: Option<String>,
    /// An entry class whose payments are taken; repeat for more. CCD, PPD, TEL and WEB where absent.
    #[arg(long = "sec-code", value_name = "CODE", value_delimiter = ',')]
    sec_codes: Vec<String>,
    /// Where the loan number stands: `individual_id`, `account_number`, `addenda:PREFIX` or `customer_map`; repeat for
    /// more. The first number in this order that is a loan's counts.
    #[arg(long, value_name = "RULE")]
    loan_number: Vec<String>,
    /// The loan of a payer whom a company knows by a name of its own; a `*` at the end of the name stands for any rest.
    /// Repeat for more.
    #[arg(long = "customer", value_name = "COMPANY:NAME=LOAN", value_parser = parse_customer)]
    customers: Vec<CustomerSetting>,
    /// A company whose batches are taken; repeat for more. All where absent.
    #[arg(long = "company-id", value_name = "ID", value_delimiter = ',')]
    company_ids: Vec<String>,
    /// The day a payment counts from: `settlement` or `effective_entry`.
    #[arg(long, value_name = "RULE")]
    date_rule: Option<String>,
    /// A day besides Saturdays and Sundays on which nothing settles; repeat for more.
    #[arg(long = "holiday", value_name = "DATE", value_delimiter = ',')]
    holidays: Vec<String>,
    /// What becomes of a payment that another file has had: `hold` (the default) or `post`.
    #[arg(long, value_name = "CHOICE")]
    soft_duplicates: Option<String>,
    /// What is forgiven, such as `missing_padding`; repeat for more. Nothing where absent.
    #[arg(long = "tolerance", value_name = "NAME", value_delimiter = ',')]
    tolerances: Vec<String>,
    /// What a borrower is charged for a payment returned for want of funds, in minor units.
    #[arg(long, value_name = "MINOR", value_parser = parse_minor)]
    return_fee: Option<Minor>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Whose feeds to list.
#[derive(Args, Debug)]
pub(super) struct FeedList {
    /// Whose feeds.
    #[arg(long, value_parser = parse_tenant)]
    tenant: TenantId,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// `hpts feed …`.
pub(super) async fn feed(config: &Config, command: FeedCommand) -> Result<(), CliError> {
    commands_log(config)?;
    match command {
        FeedCommand::Create(new) => create(config, *new).await,
        FeedCommand::List(list) => show(config, list).await,
    }
}

async fn create(config: &Config, new: FeedCreate) -> Result<(), CliError> {
    let (tenant, json) = (new.tenant, new.json);
    let feed = Feed::new(&settings(new)).map_err(|faults| refused(&faults))?;
    let store = connect::current_store(config, &Clock::system()).await?;
    if store.tenant(tenant).await?.is_none() {
        return Err(CliError::Refused(format!("there is no tenant {tenant}")));
    }
    let made = keep(&store, tenant, &feed).await?;
    store.close().await;
    if !made {
        return Err(CliError::Refused(format!("feed {} exists already", feed.name())));
    }
    if json {
        println!("{}", serde_json::to_string(&FeedView::from(feed.settings()))?);
    } else {
        println!("feed {}", feed.name());
    }
    Ok(())
}

async fn show(config: &Config, list: FeedList) -> Result<(), CliError> {
    let store = connect::current_store(config, &Clock::system()).await?;
    if store.tenant(list.tenant).await?.is_none() {
        return Err(CliError::Refused(format!("there is no tenant {}", list.tenant)));
    }
    let records = store.feeds(list.tenant).await?;
    store.close().await;
    let feeds: Vec<FeedSettings> =
        records.iter().map(|record| serde_json::from_str(&record.settings)).collect::<Result<_, _>>()?;
    if list.json {
        let items: Vec<FeedView> = feeds.into_iter().map(FeedView::from).collect();
        println!("{}", serde_json::json!({ "items": items }));
        return Ok(());
    }
    for feed in &feeds {
        println!("{}", line(feed));
    }
    Ok(())
}

/// Keeps a feed; false when its name is taken.
pub(super) async fn keep(store: &Arc<dyn Store>, tenant: TenantId, feed: &Feed) -> Result<bool, CliError> {
    let settings = serde_json::to_string(&feed.settings())?;
    Ok(store.create_feed(FeedRecord { tenant, name: feed.name().as_str().to_owned(), settings }).await?)
}

/// What is wrong with settings, on one line.
pub(super) fn refused(faults: &[FeedFault]) -> CliError {
    let told: Vec<String> = faults.iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
    CliError::Refused(told.join("; "))
}

fn settings(new: FeedCreate) -> FeedSettings {
    FeedSettings {
        name: new.name,
        view: new.view,
        destination: new.destination,
        origin: new.origin,
        sec_codes: new.sec_codes,
        loan_number: new.loan_number,
        customers: new.customers,
        company_ids: new.company_ids,
        date_rule: new.date_rule,
        holidays: new.holidays,
        soft_duplicates: new.soft_duplicates,
        tolerances: new.tolerances,
        currency: None,
        return_fee: new.return_fee,
    }
}

/// `COMPANY:NAME=LOAN`; whether the parts are sound is for the settings to say.
fn parse_customer(text: &str) -> Result<CustomerSetting, String> {
    let parts = text.split_once(':').and_then(|(company, rest)| Some((company, rest.rsplit_once('=')?)));
    let (company, (name, loan)) = parts.ok_or("must be COMPANY:NAME=LOAN")?;
    let [company_id, individual_id, loan_number] = [company, name, loan].map(str::to_owned);
    Ok(CustomerSetting { company_id, individual_id, loan_number })
}

/// A feed on one line.
fn line(feed: &FeedSettings) -> String {
    let strict = || "strict".to_owned();
    let forgiven = if feed.tolerances.is_empty() { strict() } else { feed.tolerances.join(",") };
    format!(
        "{}  {}  {}  loan number: {}  {forgiven}",
        feed.name,
        feed.view,
        feed.sec_codes.join(","),
        feed.loan_number.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> FeedSettings {
        FeedSettings { name: "collections".to_owned(), view: "originator".to_owned(), ..FeedSettings::default() }
    }

    #[test]
    fn a_feed_is_shown_on_one_line() {
        let shown = line(&Feed::new(&plain()).unwrap().settings());
        let expected = "collections  originator  CCD,PPD,TEL,WEB  loan number: individual_id,account_number  strict";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_customer_is_written_with_its_company_and_loan() {
        let customer = parse_customer("1234567890:EMP=7*=420").unwrap();
        assert_eq!((customer.individual_id.as_str(), customer.loan_number.as_str()), ("EMP=7*", "420"));
        assert!(parse_customer("1234567890=420").is_err() && parse_customer("1234567890:EMP").is_err());
    }

    #[test]
    fn every_fault_is_on_the_line_for_the_operator() {
        let wrong = FeedSettings { view: "sender".to_owned(), tolerances: vec!["all".to_owned()], ..plain() };
        let line = refused(&Feed::new(&wrong).unwrap_err()).line();
        assert!(line.contains("view must be one of originator, receiver; tolerances.0 must be one of"), "{line}");
    }
}
