//! Owns the token: fetched once, renewed in the background before it runs out, shared by all connections.

use std::fmt::Write as _;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use serde::Deserialize;
use tokio::sync::watch;

use crate::cli::bench::BenchError;
use crate::cli::bench::link::Link;
use crate::cli::bench::target::Target;
use crate::runtime::lifecycle::Lifecycle;

/// The pause after a renewal that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The value of the `Authorization` header, as it is now.
pub(super) type Authorization = watch::Receiver<HeaderValue>;

/// Who asks for tokens, and where.
#[derive(Clone, Debug)]
pub(super) struct TokenSource {
    endpoint: Target,
    form: Bytes,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

impl TokenSource {
    /// A client at a token endpoint.
    pub(super) fn new(endpoint: Target, client_id: &str, client_secret: &str) -> Self {
        let mut form = "grant_type=client_credentials&client_id=".to_owned();
        push_escaped(&mut form, client_id);
        form.push_str("&client_secret=");
        push_escaped(&mut form, client_secret);
        Self { endpoint, form: Bytes::from(form) }
    }

    /// Fetches the first token and keeps it fresh until the lifecycle stops.
    pub(super) async fn start(self, lifecycle: &Lifecycle) -> Result<Authorization, BenchError> {
        let (first, mut fresh_for) = self.fetch().await?;
        let (sender, receiver) = watch::channel(first);
        let stopping = lifecycle.token();
        lifecycle.spawn(async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(fresh_for) => {}
                }
                // A token that cannot be renewed shows as 401 answers, which spoil the run for everybody to see.
                fresh_for = match self.fetch().await {
                    Ok((token, fresh_for)) => {
                        sender.send_replace(token);
                        fresh_for
                    }
                    Err(_) => RETRY_PAUSE,
                };
            }
        });
        Ok(receiver)
    }

    /// A token, and how long to use it: half its life.
    async fn fetch(&self) -> Result<(HeaderValue, Duration), BenchError> {
        let address = self.endpoint.address;
        let link_error = |source| BenchError::Link { address, source };
        let mut request = Request::new(Full::new(self.form.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.path.parse().map_err(|_| BenchError::Header("the token path"))?;
        request.headers_mut().insert(HOST, self.endpoint.host.clone());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        let mut link = Link::open(address).await.map_err(link_error)?;
        let (head, body) = link.exchange(request).await.map_err(link_error)?;
        let refused =
            || BenchError::Token { status: head.status.as_u16(), answer: String::from_utf8_lossy(&body).into_owned() };
        if !head.status.is_success() {
            return Err(refused());
        }
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| refused())?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", answer.access_token));
        let mut bearer = bearer.map_err(|_| BenchError::Header("the token"))?;
        bearer.set_sensitive(true);
        let half = Duration::from_secs(answer.expires_in).checked_div(2).unwrap_or_default();
        Ok((bearer, half.max(RETRY_PAUSE)))
    }
}

/// Everything but letters and digits as `%XX`.
fn push_escaped(form: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            form.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(form, "%{byte:02X}");
        }
    }
}
