//! Owns the rows of dates and references.

use chrono::{Days, NaiveDate};
use serde_json::json;

use super::row::Row;
use super::world::{Facts, ZONE_AHEAD, ZONE_BEHIND, ZONED_LOAN, opening, payment};
use crate::processes::client::LOAN;

const PAYMENTS: &str = "/v1/payments";

/// Texts that are no date of the calendar, with their numbers in the list.
pub(super) const TEXTS: &[(&str, &[&str])] = &[
    ("57", &["2026-02-30", "2027-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-04-31", "1900-02-29"]),
    (
        "58",
        &[
            "2026-2-3",
            "02/03/2026",
            "20260203",
            "2026-W05-1",
            "2026-034",
            "2026/02/03",
            "03.02.2026",
            " 2026-02-03",
            "2026-02-03 ",
            "",
            "today",
            "\u{ff12}026-02-03",
            "2026-02-+3",
            "2026\u{2010}02\u{2010}03",
        ],
    ),
    ("59", &["2026-05-01T00:00:00Z", "2026-05-01T12:00:00+02:00", "2026-05-01 12:00"]),
    ("60", &["0000-01-01", "10000-01-01", "-0001-01-01", "-1", "99999-12-31", "+2026-05-01", "2026-05-01T23:59:60Z"]),
];

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, texts) in TEXTS {
        for text in *texts {
            let body = payment(&[("effective_at", json!(text))]).to_string();
            rows.push(Row::post(number, format!("{text:?}"), PAYMENTS, &facts.demo, body).invalid(&["effective_at"]));
            let body = opening("57000000-0000-4000-8000-000000000001", &[("opened_on", json!(text))]).to_string();
            let row = Row::post(number, format!("opened on {text:?}"), "/v1/loans", &facts.demo, body);
            rows.push(row.invalid(&["opened_on"]));
            let escaped = text.bytes().fold(String::new(), |escaped, byte| format!("{escaped}%{byte:02x}"));
            for (target, field) in [
                (format!("/v1/loans/{LOAN}/balance?as_of_date={escaped}"), "as_of_date"),
                (format!("/v1/loans/{LOAN}/journal-entries?from_date={escaped}"), "from_date"),
            ] {
                let row = Row::get(number, format!("{field} {text:?}"), &target, &facts.demo);
                rows.push(row.refused(400, &["invalid_parameter"]).fields(&[field]));
            }
        }
    }
    let seconds = payment(&[("effective_at", json!(1_767_225_600))]).to_string();
    rows.push(Row::post("58", "seconds since 1970", PAYMENTS, &facts.demo, seconds).invalid(&["effective_at"]));
    rows.extend(windows(facts));
    rows
}

fn windows(facts: &Facts) -> Vec<Row> {
    let now = facts.clock.now().utc();
    let pay = |number: &'static str, name: &str, token: &str, loan: &str, date: NaiveDate| {
        let body = payment(&[("loan_id", json!(loan)), ("effective_at", json!(date.to_string()))]).to_string();
        Row::post(number, name, PAYMENTS, token, body)
    };
    let day = |date: NaiveDate, days: u64| date.checked_add_days(Days::new(days)).unwrap();
    let (utc, ahead) = (now.date_naive(), now.with_timezone(&ZONE_AHEAD).date_naive());
    let behind = now.with_timezone(&ZONE_BEHIND).date_naive();
    let early = NaiveDate::from_ymd_opt(2025, 12, 31).unwrap();
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap();
    let first = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
    let tomorrow = opening("61000000-0000-4000-8000-000000000001", &[("opened_on", json!(day(utc, 2).to_string()))]);
    let zoned = |name, token, date| pay("63", name, token, ZONED_LOAN, date);
    vec![
        pay("60", "the year 9999", &facts.demo, LOAN, last).invalid(&["effective_at"]),
        pay("61", "the day after tomorrow", &facts.demo, LOAN, day(utc, 2)).invalid(&["effective_at"]),
        pay("61", "a day before the loan", &facts.demo, LOAN, early)
            .refused(422, &["effective_before_opening"])
            .stored(),
        pay("61", "the year 1", &facts.demo, LOAN, first).refused(422, &["effective_before_opening"]).stored(),
        Row::post("61", "a loan of a later day", "/v1/loans", &facts.demo, tomorrow.to_string())
            .invalid(&["opened_on"]),
        zoned("today where it is later than in UTC", &facts.ahead, ahead).good(201).stored(),
        zoned("tomorrow there", &facts.ahead, day(ahead, 1)).invalid(&["effective_at"]),
        zoned("today where it is earlier than in UTC", &facts.behind, behind).good(201).stored(),
        zoned("tomorrow there, today or tomorrow in UTC", &facts.behind, day(behind, 1)).invalid(&["effective_at"]),
    ]
}
