//! Owns the signing keys: making them, and the set every process works with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use uuid::Uuid;

use crate::api::auth::error::AuthError;
use crate::api::auth::sealing::{SealingError, SealingKey, opened, sealed};
use crate::core::time::Timestamp;
use crate::store::{SigningKeyRecord, Store, StoreError};

/// A set older than this is read again, so that a new key signs and a removed one stops verifying.
const FRESH: Duration = Duration::from_mins(1);
/// A key id we do not know makes us look in the store at most this often.
const RELOAD_AT_MOST: Duration = Duration::from_secs(1);

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key could not be made.
    #[error("a signing key could not be made")]
    NotMade,
    /// The key could not be sealed, or the stored one not opened.
    #[error("the signing key's seal")]
    Sealing(#[from] SealingError),
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
    for key in store.signing_keys().await? {
        opened(sealing, &key.kid, &key.private_key)?;
    }
    Ok(())
}

/// Where keys come from.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// We issue the tokens; the keys stand in the store.
    BuiltIn {
        /// Opens them.
        sealing: Option<SealingKey>,
    },
}

/// A key that verifies.
pub(crate) struct VerifyingKey {
    pub(crate) kid: String,
    /// The only algorithm the key is used with, whatever a token says.
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
    /// The public point, for the JWKS.
    pub(crate) point: Vec<u8>,
}

/// A key that signs.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) key: EncodingKey,
}

/// The keys of a moment.
pub(crate) struct KeySet {
    pub(crate) verifying: Vec<VerifyingKey>,
    /// The newest key.
    pub(crate) signer: Option<Signer>,
    loaded_at: Timestamp,
}

impl KeySet {
    pub(crate) fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.verifying.iter().find(|key| key.kid == kid)
    }

    fn older_than(&self, age: Duration, now: Timestamp) -> bool {
        let micros = now.micros().saturating_sub(self.loaded_at.micros());
        u64::try_from(micros).is_ok_and(|micros| Duration::from_micros(micros) >= age)
    }

    /// The set of some records, newest first.
    pub(crate) fn of_records(
        records: Vec<SigningKeyRecord>,
        sealing: Option<&SealingKey>,
        now: Timestamp,
    ) -> Result<Self, SealingError> {
        let signer = match records.first() {
            Some(newest) => {
                let pkcs8 = opened(sealing, &newest.kid, &newest.private_key)?;
                Some(Signer { kid: newest.kid.clone(), key: EncodingKey::from_ec_der(&pkcs8) })
            }
            None => None,
        };
        let verifying = records.into_iter().map(|record| VerifyingKey {
            kid: record.kid,
            algorithm: Algorithm::ES256,
            key: DecodingKey::from_ec_der(&record.public_key),
            point: record.public_key,
        });
        Ok(Self { verifying: verifying.collect(), signer, loaded_at: now })
    }
}

/// The keys this process works with.
pub(crate) struct Keys {
    source: KeySource,
    current: Mutex<Option<Arc<KeySet>>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn new(source: KeySource) -> Self {
        Self { source, current: Mutex::new(None) }
    }

    /// The keys, at most [`FRESH`] old. While the store is away the last good ones serve.
    pub(crate) async fn current(&self, store: &dyn Store, now: Timestamp) -> Result<Arc<KeySet>, AuthError> {
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
    pub(crate) async fn with_kid(
        &self,
        kid: &str,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, AuthError> {
        let keys = self.current(store, now).await?;
        if keys.find(kid).is_none() && keys.older_than(RELOAD_AT_MOST, now) {
            return self.load(store, now).await;
        }
        Ok(keys)
    }

    async fn load(&self, store: &dyn Store, now: Timestamp) -> Result<Arc<KeySet>, AuthError> {
        let KeySource::BuiltIn { sealing } = &self.source;
        let records = store.signing_keys().await.map_err(AuthError::Unavailable)?;
        let keys = KeySet::of_records(records, sealing.as_ref(), now)
            .map_err(|_| AuthError::Broken("a signing key cannot be opened with the configured key file"))?;
        let keys = Arc::new(keys);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
        Ok(keys)
    }

    fn cached(&self) -> Option<Arc<KeySet>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
