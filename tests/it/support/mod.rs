//! What several suites need to reach and to disturb real servers.
pub(crate) mod amqp;
pub(crate) mod proxy;
