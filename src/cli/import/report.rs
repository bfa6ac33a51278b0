//! Owns the result of an import as it is printed: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::cli::import::batch::{Batch, Exceptions, FileSummary, RejectedRow, Tally};
use crate::cli::import::format::Format;
use crate::cli::import::screen::{duration, grouped, number};
use crate::core::money::{Currency, Minor, Money};

/// What an import led to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) file: String,
    pub(super) format: Format,
    pub(super) sha256: String,
    pub(super) idempotency_key: String,
    /// Whether it was complete before this command.
    pub(super) replayed: bool,
    /// Until nothing was in flight.
    #[serde(rename = "posted_ms", serialize_with = "millis")]
    pub(super) posted: Duration,
    /// In all, the results written.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub(super) elapsed: Duration,
    #[serde(flatten)]
    pub(super) batch: Batch,
    /// Rows whose payment came before, and is not posted.
    pub(super) repeats_not_posted: i64,
    /// What does not add up.
    pub(super) contradictions: Vec<String>,
    pub(super) results: PathBuf,
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Report {
    /// The table.
    pub(super) fn table(&self) -> String {
        let Self { file, format, batch, results, .. } = self;
        let mut text = String::new();
        let mut row = |cells: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{cells}");
        };
        let replayed = if self.replayed { ", complete before" } else { "" };
        row(format_args!("file       {file} ({}{replayed})", format.as_str()));
        row(format_args!("batch      {}", batch.batch_id));
        row(format_args!("took       {}", self.pace()));
        row(format_args!("results    {}", results.display()));
        row(format_args!("\n{:<12}{:>16}", "rows", "count"));
        let accepted = Some(batch.counts.accepted);
        for (word, count) in [
            ("received", batch.received),
            ("accepted", accepted),
            ("duplicates", batch.duplicates),
            ("mismatched", batch.mismatched),
            ("invalid", batch.invalid),
        ] {
            if let Some(count) = count {
                row(format_args!("{word:<12}{:>16}", number(count)));
            }
        }
        if let Some(file) = batch.summary {
            for line in file_lines(file, batch) {
                row(format_args!("{line}"));
            }
        }
        for totals in &batch.totals {
            let currency = &totals.currency;
            row(format_args!("\n{currency:<12}{:>16}{:>28}", "count", "amount"));
            for (word, Tally { count, amount }) in [("accepted", totals.accepted)].into_iter().chain(totals.parts()) {
                row(format_args!("{word:<12}{:>16}{:>28}", number(count), money(amount, currency)));
            }
        }
        if !batch.exceptions.is_empty() {
            row(format_args!("\n{:<12}{:>16}{:>28}", "exceptions", "count", "amount"));
        }
        for exceptions in &batch.exceptions {
            row(format_args!("{}", exception_line(exceptions, batch)));
        }
        for line in rejected_lines(batch) {
            row(format_args!("{line}"));
        }
        if self.contradictions.is_empty() {
            row(format_args!("\nthe totals add up: accepted = posted + rejected + parked + held + in flight"));
            if batch.summary.is_some() {
                row(format_args!("so does the file: entries, debits + credits = accepted + exceptions"));
            }
        }
        for contradiction in &self.contradictions {
            row(format_args!("\nTHE TOTALS DO NOT ADD UP: {contradiction}"));
        }
        text
    }

    fn pace(&self) -> String {
        let received = self.batch.received.and_then(|received| u64::try_from(received).ok()).unwrap_or(0);
        let millis = u64::try_from(self.posted.as_millis()).unwrap_or(u64::MAX);
        let rate = received.saturating_mul(1000).checked_div(millis).unwrap_or(0);
        let [posted, elapsed] = [self.posted, self.elapsed].map(tenths);
        format!("{posted} until posted ({} rows/s), {elapsed} in all", grouped(rate))
    }
}

/// The currency of a file, which has one.
fn currency_of(batch: &Batch) -> &str {
    batch.totals.first().map_or("USD", |totals| &totals.currency)
}

