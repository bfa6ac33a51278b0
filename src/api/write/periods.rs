//! Owns `POST /v1/periods/{period}/close` and `POST /v1/periods/{period}/reopen`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::write::operation::{answered, begin};
use crate::api::write::request::WriteRequest;
use crate::core::event::UploadOperation;
use crate::core::ledger::{Period, PeriodStatus};
use crate::store::PeriodChange;

/// Why a period is closed or opened again.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"reason": "April is reconciled"}))]
pub struct PeriodRequest {
    /// 1 to 255 printable characters.
    pub reason: String,
}

/// What a period has become.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"period": "2026-04", "status": "closed", "reason": "April is reconciled"}))]
pub struct PeriodAnswer {
    /// The month.
    period: String,
    /// `open` or `closed`.
    #[schema(value_type = String)]
    status: &'static str,
    reason: String,
}

/// Closes an accounting period: it takes no new booking date. Events dated in it keep their effective date and are booked
/// on the first open day after it, or are rejected (`period_closed`) where the tenant's setting says so.
#[utoipa::path(post, path = "/v1/periods/{period}/close", tag = "ledger",
    security(("oauth2" = ["hpts:adjustments:write"])),
    params(("period" = String, Path, description = "The month, `YYYY-MM`", example = "2026-04"),
        ("Idempotency-Key" = String, Header, description = "One key per intended close, kept over retries")),
    request_body = PeriodRequest,
    responses((status = 201, description = "Closed", body = PeriodAnswer),
        (status = 200, description = "The first answer to this key again", body = PeriodAnswer),
        (status = 404, description = "Not a month", body = ProblemDocument),
        (status = 422, description = "Not valid, or the month has not begun", body = ProblemDocument)))]
pub(crate) async fn close_period(
    State(state): State<ApiState>,
    Path(period): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(&state, &period, request, PeriodStatus::Closed).await
}

/// Opens a closed accounting period again. What was booked elsewhere meanwhile stays there.
#[utoipa::path(post, path = "/v1/periods/{period}/reopen", tag = "ledger",
    security(("oauth2" = ["hpts:adjustments:write"])),
    params(("period" = String, Path, description = "The month, `YYYY-MM`", example = "2026-04"),
        ("Idempotency-Key" = String, Header, description = "One key per intended opening, kept over retries")),
    request_body = PeriodRequest,
    responses((status = 201, description = "Open", body = PeriodAnswer),
        (status = 200, description = "The first answer to this key again", body = PeriodAnswer),
        (status = 404, description = "Not a month", body = ProblemDocument),
        (status = 422, description = "Not valid", body = ProblemDocument)))]
pub(crate) async fn reopen_period(
    State(state): State<ApiState>,
    Path(period): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(&state, &period, request, PeriodStatus::Open).await
}

async fn change(state: &ApiState, period: &str, request: Request, status: PeriodStatus) -> Result<Response, ApiError> {
    let request = WriteRequest::read(state, request, &[Scope::AdjustmentsWrite]).await?;
    let period = Period::parse(period).map_err(|_| ApiError::NotFound)?;
    let reason = request.parsed(|fields| fields.required_reference("reason"))?;
    let now = state.now();
    let today = state.tenants().get(state.store(), request.caller.tenant, now).await?.business_date(now);
    // So an event never waits for a month that is far away, and the first open day is at most a month after today.
    if status == PeriodStatus::Closed && period.first_day() > today {
        return Err(ApiError::Validation(vec![FieldError::new("period", "in_the_future", "has not begun yet")]));
    }
    let (name, why) = (period.to_string(), reason.clone());
    let operation = match status {
        PeriodStatus::Closed => UploadOperation::PeriodClose { period: name, reason: why },
        PeriodStatus::Open => UploadOperation::PeriodReopen { period: name, reason: why },
    };
    let operation = begin(state, &request, operation).await?;
    let asked = operation.event.clone();
    let answer = PeriodAnswer { period: period.to_string(), status: status.as_str(), reason: reason.clone() };
    let answer = serde_json::to_vec(&answer).map_err(|_| ApiError::Broken("a period has no JSON"))?;
    let change = PeriodChange { operation, period, status, reason, answer: answer.clone() };
    let done = state.store().change_period(change).await?;
    answered(state, &asked, done, answer)
}
