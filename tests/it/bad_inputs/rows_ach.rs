//! Owns the rows and stories of ACH files. Every fault of a file has its row in the reader's own table; these are what
//! the endpoint makes of each sort.

use hpts::core::ach::{AddendaSpec, SecCode};

use super::raw::{Answer, PATIENCE, exchange};
use super::row::{Row, replayed, same};
use super::stories::{Story, Told, hold};
use super::world::{Facts, LENIENT_FEED, STRICT_FEED, World};
use crate::support::ach::{AchFile, trace};

/// The feed that the demo brings.
const DEMO_FEED: &str = "demo";

/// The stories of both deployments. Exceptions are no events.
pub(super) const STORIES: &[Story] = &[
    Story { number: "96", name: "a file without filler", stores: 1, run: |world| Box::pin(unpadded(world)) },
    Story { number: "101", name: "one trace number twice", stores: 2, run: |world| Box::pin(trace_twice(world)) },
    Story { number: "103", name: "returns and changes", stores: 0, run: |world| Box::pin(returns(world)) },
    Story { number: "104", name: "a date that is past", stores: 0, run: |world| Box::pin(past_date(world)) },
    Story { number: "105", name: "other bytes of one identity", stores: 1, run: |world| Box::pin(identity(world)) },
];

/// One payment, without a loan that is known.
fn plain(modifier: char) -> Vec<u8> {
    AchFile::of_debits(modifier, [("999999", 100)])
}

/// Bytes with others at some places, by line and column from 1.
fn with(mut bytes: Vec<u8>, changes: &[(usize, usize, &[u8])]) -> Vec<u8> {
    for (line, column, text) in changes {
        let at = (line - 1) * 95 + column - 1;
        bytes[at..at + text.len()].copy_from_slice(text);
    }
    bytes
}

/// Some of the lines, from 1, in any order.
fn lines(bytes: &[u8], numbers: &[usize]) -> Vec<u8> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    numbers.iter().flat_map(|number| lines[number - 1]).copied().collect()
}

fn path(feed: &str) -> String {
    format!("/v1/ach/files?feed={feed}")
}

fn row(number: &'static str, name: &str, facts: &Facts, bytes: impl Into<Vec<u8>>) -> Row {
    let row = Row::post(number, format!("file: {name}"), &path(STRICT_FEED), &facts.demo, bytes);
    row.instead("Content-Type", "text/plain")
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows: Vec<Row> = changed()
        .into_iter()
        .chain(rearranged())
        .map(|(number, name, bytes)| row(number, name, facts, bytes).refused(422, &["invalid_file"]))
        .collect();
    let of = |name| row("file", name, facts, plain('Z'));
    let feeds: [(&str, &[&'static str]); 3] = [
        ("/v1/ach/files", &["feed"]),
        ("/v1/ach/files?feed=nobody", &["feed"]),
        ("/v1/ach/files?feed=demo&x=1", &["x"]),
    ];
    for (target, fields) in feeds {
        let row = Row::post("file", format!("to {target}"), target, &facts.demo, plain('Z'));
        rows.push(row.instead("Content-Type", "text/plain").refused(400, &["invalid_parameter"]).fields(fields));
    }
    rows.push(of("as JSON").instead("Content-Type", "application/json").refused(415, &["unsupported_media_type"]));
    rows.push(of("without a key").without("Idempotency-Key").refused(400, &["idempotency_key_missing"]));
    rows.push(of("without a token").without("Authorization").refused(401, &["unauthenticated"]));
    let narrow = format!("Bearer {}", facts.narrow);
    rows.push(of("with another's scope").instead("Authorization", narrow).refused(403, &["insufficient_scope"]));
    let other = format!("Bearer {}", facts.other);
    let theirs = of("another tenant's feed").instead("Authorization", other).refused(400, &["invalid_parameter"]);
    rows.push(theirs.fields(&["feed"]));
    rows.push(row("file", "empty", facts, "").refused(422, &["invalid_file"]));
    rows
}

/// Files with a few bytes changed, by the numbers of the list.
fn changed() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let one = |number, name, line, column, text: &[u8]| (number, name, with(plain('Z'), &[(line, column, text)]));
    vec![
        one("94", "a tab", 3, 60, b"\t"),
        one("94", "a control character", 3, 60, b"\x01"),
        one("94", "UTF-8", 3, 60, "\u{e9}".as_bytes()),
        ("94", "EBCDIC", vec![0xf1; 950]),
        one("97", "entry hash of the batch", 4, 11, b"0000000001"),
        one("97", "debits of the batch", 4, 21, b"000000000101"),
        one("97", "count of the batch", 4, 5, b"000002"),
        one("97", "debits of the file", 5, 32, b"000000000099"),
        one("97", "count of the file", 5, 14, b"00000002"),
        one("96", "block count", 5, 8, b"000002"),
        one("98", "check digit", 3, 12, b"9"),
        one("98", "bank of zeros", 3, 4, b"000000000"),
        one("98", "a destination that is not ours", 1, 4, b" 121042882"),
        ("99", "service class of credits", with(plain('Z'), &[(2, 2, b"220"), (4, 2, b"220")])),
        one("99", "entry class", 2, 51, b"XXX"),
        one("99", "a bank's accounting advices", 2, 51, b"ADV"),
        one("99", "transaction code", 3, 2, b"99"),
        one("100", "letters in the amount", 3, 30, b"00000000AB"),
        one("100", "blanks for the amount", 3, 30, b"          "),
        one("100", "a prenote with an amount", 3, 2, b"28"),
        one("101", "trace of another bank", 3, 80, b"11111111"),
        one("102", "an addenda that is not there", 3, 79, b"1"),
        one("104", "time of 24:00", 1, 30, b"2400"),
        one("104", "time of 29:00", 1, 30, b"2900"),
        one("104", "day 32 of month 13", 1, 24, b"261332"),
        one("106", "the greatest total there is", 5, 32, b"999999999999"),
    ]
}

/// Files whose records are not where they belong.
fn rearranged() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let whole = plain('Z');
    let two = AchFile::of_debits('Z', [("999999", 100), ("999998", 100)]);
    let mut addenda = AchFile::new('Z');
    addenda.batch(SecCode::Ppd).entry(27, "999999", 100, &[AddendaSpec::Remittance("LOAN 999999")]);
    let mut returned = AchFile::new('Z');
    returned.batch(SecCode::Ppd).returned("999999", 100, trace(5));
    let mut short = whole.clone();
    short.remove(2 * 95 + 60);
    vec![
        ("94", "a record of 93 characters", short),
        ("95", "no file header", lines(&whole, &[2, 3, 4, 5])),
        ("95", "no file control", lines(&whole, &[1, 2, 3, 4])),
        ("95", "no batch control", lines(&whole, &[1, 2, 3, 5])),
        ("95", "an entry outside a batch", lines(&whole, &[1, 3, 5])),
        ("95", "an entry after the end", lines(&whole, &[1, 2, 3, 4, 5, 3])),
        ("96", "no filler for a strict feed", lines(&whole, &[1, 2, 3, 4, 5])),
        ("101", "falling trace numbers", lines(&two, &[1, 2, 4, 3, 5, 6, 7, 8, 9, 10])),
        ("102", "an addenda that is not announced", with(addenda.finish(), &[(3, 79, b"0")])),
        ("103", "an unknown return code", with(returned.finish(), &[(4, 4, b"R96")])),
    ]
}

