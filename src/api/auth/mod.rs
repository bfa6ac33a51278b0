//! Owns who is calling: tokens, their keys, client secrets and scopes.
//!
//! The built-in issuer signs ES256 tokens with keys that every api process reads from the store, so a token of one
//! process is good at all of them. A token is verified once and then known by its hash for at most
//! a minute, so that a disabled client is out within that time. The keys themselves are known for a minute as well, so
//! that a removed one is out within two.
//!
//! Where an outside issuer makes the tokens ([`OutsideIssuer`]), its keys verify, its claims name the tenant and the
//! scopes, and it is the one who shuts clients out; the token endpoint and our own key set are absent.

mod caller;
mod claims;
mod client_auth;
mod error;
pub(crate) mod jwks;
mod keys;
mod limits;
mod outside;
mod rotation;
mod scope;
mod secret;
pub(crate) mod token;
mod verifier;

pub use caller::Caller;
pub use error::AuthError;
pub use keys::{KeyError, ensure_signing_key, new_signing_key};
pub use outside::{OutsideIssuer, OutsideIssuerError};
pub use rotation::{SealChange, rotate_signing_key};
pub use scope::{Scope, ScopeSet};
pub use secret::{SecretError, hash_secret, new_secret};

pub(crate) use keys::{Keys, StoredKeys};
pub(crate) use outside::{IssuerCheck, OutsideKeys};
pub(crate) use rotation::{CLIENT_OUT_WITHIN, KEY_OUT_WITHIN};
pub(crate) use verifier::{Authenticator, AuthenticatorSettings};
