//! HPTS posts loan payments: it accepts them, dedupes them by idempotency key, queues them by loan, allocates them,
//! and commits journal entries.
pub mod api;
pub mod broker;
pub mod cli;
pub mod core;
pub mod runtime;
pub mod store;
pub mod worker;
