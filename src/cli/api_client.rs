//! Owns the command line's side of the API: whose token, requests that renew it, and what an answer means for another
//! try.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::runtime::config::Config;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a small answer may take; a call waits 60 s at most, and some for the way.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(75);
/// How often an idle connection is felt for.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// How many failing fields a line names; the answer names all.
const FIELDS_TOLD_MAX: usize = 5;
/// The longest pause that a server may ask for.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Which API, and who calls it.
#[derive(Args, Clone)]
pub(super) struct ApiArgs {
    /// The API; the configured listener where absent.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where tokens come from; `/oauth2/token` of the API where absent.
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// The client.
    #[arg(long, env = "HPTS_CLIENT_ID")]
    client_id: String,
    /// Its secret.
    #[arg(
        long,
        env = "HPTS_CLIENT_SECRET",
        hide_env_values = true,
        required_unless_present = "client_secret_file",
        conflicts_with = "client_secret_file"
    )]
    client_secret: Option<String>,
    /// A file with its secret.
    #[arg(long, env = "HPTS_CLIENT_SECRET_FILE", value_name = "PATH")]
    client_secret_file: Option<PathBuf>,
}

impl fmt::Debug for ApiArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, token_url, client_id, client_secret_file, .. } = self;
        f.debug_struct("ApiArgs")
            .field("url", url)
            .field("token_url", token_url)
            .field("client_id", client_id)
            .field("client_secret_file", client_secret_file)
            .finish_non_exhaustive()
    }
}

/// Why a call to the API gave no success.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an address.
    #[error("{0} is not the URL of an API")]
    Url(String),
    /// The file with the secret.
    #[error("cannot read the client's secret from {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No connection, or one that broke.
    #[error("no answer from {base}")]
    Broken {
        /// The API.
        base: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server took and said nothing for too long.
    #[error("{base} fell silent")]
    Silent {
        /// The API.
        base: String,
    },
    /// A refusal that passes.
    #[error("the API answers {status}{said}")]
    NotNow {
        /// Its status.
        status: u16,
        /// Its code and detail.
        said: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// A refusal for good.
    #[error("the API answers {status}{said}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its code and detail.
        said: String,
    },
    /// An answer that is not of this API.
    #[error("the API's answer is not understood")]
    NotUnderstood(#[source] serde_json::Error),
}

impl ClientError {
    /// Whether the same call may succeed later.
    pub(super) const fn is_passing(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Silent { .. } | Self::NotNow { .. } => true,
            Self::Url(_) | Self::Secret { .. } | Self::Refused { .. } | Self::NotUnderstood(_) => false,
        }
    }

    /// How long the server wants to be left alone.
    pub(super) const fn after(&self) -> Option<Duration> {
        match self {
            Self::NotNow { after, .. } => *after,
            Self::Url(_)
            | Self::Secret { .. }
            | Self::Broken { .. }
            | Self::Silent { .. }
            | Self::Refused { .. }
            | Self::NotUnderstood(_) => None,
        }
    }
}

/// A caller of one API. Its token is renewed after half its life, and when the API no longer takes it.
#[derive(Debug)]
pub(super) struct ApiClient {
    http: Client,
    base: String,
    token_endpoint: String,
    form: String,
    token: Mutex<Option<Token>>,
}

