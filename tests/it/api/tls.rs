//! TLS on the listener: who is let in, and tokens that are bound to a client certificate (RFC 8705).

use std::error::Error as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hpts::api::auth::OutsideIssuer;
use hpts::api::server::serve;
use hpts::api::{ApiSettings, TlsError, TlsSettings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::world::{DEADLINE, LOAN, Workers, World};
use crate::support::certificates::{Authority, Identity};
use crate::support::issuer::{AUDIENCE, ISSUER, LoopbackIssuer, SigningKey, claims};

const TENANT: &str = "00000000-0000-0000-0000-000000000001";
const NOW: i64 = 1_777_723_200;

async fn listens(world: &World, tls: TlsSettings) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.lifecycle.spawn(serve(listener, world.router.clone(), world.lifecycle.clone(), Some(tls)));
    address
}

async fn live(http: &reqwest::Client, address: SocketAddr) -> Result<reqwest::Response, reqwest::Error> {
    http.get(format!("https://{address}/v1/health/live")).send().await
}

#[tokio::test]
async fn the_listener_speaks_tls_and_nothing_else() {
    let world = World::new(Workers::None).await;
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let address = listens(&world, authority.server().listener(world.folder(), None)).await;
    let answer = live(&authority.http(None), address).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));
    assert!(live(&stranger.http(None), address).await.is_err(), "an authority the client does not know");
    let plain = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
    assert!(plain.get(format!("http://{address}/v1/health/live")).send().await.is_err());
    assert!(live(&authority.http(None), address).await.is_ok(), "one that failed disturbs no other");
}

#[tokio::test]
async fn only_clients_of_the_authority_are_let_in() {
    let world = World::new(Workers::None).await;
    let (ours, clients, stranger) = (Authority::new("ours"), Authority::new("clients"), Authority::new("stranger"));
    let address = listens(&world, ours.server().listener(world.folder(), Some(&clients))).await;
    let right = clients.client("bank");
    assert_eq!(live(&ours.http(Some(&right)), address).await.unwrap().status(), 200);
    for (who, identity) in [
        ("nobody", None),
        ("of another authority", Some(stranger.client("bank"))),
        ("expired", Some(clients.expired_client("bank"))),
        ("a server", Some(clients.server())),
    ] {
        let refused = live(&ours.http(identity.as_ref()), address).await;
        assert!(refused.is_err(), "{who} got {refused:?}");
    }
}

#[test]
fn files_that_do_not_make_a_listener_are_named() {
    let folder = std::env::temp_dir().join(format!("hpts-tls-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new("ours");
    let good = authority.server().listener(&folder, Some(&authority));
    assert!(good.acceptor().is_ok());
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (empty, other) = (write("empty.pem", ""), write("other.pem", &authority.client("other").pem()));
    let why = |settings: TlsSettings| settings.acceptor().map(|_| ()).unwrap_err();
    let absent = Path::new("/nowhere/x.pem").to_owned();
    assert!(matches!(why(TlsSettings { cert: absent.clone(), ..good.clone() }), TlsError::File { .. }));
    assert!(matches!(why(TlsSettings { key: absent, ..good.clone() }), TlsError::File { .. }));
    assert!(matches!(why(TlsSettings { cert: empty.clone(), ..good.clone() }), TlsError::Empty { .. }));
    assert!(matches!(why(TlsSettings { client_ca: Some(empty), ..good.clone() }), TlsError::Empty { .. }));
    let mismatch = why(TlsSettings { key: other, ..good });
    assert!(matches!(mismatch, TlsError::Refused(_)) && mismatch.source().is_some(), "{mismatch:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A world whose tokens an outside issuer signs.
async fn world(issuer: &LoopbackIssuer) -> World {
    let outside_issuer =
        OutsideIssuer { refresh_every: Duration::from_hours(1), ..OutsideIssuer::at(issuer.url("/keys")) };
    let settings = ApiSettings {
        outside_issuer: Some(outside_issuer),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        ..ApiSettings::default()
    };
    let world = World::with_settings(Workers::None, settings).await;
    let deadline = Instant::now() + DEADLINE;
    while world.get("/v1/health/ready", "").await.json()["checks"]["token_issuer"] != "ok" {
        assert!(Instant::now() < deadline, "the issuer's keys never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world
}

fn bound(key: &SigningKey, confirmation: Value) -> String {
    let mut claims = claims(TENANT, "hpts:ledger:read", NOW);
    claims["cnf"] = confirmation;
    key.token(&claims)
}

/// Reads the loan, which is not there: 404 means that the token was taken.
async fn read(http: &reqwest::Client, address: SocketAddr, token: &str) -> u16 {
    let request = http.get(format!("https://{address}/v1/loans/{LOAN}")).bearer_auth(token);
    let answer = request.send().await.unwrap();
    if answer.status() == 401 {
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    answer.status().as_u16()
}

#[tokio::test]
async fn a_bound_token_is_good_with_its_certificate_only() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = world(&issuer).await;
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let open = listens(&world, ours.server().listener(world.folder(), None)).await;
    let guarded = listens(&world, ours.server().listener(world.folder(), Some(&clients))).await;
    let (holder, thief): (Identity, Identity) = (clients.client("holder"), clients.client("thief"));
    let (by_holder, by_thief, by_nobody) = (ours.http(Some(&holder)), ours.http(Some(&thief)), ours.http(None));

    let token = bound(&key, json!({"x5t#S256": holder.thumbprint()}));
    assert_eq!(read(&by_thief, guarded, &token).await, 401, "another certificate");
    assert_eq!(read(&by_holder, guarded, &token).await, 404, "its own");
    assert_eq!(read(&by_thief, guarded, &token).await, 401, "also once the token is known");
    assert_eq!(read(&by_holder, guarded, &token).await, 404);
    assert_eq!(read(&by_nobody, open, &token).await, 401, "TLS without a client certificate");
    assert_eq!(world.get(&format!("/v1/loans/{LOAN}"), &token).await.status, 401, "no TLS at all");

    let unbound = key.token(&claims(TENANT, "hpts:ledger:read", NOW));
    for (http, address) in [(&by_holder, guarded), (&by_thief, guarded), (&by_nobody, open)] {
        assert_eq!(read(http, address, &unbound).await, 404, "a token that is not bound");
    }
    for confirmation in [json!({}), json!({"jkt": holder.thumbprint()}), json!({"x5t#S256": "AAAA"}), json!("x")] {
        let token = bound(&key, confirmation.clone());
        assert_eq!(read(&by_holder, guarded, &token).await, 401, "{confirmation}");
    }
}

#[tokio::test]
async fn a_forwarded_certificate_proves_nothing() {
    let key = SigningKey::p256("first");
    let issuer = LoopbackIssuer::new(&[&key]).await;
    let world = world(&issuer).await;
    let ours = Authority::new("ours");
    let open = listens(&world, ours.server().listener(world.folder(), None)).await;
    let holder = ours.client("holder");
    let token = bound(&key, json!({"x5t#S256": holder.thumbprint()}));
    let mut request = ours.http(None).get(format!("https://{open}/v1/loans/{LOAN}")).bearer_auth(token);
    for name in ["client-cert", "x-forwarded-client-cert", "x-ssl-client-cert"] {
        request = request.header(name, holder.thumbprint());
    }
    assert_eq!(request.send().await.unwrap().status(), 401);
}
