//! Integration tests: the library from outside.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

mod oracles;
