//! Owns one request to a receiver: what it carries, where it may lead, how long it may take, how much it may bring.
//!
//! | the receiver | is |
//! | --- | --- |
//! | answers 2xx, whole, within 15 s and 64 KiB | told |
//! | answers 410 | gone |
//! | redirects, or answers anything else | not told; `Retry-After` of 429 and 503 is kept |
//! | is not public, by its address or by what its name resolves to | not asked at all |

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

use super::message::Message;
use super::resolver::{GuardedResolver, is_blocked};
use super::retry_after::retry_after;
use super::signature::signatures;
use crate::runtime::clock::{Clock, Stopwatch};
use crate::runtime::telemetry::VERSION;
use crate::runtime::webhook_target::TargetPolicy;

/// How long a receiver may take, from the name to the last byte of its answer.
const WITHIN: Duration = Duration::from_secs(15);
/// The most of an answer that is read: whoever sends more is no receiver of webhooks.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a connection is kept for the next message.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// Which type a message has, for receivers that sort before they read.
const TYPE_HEADER: &str = "hpts-webhook-type";

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver wants nothing more, ever.
    Gone,
    /// The receiver answered something else; with how long it asks us to wait.
    Refused(Option<Duration>),
    /// The receiver sent us elsewhere, where we do not go.
    Redirected,
    /// The answer is longer than we read.
    TooLong,
    /// No whole answer in time.
    TimedOut,
    /// No connection, or it broke; also where the certificate is not the host's.
    Unreachable,
    /// The receiver is not public.
    Blocked,
    /// Our own secret is unusable.
    Unsigned,
}

impl Outcome {
    /// Why it was not delivered, in the word that the log of deliveries shows; `None` where it was.
    pub(super) fn error(self) -> Option<&'static str> {
        match self {
            Self::Delivered => None,
            Self::Gone => Some("gone"),
            Self::Refused(_) => Some("status"),
            Self::Redirected => Some("redirect"),
            Self::TooLong => Some("answer_too_long"),
            Self::TimedOut => Some("timeout"),
            Self::Unreachable => Some("unreachable"),
            Self::Blocked => Some("blocked_address"),
            Self::Unsigned => Some("unsigned"),
        }
    }

    /// The label of the metric.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Gone => "gone",
            Self::Blocked => "blocked",
            Self::Refused(_)
            | Self::Redirected
            | Self::TooLong
            | Self::TimedOut
            | Self::Unreachable
            | Self::Unsigned => "failed",
        }
    }
}

/// A request that was made, or not even that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    pub(super) status: Option<StatusCode>,
    pub(super) duration: Duration,
}

/// Makes requests to receivers.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    policy: TargetPolicy,
    clock: Clock,
}

impl Sender {
    /// Prepares the way. No proxy: it would resolve names itself, and reach what we may not.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(policy: TargetPolicy, clock: Clock) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(format!("hpts/{VERSION}"))
            .dns_resolver(GuardedResolver::new(policy.clone()))
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .timeout(WITHIN)
            .pool_idle_timeout(IDLE_FOR)
            .build()?;
        Ok(Self { client, policy, clock })
    }

    /// Sends a message once.
    pub(super) async fn send(&self, url: &str, message: &Message, secrets: &[Vec<u8>]) -> Sent {
        let watch = Stopwatch::start();
        let (outcome, status) = self.exchange(url, message, secrets).await;
        Sent { outcome, status, duration: watch.elapsed() }
    }

    async fn exchange(&self, url: &str, message: &Message, secrets: &[Vec<u8>]) -> (Outcome, Option<StatusCode>) {
        // Judged again: what the operator exempts may have changed since the endpoint was made.
        let Ok(target) = self.policy.judge(url) else { return (Outcome::Blocked, None) };
        let timestamp = self.clock.now().utc().timestamp();
        let Some(signature) = signatures(secrets, &message.id, timestamp, &message.body) else {
            return (Outcome::Unsigned, None);
        };
        let request = self
            .client
            .post(target.url().clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id.as_str())
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .header(TYPE_HEADER, message.told.event_type.as_str())
            .body(message.body.clone());
        match request.send().await {
            Err(error) => (outcome_of(&error), None),
            Ok(answer) => {
                let status = answer.status();
                (self.judge(answer).await, Some(status))
            }
        }
    }

    async fn judge(&self, answer: Response) -> Outcome {
        let status = answer.status();
        if status.is_success() {
            return read_to_its_end(answer).await;
        }
        if status == StatusCode::GONE {
            return Outcome::Gone;
        }
        if status.is_redirection() {
            return Outcome::Redirected;
        }
        let asks = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Outcome::Refused(wait.filter(|_| asks).and_then(|wait| retry_after(wait, self.clock.now())))
    }
}

/// Reads an answer whose content means nothing to us, so that the connection serves again.
async fn read_to_its_end(mut answer: Response) -> Outcome {
    let mut read: usize = 0;
    loop {
        match answer.chunk().await {
            Err(error) => return outcome_of(&error),
            Ok(None) => return Outcome::Delivered,
            Ok(Some(chunk)) => read = read.saturating_add(chunk.len()),
        }
        if read > ANSWER_BYTES_MAX {
            return Outcome::TooLong;
        }
    }
}

fn outcome_of(error: &reqwest::Error) -> Outcome {
    if is_blocked(error) {
        Outcome::Blocked
    } else if error.is_timeout() {
        Outcome::TimedOut
    } else {
        Outcome::Unreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::telemetry::DELIVERY_OUTCOMES;

    #[test]
    fn every_outcome_is_counted_under_a_label_that_begins_at_zero() {
        let all = [
            Outcome::Delivered,
            Outcome::Gone,
            Outcome::Refused(None),
            Outcome::Redirected,
            Outcome::TooLong,
            Outcome::TimedOut,
            Outcome::Unreachable,
            Outcome::Blocked,
            Outcome::Unsigned,
        ];
        assert!(all.iter().all(|outcome| DELIVERY_OUTCOMES.contains(&outcome.label())));
    }
}
