//! Owns the sending of spans: the HTTP client below the exporter.
//!
//! The exporter calls from a thread that has no runtime, so each message goes out in a task of the process, which ends
//! by itself within its time.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;

use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{VERSION, chain};

/// The most that is read of an answer: it says how many spans were refused, and why.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends for the exporter.
pub(super) struct Sender {
    client: Client,
    lifecycle: Lifecycle,
    runtime: Handle,
    /// So that an outage is told once, not with every message.
    is_failing: AtomicBool,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(lifecycle: Lifecycle, within: Duration) -> Result<Self, reqwest::Error> {
        let builder = Client::builder().user_agent(format!("hpts/{VERSION}")).redirect(Policy::none());
        let client = builder.timeout(within).pool_max_idle_per_host(1).build()?;
        Ok(Self { client, lifecycle, runtime: Handle::current(), is_failing: AtomicBool::new(false) })
    }

    /// Tells the beginning and the end of an outage.
    fn tell(&self, failure: Option<&str>) {
        match (self.is_failing.swap(failure.is_some(), Ordering::Relaxed), failure) {
            (false, Some(why)) => tracing::warn!("spans cannot be exported and are dropped: {why}"),
            (true, None) => tracing::info!("spans are exported again"),
            (true, Some(_)) | (false, None) => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = {
            let _inside = self.runtime.enter();
            self.lifecycle.spawn(send(self.client.clone(), request))
        };
        let answer = match sending.await {
            Ok(answer) => answer,
            Err(ended) => Err(ended.into()),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => self.tell(None),
            Ok(answer) => self.tell(Some(&format!("the collector answered with status {}", answer.status()))),
            Err(error) => self.tell(Some(&chain(error.as_ref()))),
        }
        answer
    }
}

async fn send(client: Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request.try_into()?).await?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(format!("the collector's answer is larger than {ANSWER_BYTES_MAX} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::builder().status(status).body(Bytes::from(body))?;
    *response.headers_mut() = headers;
    Ok(response)
}
