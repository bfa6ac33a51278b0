//! Owns the reading of JSON bodies: strictly, once, and with every failing field named.
//!
//! `serde_json` checks the syntax and finds the bounds of each value ([`serde_json::value::RawValue`]); this module adds
//! what a ledger needs on top: no duplicate key at any depth, no NUL in any text, numbers by their text, depth at most
//! `reader::DEPTH_MAX`, unknown fields refused, and no more members, values and failures than a request can need: what a
//! body costs grows with its bytes, and its answer does not. A flat request of strings is read without copying.

mod fields;
mod raw;
mod reader;

pub(crate) use fields::{Fields, IN_THE_FUTURE};
pub(crate) use raw::Items;
pub use reader::JsonError;
pub(crate) use reader::read;