pub(super) async fn send(world: &World, key: &str, feed: &str, bytes: &[u8]) -> Answer {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        path(feed),
        world.facts.demo,
        bytes.len()
    );
    exchange(world.address, &[head.as_bytes(), bytes].concat(), PATIENCE).await
}

/// The file is taken with so many payments and exceptions, and sent again it is a replay.
async fn taken(world: &World, key: &str, feed: &str, bytes: &[u8], counts: [i64; 2]) -> Result<Answer, String> {
    let answer = send(world, key, feed, bytes).await;
    let told = answer.json();
    let seen = ["accepted", "invalid"].map(|name| told[name].as_i64());
    hold(answer.status == 202 && seen == counts.map(Some), &format!("expected 202 with {counts:?}"), &answer)?;
    let again = send(world, key, feed, bytes).await;
    hold(again.status == 200, "expected the first answer", &again)?;
    hold(
        again.body == answer.body && again.header("idempotent-replayed") == Some("true"),
        "expected a replay",
        &again,
    )?;
    replayed(&again, &send(world, key, feed, bytes).await)?;
    Ok(answer)
}

async fn unpadded(world: &World) -> Told {
    let bytes = lines(&plain('A'), &[1, 2, 3, 4, 5]);
    taken(world, "story:file:unpadded", DEMO_FEED, &bytes, [1, 0]).await.map(drop)
}

async fn trace_twice(world: &World) -> Told {
    let two = AchFile::of_debits('B', [("999999", 120), ("999998", 120)]);
    let first = two[2 * 95 + 79..2 * 95 + 94].to_vec();
    let bytes = with(two, &[(4, 80, &first)]);
    taken(world, "story:file:twice", LENIENT_FEED, &bytes, [2, 0]).await.map(drop)
}

async fn returns(world: &World) -> Told {
    let mut file = AchFile::new('C');
    file.batch(SecCode::Ppd).returned("999999", 4_444, trace(4_444));
    file.batch(SecCode::Cor).changed("999999", trace(4_444));
    taken(world, "story:file:returns", DEMO_FEED, &file.finish(), [0, 2]).await.map(drop)
}

async fn past_date(world: &World) -> Told {
    // The day before the file was made, and no word of when it settled.
    let bytes = with(plain('D'), &[(2, 70, b"260429"), (2, 76, b"   ")]);
    taken(world, "story:file:past", DEMO_FEED, &bytes, [0, 1]).await.map(drop)
}

async fn identity(world: &World) -> Told {
    let bytes = AchFile::of_debits('E', [("999999", 150)]);
    let first = taken(world, "story:file:first", DEMO_FEED, &bytes, [1, 0]).await?;
    let other = AchFile::of_debits('E', [("999999", 151)]);
    let conflict = send(world, "story:file:other", DEMO_FEED, &other).await;
    let is_told = conflict.status == 409 && conflict.json()["code"] == "duplicate_file";
    hold(is_told, "expected duplicate_file", &conflict)?;
    hold(conflict.json()["batch_id"] == first.json()["batch_id"], "expected the first file's id", &conflict)?;
    same(&conflict, &send(world, "story:file:other", DEMO_FEED, &other).await)
}