/// What a file says of itself.
fn file_lines(FileSummary { entries, debit, credit }: FileSummary, batch: &Batch) -> [String; 4] {
    let side = |word: &str, amount| format!("{word:<12}{:>16}{:>28}", "", money(amount, currency_of(batch)));
    [
        format!("\n{:<12}{:>16}{:>28}", "file", "count", "amount"),
        format!("{:<12}{:>16}", "entries", number(entries)),
        side("debits", debit),
        side("credits", credit),
    ]
}

/// The rejected rows of a file, each with its reason; the results have those beyond the first hundred.
fn rejected_lines(batch: &Batch) -> Vec<String> {
    let line = |RejectedRow { row, rejection_code, amount_minor, .. }: &RejectedRow| {
        let width = 27_usize.saturating_sub(rejection_code.len());
        let amount = amount_minor.as_ref().and_then(|text| text.parse().ok());
        let amount = amount.map(|amount| money(amount, currency_of(batch))).unwrap_or_default();
        format!("{rejection_code} {:>width$}{amount:>28}", number(*row))
    };
    if batch.rejected.is_empty() {
        return Vec::new();
    }
    let told = i64::try_from(batch.rejected.len()).unwrap_or(i64::MAX);
    let more = batch.counts.rejected.saturating_sub(told);
    let more = (more > 0).then(|| format!("and {} more, which the results name", number(more)));
    let head = format!("\n{:<12}{:>16}{:>28}", "rejected", "row", "amount");
    std::iter::once(head).chain(batch.rejected.iter().map(line)).chain(more).collect()
}

/// Exceptions for one reason, under the columns of the totals.
fn exception_line(Exceptions { code, state, tally }: &Exceptions, batch: &Batch) -> String {
    let name = if state == "open" { code.clone() } else { format!("{code} ({state})") };
    let width = 27_usize.saturating_sub(name.len());
    format!("{name} {:>width$}{:>28}", number(tally.count), money(tally.amount, currency_of(batch)))
}

/// A time with a decimal where it is short.
fn tenths(time: Duration) -> String {
    if time >= Duration::from_mins(1) {
        return duration(time);
    }
    format!("{}.{} s", time.as_secs(), time.subsec_millis().checked_div(100).unwrap_or(0))
}

