//! Owns `POST /v1/disbursements`.

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, DisbursementAnswer, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::write::accept::accept_and_answer;
use crate::api::write::payments::parse_method;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{Command, Disbursement};
use crate::core::ids::{BorrowerId, LoanId};
use crate::core::money::{Currency, Money};

/// Money lent.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "33333333-3333-3333-3333-333333333333",
    "borrower_id": "22222222-2222-2222-2222-222222222222", "amount_minor": "1000000", "currency": "USD",
    "effective_at": "2026-01-15", "method": "wire", "destination_ref": "acct_9"}))]
pub struct DisbursementRequest {
    /// The loan it goes out on; made if it is new.
    pub loan_id: uuid::Uuid,
    /// Who owes it.
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
    pub method: String,
    /// Your own reference of the destination, 1 to 255 printable characters.
    #[schema(min_length = 1, max_length = 255)]
    pub destination_ref: Option<String>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Posts a disbursement.
#[utoipa::path(post, path = "/v1/disbursements", tag = "disbursements",
    security(("oauth2" = ["hpts:disbursements:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended disbursement, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = DisbursementRequest,
    responses((status = 201, description = "Posted", body = DisbursementAnswer),
        (status = 200, description = "The first answer to this key again", body = DisbursementAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_disbursement(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::DisbursementsWrite]).await?;
    let command = request.parsed_by_rules(&state, parse_disbursement).await?;
    accept_and_answer(&state, request, command).await
}

pub(crate) fn parse_disbursement(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<Command> {
    let loan_id = fields.required("loan_id", LoanId::parse);
    let borrower_id = fields.required("borrower_id", BorrowerId::parse);
    let amount = fields.posted_amount("amount_minor");
    let currency = fields.required("currency", Currency::parse);
    let effective_date = fields.date_until("effective_at", rules.latest_effective);
    let method = fields.required("method", parse_method);
    let destination_ref = fields.reference("destination_ref");
    let metadata = fields.metadata();
    Some(Command::Disbursement(Disbursement {
        loan_id: loan_id?,
        borrower_id: borrower_id?,
        amount: Money::new(amount?, currency?),
        effective_date: effective_date?,
        method: method?,
        destination_ref,
        metadata,
    }))
}
