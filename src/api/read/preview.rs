//! Owns `POST /v1/payments/preview`, and what every preview shares: what an event would do. The same fold as posting, over
//! what waits for the loan and then over the event; nothing is written, and no key is taken.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::{Caller, Scope};
use crate::api::error::ApiError;
use crate::api::http::body::read_body;
use crate::api::http::headers::require_json;
use crate::api::http::heavy::off_the_runtime;
use crate::api::http::query::Query;
use crate::api::json::{Fields, read};
use crate::api::openapi::{AllocationSchema, FeeToReviewSchema, LateForSchema, ProblemDocument, RestatedSchema};
use crate::api::problem::first_of_each_field;
use crate::api::read::entries::{LineView, lines_of};
use crate::api::read::statement::BalancesView;
use crate::api::state::ApiState;
use crate::api::tenants::Tenant;
use crate::api::write::payments::{PaymentRequest, parse_payment};
use crate::api::write::request::AcceptanceRules;
use crate::core::event::{Command, IdempotencyKey, NewEvent};
use crate::core::ids::EventId;
use crate::core::ledger::{
    AllocationView, Chart, FeeToReviewView, LateForView, Outcome, Outlook, RejectionCode, RestatedView, SystemPosting,
    late_for_of, look_ahead,
};
use crate::core::loan::LoanState;
use crate::store::LoanAhead;

/// The most waiting events that are counted. A loan with more is told to try again later.
pub(super) const WAITING_MAX: i64 = 1_000;

/// The key of an event that is never accepted.
const KEY: &str = "event-preview";

/// What an event would do. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"outcome": "posted", "effective_at": "2026-05-01", "queued_events": 0, "on_hold": false,
    "loan_version": 1,
    "allocation": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"},
    "lines": [{"sequence": 1, "account_code": "1010", "direction": "DR", "amount_minor": "88849", "currency": "USD",
        "layer": "SETTLED", "loan_id": "11111111-1111-1111-1111-111111111111",
        "borrower_id": "22222222-2222-2222-2222-222222222222"}],
    "balances_before": {"fees_receivable_minor": "500", "interest_receivable_minor": "10000",
        "principal_outstanding_minor": "1000000", "total_exposure_minor": "1010500", "suspense_minor": "0"},
    "balances_after": {"fees_receivable_minor": "0", "interest_receivable_minor": "0",
        "principal_outstanding_minor": "921651", "total_exposure_minor": "921651", "suspense_minor": "0"}}))]
pub struct PreviewAnswer {
    /// The loan, where the operation is over several.
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_id: Option<String>,
    /// `posted` or `rejected`.
    #[schema(value_type = String)]
    outcome: &'static str,
    /// Why a posting rule would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    rejection_code: Option<&'static str>,
    /// The day it would count from.
    effective_at: String,
    /// The loan's postings so far; the preview holds until there are more, or more events wait.
    loan_version: i64,
    /// Accepted events that wait; they are counted as if posted.
    queued_events: usize,
    /// Of them those that cannot be posted as they are: they stop the loan until a person has looked at them.
    #[serde(skip_serializing_if = "is_zero")]
    stuck_events: usize,
    /// Whether the loan waits for a person; what waits is posted when it is released.
    on_hold: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    allocation: Option<AllocationView>,
    /// The lines that would be booked.
    lines: Vec<LineView>,
    /// Where it comes late: the earlier events that would do something else, each with its split before and after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<RestatedSchema>)]
    restated: Vec<RestatedForeseen>,
    /// The late fees that it would show to be for payments on time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<FeeToReviewSchema>)]
    fees_to_review: Vec<FeeToReviewView>,
    /// Of a late fee that says what it is for: that, with what has come in on time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LateForSchema>)]
    late_for: Option<LateForView>,
    /// What else would follow from it: the fee of a return, suspense that pays new debt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consequences: Vec<ConsequenceForeseen>,
    /// After everything that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    balances_before: Option<BalancesView>,
    /// After the event, with everything that follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    balances_after: Option<BalancesView>,
}

/// An earlier event that would do something else. It would be stated anew by an event that has no id yet.
#[derive(Debug, Serialize)]
struct RestatedForeseen {
    event_id: EventId,
    event_type: &'static str,
    effective_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_before: Option<AllocationView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation: Option<AllocationView>,
    /// The lines of the difference.
    lines: Vec<LineView>,
}

