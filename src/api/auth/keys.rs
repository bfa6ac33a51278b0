//! Owns the keys that tokens are verified with, and those that the built-in issuer signs with: making them, and the
//! set every process works with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use uuid::Uuid;

use crate::api::auth::error::AuthError;
use crate::api::auth::outside::OutsideKeys;
use crate::core::time::Timestamp;
use crate::runtime::sealing::{SealingError, SealingKey, opened, sealed};
use crate::store::{SigningKeyRecord, Store, StoreError};

/// A set of stored keys older than this is read again, so that a new key signs and a removed one stops verifying.
pub(super) const FRESH: Duration = Duration::from_mins(1);
/// A key id we do not know makes us look in the store at most this often.
const RELOAD_AT_MOST: Duration = Duration::from_secs(1);

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key could not be made.
    #[error("a signing key could not be made")]
    NotMade,
    /// The key could not be sealed.
    #[error("the signing key could not be sealed")]
    Sealing(#[from] SealingError),
    /// A stored key cannot be opened with the key file at hand.
    #[error("the signing key {kid} cannot be opened")]
    Closed {
        /// Which.
        kid: String,
        /// Why.
        #[source]
        source: SealingError,
    },
    /// The newest stored key stands open, and a sealed one would follow it.
    #[error(
        "the signing keys in the store are not sealed, and servers without the key file could not open one that is"
    )]
    StandsOpen,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Makes a P-256 key with a random id.
///
/// # Errors
/// [`KeyError::NotMade`], [`KeyError::Sealing`].
pub fn new_signing_key(sealing: Option<&SealingKey>, now: Timestamp) -> Result<SigningKeyRecord, KeyError> {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(|_| KeyError::NotMade)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).map_err(|_| KeyError::NotMade)?;
    let kid = Uuid::new_v4().simple().to_string();
    Ok(SigningKeyRecord {
        private_key: sealed(sealing, &kid, document.as_ref())?,
        public_key: pair.public_key().as_ref().to_vec(),
        created_at: now,
        kid,
    })
}

/// Sees to it that the store has a signing key, and that it can be opened. Several processes may race: one key wins.
///
/// # Errors
/// See [`KeyError`].
pub async fn ensure_signing_key(
    store: &dyn Store,
    sealing: Option<&SealingKey>,
    now: Timestamp,
) -> Result<(), KeyError> {
    if store.signing_keys().await?.is_empty() {
        store.add_signing_key(new_signing_key(sealing, now)?, true).await?;
    }
    open_all(sealing, &store.signing_keys().await?)
}

/// Whether every stored key can be opened, as each server asks at its start.
pub(super) fn open_all(sealing: Option<&SealingKey>, keys: &[SigningKeyRecord]) -> Result<(), KeyError> {
    for SigningKeyRecord { kid, private_key, .. } in keys {
        opened(sealing, kid, private_key).map_err(|source| KeyError::Closed { kid: kid.clone(), source })?;
    }
    Ok(())
}

/// A key that verifies.
pub(crate) struct VerifyingKey {
    pub(crate) kid: String,
    /// The only algorithm the key is used with, whatever a token says.
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// The keys that verify, at a moment. Key ids are unique in it.
#[derive(Default)]
pub(crate) struct KeySet(Vec<VerifyingKey>);

impl KeySet {
    /// The set of some keys; of those with one key id, the first.
    pub(crate) fn of(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let mut set = Self::default();
        for key in keys {
            if set.find(&key.kid).is_none() {
                set.0.push(key);
            }
        }
        set
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.kid == kid)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key ids, in the set's order.
    pub(crate) fn kids(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.kid.as_str()).collect()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySet").field(&self.kids()).finish()
    }
}

/// A key that signs.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) key: EncodingKey,
}

/// The public half of a stored key, for the JWKS.
pub(crate) struct PublicPoint {
    pub(crate) kid: String,
    /// Uncompressed.
    pub(crate) point: Vec<u8>,
}

/// The built-in issuer's keys of a moment.
pub(crate) struct IssuerKeys {
    pub(crate) verifying: Arc<KeySet>,
    /// Newest first.
    pub(crate) points: Vec<PublicPoint>,
    /// The newest key that can be opened.
    pub(crate) signer: Option<Signer>,
    loaded_at: Timestamp,
}

