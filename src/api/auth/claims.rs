//! Owns what a token says and whether that holds: pure functions of the token, the keys and the time.

use jsonwebtoken::{Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::auth::caller::Caller;
use crate::api::auth::error::AuthError;
use crate::api::auth::keys::{KeySet, Signer, VerifyingKey};
use crate::api::auth::scope::ScopeSet;
use crate::api::http::peer::CertificateThumbprint;
use crate::core::ids::TenantId;
use crate::core::time::Timestamp;

/// The type of an access token (RFC 9068); an ID token has another.
const TOKEN_TYPE: &str = "at+jwt";
/// The largest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far clocks may differ.
const LEEWAY_SECONDS: i64 = 30;
/// The longest life of a token: one that claims more is refused, whoever signed it.
const LIFETIME_SECONDS_MAX: i64 = 24 * 60 * 60;
/// The life of the tokens we issue.
pub(crate) const LIFETIME_SECONDS: i64 = 3600;

/// Who issues and who is meant.
#[derive(Clone, Debug)]
pub(crate) struct Parties {
    pub(crate) issuer: String,
    pub(crate) audience: String,
}

/// The claims we sign.
#[derive(Serialize)]
pub(crate) struct OurClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    tenant_id: TenantId,
    scope: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// The claims we read, before any of them is believed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Claims {
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    client_id: Option<Value>,
    tenant_id: Option<Value>,
    scope: Option<Value>,
    scp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    exp: Option<Value>,
    cnf: Option<Value>,
}

/// Signs a token for a client.
pub(crate) fn sign(
    signer: &Signer,
    parties: &Parties,
    (client_id, tenant): (&str, TenantId),
    scopes: ScopeSet,
    now: Timestamp,
) -> Result<String, AuthError> {
    let seconds = now.utc().timestamp();
    let claims = OurClaims {
        iss: &parties.issuer,
        aud: &parties.audience,
        sub: client_id,
        client_id,
        tenant_id: tenant,
        scope: scopes.to_string(),
        iat: seconds,
        nbf: seconds,
        exp: seconds.saturating_add(LIFETIME_SECONDS),
        jti: uuid::Uuid::new_v4().to_string(),
    };
    let mut header = Header::new(jsonwebtoken::Algorithm::ES256);
    header.typ = Some(TOKEN_TYPE.to_owned());
    header.kid = Some(signer.kid.clone());
    jsonwebtoken::encode(&header, &claims, &signer.key).map_err(|_| AuthError::Broken("a token cannot be signed"))
}

/// The key id a token names, read before anything is believed. Size is checked first.
pub(crate) fn kid_of(token: &str) -> Result<String, AuthError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(AuthError::InvalidToken("it is too long"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::InvalidToken("it is not a signed token"))?;
    let is_access_token = header.typ.as_deref().is_some_and(|typ| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ) == TOKEN_TYPE
    });
    if !is_access_token {
        return Err(AuthError::InvalidToken("it is not an access token"));
    }
    if header.crit.is_some() {
        return Err(AuthError::InvalidToken("it demands extensions that are not supported"));
    }
    header.kid.ok_or(AuthError::InvalidToken("it names no key"))
}

/// Verifies a token and says who brought it.
pub(crate) fn verify(
    token: &str,
    kid: &str,
    keys: &KeySet,
    parties: &Parties,
    now: Timestamp,
) -> Result<Caller, AuthError> {
    let key = keys.find(kid).ok_or(AuthError::InvalidToken("its key is not known"))?;
    let claims = signed_claims(token, key)?;
    check_parties(&claims, parties)?;
    let expires = check_times(&claims, now.utc().timestamp())?;
    caller(&claims, expires)
}

/// The claims, once the signature holds. Times and parties are checked by us, on our clock.
fn signed_claims(token: &str, key: &VerifyingKey) -> Result<Claims, AuthError> {
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let data = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
    data.map(|data| data.claims).map_err(|_| AuthError::InvalidToken("its signature does not hold"))
}

fn check_parties(claims: &Claims, parties: &Parties) -> Result<(), AuthError> {
    if claims.iss.as_ref().and_then(Value::as_str) != Some(parties.issuer.as_str()) {
        return Err(AuthError::InvalidToken("it is of another issuer"));
    }
    let is_for_us = match &claims.aud {
        Some(Value::String(audience)) => *audience == parties.audience,
        Some(Value::Array(several)) => several.iter().any(|audience| audience.as_str() == Some(&parties.audience)),
        Some(_) | None => false,
    };
    if is_for_us { Ok(()) } else { Err(AuthError::InvalidToken("it is for another audience")) }
}

