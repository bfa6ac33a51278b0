//! The table of exit codes, and which uploads are the same.

use serde_json::json;

use super::*;
use crate::cli::import::batch::tests::batch;

fn code(changes: &[(&str, serde_json::Value)]) -> u8 {
    let batch = batch(changes);
    let report = Report {
        file: "a.ndjson".to_owned(),
        format: Format::Ndjson,
        sha256: String::new(),
        idempotency_key: String::new(),
        replayed: true,
        posted: Duration::ZERO,
        elapsed: Duration::ZERO,
        contradictions: batch.contradictions(),
        repeats_not_posted: 0,
        batch,
        results: PathBuf::from("a.results"),
    };
    judged(report).map_or_else(|error| error.exit_code(), |()| 0)
}

#[test]
fn the_exit_code_says_whether_every_row_is_posted() {
    let tally = |count: i64, amount: &str| json!({"count": count, "amount_minor": amount});
    let moved = |word: &str| {
        let count = format!("/counts/{word}");
        let total = format!("/totals/0/{word}");
        let moved = [
            (count.as_str(), json!(1)),
            ("/counts/posted", json!(998)),
            (total.as_str(), tally(1, "1")),
            ("/totals/0/posted", tally(998, "88848")),
        ];
        code(&moved)
    };
    assert_eq!(code(&[]), 0, "a duplicate is posted already");
    assert_eq!(["rejected", "parked", "held", "in_flight"].map(moved), [3, 3, 3, 3]);
    let excepted = |word: &str| code(&[(word, json!(1)), ("/received", json!(1001))]);
    assert_eq!(["/mismatched", "/invalid"].map(excepted), [3, 3]);
    assert_eq!(code(&[("/received", json!(1001))]), 1, "a row is missing");
    assert_eq!(code(&[("/totals/0/posted/amount_minor", json!("88848"))]), 1, "a cent is missing");
}

#[test]
fn errors_have_their_codes() {
    let refused = |status| ClientError::Refused { status, said: String::new() };
    let io = || std::io::Error::other("x");
    let cases = [
        (ImportError::NotUnderstood(String::new()), 2),
        (ImportError::Io { what: String::new(), source: io() }, 1),
        (ImportError::File { name: String::new(), source: io().into() }, 1),
        (ImportError::Columns(ColumnsError::Empty), 1),
        (ImportError::Client(refused(413)), 1),
        (ImportError::Contradiction(uuid::Uuid::nil()), 1),
        (ImportError::NotPosted { told: String::new(), results: PathBuf::new() }, 3),
    ];
    for (error, code) in cases {
        assert_eq!(error.exit_code(), code, "{error:?}");
        assert!(!error.is_passing(), "{error:?}");
    }
    let busy = ClientError::NotNow { status: 409, said: String::new(), after: Some(Duration::from_secs(1)) };
    assert!(ImportError::from(busy).is_passing());
}

fn surveyed(name: &str, text: &str, csv: &[&str]) -> ImportFile {
    let path = std::env::temp_dir().join(format!("hpts-{}-{name}", uuid::Uuid::new_v4()));
    std::fs::write(&path, text).unwrap();
    let command = <CsvArgs as Args>::augment_args(clap::Command::new("import"));
    let matches = command.get_matches_from([&["import"], csv].concat());
    let csv = <CsvArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
    let file = ImportFile::survey(&Asked { path: path.clone(), format: None, csv }, &Arc::default());
    std::fs::remove_file(path).unwrap();
    file.unwrap()
}

#[test]
fn the_same_file_read_the_same_way_is_the_same_upload() {
    let csv = "loan_id,borrower_id,amount_minor,currency,effective_at,source_method\nL,B,5,USD,2026-05-01,ach\n";
    let key = |name: &str, text: &str, csv: &[&str], feed| made_key(&surveyed(name, text, csv), feed).unwrap();
    let first = key("a.csv", csv, &[], None);
    assert_eq!(first, key("b.csv", csv, &[], None), "whatever it is called");
    let swapped = ["--column", "loan_id=borrower_id", "--column", "borrower_id=loan_id"];
    let others = [
        key("a.csv", &csv.replace('5', "6"), &[], None),
        key("a.csv", csv, &swapped, None),
        key("a.ndjson", "{}", &[], None),
        key("a.ach", "101", &[], Some("one")),
        key("a.ach", "101", &[], Some("two")),
    ];
    let mut all = others.map(|key| key.as_str().to_owned()).to_vec();
    all.push(first.as_str().to_owned());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
}

#[test]
fn feeds_go_with_nacha_files() {
    assert!(check_feed(Format::Nacha, Some("one")).is_ok() && check_feed(Format::Csv, None).is_ok());
    assert!(check_feed(Format::Nacha, None).is_err() && check_feed(Format::Ndjson, Some("one")).is_err());
}
