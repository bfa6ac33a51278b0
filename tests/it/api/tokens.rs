//! Tokens from the outside: how they are given, what they allow, and when they stop.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpts::api::auth::{SealChange, new_signing_key, rotate_signing_key};
use hpts::core::ids::TenantId;
use hpts::runtime::sealing::SealingKey;
use hpts::store::{ClientRecord, Store};
use serde_json::json;

use super::world::{LOAN, SECRET, Workers, World, payment};

#[tokio::test]
async fn the_token_endpoint_answers_as_the_rfc_says() {
    let world = World::new(Workers::None).await;
    let good = format!("grant_type=client_credentials&client_id=demo&client_secret={SECRET}");
    let token = world.form(&format!("{good}&scope=hpts:balances:read")).await;
    assert_eq!((token.status, token.header("cache-control")), (200, Some("no-store")));
    assert_eq!((&token.json()["token_type"], &token.json()["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let cases = [
        (good.replace("demo-secret", "wrong"), 401, "invalid_client"),
        (good.replace("client_id=demo", "client_id=nobody"), 401, "invalid_client"),
        (good.replace("client_id=demo", "client_id=a%00b"), 401, "invalid_client"),
        (good.replace("client_credentials", "password"), 400, "unsupported_grant_type"),
        (good.replace("grant_type=client_credentials&", ""), 400, "invalid_request"),
        (format!("{good}&client_id=demo"), 400, "invalid_request"),
        (format!("{good}&scope=hpts:ops"), 400, "invalid_scope"),
        (format!("{good}&scope=everything"), 400, "invalid_scope"),
    ];
    for (form, status, error) in cases {
        let answer = world.form(&form).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{form}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
    let basic = STANDARD.encode(format!("demo:{SECRET}"));
    let request = Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {basic}"));
    let answer = world.call(request.body(Body::from("grant_type=client_credentials")).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["scope"].as_str().unwrap().contains("hpts:loans:write"), "all of the client's");
    let json = Request::post("/oauth2/token").header("content-type", "application/json").body(Body::from("{}"));
    assert_eq!(world.call(json.unwrap()).await.json()["error"], "invalid_request");
    let get = Request::get("/oauth2/token").body(Body::empty()).unwrap();
    assert_eq!(world.call(get).await.problem().0, 405);
}

#[tokio::test]
async fn guessing_secrets_is_slowed_down() {
    let world = World::new(Workers::None).await;
    let form = "grant_type=client_credentials&client_id=demo&client_secret=guess";
    let mut answers = Vec::new();
    for _ in 0..11 {
        answers.push(world.form(form).await);
    }
    let last = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| answer.status == 401));
    assert_eq!(last.problem(), (429, "rate_limited".to_owned()));
    assert!(last.header("retry-after").is_some());
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say() {
    let world = World::new(Workers::None).await;
    let narrow = world.token("demo", "hpts:balances:read").await;
    let refused = world.post("/v1/payments", &narrow, "payment:scope:1", &payment()).await;
    assert_eq!(refused.problem(), (403, "insufficient_scope".to_owned()));
    let challenge = refused.header("www-authenticate").unwrap();
    assert_eq!(challenge, r#"Bearer error="insufficient_scope", scope="hpts:payments:write""#);
    assert_eq!(world.get(&format!("/v1/loans/{LOAN}/balance"), &narrow).await.status, 404);
    assert_eq!(world.get("/v1/health/live", "").await.status, 200, "health needs no token");
}

#[tokio::test]
async fn a_token_expires_and_dies_with_its_client() {
    let world = World::new(Workers::None).await;
    let path = format!("/v1/loans/{LOAN}");
    let token = world.token("demo", "hpts:ledger:read").await;
    assert_eq!(world.get(&path, &token).await.status, 404);
    // An hour, and the leeway for clocks that differ.
    world.clock.advance(Duration::from_secs(3630));
    assert_eq!(world.get(&path, &token).await.problem(), (401, "token_expired".to_owned()));

    let gone = ClientRecord {
        client_id: "gone".to_owned(),
        tenant: TenantId(uuid::Uuid::from_u128(1)),
        secret_hash: String::new(),
        scopes: Vec::new(),
        disabled_at: Some(world.clock.now()),
    };
    assert!(world.store.create_client(gone).await.unwrap());
    let refused = world.form(&format!("grant_type=client_credentials&client_id=gone&client_secret={SECRET}")).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_disabled_client_is_out_within_a_minute_until_it_is_enabled() {
    let world = World::new(Workers::None).await;
    let path = format!("/v1/loans/{LOAN}");
    let form = format!("grant_type=client_credentials&client_id=demo&client_secret={SECRET}");
    let token = world.token("demo", "hpts:ledger:read").await;
    assert_eq!(world.get(&path, &token).await.status, 404);
    world.disable("demo").await;
    assert_eq!(world.form(&form).await.json()["error"], "invalid_client", "no token from now on");
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(world.get(&path, &token).await.problem(), (401, "unauthenticated".to_owned()));
    world.enable("demo").await;
    assert_eq!(world.get(&path, &token).await.status, 404);
    assert_eq!(world.form(&form).await.status, 200);
}

#[tokio::test]
async fn a_removed_key_is_out_within_two_minutes() {
    let world = World::new(Workers::None).await;
    let path = format!("/v1/loans/{LOAN}");
    let token = world.token("demo", "hpts:ledger:read").await;
    let leaked = world.store.signing_keys().await.unwrap().remove(0).kid;
    let key = <World>::sealing_key();
    rotate_signing_key(world.store.as_ref(), Some(&key), SealChange::Refused, world.clock.now()).await.unwrap();
    assert!(world.store.remove_signing_key(&leaked).await.unwrap());
    // The keys are known for a minute; a token that is verified at its end is known for another.
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.get(&path, &token).await.status, 404);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(world.get(&path, &token).await.problem(), (401, "unauthenticated".to_owned()));
    let next = world.token("demo", "hpts:ledger:read").await;
    assert_eq!(world.get(&path, &next).await.status, 404);
    let listed = world.get("/.well-known/jwks.json", "").await.json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn a_new_key_that_cannot_be_opened_stops_nobody() {
    let world = World::new(Workers::None).await;
    let path = format!("/v1/loans/{LOAN}");
    let signs = world.store.signing_keys().await.unwrap().remove(0).kid;
    world.token("demo", "hpts:ledger:read").await;
    world.clock.advance(Duration::from_mins(1));
    let stray = SealingKey::parse(&"5b".repeat(32)).unwrap();
    let sealed = new_signing_key(Some(&stray), world.clock.now()).unwrap();
    world.store.add_signing_key(sealed, false).await.unwrap();
    let token = world.token("demo", "hpts:ledger:read").await;
    assert_eq!(world.get(&path, &token).await.status, 404);
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], signs, "the key before it goes on signing");
    let listed = world.get("/.well-known/jwks.json", "").await;
    assert_eq!((listed.status, listed.json()["keys"].as_array().unwrap().len()), (200, 2));
}

#[tokio::test]
async fn the_public_keys_and_the_pages_are_there() {
    let world = World::new(Workers::None).await;
    let keys = world.get("/.well-known/jwks.json", "").await.json();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["alg"]), (&json!("EC"), &json!("ES256")));
    assert!(keys["keys"][0].get("d").is_none());
    for path in ["/openapi.json", "/docs/", "/problems/idempotency_mismatch", "/v1/health/ready"] {
        assert_eq!(world.get(path, "").await.status, 200, "{path}");
    }
    assert_eq!(world.get("/problems/nothing", "").await.problem().0, 404);
}
