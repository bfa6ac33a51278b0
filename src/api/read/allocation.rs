//! Owns `GET /v1/payments/{payment_event_id}/allocation`: which rule gave which cent where.
//!
//! The split is made again from what was known when it was posted: the loan's postings before it, cut at its version, and
//! of them those of its own day and of earlier ones.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::{AllocationSchema, ProblemDocument};
use crate::api::state::ApiState;
use crate::core::event::Command;
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::{AllocationView, Posting};
use crate::core::loan::{Allocation, Bucket, BucketStep, Limit, Timeline, explain};
use crate::core::money::{AmountOverflow, Minor};
use crate::store::{EventRecord, HistoryCut};

const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::PaymentsWrite];

/// How a payment was divided, and why. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "loan_id": "11111111-1111-1111-1111-111111111111", "currency": "USD", "amount_minor": "88849",
    "effective_at": "2026-05-01", "posted_at": "2026-05-01T12:00:00Z", "loan_version": 2, "is_backdated": false,
    "is_reproduced": true, "waterfall": ["fees", "interest", "principal"],
    "steps": [
        {"bucket": "fees", "available_minor": "88849", "owed_minor": "500", "payable_minor": "500",
            "paid_minor": "500", "reason": "paid_in_full"},
        {"bucket": "interest", "available_minor": "88349", "owed_minor": "10000", "payable_minor": "10000",
            "paid_minor": "10000", "reason": "paid_in_full"},
        {"bucket": "principal", "available_minor": "78349", "owed_minor": "1000000", "payable_minor": "1000000",
            "paid_minor": "78349", "reason": "money_ran_out"}],
    "allocation": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"},
    "restatements": []}))]
pub struct AllocationExplained {
    payment_event_id: String,
    loan_id: String,
    currency: String,
    amount_minor: String,
    effective_at: String,
    posted_at: String,
    /// Its place in the loan's order of posting; the steps are about what was posted before it.
    loan_version: i64,
    /// Whether something later dated was posted before it: it was divided by what was owed on its own day, and what came
    /// later was divided anew.
    is_backdated: bool,
    /// Whether the steps, made anew, come to the split as it was posted. Where they do not, another rule divided it (a
    /// charged-off loan, an order that was changed since), and the steps are left out.
    is_reproduced: bool,
    /// The loan's order of payment.
    #[schema(value_type = Vec<String>)]
    waterfall: [&'static str; 3],
    /// The waterfall, first step first.
    steps: Vec<StepView>,
    /// Why money went to suspense: `nothing_owed`, or `later_day` where a later day keeps it from debts of today.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    suspense_reason: Option<&'static str>,
    /// The split as first posted.
    #[schema(value_type = AllocationSchema)]
    allocation: AllocationView,
    /// The split as it stands, where it was made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    current_allocation: Option<AllocationView>,
    /// What divided it anew, oldest first.
    restatements: Vec<RestatementView>,
    /// The event that took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undone_by: Option<String>,
}

/// One step of the waterfall.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    /// `fees`, `interest` or `principal`.
    #[schema(value_type = String)]
    bucket: &'static str,
    /// The money that came to this step.
    available_minor: String,
    /// What the bucket owed on the payment's day, as it was known when the payment was posted.
    owed_minor: String,
    /// What the payment could pay of it.
    payable_minor: String,
    /// Where that is less: the last day on which no more was owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    least_on: Option<String>,
    /// What it took.
    paid_minor: String,
    /// Why no more: `nothing_owed`, `paid_in_full`, `later_day` or `money_ran_out`.
    #[schema(value_type = String)]
    reason: &'static str,
}

/// A new split.
#[derive(Debug, Serialize, ToSchema)]
pub struct RestatementView {
    event_id: String,
    journal_entry_id: String,
    posted_at: String,
    /// The late event that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    caused_by_event_id: Option<String>,
    /// What sort of event that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    caused_by_event_type: Option<&'static str>,
    #[schema(value_type = AllocationSchema)]
    allocation: AllocationView,
}

impl StepView {
    fn of(step: &BucketStep) -> Self {
        Self {
            bucket: step.bucket.as_str(),
            available_minor: step.available.to_string(),
            owed_minor: step.owed.to_string(),
            payable_minor: step.payable.to_string(),
            least_on: step.least_on.map(|day| day.to_string()),
            paid_minor: step.paid.to_string(),
            reason: step.limit.as_str(),
        }
    }
}

