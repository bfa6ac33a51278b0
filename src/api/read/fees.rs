//! Owns `GET /v1/loans/{loan_id}/fees`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::core::ids::{LoanId, LoanKey};
use crate::core::ledger::FeeItem;

/// A fee, and what became of it. What was assessed is paid, waived, charged off or outstanding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"fee_event_id": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee", "fee_code": "late",
    "assessed_on": "2026-05-16", "due_on": "2026-06-01", "assessed_minor": "2500", "paid_minor": "1000",
    "waived_minor": "500", "charged_off_minor": "0", "outstanding_minor": "1000"}))]
pub struct FeeItemView {
    /// The event that charged it.
    fee_event_id: String,
    /// What sort of fee; for fees that another event brought, that event's type.
    fee_code: String,
    /// The day it counts from.
    assessed_on: String,
    /// The day it is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_on: Option<String>,
    assessed_minor: String,
    /// Payments pay the oldest fee first.
    paid_minor: String,
    waived_minor: String,
    charged_off_minor: String,
    outstanding_minor: String,
}

/// A loan's fees.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeesList {
    /// Oldest first.
    items: Vec<FeeItemView>,
}

impl FeeItemView {
    fn of(item: &FeeItem) -> Result<Self, ApiError> {
        let outstanding = item.outstanding().map_err(|_| ApiError::Broken("a fee has no rest"))?;
        Ok(Self {
            fee_event_id: item.event_id.to_string(),
            fee_code: item.sort.as_str().to_owned(),
            assessed_on: item.assessed_on.to_string(),
            due_on: item.due_on.map(|due| due.to_string()),
            assessed_minor: item.assessed.to_string(),
            paid_minor: item.paid.to_string(),
            waived_minor: item.waived.to_string(),
            charged_off_minor: item.charged_off.to_string(),
            outstanding_minor: outstanding.to_string(),
        })
    }
}

/// A loan's fees, one by one.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/fees", tag = "fees", security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan")),
    responses((status = 200, description = "Its fees", body = FeesList),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn list_fees(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<FeesList>, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead]).await?;
    Query::of(&uri)?.finish()?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let key = LoanKey::of_loan(caller.tenant, loan);
    let items = state.store().loan_fees(caller.tenant, key).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(FeesList { items: items.iter().map(FeeItemView::of).collect::<Result<_, _>>()? }))
}
