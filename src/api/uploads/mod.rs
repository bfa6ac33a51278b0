//! Owns uploads: many payments in one request, taken row by row in bounded memory.
//!
//! ```text
//! body ── source (gzip, limits, silence) ── lines ── rows (parsed, numbered from 1) ── receiver ── intake
//! ```
//!
//! The next chunk is read and parsed while the last one is committed. An upload is received under a lease; one that is
//! cut off is sent again under the same key and goes on: rows that are there already are found by their keys. Its
//! fingerprint is known when its last row is: over the prints of all rows, in order.

pub(crate) mod ach;
pub(crate) mod answer;
pub(crate) mod lines;
mod named_payment;
pub(crate) mod receiver;
pub(crate) mod room;
pub(crate) mod rows;
mod seq_set;
pub(crate) mod source;
pub(crate) mod verdict;
pub(crate) mod whole;

/// The most rows of one commit.
pub(crate) const CHUNK_ROWS_MAX: usize = 1_000;
/// A commit's rows end with the one that reaches so many bytes. A thousand payments are 400 KB; padded to the longest line
/// they were 64 MB, for every upload that is under way, and what is read of them besides.
pub(crate) const CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024;
