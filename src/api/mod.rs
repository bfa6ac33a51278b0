//! Floor 2: HTTP. Owns requests and answers; every write becomes an event at the intake, every read asks the store.

pub mod intake;
pub mod waiting_room;
