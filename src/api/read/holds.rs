//! Owns `GET /v1/loans/{loan_id}/hold`: why a loan stands still, and what waits for its release.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::{EventIds, ProblemDocument};
use crate::api::state::ApiState;
use crate::core::event::{NamedId, Stage};
use crate::core::ids::{LoanId, LoanKey};
use crate::store::{WaitingEvent, WaitingFilter};

/// A loan's hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "on_hold": true, "refuse": false,
    "reason": "the borrower disputes the balance", "held_at": "2026-05-01T12:00:00Z", "waiting_events": 1,
    "items": [{"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "status": "held",
    "event_type": "payment_received", "accepted_at": "2026-05-02T12:00:00Z"}]}))]
pub struct LoanHoldView {
    loan_id: String,
    on_hold: bool,
    /// Whether what comes is rejected instead of waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse: Option<bool>,
    /// Why; where an event was parked, that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_at: Option<String>,
    /// How many events wait; counts at most 10,000.
    waiting_events: i64,
    /// The oldest of them, in the order in which they will be posted.
    items: Vec<WaitingEventView>,
}

/// An event that waits for the release of its loan.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingEventView {
    /// Its id, under the name of its 201.
    #[serde(flatten)]
    #[schema(value_type = EventIds)]
    id: NamedId,
    /// `held`, or `parked` where it could not be posted.
    status: &'static str,
    event_type: &'static str,
    accepted_at: String,
    /// How often it was tried in vain.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_at: Option<String>,
}

impl WaitingEventView {
    fn of(event: &WaitingEvent) -> Self {
        let failure = event.failure.as_ref();
        Self {
            id: NamedId { kind: event.kind, id: event.id },
            status: if event.stage() == Stage::Parked { "parked" } else { "held" },
            event_type: event.kind.event_type(),
            accepted_at: event.accepted_at.to_string(),
            attempts: failure.map(|failure| failure.attempts),
            parked_at: failure.and_then(|failure| failure.parked_at).map(|at| at.to_string()),
        }
    }
}

/// Whether a loan is on hold, why, and what waits for its release.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/hold", tag = "loans", security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan"),
        ("page_size" = Option<u32>, Query, description = "How many of the waiting events, 1 to 500, default 50")),
    responses((status = 200, description = "Its hold, or that it has none", body = LoanHoldView),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn get_hold(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<LoanHoldView>, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead, Scope::LoansWrite]).await?;
    let mut query = Query::of(&uri)?;
    let limit = query.page_size();
    query.finish()?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let key = LoanKey::of_loan(caller.tenant, loan);
    let Some(hold) = state.store().loan_hold(caller.tenant, key).await? else {
        state.store().loan(caller.tenant, key).await?.ok_or(ApiError::NotFound)?;
        return Ok(Json(LoanHoldView {
            loan_id: loan.to_string(),
            on_hold: false,
            refuse: None,
            reason: None,
            held_at: None,
            waiting_events: 0,
            items: Vec::new(),
        }));
    };
    let waiting = state.store().waiting_events(Some(caller.tenant), WaitingFilter::OfLoan(key), limit).await?;
    let is_parked = waiting.iter().any(|event| event.stage() == Stage::Parked);
    Ok(Json(LoanHoldView {
        loan_id: loan.to_string(),
        on_hold: true,
        refuse: Some(hold.mode.refuses()),
        // What went wrong inside is for operators.
        reason: Some(if is_parked { "an event could not be posted".to_owned() } else { hold.reason }),
        held_at: Some(hold.held_at.to_string()),
        waiting_events: hold.waiting,
        items: waiting.iter().map(WaitingEventView::of).collect(),
    }))
}
