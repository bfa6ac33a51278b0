//! Tests of whole parts against real servers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests panic where they are surprised"
)]

mod store;
mod support;