#[derive(Clone, Debug)]
struct Token {
    bearer: HeaderValue,
    fresh_until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

impl ApiClient {
    /// A caller of the API that the arguments name.
    pub(super) fn new(arguments: &ApiArgs, config: &Config) -> Result<Self, ClientError> {
        let base = arguments.url.clone().unwrap_or_else(|| format!("http://{}", config.listen));
        let base = base.trim_end_matches('/').to_owned();
        let token_endpoint = arguments.token_url.clone().unwrap_or_else(|| format!("{base}/oauth2/token"));
        for url in [&base, &token_endpoint] {
            let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            is_http.then_some(()).ok_or_else(|| ClientError::Url(url.clone()))?;
        }
        let secret = match (&arguments.client_secret, &arguments.client_secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|source| ClientError::Secret { path: path.clone(), source })?;
                text.trim_end().to_owned()
            }
            // The parser of the command line has seen to it that one is there.
            (None, None) => String::new(),
        };
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            form_value(&arguments.client_id),
            form_value(&secret)
        );
        let http = Client::builder().connect_timeout(CONNECT_WITHIN).tcp_keepalive(KEEP_ALIVE_EVERY).build();
        let http = http.map_err(|source| ClientError::Broken { base: base.clone(), source })?;
        Ok(Self { http, base, token_endpoint, form, token: Mutex::new(None) })
    }

    /// The API's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The token endpoint's answer; all of the client's scopes where none are named.
    pub(super) async fn token_answer(&self, scope: Option<&str>) -> Result<Value, ClientError> {
        let scope = scope.map(|scope| format!("&scope={}", form_value(scope))).unwrap_or_default();
        let request = self.http.post(&self.token_endpoint).timeout(ANSWER_WITHIN);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.body(format!("{}{scope}", self.form)).send().await;
        self.json(judged(answer.map_err(|error| self.broken(error))?).await?).await
    }

    /// Gets a token now, so that who cannot get one learns it before anything else happens.
    pub(super) async fn sign_in(&self) -> Result<(), ClientError> {
        self.renew().await.map(drop)
    }

    /// Sends a request, made anew for each try, with a valid token.
    ///
    /// # Errors
    /// No success; or what `make` fails with.
    pub(super) async fn send<E: From<ClientError>>(
        &self,
        make: impl Fn(&Client, &str) -> Result<RequestBuilder, E>,
    ) -> Result<Response, E> {
        let mut is_token_new = false;
        loop {
            let bearer = if let Some(bearer) = self.bearer() {
                bearer
            } else {
                is_token_new = true;
                self.renew().await?
            };
            let request = make(&self.http, &self.base)?.header(AUTHORIZATION, bearer);
            let answer = request.send().await.map_err(|error| self.broken(error))?;
            if answer.status() != StatusCode::UNAUTHORIZED || is_token_new {
                return judged(answer).await.map_err(E::from);
            }
            self.forget_token();
        }
    }

    /// Asks for JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let make =
            |http: &Client, base: &str| Ok::<_, ClientError>(http.get(format!("{base}{path}")).timeout(ANSWER_WITHIN));
        self.json(self.send(make).await?).await
    }

    /// The body of an answer.
    pub(super) async fn json(&self, answer: Response) -> Result<Value, ClientError> {
        let text = answer.text().await.map_err(|error| self.broken(error))?;
        serde_json::from_str(&text).map_err(ClientError::NotUnderstood)
    }

    /// Gets another token for the next call.
    pub(super) fn forget_token(&self) {
        self.keep(None);
    }

    /// A connection that failed; the URL stands in the error already.
    pub(super) fn broken(&self, error: reqwest::Error) -> ClientError {
        ClientError::Broken { base: self.base.clone(), source: error.without_url() }
    }

    /// A server that says nothing.
    pub(super) fn silent(&self) -> ClientError {
        ClientError::Silent { base: self.base.clone() }
    }

    async fn renew(&self) -> Result<HeaderValue, ClientError> {
        let answer: TokenAnswer =
            serde_json::from_value(self.token_answer(None).await?).map_err(ClientError::NotUnderstood)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", answer.access_token))
            .map_err(|_| ClientError::Refused { status: 200, said: ": a token that no header can carry".to_owned() })?;
        bearer.set_sensitive(true);
        let half = Duration::from_secs(answer.expires_in).checked_div(2).unwrap_or_default();
        let now = Instant::now();
        let fresh_until = now.checked_add(half).unwrap_or(now);
        self.keep(Some(Token { bearer: bearer.clone(), fresh_until }));
        Ok(bearer)
    }

    fn bearer(&self) -> Option<HeaderValue> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.as_ref().filter(|token| Instant::now() < token.fresh_until).map(|token| token.bearer.clone())
    }

    fn keep(&self, token: Option<Token>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

/// A success, or why it is none.
async fn judged(answer: Response) -> Result<Response, ClientError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(PAUSE_MAX));
    let said = answer.text().await.unwrap_or_default();
    Err(refusal(status.as_u16(), &said, after))
}

/// A problem document, or an error of the token endpoint.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(alias = "error")]
    code: Option<String>,
    #[serde(alias = "error_description")]
    detail: Option<String>,
    retryable: Option<bool>,
    #[serde(default)]
    errors: Vec<FailedField>,
}

#[derive(Deserialize)]
struct FailedField {
    #[serde(default)]
    field: String,
    #[serde(default)]
    message: String,
    /// Where it stands in a file.
    line: Option<u64>,
    column: Option<u64>,
}

impl fmt::Display for FailedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        write!(f, "{} {}", self.field, self.message)
    }
}

