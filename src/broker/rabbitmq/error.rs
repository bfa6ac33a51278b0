//! Owns the translation of what lapin and the server report into what callers act on. By type and code, never by text.

use std::future::Future;
use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

use crate::broker::BrokerError;

/// How long one exchange with the server may take (open a channel, declare, consume). Quorum queues are declared in
/// tens of milliseconds; a server that needs longer than this is as good as away.
pub(super) const EXCHANGE_MAX: Duration = Duration::from_secs(10);

/// What a failed exchange means. A channel error names the topology, anything else the connection.
pub(super) fn meaning(error: &lapin::Error) -> BrokerError {
    let ErrorKind::ProtocolError(protocol) = error.kind() else {
        return BrokerError::Unavailable(error.to_string());
    };
    match protocol.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND | AMQPSoftError::NOROUTE) => BrokerError::Unroutable,
        AMQPErrorKind::Soft(
            AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::RESOURCELOCKED | AMQPSoftError::ACCESSREFUSED,
        ) => BrokerError::Topology(protocol.get_message().to_string()),
        AMQPErrorKind::Soft(AMQPSoftError::CONTENTTOOLARGE | AMQPSoftError::NOCONSUMERS) | AMQPErrorKind::Hard(_) => {
            BrokerError::Unavailable(error.to_string())
        }
    }
}

/// Runs an exchange with the server, for at most [`EXCHANGE_MAX`].
pub(super) async fn exchange<T>(run: impl Future<Output = lapin::Result<T>> + Send) -> Result<T, BrokerError> {
    match tokio::time::timeout(EXCHANGE_MAX, run).await {
        Ok(result) => result.map_err(|error| meaning(&error)),
        Err(_elapsed) => Err(unavailable("it did not answer in time")),
    }
}

/// An unavailable broker, with the reason.
pub(super) fn unavailable(reason: &str) -> BrokerError {
    BrokerError::Unavailable(reason.to_owned())
}
