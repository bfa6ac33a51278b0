//! Owns `hpts keys`: the keys that sign our own tokens.

use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::api::auth::{KEY_OUT_WITHIN, KeyError, SealChange, rotate_signing_key};
use crate::cli::CliError;
use crate::cli::connect;
use crate::cli::serve::{commands_log, sealing_key};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::runtime::sealing::is_sealed;
use crate::store::{SigningKeyRecord, Store};

/// What can be done with signing keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key; every api signs with it within a minute. Needs the servers' `HPTS_KEY_FILE`. Tokens of the keys
    /// before it stay good until they run out, an hour at most, or their key is removed.
    Rotate(RotateArgs),
    /// List the keys, newest first: the first one signs, all verify.
    List {
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a key that does not sign any more: nobody takes its tokens after two minutes, however long they were made
    /// for. For one that leaked: rotate first. To shut nobody out who has a good token, wait an hour and two minutes after
    /// that.
    Remove(RemoveArgs),
}

/// How the new key is kept.
#[derive(Args, Debug)]
pub(super) struct RotateArgs {
    /// Seal it, or leave it open, unlike the keys that are stored, or although the key file does not open them. Servers
    /// that have another key file, or one where none is named here, cannot sign with it, and cannot start.
    #[arg(long)]
    change_sealing: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Which key.
#[derive(Args, Debug)]
pub(super) struct RemoveArgs {
    /// Its id, as `hpts keys list` shows it.
    kid: String,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// `hpts keys …`.
pub(super) async fn keys(config: &Config, command: KeysCommand) -> Result<(), CliError> {
    commands_log(config)?;
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let shown = match command {
        KeysCommand::Rotate(arguments) => rotate(config, &store, &arguments, &clock).await,
        KeysCommand::List { json } => store.signing_keys().await.map(|keys| list(&keys, json)).map_err(CliError::from),
        KeysCommand::Remove(arguments) => remove(&store, &arguments).await,
    };
    store.close().await;
    println!("{}", shown?);
    Ok(())
}

async fn rotate(
    config: &Config,
    store: &Arc<dyn Store>,
    arguments: &RotateArgs,
    clock: &Clock,
) -> Result<String, CliError> {
    let change = if arguments.change_sealing { SealChange::Allowed } else { SealChange::Refused };
    let sealing = sealing_key(config)?;
    let kid = rotate_signing_key(store.as_ref(), sealing.as_ref(), change, clock.now()).await.map_err(hinted)?;
    let count = store.signing_keys().await?.len();
    Ok(if arguments.json {
        serde_json::json!({ "kid": kid, "keys": count }).to_string()
    } else {
        format!("key {kid} signs from now on; {count} keys verify")
    })
}

/// What to do about a key file that is not the servers'.
fn hinted(error: KeyError) -> CliError {
    match error {
        KeyError::Closed { .. } | KeyError::StandsOpen => CliError::Refused(format!(
            "{}; nothing was changed: name the servers' key file by HPTS_KEY_FILE, or none where they have none \
             (--change-sealing goes on all the same)",
            crate::runtime::telemetry::chain(&error)
        )),
        KeyError::NotMade | KeyError::Sealing(_) | KeyError::Store(_) => error.into(),
    }
}

fn list(keys: &[SigningKeyRecord], json: bool) -> String {
    let rows = keys.iter().enumerate().map(|(place, key)| {
        let does = if place == 0 { "signs" } else { "verifies" };
        (key, does, if is_sealed(&key.private_key) { "sealed" } else { "open" })
    });
    if json {
        let rows = rows.map(|(key, does, seal)| {
            let made = key.created_at.to_string();
            serde_json::json!({ "kid": key.kid, "created_at": made, "does": does, "sealing": seal })
        });
        return serde_json::json!({ "keys": rows.collect::<Vec<_>>() }).to_string();
    }
    let lines = rows.map(|(key, does, seal)| format!("{}  {}  {does:8}  {seal}", key.kid, key.created_at));
    std::iter::once(format!("{} keys", keys.len())).chain(lines).collect::<Vec<_>>().join("\n")
}

async fn remove(store: &Arc<dyn Store>, RemoveArgs { kid, json }: &RemoveArgs) -> Result<String, CliError> {
    let keys = store.signing_keys().await?;
    match keys.iter().position(|key| key.kid == *kid) {
        None => return Err(CliError::Refused(format!("there is no key {kid}"))),
        Some(0) => {
            return Err(CliError::Refused(format!("key {kid} signs; make another first, with `hpts keys rotate`")));
        }
        Some(_) => {}
    }
    if !store.remove_signing_key(kid).await? {
        return Err(CliError::Refused(format!("key {kid} was removed meanwhile")));
    }
    let (count, seconds) = (keys.len().saturating_sub(1), KEY_OUT_WITHIN.as_secs());
    Ok(if *json {
        serde_json::json!({ "kid": kid, "keys": count, "refused_within_seconds": seconds }).to_string()
    } else {
        format!("key {kid} is removed: its tokens are refused everywhere within {seconds} s; {count} keys verify")
    })
}
