//! Owns `POST /v1/loans/{loan_id}/hold` and `POST /v1/loans/{loan_id}/release`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::api::write::operation::{answered, begin};
use crate::api::write::request::WriteRequest;
use crate::core::event::{HoldMode, HoldOperation, UploadOperation};
use crate::core::ids::{LoanId, LoanKey, TenantId};
use crate::store::HoldChange;

/// Why a loan stands still.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"reason": "the borrower disputes the balance", "refuse": false}))]
pub struct LoanHoldRequest {
    /// 1 to 255 printable characters.
    pub reason: String,
    /// Whether what comes is rejected, `loan_on_hold`, instead of waiting. False where absent.
    pub refuse: Option<bool>,
}

/// Why a loan goes on.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"reason": "the dispute is settled"}))]
pub struct LoanReleaseRequest {
    /// 1 to 255 printable characters.
    pub reason: String,
}

/// What has become of a loan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "on_hold": true, "refuse": false,
    "reason": "the borrower disputes the balance"}))]
pub struct LoanHoldAnswer {
    loan_id: String,
    on_hold: bool,
    /// Where it is on hold: whether what comes is rejected instead of waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse: Option<bool>,
    reason: String,
}

/// Makes a loan stand still. What is accepted for it waits, in order, until it is released; with `refuse` it is rejected
/// as `loan_on_hold` instead, and so is what waits already, unless an event of the loan is parked: then all wait for a
/// person. An event over several loans never waits: it is rejected. Again, with another reason, changes the reason.
#[utoipa::path(post, path = "/v1/loans/{loan_id}/hold", tag = "loans", security(("oauth2" = ["hpts:loans:write"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan"),
        ("Idempotency-Key" = String, Header, description = "One key per intended hold, kept over retries")),
    request_body = LoanHoldRequest,
    responses((status = 201, description = "On hold", body = LoanHoldAnswer),
        (status = 200, description = "The first answer to this key again", body = LoanHoldAnswer),
        (status = 404, description = "No such loan", body = ProblemDocument),
        (status = 422, description = "Not valid", body = ProblemDocument)))]
pub(crate) async fn hold_loan(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::LoansWrite]).await?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let (reason, mode) = request.parsed(parse_hold)?;
    if state.store().loan(request.caller.tenant, key_of(&request, loan)).await?.is_none() {
        return Err(ApiError::NotFound);
    }
    let operation = HoldOperation::Hold { loan_id: loan, mode, reason: reason.clone() };
    change(&state, &request, operation, (loan, Some(mode), reason)).await
}

/// Lets a loan go on, in the order of acceptance. An event that was parked is tried again.
#[utoipa::path(post, path = "/v1/loans/{loan_id}/release", tag = "loans", security(("oauth2" = ["hpts:loans:write"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan"),
        ("Idempotency-Key" = String, Header, description = "One key per intended release, kept over retries")),
    request_body = LoanReleaseRequest,
    responses((status = 201, description = "Released", body = LoanHoldAnswer),
        (status = 200, description = "The first answer to this key again", body = LoanHoldAnswer),
        (status = 404, description = "No such loan", body = ProblemDocument),
        (status = 422, description = "Not valid", body = ProblemDocument)))]
pub(crate) async fn release_loan(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::LoansWrite]).await?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let reason = request.parsed(|fields| fields.required_reference("reason"))?;
    // A loan whose opening is parked does not exist yet, and can be released.
    if !is_known(&state, request.caller.tenant, key_of(&request, loan)).await? {
        return Err(ApiError::NotFound);
    }
    let operation = HoldOperation::Release { loan_id: loan, reason: reason.clone() };
    change(&state, &request, operation, (loan, None, reason)).await
}

fn parse_hold(fields: &mut Fields<'_>) -> Option<(String, HoldMode)> {
    let (reason, refuse) = (fields.required_reference("reason"), fields.flag("refuse"));
    Some((reason?, HoldMode::of(refuse.unwrap_or(false))))
}

fn key_of(request: &WriteRequest, loan: LoanId) -> LoanKey {
    LoanKey::of_loan(request.caller.tenant, loan)
}

async fn is_known(state: &ApiState, tenant: TenantId, loan: LoanKey) -> Result<bool, ApiError> {
    let (record, hold) = (state.store().loan(tenant, loan).await?, state.store().loan_hold(tenant, loan).await?);
    Ok(record.is_some() || hold.is_some())
}

async fn change(
    state: &ApiState,
    request: &WriteRequest,
    operation: HoldOperation,
    (loan, mode, reason): (LoanId, Option<HoldMode>, String),
) -> Result<Response, ApiError> {
    let operation = begin(state, request, UploadOperation::Hold(operation)).await?;
    let asked = operation.event.clone();
    let answer = LoanHoldAnswer {
        loan_id: loan.to_string(),
        on_hold: mode.is_some(),
        refuse: mode.map(HoldMode::refuses),
        reason: reason.clone(),
    };
    let answer = serde_json::to_vec(&answer).map_err(|_| ApiError::Broken("a hold has no JSON"))?;
    let change = HoldChange { operation, loan_key: key_of(request, loan), mode, reason, answer: answer.clone() };
    let (done, goes_on) = state.store().change_hold(change).await?;
    state.intake().publish_again(&goes_on);
    answered(state, &asked, done, answer)
}
