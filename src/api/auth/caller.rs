//! Owns what a verified token says of its caller.

use crate::api::auth::error::AuthError;
use crate::api::auth::scope::{Scope, ScopeSet};
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
}

impl Caller {
    /// Whether the caller holds one of the scopes that allow an operation.
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`], naming the first.
    pub(crate) fn require(&self, any_of: &'static [Scope]) -> Result<(), AuthError> {
        if self.scopes.has_any(any_of) { Ok(()) } else { Err(AuthError::InsufficientScope(any_of)) }
    }
}
