//! Owns the registration of a run's loans, over many connections and without waiting for each.
//!
//! Keys are the same each time, so a second set-up is answered from the first. At the end the last loans of every
//! connection are waited for: they were accepted last, and spread over all partitions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Uri;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::cli::bench::BenchError;
use crate::cli::bench::caller::{Answer, Caller, key_header, uri_of};
use crate::cli::bench::loans::Loans;
use crate::cli::bench::target::Target;
use crate::cli::bench::token::Authorization;
use crate::runtime::lifecycle::Lifecycle;

/// How many of its last loans a connection waits for.
const LAST_LOANS: usize = 8;
/// The pause between two questions for a loan that is not posted yet.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one question waits for a loan to be posted.
const WAIT: &str = "wait=30";

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The status of an event that was asked for.
#[derive(Deserialize)]
struct EventStatus {
    status: String,
}

/// One connection of the set-up.
struct Clerk {
    caller: Caller,
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
        caller: Caller::new(target.clone(), authorization.clone()),
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
        let mut headers = key_header(&self.loans.opening_key(index))?;
        headers.insert(PREFER, HeaderValue::from_static("respond-async"));
        let answer = self.caller.post(&uri_of("/v1/loans")?, &headers, &body).await?;
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
            let answer = self.caller.get(&uri).await?;
            match answer.json::<EventStatus>() {
                Some(event) if answer.status == 200 && event.status == "posted" => return Ok(()),
                Some(event) if answer.status == 200 && event.status == "accepted" => tokio::time::sleep(PAUSE).await,
                Some(_) | None => return Err(refused(index, &answer)),
            }
        }
    }
}

fn refused(index: u64, answer: &Answer) -> BenchError {
    BenchError::Setup { index, status: answer.status, answer: String::from_utf8_lossy(&answer.body).into_owned() }
}
