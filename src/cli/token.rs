//! Owns `hpts token`: a token from a running API, for scripts and curious people.

use clap::Args;
use serde_json::Value;

use crate::cli::CliError;
use crate::cli::api_client::{ApiArgs, ApiClient};
use crate::cli::serve::commands_log;
use crate::runtime::config::Config;

/// Whose token, and from where.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Scopes to ask for, separated by blanks; all of the client's where absent.
    #[arg(long)]
    scope: Option<String>,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints a token.
pub(super) async fn token(config: &Config, arguments: TokenArgs) -> Result<(), CliError> {
    commands_log(config)?;
    let client = ApiClient::new(&arguments.api, config)?;
    let answer = client.token_answer(arguments.scope.as_deref()).await?;
    match answer.get("access_token").and_then(Value::as_str) {
        Some(_) if arguments.json => println!("{answer}"),
        Some(token) => println!("{token}"),
        None => return Err(CliError::Refused(format!("no token in the answer of {}", client.base()))),
    }
    Ok(())
}
