//! Owns `GET /v1/batches/{batch_id}`: how far an upload has come, with its control totals; and `GET /v1/batches`, which
//! finds an upload by its key, also for whoever has no answer yet.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::core::event::{EventKind, IdempotencyKey, UploadOperation};
use crate::core::ids::{EventId, PaymentBatchId};
use crate::store::{ControlTotals, Tally, UploadProgress, UploadRef};

pub(crate) const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::PaymentsWrite];

/// The shortest pause between two looks at an upload that is waited for, and the first: what was just sent is posted soon.
const PAUSE_MIN: Duration = Duration::from_millis(25);
/// The longest: a look is one small read of counters.
const PAUSE_MAX: Duration = Duration::from_millis(200);

const MICROS: i64 = 1_000_000;

/// A number of payments and their sum.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TallyView {
    /// How many.
    count: i64,
    /// Their sum in minor units.
    #[schema(example = "88849")]
    amount_minor: String,
}

impl From<Tally> for TallyView {
    fn from(tally: Tally) -> Self {
        Self { count: tally.count, amount_minor: tally.amount.to_string() }
    }
}

/// The control totals of one currency: accepted = posted + rejected + parked + held + in flight.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TotalsView {
    #[schema(example = "USD")]
    currency: String,
    accepted: TallyView,
    posted: TallyView,
    rejected: TallyView,
    /// Waiting for a person.
    parked: TallyView,
    /// Of loans on hold.
    held: TallyView,
    in_flight: TallyView,
}

/// How many rows stand where, over all currencies.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct CountsView {
    accepted: i64,
    posted: i64,
    rejected: i64,
    parked: i64,
    held: i64,
    in_flight: i64,
}

/// How far an upload has come. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchView {
    #[schema(value_type = uuid::Uuid)]
    batch_id: PaymentBatchId,
    /// `payment_batch` or `ach_file`.
    #[schema(value_type = String, example = "payment_batch")]
    operation: &'static str,
    /// `best_effort` or `all_or_nothing`, of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    mode: Option<&'static str>,
    /// The feed of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<String>,
    /// `receiving`, `posting` or `finished`: nothing is in flight any more.
    #[schema(value_type = String, example = "finished")]
    state: &'static str,
    /// Rows that came; known when the last one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatched: Option<i64>,
    /// Rows that are no payment. A row of a file that a person has posted since is none of them any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<i64>,
    counts: CountsView,
    totals: Vec<TotalsView>,
    /// Rows finished a second, from the first byte to the last posting or now.
    rate_per_second: i64,
    /// At that rate; absent while nothing is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_go: Option<i64>,
    created_at: String,
    /// When its last row was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    /// When its newest row was posted or rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_posted_at: Option<String>,
}

impl From<&ControlTotals> for CountsView {
    fn from(all: &ControlTotals) -> Self {
        Self {
            accepted: all.accepted.count,
            posted: all.posted.count,
            rejected: all.rejected.count,
            parked: all.parked.count,
            held: all.held.count,
            in_flight: all.in_flight().count,
        }
    }
}

impl CountsView {
    /// What has come to its end.
    const fn finished(&self) -> i64 {
        self.posted.saturating_add(self.rejected)
    }
}