impl IssuerKeys {
    /// The keys of some records, newest first. One that cannot be opened verifies and does not sign: whoever added it had
    /// another key file than this process, which must not stop all callers. The key before it goes on signing.
    pub(crate) fn of_records(
        records: Vec<SigningKeyRecord>,
        sealing: Option<&SealingKey>,
        now: Timestamp,
    ) -> Result<Self, SealingError> {
        let mut closed = None;
        let signer = records.iter().find_map(|record| match opened(sealing, &record.kid, &record.private_key) {
            Ok(pkcs8) => Some(Signer { kid: record.kid.clone(), key: EncodingKey::from_ec_der(&pkcs8) }),
            Err(error) => {
                tracing::error!(key.id = %record.kid, %error, "a signing key cannot be opened and does not sign");
                closed = Some(error);
                None
            }
        });
        if let (None, Some(error)) = (&signer, closed) {
            return Err(error);
        }
        let verifying = KeySet::of(records.iter().map(|record| VerifyingKey {
            kid: record.kid.clone(),
            algorithm: Algorithm::ES256,
            key: DecodingKey::from_ec_der(&record.public_key),
        }));
        let points = records.into_iter().map(|record| PublicPoint { kid: record.kid, point: record.public_key });
        Ok(Self { verifying: Arc::new(verifying), points: points.collect(), signer, loaded_at: now })
    }

    fn older_than(&self, age: Duration, now: Timestamp) -> bool {
        let micros = now.micros().saturating_sub(self.loaded_at.micros());
        u64::try_from(micros).is_ok_and(|micros| Duration::from_micros(micros) >= age)
    }
}

/// The keys this process works with.
#[derive(Debug)]
pub(crate) enum Keys {
    /// We issue the tokens; the keys stand in the store.
    BuiltIn(StoredKeys),
    /// Another issues them; its keys are fetched.
    Outside(OutsideKeys),
}

impl Keys {
    /// The keys to verify a token with, after a look at their source if `kid` is not among those at hand.
    pub(crate) async fn with_kid(
        &self,
        kid: &str,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, AuthError> {
        match self {
            Self::BuiltIn(keys) => keys.with_kid(kid, store, now).await,
            Self::Outside(keys) => keys.with_kid(kid).await,
        }
    }
}

/// The built-in issuer's keys, as every process reads them from the store.
pub(crate) struct StoredKeys {
    sealing: Option<Arc<SealingKey>>,
    current: Mutex<Option<Arc<IssuerKeys>>>,
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKeys").field("sealing", &self.sealing).finish_non_exhaustive()
    }
}

impl StoredKeys {
    pub(crate) fn new(sealing: Option<Arc<SealingKey>>) -> Self {
        Self { sealing, current: Mutex::new(None) }
    }

    /// The keys, at most [`FRESH`] old. While the store is away the last good ones serve.
    pub(crate) async fn current(&self, store: &dyn Store, now: Timestamp) -> Result<Arc<IssuerKeys>, AuthError> {
        match self.cached() {
            Some(keys) if !keys.older_than(FRESH, now) => Ok(keys),
            Some(last_good) => match self.load(store, now).await {
                Err(AuthError::Unavailable(error)) if error.is_passing() => Ok(last_good),
                loaded => loaded,
            },
            None => self.load(store, now).await,
        }
    }

    /// The keys, with a look in the store if `kid` is not among those we have.
    async fn with_kid(&self, kid: &str, store: &dyn Store, now: Timestamp) -> Result<Arc<KeySet>, AuthError> {
        let mut keys = self.current(store, now).await?;
        if keys.verifying.find(kid).is_none() && keys.older_than(RELOAD_AT_MOST, now) {
            keys = self.load(store, now).await?;
        }
        Ok(Arc::clone(&keys.verifying))
    }

    async fn load(&self, store: &dyn Store, now: Timestamp) -> Result<Arc<IssuerKeys>, AuthError> {
        let records = store.signing_keys().await.map_err(AuthError::Unavailable)?;
        let keys = IssuerKeys::of_records(records, self.sealing.as_deref(), now)
            .map_err(|_| AuthError::Broken("a signing key cannot be opened with the configured key file"))?;
        let keys = Arc::new(keys);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
        Ok(keys)
    }

    fn cached(&self) -> Option<Arc<IssuerKeys>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
