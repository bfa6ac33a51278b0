//! Owns the form of a row: one request, and everything its answer must be.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;
use uuid::Uuid;

use super::raw::{Answer, PATIENCE, exchange};

/// What no answer may show unless the request said it first.
const INSIDES: [&str; 14] = [
    "select ",
    "insert into",
    "sqlstate",
    "sqlx",
    "sqlite",
    "postgres",
    "rabbitmq",
    "lapin",
    "panicked",
    "backtrace",
    ".rs:",
    "src/",
    "/tmp/",
    "loan_key",
];
/// Headers that differ from answer to answer.
const PASSING_HEADERS: [&str; 4] = ["date", "x-request-id", "retry-after", "content-length"];

/// What sort of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A problem document with one of these codes.
    Problem(&'static [&'static str]),
    /// An error of RFC 6749, section 5.2.
    Oauth(&'static str),
    /// The HTTP library's own refusal: a status, or only the end of the connection.
    Bare,
    /// A success.
    Good,
}

/// What a header of the answer must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    Has(&'static str),
    Absent,
}

/// One bad input, or one that looks bad and is good.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) number: &'static str,
    pub(super) name: String,
    start: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    raw: Option<Vec<u8>>,
    statuses: Vec<u16>,
    kind: Kind,
    fields: Option<Vec<&'static str>>,
    seen: Vec<(&'static str, Seen)>,
    says: Vec<(&'static str, Value)>,
    /// Events it leaves in the store, however often it is sent; an upload counts by its rows.
    pub(super) stores: u64,
    /// Whether sending it again is a replay.
    is_replayed: bool,
    reason: &'static str,
}

impl Row {
    /// A request without token, key or body.
    pub(super) fn new(number: &'static str, name: impl Into<String>, method: &str, target: &str) -> Self {
        Self {
            number,
            name: name.into(),
            start: format!("{method} {target} HTTP/1.1"),
            headers: vec![("Host".to_owned(), b"hpts.test".to_vec())],
            body: Vec::new(),
            raw: None,
            statuses: vec![200],
            kind: Kind::Good,
            fields: None,
            seen: Vec::new(),
            says: Vec::new(),
            stores: 0,
            is_replayed: false,
            reason: "",
        }
    }

    /// A write as a careful client sends it: token, fresh key, JSON.
    pub(super) fn post(
        number: &'static str,
        name: impl Into<String>,
        path: &str,
        token: &str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let key = format!("row:{}", Uuid::new_v4());
        let row = Self::new(number, name, "POST", path).token(token).with("Idempotency-Key", &key);
        row.with("Content-Type", "application/json").body(body)
    }

    /// A read.
    pub(super) fn get(number: &'static str, name: impl Into<String>, target: &str, token: &str) -> Self {
        Self::new(number, name, "GET", target).token(token)
    }

    /// Bytes as they are, on a connection that the server must end by itself.
    pub(super) fn raw(number: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { raw: Some(bytes.into()), ..Self::new(number, name, "", "") }
    }

    pub(super) fn token(self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    /// One more header.
    pub(super) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Without a header.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Another value for a header.
    pub(super) fn instead(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A problem document.
    pub(super) fn refused(mut self, status: u16, code: &'static [&'static str]) -> Self {
        (self.statuses, self.kind) = (vec![status], Kind::Problem(code));
        self
    }

    /// 422 naming exactly these fields.
    pub(super) fn invalid(self, fields: &[&'static str]) -> Self {
        self.refused(422, &["validation_failed"]).fields(fields)
    }

    pub(super) fn fields(mut self, fields: &[&'static str]) -> Self {
        self.fields = Some(fields.to_vec());
        self
    }

    /// The HTTP library refuses it; 0 stands for an ended connection without an answer.
    pub(super) fn bare(mut self, statuses: &[u16]) -> Self {
        (self.statuses, self.kind) = (statuses.to_vec(), Kind::Bare);
        self
    }

    pub(super) fn oauth(mut self, status: u16, error: &'static str) -> Self {
        (self.statuses, self.kind) = (vec![status], Kind::Oauth(error));
        self
    }

    pub(super) fn good(mut self, status: u16) -> Self {
        (self.statuses, self.kind) = (vec![status], Kind::Good);
        self
    }

    pub(super) fn has(mut self, header: &'static str, part: &'static str) -> Self {
        self.seen.push((header, Seen::Has(part)));
        self
    }

    pub(super) fn lacks(mut self, header: &'static str) -> Self {
        self.seen.push((header, Seen::Absent));
        self
    }

    /// What stands at a place of the answer.
    pub(super) fn says(mut self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.says.push((pointer, value.into()));
        self
    }

    /// It is accepted: one event stays, and the same request again is a replay.
    pub(super) fn stored(self) -> Self {
        self.storing(1)
    }

    /// The same with another number of events.
    pub(super) fn storing(mut self, events: u64) -> Self {
        (self.stores, self.is_replayed) = (events, true);
        self
    }

    /// Why the answer is right although the list reads otherwise.
    pub(super) fn because(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut bytes = format!("{}\r\nConnection: close\r\n", self.start).into_bytes();
        let announced = self.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
        });
        if !announced && !self.start.starts_with("GET") {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it twice; answers what is wrong with the answers.
    pub(super) async fn judge(&self, address: SocketAddr, secrets: &[String]) -> Result<(), String> {
        let bytes = self.bytes();
        let first = exchange(address, &bytes, PATIENCE).await;
        let told = |why: String| {
            let because = if self.reason.is_empty() { String::new() } else { format!(" [{}]", self.reason) };
            format!("{why}{because}; got {} {}", first.status, String::from_utf8_lossy(&first.body))
        };
        self.check(&first, secrets, &bytes).map_err(&told)?;
        let again = exchange(address, &bytes, PATIENCE).await;
        if self.is_replayed { replayed(&first, &again) } else { same(&first, &again) }.map_err(&told)
    }

    fn check(&self, answer: &Answer, secrets: &[String], request: &[u8]) -> Result<(), String> {
        if !self.statuses.contains(&answer.status) {
            return Err(format!("expected {:?}", self.statuses));
        }
        if !answer.closed || answer.more {
            return Err("the connection must end after one answer".to_owned());
        }
        match self.kind {
            Kind::Problem(codes) => check_problem(answer, codes)?,
            Kind::Oauth(error) => check_oauth(answer, error)?,
            Kind::Bare if !answer.body.is_empty() => return Err("a bare refusal has no body".to_owned()),
            Kind::Good if answer.header("x-request-id").is_none() => return Err("no X-Request-Id".to_owned()),
            Kind::Bare | Kind::Good => {}
        }
        if let Some(fields) = &self.fields {
            let named = answer.json()["errors"].as_array().cloned().unwrap_or_default();
            let named: BTreeSet<String> =
                named.iter().map(|error| error["field"].as_str().unwrap_or("?").to_owned()).collect();
            let expected: BTreeSet<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            if named != expected {
                return Err(format!("expected the fields {expected:?}"));
            }
        }
        for (header, seen) in &self.seen {
            let value = answer.header(header);
            let holds = match seen {
                Seen::Has(part) => value.is_some_and(|value| value.contains(part)),
                Seen::Absent => value.is_none(),
            };
            if !holds {
                return Err(format!("expected {header} {seen:?}, got {value:?}"));
            }
        }
        for (pointer, value) in &self.says {
            if answer.json().pointer(pointer) != Some(value) {
                return Err(format!("expected {pointer} {value}"));
            }
        }
        nothing_shown(answer, secrets, request)
    }
}

fn check_problem(answer: &Answer, codes: &[&str]) -> Result<(), String> {
    let document = answer.json();
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let code = text("code");
    if !codes.contains(&code.as_str()) {
        return Err(format!("expected the code {codes:?}"));
    }
    if answer.header("content-type") != Some("application/problem+json") {
        return Err("not application/problem+json".to_owned());
    }
    if text("type") != format!("/problems/{code}") || document["status"].as_u64() != Some(u64::from(answer.status)) {
        return Err("type or status do not fit".to_owned());
    }
    if ["title", "detail", "instance"].iter().any(|name| text(name).is_empty()) || !document["retryable"].is_boolean() {
        return Err("title, detail, instance or retryable is missing".to_owned());
    }
    if text("request_id").is_empty() || answer.header("x-request-id") != Some(&text("request_id")) {
        return Err("X-Request-Id is not the request_id".to_owned());
    }
    let challenged = answer.header("www-authenticate").is_some();
    if answer.status == 401 && !challenged {
        return Err("401 without WWW-Authenticate".to_owned());
    }
    let waits = answer.header("retry-after").is_some();
    if [429, 503].contains(&answer.status) && !waits {
        return Err(format!("{} without Retry-After", answer.status));
    }
    Ok(())
}

fn check_oauth(answer: &Answer, error: &str) -> Result<(), String> {
    if answer.json()["error"].as_str() != Some(error) {
        return Err(format!("expected the error {error}"));
    }
    let is_json = answer.header("content-type") == Some("application/json");
    let is_kept_from_caches = answer.header("cache-control") == Some("no-store");
    let is_challenged = answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic"));
    if !is_json || !is_kept_from_caches || is_challenged != (answer.status == 401) {
        return Err("content type, Cache-Control or WWW-Authenticate do not fit".to_owned());
    }
    Ok(())
}

/// Nothing of our insides and nothing of another tenant.
fn nothing_shown(answer: &Answer, secrets: &[String], request: &[u8]) -> Result<(), String> {
    let said = String::from_utf8_lossy(request).to_lowercase();
    let headers = answer.headers.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\n");
    let shown = format!("{}\n{headers}", String::from_utf8_lossy(&answer.body)).to_lowercase();
    let words = INSIDES.iter().map(|word| (*word).to_owned()).chain(secrets.iter().cloned());
    match words.into_iter().find(|word| shown.contains(word.as_str()) && !said.contains(word.as_str())) {
        Some(word) => Err(format!("the answer shows {word:?}")),
        None => Ok(()),
    }
}

/// The same answer but for what names the request.
pub(super) fn same(first: &Answer, again: &Answer) -> Result<(), String> {
    if lasting(first) == lasting(again) {
        Ok(())
    } else {
        Err(format!("the same input got another answer: {} {}", again.status, String::from_utf8_lossy(&again.body)))
    }
}

/// The first outcome again, marked as a replay.
pub(super) fn replayed(first: &Answer, again: &Answer) -> Result<(), String> {
    let status = if [201, 202].contains(&first.status) { 200 } else { first.status };
    let is_replay = again.header("idempotent-replayed") == Some("true");
    if again.status == status && is_replay && lasting(first).2 == lasting(again).2 {
        return Ok(());
    }
    Err(format!("the repeat is not a replay: {} {}", again.status, String::from_utf8_lossy(&again.body)))
}

fn lasting(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let headers = answer.headers.iter().filter(|(name, _)| !PASSING_HEADERS.contains(&name.as_str()));
    let mut headers: Vec<_> = headers.cloned().collect();
    headers.sort();
    let mut body = answer.json();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    (answer.status, if answer.status == 200 { Vec::new() } else { headers }, body)
}
