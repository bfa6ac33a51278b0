//! What several tests share: events to bring, the plain fold, databases of their own.

pub(crate) mod books;
pub(crate) mod fold;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod system;
