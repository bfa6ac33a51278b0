//! Owns one look at an outside issuer's key set: where it may lead, how long it may take, and how much it may bring.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

use crate::api::auth::outside::jwk::{self, Reading};
use crate::runtime::jwks_url::JwksUrl;
use crate::runtime::telemetry::VERSION;

/// The largest key set: some 150 keys with their certificates, where issuers have about five.
pub(super) const BYTES_MAX: usize = 256 * 1024;
/// The most redirects; none leads to another host, port or scheme.
const REDIRECTS_MAX: usize = 3;

/// Why a look brought no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No answer, or not all of it.
    #[error("it did not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// An answer that is no success.
    #[error("it answered with status {0}")]
    Status(StatusCode),
    /// More than we read.
    #[error("its answer is larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// An answer of another kind.
    #[error("its answer is not a key set")]
    NotKeys(#[source] serde_json::Error),
}

/// Fetches the key set of one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    from: JwksUrl,
}

impl Fetcher {
    /// Prepares the way; `within` bounds a whole look.
    ///
    /// # Errors
    /// TLS cannot be set up, such as on a machine without root certificates.
    pub(super) fn new(from: JwksUrl, within: Duration) -> Result<Self, reqwest::Error> {
        let same_origin = Policy::custom(|attempt| {
            let stays = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
            if stays && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
        });
        let builder = Client::builder()
            .user_agent(format!("hpts/{VERSION}"))
            .redirect(same_origin)
            .timeout(within)
            .pool_max_idle_per_host(1);
        // What is on this machine is not asked for through a proxy, and shows no certificate.
        let builder = if from.is_loopback() { builder.no_proxy() } else { builder };
        Ok(Self { client: builder.build()?, from })
    }

    /// Looks once.
    pub(super) async fn look(&self) -> Result<Reading, FetchError> {
        let no_answer = |error: reqwest::Error| FetchError::NoAnswer(error.without_url());
        let mut answer = self.client.get(self.from.url().clone()).send().await.map_err(no_answer)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if document.len().saturating_add(chunk.len()) > BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        jwk::read(&document).map_err(FetchError::NotKeys)
    }
}
