//! Owns `hpts migrate`: database schema, first signing key, broker topology.

use crate::api::auth::ensure_signing_key;
use crate::cli::CliError;
use crate::cli::connect::{self, Rights};
use crate::cli::serve::{commands_log, sealing_key};
use crate::core::slot::PartitionMap;
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::{SchemaState, StoreError};

/// Brings schema and topology to this release; with `check`, only says whether they are.
pub(super) async fn migrate(config: &Config, check: bool) -> Result<(), CliError> {
    commands_log(config)?;
    if check { look(config).await } else { bring(config).await }
}

async fn bring(config: &Config) -> Result<(), CliError> {
    let (clock, lifecycle) = (Clock::system(), Lifecycle::new());
    let store = connect::owned_store(config, &clock).await?;
    store.migrate(config.partitions).await?;
    // Where another issuer makes the tokens no key of ours is needed.
    if config.jwks_url.is_none() {
        ensure_signing_key(store.as_ref(), sealing_key(config)?.as_ref(), clock.now()).await?;
    }
    let map = store.partition_map().await?;
    let broker = connect::broker(config, "hpts migrate", &map, &lifecycle).await?;
    broker.declare(&map).await?;
    println!("schema current, {}", declared(&map));
    broker.close(config.drain()).await;
    lifecycle.stop();
    store.close().await;
    Ok(())
}

/// Reads only: neither the schema nor the broker is changed, and a store that is not there is not made.
async fn look(config: &Config) -> Result<(), CliError> {
    let (clock, lifecycle) = (Clock::system(), Lifecycle::new());
    let store = connect::store(config, Rights::Owner, &clock).await?;
    match store.schema_state().await? {
        SchemaState::Current | SchemaState::Ahead => {}
        SchemaState::Behind | SchemaState::Foreign => return Err(StoreError::WrongSchema.into()),
    }
    if config.jwks_url.is_none() && store.signing_keys().await?.is_empty() {
        return Err(CliError::Refused("there is no signing key; run `hpts migrate`".to_owned()));
    }
    let map = store.partition_map().await?;
    store.close().await;
    let broker = connect::broker(config, "hpts migrate --check", &map, &lifecycle).await?;
    let missing = broker.missing(&map).await;
    broker.close(config.drain()).await;
    lifecycle.stop();
    match missing?.as_slice() {
        [] => {
            println!("the schema is current, {}", declared(&map));
            Ok(())
        }
        [first, more @ ..] => Err(CliError::Refused(format!(
            "the broker has no queue {first}, and {} more are missing; run `hpts migrate`",
            more.len()
        ))),
    }
}

fn declared(map: &PartitionMap) -> String {
    format!("generation {} with {} partitions declared", map.generation, map.count())
}
