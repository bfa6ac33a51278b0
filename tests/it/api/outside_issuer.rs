//! Tokens of an outside issuer: whose keys verify, what happens when they change, and when the issuer is away.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hpts::api::ApiSettings;
use hpts::api::auth::OutsideIssuer;
use hpts::runtime::jwks_url::JwksUrl;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{DEADLINE, LOAN, Workers, World, payment};
use crate::support::issuer::{AUDIENCE, ISSUER, LoopbackIssuer, Mood, SigningKey, claims};

const TENANT: &str = "00000000-0000-0000-0000-000000000001";
const READ: &str = "hpts:ledger:read";
/// The manual clock's time, in the seconds of claims.
const NOW: i64 = 1_777_723_200;
/// Longer than any test: nothing is looked at again because of its age.
const NEVER: Duration = Duration::from_hours(1);

/// An issuer that is looked at only because of keys that are not there, without a pause between two looks.
fn eager(jwks_url: JwksUrl) -> OutsideIssuer {
    let look_within = Duration::from_secs(10);
    OutsideIssuer { refresh_every: NEVER, look_again_after: Duration::ZERO, look_within, ..OutsideIssuer::at(jwks_url) }
}

async fn world(issuer: OutsideIssuer, workers: Workers) -> World {
    let settings = ApiSettings {
        outside_issuer: Some(issuer),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        ..ApiSettings::default()
    };
    World::with_settings(workers, settings).await
}

/// How the readiness answer calls the issuer.
async fn readiness(world: &World) -> (u16, Value) {
    let answer = world.get("/v1/health/ready", "").await;
    (answer.status, answer.json()["checks"]["token_issuer"].clone())
}

async fn until(world: &World, expected: &str) {
    let deadline = Instant::now() + DEADLINE;
    while readiness(world).await.1 != expected {
        assert!(Instant::now() < deadline, "the issuer never became {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A world whose first look has succeeded.
async fn ready(issuer: OutsideIssuer) -> World {
    let world = world(issuer, Workers::None).await;
    until(&world, "ok").await;
    world
}

/// Reads the loan, which is not there: 404 means that the token was taken.
async fn status(world: &World, token: &str) -> u16 {
    let answer = world.get(&format!("/v1/loans/{LOAN}"), token).await;
    if answer.status == 503 {
        assert_eq!(answer.problem().1, "overloaded");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    answer.status
}

#[tokio::test]
async fn a_payment_is_posted_with_an_outside_token() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = world(eager(issuer.url("/keys")), Workers::Running).await;
    until(&world, "ok").await;
    let token = key.token(&claims(TENANT, "hpts:payments:write hpts:loans:write openid", NOW));
    assert_eq!(world.open_loan(&token, "open:outside:1").await.status, 201);
    let posted = world.post("/v1/payments", &token, "payment:outside:1", &payment()).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    let refused = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await;
    assert_eq!(refused.problem(), (403, "insufficient_scope".to_owned()));
}

#[tokio::test]
async fn each_key_verifies_with_its_own_algorithm_only() {
    let keys = [
        SigningKey::p256("ec"),
        SigningKey::ed25519("ed"),
        SigningKey::rsa("rsa", "RS256"),
        SigningKey::rsa("pss", "PS256"),
    ];
    let [ec, ed, rsa, pss] = &keys;
    let issuer = LoopbackIssuer::new(&[ec, ed, rsa, pss]).await;
    let world = ready(eager(issuer.url("/keys"))).await;
    let good = claims(TENANT, READ, NOW);
    for key in &keys {
        assert_eq!(status(&world, &key.token(&good)).await, 404, "{}", key.alg);
        for alg in ["none", "HS256", "RS256", "PS256", "ES256", "EdDSA", "RS512"] {
            if alg != key.alg {
                let forged = key.sign(&json!({"alg": alg, "typ": "at+jwt", "kid": key.kid}), &good);
                assert_eq!(status(&world, &forged).await, 401, "{alg} with {}", key.alg);
            }
        }
        for other in &keys {
            if other.kid != key.kid {
                let stolen = other.sign(&json!({"alg": other.alg, "typ": "at+jwt", "kid": key.kid}), &good);
                assert_eq!(status(&world, &stolen).await, 401, "{} under {}", other.kid, key.kid);
            }
        }
    }
}

#[tokio::test]
async fn what_an_outside_token_says_must_hold() {
    let (key, foreign) = (SigningKey::p256("first"), SigningKey::p256("first"));
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = ready(eager(issuer.url("/keys"))).await;
    let with = |name: &str, value: Value| {
        let mut changed = claims(TENANT, READ, NOW);
        changed[name] = value;
        key.token(&changed)
    };
    assert_eq!(status(&world, &with("scope", json!(READ))).await, 404);
    assert_eq!(status(&world, &foreign.token(&claims(TENANT, READ, NOW))).await, 401, "another's key, our key's id");
    for (name, value, expected) in [
        ("iss", json!("https://issuer.test"), 401),
        ("iss", json!("hpts"), 401),
        ("aud", json!("hpts-api"), 401),
        ("aud", json!(null), 401),
        ("exp", json!(NOW - 60), 401),
        ("exp", json!(NOW + 10 * 86_400), 401),
        ("nbf", json!(NOW + 3600), 401),
        ("tenant_id", json!(null), 403),
        ("tenant_id", json!("00000000-0000-0000-0000-000000000099"), 403),
        ("scope", json!("openid"), 403),
    ] {
        assert_eq!(status(&world, &with(name, value.clone())).await, expected, "{name} {value}");
    }
    let mut listed = claims(TENANT, READ, NOW);
    listed.as_object_mut().unwrap().remove("scope");
    listed["scp"] = json!([READ, "profile"]);
    assert_eq!(status(&world, &key.token(&listed)).await, 404, "scopes as a list in scp");
    for typ in ["JWT", "id_token"] {
        let id_token = key.sign(&json!({"alg": "ES256", "typ": typ, "kid": "first"}), &claims(TENANT, READ, NOW));
        assert_eq!(status(&world, &id_token).await, 401, "{typ}");
    }
    let url = format!("{}", issuer.url("/keys"));
    for name in ["jku", "x5u"] {
        let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "mine"});
        header[name] = json!(url);
        assert_eq!(status(&world, &foreign.sign(&header, &claims(TENANT, READ, NOW))).await, 401, "{name}");
    }
}

#[tokio::test]
async fn our_table_of_clients_says_nothing_about_outside_clients() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = ready(eager(issuer.url("/keys"))).await;
    let shut_out = hpts::store::ClientRecord {
        client_id: "service-7".to_owned(),
        tenant: hpts::core::ids::TenantId(uuid::Uuid::from_u128(1)),
        secret_hash: String::new(),
        scopes: Vec::new(),
        disabled_at: Some(world.clock.now()),
    };
    assert!(hpts::store::Store::create_client(world.store.as_ref(), shut_out).await.unwrap());
    assert_eq!(status(&world, &key.token(&claims(TENANT, READ, NOW))).await, 404);
}