/// Explains the split of a payment.
#[utoipa::path(get, path = "/v1/payments/{payment_event_id}/allocation", tag = "payments",
    security(("oauth2" = ["hpts:ledger:read"])),
    params(("payment_event_id" = uuid::Uuid, Path, description = "The payment")),
    responses((status = 200, description = "Step by step", body = AllocationExplained),
        (status = 404, description = "No such payment, or it was not divided: it waits, or was rejected", body = ProblemDocument)))]
pub(crate) async fn get_allocation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<AllocationExplained>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    let id = EventId::parse(&id).map_err(|_| ApiError::NotFound)?;
    let record = state.store().event(caller.tenant, id).await?.ok_or(ApiError::NotFound)?;
    let divided = Divided::of(&record).ok_or(ApiError::NotFound)?;
    explained(&state, caller.tenant, &record, divided).await.map(Json)
}

/// A payment with its split.
#[derive(Clone, Copy)]
struct Divided<'r> {
    amount: Minor,
    posting: &'r Posting,
    version: i64,
    split: Allocation,
}

impl<'r> Divided<'r> {
    fn of(record: &'r EventRecord) -> Option<Self> {
        let Command::Payment(payment) = &record.event.event.command else { return None };
        let posting = record.posting.as_ref()?;
        let (version, split) = (posting.loan_version?, posting.allocation?);
        Some(Self { amount: payment.amount.minor, posting, version, split })
    }
}

async fn explained(
    state: &ApiState,
    tenant: TenantId,
    record: &EventRecord,
    divided: Divided<'_>,
) -> Result<AllocationExplained, ApiError> {
    const BROKEN: fn(AmountOverflow) -> ApiError = |_| ApiError::Broken("a balance leaves 64 bits");
    let Divided { amount, posting, version, split } = divided;
    let cut = HistoryCut::at_version(version.saturating_sub(1));
    let found = state.store().loan_days(tenant, posting.loan_key, cut).await?.ok_or(ApiError::NotFound)?;
    let (date, waterfall, history) = (posting.effective_date, found.record.state.waterfall, found.history);
    let owed = history.balances_on(date).map_err(BROKEN)?;
    let mut made = explain((amount, date), &owed, &Timeline::default(), waterfall).map_err(BROKEN)?;
    if made.1 != split {
        // Before there was a replay, a late payment paid of each bucket what was left of it on every later day.
        let (owed, later) = (history.balances().map_err(BROKEN)?, history.after(date).map_err(BROKEN)?);
        made = explain((amount, date), &owed, &later, waterfall).map_err(BROKEN)?;
    }
    let (steps, made_anew) = made;
    let is_reproduced = made_anew == split;
    let steps = if is_reproduced { steps } else { Vec::new() };
    let event = &record.event.event;
    let mut restatements = Vec::new();
    for restating in state.store().restatements(tenant, record.event.seq).await? {
        let cause = match restating.event.event.origin.cause_seq {
            Some(seq) => state.store().event_at(tenant, seq).await?,
            None => None,
        };
        restatements.extend(restatement(&restating, cause.as_ref()));
    }
    Ok(AllocationExplained {
        payment_event_id: event.id.to_string(),
        loan_id: event.command.loan_id().to_string(),
        currency: event.command.currency().to_string(),
        amount_minor: amount.to_string(),
        effective_at: date.to_string(),
        posted_at: posting.posted_at.to_string(),
        loan_version: version,
        is_backdated: history.last_day().is_some_and(|last| date < last),
        is_reproduced,
        waterfall: waterfall.order().map(Bucket::as_str),
        suspense_reason: (is_reproduced && !split.suspense.is_zero()).then(|| suspense_reason(&steps)),
        steps: steps.iter().map(StepView::of).collect(),
        allocation: AllocationView::from(&split),
        current_allocation: record.progress.current_allocation.as_ref().map(AllocationView::from),
        restatements,
        undone_by: record.progress.undone_by.map(|undoing| undoing.id.to_string()),
    })
}

fn suspense_reason(steps: &[BucketStep]) -> &'static str {
    let limited = steps.iter().any(|step| step.limit == Limit::LaterDay);
    if limited { Limit::LaterDay.as_str() } else { Limit::NothingOwed.as_str() }
}

fn restatement(record: &EventRecord, cause: Option<&EventRecord>) -> Option<RestatementView> {
    let (id, posting) = (record.event.event.id, record.posting.as_ref()?);
    Some(RestatementView {
        event_id: id.to_string(),
        journal_entry_id: id.entry_id().to_string(),
        posted_at: posting.posted_at.to_string(),
        caused_by_event_id: cause.map(|cause| cause.event.event.id.to_string()),
        caused_by_event_type: cause.map(|cause| cause.event.event.kind.event_type()),
        allocation: posting.allocation.as_ref().map(AllocationView::from)?,
    })
}
