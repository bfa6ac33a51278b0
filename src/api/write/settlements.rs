//! Owns `POST /v1/disbursements/{disbursement_event_id}/settlement`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use chrono::NaiveDate;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ProblemDocument, SettlementAnswer};
use crate::api::state::ApiState;
use crate::api::write::accept::accept_and_answer;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{
    AcceptedEvent, Command, Disbursement, EarlierEvent, Metadata, Party, Servicing, ServicingAct,
};
use crate::core::ids::{EventId, TenantId};

/// The money has left the bank.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"effective_at": "2026-01-16"}))]
pub struct SettlementRequest {
    /// The day it left: not before the disbursement's own.
    pub effective_at: NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Settles a disbursement.
///
/// Once: what waited in clearing is paid out of cash. One that was rejected, taken back or settled before is refused
/// with `insufficient_balance`.
#[utoipa::path(post, path = "/v1/disbursements/{disbursement_event_id}/settlement", tag = "disbursements",
    security(("oauth2" = ["hpts:disbursements:write"])),
    params(("disbursement_event_id" = uuid::Uuid, Path, description = "The disbursement"),
        ("Idempotency-Key" = String, Header, description = "One key per intended settlement, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = SettlementRequest,
    responses((status = 201, description = "Posted", body = SettlementAnswer),
        (status = 200, description = "The first answer to this key again", body = SettlementAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 404, description = "No such disbursement", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_settlement(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::DisbursementsWrite]).await?;
    let event = named(&state, request.caller.tenant, &id).await?;
    let Command::Disbursement(disbursement) = &event.event.command else { return Err(ApiError::NotFound) };
    let (effective_date, metadata) =
        request.parsed_by_rules(&state, |fields, rules| parse(fields, rules, disbursement)).await?;
    let settled = EarlierEvent { id: event.event.id, seq: event.seq };
    let servicing = Servicing {
        loan_id: disbursement.loan_id,
        party: Party { borrower_id: disbursement.borrower_id, currency: disbursement.amount.currency },
        amount: None,
        effective_date,
        metadata,
        act: ServicingAct::DisbursementSettled { disbursement: settled },
    };
    accept_and_answer(&state, request, Command::Servicing(servicing)).await
}

/// The event of the path; whether it is posted shows when the settlement's turn comes.
async fn named(state: &ApiState, tenant: TenantId, id: &str) -> Result<AcceptedEvent, ApiError> {
    let id = EventId::parse(id).map_err(|_| ApiError::NotFound)?;
    Ok(state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)?.event)
}

fn parse(
    fields: &mut Fields<'_>,
    rules: &AcceptanceRules,
    disbursement: &Disbursement,
) -> Option<(NaiveDate, Option<Metadata>)> {
    let effective_date = fields.date_until("effective_at", rules.latest_effective);
    let metadata = fields.metadata();
    let earliest = disbursement.effective_date;
    if effective_date.is_some_and(|date| date < earliest) {
        fields.fail(
            "effective_at",
            "before_disbursement",
            format!("must not be before {earliest}, the day of the disbursement"),
        );
    }
    Some((effective_date?, metadata))
}
