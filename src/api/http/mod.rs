//! Owns what a request's head may say and how its body is read, whatever the operation.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod edge;
pub(crate) mod headers;
pub(crate) mod heavy;
pub(crate) mod peer;
pub(crate) mod prefer;
pub(crate) mod query;
pub(crate) mod trace;
pub(crate) mod urlencoded;
