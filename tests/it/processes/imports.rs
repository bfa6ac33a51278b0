//! `hpts import` against an embedded server: what goes in, what comes out, and what happens in between.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use hpts::core::ach::SecCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::processes::client::{BORROWER, Client, LOAN, payment};
use crate::processes::{PATIENCE, Process, System};
use crate::support::ach::AchFile;
use crate::support::proxy::{Mode, Proxy};

/// An embedded server, and files in its data folder.
struct World {
    server: Process,
    system: System,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    /// Standard output as JSON; null where it is none.
    report: Value,
    errors: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Self { code: output.status.code(), report, errors: String::from_utf8_lossy(&output.stderr).into_owned() }
    }
}

impl World {
    async fn new() -> Self {
        let system = System::embedded();
        let server = system.start(&["serve", "--demo"]).await;
        Self { server, system }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.system.data_dir().unwrap().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.server.port).into()
    }

    async fn import(&self, file: &Path, more: &[&str]) -> Said {
        self.import_at(self.address(), file, more).await
    }

    async fn import_at(&self, address: SocketAddr, file: &Path, more: &[&str]) -> Said {
        let url = format!("http://{address}");
        let arguments = ["import", file.to_str().unwrap(), "--url", &url, "--json"];
        self.system.output_beside(&[&arguments[..], more].concat()).await.into()
    }

    /// Rows that the server has taken, by its own count.
    async fn accepted(&self) -> u64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.server.monitor);
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let samples = text.lines().filter(|line| line.starts_with("hpts_events_accepted_total"));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

fn row(key: &str, cents: usize) -> Value {
    let mut row = payment(LOAN, cents);
    row["idempotency_key"] = key.into();
    row
}

fn lines(rows: &[Value]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    lines.concat()
}

fn results(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn good_and_bad_rows_are_told_apart_and_told_again() {
    let world = World::new().await;
    let first = row("payment:0001", 100);
    let mut nobody = row("payment:0003", 7);
    nobody["loan_id"] = json!("99999999-9999-4999-8999-999999999999");
    let file = [
        lines(std::slice::from_ref(&first)),
        "{\"idempotency_key\":\"payment:0002\"}\nnot JSON\n".to_owned(),
        lines(&[nobody, first, row("payment:0001", 101), row("payment:0004", 50)]),
    ];
    let file = world.write("mixed.jsonl", file.concat());
    let said = world.import(&file, &[]).await;
    let told = "4 of 7 rows were not posted: 1 rejected, 1 mismatched, 2 invalid; see ";
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.errors.starts_with(&format!("hpts: {told}")) && said.errors.lines().count() == 1, "{said:?}");
    let report = &said.report;
    let counts = ["received", "duplicates", "mismatched", "invalid"].map(|name| report[name].as_i64());
    assert_eq!(counts, [7, 1, 1, 2].map(Some), "{report}");
    let usd = &report["totals"][0];
    assert_eq!((&usd["accepted"]["amount_minor"], &usd["posted"]["amount_minor"]), (&json!("157"), &json!("150")));
    assert_eq!((&report["contradictions"], &report["replayed"]), (&json!([]), &json!(false)));

    let place = PathBuf::from(report["results"].as_str().unwrap());
    assert_eq!(place, file.with_file_name("mixed.jsonl.results.ndjson"));
    let seen: Vec<(i64, String)> = results(&place)
        .iter()
        .map(|row| (row["row"].as_i64().unwrap(), row["status"].as_str().unwrap().to_owned()))
        .collect();
    let words = ["posted", "invalid", "invalid", "rejected", "duplicate", "mismatched", "posted"];
    assert_eq!(seen, (1..).zip(words.map(str::to_owned)).collect::<Vec<_>>());

    let first_results = std::fs::read(&place).unwrap();
    let again = world.import(&file, &[]).await;
    assert_eq!((again.code, &again.report["replayed"]), (Some(3), &json!(true)), "{again:?}");
    for name in ["batch_id", "counts", "totals", "received", "idempotency_key", "sha256"] {
        assert_eq!(again.report[name], report[name], "{name}");
    }
    assert_eq!(std::fs::read(&place).unwrap(), first_results);
    assert_eq!(world.system.verified().await["posted"], 1 + 2);
}

#[tokio::test]
async fn duplicates_alone_are_no_failure() {
    let world = World::new().await;
    let rows = [row("payment:0001", 100), row("payment:0002", 50)];
    let file = world.write("first.ndjson", lines(&rows));
    assert_eq!(world.import(&file, &[]).await.code, Some(0));
    let more = world.write("second.ndjson", lines(&[&rows[..], &[row("payment:0003", 1)]].concat()));
    let said = world.import(&more, &["--results-format", "csv"]).await;
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!((&said.report["duplicates"], &said.report["counts"]["posted"]), (&json!(2), &json!(1)));
    let csv = std::fs::read_to_string(more.with_file_name("second.ndjson.results.csv")).unwrap();
    let words: Vec<&str> = csv.lines().filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(words, ["status", "duplicate", "duplicate", "posted"]);
    assert_eq!(world.system.verified().await["posted"], 1 + 3);
}

