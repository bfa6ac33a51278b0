//! How endpoints are made, listed, and changed.

use serde_json::json;

use crate::api::webhooks::{ALL, act, endpoint, make, opened, text};

const URL: &str = "https://hooks.example.com/hpts";

#[tokio::test]
async fn an_endpoint_is_made_once_and_its_secret_is_shown_once() {
    let (world, token) = opened().await;
    let asked = json!({"url": "https://Hooks.Example.com:443/hpts", "event_types": ["payment.posted",
        "journalEntryPosted", "payment.posted"], "description": "servicing"});
    let made = world.post("/v1/webhook-endpoints", &token, "endpoint:1", &asked).await;
    assert_eq!(made.status, 201, "{made:?}");
    let first = made.json();
    let (id, secret) = (text(&first["webhook_endpoint_id"]), text(&first["secret"]));
    assert_eq!(made.header("location"), Some(format!("/v1/webhook-endpoints/{id}").as_str()));
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let mut expected = json!({"webhook_endpoint_id": id, "url": URL, "status": "enabled", "secret": secret,
        "event_types": ["journalEntryPosted", "payment.posted"], "description": "servicing"});
    expected["created_at"] = first["created_at"].clone();
    assert_eq!(first, expected);

    let again = world.post("/v1/webhook-endpoints", &token, "endpoint:1", &asked).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")), "{again:?}");
    assert!(!String::from_utf8_lossy(&again.bytes).contains("whsec_"), "{again:?}");
    assert!(text(&again.json()["secret_notice"]).contains("rotate-secret"), "{again:?}");
    assert_eq!(again.json()["webhook_endpoint_id"], id.as_str());
    let other = json!({"url": "https://other.example.com/", "description": "servicing"});
    let mismatch = world.post("/v1/webhook-endpoints", &token, "endpoint:1", &other).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()));
    let fields: Vec<String> =
        mismatch.json()["errors"].as_array().unwrap().iter().map(|error| text(&error["field"])).collect();
    assert_eq!(fields, ["url", "event_types"]);
    for _ in 0..2 {
        let refused = world.post("/v1/webhook-endpoints", &token, "endpoint:2", &asked).await;
        assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
        assert_eq!(refused.json()["errors"][0]["code"], "taken", "{refused:?}");
    }

    let listed = world.get("/v1/webhook-endpoints", &token).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let read = endpoint(&world, &token, &id).await;
    assert_eq!((&read, &read["created_at"]), (&listed["items"][0], &first["created_at"]));
    assert!(read.get("secret").is_none() && read["pending_deliveries"] == 0, "{read}");
}

#[tokio::test]
async fn secrets_stand_sealed_in_the_store() {
    use hpts::store::WebhookStore;
    let (world, token) = opened().await;
    let (_, secret) = make(&world, &token, URL, &["payment.posted"]).await;
    let tenant = hpts::core::ids::TenantId(uuid::Uuid::from_u128(1));
    let stored = world.store.webhook_endpoints(tenant).await.unwrap().remove(0).secret;
    let tail = &secret.as_bytes()[6..20];
    assert!(!stored.windows(tail.len()).any(|window| window == tail), "{stored:?}");
}

