//! Owns the rows of NDJSON uploads. That an upload has at most ten million rows is told by a test of the row stream,
//! which need not read them: `api::uploads::rows`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use uuid::Uuid;

use super::raw::{Answer, PATIENCE, exchange, send_and_leave};
use super::row::Row;
use super::stories::{Story, Told, eventually, hold};
use super::world::{Facts, World, payment};

const BATCH: &str = "/v1/payments/batch";
const WHOLE: &str = "/v1/payments/batch?mode=all_or_nothing";
/// The longest line.
const LINE_BYTES: usize = 64 * 1024;

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = empties(facts);
    rows.extend(bad_lines(facts));
    rows.extend(limits(facts));
    rows.extend(line_ends(facts));
    rows.extend(repeats(facts));
    rows.extend(compressed(facts));
    rows
}

/// The stories of both deployments.
pub(super) const STORIES: &[Story] = &[
    Story { number: "86", name: "a bad line in the report", stores: 3, run: |world| Box::pin(reported(world)) },
    Story { number: "87", name: "a line too long in the report", stores: 2, run: |world| Box::pin(too_long(world)) },
    Story { number: "91", name: "cut off, whole", stores: 100, run: |world| Box::pin(cut_off(world, WHOLE)) },
    Story { number: "91", name: "cut off, best effort", stores: 100, run: |world| Box::pin(cut_off(world, BATCH)) },
];

fn upload(facts: &Facts, number: &'static str, name: impl Into<String>, path: &str, body: impl Into<Vec<u8>>) -> Row {
    Row::post(number, name, path, &facts.demo, body).instead("Content-Type", "application/x-ndjson")
}

/// One payment of the demo loan under a key that nobody else has.
fn fresh() -> Value {
    payment(&[("idempotency_key", json!(format!("upload:{}", Uuid::new_v4())))])
}

fn lines(rows: &[Value]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    lines.concat()
}

/// So many good rows, the one of that number without an amount.
fn one_bad(rows: usize, bad: usize) -> Vec<Value> {
    let mut rows: Vec<Value> = (0..rows).map(|_| fresh()).collect();
    rows[bad - 1]["amount_minor"] = json!("0");
    rows
}

fn empties(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, body) in
        [("empty", ""), ("blank lines", "\n \r\n\t\n\n"), ("one line end", "\n"), ("a mark", "\u{feff}")]
    {
        for path in [BATCH, WHOLE] {
            rows.push(upload(facts, "85", format!("{name} to {path}"), path, body).refused(422, &["invalid_file"]));
        }
    }
    let json = Row::post("85", "no payments in JSON", BATCH, &facts.demo, r#"{"payments":[]}"#);
    rows.push(json.refused(422, &["invalid_file"]));
    let unended = upload(facts, "85", "no line end at the end", BATCH, fresh().to_string());
    rows.push(unended.good(202).says("/accepted", 1).storing(1));
    rows
}

fn bad_lines(facts: &Facts) -> Vec<Row> {
    let whole = upload(facts, "86", "line 57 of 1 000, whole", WHOLE, lines(&one_bad(1_000, 57)));
    let best = upload(facts, "86", "line 57 of 1 000, best effort", BATCH, lines(&one_bad(1_000, 57)));
    let mut rows = vec![
        whole.refused(422, &["invalid_file"]).fields(&["rows.57.amount_minor"]),
        best.good(202).says("/accepted", 999).says("/invalid", 1).storing(999),
    ];
    for line in ["{", "null", "[]", "5", "\"x\"", "{}", "{} {}", "\u{1}", "not JSON"] {
        let body = format!("{}{line}\n", lines(&[fresh()]));
        let row = upload(facts, "86", format!("{line:?} as a line"), BATCH, body);
        rows.push(row.good(202).says("/accepted", 1).says("/invalid", 1).storing(1));
    }
    let bytes = [lines(&[fresh()]).as_bytes(), b"{\"a\":\"\xff\"}\n"].concat();
    rows.push(upload(facts, "86", "a line not in UTF-8", BATCH, bytes).good(202).says("/invalid", 1).storing(1));
    rows
}

