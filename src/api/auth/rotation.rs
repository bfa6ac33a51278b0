//! Owns the change of the built-in issuer's signing keys: a new one, and the end of an old one.
//!
//! Whoever changes them has a key file of his own, or none, and it need not be the servers'. A key that they cannot open
//! would stop every restart, so the file at hand is tried on what is stored, as a server does at its start.

use std::time::Duration;

use crate::api::auth::keys::{FRESH, KeyError, new_signing_key, open_all};
use crate::api::auth::verifier::LOOKED_AT_AGAIN_AFTER;
use crate::core::time::Timestamp;
use crate::runtime::sealing::{SealingKey, is_sealed};
use crate::store::{SigningKeyRecord, Store};

/// After this long nobody takes a token of a key that was removed: a process knows its keys for [`FRESH`], and a token
/// that it has verified with them for [`LOOKED_AT_AGAIN_AFTER`].
pub(crate) const KEY_OUT_WITHIN: Duration = FRESH.saturating_add(LOOKED_AT_AGAIN_AFTER);
/// After this long nobody takes a token of a client that was disabled.
pub(crate) const CLIENT_OUT_WITHIN: Duration = LOOKED_AT_AGAIN_AFTER;

/// Whether a new key may be sealed otherwise than those that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealChange {
    /// No: the servers may have no key file, or another one.
    Refused,
    /// Yes: every server has the key file at hand, or none where there is none at hand.
    Allowed,
}

/// Adds a key that signs from now on, and answers its id.
///
/// # Errors
/// [`KeyError::Closed`] and [`KeyError::StandsOpen`] where the servers may not be able to open it; see [`KeyError`].
pub async fn rotate_signing_key(
    store: &dyn Store,
    sealing: Option<&SealingKey>,
    change: SealChange,
    now: Timestamp,
) -> Result<String, KeyError> {
    let keys = store.signing_keys().await?;
    if change == SealChange::Refused {
        fits(sealing, &keys)?;
    }
    let key = new_signing_key(sealing, after_all(&keys, now))?;
    let kid = key.kid.clone();
    store.add_signing_key(key, false).await?;
    Ok(kid)
}

/// Whether a key sealed like this can stand beside those that are stored.
fn fits(sealing: Option<&SealingKey>, keys: &[SigningKeyRecord]) -> Result<(), KeyError> {
    open_all(sealing, keys)?;
    let newest_is_open = keys.first().is_some_and(|newest| !is_sealed(&newest.private_key));
    if newest_is_open && sealing.is_some() { Err(KeyError::StandsOpen) } else { Ok(()) }
}

/// The newest key signs, also where the clock that made the one before it goes ahead of ours.
fn after_all(keys: &[SigningKeyRecord], now: Timestamp) -> Timestamp {
    let next = keys.first().and_then(|newest| Timestamp::from_micros(newest.created_at.micros().saturating_add(1)));
    next.map_or(now, |next| next.max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sealed_like_those_beside_it() {
        let (ours, other) =
            (SealingKey::parse(&"5a".repeat(32)).unwrap(), SealingKey::parse(&"5b".repeat(32)).unwrap());
        let now = Timestamp::EPOCH;
        let open = [new_signing_key(None, now).unwrap()];
        let sealed = [new_signing_key(Some(&ours), now).unwrap()];
        assert!(fits(None, &[]).is_ok() && fits(Some(&ours), &[]).is_ok());
        assert!(fits(None, &open).is_ok());
        assert!(matches!(fits(Some(&ours), &open), Err(KeyError::StandsOpen)));
        assert!(fits(Some(&ours), &sealed).is_ok());
        assert!(matches!(fits(Some(&other), &sealed), Err(KeyError::Closed { .. })));
        assert!(matches!(fits(None, &sealed), Err(KeyError::Closed { .. })));
        // Sealed since a while: what stands open is older.
        let both = [sealed[0].clone(), open[0].clone()];
        assert!(fits(Some(&ours), &both).is_ok());
    }

    #[test]
    fn a_new_key_is_the_newest() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let ahead = [new_signing_key(None, at(1_000)).unwrap()];
        assert_eq!(after_all(&ahead, at(10)), at(1_001));
        assert_eq!(after_all(&ahead, at(2_000)), at(2_000));
        assert_eq!(after_all(&[], at(10)), at(10));
    }
}
