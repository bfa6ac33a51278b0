//! Owns `POST /oauth2/token`: the client credentials grant (RFC 6749, section 4.4), errors as in section 5.2. Absent
//! where an outside issuer makes the tokens.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::claims::{LIFETIME_SECONDS, sign};
use crate::api::auth::client_auth::ClientRefusal;
use crate::api::auth::error::AuthError;
use crate::api::auth::scope::{Scope, ScopeSet};
use crate::api::error::ApiError;
use crate::api::http::body::read_body;
use crate::api::http::headers::{media_type_is, require_plain};
use crate::api::http::urlencoded;
use crate::api::state::ApiState;

/// What a client asks with.
#[derive(Debug, ToSchema)]
pub struct TokenRequest {
    /// `client_credentials`.
    #[schema(example = "client_credentials")]
    pub grant_type: String,
    /// The client, unless given by HTTP Basic.
    #[schema(example = "demo")]
    pub client_id: Option<String>,
    /// Its secret, unless given by HTTP Basic.
    #[schema(example = "demo-secret")]
    pub client_secret: Option<String>,
    /// The scopes asked for, with blanks between; all of the client's where absent.
    #[schema(example = "hpts:payments:write hpts:balances:read")]
    pub scope: Option<String>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenResponse {
    /// The token, a JWT.
    access_token: String,
    /// `Bearer`.
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds it is good for.
    #[schema(example = 3600)]
    expires_in: i64,
    /// What was granted, where the request did not say (RFC 6749, section 5.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// An error of RFC 6749, section 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub struct OauthError {
    #[schema(value_type = String, example = "invalid_client")]
    error: &'static str,
    #[schema(value_type = String)]
    error_description: &'static str,
}

/// Why there is no token.
enum Refusal {
    Oauth(StatusCode, OauthError),
    Api(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Api(error.into())
    }
}

fn refuse(error: &'static str, error_description: &'static str) -> Refusal {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    Refusal::Oauth(status, OauthError { error, error_description })
}

/// Gives a client a token.
#[utoipa::path(post, path = "/oauth2/token", tag = "authentication",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A token", body = TokenResponse),
        (status = 400, description = "invalid_request, unsupported_grant_type, invalid_scope", body = OauthError),
        (status = 401, description = "invalid_client", body = OauthError),
        (status = 429, description = "Too many wrong secrets", body = crate::api::openapi::ProblemDocument)))]
pub(crate) async fn token(State(state): State<ApiState>, request: Request) -> Response {
    let mut response = match grant(&state, request).await {
        Ok(token) => Json(token).into_response(),
        Err(Refusal::Api(error)) => error.into_response(),
        Err(Refusal::Oauth(status, error)) => {
            let mut response = (status, Json(error)).into_response();
            if status == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Basic realm=\"hpts\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn grant(state: &ApiState, request: Request) -> Result<TokenResponse, Refusal> {
    let stored = state.auth().built_in().ok_or(ApiError::NotFound)?;
    let (parts, body) = request.into_parts();
    let is_form = media_type_is(&parts.headers, "application/x-www-form-urlencoded");
    if !is_form || require_plain(&parts.headers).is_err() {
        return Err(refuse("invalid_request", "the body must be application/x-www-form-urlencoded"));
    }
    let body = read_body(&parts.headers, body).await?;
    let form = Form::read(&body)?;
    let credentials = credentials(&parts.headers, &form)?;
    match form.get("grant_type") {
        None => return Err(refuse("invalid_request", "grant_type is missing")),
        Some("client_credentials") => {}
        Some(_) => return Err(refuse("unsupported_grant_type", "only client_credentials is supported")),
    }
    let now = state.now();
    let pair = (credentials.client_id.as_str(), credentials.secret.as_str());
    let client = state.auth().clients.check(state.store(), pair, now).await.map_err(|refusal| match refusal {
        ClientRefusal::Unknown => refuse("invalid_client", "the client is unknown or its secret is wrong"),
        ClientRefusal::SlowDown { retry_after } => ApiError::RateLimited { retry_after }.into(),
        ClientRefusal::Store(error) => ApiError::Store(error).into(),
    })?;
    let allowed = ScopeSet::of_words(client.scopes.iter().map(String::as_str));
    let asked = form.get("scope").filter(|scope| !scope.trim().is_empty());
    let granted = asked.map_or(Ok(allowed), |words| granted(words, allowed))?;
    let keys = stored.current(state.store(), now).await?;
    let signer = keys.signer.as_ref().ok_or(AuthError::Broken("there is no signing key"))?;
    let access_token = sign(signer, &state.auth().parties, (&client.client_id, client.tenant), granted, now)?;
    let scope = asked.is_none().then(|| granted.to_string());
    Ok(TokenResponse { access_token, token_type: "Bearer", expires_in: LIFETIME_SECONDS, scope })
}

/// The scopes asked for, if the client may have every one.
fn granted(words: &str, allowed: ScopeSet) -> Result<ScopeSet, Refusal> {
    let mut granted = ScopeSet::default();
    for word in words.split_ascii_whitespace() {
        let scope = Scope::parse(word).ok_or(refuse("invalid_scope", "a scope is unknown"))?;
        granted = granted.with(scope);
    }
    if allowed.covers(granted) {
        Ok(granted)
    } else {
        Err(refuse("invalid_scope", "a scope is not allowed to the client"))
    }
}

/// The parameters of the form, each given once.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = || refuse("invalid_request", "the form is not well formed");
        let text = std::str::from_utf8(body).map_err(|_| malformed())?;
        let pairs = urlencoded::pairs(text).map_err(|_| malformed())?;
        let repeats = pairs
            .iter()
            .enumerate()
            .any(|(index, (name, _))| pairs.iter().skip(index.saturating_add(1)).any(|(other, _)| other == name));
        if repeats { Err(refuse("invalid_request", "a parameter is repeated")) } else { Ok(Self(pairs)) }
    }

    /// A parameter; an empty one counts as absent (RFC 6749, section 3.1).
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then_some(value.as_str())
    }
}

