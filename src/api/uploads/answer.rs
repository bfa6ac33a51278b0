//! Owns what the caller of an upload is answered.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::HeaderValue;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::http::headers::IDEMPOTENT_REPLAYED;
use crate::api::state::ApiState;
use crate::core::event::{Decision, EventKind, NewEvent, Stage, UploadOperation, decide};
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::store::{KnownEvent, RowCounts, UploadRecord, UploadRef};

/// What became of the rows of an upload when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"batch_id": "019a0000-0000-7000-8000-000000000000", "received": 1000, "accepted": 998,
    "duplicates": 1, "mismatched": 0, "invalid": 1}))]
pub struct UploadAnswer {
    /// Where to ask for it: `/v1/batches/{batch_id}`.
    #[schema(value_type = uuid::Uuid)]
    batch_id: PaymentBatchId,
    /// Rows that came.
    received: i64,
    /// Rows that will be posted.
    accepted: i64,
    /// Rows whose key was taken by the same payment.
    duplicates: i64,
    /// Rows whose key was taken by another payment.
    mismatched: i64,
    /// Rows that are no payment.
    invalid: i64,
}

impl UploadAnswer {
    /// The answer of an upload of which `accepted` rows are events.
    pub(crate) fn new(batch_id: PaymentBatchId, rows: RowCounts, accepted: i64) -> Self {
        let RowCounts { received, duplicates, mismatched, invalid } = rows;
        Self { batch_id, received, accepted, duplicates, mismatched, invalid }
    }

    /// The body, as it is stored for replays.
    pub(crate) fn to_bytes(self) -> Result<Vec<u8>, ApiError> {
        serde_json::to_vec(&self).map_err(|_| ApiError::Broken("an answer has no JSON"))
    }
}

/// The answer of an upload that has just ended.
pub(crate) fn accepted(state: &ApiState, id: PaymentBatchId, body: Bytes) -> Response {
    with_body(state, id, body, StatusCode::ACCEPTED)
}

/// The answer of an upload that came again: its first answer, where its rows are the same.
pub(crate) fn compared(state: &ApiState, record: UploadRecord, print: [u8; 32]) -> Result<Response, ApiError> {
    if record.fingerprint != Some(print) {
        let id = EventId(record.id.0);
        return Err(ApiError::Mismatch { fields: vec!["rows"], kind: EventKind::Upload, id });
    }
    replayed(state, record)
}

/// The first answer of an upload again.
pub(crate) fn replayed(state: &ApiState, record: UploadRecord) -> Result<Response, ApiError> {
    let body = record.answer.ok_or(ApiError::Broken("a complete upload has no answer"))?;
    let mut response = match record.operation {
        UploadOperation::PaymentBatch { .. } | UploadOperation::AchFile { .. } => {
            with_body(state, record.id, body.into(), StatusCode::OK)
        }
        UploadOperation::BankStatement { .. } => {
            json_answer(StatusCode::OK, body, Some(&state.address("bank-statements", record.id)))
        }
        // They have no rows to follow.
        UploadOperation::AchFeed { .. }
        | UploadOperation::Program { .. }
        | UploadOperation::AchReview(_)
        | UploadOperation::BankLineResolution { .. }
        | UploadOperation::PeriodClose { .. }
        | UploadOperation::PeriodReopen { .. }
        | UploadOperation::Hold(_)
        | UploadOperation::Webhook(_) => json_answer(StatusCode::OK, body, None),
    };
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The answer to the key of an operation that is there already.
pub(crate) async fn first_answer(
    state: &ApiState,
    tenant: TenantId,
    known: &KnownEvent,
    asked: &NewEvent,
) -> Result<Response, ApiError> {
    let first = &known.event.event;
    if first.fingerprint != asked.fingerprint {
        return Err(taken(known, asked));
    }
    replay(state, tenant, PaymentBatchId(first.id.0)).await
}

/// The first answer of an operation that is done.
pub(crate) async fn replay(state: &ApiState, tenant: TenantId, id: PaymentBatchId) -> Result<Response, ApiError> {
    let progress = state.store().upload_progress(UploadRef { tenant, id }).await?;
    replayed(state, progress.ok_or(ApiError::Broken("an operation has no row"))?.record)
}

/// What a request learns whose upload another request receives.
pub(crate) fn busy(state: &ApiState, id: PaymentBatchId) -> ApiError {
    let (kind, id) = (EventKind::Upload, EventId(id.0));
    ApiError::InProgress { stage: Stage::Accepted, kind, id, location: state.location(kind, id) }
}

/// What a request learns whose key belongs to something else.
pub(crate) fn taken(known: &KnownEvent, asked: &NewEvent) -> ApiError {
    let first = &known.event.event;
    match decide((&first.command, first.fingerprint), known.stage, (&asked.command, asked.fingerprint)) {
        Decision::Mismatch(fields) => ApiError::Mismatch { fields, kind: first.kind, id: first.id },
        Decision::Replay | Decision::InProgress(_) => ApiError::Broken("an upload's key is taken by the same upload"),
    }
}

fn with_body(state: &ApiState, id: PaymentBatchId, body: Bytes, status: StatusCode) -> Response {
    json_answer(status, body, Some(&state.location(EventKind::Upload, EventId(id.0))))
}