/// The file is corrected and sent again: what was rejected the first time is not posted the second time either.
#[tokio::test]
async fn a_repeat_of_what_is_not_posted_is_not_posted() {
    let world = World::new().await;
    let mut nobody = row("payment:0002", 7);
    nobody["loan_id"] = json!("99999999-9999-4999-8999-999999999999");
    let rows = [row("payment:0001", 100), nobody];
    let file = world.write("first.ndjson", lines(&rows));
    assert_eq!(world.import(&file, &[]).await.code, Some(3));
    let more = world.write("second.ndjson", lines(&[&rows[..], &[row("payment:0003", 1)]].concat()));
    for format in ["ndjson", "csv"] {
        let said = world.import(&more, &["--results-format", format]).await;
        assert_eq!((said.code, &said.report["repeats_not_posted"]), (Some(3), &json!(1)), "{said:?}");
        let told = "hpts: 1 of 3 rows were not posted: 1 repeating an unposted payment; see ";
        assert!(said.errors.starts_with(told), "{said:?}");
    }
}

#[tokio::test]
async fn csv_is_imported_by_its_header_and_never_twice() {
    let world = World::new().await;
    let header = "Loan ID,Borrower ID,Amount,Currency,Effective Date,Method,Reference,Teller";
    let record = |amount: &str| format!("{LOAN},{BORROWER},{amount},USD,2026-05-01,lockbox,\"a, b\",9\n");
    let text = format!("{header}\n{}{}{}x\n", record("888.49"), record("0.005"), record("1"));
    let file = world.write("lockbox.csv", &text);
    let refused = world.import(&file, &[]).await;
    assert_eq!((refused.code, refused.report), (Some(1), Value::Null), "the columns are not clear");
    assert!(refused.errors.contains("say --amount-major") && refused.errors.lines().count() == 1, "{}", refused.errors);
    assert!(!file.with_file_name("lockbox.csv.results.ndjson.part").exists());

    let options = ["--amount-major", "--ignore-other-columns"];
    let said = world.import(&file, &options).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.errors.contains("amount is column 3 \"Amount\""), "{said:?}");
    let counts = ["received", "invalid"].map(|name| said.report[name].as_i64());
    assert_eq!((counts, &said.report["totals"][0]["posted"]["amount_minor"]), ([4, 2].map(Some), &json!("88949")));
    let rows = results(Path::new(said.report["results"].as_str().unwrap()));
    assert_eq!((&rows[0]["amount_minor"], &rows[0]["external_ref"]), (&json!("88849"), &json!("a, b")));
    let sha256 = said.report["sha256"].as_str().unwrap();
    assert_eq!(rows[2]["idempotency_key"], format!("csv:{sha256}:3"));
    let named = |row: &Value, name: &str| row["errors"].to_string().contains(name);
    assert!(named(&rows[1], "no more decimals after a point than the currency has"), "{}", rows[1]);
    assert!(named(&rows[3], "the record has 1 cells, the header 8"), "{}", rows[3]);

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    let packed = world.write("packed.csv.gz", encoder.finish().unwrap());
    let again = world.import(&packed, &options).await;
    assert_eq!(again.report["batch_id"], said.report["batch_id"], "packed or not, it is the same file");
    assert_eq!(world.system.verified().await["posted"], 1 + 2);
}

#[tokio::test]
async fn gzip_goes_over_the_wire_as_it_is() {
    let world = World::new().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let text = lines(&[row("payment:0001", 100), row("payment:0002", 50)]);
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    // Neither name nor ending says what it is: its bytes do.
    let file = world.write("payments", encoder.finish().unwrap());
    let said = world.import(&file, &[]).await;
    assert_eq!((said.code, &said.report["counts"]["posted"]), (Some(0), &json!(2)), "{said:?}");
}

