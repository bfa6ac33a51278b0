//! Owns `GET /v1/loans/{loan_id}/fees`.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::{LateForSchema, ProblemDocument};
use crate::api::state::ApiState;
use crate::core::ids::{EventId, LoanId, LoanKey};
use crate::core::ledger::{FeeItem, LateFeeBook, LateForView, RejectionCode};

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
    /// Of a late fee: the payment that was late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LateForSchema>)]
    late_for: Option<LateForView>,
    /// Why somebody should look at it: `paid_on_time` where the payment turned out not to be late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "paid_on_time")]
    review: Option<&'static str>,
}

/// A loan's fees.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeesList {
    /// Oldest first.
    items: Vec<FeeItemView>,
}

impl FeeItemView {
    pub(super) fn of(item: &FeeItem) -> Result<Self, ApiError> {
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
            late_for: None,
            review: None,
        })
    }

    /// The same of a late fee.
    pub(super) fn with_late_for(self, late_for: LateForView, review: Option<&'static str>) -> Self {
        Self { late_for: Some(late_for), review, ..self }
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
    let late = LateFeeBook::of(&state.store().late_fees(caller.tenant, vec![key], NaiveDate::MIN).await?);
    let to_review: BTreeSet<EventId> = late.to_review().into_iter().map(|fee| fee.item.event_id).collect();
    let view = |item: &FeeItem| {
        let view = FeeItemView::of(item)?;
        let Some((late_for, received)) = late.late_fee(item.event_id) else { return Ok(view) };
        let review = to_review.contains(&item.event_id).then(|| RejectionCode::PaidOnTime.as_str());
        Ok(view.with_late_for(LateForView::of(&late_for, received), review))
    };
    Ok(Json(FeesList { items: items.iter().map(view).collect::<Result<_, ApiError>>()? }))
}
