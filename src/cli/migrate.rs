//! Owns `hpts migrate`: database schema, first signing key, broker topology.

use crate::api::auth::ensure_signing_key;
use crate::cli::CliError;
use crate::cli::connect::{self, Rights};
use crate::cli::serve::{commands_log, sealing_key};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::{SchemaState, StoreError};

/// Brings schema and topology to this release; with `check`, only says whether they are.
pub(super) async fn migrate(config: &Config, check: bool) -> Result<(), CliError> {
    commands_log(config)?;
    let (clock, lifecycle) = (Clock::system(), Lifecycle::new());
    let store = connect::store(config, Rights::Owner, &clock).await?;
    if check {
        let state = store.schema_state().await?;
        store.close().await;
        return match state {
            SchemaState::Current | SchemaState::Ahead => {
                println!("the schema is current");
                Ok(())
            }
            SchemaState::Behind | SchemaState::Foreign => Err(StoreError::WrongSchema.into()),
        };
    }
    store.migrate(config.partitions).await?;
    ensure_signing_key(store.as_ref(), sealing_key(config)?.as_ref(), clock.now()).await?;
    let map = store.partition_map().await?;
    let broker = connect::broker(config, "hpts migrate", &map, &lifecycle).await?;
    broker.declare(&map).await?;
    println!("schema current, generation {} with {} partitions declared", map.generation, map.count());
    broker.close(config.drain()).await;
    lifecycle.stop();
    store.close().await;
    Ok(())
}
