//! How headers are understood and records are written.

use serde_json::{Value, json};

use super::*;
use crate::cli::import::records::Records;

const HEADER: &str =
    "idempotency_key,loan_id,borrower_id,amount_minor,currency,effective_at,source_method,external_ref";

fn arguments(columns: &[&str], values: &[&str]) -> CsvArgs {
    let parse = |texts: &[&str]| texts.iter().map(|text| FieldIs::parse(text).unwrap()).collect();
    CsvArgs { columns: parse(columns), values: parse(values), ..CsvArgs::default() }
}

fn of(header: &str, arguments: &CsvArgs) -> Result<Columns, String> {
    let mut records = Records::new(header.as_bytes());
    Columns::of(records.next().unwrap(), arguments).map_err(|error| error.to_string())
}

/// The lines of a file's records.
fn lines(file: &[u8], arguments: &CsvArgs) -> Vec<Value> {
    let mut records = Records::new(file);
    let columns = Columns::of(records.next().unwrap(), arguments).unwrap();
    let mut lines = Vec::new();
    let mut written = Vec::new();
    let mut row_no = 0_u32;
    while let Some(record) = records.next().unwrap() {
        written.clear();
        row_no = row_no.checked_add(1).unwrap();
        columns.write_line(record, &format!("csv:made:{row_no}"), &mut written);
        assert_eq!(written.split(|byte| *byte == b'\n').count(), 2);
        lines.push(serde_json::from_slice(&written).unwrap());
    }
    lines
}

#[test]
fn a_record_becomes_the_contracts_payment() {
    let file = format!(
        "{HEADER}\npayment:1,L,B,88849,USD,2026-05-01,ach,\"a \"\"quoted\"\" ref\"\npayment:2,L,B,5,USD,2026-05-01,ach,\n"
    );
    let seen = lines(file.as_bytes(), &CsvArgs::default());
    let mut expected = json!({"idempotency_key": "payment:1", "loan_id": "L", "borrower_id": "B",
        "amount_minor": "88849", "currency": "USD", "effective_at": "2026-05-01", "source_method": "ach",
        "external_ref": "a \"quoted\" ref"});
    assert_eq!(seen[0], expected);
    expected["idempotency_key"] = json!("payment:2");
    expected["amount_minor"] = json!("5");
    expected.as_object_mut().unwrap().remove("external_ref");
    assert_eq!(seen[1], expected, "an empty cell is no value");
}

#[test]
fn common_spellings_are_understood() {
    let header = " Key ,Loan ID,borrowerId,Amount in minor units,CCY,Effective-Date,Payment Method,Reference";
    let columns = of(header, &CsvArgs::default()).unwrap();
    assert_eq!(
        columns.describe(),
        "idempotency_key is column 1 \"Key\", loan_id is column 2 \"Loan ID\", borrower_id is column 3 \"borrowerId\", \
         amount_minor is column 4 \"Amount in minor units\", currency is column 5 \"CCY\", \
         effective_at is column 6 \"Effective-Date\", source_method is column 7 \"Payment Method\", \
         external_ref is column 8 \"Reference\""
    );
}

#[test]
fn columns_can_be_named_and_values_given() {
    let header = "Darlehen,Kunde,Cent,amount_minor";
    let given = ["currency=EUR", "effective_at=2026-05-01", "source_method=wire"];
    let mut named = arguments(&["loan_id=Darlehen", "borrower_id=Kunde", "amount_minor=Cent"], &given);
    let refused = of(header, &named).unwrap_err();
    assert!(refused.starts_with("no field of a payment: \"amount_minor\""), "{refused}");
    named.ignore_other_columns = true;
    let seen = lines(format!("{header}\nL,B,7,9\n").as_bytes(), &named);
    let expected = json!({"idempotency_key": "csv:made:1", "loan_id": "L", "borrower_id": "B", "amount_minor": "7",
        "currency": "EUR", "effective_at": "2026-05-01", "source_method": "wire"});
    assert_eq!(seen, [expected]);
}

