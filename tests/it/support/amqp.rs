//! Owns the tests' own way to the RabbitMQ server, beside the broker under test: to prepare, look and clean up.

use std::net::SocketAddr;

use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};

/// The server under test.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
pub(crate) fn url() -> String {
    std::env::var("HPTS_TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// Where the server listens, and the address with `{}` in place of that.
pub(crate) async fn host_and_template() -> (SocketAddr, String) {
    let url = url();
    let authority = url.split_once('@').expect("the address has credentials").1.split('/').next().unwrap().to_owned();
    let with_port = if authority.contains(':') { authority.clone() } else { format!("{authority}:5672") };
    let address = tokio::net::lookup_host(with_port).await.unwrap().next().expect("the host has an address");
    (address, url.replace(&format!("@{authority}"), "@{}"))
}

/// A plain connection.
pub(crate) struct Raw {
    connection: Connection,
}

impl Raw {
    pub(crate) async fn connect() -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default()).await;
        Self { connection: connection.expect("RabbitMQ runs (./scripts/services up)") }
    }

    /// Declares a durable queue with the arguments given.
    pub(crate) async fn declare(&self, name: &str, arguments: &[(&str, AMQPValue)]) {
        let channel = self.connection.create_channel().await.unwrap();
        let mut table = FieldTable::default();
        for (key, value) in arguments {
            table.insert((*key).into(), value.clone());
        }
        channel.queue_declare(name.into(), QueueDeclareOptions::durable(), table).await.unwrap();
    }

    /// Deletes queues, those that exist.
    pub(crate) async fn delete(&self, names: &[String]) {
        let channel = self.connection.create_channel().await.unwrap();
        for name in names {
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        }
    }

    /// Takes one message from a queue.
    pub(crate) async fn take(&self, name: &str) -> Option<Vec<u8>> {
        let channel = self.connection.create_channel().await.unwrap();
        let message = channel.basic_get(name.into(), BasicGetOptions { no_ack: true }).await.unwrap();
        message.map(|message| message.delivery.data)
    }
}