#[tokio::test]
async fn another_tenant_and_another_scope_see_and_change_nothing() {
    let (world, token) = opened().await;
    let (id, _) = make(&world, &token, URL, &["payment.posted"]).await;
    world.tenant(2, "other").await;
    let thief = world.token("other", &ALL.replace(' ', "%20")).await;
    let narrow = world.token("demo", "hpts:payments:write%20hpts:ledger:read").await;
    for path in ["", "/deliveries"] {
        let path = format!("/v1/webhook-endpoints/{id}{path}");
        assert_eq!(world.get(&path, &thief).await.problem(), (404, "not_found".to_owned()), "{path}");
        assert_eq!(world.get(&path, &narrow).await.problem(), (403, "insufficient_scope".to_owned()), "{path}");
    }
    for action in ["rotate-secret", "disable", "enable", "test"] {
        assert_eq!(act(&world, &thief, &id, action).await.problem(), (404, "not_found".to_owned()), "{action}");
        let refused = act(&world, &narrow, &id, action).await;
        assert_eq!(refused.problem(), (403, "insufficient_scope".to_owned()), "{action}");
    }
    let since = json!({"since": "2026-05-01T00:00:00Z"});
    let stolen = world.post(&format!("/v1/webhook-endpoints/{id}/replay"), &thief, "replay:0001", &since).await;
    assert_eq!(stolen.problem(), (404, "not_found".to_owned()));
    assert_eq!(world.get("/v1/webhook-endpoints", &thief).await.json(), json!({"items": []}));
    make(&world, &thief, URL, &["payment.posted"]).await;
    for bad in ["not-an-id", "11111111-1111-1111-1111-111111111111"] {
        assert_eq!(act(&world, &token, bad, "disable").await.problem(), (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn an_endpoint_is_switched_off_and_on_and_each_key_answers_again() {
    let (world, token) = opened().await;
    let (id, secret) = make(&world, &token, URL, &["payment.posted"]).await;
    let path = |action: &str| format!("/v1/webhook-endpoints/{id}/{action}");
    let disabled = world.post(&path("disable"), &token, "disable:0001", &json!({})).await;
    assert_eq!((disabled.status, &disabled.json()["status"]), (201, &json!("disabled")), "{disabled:?}");
    let read = endpoint(&world, &token, &id).await;
    assert_eq!((&read["status"], &read["disabled_reason"]), (&json!("disabled"), &json!("requested")));
    let ping = act(&world, &token, &id, "test").await;
    assert_eq!((ping.problem().0, &ping.json()["errors"][0]["code"]), (422, &json!("disabled")), "{ping:?}");
    let enabled = world.post(&path("enable"), &token, "enable:0001", &json!({})).await;
    assert_eq!((enabled.status, &enabled.json()["status"]), (201, &json!("enabled")), "{enabled:?}");
    let again = world.post(&path("disable"), &token, "disable:0001", &json!({})).await;
    assert_eq!((again.status, &again.bytes), (200, &disabled.bytes), "its first answer, which changes nothing now");
    assert_eq!(endpoint(&world, &token, &id).await["status"], "enabled");
    let mismatch = world.post(&path("enable"), &token, "disable:0001", &json!({})).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()));

    let rotated = world.post(&path("rotate-secret"), &token, "rotate:0001", &json!({})).await;
    assert_eq!(rotated.status, 201, "{rotated:?}");
    assert_ne!(text(&rotated.json()["secret"]), secret);
    let again = world.post(&path("rotate-secret"), &token, "rotate:0001", &json!({})).await;
    assert_eq!((again.status, again.json().get("secret")), (200, None), "{again:?}");
    assert!(endpoint(&world, &token, &id).await["previous_secret_expires_at"].is_string());
    let wrong = world.post(&path("disable"), &token, "disable:0002", &json!({"force": "yes"})).await;
    assert_eq!(wrong.problem(), (422, "validation_failed".to_owned()));
    let wrong = world.post(&path("replay"), &token, "replay:0001", &json!({"since": "yesterday"})).await;
    assert_eq!((wrong.problem().0, &wrong.json()["errors"][0]["field"]), (422, &json!("since")));
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_endpoints() {
    let (world, token) = opened().await;
    let mut connection = world.connection().await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO webhook_endpoints (id, tenant, created_at, url, event_types, secret, epoch, xact, taken)
        SELECT randomblob(16), (SELECT id FROM tenants), 1, 'https://e' || i || '.example.com/', '[\"ping\"]', x'00',
            2000000000, 1, 1 FROM n";
    sqlx::query(fill).execute(&mut connection).await.unwrap();
    let answer = world.post("/v1/webhook-endpoints", &token, "endpoint:1001", &json!({"url": URL})).await;
    assert_eq!(answer.problem(), (422, "validation_failed".to_owned()));
    assert_eq!(answer.json()["errors"][0]["code"], "too_many", "{answer:?}");
}
