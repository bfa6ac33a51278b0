//! Owns the connections: one supervisor task each, which connects, watches, and connects again, forever.
//!
//! lapin's own recovery stays off. Everything that hangs on a connection (channels, consumers, confirms) dies with it
//! and is made anew by its owner, who watches [`LinkWatch`]. lapin reports a failure as an event and an end in order
//! not at all, so the supervisor looks at the status too.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::unavailable;
use crate::broker::BrokerError;

/// The first pause after a failed attempt. Jitter adds up to as much again.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause before jitter, so about 5 s with it: a broker that is back is found soon, and a fleet of
/// processes does not knock in step.
const PAUSE_MAX: Duration = Duration::from_millis(2_500);

/// A connection that lasted this long was a good one, and the pauses begin small again. One that the server takes and
/// drops at once was not.
const LASTED_MIN: Duration = Duration::from_secs(5);

/// How long one attempt may take at first: one whose socket was closed in the middle of the handshake may never be told
/// so by lapin (4.12.3), and nothing is published meanwhile.
const ATTEMPT_MIN: Duration = Duration::from_secs(4);

/// How long it may take after others took too long. Longer than it takes a busy server, because an attempt given up on
/// keeps its thread inside lapin until the other side closes the socket.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// How long the TCP connection may take, in milliseconds as the address has it.
const TCP_CONNECT_MAX_MS: u64 = 5_000;

/// Heartbeats in seconds, unless the address says otherwise: a silent peer is found after twice that.
const HEARTBEAT_SECONDS: u16 = 15;

/// How often the status of a connection is looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long the closing handshake may take.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Where the server is, and who we say we are.
pub(super) struct Address {
    uri: AMQPUri,
    name: String,
}

impl Address {
    /// Reads an address. The text is not repeated in the error: it holds a password.
    pub(super) fn parse(url: &str, name: String) -> Result<Self, BrokerError> {
        let mut uri: AMQPUri = url.parse().map_err(|_unreadable| unavailable("its address is not an amqp:// URL"))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.connection_timeout.get_or_insert(TCP_CONNECT_MAX_MS);
        Ok(Self { uri, name })
    }

    async fn connect(&self, role: &str, patience: Duration) -> Result<Connection, String> {
        let name = format!("{} {role}", self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
        let tls = OwnedTLSConfig::default();
        let attempt = Connection::connect_uri_with_config(self.uri.clone(), properties, tls, runtime);
        match tokio::time::timeout(patience, attempt).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_elapsed) => Err("it did not answer in time".to_owned()),
        }
    }
}

/// A connection, or why there is none.
#[derive(Clone)]
pub(super) enum Link {
    /// Not connected, and why.
    Down(Arc<str>),
    /// Connected, when last looked at.
    Up(Arc<Connection>),
}

/// The view of a link that everyone but its supervisor has. Cheap to clone.
#[derive(Clone)]
pub(super) struct LinkWatch(watch::Receiver<Link>);

impl LinkWatch {
    /// The connection, if it is up at this moment.
    pub(super) fn get(&self) -> Result<Arc<Connection>, BrokerError> {
        match &*self.0.borrow() {
            Link::Up(connection) if connection.status().connected() => Ok(Arc::clone(connection)),
            Link::Up(_) => Err(unavailable("the connection was lost")),
            Link::Down(reason) => Err(unavailable(reason)),
        }
    }

    /// Whether the server has blocked publishing on it.
    pub(super) fn is_blocked(&self) -> bool {
        match &*self.0.borrow() {
            Link::Up(connection) => connection.status().blocked(),
            Link::Down(_) => false,
        }
    }

    /// Waits for a connection other than `last`. `None` once the supervisor has ended.
    pub(super) async fn up(&mut self, last: Option<&Arc<Connection>>) -> Option<Arc<Connection>> {
        let fresh = |connection: &Arc<Connection>| !last.is_some_and(|last| Arc::ptr_eq(last, connection));
        let link = self.0.wait_for(|link| matches!(link, Link::Up(connection) if fresh(connection))).await.ok()?;
        match &*link {
            Link::Up(connection) => Some(Arc::clone(connection)),
            Link::Down(_) => None,
        }
    }
}

