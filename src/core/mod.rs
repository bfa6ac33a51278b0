//! Floor 0: the domain. Owns what a payment, a loan and a journal entry are and how one becomes the other.
//!
//! Pure and synchronous: no I/O, no async, no clock, no logging. Time, ids and limits come in as arguments, so every
//! rule can be tested as a table. Must not know stores, brokers, HTTP or the command line.

pub mod ach;
pub mod bank;
mod closed_list;
pub mod event;
pub mod ids;
pub mod ledger;
pub mod loan;
pub mod money;
pub mod reference;
pub mod slot;
pub mod time;
pub mod webhook;