#[tokio::test]
async fn ach_files_come_through_a_feed() {
    let world = World::new().await;
    let through_demo = ["--feed", "demo"];
    let debits = AchFile::of_debits('A', [("420", 10_000), ("0421", 20_000)]);
    let file = world.write("debits.txt", &debits);
    let said = world.import(&file, &through_demo).await;
    assert_eq!((said.code, &said.report["format"]), (Some(0), &json!("nacha")), "{said:?}");
    let posted = json!({"count": 2, "amount_minor": "30000"});
    assert_eq!(said.report["totals"][0]["posted"], posted, "receipts of no known loan are posted, too");
    let again = world.import(&file, &["--feed", "demo", "--key", "another:key"]).await;
    assert_eq!((again.code, &again.report["batch_id"]), (Some(0), &said.report["batch_id"]), "{again:?}");
    assert_eq!(again.report["replayed"], true, "the same bytes are the same file under any key");

    let mut mixed = AchFile::new('B');
    mixed.batch(SecCode::Ppd).debit("420", 500);
    mixed.entry(28, "420", 0, &[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &mixed.finish()).unwrap();
    let packed = world.write("mixed.ach.gz", encoder.finish().unwrap());
    let said = world.import(&packed, &through_demo).await;
    assert_eq!((said.code, &said.report["counts"]["posted"]), (Some(3), &json!(1)), "{said:?}");
    assert!(said.errors.contains("1 of 2 rows were not posted: 1 invalid"), "{said:?}");
    let summary = json!({"entries": 2, "debit_minor": "500", "credit_minor": "0"});
    assert_eq!((&said.report["summary"], &said.report["contradictions"]), (&summary, &json!([])), "{said:?}");
    let rows = results(Path::new(said.report["results"].as_str().unwrap()));
    assert_eq!((&rows[1]["status"], &rows[1]["code"]), (&json!("invalid"), &json!("prenote")));

    let broken = world.write("broken.ach", &debits[..debits.len() >> 1]);
    let refused = world.import(&broken, &through_demo).await;
    assert!(refused.code == Some(1) && refused.errors.contains("422 invalid_file"), "{refused:?}");
    let unknown = world.import(&file, &["--feed", "nobody"]).await;
    assert!(unknown.code == Some(1) && unknown.errors.contains("400 invalid_parameter"), "{unknown:?}");
    assert_eq!(world.system.verified().await["posted"], 1 + 3);
}

#[tokio::test]
async fn a_file_that_is_cut_again_and_again_is_posted_once() {
    const ROWS: usize = 12_000;
    let world = World::new().await;
    let rows: Vec<Value> = (0..ROWS).map(|number| row(&format!("payment:{number:08}"), 1 + number % 7)).collect();
    let file = world.write("cut.ndjson", lines(&rows));
    let proxy = Proxy::start(world.address()).await;
    // Slower than the server: where a connection is cut, nothing of it still waits to be read.
    proxy.set(Mode::Slow);
    let before = world.accepted().await;
    let import = world.import_at(proxy.address(), &file, &[]);
    let disturb = async {
        for share in [1_000, 4_000, 8_000] {
            let deadline = Instant::now() + PATIENCE;
            while world.accepted().await < before + share {
                assert!(Instant::now() < deadline, "nothing more is accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            proxy.set(Mode::Refuse);
            proxy.cut();
            // The import has come again, and goes on when it comes once more.
            tokio::time::timeout(PATIENCE, proxy.refuses()).await.unwrap();
            proxy.set(Mode::Slow);
        }
        proxy.set(Mode::Forward);
    };
    let (said, ()) = tokio::join!(import, disturb);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.errors.matches("trying again in").count() >= 3, "{said:?}");
    assert_eq!((&said.report["received"], &said.report["counts"]["posted"]), (&json!(ROWS), &json!(ROWS)));
    assert_eq!(said.report["duplicates"], 0, "rows from before a cut are no duplicates");
    assert_eq!(results(Path::new(said.report["results"].as_str().unwrap())).len(), ROWS);
    assert_eq!(world.system.verified().await["posted"], 1 + ROWS);
}

#[tokio::test]
async fn what_cannot_go_well_ends_at_once_with_one_line() {
    let world = World::new().await;
    let file = world.write("good.ndjson", lines(&[row("payment:0001", 100)]));
    let empty = world.write("empty.ndjson", "\n\n");
    let unknown = world.write("unknown.txt", "what is this?");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let since = Instant::now();
    let cases = [
        (world.import(&empty, &[]).await, 1, "422 invalid_file: the upload has no rows"),
        (world.import(&unknown, &[]).await, 2, "say --format"),
        (world.import(Path::new("/nothing/there.csv"), &[]).await, 1, "cannot read /nothing/there.csv"),
        (world.import(&file, &["--feed", "one"]).await, 2, "--feed is for NACHA files"),
        (world.import(&file, &["--format", "nacha"]).await, 2, "a NACHA file needs --feed"),
        (world.import(&file, &["--value", "currency=USD"]).await, 2, "are for CSV"),
        (world.import(&file, &["--results", "/nothing/there"]).await, 1, "cannot write /nothing/there"),
        (world.import(&file, &["--client-secret", "wrong-secret"]).await, 1, "401 invalid_client"),
        (world.import_at(nowhere, &file, &[]).await, 1, "no answer from http://127.0.0.1:1"),
    ];
    for (said, code, part) in cases {
        assert_eq!((said.code, &said.report), (Some(code), &Value::Null), "{part}: {said:?}");
        assert!(said.errors.contains(part) && said.errors.lines().count() == 1, "{part}: {said:?}");
    }
    assert!(since.elapsed() < PATIENCE, "none of them waits");
    let left = std::fs::read_dir(world.system.data_dir().unwrap()).unwrap();
    let left: Vec<String> = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(!left.iter().any(|name| name.contains(".results")), "{left:?}");
    let used = world.import(&file, &["--key", "payment:other"]).await;
    assert_eq!(used.code, Some(0), "{used:?}");
    let client = Client::demo(&[world.server.port]).await;
    let body = payment(LOAN, 1);
    let (status, _) = client.post(0, "/v1/payments", "payment:taken", &body, None).await.unwrap();
    assert_eq!(status, 201);
    let taken = world.import(&file, &["--key", "payment:taken"]).await;
    assert!(taken.code == Some(1) && taken.errors.contains("422 idempotency_mismatch"), "{taken:?}");
}