impl BatchView {
    pub(crate) fn new(progress: &UploadProgress) -> Self {
        let record = &progress.record;
        let all = all_currencies(progress);
        let counts = CountsView::from(&all);
        let (mode, feed) = match &record.operation {
            UploadOperation::PaymentBatch { mode } => (Some(mode.as_str()), None),
            UploadOperation::AchFile { feed } => (None, Some(feed.clone())),
            UploadOperation::AchFeed { .. }
            | UploadOperation::AchReview(_)
            | UploadOperation::BankStatement { .. }
            | UploadOperation::BankLineResolution { .. }
            | UploadOperation::Program { .. }
            | UploadOperation::PeriodClose { .. }
            | UploadOperation::PeriodReopen { .. }
            | UploadOperation::Hold(_)
            | UploadOperation::Webhook(_) => (None, None),
        };
        let rows = record.completed_at.map(|_| record.rows);
        let rate = rate(progress, &counts);
        Self {
            batch_id: record.id,
            operation: record.operation.as_str(),
            mode,
            feed,
            state: state_of(progress),
            received: rows.map(|rows| rows.received),
            duplicates: rows.map(|rows| rows.duplicates),
            mismatched: rows.map(|rows| rows.mismatched),
            invalid: rows.map(|rows| rows.invalid.saturating_sub(all.reviewed.count)),
            counts,
            totals: progress.totals.iter().map(|(currency, totals)| totals_view(currency.code(), totals)).collect(),
            rate_per_second: rate,
            seconds_to_go: counts.in_flight.checked_div(rate),
            created_at: record.created_at.to_string(),
            completed_at: record.completed_at.map(|at| at.to_string()),
            last_posted_at: progress.last_posted_at.map(|at| at.to_string()),
        }
    }
}

fn all_currencies(progress: &UploadProgress) -> ControlTotals {
    progress.totals.values().fold(ControlTotals::default(), add)
}

fn add(sum: ControlTotals, totals: &ControlTotals) -> ControlTotals {
    ControlTotals {
        accepted: sum.accepted.plus(totals.accepted),
        posted: sum.posted.plus(totals.posted),
        rejected: sum.rejected.plus(totals.rejected),
        parked: sum.parked.plus(totals.parked),
        held: sum.held.plus(totals.held),
        reviewed: sum.reviewed.plus(totals.reviewed),
    }
}

fn totals_view(currency: &str, totals: &ControlTotals) -> TotalsView {
    TotalsView {
        currency: currency.to_owned(),
        accepted: totals.accepted.into(),
        posted: totals.posted.into(),
        rejected: totals.rejected.into(),
        parked: totals.parked.into(),
        held: totals.held.into(),
        in_flight: totals.in_flight().into(),
    }
}

fn state_of(progress: &UploadProgress) -> &'static str {
    let is_idle = progress.totals.values().all(|totals| totals.in_flight().count == 0);
    match (progress.record.completed_at, is_idle) {
        (None, _) => "receiving",
        (Some(_), false) => "posting",
        (Some(_), true) => "finished",
    }
}

fn rate(progress: &UploadProgress, counts: &CountsView) -> i64 {
    let until = match (progress.last_posted_at, counts.in_flight) {
        (Some(last), 0) => last,
        (_, _) => progress.now,
    };
    let micros = until.micros().saturating_sub(progress.record.created_at.micros()).max(1);
    counts.finished().saturating_mul(MICROS).checked_div(micros).unwrap_or(0)
}

/// How long to leave an upload alone that is waited for: half the time it takes at its rate, so that its end is seen
/// soon; where nothing was finished since the last look, or more is to come, twice as long as before it.
fn pause_after(last: Option<(Duration, i64)>, is_receiving: bool, counts: &CountsView, rate: i64) -> Duration {
    let pause = match last {
        Some((pause, finished)) if is_receiving || finished == counts.finished() => pause.saturating_mul(2),
        Some(_) | None => {
            let micros = counts.in_flight.saturating_mul(MICROS).checked_div(rate.saturating_mul(2));
            micros.and_then(|micros| u64::try_from(micros).ok()).map_or(PAUSE_MIN, Duration::from_micros)
        }
    };
    pause.clamp(PAUSE_MIN, PAUSE_MAX)
}

/// How far an upload has come.
#[utoipa::path(get, path = "/v1/batches/{batch_id}", tag = "batches", security(("oauth2" = ["hpts:ledger:read"])),
    params(("batch_id" = uuid::Uuid, Path, description = "As the upload was answered"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait, at most 60, until nothing is in flight")),
    responses((status = 200, description = "The upload", body = BatchView),
        (status = 404, description = "No such upload", body = ProblemDocument)))]
