//! Owns what `hpts bench` asks of a server beside the contract: databases of its own, what the server has written and
//! how it is set, and the usual worker to compare with. No server process calls any of it.

mod database;
mod naive;
mod server;

pub use database::{BenchDatabase, BenchDatabaseError, BenchPurpose};
pub use naive::{NAIVE_STATEMENTS, NaiveBooks, NaiveLoan, NaivePayment, NaiveWorker};

pub(super) use server::STATEMENTS;
