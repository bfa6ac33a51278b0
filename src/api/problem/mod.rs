//! Owns problem documents (RFC 9457): the closed list of codes, their form on the wire, and the page that explains
//! each to a person.

mod code;
mod document;
pub(crate) mod page;
mod rows;

pub use code::ProblemCode;
pub(crate) use document::PROBLEM_JSON;
pub use document::{FieldError, Problem};
