//! The API in front of a real embedded deployment: `SQLite`, in-process broker, worker.

mod ach;
mod answers;
mod bad_inputs;
mod batches;
mod returns;
mod tokens;
mod wire;
mod world;
