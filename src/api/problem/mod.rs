//! Owns problem documents (RFC 9457): the closed list of codes, their form on the wire, and the page that explains
//! each to a person.

mod code;
mod document;
pub(crate) mod page;
mod rows;

pub use code::ProblemCode;
pub(crate) use document::{FAILURES_TOLD, PROBLEM_JSON, first_failures, first_of_each_field, tell};
pub use document::{FieldError, Problem};
