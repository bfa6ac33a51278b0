//! Owns the way from an `Authorization` header to a caller.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use crate::api::auth::caller::Caller;
use crate::api::auth::claims::{Parties, kid_of, verify};
use crate::api::auth::client_auth::ClientAuth;
use crate::api::auth::error::AuthError;
use crate::api::auth::keys::{Keys, StoredKeys};
use crate::api::auth::limits::Limiter;
use crate::api::auth::outside::IssuerCheck;
use crate::api::auth::scope::Scope;
use crate::api::error::ApiError;
use crate::api::http::peer;
use crate::api::ttl_cache::{TtlCache, TtlLimits};
use crate::core::time::Timestamp;
use crate::store::Store;

/// A verified token is looked at again after this long at the latest.
pub(super) const LOOKED_AT_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// 10,000 callers of about 150 bytes: under 2 MB.
const TOKEN_CACHE: TtlLimits =
    TtlLimits { fresh: Duration::from_secs(50), kept: LOOKED_AT_AGAIN_AFTER, entries_max: 10_000 };

/// How the authenticator is set up.
#[derive(Debug)]
pub(crate) struct AuthenticatorSettings {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) keys: Keys,
    pub(crate) rate_limit_per_second: Option<u32>,
}

/// Knows callers by their tokens.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) parties: Parties,
    keys: Keys,
    pub(crate) clients: ClientAuth,
    tokens: TtlCache<[u8; 32], Arc<Caller>>,
    rate: Option<Limiter>,
}

impl Authenticator {
    pub(crate) fn new(settings: AuthenticatorSettings) -> Self {
        Self {
            parties: Parties { issuer: settings.issuer, audience: settings.audience },
            keys: settings.keys,
            clients: ClientAuth::new(),
            tokens: TtlCache::new(TOKEN_CACHE),
            rate: settings.rate_limit_per_second.map(|limit| Limiter::new(limit, 1)),
        }
    }

    /// The keys of the built-in issuer, unless an outside one makes the tokens.
    pub(crate) fn built_in(&self) -> Option<&StoredKeys> {
        match &self.keys {
            Keys::BuiltIn(stored) => Some(stored),
            Keys::Outside(_) => None,
        }
    }

    /// How the outside issuer is, where there is one.
    pub(crate) fn outside(&self) -> Option<IssuerCheck> {
        match &self.keys {
            Keys::BuiltIn(_) => None,
            Keys::Outside(keys) => Some(keys.check()),
        }
    }

    /// The caller of a request, who must hold one of the scopes.
    pub(crate) async fn caller(
        &self,
        store: &dyn Store,
        headers: &HeaderMap,
        any_of: &'static [Scope],
        now: Timestamp,
    ) -> Result<Arc<Caller>, ApiError> {
        let token = bearer(headers)?;
        let hash: [u8; 32] = Sha256::digest(token).into();
        let caller = match self.tokens.get(&hash, now) {
            Some(caller) if caller.expires > now => caller,
            Some(_) => {
                self.tokens.forget(&hash);
                return Err(AuthError::Expired.into());
            }
            None => {
                let caller = Arc::new(self.look_at(store, token, now).await?);
                self.tokens.put(hash, Arc::clone(&caller), now);
                caller
            }
        };
        caller.require_binding(peer::current())?;
        if let Some(rate) = &self.rate {
            rate.take(&caller.client_id, now).map_err(|retry_after| ApiError::RateLimited { retry_after })?;
        }
        caller.require(any_of)?;
        Ok(caller)
    }

    /// Verifies a token in full: signature, claims, that the tenant is there, and that the client is not shut out.
    ///
    /// The table of clients is the built-in issuer's. An outside issuer knows clients that are not in it, and shuts
    /// them out itself, by giving them no more tokens: one it gave lives at most a day (`claims`). A name in our table
    /// that happens to be the same decides nothing. The tenant must be ours in both cases.
    async fn look_at(&self, store: &dyn Store, token: &str, now: Timestamp) -> Result<Caller, AuthError> {
        let kid = kid_of(token)?;
        let keys = self.keys.with_kid(&kid, store, now).await?;
        let caller = verify(token, &kid, &keys, &self.parties, now)?;
        if store.tenant(caller.tenant).await.map_err(AuthError::Unavailable)?.is_none() {
            return Err(AuthError::TenantUnknown);
        }
        if self.built_in().is_none() {
            return Ok(caller);
        }
        match store.client(&caller.client_id).await.map_err(AuthError::Unavailable)? {
            Some(client) if client.disabled_at.is_none() && client.tenant == caller.tenant => Ok(caller),
            Some(_) | None => Err(AuthError::InvalidToken("its client is not allowed any more")),
        }
    }
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::NoCredentials)?;
    if values.next().is_some() {
        return Err(AuthError::SeveralTokens);
    }
    let text = value.to_str().map_err(|_| AuthError::InvalidToken("it holds characters outside ASCII"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::NoCredentials);
    }
    let token = token.trim();
    if token.is_empty() { Err(AuthError::InvalidToken("it is empty")) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_bearer_token_is_taken() {
        let seen = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(seen(&["Bearer abc"]).unwrap(), "abc");
        assert_eq!(seen(&["bearer abc"]).unwrap(), "abc");
        assert!(matches!(seen(&[]), Err(AuthError::NoCredentials)));
        assert!(matches!(seen(&["Basic ZGVtbw=="]), Err(AuthError::NoCredentials)));
        assert!(matches!(seen(&["Bearer"]), Err(AuthError::InvalidToken(_))));
        assert!(matches!(seen(&["Bearer a", "Bearer b"]), Err(AuthError::SeveralTokens)));
    }
}
