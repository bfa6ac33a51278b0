//! Measurements of running servers: small loads on real processes.

use serde_json::{Value, json};

use super::{bench, measured};
use crate::processes::{Process, System};

/// What every load names: the server, the demo's client, a few loans.
fn line<'a>(what: &'a str, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let client = ["--client-id", "demo", "--client-secret", "demo-secret", "--loans", "5", "--setup"];
    [&[what, "--url", url], &client[..], more].concat()
}

fn url(process: &Process) -> String {
    format!("http://127.0.0.1:{}", process.port)
}

fn assert_proved(report: &Value, posted: u64) {
    let proof = &report["books"]["looked"];
    assert_eq!(proof["problems"], json!([]), "{report}");
    assert!(proof["posted"].as_u64() >= Some(posted), "{report}");
    assert_eq!(report["good"], true, "{report}");
}

#[tokio::test]
async fn batches_are_posted_whole_timed_apart_and_proved() {
    let system = System::embedded();
    let server = system.start(&["serve", "--demo"]).await;
    let (url, data) = (url(&server), system.data_dir().unwrap().display().to_string());
    let plot = format!("{data}/run.svg");
    let load = ["--rows", "40", "--callers", "2", "--payments", "250", "--repeat", "2", "--data-dir", &data];
    let report = measured(&line("batch", &url, &[&load[..], &["--plot", &plot]].concat()));
    let median = &report["cases"][0]["median"];
    assert_eq!(median["payments"], 250);
    assert!(median["rate_per_second"].as_u64() > Some(0) && median["accept"]["p50_us"].as_u64() > Some(0), "{report}");
    assert!(median["post"]["max_us"].is_u64(), "{report}");
    assert_proved(&report, 500);
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg"));

    let report = measured(&line("hot-loan", &url, &load));
    assert_eq!(report["cases"][0]["name"], "hot-loan");
    assert_proved(&report, 1000);
}

#[tokio::test]
async fn a_run_is_not_good_when_the_books_named_are_not_the_servers() {
    let (system, stranger) = (System::embedded(), System::embedded());
    let server = system.start(&["serve", "--demo"]).await;
    let other = stranger.start(&["serve", "--demo"]).await;
    let (url, data) = (url(&server), stranger.data_dir().unwrap().display().to_string());
    let output = bench(&line("batch", &url, &["--payments", "100", "--data-dir", &data]));
    assert_eq!(output.status.code(), Some(3));
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("is this the servers' database?") && told.trim_end().ends_with("not good"), "{told}");
    assert!(errors.contains("the books are not in order"), "{errors}");
    drop(other);
}

#[tokio::test]
async fn everything_stands_in_one_table_beside_the_limit_and_the_usual_worker() {
    let system = System::distributed().await;
    let (api, _worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    let (url, database) = (url(&api), system.database_url());
    let folder = std::env::temp_dir().join(format!("{}.json", system.prefix));
    let more = [
        ["--database-url", &database],
        ["--payments", "200"],
        ["--rows", "50"],
        ["--limit-payments", "200"],
        ["--naive-payments", "50"],
        ["--naive-connections", "2"],
        ["--single-seconds", "1"],
        ["--single-connections", "4"],
    ];
    let output = bench(&line("all", &url, &[more.as_flattened(), &["--json", folder.to_str().unwrap()]].concat()));
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains("cpu/payment") && told.contains("hot-loan"), "{told}");
    let report: Value = serde_json::from_slice(&std::fs::read(&folder).unwrap()).unwrap();
    std::fs::remove_file(&folder).unwrap();
    let cases = report["cases"].as_array().unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["limit", "batch", "hot-loan", "single", "naive 2"]);
    for case in &cases[1..3] {
        assert!(case["of_limit"].as_f64() > Some(0.0) && case["of_naive"].as_f64() > Some(0.0), "{case}");
        assert!(case["median"]["wal_bytes_per_payment"].as_u64() > Some(300), "{case}");
    }
    assert_proved(&report, 400);
}

#[tokio::test]
async fn single_payments_are_timed_beside_batches_and_the_rate_after_filling() {
    let system = System::distributed().await;
    let (api, _worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    let (url, database) = (url(&api), system.database_url());
    let load = ["--database-url", &database, "--payments", "600", "--rows", "50", "--callers", "2"];

    let report = measured(&line("mixed", &url, &[&load[..], &["--single-pause-ms", "1"]].concat()));
    let single = &report["cases"][1];
    assert_eq!(single["name"], "single");
    assert!(single["median"]["payments"].as_u64() > Some(0) && single["median"]["post"]["p99_us"].is_u64(), "{report}");
    assert_proved(&report, 600);

    let report = measured(&line("growth", &url, &[&load[..], &["--stored", "2500", "--stored-loans", "9"]].concat()));
    assert!(report["findings"]["rate_after_over_before"].is_string(), "{report}");
    assert_proved(&report, 600 + 2500 + 1200);
}

#[tokio::test]
async fn a_stream_tells_the_rate_of_each_tenth_and_the_memory_it_took() {
    let system = System::embedded();
    let server = system.start(&["serve", "--demo"]).await;
    let (url, data) = (url(&server), system.data_dir().unwrap().display().to_string());
    let pid = format!("server={}", server.id());
    let report = measured(&line("batch", &url, &["--ndjson", "3000", "--pid", &pid, "--data-dir", &data]));
    assert_eq!(report["cases"][0]["median"]["payments"], 3000);
    let tenths = report["findings"]["rate_of_each_tenth"][0].as_array().unwrap();
    assert_eq!(tenths.len(), 10, "{report}");
    assert!(tenths.iter().all(|rate| rate.as_u64().is_some()) && tenths[0].as_u64() > Some(0), "{report}");
    assert!(report["findings"]["memory_max_server"].as_str().unwrap().ends_with(" MiB"), "{report}");
    assert_proved(&report, 3000);
}

#[tokio::test]
async fn pollers_ask_beside_the_load_and_find_what_they_ask_for() {
    let system = System::embedded();
    let server = system.start(&["serve", "--demo"]).await;
    let (url, data) = (url(&server), system.data_dir().unwrap().display().to_string());
    let load = ["--payments", "4000", "--rows", "100", "--callers", "2", "--data-dir", &data];
    let asking = ["--long-polls", "5", "--long-poll-pause-ms", "5", "--lookup-ids", "50", "--lookup-pause-ms", "5"];
    let report = measured(&line("pollers", &url, &[&load[..], &asking].concat()));
    let findings = &report["findings"];
    for what in ["long_polls", "lookups"] {
        assert!(findings[what].as_str().unwrap().contains("asked, p50"), "{report}");
    }
    assert!(findings["rate_with_pollers_over_without"].as_str().unwrap().parse::<f64>().unwrap() > 0.0, "{report}");
    assert_proved(&report, 8000);
}
