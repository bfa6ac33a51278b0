//! Owns `POST /v1/payments`.

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, PaymentAnswer, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::write::accept::{accept_and_answer, replay_or_refuse};
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{Command, Payment, SourceMethod};
use crate::core::ids::{BorrowerId, LoanId};
use crate::core::money::{Currency, Money};

/// A payment received.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111",
    "borrower_id": "22222222-2222-2222-2222-222222222222", "amount_minor": "88849", "currency": "USD",
    "effective_at": "2026-05-01", "source_method": "ach", "external_ref": "stripe_ch_xyz123"}))]
pub struct PaymentRequest {
    /// The loan it pays.
    pub loan_id: uuid::Uuid,
    /// Who pays; the loan's borrower.
    pub borrower_id: uuid::Uuid,
    /// Whole minor units as a string of digits, more than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// `ach`, `card`, `check`, `wire`, `cash`, `rtp`, `fednow`, `lockbox` or `internal`.
    pub source_method: String,
    /// Your own reference, 1 to 255 printable characters.
    #[schema(min_length = 1, max_length = 255)]
    pub external_ref: Option<String>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Posts a payment.
#[utoipa::path(post, path = "/v1/payments", tag = "payments", security(("oauth2" = ["hpts:payments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended payment, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = PaymentRequest,
    responses((status = 201, description = "Posted", body = PaymentAnswer),
        (status = 200, description = "The first answer to this key again", body = PaymentAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument),
        (status = 503, description = "Try again", body = ProblemDocument)))]
pub(crate) async fn post_payment(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::PaymentsWrite]).await?;
    let command = request.parsed_by_rules(&state, parse_payment).await?;
    if let (Some(limit), Some(amount)) = (request.rules.payment_limit, command.amount())
        && amount > limit
    {
        return replay_or_refuse(&state, &request, command, ApiError::LimitExceeded { limit }).await;
    }
    accept_and_answer(&state, request, command).await
}

pub(crate) fn parse_payment(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<Command> {
    let loan_id = fields.required("loan_id", LoanId::parse);
    let borrower_id = fields.required("borrower_id", BorrowerId::parse);
    let amount = fields.posted_amount("amount_minor");
    let currency = fields.required("currency", Currency::parse);
    let effective_date = fields.date_until("effective_at", rules.latest_effective);
    let source_method = fields.required("source_method", parse_method);
    let external_ref = fields.reference("external_ref");
    let metadata = fields.metadata();
    Some(Command::Payment(Payment {
        loan_id: loan_id?,
        borrower_id: borrower_id?,
        amount: Money::new(amount?, currency?),
        effective_date: effective_date?,
        source_method: source_method?,
        external_ref,
        metadata,
    }))
}

/// Reads a method, of payments and disbursements alike.
pub(crate) fn parse_method(text: &str) -> Result<SourceMethod, &'static str> {
    SourceMethod::parse(text).ok_or("must be ach, card, check, wire, cash, rtp, fednow, lockbox or internal")
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::json::read;

    fn example() -> Value {
        json!({"loan_id": "11111111-1111-1111-1111-111111111111",
            "borrower_id": "22222222-2222-2222-2222-222222222222", "amount_minor": "88849", "currency": "USD",
            "effective_at": "2026-05-01", "source_method": "ach", "external_ref": "stripe_ch_xyz123",
            "metadata": {"a": 1.10}})
    }

    fn parsed(body: &Value) -> Result<Command, Vec<String>> {
        let bytes = serde_json::to_vec(body).unwrap();
        let mut fields = Fields::of_body(read(&bytes).unwrap());
        let rules =
            AcceptanceRules { latest_effective: NaiveDate::from_ymd_opt(2026, 5, 2).unwrap(), payment_limit: None };
        let command = parse_payment(&mut fields, &rules);
        let errors = fields.finish();
        if errors.is_empty() {
            Ok(command.unwrap())
        } else {
            Err(errors.into_iter().map(|error| error.field).collect())
        }
    }

    #[test]
    fn the_contracts_example_is_a_payment() {
        let Command::Payment(payment) = parsed(&example()).unwrap() else { panic!("not a payment") };
        assert_eq!(payment.amount.to_string(), "888.49 USD");
        assert_eq!(payment.metadata.unwrap().as_json(), r#"{"a":1.1}"#);
    }

    #[test]
    fn each_bad_value_names_its_field() {
        let long = "9".repeat(400);
        let cases = [
            ("amount_minor", json!(1050)),
            ("amount_minor", json!("0")),
            ("amount_minor", json!("-500")),
            ("amount_minor", json!("10.00")),
            ("amount_minor", json!(long)),
            ("amount_minor", json!("9223372036854775808")),
            ("currency", json!("usd")),
            ("currency", json!("XXX")),
            ("effective_at", json!("2026-02-30")),
            ("effective_at", json!("2026-05-03")),
            ("effective_at", json!("9999-12-31")),
            ("effective_at", json!(1_767_225_600)),
            ("loan_id", json!(5)),
            ("loan_id", json!("11111111111111111111111111111111")),
            ("borrower_id", Value::Null),
            ("source_method", json!("bitcoin")),
            ("external_ref", json!("")),
            ("metadata", json!([])),
            ("metadata", json!({"a": "\u{7}"})),
            ("amonut", json!("1")),
        ];
        for (field, value) in cases {
            let mut body = example();
            body[field] = value.clone();
            assert_eq!(parsed(&body), Err(vec![field.to_owned()]), "{field} {value}");
        }
    }

    #[test]
    fn two_bad_fields_are_both_named() {
        let mut body = example();
        body["amount_minor"] = json!(88849);
        body["currency"] = json!("usd");
        assert_eq!(parsed(&body), Err(vec!["amount_minor".to_owned(), "currency".to_owned()]));
    }
}