#[tokio::test]
async fn the_built_in_issuer_is_absent() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = ready(eager(issuer.url("/keys"))).await;
    let form = "grant_type=client_credentials&client_id=demo&client_secret=demo-secret";
    assert_eq!(world.form(form).await.problem(), (404, "not_found".to_owned()));
    for path in ["/oauth2/token", "/.well-known/jwks.json"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(world.call(request).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    let document = world.get("/openapi.json", "").await.json();
    assert!(document["paths"].get("/oauth2/token").is_none());
    assert!(document["paths"].get("/v1/payments").is_some());
}

#[tokio::test]
async fn a_new_key_is_found_by_its_first_token_and_an_old_one_goes() {
    let (first, second) = (SigningKey::p256("first"), SigningKey::ed25519("second"));
    let issuer = LoopbackIssuer::new(&[&first]).await;
    let world = ready(eager(issuer.url("/keys"))).await;
    assert_eq!(status(&world, &second.token(&claims(TENANT, READ, NOW))).await, 401, "not published yet");
    issuer.publish(&[&first, &second]);
    assert_eq!(status(&world, &second.token(&claims(TENANT, READ, NOW))).await, 404);
    assert_eq!(status(&world, &first.token(&claims(TENANT, READ, NOW))).await, 404, "both serve");
    issuer.publish(&[&second]);
    let unknown = SigningKey::p256("unknown").token(&claims(TENANT, READ, NOW));
    assert_eq!(status(&world, &unknown).await, 401, "which makes it look again");
    assert_eq!(status(&world, &first.token(&claims(TENANT, READ, NOW))).await, 401, "withdrawn");
}

#[tokio::test]
async fn keys_are_looked_at_regularly() {
    let (first, second) = (SigningKey::p256("first"), SigningKey::p256("second"));
    let issuer = LoopbackIssuer::new(&[&first]).await;
    let often = OutsideIssuer { refresh_every: Duration::from_millis(20), ..OutsideIssuer::at(issuer.url("/keys")) };
    let world = ready(OutsideIssuer { look_again_after: NEVER, ..often }).await;
    issuer.publish(&[&second]);
    let deadline = Instant::now() + DEADLINE;
    while status(&world, &second.token(&claims(TENANT, READ, NOW))).await != 404 {
        assert!(Instant::now() < deadline, "the second key was never taken over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status(&world, &first.token(&claims(TENANT, READ, NOW))).await, 401);
}

#[tokio::test]
async fn garbage_key_ids_cause_no_flood() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let calm =
        OutsideIssuer { refresh_every: NEVER, look_again_after: NEVER, ..OutsideIssuer::at(issuer.url("/keys")) };
    let world = ready(calm).await;
    assert_eq!(issuer.looks(), 1);
    let garbage: Vec<String> =
        (0..50).map(|number| SigningKey::p256(&format!("k{number}")).token(&claims(TENANT, READ, NOW))).collect();
    let answers = futures::future::join_all(garbage.iter().map(|token| status(&world, token))).await;
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert_eq!(issuer.looks(), 1, "no look was due");

    // Where one is due, all who ask at once share it.
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let shared = OutsideIssuer {
        refresh_every: NEVER,
        look_again_after: Duration::from_millis(400),
        ..eager(issuer.url("/keys"))
    };
    let world = ready(shared).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    issuer.is(Mood::Dawdles(Duration::from_millis(100)));
    let answers = futures::future::join_all(garbage.iter().map(|token| status(&world, token))).await;
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert_eq!(issuer.looks(), 2, "one look for fifty");
}

#[tokio::test]
async fn nobody_is_let_in_before_the_first_keys() {
    let key = SigningKey::p256("first");
    let (issuer, elsewhere) = (LoopbackIssuer::new(&[&key]).await, LoopbackIssuer::new(&[&key]).await);
    for mood in [
        Mood::Answers(500, String::new()),
        Mood::Answers(200, "<html>".to_owned()),
        Mood::Answers(200, json!({"keys": []}).to_string()),
        Mood::Answers(200, format!("{{\"keys\":[],\"padding\":\"{}\"}}", "x".repeat(256 * 1024))),
        Mood::Sends(elsewhere.url("/keys").to_string()),
        Mood::Dawdles(NEVER),
    ] {
        issuer.is(mood.clone());
        let before = issuer.looks();
        let (look_within, refresh_every) = (Duration::from_millis(200), Duration::from_millis(20));
        let hasty = OutsideIssuer { look_within, refresh_every, ..eager(issuer.url("/keys")) };
        let world = world(hasty, Workers::None).await;
        let token = key.token(&claims(TENANT, READ, NOW));
        assert_eq!(status(&world, &token).await, 503, "{mood:?}");
        let deadline = Instant::now() + DEADLINE;
        while issuer.looks() < before + 2 {
            assert!(Instant::now() < deadline, "one failure ended the looking: {mood:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(status(&world, &token).await, 503, "{mood:?}");
        assert_eq!(readiness(&world).await, (503, json!("unavailable")), "{mood:?}");
        assert_eq!(world.get(&format!("/v1/loans/{LOAN}"), "").await.status, 401, "no token is still no token");
    }
    assert_eq!(elsewhere.looks(), 0, "a redirect to another place is not followed");
    issuer.is(Mood::Answers(500, String::new()));
    let world = world(eager(issuer.url("/keys")), Workers::None).await;
    assert_eq!(status(&world, &key.token(&claims(TENANT, READ, NOW))).await, 503);
    issuer.is(Mood::Well);
    until(&world, "ok").await;
    assert_eq!(readiness(&world).await.0, 200);
    assert_eq!(status(&world, &key.token(&claims(TENANT, READ, NOW))).await, 404);
}

#[tokio::test]
async fn the_last_good_keys_serve_while_the_issuer_is_away() {
    let (first, second) = (SigningKey::p256("first"), SigningKey::p256("second"));
    let (issuer, elsewhere) = (LoopbackIssuer::new(&[&first]).await, LoopbackIssuer::new(&[&second]).await);
    let hasty = OutsideIssuer { look_within: Duration::from_millis(200), ..eager(issuer.url("/keys")) };
    let world = ready(hasty).await;
    for mood in [
        Mood::Answers(503, String::new()),
        Mood::Answers(200, "no keys".to_owned()),
        Mood::Answers(200, "x".repeat(256 * 1024 + 1)),
        Mood::Sends(elsewhere.url("/keys").to_string()),
        Mood::Dawdles(NEVER),
    ] {
        issuer.is(mood.clone());
        let unknown = second.token(&claims(TENANT, READ, NOW));
        assert_eq!(status(&world, &unknown).await, 503, "nobody can tell whether it is good: {mood:?}");
        assert_eq!(readiness(&world).await, (200, json!("stale")), "{mood:?}");
        assert_eq!(status(&world, &first.token(&claims(TENANT, READ, NOW))).await, 404, "{mood:?}");
    }
    assert_eq!(elsewhere.looks(), 0, "a redirect to another place is not followed");
    issuer.is(Mood::Well);
    assert_eq!(status(&world, &second.token(&claims(TENANT, READ, NOW))).await, 401, "now it can");
    until(&world, "ok").await;
    issuer.publish(&[]);
    assert_eq!(status(&world, &second.token(&claims(TENANT, READ, NOW))).await, 503, "every key is withdrawn");
    assert_eq!(status(&world, &first.token(&claims(TENANT, READ, NOW))).await, 503);
}

#[tokio::test]
async fn a_redirect_inside_the_issuer_is_followed() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = ready(eager(issuer.url("/moved"))).await;
    assert_eq!(status(&world, &key.token(&claims(TENANT, READ, NOW))).await, 404);
}
