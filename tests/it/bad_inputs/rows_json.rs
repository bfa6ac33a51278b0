//! Owns the rows of JSON bodies.

use serde_json::json;

use super::row::Row;
use super::world::{Facts, opening, payment, payment_with};
use crate::processes::client::LOAN;

const PAYMENTS: &str = "/v1/payments";

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = malformed(facts);
    rows.extend(characters(facts));
    rows.extend(members(facts));
    rows.extend(metadata(facts));
    rows.extend(numbers(facts));
    rows
}

fn post(facts: &Facts, number: &'static str, name: impl Into<String>, body: impl Into<Vec<u8>>) -> Row {
    Row::post(number, name, PAYMENTS, &facts.demo, body)
}

fn malformed(facts: &Facts) -> Vec<Row> {
    let good = payment(&[]).to_string();
    let with = |text: &str| payment_with("metadata", text);
    let deep = |depth: usize, open: &str, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let texts = [
        ("32", good.trim_end_matches('}').to_owned()),
        ("32", good.replace('}', ",}")),
        ("32", good.replace('"', "'")),
        ("32", format!("// a comment\n{good}")),
        ("32", format!("/* */{good}")),
        ("32", format!("{good}{good}")),
        ("32", format!("{good}\n{good}")),
        ("32", format!("{good}]")),
        ("32", good.replace("\"loan_id\"", "loan_id")),
        ("32", with("[1,]")),
        ("32", with("{\"a\"}")),
        ("32", with("\"\\x\"")),
        ("32", with("\"a\nb\"")),
        ("32", with("nul")),
        ("33", format!("\u{feff}{good}")),
        ("34", with(r#"{"a":"\ud800"}"#)),
        ("34", with(r#"{"a":"\udc00\ud800"}"#)),
        ("34", with(r#"{"a":"\ud800x"}"#)),
        ("34", with(r#"{"\udfff":1}"#)),
        ("34", payment_with("external_ref", r#""\udbff""#)),
        ("35", with("{\"a\":\"\0\"}")),
        ("36", deep(10_000, "[", "]")),
        ("36", deep(10_000, "{\"a\":", "}")),
        ("36", "[".repeat(60_000)),
        ("36", with(&deep(200, "[", "]"))),
        ("36", with(&deep(129, "{\"a\":", "}").replace(":}", ":1}"))),
        ("44", with("{\"a\":NaN}")),
        ("44", with("{\"a\":Infinity}")),
        ("44", with("{\"a\":-Infinity}")),
        ("44", with("{\"a\":01}")),
        ("44", with("{\"a\":+1}")),
        ("44", with("{\"a\":.5}")),
        ("44", with("{\"a\":1.}")),
        ("44", with("{\"a\":0x10}")),
        ("44", with("{\"a\":1e}")),
        ("44", with("{\"a\":-}")),
    ];
    let row = |number, name: String, body: Vec<u8>| post(facts, number, name, body).refused(400, &["malformed_json"]);
    let mut rows: Vec<Row> = texts
        .into_iter()
        .map(|(number, text)| row(number, format!("{:.60}", text.escape_debug()), text.into_bytes()))
        .collect();
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let around = |bytes: &[u8]| [b"{\"external_ref\":\"", bytes, b"\"}"].concat();
    rows.push(row("33", "UTF-16".to_owned(), utf16.clone()));
    rows.push(row("33", "UTF-16 with its mark".to_owned(), [&[0xff, 0xfe][..], &utf16].concat()));
    rows.push(row("33", "a lone 0xff".to_owned(), around(&[0xff])));
    rows.push(row("33", "an overlong NUL".to_owned(), around(&[0xc0, 0x80])));
    rows.push(row("33", "a surrogate in UTF-8".to_owned(), around(&[0xed, 0xa0, 0x80])));
    rows.push(row("33", "a character cut off".to_owned(), around(&[0xe2, 0x82])));
    rows
}

fn characters(facts: &Facts) -> Vec<Row> {
    let nul = "a\u{0}b";
    let pay = |name: &'static str, fields: &[&'static str]| {
        post(facts, "35", format!("NUL in {name}"), payment(&[(name, json!(nul))]).to_string()).invalid(fields)
    };
    let open = opening("35000000-0000-4000-8000-000000000001", &[("loan_number", json!(nul))]).to_string();
    let query = "/v1/payments?idempotency_key=payment%00001";
    vec![
        pay("loan_id", &["loan_id"]),
        pay("borrower_id", &["borrower_id"]),
        pay("amount_minor", &["amount_minor"]),
        pay("currency", &["currency"]),
        pay("effective_at", &["effective_at"]),
        pay("source_method", &["source_method"]),
        pay("external_ref", &["external_ref"]),
        post(facts, "35", "NUL in metadata", payment(&[("metadata", json!({"a": {"b": nul}}))]).to_string())
            .invalid(&["metadata", "metadata.a.b"]),
        post(facts, "35", "NUL in a name", payment(&[("a\0", json!(1))]).to_string()).invalid(&["a\u{fffd}"]),
        Row::post("35", "NUL in a loan number", "/v1/loans", &facts.demo, open).invalid(&["loan_number"]),
        Row::get("35", "NUL in a parameter", query, &facts.demo)
            .refused(400, &["invalid_parameter"])
            .fields(&["idempotency_key", "from_date"])
            .because("a parameter that is not taken bounds nothing, so the bound is missing, too"),
    ]
}

fn members(facts: &Facts) -> Vec<Row> {
    let changed = |changes: &[(&str, serde_json::Value)]| payment(changes).to_string();
    let twice = |name: &str, text: &str| {
        let body = changed(&[]);
        format!("{},\"{name}\":{text}}}", body.trim_end_matches('}'))
    };
    let meta = |text: &str| payment_with("metadata", text);
    let mut rows = vec![
        post(facts, "37", "the amount twice", twice("amount_minor", "\"900\"")).invalid(&["amount_minor"]),
        post(facts, "37", "the same amount twice", twice("amount_minor", "\"100\"")).invalid(&["amount_minor"]),
        post(facts, "37", "the amount twice, escaped", twice("amount\\u005fminor", "\"9\"")).invalid(&["amount_minor"]),
        post(facts, "37", "twice inside metadata", meta(r#"{"a":1,"a":1}"#)).invalid(&["metadata.a"]),
        post(facts, "37", "twice deep inside", meta(r#"{"a":[{"b":1,"b":2}]}"#)).invalid(&["metadata.a.0.b"]),
        post(facts, "38", "amonut", changed(&[("amonut", json!("1"))])).invalid(&["amonut"]),
        post(facts, "38", "another case", changed(&[("Loan_Id", json!(LOAN))])).invalid(&["Loan_Id"]),
        post(facts, "38", "tenant_id", changed(&[("tenant_id", json!("x"))])).invalid(&["tenant_id"]),
        post(facts, "38", "two at once", changed(&[("x", json!(1)), ("y", json!(null))])).invalid(&["x", "y"]),
        Row::post(
            "38",
            "of a loan's balances",
            "/v1/loans",
            &facts.demo,
            opening(LOAN, &[("opening_balances", json!({"principle_minor": "1"}))]).to_string(),
        )
        .invalid(&["opening_balances.principle_minor"]),
        Row::get("38", "of a query", "/v1/payments?tenant_id=1", &facts.demo).refused(400, &["invalid_parameter"]),
        Row::post("38", "a query where none belongs", "/v1/payments?x=1", &facts.demo, changed(&[]))
            .refused(400, &["invalid_parameter"])
            .fields(&["x"]),
        post(facts, "40", "memo {}", changed(&[("memo", json!({}))])).invalid(&["memo"]),
        post(facts, "42", "__proto__", changed(&[("__proto__", json!({"admin": true}))])).invalid(&["__proto__"]),
        post(facts, "42", "constructor", changed(&[("constructor", json!({}))])).invalid(&["constructor"]),
        post(facts, "39", "all missing", "{}").invalid(&REQUIRED),
    ];
    for name in REQUIRED {
        let mut missing = payment(&[]);
        missing.as_object_mut().unwrap().remove(name);
        rows.push(post(facts, "39", format!("without {name}"), missing.to_string()).invalid(&[name]));
        rows.push(post(facts, "39", format!("{name} null"), changed(&[(name, json!(null))])).invalid(&[name]));
        for value in [json!(5), json!({}), json!([]), json!(true), json!([LOAN])] {
            let body = changed(&[(name, value.clone())]);
            rows.push(post(facts, "40", format!("{name} {value}"), body).invalid(&[name]));
        }
    }
    for (name, value) in
        [("external_ref", json!({})), ("external_ref", json!(5)), ("metadata", json!("x")), ("metadata", json!([]))]
    {
        rows.push(post(facts, "40", format!("{name} {value}"), changed(&[(name, value)])).invalid(&[name]));
    }
    for (name, value) in [
        ("waterfall", json!("fees")),
        ("waterfall", json!([1])),
        ("opening_balances", json!([])),
        ("program_id", json!(7)),
    ] {
        let body = opening("40000000-0000-4000-8000-000000000001", &[(name, value.clone())]).to_string();
        rows.push(Row::post("40", format!("{name} {value}"), "/v1/loans", &facts.demo, body).invalid(&[name]));
    }
    rows
}

const REQUIRED: [&str; 6] = ["loan_id", "borrower_id", "amount_minor", "currency", "effective_at", "source_method"];

fn metadata(facts: &Facts) -> Vec<Row> {
    let keys =
        |count: usize| (0..count).map(|number| (format!("k{number}"), json!(1))).collect::<serde_json::Map<_, _>>();
    let bad = [
        ("5 KiB", json!({"a": "x".repeat(5 * 1024)})),
        ("51 keys", json!(keys(51))),
        ("BEL", json!({"a": "\u{7}"})),
        ("ESC deep inside", json!({"a": [{"b": "\u{1b}[31m"}]})),
        ("NEL", json!({"a": "\u{85}"})),
        ("DEL", json!({"a": "\u{7f}"})),
        ("a line end in a name", json!({"a\nb": 1})),
        ("4096 bytes and one", json!({"a": "x".repeat(4096 - 7)})),
    ];
    let mut rows: Vec<Row> = bad
        .into_iter()
        .map(|(name, value)| {
            post(facts, "41", name, payment(&[("metadata", value)]).to_string()).invalid(&["metadata"])
        })
        .collect();
    for (name, value) in [("50 keys", json!(keys(50))), ("4096 bytes", json!({"a": "x".repeat(4096 - 8)}))] {
        rows.push(post(facts, "41", name, payment(&[("metadata", value)]).to_string()).good(201).stored());
    }
    for reference in
        ["", "a\tb", "a\nb", "a\u{85}b", "a\u{2028}b", "\u{1b}[2J", &"x".repeat(256), &"\u{e9}".repeat(256)]
    {
        let body = payment(&[("external_ref", json!(reference))]).to_string();
        rows.push(post(facts, "41", format!("external_ref {reference:.20?}"), body).invalid(&["external_ref"]));
    }
    rows
}

fn numbers(facts: &Facts) -> Vec<Row> {
    let texts = ["1e400", "9223372036854775808", "-9223372036854775809", "-0", "0", "1050", "10.5", "1E-7", "100"];
    let amounts = texts.into_iter().map(|text| {
        post(facts, "44", format!("the amount {text}"), payment_with("amount_minor", text)).invalid(&["amount_minor"])
    });
    amounts.collect()
}
