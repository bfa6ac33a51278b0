//! Owns `GET /v1/periods`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::state::ApiState;
use crate::store::PeriodRecord;

/// An accounting period that was closed at least once. All others are open.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodView {
    /// The month.
    #[schema(example = "2026-04")]
    period: String,
    /// `open` or `closed`.
    #[schema(value_type = String, example = "closed")]
    status: &'static str,
    /// Why it was last changed.
    #[schema(example = "April is reconciled")]
    reason: String,
    /// The client that changed it.
    actor: String,
    #[schema(example = "2026-05-04T12:00:00Z")]
    changed_at: String,
}

/// A tenant's accounting periods.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodsList {
    /// What becomes of an event dated in a closed period: `next_open_day` or `refuse`.
    #[schema(value_type = String, example = "next_open_day")]
    closed_periods: &'static str,
    /// Those that were ever closed, oldest first.
    items: Vec<PeriodView>,
}

impl From<PeriodRecord> for PeriodView {
    fn from(record: PeriodRecord) -> Self {
        Self {
            period: record.period.to_string(),
            status: record.status.as_str(),
            reason: record.reason,
            actor: record.actor,
            changed_at: record.changed_at.to_string(),
        }
    }
}

/// A tenant's accounting periods.
#[utoipa::path(get, path = "/v1/periods", tag = "ledger", security(("oauth2" = ["hpts:ledger:read"])),
    responses((status = 200, description = "The periods that were ever closed", body = PeriodsList)))]
pub(crate) async fn list_periods(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<PeriodsList>, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead, Scope::AdjustmentsWrite]).await?;
    Query::of(&uri)?.finish()?;
    let (rule, periods) = state.store().periods(caller.tenant).await?;
    let items = periods.into_iter().map(PeriodView::from).collect();
    Ok(Json(PeriodsList { closed_periods: rule.as_str(), items }))
}
