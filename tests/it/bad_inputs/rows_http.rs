//! Owns the rows of HTTP and headers that are one request each.

use super::row::Row;
use super::world::{Facts, QUIET_LOAN, payment};
use crate::processes::client::LOAN;

const PAYMENTS: &str = "/v1/payments";

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = addresses(facts);
    rows.extend(ids(facts));
    rows.extend(heads(facts));
    rows.extend(framing(facts));
    rows.extend(sizes(facts));
    rows.extend(media(facts));
    rows.extend(keys(facts));
    rows.extend(harmless(facts));
    rows
}

fn good_payment() -> String {
    payment(&[]).to_string()
}

fn addresses(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    let methods = [
        ("PUT", PAYMENTS, "GET"),
        ("PATCH", PAYMENTS, "POST"),
        ("DELETE", PAYMENTS, "POST"),
        ("GET", "/v1/disbursements", "POST"),
        ("PUT", "/v1/loans", "POST"),
        ("DELETE", "/v1/loans/1", "GET"),
        ("POST", "/v1/health/live", "GET"),
        ("POST", "/openapi.json", "GET"),
    ];
    for (method, target, allowed) in methods {
        let row = Row::new("1", format!("{method} {target}"), method, target).token(&facts.demo);
        rows.push(row.refused(405, &["method_not_allowed"]).has("allow", allowed));
    }
    let unknown = [
        "/v1/nothing",
        "/",
        "/v1",
        "/v1/payments/",
        "/V1/payments",
        "//v1//payments",
        "/v1/payments/../admin",
        "/v1/payments/..%2fadmin",
        "/v1/payments%2f..%2f..%2fadmin",
        "/v2/payments",
        "/metrics",
        "/console",
        "/v1/loans/x/../../health/live",
        "/.env",
        "/v1/ops",
    ];
    for target in unknown {
        rows.push(Row::get("2", target, target, &facts.demo).refused(404, &["not_found"]));
    }
    rows
}

fn ids(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    let no_ids = [
        "/v1/payments/1%20OR%201=1",
        "/v1/payments/1",
        "/v1/payments/%27%3B--",
        "/v1/payments/%00",
        "/v1/payments/11111111111111111111111111111111",
        "/v1/payments/%7B11111111-1111-1111-1111-111111111111%7D",
        "/v1/payments/urn:uuid:11111111-1111-1111-1111-111111111111",
        "/v1/loans/1%20OR%201=1",
        "/v1/loans/11111111-1111-1111-1111-11111111111g/balance",
        "/v1/loans/1/journal-entries",
        "/v1/journal-entries/1%20OR%201=1",
        "/v1/events/..%2f..%2fetc%2fpasswd",
        "/v1/accounts/11000/balance?currency=USD",
        "/v1/accounts/abcd/balance?currency=USD",
        "/v1/accounts/9999/balance?currency=USD",
        "/problems/nothing",
    ];
    for target in no_ids {
        rows.push(Row::get("3", target, target, &facts.demo).refused(404, &["not_found"]));
    }
    let broken = Row::get("3", "a broken percent escape in the path", "/v1/payments/%ff", &facts.demo);
    rows.push(
        broken.refused(400, &["invalid_request"]).because("not UTF-8 once decoded: no id, and no address either"),
    );
    let spaced =
        format!("GET /v1/payments/1 OR 1=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", facts.demo);
    rows.push(Row::raw("3", "blanks in the address", spaced).bare(&[400]));
    let long = "a".repeat(10_000);
    for target in [format!("/v1/payments/{long}"), format!("/v1/payments?status={long}"), format!("/{long}")] {
        rows.push(
            Row::get("4", format!("{target:.20} of 10 000"), &target, &facts.demo).refused(414, &["uri_too_long"]),
        );
    }
    let longer = "a".repeat(70_000);
    rows.push(Row::get("4", "70 000 characters", &format!("/{longer}"), &facts.demo).bare(&[414]));
    rows
}

