//! What operators type about feeds.

use serde_json::{Value, json};

use crate::processes::System;

const TENANT: &str = "00000000-0000-7000-8000-00000000de30";

#[test]
fn the_demo_brings_a_feed_and_operators_make_more() {
    let system = System::embedded();
    for _ in 0..2 {
        assert!(system.run(&["demo"]).trim_end().ends_with("feed demo"), "safe to repeat");
    }
    let listed: Value = serde_json::from_str(&system.run(&["feed", "list", "--tenant", TENANT, "--json"])).unwrap();
    let demo = json!({"name": "demo", "view": "originator", "sec_codes": ["CCD", "PPD", "TEL", "WEB"],
        "loan_number": ["individual_id"], "customers": [], "company_ids": [], "date_rule": "settlement",
        "holidays": [], "soft_duplicates": "hold", "tolerances": ["missing_padding"], "currency": "USD", "return_fee_minor": "2500"});
    assert_eq!(listed, json!({"items": [demo]}));

    let create = ["feed", "create", "--tenant", TENANT, "--name", "lockbox", "--view", "receiver"];
    let more = ["--sec-code", "CIE,PPD", "--loan-number", "customer_map", "--loan-number", "addenda:LOAN", "--json"];
    let known =
        ["--customer", "1234567890:EMP-7*=420", "--holiday", "2026-05-25,2026-07-03", "--soft-duplicates", "post"];
    let made: Value = serde_json::from_str(&system.run(&[&create[..], &more, &known].concat())).unwrap();
    assert_eq!(made["loan_number"], json!(["customer_map", "addenda:LOAN"]), "{made}");
    let customer = json!({"company_id": "1234567890", "individual_id": "EMP-7*", "loan_number": "420"});
    assert_eq!((&made["customers"], &made["soft_duplicates"]), (&json!([customer]), &json!("post")), "{made}");
    assert_eq!(made["holidays"], json!(["2026-05-25", "2026-07-03"]), "{made}");
    let lines = system.run(&["feed", "list", "--tenant", TENANT]);
    let names: Vec<&str> = lines.lines().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(names, ["demo", "lockbox"]);

    let refused = |arguments: &[&str]| {
        let output = system.output(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&create).contains("feed lockbox exists already"));
    let wrong = refused(&["feed", "create", "--tenant", TENANT, "--name", "My Feed", "--view", "sender"]);
    assert!(wrong.contains("name must be 1 to 63") && wrong.contains("; view must be one of"), "{wrong}");
    let nobody = "00000000-0000-7000-8000-0000000000ff";
    assert!(refused(&["feed", "list", "--tenant", nobody]).contains("there is no tenant"));
}
