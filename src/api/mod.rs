//! Floor 2: HTTP. Owns requests and answers; every write becomes an event at the intake, every read asks the store.
//!
//! The way of a request: [`server`] (limits of the wire) → `http::edge` (request id, problem documents) → router →
//! handler. A handler finds out who calls (`auth`), reads strictly (`json`, `http`), calls one thing, and shapes the
//! answer. What fails is an [`error::ApiError`]; one table makes a [`problem::Problem`] of it.
//!
//! No SQL runs in a handler's future, which is dropped when the caller leaves: the intake and the store own their
//! tasks, and handlers only wait.

pub mod auth;
mod changes;
pub mod error;
mod http;
pub mod intake;
mod json;
mod metrics;
pub mod monitoring;
pub mod openapi;
pub mod problem;
mod read;
mod router;
pub mod server;
mod state;
mod tenants;
mod tls;
mod ttl_cache;
mod unstalled;
mod uploads;
pub mod waiting_room;
mod webhooks;
mod write;

pub use read::lookup::LookupLimits;
pub use router::router;
pub use state::{ApiParts, ApiSettings, ApiState, SetupError};
pub use tls::{TlsError, TlsSettings};
pub use uploads::room::RoomLimits;
pub use write::feeds::FeedView;
