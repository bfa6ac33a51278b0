//! Owns the rows of what pollers send: lookups, cursors and streams.

use serde_json::{Value, json};

use super::row::Row;
use super::world::{Facts, QUIET_LOAN};

const LOOKUP: &str = "/v1/payments/lookup";
const CHANGES: &str = "/v1/changes";
const STREAM: &str = "/v1/changes/stream";
const ID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const KEY: &str = "payment:nobody";

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = heads(facts);
    rows.extend(sizes(facts));
    rows.extend(bodies(facts));
    rows.extend(fields(facts));
    rows.extend(cursors(facts));
    rows
}

/// A lookup as a careful poller sends it: without a key.
fn lookup(facts: &Facts, number: &'static str, name: impl Into<String>, body: impl Into<Vec<u8>>) -> Row {
    Row::post(number, name, LOOKUP, &facts.demo, body).without("Idempotency-Key")
}

fn asked(ids: &[&str]) -> String {
    json!({ "ids": ids }).to_string()
}

fn heads(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, target, allowed) in [
        ("GET", LOOKUP, "POST"),
        ("PUT", LOOKUP, "POST"),
        ("POST", CHANGES, "GET"),
        ("DELETE", CHANGES, "GET"),
        ("POST", STREAM, "GET"),
    ] {
        let row = Row::new("1", format!("{method} {target}"), method, target).token(&facts.demo);
        rows.push(row.refused(405, &["method_not_allowed"]).has("allow", allowed));
    }
    let good = || asked(&[ID]);
    rows.push(lookup(facts, "17", "a lookup is a read and needs no key", good()).good(200));
    let keyed = lookup(facts, "19", "two keys on a lookup", good());
    rows.push(keyed.with("Idempotency-Key", "one").with("Idempotency-Key", "two").good(200).because("none is read"));
    for media in ["text/plain", "application/xml", "application/json; charset=utf-16", "application/x-ndjson", ""] {
        let row = lookup(facts, "13", format!("lookup, Content-Type {media:?}"), good());
        rows.push(row.instead("Content-Type", media).refused(415, &["unsupported_media_type"]));
    }
    let none = lookup(facts, "13", "lookup, no Content-Type", good()).without("Content-Type");
    rows.push(none.refused(415, &["unsupported_media_type"]));
    let zipped = lookup(facts, "14", "lookup, Content-Encoding gzip", vec![0x1f, 0x8b, 8, 0]);
    rows.push(zipped.with("Content-Encoding", "gzip").refused(415, &["unsupported_media_type"]));
    for (target, accept) in [
        (LOOKUP, "text/html"),
        (CHANGES, "text/event-stream"),
        (STREAM, "application/json"),
        (STREAM, "text/event-stream;q=0"),
        (STREAM, "text/html, image/*"),
    ] {
        let row = if target == LOOKUP {
            lookup(facts, "15", format!("{target}, Accept {accept}"), good())
        } else {
            Row::get("15", format!("{target}, Accept {accept}"), target, &facts.demo)
        };
        rows.push(row.with("Accept", accept).refused(406, &["not_acceptable"]));
    }
    for target in [CHANGES, STREAM] {
        let bare = Row::new("68", format!("{target} without a token"), "GET", target);
        rows.push(bare.refused(401, &["unauthenticated"]));
        let narrow = Row::get("76", format!("{target} without the scope"), target, &facts.narrow);
        rows.push(narrow.refused(403, &["insufficient_scope"]));
    }
    let narrow = Row::post("76", "a lookup without the scope", LOOKUP, &facts.narrow, good());
    rows.push(narrow.refused(403, &["insufficient_scope"]));
    rows
}

