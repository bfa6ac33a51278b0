//! Owns `POST /v1/chargeoffs` and `POST /v1/recoveries`.

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ChargeoffAnswer, ProblemDocument, RecoveryAnswer};
use crate::api::state::ApiState;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::api::write::servicing::{Asked, Shared, accept};
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::loan::LossAccount;

/// A loan to charge off.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "effective_at": "2026-09-30",
    "collectible": true}))]
pub struct ChargeoffRequest {
    /// The loan.
    pub loan_id: uuid::Uuid,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// Whether it is still collected, true where absent: payments are recoveries then. Where not, the loan is written
    /// off, and closed to all but recoveries, returns and reversals.
    pub collectible: Option<bool>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Money received for a loan that is charged off.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "amount_minor": "25000",
    "effective_at": "2026-11-02"}))]
pub struct RecoveryRequest {
    /// The loan.
    pub loan_id: uuid::Uuid,
    /// Whole minor units of the loan's currency as a string of digits, more than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: String,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Charges a loan off.
///
/// All that it owes leaves the balance sheet and stands on the memo accounts from then on. Refused with
/// `insufficient_balance` where it owes nothing, or less on a later day; with `loan_closed` where it is charged off.
#[utoipa::path(post, path = "/v1/chargeoffs", tag = "charge-offs", security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended charge-off, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = ChargeoffRequest,
    responses((status = 201, description = "Posted", body = ChargeoffAnswer),
        (status = 200, description = "The first answer to this key again", body = ChargeoffAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_chargeoff(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::AdjustmentsWrite]).await?;
    let loss = state.tenants().get(state.store(), request.caller.tenant, state.now()).await?.loss_account;
    let asked = request.parsed_by_rules(&state, |fields, rules| parse_chargeoff(fields, rules, loss)).await?;
    accept(&state, request, asked).await
}

/// Posts a recovery.
///
/// It pays what stands on the memo accounts in the loan's order of payment; what is more goes to suspense. Refused with
/// `insufficient_balance` where the loan is not charged off.
#[utoipa::path(post, path = "/v1/recoveries", tag = "charge-offs", security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended recovery, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = RecoveryRequest,
    responses((status = 201, description = "Posted", body = RecoveryAnswer),
        (status = 200, description = "The first answer to this key again", body = RecoveryAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_recovery(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::AdjustmentsWrite]).await?;
    let asked = request.parsed_by_rules(&state, parse_recovery).await?;
    accept(&state, request, asked).await
}

fn parse_chargeoff(fields: &mut Fields<'_>, rules: &AcceptanceRules, loss: LossAccount) -> Option<Asked> {
    let collectibility = fields.flag("collectible").map(Collectibility::of).unwrap_or_default();
    Shared::take(fields, rules).asked(None, ServicingAct::Chargeoff { collectibility, loss })
}

fn parse_recovery(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<Asked> {
    let amount = fields.posted_amount("amount_minor");
    Shared::take(fields, rules).asked(Some(amount?), ServicingAct::Recovery)
}
