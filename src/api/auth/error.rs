//! Owns why a caller is not let in, and the challenge that tells him (RFC 6750).

use axum::http::header::HeaderValue;

use crate::api::auth::scope::Scope;
use crate::api::error::store_code;
use crate::api::problem::{Problem, ProblemCode};
use crate::store::StoreError;

/// Why a request has no caller, or not one who may do this.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No bearer token.
    #[error("no credentials")]
    NoCredentials,
    /// More than one token.
    #[error("more than one token")]
    SeveralTokens,
    /// A token that is not valid, and why in words that give nothing away.
    #[error("invalid token: {0}")]
    InvalidToken(&'static str),
    /// A token that was valid.
    #[error("expired token")]
    Expired,
    /// A token without one of these scopes.
    #[error("insufficient scope")]
    InsufficientScope(&'static [Scope]),
    /// A token of no tenant we know.
    #[error("unknown tenant")]
    TenantUnknown,
    /// Keys, client or tenant could not be read.
    #[error("the store failed")]
    Unavailable(#[source] StoreError),
    /// The outside issuer's keys are not at hand, so nobody can be told from anybody else.
    #[error("the token issuer's keys are not at hand")]
    KeysUnavailable,
    /// A key of ours cannot be used: an operator must look.
    #[error("the signing keys cannot be used: {0}")]
    Broken(&'static str),
}

impl AuthError {
    /// Its problem.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::NoCredentials => Problem::plain(ProblemCode::Unauthenticated),
            Self::SeveralTokens => Problem::new(ProblemCode::InvalidRequest, "send one Authorization header"),
            Self::InvalidToken(why) => {
                Problem::new(ProblemCode::Unauthenticated, format!("the access token is not valid: {why}"))
            }
            Self::Expired => Problem::plain(ProblemCode::TokenExpired),
            Self::InsufficientScope(scopes) => Problem::new(
                ProblemCode::InsufficientScope,
                format!("the operation needs the scope {}", words(scopes).join(" or ")),
            ),
            Self::TenantUnknown => Problem::plain(ProblemCode::TenantUnknown),
            Self::Unavailable(error) => Problem::plain(store_code(error)),
            Self::KeysUnavailable => Problem::new(
                ProblemCode::Overloaded,
                "the token issuer does not answer, and its keys are not known yet",
            ),
            Self::Broken(_) => Problem::plain(ProblemCode::Internal),
        }
    }

    /// The `WWW-Authenticate` header, where one is due.
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::NoCredentials => Some(HeaderValue::from_static("Bearer")),
            Self::SeveralTokens => Some(HeaderValue::from_static("Bearer error=\"invalid_request\"")),
            Self::InvalidToken(why) => {
                HeaderValue::from_str(&format!("Bearer error=\"invalid_token\", error_description=\"{why}\"")).ok()
            }
            Self::Expired => Some(HeaderValue::from_static(
                "Bearer error=\"invalid_token\", error_description=\"the token has expired\"",
            )),
            Self::InsufficientScope(scopes) => {
                let scope = words(scopes).first().copied().unwrap_or_default();
                HeaderValue::from_str(&format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")).ok()
            }
            Self::TenantUnknown | Self::Unavailable(_) | Self::KeysUnavailable | Self::Broken(_) => None,
        }
    }
}

fn words(scopes: &[Scope]) -> Vec<&'static str> {
    scopes.iter().map(|scope| scope.as_str()).collect()
}