impl RestatedForeseen {
    fn of(done: &SystemPosting, chart: &Chart) -> Option<Self> {
        let RestatedView { event_id, event_type, effective_at, allocation_before, allocation, .. } =
            RestatedView::of(&done.event, &done.posting)?;
        let entry = done.posting.entry.as_ref();
        let lines = entry.map(|entry| lines_of(&done.event.command, (entry, chart), 1)).unwrap_or_default();
        Some(Self { event_id, event_type, effective_at, allocation_before, allocation, lines })
    }
}

/// An event that would follow, and has no id yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsequenceForeseen {
    /// Its type.
    #[schema(value_type = String, example = "fee_assessed")]
    event_type: &'static str,
    /// The day it would count from.
    effective_at: String,
    /// Why a posting rule would refuse it: a fee that only the loan's program asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    rejection_code: Option<&'static str>,
    /// How suspense would be divided, where it pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    allocation: Option<AllocationView>,
    /// The lines that would be booked.
    lines: Vec<LineView>,
}

impl ConsequenceForeseen {
    /// `None` for what states another event anew, which is told as such.
    fn of(done: &SystemPosting, chart: &Chart) -> Option<Self> {
        if RestatedView::of(&done.event, &done.posting).is_some() {
            return None;
        }
        let entry = done.posting.entry.as_ref();
        Some(Self {
            event_type: done.event.kind.event_type(),
            effective_at: done.posting.effective_date.to_string(),
            rejection_code: done.posting.outcome.rejection().map(RejectionCode::as_str),
            allocation: done.posting.allocation.as_ref().map(AllocationView::from),
            lines: entry.map(|entry| lines_of(&done.event.command, (entry, chart), 1)).unwrap_or_default(),
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(super) const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Says what a payment would do, and does nothing.
///
/// A read: it needs no Idempotency-Key, and nothing is accepted. Events that wait for the loan are counted first. A
/// payment that a posting rule would refuse is answered with its `rejection_code`; one that would not be accepted is
/// refused as `POST /v1/payments` refuses it.
#[utoipa::path(post, path = "/v1/payments/preview", tag = "payments", security(("oauth2" = ["hpts:payments:write"])),
    request_body = PaymentRequest,
    responses((status = 200, description = "What it would do", body = PreviewAnswer),
        (status = 400, description = "Not JSON", body = ProblemDocument),
        (status = 422, description = "It would not be accepted", body = ProblemDocument),
        (status = 503, description = "More than 1,000 events wait for the loan", body = ProblemDocument)))]
pub(crate) async fn preview_payment(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<PreviewAnswer>, ApiError> {
    let PreviewCall { caller, tenant, rules, body } =
        PreviewCall::read(&state, request, &[Scope::PaymentsWrite]).await?;
    let command = acceptable(&body, &rules)?;
    foreseen(&state, &caller, command, tenant).await.map(Json)
}

/// A preview that is asked for: by whom, of which tenant, and the body, which is not read yet.
pub(super) struct PreviewCall {
    pub(super) caller: Arc<Caller>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) rules: AcceptanceRules,
    pub(super) body: Bytes,
}

impl PreviewCall {
    /// # Errors
    /// The caller has none of the scopes, the request is no JSON or has a query, or the store is away.
    pub(super) async fn read(state: &ApiState, request: Request, scopes: &'static [Scope]) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let caller = state.caller(&parts.headers, scopes).await?;
        require_json(&parts.headers)?;
        Query::of(&parts.uri)?.finish()?;
        let body = read_body(&parts.headers, body).await?;
        let now = state.now();
        let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
        let rules = AcceptanceRules::of(&tenant, now);
        Ok(Self { caller, tenant, rules, body })
    }
}

/// What a command would do. The fold over what waits and over a long past takes longer than a thread of the runtime may
/// stand still.
///
/// # Errors
/// Too many events wait for the loan, or the store is away.
pub(super) async fn foreseen(
    state: &ApiState,
    caller: &Caller,
    command: Command,
    tenant: Arc<Tenant>,
) -> Result<PreviewAnswer, ApiError> {
    let (id, actor) = (EventId(uuid::Uuid::nil()), caller.client_id.clone());
    let event = NewEvent::of_caller(id, caller.tenant, imagined_key()?, command, state.publisher(), actor);
    let ahead = state.store().loan_ahead(event.clone(), WAITING_MAX).await?;
    if ahead.is_cut {
        return Err(ApiError::Overloaded);
    }
    off_the_runtime(move || {
        let loan = LoanBefore::of(&ahead);
        let outlook = look_ahead(ahead.work, ahead.now).map_err(|reason| unjudged(&reason))?;
        PreviewAnswer::new(&event.command, loan, outlook, &tenant.chart)
    })
    .await?
}

/// The payment, if it would be accepted.
fn acceptable(body: &[u8], rules: &AcceptanceRules) -> Result<Command, ApiError> {
    let mut fields = Fields::of_body(read(body)?);
    let command = parse_payment(&mut fields, rules);
    let errors = fields.finish();
    let command = command.filter(|_| errors.is_empty());
    let command = command.ok_or_else(|| ApiError::Validation(first_of_each_field(errors)))?;
    within_limit(command, rules)
}

/// A payment, if it is not above the tenant's limit.
pub(super) fn within_limit(command: Command, rules: &AcceptanceRules) -> Result<Command, ApiError> {
    match (rules.payment_limit, command.amount()) {
        (Some(limit), Some(amount)) if amount > limit => Err(ApiError::LimitExceeded { limit }),
        _ => Ok(command),
    }
}

/// The key of an event that is never accepted.
pub(super) fn imagined_key() -> Result<IdempotencyKey, ApiError> {
    IdempotencyKey::parse(KEY).map_err(|_| ApiError::Broken("the preview has no key"))
}

/// An event that cannot be judged: our own mistake.
pub(super) fn unjudged(reason: &str) -> ApiError {
    tracing::error!(reason, "an event cannot be previewed");
    ApiError::Broken("an event cannot be judged")
}

/// The loan as it is, with what waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoanBefore {
    pub(super) version: i64,
    pub(super) queued_events: usize,
    pub(super) on_hold: bool,
}

impl LoanBefore {
    pub(super) fn of(ahead: &LoanAhead) -> Self {
        Self {
            version: ahead.work.state.map_or(0, |state| state.version),
            queued_events: ahead.work.events.len().saturating_sub(1),
            on_hold: ahead.on_hold,
        }
    }
}

/// How an event would end, and why a rule would refuse it.
pub(super) const fn foreseen_outcome(outcome: Outcome) -> (&'static str, Option<RejectionCode>) {
    match outcome {
        Outcome::Posted | Outcome::Done => ("posted", None),
        Outcome::Rejected(code) => ("rejected", Some(code)),
    }
}

impl PreviewAnswer {
    pub(super) fn new(command: &Command, loan: LoanBefore, outlook: Outlook, chart: &Chart) -> Result<Self, ApiError> {
        const BROKEN: ApiError = ApiError::Broken("a balance leaves 64 bits");
        let Outlook { before, step, stuck, fees_to_review, received } = outlook;
        let late_for = late_for_of(command).zip(received);
        let posting = &step.posting.posting;
        let (outcome, rejection) = foreseen_outcome(posting.outcome);
        let shown = |state: Option<LoanState>| {
            let open = state.filter(|state| state.version > 0);
            open.map(|state| BalancesView::of(&state.balances)).transpose().map_err(|_| BROKEN)
        };
        Ok(Self {
            loan_id: matches!(command, Command::Leg(_)).then(|| command.loan_id().to_string()),
            outcome,
            rejection_code: rejection.map(RejectionCode::as_str),
            effective_at: posting.effective_date.to_string(),
            loan_version: loan.version,
            queued_events: loan.queued_events,
            stuck_events: stuck.len(),
            on_hold: loan.on_hold,
            allocation: posting.allocation.as_ref().map(AllocationView::from),
            lines: posting.entry.as_ref().map(|entry| lines_of(command, (entry, chart), 1)).unwrap_or_default(),
            restated: step.system.iter().filter_map(|done| RestatedForeseen::of(done, chart)).collect(),
            fees_to_review: fees_to_review.iter().map(FeeToReviewView::from).collect(),
            late_for: late_for.map(|(late_for, received)| LateForView::of(late_for, received)),
            consequences: step.system.iter().filter_map(|done| ConsequenceForeseen::of(done, chart)).collect(),
            balances_before: shown(before)?,
            balances_after: shown(step.state)?,
        })
    }
}