/// Checks the times; answers when the token ends, leeway included.
fn check_times(claims: &Claims, now: i64) -> Result<Timestamp, AuthError> {
    let bad = AuthError::InvalidToken;
    let number = |claim: &Option<Value>, why| match claim {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(bad(why)),
    };
    let expires = number(&claims.exp, "exp is not a number")?.ok_or(bad("it never expires"))?;
    let issued = number(&claims.iat, "iat is not a number")?;
    let valid_from = number(&claims.nbf, "nbf is not a number")?;
    let latest = now.saturating_add(LEEWAY_SECONDS);
    if valid_from.is_some_and(|from| from > latest) || issued.is_some_and(|issued| issued > latest) {
        return Err(bad("it is not valid yet"));
    }
    let begin = issued.unwrap_or(now).min(now);
    if expires.saturating_sub(now) > LIFETIME_SECONDS_MAX.saturating_add(LEEWAY_SECONDS)
        || (issued.is_some() && expires.saturating_sub(begin) > LIFETIME_SECONDS_MAX)
    {
        return Err(bad("it lives too long"));
    }
    let end = expires.saturating_add(LEEWAY_SECONDS);
    if end <= now {
        return Err(AuthError::Expired);
    }
    Timestamp::from_micros(end.saturating_mul(1_000_000)).ok_or(bad("exp is not an instant"))
}

fn caller(claims: &Claims, expires: Timestamp) -> Result<Caller, AuthError> {
    let text = |claim: &Option<Value>| claim.as_ref().and_then(Value::as_str).map(str::to_owned);
    let client_id = text(&claims.client_id).or_else(|| text(&claims.sub));
    let client_id = client_id.ok_or(AuthError::InvalidToken("it names no client"))?;
    let tenant = text(&claims.tenant_id).and_then(|tenant| TenantId::parse(&tenant).ok());
    let (tenant, bound_to) = (tenant.ok_or(AuthError::TenantUnknown)?, binding(claims)?);
    Ok(Caller { tenant, client_id, scopes: scopes(claims), expires, bound_to })
}

/// The client certificate that the token is bound to. A binding of another sort, which we cannot check, is refused.
fn binding(claims: &Claims) -> Result<Option<CertificateThumbprint>, AuthError> {
    let Some(confirmation) = &claims.cnf else { return Ok(None) };
    let thumbprint = confirmation.get("x5t#S256").and_then(Value::as_str).and_then(CertificateThumbprint::parse);
    let is_all = confirmation.as_object().is_some_and(|members| members.len() == 1);
    match thumbprint {
        Some(thumbprint) if is_all => Ok(Some(thumbprint)),
        Some(_) | None => Err(AuthError::InvalidToken("it is bound in a way that is not supported")),
    }
}

