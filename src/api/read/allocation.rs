//! Owns `GET /v1/payments/{payment_event_id}/allocation`: which rule gave which cent where, for the split as it was first
//! posted and for every one that replaced it.
//!
//! Each is made again from what was known when it was posted: the loan's postings before it, and of them those that stand in
//! front of the money ([`Found`]).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::heavy::off_the_runtime;
use crate::api::http::query::Query;
use crate::api::openapi::{AllocationSchema, ProblemDocument};
use crate::api::read::known::Known;
use crate::api::state::ApiState;
use crate::core::event::{Command, LegTerms};
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::{AllocationView, Found, MoneyIn, Posting, Refusal, SplitExplained};
use crate::core::loan::{Allocation, Bucket, BucketStep, Limit};
use crate::core::money::Minor;
use crate::store::{EventRecord, LoanSpan};

const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::PaymentsWrite];

/// How a payment was divided, and why. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "loan_id": "11111111-1111-1111-1111-111111111111", "currency": "USD", "amount_minor": "88849",
    "effective_at": "2026-05-01", "posted_at": "2026-05-01T12:00:00Z", "loan_version": 2, "is_backdated": false,
    "is_reproduced": true, "is_recovery": false, "waterfall": ["fees", "interest", "principal"],
    "steps": [
        {"bucket": "fees", "available_minor": "88849", "owed_minor": "500", "payable_minor": "500",
            "paid_minor": "500", "reason": "paid_in_full"},
        {"bucket": "interest", "available_minor": "88349", "owed_minor": "10000", "payable_minor": "10000",
            "paid_minor": "10000", "reason": "paid_in_full"},
        {"bucket": "principal", "available_minor": "78349", "owed_minor": "1000000", "payable_minor": "1000000",
            "paid_minor": "78349", "reason": "money_ran_out"}],
    "allocation": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"},
    "current_allocation": {"fees_minor": "0", "interest_minor": "6500", "principal_minor": "82349",
        "suspense_minor": "0"},
    "restatements": [{"event_id": "cccccccc-cccc-cccc-cccc-cccccccccccc",
        "journal_entry_id": "dddddddd-dddd-dddd-dddd-dddddddddddd", "posted_at": "2026-05-02T12:00:00Z",
        "loan_version": 4, "caused_by_event_id": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee",
        "caused_by_event_type": "payment_received",
        "allocation": {"fees_minor": "0", "interest_minor": "6500", "principal_minor": "82349",
            "suspense_minor": "0"},
        "is_reproduced": true, "is_recovery": false,
        "steps": [
            {"bucket": "fees", "available_minor": "88849", "owed_minor": "0", "payable_minor": "0",
                "paid_minor": "0", "reason": "nothing_owed"},
            {"bucket": "interest", "available_minor": "88849", "owed_minor": "6500", "payable_minor": "6500",
                "paid_minor": "6500", "reason": "paid_in_full"},
            {"bucket": "principal", "available_minor": "82349", "owed_minor": "1000000",
                "payable_minor": "1000000", "paid_minor": "82349", "reason": "money_ran_out"}]}]}))]
pub struct AllocationExplained {
    payment_event_id: String,
    /// The loan that it was divided on: of a receipt, the one that it was assigned to last.
    loan_id: String,
    currency: String,
    amount_minor: String,
    effective_at: String,
    posted_at: String,
    /// Its place in the loan's order of posting; the steps are about what was posted before it.
    loan_version: i64,
    /// Whether something that was posted before it stands behind it: something later dated, or interest that was computed for
    /// its own day. It was divided by what stands in front of it, and what stands behind was divided anew.
    is_backdated: bool,
    /// The order of payment that it followed.
    #[schema(value_type = Vec<String>)]
    waterfall: [&'static str; 3],
    /// Why it was divided as first posted.
    #[serde(flatten)]
    why: SplitView,
    /// The split as first posted.
    #[schema(value_type = AllocationSchema)]
    allocation: AllocationView,
    /// The split as it stands, where it was made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    current_allocation: Option<AllocationView>,
    /// What divided it anew, oldest first, the newest 100: the last one's split stands.
    restatements: Vec<RestatementView>,
    /// The event that took it back; of a receipt, the one that took its assignment back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undone_by: Option<String>,
    /// Where it was asked for: what was posted later does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_at: Option<String>,
}

/// How a split comes about.
#[derive(Debug, Serialize, ToSchema)]
pub struct SplitView {
    /// Whether the steps come to the split that was posted: they are made again by the loan's order of payment, from what the
    /// loan owed in front of the payment as it was known then. Where they do not, they are left out.
    is_reproduced: bool,
    /// Whether the payment found the loan charged off: then the steps are about what is owed on the memo accounts.
    is_recovery: bool,
    /// The waterfall, first step first.
    steps: Vec<StepView>,
    /// Why money went to suspense: `nothing_owed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    suspense_reason: Option<&'static str>,
}

/// One step of the waterfall.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    /// `fees`, `interest` or `principal`.
    #[schema(value_type = String)]
    bucket: &'static str,
    /// The money that came to this step.
    available_minor: String,
    /// What the bucket owed in front of the payment, as it was known when the split was posted.
    owed_minor: String,
    /// What the payment could pay of it: all of it.
    payable_minor: String,
    /// What it took.
    paid_minor: String,
    /// Why no more: `nothing_owed`, `paid_in_full` or `money_ran_out`.
    #[schema(value_type = String)]
    reason: &'static str,
}

