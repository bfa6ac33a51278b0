//! Owns the laws of the embedded store.

mod books;
mod guard;
mod world;
