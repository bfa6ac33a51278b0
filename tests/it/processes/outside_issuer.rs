//! Real processes whose callers bring the tokens of an outside issuer, in both deployments.

use hpts::runtime::clock::Clock;

use crate::processes::client::{Client, payment};
use crate::processes::{Process, System, wait_until};
use crate::support::issuer::{AUDIENCE, ISSUER, LoopbackIssuer, SigningKey, claims};

const TENANT: &str = "00000000-0000-7000-8000-0000000000c1";
const SCOPES: &str = "hpts:payments:write hpts:loans:write hpts:balances:read";

async fn pays(system: &System, process: &Process, key: &SigningKey) {
    let now = Clock::system().now().utc().timestamp();
    let client = Client::with_token(process.port, &key.token(&claims(TENANT, SCOPES, now)));
    wait_until("the issuer's keys are there", || async { client.get("/v1/health/ready").await.0 == 200 }).await;
    let loan = client.open_loans(1).await.remove(0);
    let (status, answer) = client.post_until_final("/v1/payments", "payment:outside", &payment(loan, 250)).await;
    assert_eq!((status, answer["allocation"]["interest_minor"].as_str()), (201, Some("150")), "{answer}");
    assert_eq!(client.get("/.well-known/jwks.json").await.0, 404);
    system.verified().await;
}

fn settings(url: &str) -> [(&str, &str); 3] {
    [("HPTS_JWKS_URL", url), ("HPTS_JWT_ISSUER", ISSUER), ("HPTS_JWT_AUDIENCE", AUDIENCE)]
}

#[tokio::test]
async fn one_process_takes_outside_tokens() {
    let key = SigningKey::rsa("first", "PS256");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let url = issuer.url("/keys").to_string();
    let system = System::embedded();
    system.run(&["migrate"]);
    system.run(&["tenant", "create", "--name", "Outside", "--id", TENANT, "--time-zone", "UTC"]);
    let process = system.start_with(&["serve"], &settings(&url)).await;
    pays(&system, &process, &key).await;
}

#[tokio::test]
async fn servers_take_outside_tokens() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let url = issuer.url("/keys").to_string();
    let system = System::distributed().await;
    system.run(&["tenant", "create", "--name", "Outside", "--id", TENANT, "--time-zone", "UTC"]);
    let api = system.start_with(&["api"], &settings(&url)).await;
    let _worker = system.start(&["worker"]).await;
    pays(&system, &api, &key).await;
}

#[test]
fn settings_that_would_let_the_wrong_ones_in_stop_the_start() {
    let system = System::embedded();
    let url = "--jwks-url=https://issuer.test/keys";
    let named = "--jwt-issuer=https://issuer.test/";
    for (arguments, complaint) in [
        (&["serve", "--jwks-url=http://issuer.test/keys", named][..], "https URL"),
        (&["serve", url], "HPTS_JWT_ISSUER"),
        (&["serve", "--demo", url, named], "--demo"),
    ] {
        let output = system.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(complaint), "{arguments:?}: {errors}");
    }
}
