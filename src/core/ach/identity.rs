//! Owns what makes a file and a row of it the same one: the hash of its bytes, what its header says, and the place of
//! an entry. Trace numbers are no identity: they may stand twice.

use std::fmt;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::core::ach::record::FileHeader;
use crate::core::event::IdempotencyKey;

/// SHA-256 of the bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash([u8; 32]);

impl FileHash {
    /// The hash of a whole file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Wraps a hash that was made while the bytes came in, or stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The stored form.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// The idempotency key of a row: the same bytes at the same place are the same payment, whatever the file is
    /// called. `ach.`, the first 16 bytes of the hash in hexadecimal, batch and entry; at most 58 characters.
    ///
    /// # Panics
    /// Never: the form is that of a key.
    #[must_use]
    #[expect(clippy::expect_used, reason = "letters, digits and dots, 40 to 58 of them, are a key")]
    pub fn row_key(self, position: Position) -> IdempotencyKey {
        let half = u128::from_be_bytes(self.0.first_chunk().copied().unwrap_or_default());
        let Position { batch, entry } = position;
        IdempotencyKey::parse(&format!("ach.{half:032x}.{batch}.{entry}")).expect("is a key")
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The place of an entry: among the batches of its file, and among the entries of its batch, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The batch.
    pub batch: u32,
    /// The entry.
    pub entry: u32,
}

/// What a header says that a file is. Two files with one identity and other bytes are a conflict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIdentity {
    /// Immediate destination, without blanks.
    pub destination: String,
    /// Immediate origin, without blanks.
    pub origin: String,
    /// File creation date.
    pub created_on: NaiveDate,
    /// File creation time, `HHMM` or empty.
    pub created_at: String,
    /// File modifier.
    pub modifier: String,
}

impl FileIdentity {
    /// The identity a header gives.
    #[must_use]
    pub fn of(header: &FileHeader) -> Self {
        Self {
            destination: header.immediate_destination.trimmed().to_owned(),
            origin: header.immediate_origin.trimmed().to_owned(),
            created_on: header.created_on,
            created_at: header.created_at.trimmed().to_owned(),
            modifier: header.modifier.trimmed().to_owned(),
        }
    }
}

impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, origin, created_on, created_at, modifier } = self;
        write!(f, "{destination}/{origin}/{created_on}/{created_at}/{modifier}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_the_bytes_of_its_file_and_its_place() {
        let hash = FileHash::of(b"hello");
        let key = hash.row_key(Position { batch: 1, entry: 2 });
        assert_eq!(key.as_str(), "ach.2cf24dba5fb0a30e26e83b2ac5b9e29e.1.2");
        let last = Position { batch: u32::MAX, entry: u32::MAX };
        assert_eq!(FileHash::from_bytes([0xff; 32]).row_key(last).as_str().len(), 58);
        assert_ne!(FileHash::of(b"hello\n").row_key(last), hash.row_key(last));
    }
}
