//! Owns the step from a line to a row: a payment under its key, or what is wrong with it.
//!
//! What a row asks for never changes, and its print is made of that. What a tenant allows does: a row that a rule refuses
//! is a payment all the same, and says so, for it may have been accepted on another day.

use std::time::Duration;

use axum::body::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::api::error::ApiError;
use crate::api::json::{Fields, read};
use crate::api::problem::{FieldError, first_failures};
use crate::api::uploads::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::api::uploads::source::Source;
use crate::api::uploads::{CHUNK_BYTES_MAX, CHUNK_ROWS_MAX};
use crate::api::write::payments::parse_payment;
use crate::api::write::request::AcceptanceRules;
use crate::core::event::{Command, Fingerprint, IdempotencyKey};
use crate::core::money::{Minor, Money};
use crate::store::FileRow;

/// The most rows of one upload.
pub(crate) const ROWS_MAX: i64 = 10_000_000;
/// How many failures of one row are told: a payment has about ten fields, and what is told of a row is stored.
const FAILURES_OF_ROW: usize = 20;
/// Rows that have come are handed on after this, however few they are; with none, silence is.
const HANDED_ON_AFTER: Duration = Duration::from_secs(5);

/// One row.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "a row's number is `row_no` everywhere, in SQL too")]
pub(crate) struct Row {
    /// From 1.
    pub(crate) row_no: i64,
    /// Its key, where it has one.
    pub(crate) key: Option<IdempotencyKey>,
    /// What it asks for.
    pub(crate) content: RowContent,
    /// What the upload's fingerprint is made of.
    pub(crate) print: [u8; 32],
}

/// What a row asks for.
#[derive(Clone, Debug)]
pub(crate) enum RowContent {
    /// A payment, or what else an entry of a file means.
    Command(Command),
    /// A payment that a rule of acceptance refuses, unless it was accepted before.
    Refused(Command, RowFault),
    /// Nothing that could be posted.
    Fault(RowFault),
}

/// Why a row is no payment, or is not taken for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// The contract's problem code.
    pub(crate) code: &'static str,
    /// The fields that fail.
    pub(crate) errors: Vec<FieldError>,
    /// What it is about, where that is known.
    pub(crate) money: Option<Money>,
    /// The same entry of another file.
    pub(crate) first: Option<FileRow>,
}

impl RowFault {
    fn of(code: &'static str, message: &'static str) -> Self {
        Self { code, errors: vec![FieldError::new("", code, message)], money: None, first: None }
    }
}

impl Row {
    /// A row that asks for `command` under `key`.
    pub(crate) fn of_command(row_no: i64, key: IdempotencyKey, command: Command) -> Self {
        let print = Sha256::new().chain_update(b"row\0").chain_update(key.as_str());
        let print = print.chain_update(Fingerprint::of(&command).bytes()).finalize().into();
        Self { row_no, key: Some(key), content: RowContent::Command(command), print }
    }

    /// A row that is no payment.
    pub(crate) fn of_fault(row_no: i64, key: Option<IdempotencyKey>, fault: RowFault) -> Self {
        let print = bad_print(fault.code.as_bytes());
        Self { row_no, key, content: RowContent::Fault(fault), print }
    }

    /// A row whose payment a rule of acceptance refuses.
    fn of_refused(row_no: i64, key: IdempotencyKey, command: Command, refusal: RowFault) -> Self {
        let accepted = Self::of_command(row_no, key, command.clone());
        Self { content: RowContent::Refused(command, refusal), ..accepted }
    }

    /// Reads a line.
    pub(crate) fn of_line(row_no: i64, line: &Line, rules: &AcceptanceRules) -> Self {
        match line {
            Line::Text(text) => Self::of_text(row_no, text, rules),
            Line::TooLong => {
                let fault = RowFault::of("line_too_long", "a row may be at most 64 KiB");
                Self { row_no, key: None, content: RowContent::Fault(fault), print: bad_print(b"too long") }
            }
        }
    }

    /// Reads a payment in JSON.
    pub(crate) fn of_text(row_no: i64, text: &[u8], rules: &AcceptanceRules) -> Self {
        let (key, fault) = match keyed_payment(text, rules) {
            Ok((key, command)) if above(&command, rules.payment_limit) => {
                return Self::of_refused(row_no, key, command, above_limit());
            }
            Ok((key, command)) => return Self::of_command(row_no, key, command),
            Err(failed) => failed,
        };
        if AcceptanceRules::are_all_of(&fault.errors)
            && let Ok((key, command)) = keyed_payment(text, &AcceptanceRules::NONE)
        {
            return Self::of_refused(row_no, key, command, fault);
        }
        Self { row_no, key, content: RowContent::Fault(fault), print: bad_print(text) }
    }
}