/// An amount in major units, as [`Money`] shows it; sums may be larger than any one amount.
fn money(amount: i128, currency: &str) -> String {
    let Ok(known) = Currency::parse(currency) else { return format!("{amount} minor units") };
    if let Ok(units) = i64::try_from(amount) {
        return Money::new(Minor::new(units), known).to_string();
    }
    let major = Decimal::try_from_i128_with_scale(amount, known.decimals());
    major.map_or_else(|_| format!("{amount} minor units"), |major| format!("{major} {known}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::cli::import::batch::tests::{batch, file};

    fn report(changes: &[(&str, serde_json::Value)]) -> Report {
        report_of(batch(changes))
    }

    fn report_of(batch: Batch) -> Report {
        Report {
            file: "payments.ndjson".to_owned(),
            format: Format::Ndjson,
            sha256: "00".repeat(32),
            idempotency_key: "import:1".to_owned(),
            replayed: false,
            posted: Duration::from_millis(2_345),
            elapsed: Duration::from_millis(65_432),
            contradictions: batch.contradictions(),
            repeats_not_posted: 0,
            batch,
            results: PathBuf::from("payments.ndjson.results.ndjson"),
        }
    }

    #[test]
    fn the_table_has_every_total() {
        let tally = |count: i64, amount: &str| json!({"count": count, "amount_minor": amount});
        let yen = json!({"currency": "JPY", "accepted": tally(2, "1500"), "posted": tally(1, "1000"),
            "rejected": tally(0, "0"), "parked": tally(0, "0"), "held": tally(1, "500"), "in_flight": tally(0, "0")});
        let mut totals = vec![serde_json::to_value(&batch(&[]).totals[0]).unwrap(), yen];
        totals[0]["accepted"] = tally(999, "18446744073709551614");
        totals[0]["posted"] = tally(998, "18446744073709551514");
        totals[0]["rejected"] = tally(1, "100");
        let changes = [
            ("/totals", json!(totals)),
            (
                "/counts",
                json!({"accepted": 1001, "posted": 999, "rejected": 1, "parked": 0, "held": 1, "in_flight": 0}),
            ),
            ("/received", json!(1005)),
            ("/invalid", json!(3)),
        ];
        insta::assert_snapshot!(report(&changes).table(), @r"
        file       payments.ndjson (ndjson)
        batch      019a0000-0000-7000-8000-000000000001
        took       2.3 s until posted (428 rows/s), 1 min 05 s in all
        results    payments.ndjson.results.ndjson

        rows                   count
        received               1,005
        accepted               1,001
        duplicates                 1
        mismatched                 0
        invalid                    3

        USD                    count                      amount
        accepted                 999   184467440737095516.14 USD
        posted                   998   184467440737095515.14 USD
        rejected                   1                    1.00 USD
        parked                     0                    0.00 USD
        held                       0                    0.00 USD
        in flight                  0                    0.00 USD

        JPY                    count                      amount
        accepted                   2                    1500 JPY
        posted                     1                    1000 JPY
        rejected                   0                       0 JPY
        parked                     0                       0 JPY
        held                       1                     500 JPY
        in flight                  0                       0 JPY

        the totals add up: accepted = posted + rejected + parked + held + in flight
        ");
    }

    #[test]
    fn a_file_is_told_with_its_totals_its_exceptions_and_its_rejected_rows() {
        let tally = |count: i64, amount: &str| json!({"count": count, "amount_minor": amount});
        let mut file = file(&[
            ("/counts/posted", json!(997)),
            ("/counts/rejected", json!(2)),
            ("/totals/0/posted", tally(997, "88749")),
            ("/totals/0/rejected", tally(2, "100")),
        ]);
        let rejected = json!([{"row": 1000, "event_id": Uuid::nil(), "rejection_code": "already_undone",
            "amount_minor": "99", "currency": "USD"}]);
        file.rejected = serde_json::from_value(rejected).unwrap();
        let table = report_of(file).table();
        let (_, table) = table.split_once("\n\n").unwrap();
        insta::assert_snapshot!(table, @r"
        rows                   count
        received               1,001
        accepted                 999
        duplicates                 0
        mismatched                 0
        invalid                    2

        file                   count                      amount
        entries                1,001
        debits                                        900.00 USD
        credits                                        11.94 USD

        USD                    count                      amount
        accepted                 999                  888.49 USD
        posted                   997                  887.49 USD
        rejected                   2                    1.00 USD
        parked                     0                    0.00 USD
        held                       0                    0.00 USD
        in flight                  0                    0.00 USD

        exceptions             count                      amount
        prenote                    1                    0.00 USD
        soft_duplicate (discarded) 1                   23.45 USD

        rejected                 row                      amount
        already_undone         1,000                    0.99 USD
        and 1 more, which the results name

        the totals add up: accepted = posted + rejected + parked + held + in flight
        so does the file: entries, debits + credits = accepted + exceptions
        ");
    }

    #[test]
    fn a_file_that_does_not_add_up_is_told_so() {
        let table = report_of(file(&[("/summary/debit_minor", json!("90001"))])).table();
        let told = "THE TOTALS DO NOT ADD UP: the file has 91195 minor units, accepted and exceptions are 91194";
        assert!(table.contains(told) && !table.contains("so does the file"), "{table}");
    }

    #[test]
    fn totals_that_do_not_add_up_are_told() {
        let table = report(&[("/totals/0/posted/amount_minor", json!("88848"))]).table();
        let told = "THE TOTALS DO NOT ADD UP: USD: accepted are 999 payments over 88849 minor units";
        assert!(table.contains(told) && !table.contains("the totals add up"), "{table}");
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let json = serde_json::to_value(report(&[])).unwrap();
        assert_eq!((&json["posted_ms"], &json["elapsed_ms"]), (&json!(2345), &json!(65_432)));
        assert_eq!((&json["received"], &json["format"]), (&json!(1000), &json!("ndjson")));
        assert_eq!(json["totals"][0]["posted"], json!({"count": 999, "amount_minor": "88849"}));
        assert_eq!((&json["replayed"], &json["contradictions"]), (&json!(false), &json!([])));
        assert_eq!((json.get("summary"), json.get("rejected")), (None, None), "those of files");
        let file = serde_json::to_value(report_of(file(&[]))).unwrap();
        assert_eq!(file["summary"], json!({"entries": 1001, "debit_minor": "90000", "credit_minor": "1194"}));
    }
}
