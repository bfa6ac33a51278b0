//! Integration tests: real stores, real brokers, real processes; one module per part.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test that is wrong fails")]

mod api;
mod bad_inputs;
mod bench;
mod broker;
mod cases;
mod nacha;
mod oracles;
mod processes;
mod store;
mod support;
mod tidy;