fn sizes(facts: &Facts) -> Vec<Row> {
    const MOST: usize = 4 * 1024 * 1024;
    let padded = |bytes: usize| format!("{}{}", " ".repeat(bytes - asked(&[ID]).len()), asked(&[ID]));
    let over = padded(MOST + 1);
    let chunked = format!("{:x}\r\n{over}\r\n0\r\n\r\n", over.len());
    let keys = |count: usize| -> Vec<String> { (0..count).map(|number| format!("nobody:{number:08}")).collect() };
    let commas = format!("{{\"ids\":[{}0]}}", "0,".repeat(1_000_000));
    vec![
        lookup(facts, "11", "a lookup of 4 MiB", padded(MOST)).good(200),
        lookup(facts, "11", "a lookup of 4 MiB and a byte", over).refused(413, &["payload_too_large"]),
        lookup(facts, "11", "the same in chunks", chunked)
            .with("Transfer-Encoding", "chunked")
            .refused(413, &["payload_too_large"]),
        lookup(facts, "12", "a lookup of 10 GB announced", "")
            .with("Content-Length", "10000000000")
            .with("Expect", "100-continue")
            .refused(413, &["payload_too_large"]),
        lookup(facts, "40", "10,000 keys", json!({"idempotency_keys": keys(10_000)}).to_string()).good(200),
        lookup(facts, "40", "10,001 keys", json!({"idempotency_keys": keys(10_001)}).to_string())
            .invalid(&["idempotency_keys"]),
        lookup(facts, "40", "10,001 ids", asked(&[ID; 10_001])).invalid(&["ids"]),
        lookup(facts, "40", "a million numbers", commas).invalid(&[""]),
    ]
}

fn bodies(facts: &Facts) -> Vec<Row> {
    let deep = "[".repeat(10_000);
    let texts = [
        ("16", String::new()),
        ("32", "{\"ids\":[".to_owned()),
        ("32", format!("{{\"ids\":[\"{ID}\",]}}")),
        ("32", format!("{0}{0}", asked(&[ID]))),
        ("32", format!("{{'ids':['{ID}']}}")),
        ("33", format!("\u{feff}{}", asked(&[ID]))),
        ("34", "{\"idempotency_keys\":[\"\\ud800\"]}".to_owned()),
        ("36", format!("{{\"ids\":{deep}")),
        ("44", "{\"ids\":[NaN]}".to_owned()),
    ];
    let mut rows: Vec<Row> = texts
        .into_iter()
        .map(|(number, text)| {
            let row = lookup(facts, number, format!("lookup {:.40}", text.escape_debug()), text);
            row.refused(400, &["malformed_json"])
        })
        .collect();
    rows.push(
        lookup(facts, "33", "a lookup with 0xff", &b"{\"ids\":[\"\xff\"]}"[..]).refused(400, &["malformed_json"]),
    );
    for body in ["null", "[]", "\"x\"", "5", "true"] {
        rows.push(lookup(facts, "16", format!("lookup {body}"), body).invalid(&["", "ids"]));
    }
    let queried = Row::post("38", "a lookup with a query", "/v1/payments/lookup?x=1", &facts.demo, asked(&[ID]));
    rows.push(queried.refused(400, &["invalid_parameter"]).fields(&["x"]));
    rows
}

