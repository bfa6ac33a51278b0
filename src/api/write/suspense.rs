//! Owns `POST /v1/suspense/applications` and `POST /v1/suspense/refunds`.

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ProblemDocument, SuspenseApplicationAnswer, SuspenseRefundAnswer};
use crate::api::state::ApiState;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::api::write::servicing::{Asked, Shared, accept, optional_amount};
use crate::core::event::ServicingAct;

/// Suspense to apply or to give back.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "amount_minor": "5000",
    "effective_at": "2026-05-20"}))]
pub struct SuspenseRequest {
    /// The loan.
    pub loan_id: uuid::Uuid,
    /// How much, more than 0; all of it where absent. At most what is in suspense on that day, and of that what no later
    /// refund, transfer or adjustment has taken; to give back, what is there on every later day as well.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: Option<String>,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Applies suspense to what the loan owes.
///
/// In the loan's order of payment; what finds no debt stays in suspense. Refused with `insufficient_balance` where there
/// is less in suspense, or nothing to pay.
#[utoipa::path(post, path = "/v1/suspense/applications", tag = "suspense",
    security(("oauth2" = ["hpts:payments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended application, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = SuspenseRequest,
    responses((status = 201, description = "Posted", body = SuspenseApplicationAnswer),
        (status = 200, description = "The first answer to this key again", body = SuspenseApplicationAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_application(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::PaymentsWrite]).await?;
    let act = || ServicingAct::SuspenseApplied { raised_by: None };
    let asked = request.parsed_by_rules(&state, |fields, rules| parse(fields, rules, act())).await?;
    accept(&state, request, asked).await
}

/// Gives suspense back to the borrower: it is payable from then on.
#[utoipa::path(post, path = "/v1/suspense/refunds", tag = "suspense",
    security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended refund, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = SuspenseRequest,
    responses((status = 201, description = "Posted", body = SuspenseRefundAnswer),
        (status = 200, description = "The first answer to this key again", body = SuspenseRefundAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_refund(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::AdjustmentsWrite]).await?;
    let act = || ServicingAct::SuspenseRefunded;
    let asked = request.parsed_by_rules(&state, |fields, rules| parse(fields, rules, act())).await?;
    accept(&state, request, asked).await
}

fn parse(fields: &mut Fields<'_>, rules: &AcceptanceRules, act: ServicingAct) -> Option<Asked> {
    let amount = optional_amount(fields, "amount_minor");
    Shared::take(fields, rules).asked(amount, act)
}
