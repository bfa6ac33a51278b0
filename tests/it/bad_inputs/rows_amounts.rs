//! Owns the rows of amounts and currencies.

use serde_json::json;

use super::row::Row;
use super::world::{Facts, ZONED_LOAN, opening, payment};
use crate::processes::client::{BORROWER, LOAN};

const PAYMENTS: &str = "/v1/payments";

/// Texts that are no amount, with their numbers in the list.
fn texts() -> Vec<(&'static str, String)> {
    let listed: &[(&'static str, &[&str])] = &[
        ("46", &["0", "-0", "-500", "00"]),
        ("47", &["10.00", "10.5", "1050.0", ".5", "5."]),
        ("48", &["1,000", "1 000", "1_000", "$10", "10 USD", "1\u{a0}000", "1'000", "\u{20ac}10"]),
        ("49", &["+5", "005", " 500", "500\n", "500 ", "", " ", "\t5", "5\u{200b}"]),
        (
            "50",
            &[
                "1e3",
                "0x10",
                "NaN",
                "Infinity",
                "0b1",
                "0o7",
                "\u{661}\u{662}",
                "\u{ff15}\u{ff10}",
                "\u{216b}",
                "\u{b2}",
            ],
        ),
        ("51", &["9223372036854775808", "18446744073709551616", "99999999999999999999", "-9223372036854775808"]),
    ];
    let mut texts: Vec<_> =
        listed.iter().flat_map(|(number, texts)| texts.iter().map(|text| (*number, (*text).to_owned()))).collect();
    texts.push(("51", "9".repeat(400)));
    texts.push(("51", "9".repeat(50_000)));
    texts
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for value in [json!(1050), json!(10.5), json!(-1), json!(0), json!(true), json!(["100"]), json!({"value": "100"})] {
        let body = payment(&[("amount_minor", value.clone())]).to_string();
        rows.push(Row::post("45", format!("{value}"), PAYMENTS, &facts.demo, body).invalid(&["amount_minor"]));
    }
    for (number, text) in texts() {
        let body = payment(&[("amount_minor", json!(text))]).to_string();
        let row = Row::post(number, format!("{text:.30?}"), PAYMENTS, &facts.demo, body);
        rows.push(row.invalid(&["amount_minor"]));
        let body = disbursement(&[("amount_minor", json!(text))]).to_string();
        let row = Row::post(number, format!("lent {text:.30?}"), "/v1/disbursements", &facts.demo, body);
        rows.push(row.invalid(&["amount_minor"]));
        if text != "0" {
            let balances = json!({ "principal_minor": text });
            let body = opening("45000000-0000-4000-8000-000000000001", &[("opening_balances", balances)]).to_string();
            let row = Row::post(number, format!("opened with {text:.30?}"), "/v1/loans", &facts.demo, body);
            rows.push(row.invalid(&["opening_balances.principal_minor"]));
        }
    }
    rows.extend(currencies(facts));
    rows.extend(limits(facts));
    rows
}

fn disbursement(changes: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let mut body = json!({
        "loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "100", "currency": "USD",
        "effective_at": "2026-05-01", "method": "wire",
    });
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

fn currencies(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for code in
        ["usd", "US", "USDD", "XXX", "XTS", "XAU", "ZZZ", "DEM", "", "U$D", "USD ", "\u{ff35}\u{ff33}\u{ff24}", "840"]
    {
        let body = payment(&[("currency", json!(code))]).to_string();
        rows.push(Row::post("53", format!("{code:?}"), PAYMENTS, &facts.demo, body).invalid(&["currency"]));
        let body = opening("53000000-0000-4000-8000-000000000001", &[("currency", json!(code))]).to_string();
        rows.push(
            Row::post("53", format!("opened in {code:?}"), "/v1/loans", &facts.demo, body).invalid(&["currency"]),
        );
        let target = format!("/v1/accounts/1100/balance?currency={}", percent(code));
        let row = Row::get("53", format!("asked in {code:?}"), &target, &facts.demo);
        rows.push(row.refused(400, &["invalid_parameter"]).fields(&["currency"]));
    }
    for code in ["EUR", "JPY", "KWD"] {
        let body = payment(&[("currency", json!(code))]).to_string();
        let row = Row::post("54", code, PAYMENTS, &facts.demo, body);
        rows.push(row.refused(422, &["currency_mismatch"]).stored());
        let body = disbursement(&[("currency", json!(code))]).to_string();
        let row = Row::post("54", format!("lent in {code}"), "/v1/disbursements", &facts.demo, body);
        rows.push(row.refused(422, &["currency_mismatch"]).stored());
    }
    rows
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| format!("{escaped}%{byte:02x}"))
}

fn limits(facts: &Facts) -> Vec<Row> {
    let most = "9223372036854775807";
    let pay = |name: &str, amount: &str| {
        let body = payment(&[("loan_id", json!(ZONED_LOAN)), ("amount_minor", json!(amount))]).to_string();
        Row::post("52", name, PAYMENTS, &facts.ahead, body)
    };
    let open = |name: &str, balances: serde_json::Value| {
        let body = opening("51000000-0000-4000-8000-000000000001", &[("opening_balances", balances)]).to_string();
        Row::post("51", name, "/v1/loans", &facts.demo, body)
    };
    vec![
        pay("one cent above the limit", "100001").refused(422, &["limit_exceeded"]),
        pay("the most there is", most).refused(422, &["limit_exceeded"]),
        pay("at the limit", "100000").good(201).stored(),
        open("balances that add up to too much", json!({"fees_minor": "1", "principal_minor": most}))
            .invalid(&["opening_balances"]),
        Row::post(
            "51",
            "lent on top of what there is",
            "/v1/disbursements",
            &facts.demo,
            disbursement(&[("amount_minor", json!(most))]).to_string(),
        )
        .refused(422, &["amount_overflow"])
        .stored(),
    ]
}