/// A payment in JSON under its key; or the key, where there is one, and what is wrong.
fn keyed_payment(
    text: &[u8],
    rules: &AcceptanceRules,
) -> Result<(IdempotencyKey, Command), (Option<IdempotencyKey>, RowFault)> {
    let body = read(text).map_err(|error| (None, RowFault::of("malformed_json", error.0)))?;
    let mut fields = Fields::of_body(body);
    let key = fields.required("idempotency_key", IdempotencyKey::parse);
    let command = parse_payment(&mut fields, rules);
    let errors = first_failures(fields.finish(), FAILURES_OF_ROW);
    match (key, command) {
        (Some(key), Some(command)) if errors.is_empty() => Ok((key, command)),
        (key, _) => Err((key, RowFault { code: "validation_failed", errors, money: None, first: None })),
    }
}

fn above_limit() -> RowFault {
    let message = "is above your tenant's limit for one payment";
    let errors = vec![FieldError::new("amount_minor", "limit_exceeded", message)];
    RowFault { code: "limit_exceeded", errors, money: None, first: None }
}

fn above(command: &Command, limit: Option<Minor>) -> bool {
    limit.zip(command.amount()).is_some_and(|(limit, amount)| amount > limit)
}

fn bad_print(text: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"bad\0").chain_update(text).finalize().into()
}

/// The rows of a stream of lines, chunk by chunk.
pub(crate) struct RowStream {
    source: Source,
    lines: Lines,
    rules: AcceptanceRules,
    rows: i64,
    is_over: bool,
}

impl RowStream {
    /// The rows of `source`.
    pub(crate) fn new(source: Source, rules: AcceptanceRules) -> Self {
        Self { source, lines: Lines::default(), rules, rows: 0, is_over: false }
    }

    /// The next rows, at most a chunk; `None` at the end. Blank lines are no rows. May be empty after a while without
    /// a whole row, so that the caller can say it still listens.
    ///
    /// # Errors
    /// See [`Source::next`]; more than [`ROWS_MAX`] rows.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<Row>>, ApiError> {
        if self.is_over {
            return Ok(None);
        }
        let lines = self.read_lines().await?;
        if lines.is_empty() && self.is_over {
            return Ok(None);
        }
        let first = self.rows.saturating_add(1);
        self.rows = self.rows.saturating_add(i64::try_from(lines.len()).unwrap_or(i64::MAX));
        if self.rows > ROWS_MAX {
            return Err(ApiError::PayloadTooLarge);
        }
        parse(first, lines, self.rules).await.map(Some)
    }

    async fn read_lines(&mut self) -> Result<Vec<Line>, ApiError> {
        let began = Instant::now();
        let mut taken = Chunk::default();
        loop {
            while !taken.is_full() {
                let Some(line) = self.lines.next() else { break };
                taken.push(line);
            }
            if taken.is_full() {
                return Ok(taken.lines);
            }
            let left = HANDED_ON_AFTER.saturating_sub(began.elapsed());
            let Ok(bytes) = tokio::time::timeout(left, self.source.next()).await else { return Ok(taken.lines) };
            if let Some(bytes) = bytes? {
                self.lines.push(bytes);
                continue;
            }
            self.is_over = true;
            if let Some(line) = self.lines.last() {
                taken.push(line);
            }
            return Ok(taken.lines);
        }
    }
}

/// The rows of a body that is there at once, chunk by chunk.
pub(crate) struct ItemRows {
    items: std::vec::IntoIter<Bytes>,
    rules: AcceptanceRules,
    rows: i64,
}

impl ItemRows {
    /// The rows of a body's items.
    pub(crate) fn new(items: Vec<Bytes>, rules: AcceptanceRules) -> Self {
        Self { items: items.into_iter(), rules, rows: 0 }
    }

    async fn chunk(&mut self) -> Result<Option<Vec<Row>>, ApiError> {
        let mut taken = Chunk::default();
        while !taken.is_full() {
            let Some(item) = self.items.next() else { break };
            taken.push(if item.len() > LINE_BYTES_MAX { Line::TooLong } else { Line::Text(item) });
        }
        if taken.lines.is_empty() {
            return Ok(None);
        }
        let first = self.rows.saturating_add(1);
        self.rows = self.rows.saturating_add(i64::try_from(taken.lines.len()).unwrap_or(i64::MAX));
        parse(first, taken.lines, self.rules).await.map(Some)
    }
}

