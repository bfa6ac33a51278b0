//! Owns one caller's way to a server: a connection that is made again where it broke, and requests that are sent again,
//! under their key, until there is an answer that is not "too busy".

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Uri};
use serde::Deserialize;

use crate::cli::bench::BenchError;
use crate::cli::bench::link::{Link, LinkError};
use crate::cli::bench::target::Target;
use crate::cli::bench::token::Authorization;

/// How often a request is tried: with the pause, an overloaded server has half a minute to recover.
const ATTEMPTS_MAX: u32 = 300;
/// The pause between tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of a body that is no problem is told.
const BODY_TOLD_MAX: usize = 300;

/// The header that makes a repeat harmless.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An answer, as far as a measurement cares.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Where to ask for what was made.
    pub(super) location: Option<String>,
    /// Its body.
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON of some shape.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Status and what was said with it, in one line that the same fault always gives.
    pub(super) fn line(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        match self.json::<Problem>() {
            Some(Problem { code, detail }) => format!("{} {code}: {detail}", self.status),
            None => format!("{} {}", self.status, body.chars().take(BODY_TOLD_MAX).collect::<String>()),
        }
    }
}

/// The part of a problem that does not differ from one answer to the next.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

/// A place to ask, checked once.
pub(super) fn uri_of(path: &str) -> Result<Uri, BenchError> {
    path.parse().map_err(|_| BenchError::Header("a path"))
}

/// One connection, one request in flight.
#[derive(Debug)]
pub(super) struct Caller {
    target: Target,
    link: Option<Link>,
    authorization: Authorization,
}

impl Caller {
    /// A caller that connects when it first asks.
    pub(super) fn new(target: Target, authorization: Authorization) -> Self {
        Self { target, link: None, authorization }
    }

    /// Connects, so that the first request does not pay for it.
    pub(super) async fn connect(&mut self) -> Result<(), BenchError> {
        let address = self.target.address;
        self.link = Some(Link::open(address).await.map_err(|source| BenchError::Link { address, source })?);
        Ok(())
    }

    /// Asks for something.
    pub(super) async fn get(&mut self, uri: &Uri) -> Result<Answer, BenchError> {
        self.ask(&Method::GET, uri, &HeaderMap::new(), &Bytes::new()).await
    }

    /// Sends JSON; a repeat is harmless because of the key among `headers`, or because it only asks.
    pub(super) async fn post(&mut self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Answer, BenchError> {
        self.ask(&Method::POST, uri, headers, body).await
    }

    async fn ask(
        &mut self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, BenchError> {
        let address = self.target.address;
        for attempt in 1_u32.. {
            let is_last = attempt >= ATTEMPTS_MAX;
            match self.try_once(self.request(method, uri, headers, body)).await {
                Ok(answer) if is_last || !is_busy(answer.status) => return Ok(answer),
                Err(source) if is_last => return Err(BenchError::Link { address, source }),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(BenchError::Link { address, source: LinkError::Silent })
    }

    async fn try_once(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, LinkError> {
        let mut link = match self.link.take().filter(Link::is_open) {
            Some(link) => link,
            None => Link::open(self.target.address).await?,
        };
        let (head, body) = link.exchange(request).await?;
        self.link = Some(link);
        let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: head.status.as_u16(), location, body })
    }

    fn request(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        let all = request.headers_mut();
        all.insert(HOST, self.target.host.clone());
        all.insert(AUTHORIZATION, self.authorization.borrow().clone());
        if method == Method::POST {
            all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        all.extend(headers.clone());
        request
    }
}

/// The header of a key.
pub(super) fn key_header(key: &str) -> Result<HeaderMap, BenchError> {
    let value = HeaderValue::try_from(key).map_err(|_| BenchError::Header("the idempotency key"))?;
    Ok(HeaderMap::from_iter([(IDEMPOTENCY_KEY, value)]))
}

fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 503)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_without_what_is_different_each_time() {
        let answer = |body: &str| Answer { status: 422, location: None, body: Bytes::copy_from_slice(body.as_bytes()) };
        let problem = |id: u32| format!(r#"{{"code":"batch_too_large","detail":"too many","request_id":"{id}"}}"#);
        assert_eq!(answer(&problem(1)).line(), "422 batch_too_large: too many");
        assert_eq!(answer(&problem(1)).line(), answer(&problem(2)).line());
        assert_eq!(answer(&"x".repeat(1000)).line().len(), 304);
    }
}