struct Credentials {
    client_id: String,
    secret: String,
}

/// The client's credentials, from the header or the body, never both.
fn credentials(headers: &HeaderMap, form: &Form) -> Result<Credentials, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = values.next();
    if values.next().is_some() {
        return Err(refuse("invalid_request", "more than one Authorization header"));
    }
    match (header, form.get("client_id"), form.get("client_secret")) {
        (Some(_), _, Some(_)) => Err(refuse("invalid_request", "credentials in both header and body")),
        (Some(header), client_id, None) => {
            let credentials = basic(header).ok_or(refuse("invalid_client", "the Authorization header is not Basic"))?;
            if client_id.is_some_and(|client_id| client_id != credentials.client_id) {
                return Err(refuse("invalid_request", "client_id differs between header and body"));
            }
            Ok(credentials)
        }
        (None, Some(client_id), Some(secret)) => {
            Ok(Credentials { client_id: client_id.to_owned(), secret: secret.to_owned() })
        }
        (None, _, _) => Err(refuse("invalid_client", "client_id and client_secret are required")),
    }
}

/// HTTP Basic; both halves are form-encoded first (RFC 6749, section 2.3.1).
fn basic(header: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some(Credentials { client_id: urlencoded::decode(client_id).ok()?, secret: urlencoded::decode(secret).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(refusal: Refusal) -> &'static str {
        match refusal {
            Refusal::Oauth(_, error) => error.error,
            Refusal::Api(_) => "problem",
        }
    }

    fn outcome(authorization: Option<&'static str>, body: &str) -> Result<(String, String), &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let form = Form::read(body.as_bytes()).map_err(error)?;
        let found = credentials(&headers, &form).map_err(error)?;
        Ok((found.client_id, found.secret))
    }

    #[test]
    fn credentials_come_from_one_place() {
        let demo = Ok(("demo".to_owned(), "s:cret".to_owned()));
        // demo:s%3Acret
        let basic = Some("Basic ZGVtbzpzJTNBY3JldA==");
        assert_eq!(outcome(None, "client_id=demo&client_secret=s%3Acret"), demo);
        assert_eq!(outcome(basic, "grant_type=client_credentials"), demo);
        assert_eq!(outcome(basic, "client_id=demo"), demo);
        assert_eq!(outcome(basic, "client_id=demo&client_secret=x"), Err("invalid_request"));
        assert_eq!(outcome(basic, "client_id=other"), Err("invalid_request"));
        assert_eq!(outcome(Some("Bearer x"), ""), Err("invalid_client"));
        assert_eq!(outcome(None, "client_id=demo"), Err("invalid_client"));
        assert_eq!(outcome(None, "client_id=demo&client_id=demo"), Err("invalid_request"));
        assert_eq!(outcome(None, "client_id=%zz"), Err("invalid_request"));
    }

    #[test]
    fn scopes_are_a_subset_of_the_clients() {
        let allowed = ScopeSet::of_words(["hpts:payments:write", "hpts:balances:read"]);
        assert_eq!(granted("hpts:balances:read", allowed).map_err(error).unwrap().to_string(), "hpts:balances:read");
        assert_eq!(granted("hpts:ops", allowed).map_err(error), Err("invalid_scope"));
        assert_eq!(granted("all", allowed).map_err(error), Err("invalid_scope"));
    }
}
