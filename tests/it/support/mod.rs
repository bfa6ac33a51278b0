//! What several suites share: events to bring, the plain fold, databases of their own, and what it takes to reach and
//! to disturb real servers.

pub(crate) mod ach;
pub(crate) mod amqp;
pub(crate) mod books;
pub(crate) mod certificates;
pub(crate) mod collector;
pub(crate) mod fold;
pub(crate) mod groups;
pub(crate) mod holds;
pub(crate) mod issuer;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod sqlite;
pub(crate) mod system;