/// The rows of an upload, streamed or there at once.
pub(crate) enum Rows {
    /// Line by line.
    Stream(Box<RowStream>),
    /// Item by item.
    Items(ItemRows),
}

impl Rows {
    /// The next rows, at most a chunk; `None` at the end.
    ///
    /// # Errors
    /// See [`RowStream::chunk`].
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<Row>>, ApiError> {
        match self {
            Self::Stream(stream) => stream.chunk().await,
            Self::Items(items) => items.chunk().await,
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// More than `most`, none, or what [`Self::chunk`] fails for.
    pub(crate) async fn all(mut self, most: usize) -> Result<Vec<Row>, ApiError> {
        let mut rows = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            rows.extend(chunk);
            if rows.len() > most {
                return Err(ApiError::BatchTooLarge);
            }
        }
        if rows.is_empty() { Err(ApiError::empty_file()) } else { Ok(rows) }
    }
}

/// The lines of one commit.
#[derive(Default)]
struct Chunk {
    lines: Vec<Line>,
    bytes: usize,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.lines.len() >= CHUNK_ROWS_MAX || self.bytes >= CHUNK_BYTES_MAX
    }

    /// Blank lines are no rows.
    fn push(&mut self, line: Line) {
        if let Line::Text(text) = &line {
            if text.trim_ascii().is_empty() {
                return;
            }
            self.bytes = self.bytes.saturating_add(text.len());
        }
        self.lines.push(line);
    }
}

