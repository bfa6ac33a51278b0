//! Owns the registration of a run's loans, over many connections and without waiting for each.
//!
//! Keys are the same each time, so a second set-up is answered from the first. At the end the last loans of every
//! connection are waited for: they were accepted last, and spread over all partitions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Uri};
use serde::Deserialize;

use crate::cli::bench::BenchError;
use crate::cli::bench::link::{Link, LinkError};
use crate::cli::bench::load::IDEMPOTENCY_KEY;
use crate::cli::bench::loans::Loans;
use crate::cli::bench::target::Target;
use crate::cli::bench::token::Authorization;
use crate::runtime::lifecycle::Lifecycle;

/// How many of its last loans a connection waits for.
const LAST_LOANS: usize = 8;
/// How often a request is tried: with the pause, an overloaded server has half a minute to recover.
const ATTEMPTS_MAX: u32 = 60;
/// The pause between tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one question waits for a loan to be posted.
const WAIT: &str = "wait=30";

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// An answer, as far as a set-up cares.
struct Answer {
    status: u16,
    location: Option<String>,
    body: Bytes,
}

/// The status of an event that was asked for.
#[derive(Deserialize)]
struct EventStatus {
    status: String,
}

/// One connection of the set-up.
struct Clerk {
    target: Target,
    link: Option<Link>,
    authorization: Authorization,
    loans: Arc<Loans>,
}

/// Registers all loans and waits until the last ones are posted.
pub(super) async fn register(
    targets: &[Target],
    connections: u64,
    loans: &Arc<Loans>,
    authorization: &Authorization,
) -> Result<(), BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let lifecycle = Lifecycle::new();
    let clerks = targets.iter().cycle().zip(0..connections.min(loans.count())).map(|(target, _)| Clerk {
        target: target.clone(),
        link: None,
        authorization: authorization.clone(),
        loans: Arc::clone(loans),
    });
    let tasks: Vec<_> = clerks.map(|clerk| lifecycle.spawn(clerk.work(Arc::clone(&next)))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

impl Clerk {
    async fn work(mut self, next: Arc<AtomicU64>) -> Result<(), BenchError> {
        let mut last: VecDeque<(u64, String)> = VecDeque::with_capacity(LAST_LOANS);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(body) = self.loans.opening(index) else { break };
            if let Some(location) = self.open_loan(index, body).await? {
                if last.len() >= LAST_LOANS {
                    last.pop_front();
                }
                last.push_back((index, location));
            }
        }
        for (index, location) in last {
            self.wait_for(index, &location).await?;
        }
        Ok(())
    }

    /// Brings one loan. Answers where to ask for it while it is not posted yet.
    async fn open_loan(&mut self, index: u64, body: Bytes) -> Result<Option<String>, BenchError> {
        let key = HeaderValue::try_from(self.loans.opening_key(index));
        let key = key.map_err(|_| BenchError::Header("the idempotency key"))?;
        let uri = uri_of("/v1/loans")?;
        let answer = self.ask(index, |headers| {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
            request.headers_mut().insert(PREFER, HeaderValue::from_static("respond-async"));
            request
        });
        let answer = answer.await?;
        match answer.status {
            200 | 201 => Ok(None),
            // 409: the same request of an earlier set-up is not finished yet.
            202 | 409 if answer.location.is_some() => Ok(answer.location),
            _ => Err(refused(index, &answer)),
        }
    }

    /// Asks until the loan is posted.
    async fn wait_for(&mut self, index: u64, location: &str) -> Result<(), BenchError> {
        let path = location.parse::<Uri>().map_err(|_| BenchError::Header("the location of a loan"))?;
        let uri = uri_of(&format!("{}?{WAIT}", path.path()))?;
        loop {
            let answer = self.ask(index, |headers| {
                let mut request = Request::new(Full::default());
                *request.uri_mut() = uri.clone();
                *request.headers_mut() = headers;
                request
            });
            let answer = answer.await?;
            match serde_json::from_slice::<EventStatus>(&answer.body) {
                Ok(event) if answer.status == 200 && event.status == "posted" => return Ok(()),
                Ok(event) if answer.status == 200 && event.status == "accepted" => tokio::time::sleep(PAUSE).await,
                Ok(_) | Err(_) => return Err(refused(index, &answer)),
            }
        }
    }

    /// Sends a request until there is an answer that is neither a broken connection nor "too busy".
    async fn ask(
        &mut self,
        index: u64,
        make: impl Fn(HeaderMap) -> Request<Full<Bytes>>,
    ) -> Result<Answer, BenchError> {
        let address = self.target.address;
        let mut attempt = 1;
        loop {
            let answer = self.try_once(make(self.headers())).await;
            let is_last = attempt >= ATTEMPTS_MAX;
            match answer {
                Ok(answer) if is_last && is_busy(answer.status) => return Err(refused(index, &answer)),
                Ok(answer) if !is_busy(answer.status) => return Ok(answer),
                Err(source) if is_last => return Err(BenchError::Link { address, source }),
                Ok(_) | Err(_) => {}
            }
            attempt = attempt.saturating_add(1);
            tokio::time::sleep(PAUSE).await;
        }
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

    fn headers(&self) -> HeaderMap {
        let authorization = self.authorization.borrow().clone();
        HeaderMap::from_iter([(HOST, self.target.host.clone()), (AUTHORIZATION, authorization)])
    }
}

fn uri_of(path: &str) -> Result<Uri, BenchError> {
    path.parse().map_err(|_| BenchError::Header("the path of a loan"))
}

fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 503)
}

fn refused(index: u64, answer: &Answer) -> BenchError {
    BenchError::Setup { index, status: answer.status, answer: String::from_utf8_lossy(&answer.body).into_owned() }
}
