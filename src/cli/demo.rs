//! Owns the demo: a tenant, a client, a loan and a feed to try the system with.

use std::sync::Arc;

use chrono::NaiveDate;
use uuid::Uuid;

use crate::api::auth::{Scope, hash_secret};
use crate::cli::connect;
use crate::cli::feed;
use crate::cli::serve::commands_log;
use crate::cli::{CliError, new_id};
use crate::core::ach::{Feed, FeedSettings, Tolerance, View};
use crate::core::event::{Command, IdempotencyKey, LoanOpening, NewEvent, OpeningBalances};
use crate::core::ids::{BorrowerId, EventId, LoanId, PublisherId, TenantId};
use crate::core::money::{Currency, Minor};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::{ClientRecord, Store, TenantRecord};
use crate::worker::post_directly;

/// The demo tenant.
const TENANT: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_de30);
/// The demo loan.
const LOAN: Uuid = Uuid::from_u128(0x1111_1111_1111_1111_1111_1111_1111_1111);
/// Its borrower.
const BORROWER: Uuid = Uuid::from_u128(0x2222_2222_2222_2222_2222_2222_2222_2222);
/// The demo client and its secret, for everybody to know.
const CLIENT: &str = "demo";
const SECRET: &str = "demo-secret";
/// The feed for files of our own bank; a payment returned for want of funds costs 25.00.
const FEED: &str = "demo";
const RETURN_FEE: Minor = Minor::new(2500);

/// `hpts demo`.
pub(super) async fn demo(config: &Config) -> Result<(), CliError> {
    commands_log(config)?;
    let (clock, lifecycle) = (Clock::system(), Lifecycle::new());
    if connect::is_missing(config)? {
        connect::bring_up(config, &clock).await?;
    }
    let store = connect::current_store(config, &clock).await?;
    load(&store, &lifecycle, &clock).await?;
    println!("demo tenant {TENANT}, client {CLIENT} / {SECRET}, loan {LOAN}, feed {FEED}");
    store.close().await;
    Ok(())
}

/// Loads the demo into a store that holds no other tenant. Safe to repeat.
pub(super) async fn load(store: &Arc<dyn Store>, lifecycle: &Lifecycle, clock: &Clock) -> Result<(), CliError> {
    let tenant = TenantId(TENANT);
    if store.tenants().await?.iter().any(|other| other.id != tenant) {
        return Err(CliError::Refused("the demo is only loaded where there is no other tenant".to_owned()));
    }
    let record = TenantRecord {
        id: tenant,
        name: "Demo".to_owned(),
        time_zone: "UTC".to_owned(),
        base_currency: Currency::USD,
        future_days: 0,
        payment_limit: None,
        loss_account: crate::core::loan::LossAccount::Expense,
    };
    store.create_tenant(record).await?;
    if store.client(CLIENT).await?.is_none() {
        let client = ClientRecord {
            client_id: CLIENT.to_owned(),
            tenant,
            secret_hash: hash_secret(SECRET)?,
            scopes: Scope::ALL.iter().map(|scope| scope.as_str().to_owned()).collect(),
            disabled_at: None,
        };
        store.create_client(client).await?;
    }
    if let Some(event) = opening(tenant, clock) {
        post_directly(store, lifecycle, event).await?;
    }
    let feed = Feed::new(&feed_settings()).map_err(|faults| feed::refused(&faults))?;
    // One that is there already stays what it is.
    feed::keep(store, tenant, &feed).await?;
    Ok(())
}

/// Debits are payments, of the loan that the individual identification names.
fn feed_settings() -> FeedSettings {
    FeedSettings {
        name: FEED.to_owned(),
        view: View::Originator.name().to_owned(),
        loan_number: vec!["individual_id".to_owned()],
        tolerances: vec![Tolerance::MissingPadding.name().to_owned()],
        return_fee: Some(RETURN_FEE),
        ..FeedSettings::default()
    }
}

/// The loan of the contract's example: principal 1000000, interest 10000, fees 500.
fn opening(tenant: TenantId, clock: &Clock) -> Option<NewEvent> {
    let command = Command::LoanOpening(LoanOpening {
        loan_id: LoanId(LOAN),
        borrower_id: BorrowerId(BORROWER),
        currency: Currency::USD,
        opened_on: NaiveDate::from_ymd_opt(2026, 1, 1)?,
        loan_number: None,
        program_id: None,
        program_defaults: None,
        waterfall: None,
        opening_balances: OpeningBalances {
            fees: Minor::new(500),
            interest: Minor::new(10_000),
            principal: Minor::new(1_000_000),
        },
        metadata: None,
    });
    let key = IdempotencyKey::parse("demo:loan:11111111").ok()?;
    let publisher = PublisherId(Uuid::nil());
    Some(NewEvent::of_caller(EventId(new_id(clock)), tenant, key, command, publisher, CLIENT.to_owned()))
}

/// Lines to paste into a shell.
pub(super) fn lines_to_try(base: &str) -> String {
    format!(
        r#"
The demo is loaded. Paste these into another shell:

TOKEN=$(curl -s {base}/oauth2/token -d grant_type=client_credentials -d client_id={CLIENT} -d client_secret={SECRET} | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -s {base}/v1/health/ready
curl -s {base}/v1/payments -H "Authorization: Bearer $TOKEN" -H 'Idempotency-Key: payment:loan_42:proc_txn_abc123' -H 'Content-Type: application/json' \
  -d '{{"loan_id":"{LOAN}","borrower_id":"{BORROWER}","amount_minor":"88849","currency":"USD","effective_at":"2026-05-01","source_method":"ach","external_ref":"stripe_ch_xyz123"}}'
# the same line again replays the first answer, and posts nothing
curl -s {base}/v1/loans/{LOAN}/balance -H "Authorization: Bearer $TOKEN"
"#
    )
}
