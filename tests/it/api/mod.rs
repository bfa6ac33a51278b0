//! The API in front of a real embedded deployment: `SQLite`, in-process broker, worker.

mod answers;
mod bad_inputs;
mod outside_issuer;
mod tls;
mod tokens;
mod wire;
mod world;