fn fields(facts: &Facts) -> Vec<Row> {
    let twice = format!("{{\"ids\":[\"{ID}\"],\"ids\":[\"{ID}\"]}}");
    let plain = ID.replace('-', "");
    let cases: Vec<(&'static str, Value, Vec<&'static str>)> = vec![
        ("39", json!({}), vec!["ids"]),
        ("39", json!({"ids": null}), vec!["ids"]),
        ("39", json!({"ids": null, "idempotency_keys": null}), vec!["ids"]),
        ("39", json!({"ids": []}), vec!["ids"]),
        ("39", json!({"idempotency_keys": []}), vec!["idempotency_keys"]),
        ("38", json!({"ids": [ID], "idempotency_keys": [KEY]}), vec!["idempotency_keys"]),
        ("38", json!({"ids": [], "idempotency_keys": [5]}), vec!["ids", "idempotency_keys", "idempotency_keys.0"]),
        ("38", json!({"ids": [ID], "tenant_id": ID}), vec!["tenant_id"]),
        ("38", json!({"Ids": [ID]}), vec!["ids", "Ids"]),
        ("40", json!({"ids": ID}), vec!["ids"]),
        ("40", json!({"ids": {"0": ID}}), vec!["ids"]),
        ("40", json!({"ids": 5}), vec!["ids"]),
        ("40", json!({"ids": [ID, 5, null, {}, [ID], true]}), vec!["ids.1", "ids.2", "ids.3", "ids.4", "ids.5"]),
        ("40", json!({"idempotency_keys": [KEY, 12_345_678]}), vec!["idempotency_keys.1"]),
        ("3", json!({"ids": [ID, ID, ID, "1 OR 1=1"]}), vec!["ids.3"]),
        ("3", json!({"ids": ["", plain, format!("{{{ID}}}"), ID]}), vec!["ids.0", "ids.1", "ids.2"]),
        ("18", json!({"idempotency_keys": ["", "1234567", KEY]}), vec!["idempotency_keys.0", "idempotency_keys.1"]),
        (
            "18",
            json!({"idempotency_keys": ["x".repeat(256), "payment:\u{e9}"]}),
            vec!["idempotency_keys.0", "idempotency_keys.1"],
        ),
        ("35", json!({"ids": ["a\u{0}"]}), vec!["ids.0"]),
        ("35", json!({"idempotency_keys": [KEY, "payment:\u{0}"]}), vec!["idempotency_keys.1"]),
        ("43", json!({"idempotency_keys": ["'; DROP TABLE events;--"]}), vec!["idempotency_keys.0"]),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|(number, body, fields)| {
            let text = body.to_string();
            lookup(facts, number, format!("lookup {text:.60}"), text).invalid(&fields)
        })
        .collect();
    rows.push(lookup(facts, "37", "the ids twice", twice).invalid(&["ids"]));
    // Whatever is not a payment of the caller's is not found, and looks the same.
    rows.push(lookup(facts, "64", "ids of nobody", asked(&[ID, QUIET_LOAN])).good(200));
    rows
}

fn cursors(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    let bad = ["", "x", "AAAA", "LATEST", "..%2f..", "%00", "1%20OR%201=1", "AAAAAQAAAAAAAAAqAAAAAQAAAAAAAAAA"];
    for target in [CHANGES, STREAM] {
        for cursor in bad {
            let row =
                Row::get("38", format!("{target} from {cursor:?}"), &format!("{target}?cursor={cursor}"), &facts.demo);
            rows.push(row.refused(400, &["invalid_parameter"]).fields(&["cursor"]));
        }
        let twice = format!("{target}?cursor=latest&cursor=latest");
        let row = Row::get("38", format!("{target} from two places"), &twice, &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["cursor"]));
        let foreign = Row::get("38", format!("{target} of a tenant"), &format!("{target}?tenant_id=1"), &facts.demo);
        rows.push(foreign.refused(400, &["invalid_parameter"]).fields(&["tenant_id"]));
    }
    for query in ["page_size=0", "page_size=5001", "page_size=-1", "page_size=1e3", "page_size=", "page_size=+5"] {
        let row = Row::get("38", format!("changes, {query}"), &format!("{CHANGES}?{query}"), &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["page_size"]));
    }
    for query in ["wait=-1", "wait=x", "wait="] {
        let row = Row::get("24", format!("changes, {query}"), &format!("{CHANGES}?{query}"), &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["wait"]));
    }
    for id in ["x", "latest", "AAAAAQAAAAAAAAAqAAAAAQAAAAAAAAAA", "\u{e9}"] {
        let row = Row::get("38", format!("a stream after {id:?}"), STREAM, &facts.demo).with("Last-Event-ID", id);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["Last-Event-ID"]));
    }
    rows
}