/// A new split.
#[derive(Debug, Serialize, ToSchema)]
pub struct RestatementView {
    event_id: String,
    journal_entry_id: String,
    posted_at: String,
    /// Its place in the loan's order of posting; its steps are about what was posted before it.
    loan_version: i64,
    /// The late event that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    caused_by_event_id: Option<String>,
    /// What sort of event that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    caused_by_event_type: Option<&'static str>,
    #[schema(value_type = AllocationSchema)]
    allocation: AllocationView,
    /// Why it was divided so.
    #[serde(flatten)]
    why: SplitView,
}

impl StepView {
    fn of(step: &BucketStep) -> Self {
        Self {
            bucket: step.bucket.as_str(),
            available_minor: step.available.to_string(),
            owed_minor: step.owed.to_string(),
            payable_minor: step.owed.to_string(),
            paid_minor: step.paid.to_string(),
            reason: step.limit.as_str(),
        }
    }
}

impl SplitView {
    /// `split` is what the ledger has.
    fn of(explained: &SplitExplained, split: &Allocation) -> Self {
        let is_reproduced = explained.split == *split;
        let steps = if is_reproduced { explained.steps.as_slice() } else { &[] };
        Self {
            is_reproduced,
            is_recovery: explained.is_recovery,
            steps: steps.iter().map(StepView::of).collect(),
            suspense_reason: (is_reproduced && !split.suspense.is_zero()).then(|| Limit::NothingOwed.as_str()),
        }
    }
}

/// Explains the split of a payment.
///
/// With `known_at` only what was posted by that instant counts: the splits that there were, and what had undone them.
#[utoipa::path(get, path = "/v1/payments/{payment_event_id}/allocation", tag = "payments",
    security(("oauth2" = ["hpts:ledger:read"])),
    params(("payment_event_id" = uuid::Uuid, Path, description = "The payment"),
        ("known_at" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "As it was known at this instant, RFC 3339 in UTC")),
    responses((status = 200, description = "Step by step, as first posted and for each new split", body = AllocationExplained),
        (status = 404, description = "No such payment, or it was not divided: it waits, was rejected, or has no loan yet; or that was so at that time", body = ProblemDocument)))]
pub(crate) async fn get_allocation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<AllocationExplained>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let known = Known::read(&mut query);
    query.finish()?;
    let id = EventId::parse(&id).map_err(|_| ApiError::NotFound)?;
    let record = state.store().event(caller.tenant, id).await?.ok_or(ApiError::NotFound)?;
    if !record.event.event.kind.is_payment() {
        return Err(ApiError::NotFound);
    }
    let record = known.cut(&state, caller.tenant, record).await?;
    let restating = known.restatements(&state, caller.tenant, record.event.seq).await?;
    let money = Money::of(record, restating).ok_or(ApiError::NotFound)?;
    explained(&state, caller.tenant, (money, known)).await.map(Json)
}

/// A split in the books.
struct Split<'r> {
    posting: &'r Posting,
    version: i64,
    parts: Allocation,
}

impl<'r> Split<'r> {
    fn of(record: &'r EventRecord) -> Option<Self> {
        let posting = record.posting.as_ref()?;
        Some(Self { posting, version: posting.loan_version?, parts: posting.allocation? })
    }
}

/// Money that came in and was divided.
struct Money {
    payment: EventId,
    amount: Minor,
    /// What divided it first: the payment, or the assignment of the receipt.
    first: EventRecord,
    /// What divided it anew, oldest first, and of that the newest.
    later: Vec<EventRecord>,
}

/// So many new splits of a payment are told and explained: each follows from the loan as it was known then.
const RESTATEMENTS_MAX: usize = 100;

impl Money {
    /// `restating` are the postings that name the payment's split, in the order in which they were posted.
    fn of(record: EventRecord, mut restating: Vec<EventRecord>) -> Option<Self> {
        let (payment, amount) = (record.event.event.id, record.event.event.command.amount()?);
        let (first, later) = if matches!(record.event.event.command, Command::Receipt(_)) {
            let assigned = restating.iter().rposition(|record| is_assignment(&record.event.event.command))?;
            let later = restating.split_off(assigned.saturating_add(1));
            (restating.pop()?, later)
        } else {
            (record, restating)
        };
        let loan = Split::of(&first)?.posting.loan_key;
        let is_split = |record: &EventRecord| Split::of(record).is_some_and(|split| split.posting.loan_key == loan);
        let mut later: Vec<EventRecord> = later.into_iter().filter(is_split).collect();
        let later = later.split_off(later.len().saturating_sub(RESTATEMENTS_MAX));
        Some(Self { payment, amount, first, later })
    }

