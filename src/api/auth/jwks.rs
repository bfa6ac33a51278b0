//! Owns `GET /.well-known/jwks.json`: the public keys, for whoever wants to check our tokens. Absent where an outside
//! issuer makes them.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::keys::PublicPoint;
use crate::api::error::ApiError;
use crate::api::state::ApiState;

/// A set of public keys (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub struct JwkSet {
    /// The keys that verify, newest first.
    keys: Vec<Jwk>,
}

/// One public key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jwk {
    #[schema(value_type = String, example = "EC")]
    kty: &'static str,
    #[schema(value_type = String, example = "P-256")]
    crv: &'static str,
    #[schema(value_type = String, example = "sig")]
    r#use: &'static str,
    #[schema(value_type = String, example = "ES256")]
    alg: &'static str,
    kid: String,
    x: String,
    y: String,
}

/// The public keys that verify our tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "authentication",
    responses((status = 200, description = "The public keys", body = JwkSet)))]
pub(crate) async fn jwks(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let stored = state.auth().built_in().ok_or(ApiError::NotFound)?;
    let keys = stored.current(state.store(), state.now()).await?;
    let set = JwkSet { keys: keys.points.iter().filter_map(jwk).collect() };
    Ok(([(CACHE_CONTROL, "public, max-age=60")], Json(set)).into_response())
}

/// The JWK of an uncompressed P-256 point: 0x04, then 32 bytes each of x and y.
fn jwk(key: &PublicPoint) -> Option<Jwk> {
    let coordinates = key.point.strip_prefix(&[4])?;
    let (x, y) = coordinates.split_at_checked(32)?;
    Some(Jwk {
        kty: "EC",
        crv: "P-256",
        r#use: "sig",
        alg: "ES256",
        kid: key.kid.clone(),
        x: URL_SAFE_NO_PAD.encode(x),
        y: URL_SAFE_NO_PAD.encode(y),
    })
}
