//! Owns the forging of tokens: with the system's own key and false claims, and with keys that are not the system's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpts::api::auth::new_signing_key;
use hpts::core::time::Timestamp;
use hpts::store::SigningKeyRecord;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::world::DEMO_TENANT;

/// Makes tokens.
pub(super) struct Forge {
    ours: SigningKeyRecord,
    foreign: SigningKeyRecord,
    now: i64,
}

impl std::fmt::Debug for Forge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forge").field("kid", &self.ours.kid).finish_non_exhaustive()
    }
}

impl Forge {
    pub(super) fn new(ours: SigningKeyRecord, now: Timestamp) -> Self {
        let foreign = new_signing_key(None, now).unwrap();
        Self { ours, foreign, now: now.utc().timestamp() }
    }

    /// Now, in the seconds of claims.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// The claims of a good token of the demo client.
    pub(super) fn claims(&self) -> Value {
        json!({
            "iss": "hpts", "aud": "hpts-api", "sub": "demo", "client_id": "demo", "tenant_id": DEMO_TENANT,
            "scope": "hpts:ledger:read hpts:payments:write", "iat": self.now, "nbf": self.now, "exp": self.now + 3600,
            "jti": "forged",
        })
    }

    fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.ours.kid.clone());
        header
    }

    /// Signed with the system's own key, one claim changed; null takes it out.
    pub(super) fn claiming(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims();
        let members = claims.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name)
        } else {
            members.insert(name.to_owned(), value)
        };
        self.signed(&self.header(), &claims)
    }

    /// Signed with the system's own key, the header changed.
    pub(super) fn headed(&self, change: impl FnOnce(&mut Header)) -> String {
        let mut header = self.header();
        change(&mut header);
        self.signed(&header, &self.claims())
    }

    fn signed(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&self.ours.private_key)).unwrap()
    }

    /// Signed with a key of the forger's, under a key id.
    pub(super) fn foreign(&self, kid: &str, change: impl FnOnce(&mut Header)) -> String {
        let mut header = self.header();
        header.kid = Some(kid.to_owned());
        change(&mut header);
        let key = EncodingKey::from_ec_der(&self.foreign.private_key);
        jsonwebtoken::encode(&header, &self.claims(), &key).unwrap()
    }

    /// The system's key id.
    pub(super) fn kid(&self) -> &str {
        &self.ours.kid
    }

    /// Signed by HMAC with the public key as the secret.
    pub(super) fn hmac(&self, algorithm: Algorithm) -> String {
        let mut header = self.header();
        header.alg = algorithm;
        jsonwebtoken::encode(&header, &self.claims(), &EncodingKey::from_secret(&self.ours.public_key)).unwrap()
    }

    /// Any header and signature as text.
    pub(super) fn unsigned(&self, header: &Value, signature: &str) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", encode(header), encode(&self.claims()))
    }
}