fn heads(facts: &Facts) -> Vec<Row> {
    let balance = format!("/v1/loans/{LOAN}/balance");
    let many = |count: usize| {
        let row = Row::get("5", format!("{count} headers"), &balance, &facts.demo);
        (0..count).fold(row, |row, number| row.with(&format!("X-Filler-{number}"), "x"))
    };
    let one = |bytes: usize| {
        Row::get("5", format!("a header of {bytes}"), &balance, &facts.demo).with("X-Filler", "x".repeat(bytes))
    };
    vec![
        many(200).refused(431, &["headers_too_large"]),
        many(300).bare(&[431]),
        one(64 * 1024).refused(431, &["headers_too_large"]),
        one(200_000).bare(&[431, 0]),
        Row::raw("5", "a header without a colon", "GET / HTTP/1.1\r\nHost: x\r\nNonsense\r\n\r\n").bare(&[400]),
        Row::raw("5", "a control character in a header", "GET / HTTP/1.1\r\nHost: x\r\nA: \u{1}\r\n\r\n").bare(&[400]),
        Row::raw("28", "no Host", "GET /v1/health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
            .refused(400, &["invalid_request"]),
        Row::raw("28", "two Hosts", "GET /v1/health/live HTTP/1.1\r\nConnection: close\r\nHost: a\r\nHost: b\r\n\r\n")
            .refused(400, &["invalid_request"]),
    ]
}

/// A POST whose framing is written out.
fn framed(facts: &Facts, framing: &str, rest: &str) -> String {
    format!(
        "POST {PAYMENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: row:framing\r\n\
         Content-Type: application/json\r\n{framing}\r\n\r\n{rest}",
        facts.demo
    )
}

fn framing(facts: &Facts) -> Vec<Row> {
    let raw = |number: &'static str, framing: &str, rest: &str| {
        Row::raw(number, framing.replace("\r\n", " + "), framed(facts, framing, rest))
    };
    let mut rows: Vec<Row> = [
        "Content-Length: -1",
        "Content-Length: abc",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: ",
        "Content-Length: 0x10",
        "Content-Length: 99999999999999999999999",
    ]
    .into_iter()
    .map(|framing| raw("6", framing, "{}").bare(&[400]))
    .collect();
    let smuggled = "0\r\n\r\nGET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let follows_standard = "RFC 9112 6.1 allows it: the chunks count, the length is dropped, the connection ends";
    for both in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: abc",
    ] {
        rows.push(raw("7", both, smuggled).refused(400, &["malformed_json"]).because(follows_standard));
    }
    for coding in ["chunked, gzip", "gzip", "xchunked", "identity", ""] {
        rows.push(raw("7", &format!("Transfer-Encoding: {coding}"), smuggled).bare(&[400]));
    }
    rows.push(raw("7", "Transfer-Encoding : chunked", smuggled).bare(&[400]));
    let old = framed(facts, "Transfer-Encoding: chunked", smuggled).replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost");
    rows.push(Row::raw("7", "chunks over HTTP/1.0", old).bare(&[400]));
    let chunked = "Transfer-Encoding: chunked";
    let broken = [
        "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        "zz\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
    ];
    for chunks in broken {
        let row = Row::raw("8", format!("chunks {chunks:?}"), framed(facts, chunked, chunks));
        rows.push(row.refused(400, &["invalid_request"]));
    }
    let endless = format!("FFFFFFFFFFFFFFFF\r\n{}", "a".repeat(70_000));
    let row = Row::raw("8", "a chunk of 2^64 - 1", framed(facts, chunked, &endless));
    rows.push(row.refused(413, &["payload_too_large"]).because("a legal size: the limit is on what arrives of it"));
    rows
}

fn sizes(facts: &Facts) -> Vec<Row> {
    let padded = |bytes: usize| {
        let body = payment(&[("amount_minor", serde_json::json!(5))]).to_string();
        format!("{}{body}", " ".repeat(bytes - body.len()))
    };
    let post = |name: &str, body: String| Row::post("11", name, PAYMENTS, &facts.demo, body);
    let chunk = padded(64 * 1024 + 1);
    let chunked = format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    let giant = Row::post("12", "10 GB announced", PAYMENTS, &facts.demo, "");
    let giant = giant.with("Content-Length", "10000000000").refused(413, &["payload_too_large"]);
    vec![
        post("64 KiB are read", padded(64 * 1024)).invalid(&["amount_minor"]),
        post("64 KiB and one byte", chunk).refused(413, &["payload_too_large"]),
        post("64 KiB and one byte in chunks", chunked)
            .with("Transfer-Encoding", "chunked")
            .refused(413, &["payload_too_large"]),
        Row::new("11", "a giant form", "POST", "/oauth2/token")
            .with("Content-Type", "application/x-www-form-urlencoded")
            .body("a=".to_owned() + &"x".repeat(64 * 1024))
            .refused(413, &["payload_too_large"]),
        giant.clone(),
        giant.with("Expect", "100-continue"),
    ]
}

fn media(facts: &Facts) -> Vec<Row> {
    let post = |number: &'static str, name: String| Row::post(number, name, PAYMENTS, &facts.demo, good_payment());
    let mut rows = vec![
        post("13", "no Content-Type".to_owned()).without("Content-Type").refused(415, &["unsupported_media_type"]),
        post("13", "two Content-Types".to_owned())
            .with("Content-Type", "application/json")
            .refused(415, &["unsupported_media_type"]),
    ];
    for media in [
        "text/plain",
        "application/xml",
        "application/json; charset=utf-16",
        "application/json;charset=latin1",
        "json",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/problem+json",
        "",
        "application/json, text/plain",
        "application/x-www-form-urlencoded",
    ] {
        let row = post("13", format!("Content-Type {media:?}")).instead("Content-Type", media);
        rows.push(row.refused(415, &["unsupported_media_type"]));
    }
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xed; 4096]].concat();
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "x-gzip"] {
        let row = post("14", format!("Content-Encoding {coding}")).with("Content-Encoding", coding);
        rows.push(row.body(bomb.clone()).refused(415, &["unsupported_media_type"]));
    }
    for accept in ["text/html", "application/xml", "application/json;q=0", "text/html, */*;q=0", "image/*"] {
        let row = post("15", format!("Accept {accept}")).with("Accept", accept);
        rows.push(row.refused(406, &["not_acceptable"]));
        let row = Row::get("15", format!("read, Accept {accept}"), &format!("/v1/loans/{LOAN}"), &facts.demo);
        rows.push(row.with("Accept", accept).refused(406, &["not_acceptable"]));
    }
    for body in ["", "  \r\n"] {
        let row = post("16", format!("the body {body:?}")).body(body);
        rows.push(row.refused(400, &["malformed_json"]));
    }
    for body in ["null", "[]", "\"x\"", "5", "true", "[{}]"] {
        let row = post("16", format!("the body {body}")).body(body);
        rows.push(row.refused(422, &["validation_failed"]));
    }
    rows
}

