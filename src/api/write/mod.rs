//! Owns the writes: how a POST becomes an event, and the event's result an answer.

pub(crate) mod accept;
pub(crate) mod accruals;
pub(crate) mod ach_files;
mod ach_matches;
pub(crate) mod ach_reviews;
pub(crate) mod adjustments;
pub(crate) mod bank_lines;
pub(crate) mod bank_statements;
pub(crate) mod batches;
pub(crate) mod charge_offs;
pub(crate) mod disbursements;
pub(crate) mod feeds;
pub(crate) mod fees;
pub(crate) mod holds;
pub(crate) mod loans;
mod operation;
pub(crate) mod payments;
pub(crate) mod periods;
pub(crate) mod programs;
pub(crate) mod rearrangements;
pub(crate) mod request;
pub(crate) mod returns;
pub(crate) mod reversals;
pub(crate) mod servicing;
pub(crate) mod settlements;
pub(crate) mod suspense;
pub(crate) mod transfers;
