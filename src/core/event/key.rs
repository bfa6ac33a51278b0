//! Owns the caller's idempotency key.

use std::fmt;

/// Why a text is not an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 8 to 255 characters: a letter or digit, then letters, digits, '.', '_', ':' or '-'")]
pub struct IdempotencyKeyError;

/// A caller's key: `^[A-Za-z0-9][A-Za-z0-9._:\-]{7,254}$`, unique per tenant over all POST operations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`IdempotencyKeyError`] for any text outside the pattern.
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        let bytes = text.as_bytes();
        let well_formed = (8..=255).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(allowed);
        well_formed.then(|| Self(text.to_owned())).ok_or(IdempotencyKeyError)
    }

    /// The key as the caller wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_pattern() {
        for good in ["12345678", "payment:loan_42:proc_txn_abc123", &"a".repeat(255)] {
            assert_eq!(IdempotencyKey::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "1234567",
            &"a".repeat(256),
            ":2345678",
            "abc defgh",
            "abcdefgé",
            "a,bcdefgh",
            "\"abcdefgh\"",
            "abcdefg\n",
        ] {
            assert_eq!(IdempotencyKey::parse(bad), Err(IdempotencyKeyError), "{bad:?}");
        }
    }
}