fn keys(facts: &Facts) -> Vec<Row> {
    let post = |number: &'static str, name: String| {
        Row::post(number, name, PAYMENTS, &facts.demo, good_payment()).without("Idempotency-Key")
    };
    let mut rows = Vec::new();
    for path in [PAYMENTS, "/v1/disbursements", "/v1/loans"] {
        let row = Row::post("17", format!("no key at {path}"), path, &facts.demo, "{}").without("Idempotency-Key");
        rows.push(row.refused(400, &["idempotency_key_missing"]).has("link", "/problems/idempotency_key_missing"));
    }
    let long = "a".repeat(256);
    for key in [
        "",
        "\"\"",
        "1234567",
        &long,
        "schl\u{fc}ssel-1",
        "\u{ff11}\u{ff12}\u{ff13}\u{ff14}5678",
        "\"payment:1",
        "'payment:1'",
        "payment 0001",
        "payment\t0001",
        ":payment:0001",
        "-payment-0001",
        "payment;0001",
        "payment/0001",
        "%70ayment:0001",
        "a\\u0000bcdef",
    ] {
        let row = post("18", format!("the key {key:.20?}")).with("Idempotency-Key", key);
        rows.push(row.refused(400, &["idempotency_key_invalid"]));
    }
    for control in ["\u{1}", "\u{7f}", "\0"] {
        let row =
            post("18", format!("a key with {control:?}")).with("Idempotency-Key", format!("payment:{control}0001"));
        rows.push(row.bare(&[400]));
    }
    let two = |first: &str, second: &str| {
        let row = post("19", format!("the keys {first} and {second}"));
        row.with("Idempotency-Key", first).with("idempotency-key", second).refused(400, &["idempotency_key_invalid"])
    };
    rows.push(two("payment:0001", "payment:0001"));
    rows.push(two("payment:0001", "payment:0002"));
    for list in ["payment:0001,payment:0002", "payment:0001, payment:0001"] {
        let row = post("19", format!("the list {list}")).with("Idempotency-Key", list);
        rows.push(row.refused(400, &["idempotency_key_invalid"]));
    }
    rows
}

fn harmless(facts: &Facts) -> Vec<Row> {
    let post = |number: &'static str, name: String| {
        Row::post(number, name, PAYMENTS, &facts.demo, good_payment()).good(201).stored()
    };
    let mut rows = Vec::new();
    for prefer in ["wait=-1", "wait=abc", "wait=", "wait", "handling=lenient", "wait=1.5", "=", ",,,;;"] {
        rows.push(post("24", format!("Prefer {prefer}")).with("Prefer", prefer).lacks("preference-applied"));
    }
    for (prefer, applied) in
        [("wait=999999", "wait=60"), ("wait=99999999999999999999999999", "wait=60"), ("Wait=\"30\"; x=y", "wait=30")]
    {
        rows.push(post("24", format!("Prefer {prefer}")).with("Prefer", prefer).has("preference-applied", applied));
    }
    let foreign = post("28", "a foreign Host does not reach Location".to_owned()).instead("Host", "evil.example");
    let foreign = foreign.with("X-Forwarded-Host", "evil.example").with("Forwarded", "host=evil.example");
    rows.push(foreign.has("location", "/v1/payments/").lacks("x-forwarded-host"));
    let spoofs = ["X-Forwarded-For", "X-Real-IP", "X-Client-IP", "Forwarded"];
    for header in spoofs {
        let row = Row::new("29", format!("{header} lets nobody in"), "GET", &format!("/v1/loans/{LOAN}"));
        rows.push(row.with(header, "127.0.0.1").refused(401, &["unauthenticated"]));
        let row = Row::get("29", format!("{header} shows no more"), "/metrics", &facts.demo);
        rows.push(row.with(header, "127.0.0.1").refused(404, &["not_found"]));
    }
    for trace in [
        "garbage",
        "",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-zz-zz-zz",
        "\u{fc}",
        "00-4bf92f3577b34da6a3ce929d0e0e4736",
    ] {
        let row = Row::get("30", format!("traceparent {trace:?}"), &format!("/v1/loans/{QUIET_LOAN}"), &facts.demo);
        rows.push(row.with("traceparent", trace).with("tracestate", trace).with("X-Trace-Id", trace).good(200));
    }
    rows
}