fn refusal(status: u16, body: &str, after: Option<Duration>) -> ClientError {
    let refusal: Refusal = serde_json::from_str(body).unwrap_or_default();
    let mut said = refusal.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    if let Some(detail) = &refusal.detail {
        said = format!("{said}: {detail}");
    }
    let named = refusal.errors.iter().filter(|error| !error.field.is_empty());
    for error in named.take(FIELDS_TOLD_MAX) {
        said = format!("{said}; {error}");
    }
    let passes = refusal.retryable.unwrap_or(matches!(status, 408 | 425 | 429 | 500 | 502..=504));
    if passes { ClientError::NotNow { status, said, after } } else { ClientError::Refused { status, said } }
}

/// A value as a form carries it: everything but letters and digits as `%XX`.
fn form_value(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::runtime::lifecycle::Lifecycle;

    #[test]
    fn a_refusal_says_its_code_its_detail_and_the_first_fields() {
        let body = r#"{"code":"invalid_file","detail":"not valid: rows.2","retryable":false,
            "errors":[{"field":"rows.2","message":"is not an object"},{"field":"","message":"x"}]}"#;
        let error = refusal(422, body, None);
        assert!(!error.is_passing());
        let line = "the API answers 422 invalid_file: not valid: rows.2; rows.2 is not an object";
        assert_eq!(error.to_string(), line);
        let body = r#"{"code":"invalid_file","errors":[{"field":"amount","message":"must be 10 digits","line":3,"column":30}]}"#;
        let line = "the API answers 422 invalid_file; line 3, column 30: amount must be 10 digits";
        assert_eq!(refusal(422, body, None).to_string(), line);
        let oauth = refusal(401, r#"{"error":"invalid_client","error_description":"no such client"}"#, None);
        assert_eq!(oauth.to_string(), "the API answers 401 invalid_client: no such client");
        assert_eq!(refusal(404, "<html>", None).to_string(), "the API answers 404");
    }

    #[test]
    fn what_passes_is_what_the_answer_says_or_the_status_where_it_does_not() {
        let after = Some(Duration::from_secs(5));
        let busy = refusal(409, r#"{"code":"idempotency_in_progress","retryable":true}"#, after);
        assert!(busy.is_passing() && busy.after() == after);
        assert!(!refusal(409, r#"{"code":"duplicate_file","retryable":false}"#, after).is_passing());
        for (status, passes) in [(400, false), (404, false), (409, false), (413, false), (502, true), (503, true)] {
            assert_eq!(refusal(status, "", None).is_passing(), passes, "{status}");
        }
    }

    /// A server that gives these answers, one a connection, and tells what it was asked.
    async fn scripted(answers: Vec<(u16, &'static str)>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = Lifecycle::new().spawn(async move {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 2048];
                let length = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none");
                asked.push(format!("{} {bearer}", head.lines().next().unwrap()));
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (base, serving)
    }

    fn client(base: &str) -> ApiClient {
        let command = <ApiArgs as Args>::augment_args(<Config as Args>::augment_args(clap::Command::new("hpts")));
        let matches = command.get_matches_from(["hpts", "--url", base, "--client-id", "c", "--client-secret", "s"]);
        let arguments = <ApiArgs as FromArgMatches>::from_arg_matches(&matches).unwrap();
        ApiClient::new(&arguments, &<Config as FromArgMatches>::from_arg_matches(&matches).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_token_that_is_no_longer_taken_is_renewed_once() {
        let first = r#"{"access_token":"first","expires_in":3600}"#;
        let second = r#"{"access_token":"second","expires_in":0}"#;
        let answers = vec![
            (200, first),
            (200, "1"),
            (401, ""),
            (200, second),
            (200, "2"),
            (200, first),
            (401, r#"{"code":"x"}"#),
        ];
        let (base, serving) = scripted(answers).await;
        let client = client(&base);
        assert_eq!(client.get("/a").await.unwrap(), 1);
        assert_eq!(client.get("/b").await.unwrap(), 2);
        let refused = client.get("/c").await.unwrap_err();
        assert_eq!(refused.to_string(), "the API answers 401 x", "a token that was just got is not renewed again");
        let expected = [
            "POST /oauth2/token HTTP/1.1 none",
            "GET /a HTTP/1.1 Bearer first",
            "GET /b HTTP/1.1 Bearer first",
            "POST /oauth2/token HTTP/1.1 none",
            "GET /b HTTP/1.1 Bearer second",
            "POST /oauth2/token HTTP/1.1 none",
            "GET /c HTTP/1.1 Bearer first",
        ];
        assert_eq!(serving.await.unwrap(), expected);
    }

    #[test]
    fn secrets_survive_a_form() {
        assert_eq!(form_value("a+b c&d=é"), "a%2Bb%20c%26d%3D%C3%A9");
    }
}
