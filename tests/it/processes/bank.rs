//! `hpts bank import` against an embedded server.

use serde_json::{Value, json};

use crate::processes::{System, wait_until};

const LINES: &str = "booking_date,amount_minor,reference\n2026-05-01,-12,\n2026-05-01,5,nobody:0001\n";

#[tokio::test]
async fn a_statement_is_sent_once_however_often() {
    let system = System::embedded();
    let server = system.start(&["serve", "--demo"]).await;
    let file = system.data_dir().unwrap().join("may.csv");
    std::fs::write(&file, LINES).unwrap();
    let (file, url) = (file.to_str().unwrap().to_owned(), format!("http://127.0.0.1:{}", server.port));
    let import = async |closing: &str, more: &[&str]| {
        let arguments = ["bank", "import", &file, "--url", &url, "--account", "OPERATING-1", "--date", "2026-05-01"];
        let balances = ["--opening", "-100", "--closing", closing];
        system.output_beside(&[&arguments[..], &balances, more].concat()).await
    };
    let first = import("-107", &["--json"]).await;
    let told: Value = serde_json::from_slice(&first.stdout).unwrap_or_else(|_| panic!("{first:?}"));
    assert_eq!([&told["lines"], &told["cleared"], &told["open"]], [&json!(2), &json!(0), &json!(2)], "{told}");
    let again = import("-107", &[]).await;
    let text = String::from_utf8(again.stdout).unwrap();
    let id = told["statement_id"].as_str().unwrap();
    assert_eq!(text, format!("OPERATING-1 2026-05-01: 2 lines, 0 cleared, 0 matched, 2 open; statement {id}\n"));
    let wrong = import("-106", &["--key", "another:0001"]).await;
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("closing_balance_minor"));
}

/// Lines that wait for a person are ordinary work: they are told, and the books are proved all the same.
#[tokio::test]
async fn open_lines_are_no_fault_of_the_books() {
    let system = System::embedded();
    let server = system.start(&["serve", "--demo"]).await;
    let file = system.data_dir().unwrap().join("may.csv");
    std::fs::write(&file, LINES).unwrap();
    let (file, url) = (file.to_str().unwrap(), format!("http://127.0.0.1:{}", server.port));
    let statement = ["--account", "OPERATING-1", "--date", "2026-05-01", "--opening", "-100", "--closing", "-107"];
    let arguments = ["bank", "import", file, "--url", &url];
    let sent = system.output_beside(&[&arguments[..], &statement].concat()).await;
    assert!(sent.status.success(), "{sent:?}");
    server.terminate();

    let report: Value = serde_json::from_str(&system.run(&["verify", "--json"])).unwrap();
    assert_eq!((&report["problems"], report["open_banks"].as_array().unwrap().len()), (&json!([]), 1), "{report}");
    assert!(system.run(&["verify"]).contains("OPERATING-1 on 2026-05-01: -107 at the bank"));

    let server = system.start(&["serve"]).await;
    let metrics = format!("http://127.0.0.1:{}/metrics", server.monitor);
    wait_until("the run has told of them", || async {
        let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
        let shows = |line: &str| text.lines().any(|shown| shown == line);
        shows("hpts_bank_open_lines 2")
            && shows("hpts_bank_accounts_unreconciled 1")
            && shows("hpts_reconciliation_mismatches 0")
    })
    .await;
}
