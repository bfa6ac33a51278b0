//! Owns the sealing of keys and secrets at rest: AES-256-GCM under a key that stands in a file, never in the database.
//!
//! Sealed form: a tag, a random nonce of 12 bytes, the ciphertext with its tag. The name of what is sealed is
//! authenticated with it, so that it cannot be moved to another row.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Begins what is sealed; PKCS#8 begins with 0x30, a webhook secret with `whsec_`.
const TAG: &[u8] = b"hpts1";

/// Why something cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The key file does not hold 32 bytes in base64 or hexadecimal.
    #[error("the key file must hold 32 bytes in base64 or as 64 hexadecimal digits")]
    NotAKey,
    /// Something sealed without a key file.
    #[error("what is stored is sealed and no key file is configured")]
    Sealed,
    /// Sealed under another key, or damaged.
    #[error("what is stored cannot be opened with this key file")]
    WrongKey,
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    NoRandomness,
}

/// The key that seals. Shows nothing of itself.
pub struct SealingKey(LessSafeKey);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

impl SealingKey {
    /// Reads the text of a key file: 32 bytes in base64 or hexadecimal.
    ///
    /// # Errors
    /// [`SealingError::NotAKey`] for any other text.
    pub fn parse(text: &str) -> Result<Self, SealingError> {
        let text = text.trim();
        let bytes = if text.len() == 64 { from_hex(text) } else { STANDARD.decode(text).ok() };
        let key = bytes.filter(|bytes| bytes.len() == 32).ok_or(SealingError::NotAKey)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealingError::NotAKey)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, SealingError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealingError::NoRandomness)?;
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed)
            .map_err(|_| SealingError::NoRandomness)?;
        Ok([TAG, &nonce, &sealed].concat())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealingError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealingError::WrongKey)?;
        let mut bytes = sealed.to_vec();
        let plain = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name), &mut bytes)
            .map_err(|_| SealingError::WrongKey)?;
        Ok(plain.to_vec())
    }
}

/// What is stored: sealed under its name where there is a key.
///
/// # Errors
/// [`SealingError::NoRandomness`].
pub fn sealed(key: Option<&SealingKey>, name: &str, plain: &[u8]) -> Result<Vec<u8>, SealingError> {
    match key {
        Some(key) => key.seal(name, plain),
        None => Ok(plain.to_vec()),
    }
}

/// What was sealed under a name. What was stored before a key file was configured stands open.
///
/// # Errors
/// See [`SealingError`].
pub fn opened(key: Option<&SealingKey>, name: &str, stored: &[u8]) -> Result<Vec<u8>, SealingError> {
    match (stored.strip_prefix(TAG), key) {
        (Some(sealed), Some(key)) => key.open(name, sealed),
        (Some(_), None) => Err(SealingError::Sealed),
        (None, Some(_) | None) => Ok(stored.to_vec()),
    }
}

/// Whether what is stored is sealed, under whichever key.
#[must_use]
pub fn is_sealed(stored: &[u8]) -> bool {
    stored.starts_with(TAG)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? << 4) | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_only_with_its_key_and_id() {
        let key = SealingKey::parse(&"ab".repeat(32)).unwrap();
        let other = SealingKey::parse(&STANDARD.encode([1; 32])).unwrap();
        let stored = sealed(Some(&key), "k1", b"private").unwrap();
        assert!(!stored.windows(7).any(|window| window == b"private"));
        assert_eq!(opened(Some(&key), "k1", &stored).unwrap(), b"private");
        assert_eq!(opened(Some(&key), "k2", &stored), Err(SealingError::WrongKey));
        assert_eq!(opened(Some(&other), "k1", &stored), Err(SealingError::WrongKey));
        assert_eq!(opened(None, "k1", &stored), Err(SealingError::Sealed));
        assert_eq!(opened(Some(&key), "k1", b"\x30open").unwrap(), b"\x30open");
        assert!(is_sealed(&stored) && !is_sealed(b"\x30open"));
        assert!(matches!(SealingKey::parse("short"), Err(SealingError::NotAKey)));
    }
}