pub(crate) async fn get_batch(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<BatchView>, ApiError> {
    watched(&state, &id, &headers, &uri).await.map(|(_, progress)| Json(BatchView::new(&progress)))
}

/// An upload of the caller; one that is not finished is waited for.
pub(crate) async fn watched(
    state: &ApiState,
    id: &str,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(UploadRef, UploadProgress), ApiError> {
    let caller = state.caller(headers, SCOPES).await?;
    let mut query = Query::of(uri)?;
    let began = Instant::now();
    let wait = query.wait();
    query.finish()?;
    let upload = UploadRef { tenant: caller.tenant, id: batch_id(id)? };
    let mut last = None;
    loop {
        let progress = state.store().upload_progress(upload).await?.ok_or(ApiError::NotFound)?;
        let left = wait.saturating_sub(began.elapsed());
        if state_of(&progress) == "finished" || left.is_zero() {
            return Ok((upload, progress));
        }
        let counts = CountsView::from(&all_currencies(&progress));
        let is_receiving = progress.record.completed_at.is_none();
        let pause = pause_after(last, is_receiving, &counts, rate(&progress, &counts));
        last = Some((pause, counts.finished()));
        let paused = tokio::time::sleep(pause.min(left));
        if state.lifecycle().token().run_until_cancelled(paused).await.is_none() {
            return Ok((upload, progress));
        }
    }
}

/// The upload of a key: one, or none.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchesList {
    /// The uploads.
    items: Vec<BatchView>,
}

/// The upload of a key, as soon as it has begun.
#[utoipa::path(get, path = "/v1/batches", tag = "batches", security(("oauth2" = ["hpts:ledger:read"])),
    params(("idempotency_key" = String, Query, description = "The upload's own key")),
    responses((status = 200, description = "The upload, or an empty list", body = BatchesList),
        (status = 400, description = "No or a bad key", body = ProblemDocument)))]
pub(crate) async fn list_batches(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<BatchesList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let key = query.required("idempotency_key", IdempotencyKey::parse);
    query.finish()?;
    let mut items = Vec::new();
    if let Some(key) = key
        && let Some(record) = state.store().event_of_key(caller.tenant, key.as_str()).await?
        && record.event.event.kind == EventKind::Upload
    {
        let upload = UploadRef { tenant: caller.tenant, id: PaymentBatchId(record.event.event.id.0) };
        items.extend(state.store().upload_progress(upload).await?.as_ref().map(BatchView::new));
    }
    Ok(Json(BatchesList { items }))
}

/// The id in a path.
pub(crate) fn batch_id(text: &str) -> Result<PaymentBatchId, ApiError> {
    EventId::parse(text).map(|id| PaymentBatchId(id.0)).map_err(|_| ApiError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_comes_again_before_the_end_is_due() {
        let counts = |posted, in_flight| CountsView { posted, in_flight, ..CountsView::default() };
        let millis = |last: Option<(u64, i64)>, posted, in_flight, rate| {
            let last = last.map(|(pause, finished)| (Duration::from_millis(pause), finished));
            pause_after(last, false, &counts(posted, in_flight), rate).as_millis()
        };
        assert_eq!(millis(None, 0, 1_000, 0), 25, "nothing is known yet");
        assert_eq!(millis(None, 10_000, 90_000, 20_000), 200, "seconds to go");
        assert_eq!(millis(Some((200, 10_000)), 98_000, 2_000, 20_000), 50, "a tenth of a second to go");
        assert_eq!(millis(Some((50, 98_000)), 99_999, 1, 20_000), 25, "one row to go");
        assert_eq!(millis(Some((25, 99_999)), 99_999, 1, 20_000), 50, "which does not come");
        assert_eq!(millis(Some((200, 99_999)), 99_999, 1, 10_000), 200, "and still does not");
        let receiving = pause_after(Some((Duration::from_millis(50), 98_000)), true, &counts(98_100, 100), 20_000);
        assert_eq!(receiving.as_millis(), 100, "what is there is posted soon, and more comes");
    }
}