fn limits(facts: &Facts) -> Vec<Row> {
    let padded = |length: usize| {
        let row = fresh().to_string();
        format!("{row}{}\n", " ".repeat(length - row.len()))
    };
    let large = |bytes: usize| {
        let row = fresh().to_string();
        let body = format!(r#"{{"payments":[{row}]}}"#);
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let json_bytes = 8 * 1024 * 1024;
    let many = format!(r#"{{"payments":[{}]}}"#, vec!["{}"; 10_001].join(","));
    let json = |name: &'static str, body: String| Row::post("87", name, BATCH, &facts.demo, body);
    let whole = (0..10_001).map(|_| "{}\n").collect::<String>();
    vec![
        upload(facts, "87", "a line of 64 KiB", BATCH, padded(LINE_BYTES)).good(202).says("/accepted", 1).storing(1),
        upload(facts, "87", "a line of 64 KiB + 1", WHOLE, padded(LINE_BYTES + 1))
            .refused(422, &["invalid_file"])
            .fields(&["rows.1"])
            .says("/errors/0/code", "line_too_long"),
        json("a JSON batch of 8 MiB", large(json_bytes)).good(202).says("/accepted", 1).storing(1),
        json("a JSON batch of 8 MiB + 1", large(json_bytes + 1)).refused(413, &["payload_too_large"]),
        json("10 001 rows in JSON", many).refused(422, &["batch_too_large"]),
        upload(facts, "87", "10 001 rows, whole", WHOLE, whole).refused(422, &["batch_too_large"]),
    ]
}

fn line_ends(facts: &Facts) -> Vec<Row> {
    let [first, second] = [fresh().to_string(), fresh().to_string()];
    let separated = payment(&[
        ("idempotency_key", json!(format!("upload:{}", Uuid::new_v4()))),
        ("metadata", json!({"a": "b\u{2028}c\u{2029}d"})),
    ]);
    let good = |name: &'static str, body: String, rows: u64| {
        upload(facts, "88", name, BATCH, body).good(202).says("/accepted", rows).says("/received", rows).storing(rows)
    };
    vec![
        good("CRLF", format!("{first}\r\n{second}\r\n"), 2),
        good("mixed ends", format!("{}\n\r\n{}\r\n\n{}", fresh(), fresh(), fresh()), 3),
        good("a mark", format!("\u{feff}{}\n", fresh()), 1),
        good("U+2028 inside a string", format!("{separated}\n"), 1),
        upload(facts, "88", "lines that end in CR alone are one", BATCH, format!("{}\r{}\r", fresh(), fresh()))
            .good(202)
            .says("/received", 1)
            .says("/invalid", 1)
            .storing(0),
    ]
}

fn repeats(facts: &Facts) -> Vec<Row> {
    let first = fresh();
    let mut other = first.clone();
    other["amount_minor"] = json!("101");
    let again = fresh();
    let twice = upload(facts, "89", "a key twice, same content", BATCH, lines(&[again.clone(), again]));
    let differs = upload(facts, "89", "a key twice, other content", BATCH, lines(&[first.clone(), other.clone()]));
    let whole = [fresh(), fresh()];
    let refused = |name: &'static str, rows: &[Value]| {
        upload(facts, "89", name, WHOLE, lines(rows))
            .refused(422, &["invalid_file"])
            .fields(&["rows.3.idempotency_key"])
    };
    let [a, b] = whole;
    let mut c = a.clone();
    c["amount_minor"] = json!("7");
    vec![
        twice.good(202).says("/accepted", 1).says("/duplicates", 1).says("/mismatched", 0).storing(1),
        differs.good(202).says("/accepted", 1).says("/duplicates", 0).says("/mismatched", 1).storing(1),
        refused("a key twice, whole, same content", &[a.clone(), b.clone(), a.clone()])
            .says("/errors/0/code", "duplicate"),
        refused("a key twice, whole, other content", &[a, b, c]).says("/errors/0/code", "mismatched"),
        upload(facts, "90", "the same file again", BATCH, lines(&[fresh(), fresh(), json!({"bad": true})]))
            .good(202)
            .says("/received", 3)
            .storing(2)
            .because("every row is sent twice: the second answer is checked to be a replay of the first"),
        upload(facts, "90", "the same file again, whole", WHOLE, lines(&[fresh(), fresh()])).good(202).storing(2),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(facts: &Facts) -> Vec<Row> {
    let file = lines(&[fresh(), fresh()]);
    let packed = gzip(file.as_bytes());
    let cut = |keep: usize| packed[..keep].to_vec();
    let broken = {
        let mut bytes = packed.clone();
        let middle = bytes.len() >> 1;
        bytes[middle] ^= 0xff;
        bytes
    };
    let zip = [b"PK\x03\x04".to_vec(), packed.clone()].concat();
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    let row = |name: &'static str, encoding: &str, body: Vec<u8>| {
        upload(facts, "92", name, BATCH, body).with("Content-Encoding", encoding)
    };
    let no_gzip = |name, encoding, body| row(name, encoding, body).refused(415, &["unsupported_media_type"]);
    vec![
        row("gzip", "gzip", gzip(lines(&[fresh()]).as_bytes())).good(202).says("/accepted", 1).storing(1),
        row("gzip without its last byte", "gzip", cut(packed.len() - 1)).refused(400, &["invalid_request"]),
        row("half of gzip", "gzip", cut(packed.len() >> 1)).refused(400, &["invalid_request"]),
        row("the first byte of gzip", "gzip", cut(1)).refused(400, &["invalid_request"]),
        row("a broken byte in gzip", "gzip", broken).refused(400, &["invalid_request"]),
        no_gzip("zip", "gzip", zip),
        no_gzip("plain text called gzip", "gzip", file.clone().into_bytes()),
        no_gzip("brotli", "br", packed.clone()),
        no_gzip("gzip twice", "gzip, gzip", gzip(&packed)),
        row("a thousand bytes of one", "gzip", bomb).refused(413, &["payload_too_large"]),
        row("nothing called gzip", "gzip", Vec::new()).refused(422, &["invalid_file"]),
    ]
}

/// Uploads lines; the answer, once nobody else receives them.
async fn send(world: &World, path: &str, key: &str, body: &str) -> Answer {
    let bytes = format!("{}{body}", head(world, path, key, body.len()));
    loop {
        let answer = exchange(world.address, bytes.as_bytes(), PATIENCE).await;
        if answer.status != 409 {
            return answer;
        }
    }
}

fn head(world: &World, path: &str, key: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n",
        world.facts.demo
    )
}

/// The results of an upload, row by row.
async fn results(world: &World, answer: &Answer) -> Vec<Value> {
    let path = format!("/v1/batches/{}/results", answer.json()["batch_id"].as_str().unwrap_or_default());
    let bytes = format!("GET {path} HTTP/1.0\r\nHost: hpts.test\r\nAuthorization: Bearer {}\r\n\r\n", world.facts.demo);
    let results = exchange(world.address, bytes.as_bytes(), PATIENCE).await;
    let text = String::from_utf8_lossy(&results.body).into_owned();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn reported(world: &World) -> Told {
    let key = format!("story:{}", Uuid::new_v4());
    let answer = send(world, BATCH, &key, &lines(&one_bad(4, 3))).await;
    hold(answer.status == 202, "expected 202", &answer)?;
    let results = results(world, &answer).await;
    let numbers: Vec<i64> = results.iter().filter_map(|row| row["row"].as_i64()).collect();
    let third = json!({"row": 3, "status": "invalid", "code": "validation_failed",
        "idempotency_key": results.get(2).map(|row| row["idempotency_key"].clone()),
        "errors": [{"field": "amount_minor", "code": "invalid", "message": "must be more than 0"}]});
    if numbers == [1, 2, 3, 4] && results[2] == third { Ok(()) } else { Err(format!("the report says {results:?}")) }
}

async fn too_long(world: &World) -> Told {
    let key = format!("story:{}", Uuid::new_v4());
    let long = "x".repeat(LINE_BYTES + 1);
    let body = format!("{}{long}\n{}", lines(&[fresh()]), lines(&[fresh()]));
    let answer = send(world, BATCH, &key, &body).await;
    hold(answer.status == 202 && answer.json()["invalid"] == 1, "expected one invalid row", &answer)?;
    let results = results(world, &answer).await;
    let codes: Vec<&str> = results.iter().map(|row| row["code"].as_str().unwrap_or("none")).collect();
    if codes == ["none", "line_too_long", "none"] { Ok(()) } else { Err(format!("the report says {results:?}")) }
}

async fn cut_off(world: &World, path: &str) -> Told {
    let key = format!("story:{}", Uuid::new_v4());
    let rows: Vec<Value> = (0..100).map(|_| fresh()).collect();
    let body = lines(&rows);
    let sent = format!("{}{}", head(world, path, &key, body.len()), body.get(..(body.len() >> 1)).unwrap());
    send_and_leave(world.address, sent.as_bytes()).await.map_err(|error| error.to_string())?;
    if path == WHOLE {
        // The cut is noticed within a moment; what was not accepted then never is.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let first = rows[0]["idempotency_key"].as_str().unwrap_or_default();
        let found = world.get(&format!("/v1/payments?idempotency_key={first}"), &world.facts.demo).await;
        hold(found.json() == json!({"items": []}), "nothing may be accepted of it", &found)?;
    }
    let answer = send(world, path, &key, &body).await;
    hold(answer.status == 202 && answer.json()["accepted"] == 100, "expected all to be accepted", &answer)?;
    let batch = format!("/v1/batches/{}", answer.json()["batch_id"].as_str().unwrap_or_default());
    eventually("all of it is posted", async || {
        world.get(&batch, &world.facts.demo).await.json()["counts"]["posted"] == 100
    })
    .await
}
