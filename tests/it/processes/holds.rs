//! What operators type about tenants, loans that stand still, and events that cannot be posted.

use serde_json::{Value, json};

use crate::processes::client::{Client, payment};
use crate::processes::{System, wait_until};

const TENANT: &str = "00000000-0000-7000-8000-00000000de30";
const LOAN: &str = "11111111-1111-1111-1111-111111111111";

fn told(system: &System, arguments: &[&str]) -> Value {
    serde_json::from_str(&system.run(arguments)).unwrap()
}

fn refused(system: &System, arguments: &[&str]) -> String {
    let output = system.output(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_loan_is_held_and_released_by_an_operator() {
    let system = System::embedded();
    system.run(&["demo"]);
    let hold = ["hold", "--tenant", TENANT, LOAN, "--reason", "dispute"];
    let dry = system.run(&[&hold[..], &["--dry-run"]].concat());
    assert_eq!(dry, format!("loan {LOAN} would be on hold: its events wait\n"));
    let listed = || told(&system, &["parked", "list", "--json"]);
    assert_eq!(listed(), json!({"parked": [], "holds": [], "has_more": false}));

    assert_eq!(system.run(&hold), format!("loan {LOAN} is on hold: its events wait\n"));
    let shown = listed()["holds"][0].clone();
    let expected = json!({"tenant_id": TENANT, "loan_id": LOAN, "mode": "wait", "reason": "dispute",
        "held_at": shown["held_at"], "waiting_events": 0});
    assert_eq!(shown, expected);
    let refuse = told(&system, &[&hold[..], &["--refuse", "--json"]].concat());
    assert_eq!(refuse, json!({"loan_id": LOAN, "on_hold": true, "refuse": true, "reason": "dispute"}));
    assert!(system.run(&["parked", "list", "--tenant", TENANT]).contains("0 parked events, 1 loans on hold\nrefuse"));

    let release = ["release", "--tenant", TENANT, LOAN, "--reason", "settled"];
    assert_eq!(system.run(&release), format!("loan {LOAN} is released: 0 events go on\n"));
    assert_eq!(listed()["holds"], json!([]));
    let nobody = "11111111-1111-1111-1111-111111111112";
    assert!(refused(&system, &["hold", "--tenant", TENANT, nobody, "--reason", "x"]).contains("there is no loan"));
    for command in ["replay", "discard"] {
        let told = refused(&system, &["parked", command, nobody, "--reason", "x"]);
        assert!(told.contains("is not parked"), "{told}");
    }
    assert!(refused(&system, &["parked", "show", nobody]).contains("is not parked"));
}

#[tokio::test]
async fn what_an_operator_releases_goes_on() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    let client = Client::demo(&[serve.port]).await;
    system.run(&["hold", "--tenant", TENANT, LOAN, "--reason", "dispute"]);
    let (_, waiting) =
        client.post(0, "/v1/payments", "pay:held:1", &payment(LOAN, 5), Some("respond-async")).await.unwrap();
    let path = format!("/v1/payments/{}", waiting["payment_event_id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.1["status"], "held");
    system.run(&["release", "--tenant", TENANT, LOAN, "--reason", "settled"]);
    wait_until("the payment is posted", || async { client.get(&path).await.1["status"] == "posted" }).await;
}

#[tokio::test]
async fn a_new_key_signs_and_the_old_one_still_verifies() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    let before = Client::demo(&[serve.port]).await;
    let rotated = told(&system, &["keys", "rotate", "--json"]);
    assert_eq!(rotated["keys"], 2);
    let listed = before.get("/.well-known/jwks.json").await.1["keys"].as_array().unwrap().len();
    assert!((1..=2).contains(&listed), "known within a minute");
    assert_eq!(before.get(&format!("/v1/loans/{LOAN}")).await.0, 200);
    assert_eq!(Client::demo(&[serve.port]).await.get(&format!("/v1/loans/{LOAN}")).await.0, 200);
}

#[test]
fn a_tenants_settings_are_changed_one_by_one() {
    let system = System::embedded();
    system.run(&["demo"]);
    let set = |more: &[&str]| told(&system, &[&["tenant", "set", "--tenant", TENANT, "--json"], more].concat());
    let first = set(&["--allowance", "true", "--payment-limit", "500000"]);
    let expected = json!({"tenant_id": TENANT, "name": "Demo", "time_zone": "UTC", "base_currency": "USD",
        "future_days": 0, "payment_limit_minor": "500000", "allowance": true, "closed_periods": "next_open_day"});
    assert_eq!(first, expected);
    let more = ["--payment-limit", "none", "--closed-periods", "refuse", "--future-days", "3", "--time-zone"];
    let second = set(&[&more[..], &["America/New_York"]].concat());
    assert_eq!((&second["payment_limit_minor"], &second["allowance"]), (&Value::Null, &json!(true)));
    assert_eq!((&second["future_days"], &second["time_zone"]), (&json!(3), &json!("America/New_York")));
    assert_eq!(second["closed_periods"], "refuse");

    let nowhere = ["tenant", "set", "--tenant", TENANT, "--time-zone", "Mars/Olympus"];
    assert!(refused(&system, &nowhere).contains("is not an IANA time zone"));
    assert_eq!(system.output(&["tenant", "set", "--tenant", TENANT]).status.code(), Some(2), "nothing to change");
    let nobody = "00000000-0000-7000-8000-0000000000ff";
    assert!(refused(&system, &["tenant", "set", "--tenant", nobody, "--name", "x"]).contains("there is no tenant"));
}
