//! Owns the rows of tokens and of the token endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::row::Row;
use super::world::{Facts, OTHER_TENANT, QUIET_LOAN, payment};

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = headers(facts);
    rows.extend(shapes(facts));
    rows.extend(signatures(facts));
    rows.extend(claims(facts));
    rows.extend(rights(facts));
    rows.extend(endpoint(facts));
    rows.extend(credentials(facts));
    rows
}

fn target() -> String {
    format!("/v1/loans/{QUIET_LOAN}")
}

fn bare(number: &'static str, name: &str) -> Row {
    Row::new(number, name, "GET", &target())
}

fn headers(facts: &Facts) -> Vec<Row> {
    let basic = format!("Basic {}", STANDARD.encode("demo:demo-secret"));
    let in_query = format!("/v1/payments?access_token={}", facts.demo);
    let both = format!("{}?access_token={}", target(), facts.demo);
    let twice = Row::get("69", "two tokens", &target(), &facts.demo).token(&facts.demo);
    vec![
        bare("68", "no token").refused(401, &["unauthenticated"]).has("www-authenticate", "Bearer"),
        Row::post("68", "a write without a token", "/v1/payments", "", payment(&[]).to_string())
            .without("Authorization")
            .refused(401, &["unauthenticated"]),
        bare("69", "Basic").with("Authorization", &basic).refused(401, &["unauthenticated"]),
        bare("69", "an unknown scheme").with("Authorization", "Digest x").refused(401, &["unauthenticated"]),
        bare("69", "Bearer and nothing").with("Authorization", "Bearer").refused(401, &["unauthenticated"]),
        bare("69", "Bearer and blanks").with("Authorization", "Bearer   ").refused(401, &["unauthenticated"]),
        bare("69", "the token alone").with("Authorization", &facts.demo).refused(401, &["unauthenticated"]),
        twice.refused(400, &["invalid_request"]).has("www-authenticate", "invalid_request"),
        bare("69", "two tokens in one header")
            .with("Authorization", format!("Bearer {}, Bearer {}", facts.demo, facts.demo))
            .refused(401, &["unauthenticated"]),
        Row::new("69", "the token in the query", "GET", &in_query).refused(401, &["unauthenticated"]),
        Row::get("69", "the token in header and query", &both, &facts.demo)
            .refused(400, &["invalid_parameter"])
            .fields(&["access_token"]),
    ]
}

/// 401 with the reason in the challenge.
fn invalid(number: &'static str, name: impl Into<String>, token: &str) -> Row {
    let row = Row::get(number, name, &target(), token).refused(401, &["unauthenticated"]);
    row.has("www-authenticate", "error=\"invalid_token\"")
}

fn shapes(facts: &Facts) -> Vec<Row> {
    let parts: Vec<&str> = facts.demo.split('.').collect();
    let mut cut = facts.demo.clone();
    cut.truncate(cut.len().saturating_sub(4));
    let swapped = format!("{}.{}.{}", parts[1], parts[0], parts[2]);
    let mut rows: Vec<Row> = [
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{}.x", facts.demo)),
        ("one part", "abc".to_owned()),
        ("dots only", "..".to_owned()),
        ("bad base64", "!!!.???.###".to_owned()),
        ("padded base64", format!("{}==.{}.{}", parts[0], parts[1], parts[2])),
        ("a signature cut off", cut),
        ("an empty signature", format!("{}.{}.", parts[0], parts[1])),
        ("parts swapped", swapped),
        ("20 KB", format!("{}.{}.{}", parts[0], "a".repeat(20_000), parts[2])),
        ("a header that is no JSON", format!("YWJj.{}.{}", parts[1], parts[2])),
        ("five parts, as if encrypted", "a.b.c.d.e".to_owned()),
    ]
    .into_iter()
    .map(|(name, token)| invalid("70", name, &token))
    .collect();
    rows.push(bare("70", "not ASCII").with("Authorization", "Bearer t\u{f6}ken").refused(401, &["unauthenticated"]));
    let reason = "a head of this size is refused before any header is looked at; over 8 KiB the token's own size is";
    let big = |bytes: usize| Row::get("70", format!("{bytes} bytes"), &target(), &"a".repeat(bytes)).because(reason);
    rows.push(big(80_000).refused(431, &["headers_too_large"]));
    rows.push(big(200_000).bare(&[431, 0]));
    rows
}

