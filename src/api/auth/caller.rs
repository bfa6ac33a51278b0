//! Owns what a verified token says of its caller.

use crate::api::auth::error::AuthError;
use crate::api::auth::scope::{Scope, ScopeSet};
use crate::api::http::peer::CertificateThumbprint;
use crate::core::ids::TenantId;
use crate::core::time::Timestamp;

/// A caller who has shown a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose books he works on: the claim's, and nothing else's.
    pub tenant: TenantId,
    /// The client behind the token.
    pub client_id: String,
    /// What he may do.
    pub scopes: ScopeSet,
    /// When the token ends, with the leeway for clocks that differ.
    pub(crate) expires: Timestamp,
    /// The client certificate without which the token is nothing (RFC 8705), where it is bound to one.
    pub(crate) bound_to: Option<CertificateThumbprint>,
}

impl Caller {
    /// Whether the connection is one that the token may come over.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`] for a bound token without its certificate: it may be stolen.
    pub(crate) fn require_binding(&self, peer: Option<CertificateThumbprint>) -> Result<(), AuthError> {
        if self.bound_to.is_none() || self.bound_to == peer {
            Ok(())
        } else {
            Err(AuthError::InvalidToken("it is bound to another client certificate"))
        }
    }

    /// Whether the caller holds one of the scopes that allow an operation.
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`], naming the first.
    pub(crate) fn require(&self, any_of: &'static [Scope]) -> Result<(), AuthError> {
        if self.scopes.has_any(any_of) { Ok(()) } else { Err(AuthError::InsufficientScope(any_of)) }
    }
}
