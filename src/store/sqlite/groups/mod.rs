//! Owns groups: their acceptance, and the transaction that posts one. The shape is the contract's, see
//! [`GroupWork`](crate::store::GroupWork). The one writer is the lock that all groups share.

mod accept;
mod look;
mod post;

pub(super) use accept::{FIRST_LEG, accept};
pub(super) use look::{EARLIER_GROUPS, GROUP_ROWS, IN_FRONT, IS_FINISHED, LEGS, legs};
pub(super) use post::{POST_PARENT, post};