fn signatures(facts: &Facts) -> Vec<Row> {
    let forge = &facts.forge;
    let kid = forge.kid();
    let header = |alg: &str| json!({"alg": alg, "typ": "at+jwt", "kid": kid});
    let signature = facts.demo.rsplit('.').next().unwrap_or_default().to_owned();
    let mut rows = Vec::new();
    for alg in ["none", "None", "NONE", "", "HS256", "RS256", "ES384", "EdDSA", "PS256", "ES256K", "dir"] {
        for signature in ["", "AAAA", &signature] {
            let name = format!("alg {alg:?}, signature {signature:.8}");
            rows.push(invalid("71", name, &forge.unsigned(&header(alg), signature)));
        }
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        rows.push(invalid("71", format!("{algorithm:?} with the public key"), &forge.hmac(algorithm)));
    }
    rows.push(invalid("71", "another signature under our key id", &forge.foreign(kid, |_| {})));
    rows.push(invalid("71", "a zero signature", &forge.unsigned(&header("ES256"), &"A".repeat(86))));
    let url = "http://127.0.0.1:9/keys";
    for wrong in ["unknown", "../../etc/passwd", "/dev/null", "' OR 1=1 --", "", "\0", &"k".repeat(3000), "\u{202e}"] {
        rows.push(invalid("72", format!("kid {wrong:.20?}"), &forge.foreign(wrong, |_| {})));
    }
    rows.push(invalid("72", "no kid", &forge.headed(|header| header.kid = None)));
    rows.push(invalid("72", "jku", &forge.foreign("mine", |header| header.jku = Some(url.to_owned()))));
    rows.push(invalid("72", "x5u", &forge.foreign("mine", |header| header.x5u = Some(url.to_owned()))));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"});
    let embedded = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jwk": jwk});
    rows.push(invalid("72", "jwk", &forge.unsigned(&embedded, &signature)));
    rows.push(invalid(
        "72",
        "a kid that is a number",
        &forge.unsigned(&json!({"alg": "ES256", "typ": "at+jwt", "kid": 5}), &signature),
    ));
    rows.push(invalid("72", "crit", &forge.headed(|header| header.crit = Some(vec!["x".to_owned()]))));
    rows
}

fn claims(facts: &Facts) -> Vec<Row> {
    let forge = &facts.forge;
    let (now, day) = (forge.now(), 86_400);
    let good = forge.claiming("jti", json!("another"));
    let mut rows = vec![
        Row::get("73", "a forged token without a fault is good", &target(), &good).good(200),
        Row::get("73", "expired", &target(), &forge.claiming("exp", json!(now - 60)))
            .refused(401, &["token_expired"])
            .has("www-authenticate", "error=\"invalid_token\""),
        Row::get("75", "for several audiences", &target(), &forge.claiming("aud", json!(["x", "hpts-api"]))).good(200),
        Row::get("74", "a clock 20 s ahead", &target(), &forge.claiming("nbf", json!(now + 20))).good(200),
    ];
    let bad: Vec<(&'static str, &str, Value)> = vec![
        ("73", "exp", json!("never")),
        ("73", "exp", json!(null)),
        ("73", "exp", json!(253_402_300_799_i64)),
        ("73", "exp", json!(now + 2 * day)),
        ("73", "exp", json!(i64::MAX)),
        ("73", "exp", json!(u64::MAX)),
        ("73", "exp", json!(1.5e300)),
        ("73", "exp", json!(true)),
        ("74", "nbf", json!(now + day)),
        ("74", "nbf", json!("tomorrow")),
        ("74", "nbf", json!([now])),
        ("74", "iat", json!(now + 120)),
        ("74", "iat", json!("now")),
        ("75", "iss", json!("hpts/")),
        ("75", "iss", json!("HPTS")),
        ("75", "iss", json!("https://evil.example")),
        ("75", "iss", json!(["hpts"])),
        ("75", "iss", json!(null)),
        ("75", "aud", json!("other-api")),
        ("75", "aud", json!("hpts-api/")),
        ("75", "aud", json!([])),
        ("75", "aud", json!({"hpts-api": 1})),
        ("75", "aud", json!(null)),
    ];
    for (number, name, value) in bad {
        rows.push(invalid(number, format!("{name} {value}"), &forge.claiming(name, value)));
    }
    for typ in [Some("JWT"), Some("id_token"), Some("logout+jwt"), Some(""), None] {
        let token = forge.headed(|header| header.typ = typ.map(str::to_owned));
        rows.push(invalid("75", format!("typ {typ:?}"), &token));
    }
    rows
}

fn rights(facts: &Facts) -> Vec<Row> {
    let forge = &facts.forge;
    let narrow = &facts.narrow;
    let lacks = |name: &str, row: Row, scope: &'static str| {
        let mut row = row.refused(403, &["insufficient_scope"]).has("www-authenticate", "error=\"insufficient_scope\"");
        name.clone_into(&mut row.name);
        row.has("www-authenticate", scope)
    };
    let post = |path: &str| Row::post("76", path, path, narrow, payment(&[]).to_string());
    let read = |target: &str| Row::get("76", target, target, narrow);
    let unscoped = |value: Value| Row::get("76", "", &target(), &forge.claiming("scope", value));
    let mut rows = vec![
        lacks("payment", post("/v1/payments"), "hpts:payments:write"),
        lacks("disbursement", post("/v1/disbursements"), "hpts:disbursements:write"),
        lacks("loan", post("/v1/loans"), "hpts:loans:write"),
        lacks("read a loan", read(&target()), "hpts:ledger:read"),
        lacks("read payments", read("/v1/payments?from_date=2026-05-01"), "hpts:ledger:read"),
        lacks("no scope", unscoped(json!(null)), "hpts:ledger:read"),
        lacks("scope as a list", unscoped(json!(["hpts:ledger:read"])), "hpts:ledger:read"),
        lacks("scope in capitals", unscoped(json!("HPTS:LEDGER:READ")), "hpts:ledger:read"),
        lacks("every scope by a star", unscoped(json!("*")), "hpts:ledger:read"),
    ];
    for value in [json!(null), json!(""), json!("x"), json!(5), json!("99999999-9999-4999-8999-999999999999")] {
        let row = Row::get("77", format!("tenant_id {value}"), &target(), &forge.claiming("tenant_id", value));
        rows.push(row.refused(403, &["tenant_unknown"]));
    }
    let stolen = forge.claiming("tenant_id", json!(OTHER_TENANT));
    rows.push(invalid("77", "another tenant's name on the client's token", &stolen));
    let nobody = forge.claiming("client_id", json!("nobody"));
    rows.push(invalid("78", "a client that does not exist", &nobody));
    rows
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(number: &'static str, name: &str, body: &str) -> Row {
    Row::new(number, name, "POST", "/oauth2/token").with("Content-Type", FORM).body(body)
}

