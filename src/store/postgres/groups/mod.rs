//! Owns groups: their acceptance, and the transaction that posts one. The shape is the contract's, see
//! [`GroupWork`](crate::store::GroupWork).

mod accept;
mod look;
mod post;

pub(super) use accept::STATEMENTS as ACCEPT_STATEMENTS;
pub(super) use look::STATEMENTS as LOOK_STATEMENTS;
pub(super) use post::INSERT_PARENT_POSTING;