/// The two ends of a link that is not up yet.
pub(super) fn link() -> (watch::Sender<Link>, LinkWatch) {
    let (sender, receiver) = watch::channel(Link::Down("not connected yet".into()));
    (sender, LinkWatch(receiver))
}

/// Keeps one link up until `ended`. `role` names it in logs and on the server.
pub(super) async fn supervise(
    address: Arc<Address>,
    role: &'static str,
    link: watch::Sender<Link>,
    ended: CancellationToken,
) {
    let schedule =
        ExponentialBuilder::new().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX).without_max_times().with_jitter();
    let mut pauses = schedule.build();
    let mut patience = ATTEMPT_MIN;
    loop {
        let began = Instant::now();
        let Some(attempt) = ended.run_until_cancelled(address.connect(role, patience)).await else { return };
        match attempt {
            Ok(connection) => {
                tracing::info!(role, "connected to the broker");
                patience = ATTEMPT_MIN;
                let since = Instant::now();
                let connection = Arc::new(connection);
                link.send_replace(Link::Up(Arc::clone(&connection)));
                let Some(reason) = ended.run_until_cancelled(lost(&connection, role)).await else {
                    link.send_replace(Link::Down("it has been closed".into()));
                    close(&connection).await;
                    return;
                };
                tracing::warn!(role, reason, "the connection to the broker was lost");
                link.send_replace(Link::Down(reason.into()));
                if since.elapsed() >= LASTED_MIN {
                    pauses = schedule.build();
                }
            }
            Err(reason) => {
                tracing::warn!(role, reason, "connecting to the broker failed");
                link.send_replace(Link::Down(reason.into()));
                patience = patience_after(began.elapsed(), patience);
            }
        }
        let pause = pauses.next().unwrap_or(PAUSE_MAX);
        if ended.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// How long the attempt after one that failed may take: longer, if that one was given up on.
fn patience_after(took: Duration, patience: Duration) -> Duration {
    if took < patience { patience } else { patience.saturating_mul(2).min(ATTEMPT_MAX) }
}

/// Waits for the end of a connection; answers why.
async fn lost(connection: &Connection, role: &str) -> String {
    let mut events = pin!(connection.events_listener());
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    while connection.status().connected() {
        tokio::select! {
            _now = look.tick() => {}
            Some(event) = events.next() => match event {
                Event::ConnectionBlocked(why) => tracing::warn!(role, why, "the broker has blocked publishing"),
                Event::ConnectionUnblocked => tracing::info!(role, "the broker lets us publish again"),
                Event::Error(error) if !connection.status().connected() => return error.to_string(),
                // The error of one channel, which its owner has seen.
                Event::Error(_) | Event::Connected | Event::SendFlow(_) | _ => {}
            },
        }
    }
    "the connection was closed".to_owned()
}

/// Closes a connection in order; its supervisor, if it still runs, makes a new one.
pub(super) async fn close(connection: &Connection) {
    let closing = connection.close(lapin::protocol::constants::REPLY_SUCCESS, "closing".into());
    match tokio::time::timeout(CLOSE_MAX, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the connection was not closed in order"),
        Err(_elapsed) => tracing::debug!("the server did not confirm the closing of the connection in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_given_up_on_has_longer_the_next_time() {
        let at_once = Duration::from_millis(3);
        assert_eq!(patience_after(at_once, ATTEMPT_MIN), ATTEMPT_MIN, "refused is not slow");
        assert_eq!(patience_after(ATTEMPT_MIN, ATTEMPT_MIN), ATTEMPT_MIN * 2);
        assert_eq!(patience_after(ATTEMPT_MAX, ATTEMPT_MAX), ATTEMPT_MAX);
    }
}
