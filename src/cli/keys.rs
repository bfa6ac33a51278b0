//! Owns `hpts keys`: the keys that sign our own tokens.

use clap::Subcommand;

use crate::api::auth::new_signing_key;
use crate::cli::CliError;
use crate::cli::connect;
use crate::cli::serve::{commands_log, sealing_key};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;

/// What can be done with signing keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key; every api signs with it within a minute. Tokens of the keys before it stay good until they run out.
    Rotate {
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `hpts keys …`.
pub(super) async fn keys(config: &Config, command: KeysCommand) -> Result<(), CliError> {
    let KeysCommand::Rotate { json } = command;
    commands_log(config)?;
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let key = new_signing_key(sealing_key(config)?.as_ref(), clock.now())?;
    let kid = key.kid.clone();
    store.add_signing_key(key, false).await?;
    let count = store.signing_keys().await?.len();
    store.close().await;
    if json {
        println!("{}", serde_json::json!({ "kid": kid, "keys": count }));
    } else {
        println!("key {kid} signs from now on; {count} keys verify");
    }
    Ok(())
}
