//! A token issuer of the test's own on loopback: it publishes a key set, signs tokens, and misbehaves when told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use axum::Router;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpts::runtime::jwks_url::JwksUrl;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What its tokens name it.
pub(crate) const ISSUER: &str = "https://issuer.test/";
/// Whom they are for.
pub(crate) const AUDIENCE: &str = "ledger";

/// How the key set is answered.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// With the keys.
    Well,
    /// With this status and text.
    Answers(u16, String),
    /// With a redirect there.
    Sends(String),
    /// Not at all for this long, then with the keys.
    Dawdles(Duration),
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

/// A key that signs tokens.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) alg: &'static str,
    pair: Pair,
}

impl SigningKey {
    pub(crate) fn p256(kid: &str) -> Self {
        let law = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(law, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(law, document.as_ref()).unwrap();
        Self { kid: kid.to_owned(), alg: "ES256", pair: Pair::P256(pair) }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        Self { kid: kid.to_owned(), alg: "EdDSA", pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()) }
    }

    /// `RS256` or `PS256`.
    pub(crate) fn rsa(kid: &str, alg: &'static str) -> Self {
        let encoding: &'static dyn RsaEncoding = if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        let pair = Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        Self { kid: kid.to_owned(), alg, pair: Pair::Rsa(pair, encoding) }
    }

    /// Its public half, as issuers publish it.
    pub(crate) fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
            }
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
            Pair::Rsa(pair, _) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": text(n), "e": text(e)})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token of some claims under a header.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match &self.pair {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token of some claims, with the header an issuer writes.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.alg, "typ": "at+jwt", "kid": self.kid}), claims)
    }
}

/// Good claims of a token that is made at `now` seconds.
pub(crate) fn claims(tenant: &str, scope: &str, now: i64) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "service-7", "client_id": "service-7", "tenant_id": tenant,
        "scope": scope, "iat": now, "exp": now + 3600, "jti": uuid::Uuid::new_v4()})
}

#[derive(Debug)]
struct Desk {
    keys: Mutex<Value>,
    mood: Mutex<Mood>,
    looks: AtomicUsize,
}

/// The issuer; gone when dropped.
#[derive(Debug)]
pub(crate) struct LoopbackIssuer {
    desk: Arc<Desk>,
    port: u16,
    server: JoinHandle<()>,
}

impl Drop for LoopbackIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl LoopbackIssuer {
    /// An issuer that publishes some keys.
    pub(crate) async fn new(keys: &[&SigningKey]) -> Self {
        let looks = AtomicUsize::new(0);
        let desk = Arc::new(Desk { keys: Mutex::new(Value::Null), mood: Mutex::new(Mood::Well), looks });
        let router =
            Router::new().route("/keys", get(answer)).route("/moved", get(moved)).with_state(Arc::clone(&desk));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        #[expect(clippy::disallowed_methods, reason = "a server of the test, ended with it")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let issuer = Self { desk, port, server };
        issuer.publish(keys);
        issuer
    }

    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        *self.desk.keys.lock().unwrap() = json!({"keys": keys});
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.desk.mood.lock().unwrap() = mood;
    }

    /// How often the key set was asked for.
    pub(crate) fn looks(&self) -> usize {
        self.desk.looks.load(Ordering::SeqCst)
    }

    /// An address of its own, by path.
    pub(crate) fn url(&self, path: &str) -> JwksUrl {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }
}

async fn answer(State(desk): State<Arc<Desk>>) -> Response {
    desk.looks.fetch_add(1, Ordering::SeqCst);
    let mood = desk.mood.lock().unwrap().clone();
    match mood {
        Mood::Well => {}
        Mood::Answers(status, text) => {
            return (axum::http::StatusCode::from_u16(status).unwrap(), text).into_response();
        }
        Mood::Sends(to) => return (axum::http::StatusCode::FOUND, [(LOCATION, to)]).into_response(),
        Mood::Dawdles(how_long) => tokio::time::sleep(how_long).await,
    }
    let keys = desk.keys.lock().unwrap().to_string();
    keys.into_response()
}

async fn moved() -> Response {
    (axum::http::StatusCode::FOUND, [(LOCATION, "/keys")]).into_response()
}