#[test]
fn a_header_that_is_not_clear_stops_the_import() {
    let refused = |header: &str, arguments: &CsvArgs| of(header, arguments).unwrap_err();
    let plain = CsvArgs::default();
    assert_eq!(refused("", &plain), "the file has no header");
    let without = HEADER.replace("currency,", "").replace("loan_id,", "");
    assert!(refused(&without, &plain).starts_with("no column for loan_id, currency;"), "{}", refused(&without, &plain));
    assert_eq!(refused(&format!("{HEADER},Loan"), &plain), "loan_id has two sources");
    assert_eq!(refused(HEADER, &arguments(&[], &["currency=USD"])), "currency has two sources");
    assert_eq!(
        refused(HEADER, &arguments(&["loan_id=loan", "loan_id=loan_id"], &[])),
        format!("there is no column \"loan\"; there are {}", HEADER.replace(',', ", "))
    );
    assert!(refused(&format!("{HEADER},memo"), &plain).starts_with("no field of a payment: \"memo\";"));
    assert_eq!(
        refused(HEADER, &arguments(&[], &["idempotency_key=payment:1"])),
        "idempotency_key cannot be the same in all records"
    );
    let major = HEADER.replace("amount_minor", "Amount");
    let unit = "\"Amount\" may hold major or minor units: say --amount-major, or --column amount_minor=Amount";
    assert_eq!(refused(&major, &plain), unit);
    let with_major = CsvArgs { amount_major: true, ..CsvArgs::default() };
    assert_eq!(refused(HEADER, &with_major), "--amount-major needs a column amount");
    assert_eq!(refused(&format!("{HEADER},amount"), &with_major), "the amount has two sources");
    assert!(FieldIs::parse("loan=x").is_err() && FieldIs::parse("loan_id").is_err());
}

#[test]
fn major_units_are_converted_exactly_or_the_record_is_refused() {
    let file = "loan_id,borrower_id,amount,currency,effective_at,source_method\n\
        L,B,888.49,USD,2026-05-01,ach\nL,B,888,JPY,2026-05-01,ach\nL,B,888.495,USD,2026-05-01,ach\n\
        L,B,92233720368547759,USD,2026-05-01,ach\nL,B,1,usd,2026-05-01,ach\nL,B,,USD,2026-05-01,ach\n";
    let seen = lines(file.as_bytes(), &CsvArgs { amount_major: true, ..CsvArgs::default() });
    let amounts: Vec<&Value> = seen.iter().map(|line| &line["amount_minor"]).collect();
    assert_eq!(amounts, [&json!("88849"), &json!("888"), &Value::Null, &Value::Null, &Value::Null, &Value::Null]);
    let fault = |line: &Value| -> Option<String> {
        line.as_object().unwrap().keys().find(|name| name.starts_with("amount ")).cloned()
    };
    let digits = "amount must be digits, with no more decimals after a point than the currency has";
    assert_eq!(fault(&seen[2]).as_deref(), Some(digits));
    assert_eq!(fault(&seen[3]).as_deref(), Some("amount must be at most 9223372036854775807"));
    assert_eq!(fault(&seen[4]).as_deref(), Some("amount cannot be read without a currency"));
    assert_eq!(fault(&seen[5]).as_deref(), Some(digits));
}

#[test]
fn a_record_that_cannot_be_read_is_sent_to_be_refused() {
    let file = [HEADER.as_bytes(), b"\npayment:1,L,B,5,USD\npayment:2,L,B,5,USD,2026-05-01,ach,\xff\nx\n"].concat();
    let seen = lines(&file, &CsvArgs::default());
    assert_eq!(seen[0], json!({"the record has 5 cells, the header 8": ""}));
    assert_eq!(seen[1]["external_ref is not UTF-8"], "");
    assert_eq!(seen[1]["external_ref"], Value::Null);
    assert_eq!(seen.len(), 3, "every record has its line");
}
