//! Owns client secrets: how they are made, hashed and checked.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest secret that is hashed at all.
pub(crate) const SECRET_BYTES_MAX: usize = 512;

/// A hash that no secret is known for: checked for unknown clients, so that they take as long as known ones.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why there is no secret or hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    NoRandomness,
    /// The hash could not be computed.
    #[error("the secret could not be hashed")]
    NotHashed,
}

/// A new random secret: 256 bits, with a prefix that secret scanners can look for.
///
/// # Errors
/// [`SecretError::NoRandomness`].
pub fn new_secret() -> Result<String, SecretError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SecretError::NoRandomness)?;
    Ok(format!("hpts_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The argon2id hash of a secret, PHC form. Takes about 20 ms and 19 MiB.
///
/// # Errors
/// [`SecretError::NotHashed`].
pub fn hash_secret(secret: &str) -> Result<String, SecretError> {
    let hash: PasswordHash = Argon2::default().hash_password(secret.as_bytes()).map_err(|_| SecretError::NotHashed)?;
    Ok(hash.to_string())
}

/// Whether a secret has this hash; with no hash, takes as long and says no.
pub(crate) fn is_secret_of(secret: &str, hash: Option<&str>) -> bool {
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODY));
    let matches = parsed.is_ok_and(|parsed| Argon2::default().verify_password(secret.as_bytes(), &parsed).is_ok());
    matches && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_its_own_hash_only() {
        let secret = new_secret().unwrap();
        assert!(secret.len() > 40 && secret != new_secret().unwrap());
        let hash = hash_secret(&secret).unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(is_secret_of(&secret, Some(&hash)));
        assert!(!is_secret_of("other", Some(&hash)));
        assert!(!is_secret_of(&secret, None));
        assert!(PasswordHash::new(NOBODY).is_ok(), "the stand-in is computed like any other");
    }
}