    fn splits(&self) -> Vec<Split<'_>> {
        std::iter::once(&self.first).chain(&self.later).filter_map(Split::of).collect()
    }
}

fn is_assignment(command: &Command) -> bool {
    matches!(command, Command::Leg(leg) if matches!(leg.terms, LegTerms::ReceiptIn { .. }))
}

async fn explained(
    state: &ApiState,
    tenant: TenantId,
    (money, known): (Money, Known),
) -> Result<AllocationExplained, ApiError> {
    let splits = money.splits();
    let first = splits.first().ok_or(ApiError::NotFound)?;
    let why = why(state, tenant, (&money, &splits)).await?;
    let waterfall = why.first().ok_or(ApiError::NotFound)?.waterfall;
    let mut why = splits.iter().zip(why).map(|(split, why)| (SplitView::of(&why, &split.parts), why.is_in_front));
    let (first_why, is_backdated) = why.next().ok_or(ApiError::NotFound)?;
    let mut restatements = Vec::new();
    for (restating, (why, _)) in money.later.iter().zip(why) {
        let cause = match restating.event.event.origin.cause_seq {
            Some(seq) => state.store().event_at(tenant, seq).await?,
            None => None,
        };
        restatements.extend(restatement(restating, cause.as_ref(), why));
    }
    let command = &money.first.event.event.command;
    Ok(AllocationExplained {
        payment_event_id: money.payment.to_string(),
        loan_id: command.loan_id().to_string(),
        currency: command.currency().to_string(),
        amount_minor: money.amount.to_string(),
        effective_at: first.posting.effective_date.to_string(),
        posted_at: first.posting.posted_at.to_string(),
        loan_version: first.version,
        is_backdated,
        waterfall: waterfall.order().map(Bucket::as_str),
        why: first_why,
        allocation: AllocationView::from(&first.parts),
        current_allocation: splits.last().filter(|_| splits.len() > 1).map(|last| AllocationView::from(&last.parts)),
        restatements,
        undone_by: undone_by(state, tenant, (&money.first, known)).await?.map(|id| id.to_string()),
        known_at: known.at().map(|at| at.to_string()),
    })
}

/// How each split of the money comes about.
async fn why(
    state: &ApiState,
    tenant: TenantId,
    (money, splits): (&Money, &[Split<'_>]),
) -> Result<Vec<SplitExplained>, ApiError> {
    const BROKEN: fn(Refusal) -> ApiError = |_| ApiError::Broken("a balance leaves 64 bits");
    let first = splits.first().ok_or(ApiError::NotFound)?;
    let (loan, date) = (first.posting.loan_key, first.posting.effective_date);
    let versions: Vec<i64> = splits.iter().map(|split| split.version.saturating_sub(1)).collect();
    let version = versions.last().copied().unwrap_or(0);
    let sums = state.store().loan_sums(tenant, loan, versions.clone()).await?.ok_or(ApiError::NotFound)?;
    let kind = money.first.event.event.command.payment_kind().ok_or(ApiError::NotFound)?;
    let money_in = MoneyIn { amount: money.amount, kind, date, version: first.version };
    let found = Found::new(money_in, versions, sums.days);
    let span = LoanSpan { from: found.since(), to: date, version };
    let rows = state.store().loan_postings(tenant, loan, span).await?;
    let loan = sums.record.state;
    let cuts = 0..splits.len();
    let explain = move || cuts.map(|cut| found.explain(&loan, cut, &rows)).collect::<Result<_, _>>();
    off_the_runtime(explain).await?.map_err(BROKEN)
}

/// The event that took a split's event back; of a leg, its group.
async fn undone_by(
    state: &ApiState,
    tenant: TenantId,
    (record, known): (&EventRecord, Known),
) -> Result<Option<EventId>, ApiError> {
    let Some(undoing) = known.undoing(state, tenant, record.progress.undone_by).await? else { return Ok(None) };
    if !is_assignment(&record.event.event.command) {
        return Ok(Some(undoing.id));
    }
    let undoing_leg = state.store().event(tenant, undoing.id).await?;
    let command = undoing_leg.as_ref().map(|record| &record.event.event.command);
    Ok(Some(if let Some(Command::Leg(leg)) = command { leg.group } else { undoing.id }))
}

fn restatement(record: &EventRecord, cause: Option<&EventRecord>, why: SplitView) -> Option<RestatementView> {
    let (id, split) = (record.event.event.id, Split::of(record)?);
    Some(RestatementView {
        event_id: id.to_string(),
        journal_entry_id: id.entry_id().to_string(),
        posted_at: split.posting.posted_at.to_string(),
        loan_version: split.version,
        caused_by_event_id: cause.map(|cause| cause.event.event.id.to_string()),
        caused_by_event_type: cause.map(|cause| cause.event.event.kind.event_type()),
        allocation: AllocationView::from(&split.parts),
        why,
    })
}
