//! Floor 2: the command line. Owns what operators type.

pub mod bench;