fn endpoint(facts: &Facts) -> Vec<Row> {
    let known = format!("client_id=narrow&client_secret={}", facts.narrow_secret);
    let granted = format!("grant_type=client_credentials&{known}");
    let with = |number, name: &str, more: &str| form(number, name, &format!("{granted}{more}"));
    let json = json!({"grant_type": "client_credentials", "client_id": "narrow"}).to_string();
    let mut rows = vec![
        Row::new("81", "GET", "GET", "/oauth2/token").refused(405, &["method_not_allowed"]).has("allow", "POST"),
        form("81", "a JSON body", &json).instead("Content-Type", "application/json").oauth(400, "invalid_request"),
        form("81", "no Content-Type", &granted).without("Content-Type").oauth(400, "invalid_request"),
        form("81", "an empty body", "").oauth(401, "invalid_client").because("without credentials nothing else counts"),
        form("81", "no grant_type", &known).oauth(400, "invalid_request"),
        form("81", "an empty grant_type", &format!("grant_type=&{known}")).oauth(400, "invalid_request"),
        form("81", "an unknown grant", &format!("grant_type=password&{known}")).oauth(400, "unsupported_grant_type"),
        with("81", "grant_type twice", "&grant_type=client_credentials").oauth(400, "invalid_request"),
        with("81", "scope twice", "&scope=a&scope=b").oauth(400, "invalid_request"),
        with("81", "a broken escape", "&x=%zz").oauth(400, "invalid_request"),
        with("81", "not UTF-8", "&x=%ff").oauth(400, "invalid_request"),
        with("81", "compressed", "").with("Content-Encoding", "gzip").oauth(400, "invalid_request"),
    ];
    for (name, scope) in [
        ("not the client's", "hpts:payments:write"),
        ("one of two not the client's", "hpts:balances:read%20hpts:ops"),
        ("unknown", "openid"),
        ("another case", "HPTS:balances:read"),
        ("with a NUL", "hpts:balances:read%00"),
    ] {
        rows.push(with("83", name, &format!("&scope={scope}")).oauth(400, "invalid_scope"));
    }
    rows
}

fn credentials(facts: &Facts) -> Vec<Row> {
    let grant = "grant_type=client_credentials";
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let right = basic(&format!("narrow:{}", facts.narrow_secret));
    let client = |name: &str, more: &str| form("82", name, &format!("{grant}{more}"));
    let header = |name: &str, value: &str| client(name, "").with("Authorization", value);
    vec![
        client("a wrong secret", "&client_id=other&client_secret=wrong").oauth(401, "invalid_client"),
        client("an unknown client", "&client_id=nobody&client_secret=wrong").oauth(401, "invalid_client"),
        client("a secret of 100 KB less", &format!("&client_id=other&client_secret={}", "s".repeat(60_000)))
            .oauth(401, "invalid_client"),
        client("no secret", "&client_id=narrow").oauth(401, "invalid_client"),
        client("no client", "").oauth(401, "invalid_client"),
        client("a NUL in the client", "&client_id=na%00rrow&client_secret=x").oauth(401, "invalid_client"),
        client("SQL in the client", "&client_id=%27+OR+1%3D1+--&client_secret=x").oauth(401, "invalid_client"),
        header("a wrong secret in the header", &basic("ahead:wrong")).oauth(401, "invalid_client"),
        header("a header without a colon", &basic("narrow")).oauth(401, "invalid_client"),
        header("a header that is no base64", "Basic !!!").oauth(401, "invalid_client"),
        header("another scheme", "Bearer x").oauth(401, "invalid_client"),
        client("header and body", &format!("&client_id=narrow&client_secret={}", facts.narrow_secret))
            .with("Authorization", &right)
            .oauth(400, "invalid_request"),
        client("another client in the body", "&client_id=demo")
            .with("Authorization", &right)
            .oauth(400, "invalid_request"),
        header("two headers", &right).with("Authorization", &right).oauth(400, "invalid_request"),
    ]
}
