//! Servers that come to PostgreSQL as the role that may not change the journal or the schema.

use serde_json::json;

use crate::processes::System;
use crate::processes::client::{Client, LOAN, payment};
use crate::support::postgres::{SERVICE_ROLE, service_role};

/// The demo's.
const TENANT: &str = "00000000-0000-7000-8000-00000000de30";

#[tokio::test]
async fn servers_work_with_the_least_rights() {
    service_role().await;
    let owned = System::distributed().await;
    let system = owned.as_role(SERVICE_ROLE, SERVICE_ROLE);
    let (api, _worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    let client = Client::demo(&[api.port]).await;
    let (status, paid) = client.post_until_final("/v1/payments", "payment:role:0001", &payment(LOAN, 250)).await;
    assert_eq!(status, 201, "{paid}");
    let path = format!("/v1/payments/{}/return", paid["payment_event_id"].as_str().unwrap());
    let body = json!({"return_code": "R01", "effective_at": "2026-05-02"});
    let (status, returned) = client.post_until_final(&path, "return:role:0001", &body).await;
    assert_eq!(status, 201, "{returned}");
    system.run(&["hold", LOAN, "--tenant", TENANT, "--reason", "a look"]);
    system.run(&["release", LOAN, "--tenant", TENANT, "--reason", "seen"]);
    system.run(&["parked", "list"]);
    system.verified().await;
}
