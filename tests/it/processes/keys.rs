//! What operators do about keys and clients that leaked, and with a key file that is not the servers'.

use serde_json::{Value, json};

use crate::processes::System;

const TENANT: &str = "00000000-0000-7000-8000-00000000de30";

fn told(system: &System, arguments: &[&str]) -> Value {
    serde_json::from_str(&system.run(arguments)).unwrap()
}

fn refused(system: &System, arguments: &[&str]) -> String {
    let output = system.output(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Id, what it does, and its sealing, newest first.
fn keys(system: &System) -> Vec<(String, String, String)> {
    let listed = told(system, &["keys", "list", "--json"]);
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let rows = listed["keys"].as_array().unwrap().iter();
    rows.map(|key| (text(key, "kid"), text(key, "does"), text(key, "sealing"))).collect()
}

/// A key file beside the servers, who have none.
async fn stray_key_file(system: &System, server: &[&str]) {
    let path = std::env::temp_dir().join(format!("{}-key", system.prefix));
    std::fs::write(&path, "5a".repeat(32)).unwrap();
    let file = ["--key-file", path.to_str().unwrap()];
    let running = system.start(server).await;
    let first = keys(system);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((first[0].1.as_str(), first[0].2.as_str()), ("signs", "open"));

    let complaint = refused(system, &[&["keys", "rotate"], &file[..]].concat());
    assert!(complaint.contains("not sealed") && complaint.contains("HPTS_KEY_FILE"), "{complaint}");
    assert_eq!(keys(system), first, "nothing was changed");

    let forced = told(system, &[&["keys", "rotate", "--change-sealing", "--json"], &file[..]].concat());
    let sealed = forced["kid"].as_str().unwrap().to_owned();
    assert_eq!(keys(system)[0], (sealed.clone(), "signs".to_owned(), "sealed".to_owned()));
    drop(running);
    let complaint = refused(system, server);
    assert!(complaint.contains(&sealed) && complaint.contains("no key file is configured"), "{complaint}");
    // Neither does a command without the file leave the next key open beside it.
    let complaint = refused(system, &["keys", "rotate"]);
    assert!(complaint.contains(&sealed) && complaint.contains("no key file"), "{complaint}");

    let signs = refused(system, &["keys", "remove", &sealed]);
    assert!(signs.contains("signs; make another first"), "{signs}");
    system.run(&["keys", "rotate", "--change-sealing"]);
    let removed = told(system, &["keys", "remove", &sealed, "--json"]);
    assert_eq!(removed, json!({"kid": sealed, "keys": 2, "refused_within_seconds": 120}));
    assert!(refused(system, &["keys", "remove", &sealed]).contains("there is no key"));
    drop(system.start(server).await);
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_stray_key_file_does_not_stop_one_process() {
    stray_key_file(&System::embedded(), &["serve", "--demo"]).await;
}

#[tokio::test]
async fn a_stray_key_file_does_not_stop_servers() {
    stray_key_file(&System::distributed().await, &["api"]).await;
}

/// The status of a request for a token.
async fn token_status(port: u16) -> u16 {
    let form = "grant_type=client_credentials&client_id=demo&client_secret=demo-secret";
    let request = reqwest::Client::new().post(format!("http://127.0.0.1:{port}/oauth2/token"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    request.send().await.unwrap().status().as_u16()
}

async fn shut_out(system: &System, server: &[&str]) {
    let running = system.start(server).await;
    assert_eq!(token_status(running.port).await, 200);
    let named = ["--tenant", TENANT, "--id", "demo"];
    let disabled = told(system, &[&["client", "disable", "--json"], &named[..]].concat());
    assert_eq!((&disabled["client_id"], disabled["disabled_at"].is_string()), (&json!("demo"), true), "{disabled}");
    assert_eq!(token_status(running.port).await, 401);
    let again = system.run(&[&["client", "disable"], &named[..]].concat());
    assert!(again.contains(disabled["disabled_at"].as_str().unwrap()) && again.contains("within 60 s"), "{again}");
    assert_eq!(system.run(&[&["client", "enable"], &named[..]].concat()), "client demo is enabled\n");
    assert_eq!(token_status(running.port).await, 200);

    let nobody = refused(system, &["client", "disable", "--tenant", TENANT, "--id", "nobody"]);
    assert!(nobody.contains("has no client nobody"), "{nobody}");
    let outside = ["--jwks-url", "https://issuer.test/keys", "--jwt-issuer", "https://issuer.test/"];
    let outside = refused(system, &[&["client", "disable"], &named[..], &outside[..]].concat());
    assert!(outside.contains("the outside issuer shuts clients out"), "{outside}");
}

#[tokio::test]
async fn a_client_is_shut_out_of_one_process() {
    shut_out(&System::embedded(), &["serve", "--demo"]).await;
}

#[tokio::test]
async fn a_client_is_shut_out_of_servers() {
    shut_out(&System::distributed().await, &["api"]).await;
}
