//! Owns the writes: how a POST becomes an event, and the event's result an answer.

mod accept;
pub(crate) mod disbursements;
pub(crate) mod loans;
pub(crate) mod payments;
mod request;
pub(crate) mod returns;
