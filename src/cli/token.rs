//! Owns `hpts token`: a token from a running API, for scripts and curious people.

use clap::Args;

use crate::cli::CliError;
use crate::cli::serve::commands_log;
use crate::runtime::config::Config;
use crate::runtime::telemetry::chain;

/// Whose token, and from where.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    /// The API; the configured listener where absent.
    #[arg(long)]
    url: Option<String>,
    /// The client.
    #[arg(long, env = "HPTS_CLIENT_ID")]
    client_id: String,
    /// Its secret.
    #[arg(long, env = "HPTS_CLIENT_SECRET", hide_env_values = true)]
    client_secret: String,
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
    let base = arguments.url.unwrap_or_else(|| format!("{}://{}", config.scheme(), config.listen));
    let scope = arguments.scope.as_deref().map(|scope| format!("&scope={}", form(scope))).unwrap_or_default();
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}{scope}",
        form(&arguments.client_id),
        form(&arguments.client_secret),
    );
    let api = |error: reqwest::Error| CliError::Api(chain(&error));
    let request = reqwest::Client::new()
        .post(format!("{}/oauth2/token", base.trim_end_matches('/')))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let answer = request.send().await.map_err(api)?;
    let status = answer.status();
    let text = answer.text().await.map_err(api)?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let access_token = value.get("access_token").and_then(serde_json::Value::as_str);
    match access_token {
        Some(_) if arguments.json => println!("{value}"),
        Some(token) => println!("{token}"),
        None => return Err(CliError::Api(format!("no token: {status} {text}"))),
    }
    Ok(())
}

/// A value as a form carries it: everything but letters and digits as `%XX`.
fn form(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