/// What the token may be used for: `scope`, words with blanks between (RFC 9068), or where that is absent `scp`, a list
/// or such words, as some issuers write it.
fn scopes(claims: &Claims) -> ScopeSet {
    match (&claims.scope, &claims.scp) {
        (Some(Value::String(words)), _) | (None, Some(Value::String(words))) => ScopeSet::of_words(words.split(' ')),
        (None, Some(Value::Array(words))) => ScopeSet::of_words(words.iter().filter_map(Value::as_str)),
        (Some(_), _) | (None, Some(_) | None) => ScopeSet::default(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey};
    use serde_json::json;
    use sha2::Digest;

    use super::*;
    use crate::api::auth::keys::{IssuerKeys, new_signing_key};
    use crate::api::auth::scope::Scope;

    const NOW: i64 = 1_777_636_800;

    fn now() -> Timestamp {
        Timestamp::from_micros(NOW * 1_000_000).unwrap()
    }

    fn keys() -> IssuerKeys {
        IssuerKeys::of_records(vec![new_signing_key(None, now()).unwrap()], None, now()).unwrap()
    }

    fn parties() -> Parties {
        Parties { issuer: "hpts".to_owned(), audience: "hpts-api".to_owned() }
    }

    fn tenant() -> TenantId {
        TenantId::parse("00000000-0000-7000-8000-000000000001").unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "hpts", "aud": "hpts-api", "sub": "demo", "client_id": "demo", "tenant_id": tenant(),
            "scope": "hpts:payments:write", "iat": NOW, "nbf": NOW, "exp": NOW + 3600})
    }

    fn judge(keys: &IssuerKeys, header: &Header, claims: &Value) -> Result<Caller, AuthError> {
        let token = jsonwebtoken::encode(header, claims, &keys.signer.as_ref().unwrap().key).unwrap();
        let kid = kid_of(&token)?;
        verify(&token, &kid, &keys.verifying, &parties(), now())
    }

    fn header(keys: &IssuerKeys) -> Header {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(keys.signer.as_ref().unwrap().kid.clone());
        header
    }

    #[test]
    fn a_token_we_sign_names_its_caller() {
        let keys = keys();
        let scopes = ScopeSet::default().with(Scope::PaymentsWrite);
        let token = sign(keys.signer.as_ref().unwrap(), &parties(), ("demo", tenant()), scopes, now()).unwrap();
        let caller = verify(&token, &kid_of(&token).unwrap(), &keys.verifying, &parties(), now()).unwrap();
        assert_eq!((caller.tenant, caller.client_id.as_str(), caller.scopes), (tenant(), "demo", scopes));
        assert_eq!(caller.expires.micros(), (NOW + 3630) * 1_000_000);
    }

    #[test]
    fn claims_that_do_not_hold_are_refused() {
        let keys = keys();
        let with = |name: &str, value: Value| {
            let mut changed = claims();
            changed[name] = value;
            judge(&keys, &header(&keys), &changed)
        };
        assert!(with("aud", json!(["other", "hpts-api"])).is_ok());
        let invalid = [
            ("exp", json!("never")),
            ("exp", Value::Null),
            ("exp", json!(253_402_300_799_i64)),
            ("exp", json!(NOW + 86_401)),
            ("nbf", json!(NOW + 86_400)),
            ("nbf", json!("now")),
            ("iat", json!(NOW + 31)),
            ("iss", json!("hpts/")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", Value::Null),
        ];
        for (name, value) in invalid {
            let seen = with(name, value.clone());
            assert!(matches!(seen, Err(AuthError::InvalidToken(_))), "{name} {value}: {seen:?}");
        }
        assert!(matches!(with("exp", json!(NOW - 31)), Err(AuthError::Expired)));
        assert!(with("exp", json!(NOW - 29)).is_ok(), "clocks may differ by the leeway");
        for bad in [Value::Null, json!("x"), json!(5)] {
            assert!(matches!(with("tenant_id", bad), Err(AuthError::TenantUnknown)));
        }
    }

    #[test]
    fn scopes_stand_in_scope_or_else_in_scp() {
        let keys = keys();
        let seen = |scope: Value, scp: Value| {
            let mut changed = claims();
            changed["scope"] = scope;
            changed["scp"] = scp;
            judge(&keys, &header(&keys), &changed).unwrap().scopes.to_string()
        };
        let (read, both) = ("hpts:balances:read", "hpts:balances:read hpts:ledger:read");
        assert_eq!(seen(Value::Null, json!(["hpts:ledger:read", "openid", 5, read])), both);
        assert_eq!(seen(Value::Null, json!("hpts:ledger:read hpts:balances:read")), both);
        assert_eq!(seen(json!(read), json!(["hpts:ops"])), read, "scope is the standard's claim and goes first");
        for nothing in [json!(""), json!(5), json!([read])] {
            assert_eq!(seen(nothing.clone(), json!(["hpts:ops"])), "", "{nothing}");
        }
        assert_eq!(seen(Value::Null, Value::Null), "");
    }

    #[test]
    fn a_bound_token_needs_its_certificate() {
        let keys = keys();
        let bound = |confirmation: Value| {
            let mut changed = claims();
            changed["cnf"] = confirmation;
            judge(&keys, &header(&keys), &changed)
        };
        let ours = CertificateThumbprint::of_certificate(b"our certificate");
        let other = CertificateThumbprint::of_certificate(b"another certificate");
        let text = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(b"our certificate"));
        let caller = bound(json!({"x5t#S256": text})).unwrap();
        assert!(caller.require_binding(Some(ours)).is_ok());
        for wrong in [None, Some(other)] {
            assert!(matches!(caller.require_binding(wrong), Err(AuthError::InvalidToken(_))));
        }
        assert!(bound(Value::Null).unwrap().require_binding(None).is_ok(), "not bound");
        for unknown in [
            json!({}),
            json!("x"),
            json!({"jkt": text}),
            json!({"x5t#S256": "AAAA"}),
            json!({"x5t#S256": text, "jkt": text}),
        ] {
            assert!(matches!(bound(unknown.clone()), Err(AuthError::InvalidToken(_))), "{unknown}");
        }
    }

    #[test]
    fn headers_that_do_not_hold_are_refused() {
        let keys = keys();
        let refused = |change: fn(&mut Header)| {
            let mut changed = header(&keys);
            change(&mut changed);
            matches!(judge(&keys, &changed, &claims()), Err(AuthError::InvalidToken(_)))
        };
        assert!(refused(|header| header.typ = Some("JWT".to_owned())));
        assert!(refused(|header| header.typ = None));
        assert!(refused(|header| header.kid = None));
        assert!(refused(|header| header.kid = Some("../../etc/passwd".to_owned())));
        assert!(refused(|header| header.crit = Some(vec!["exp".to_owned()])));
    }

    #[test]
    fn the_algorithm_comes_from_the_key() {
        let keys = keys();
        let kid = keys.signer.as_ref().unwrap().kid.clone();
        let mut hmac = header(&keys);
        hmac.alg = Algorithm::HS256;
        let point = &keys.points[0].point;
        let forged = jsonwebtoken::encode(&hmac, &claims(), &EncodingKey::from_secret(point)).unwrap();
        assert!(matches!(verify(&forged, &kid, &keys.verifying, &parties(), now()), Err(AuthError::InvalidToken(_))));

        let none = format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#);
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let unsigned = format!("{}.{}.", encode(&none), encode(&claims().to_string()));
        assert!(matches!(kid_of(&unsigned), Err(AuthError::InvalidToken(_))));
        for bad in ["", "a.b", "a.b.c", &"x".repeat(100_000)] {
            assert!(matches!(kid_of(bad), Err(AuthError::InvalidToken(_))));
        }
    }
}