/// Some milliseconds of work: beside the runtime's own threads, and beside the commit of the last chunk.
async fn parse(first: i64, lines: Vec<Line>, rules: AcceptanceRules) -> Result<Vec<Row>, ApiError> {
    let parsing = tokio::task::spawn_blocking(move || {
        (first..).zip(&lines).map(|(row_no, line)| Row::of_line(row_no, line, &rules)).collect()
    });
    parsing.await.map_err(|_| ApiError::Broken("the rows of an upload could not be parsed"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use chrono::NaiveDate;

    use super::*;

    fn rules() -> AcceptanceRules {
        AcceptanceRules {
            latest_effective: NaiveDate::from_ymd_opt(2026, 5, 2).unwrap(),
            payment_limit: Some(Minor::new(1_000)),
        }
    }

    fn line(key: &str, amount: &str) -> String {
        format!(
            r#"{{"idempotency_key":"{key}","loan_id":"11111111-1111-1111-1111-111111111111","borrower_id":"22222222-2222-2222-2222-222222222222","amount_minor":"{amount}","currency":"USD","effective_at":"2026-05-01","source_method":"ach"}}"#
        )
    }

    fn codes(rows: &[Row]) -> Vec<&'static str> {
        let code = |row: &Row| match &row.content {
            RowContent::Command(_) => "good",
            RowContent::Refused(_, fault) | RowContent::Fault(fault) => fault.code,
        };
        rows.iter().map(code).collect()
    }

    #[tokio::test]
    async fn rows_are_numbered_and_a_bad_one_says_why() {
        let file = [
            line("payment:1", "5"),
            String::new(),
            "{".to_owned(),
            line("short", "5"),
            line("payment:2", "1001"),
            line("payment:3", "0"),
        ];
        let source = Source::of(&HeaderMap::new(), file.join("\r\n").into(), u64::MAX).unwrap();
        let mut stream = RowStream::new(source, rules());
        let rows = stream.chunk().await.unwrap().unwrap();
        assert_eq!(rows.iter().map(|row| row.row_no).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        let expected = ["good", "malformed_json", "validation_failed", "limit_exceeded", "validation_failed"];
        assert_eq!(codes(&rows), expected);
        let RowContent::Fault(fault) = &rows[2].content else { panic!("a short key") };
        assert_eq!(fault.errors[0].field, "idempotency_key");
        assert!(stream.chunk().await.unwrap().is_none());
    }

    #[test]
    fn the_print_covers_key_and_payment_but_not_the_spelling() {
        let print = |text: &str| Row::of_text(1, text.as_bytes(), &rules()).print;
        let spaced = line("payment:1", "5").replace(',', " ,\t");
        assert_eq!(print(&line("payment:1", "5")), print(&spaced));
        assert_ne!(print(&line("payment:1", "5")), print(&line("payment:2", "5")));
        assert_ne!(print(&line("payment:1", "5")), print(&line("payment:1", "6")));
    }

    #[test]
    fn the_print_is_the_same_whatever_the_rules_say() {
        let allowed = rules();
        let strict = AcceptanceRules {
            latest_effective: allowed.latest_effective.pred_opt().and_then(|day| day.pred_opt()).unwrap(),
            payment_limit: Some(Minor::new(4)),
        };
        let other = AcceptanceRules { payment_limit: Some(Minor::new(4)), ..allowed };
        for text in [line("payment:1", "5"), line("payment:1", "0"), line("short", "5"), "{".to_owned()] {
            let row = |rules: &AcceptanceRules| Row::of_text(1, text.as_bytes(), rules);
            let prints = [&allowed, &other, &strict, &AcceptanceRules::NONE].map(|rules| row(rules).print);
            assert_eq!(prints, [prints[0]; 4], "{text}");
        }
        let refused = [&other, &strict].map(|rules| Row::of_text(1, line("payment:1", "5").as_bytes(), rules));
        assert_eq!(codes(&refused), ["limit_exceeded", "validation_failed"]);
        assert!(refused.iter().all(|row| matches!(row.content, RowContent::Refused(..))));
    }

    #[tokio::test]
    async fn chunks_hold_a_thousand_rows() {
        let file = (0..2_500).map(|n| line(&format!("payment:{n}"), "5")).collect::<Vec<_>>().join("\n");
        let mut stream = RowStream::new(Source::of(&HeaderMap::new(), file.into(), u64::MAX).unwrap(), rules());
        let mut sizes = Vec::new();
        while let Some(rows) = stream.chunk().await.unwrap() {
            sizes.push((rows[0].row_no, rows.len()));
        }
        assert_eq!(sizes, [(1, 1_000), (1_001, 1_000), (2_001, 500)]);
    }

    /// Lines and items alike: the 35th of 60,001 bytes reaches them.
    #[tokio::test]
    async fn a_chunk_ends_at_two_mebibytes() {
        let padded: Vec<String> = (0..70)
            .map(|number| format!("{:<60000}", line(&format!("payment:{number}"), "5").replace('}', "")) + "}")
            .collect();
        let items = padded.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        let source = Source::of(&HeaderMap::new(), padded.join("\n").into(), u64::MAX).unwrap();
        let of_lines = Rows::Stream(Box::new(RowStream::new(source, rules())));
        for mut rows in [of_lines, Rows::Items(ItemRows::new(items, rules()))] {
            let mut sizes = Vec::new();
            while let Some(chunk) = rows.chunk().await.unwrap() {
                assert!(codes(&chunk).iter().all(|code| *code == "good"));
                sizes.push((chunk[0].row_no, chunk.len()));
            }
            assert_eq!(sizes, [(1, 35), (36, 35)]);
        }
    }

    #[tokio::test]
    async fn an_item_is_no_longer_than_a_line() {
        let text = |length: usize| Bytes::from(format!("{{{}}}", " ".repeat(length - 2)));
        let items = vec![text(LINE_BYTES_MAX), text(LINE_BYTES_MAX + 1)];
        let rows = ItemRows::new(items, rules()).chunk().await.unwrap().unwrap();
        assert_eq!(codes(&rows), ["validation_failed", "line_too_long"]);
    }

    /// What is told of a row is stored: however much is wrong with it, it is little.
    #[test]
    fn few_failures_of_a_row_are_told() {
        let unknown = |count: usize, length: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("\"{number:0>length$}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let doubled = format!("{{{}}}", vec!["\"a\":0"; 1_000].join(","));
        for text in [unknown(6_500, 5), unknown(30, 2_000), doubled] {
            let row = Row::of_text(1, text.as_bytes(), &rules());
            let RowContent::Fault(RowFault { errors, .. }) = row.content else { panic!("{text} is a payment") };
            assert_eq!((errors.len(), errors[FAILURES_OF_ROW].code), (FAILURES_OF_ROW + 1, "more"));
            assert!(serde_json::to_string(&errors).unwrap().len() < 8_000, "{errors:?}");
        }
    }

    /// Nobody waits for ten million rows: the stream is told that it has read all of them but one.
    #[tokio::test]
    async fn ten_million_rows_are_taken_and_not_one_more() {
        let stream = |rows: i64| {
            let file = (0..rows).map(|n| line(&format!("payment:{n}"), "5")).collect::<Vec<_>>().join("\n");
            let source = Source::of(&HeaderMap::new(), file.into(), u64::MAX).unwrap();
            RowStream { rows: ROWS_MAX - 1, ..RowStream::new(source, rules()) }
        };
        let mut most = stream(1);
        assert_eq!(most.chunk().await.unwrap().unwrap()[0].row_no, 10_000_000);
        assert!(most.chunk().await.unwrap().is_none());
        assert!(matches!(stream(2).chunk().await, Err(ApiError::PayloadTooLarge)));
    }
}
