//! Floor 1: what every process needs around the work: clock, configuration, telemetry, lifecycle.

pub mod clock;
pub mod config;
pub mod jwks_url;
pub mod lifecycle;
pub mod sealing;
pub mod spans;
pub mod telemetry;
pub mod webhook_target;
