//! Owns `GET /v1/ach/files/{id}`: a file, what was found in it, and how far its rows have come.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::openapi::ProblemDocument;
use crate::api::read::batches::{BatchView, TallyView, watched};
use crate::api::read::result_row::ResolutionView;
use crate::api::state::ApiState;
use crate::core::ach::FileHash;
use crate::core::event::Resolution;
use crate::core::ids::EventId;
use crate::store::{ExceptionTally, FileTotals, RejectedRow};

/// A file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileView {
    /// SHA-256 of its bytes.
    sha256: String,
    /// What its header says it is: destination, origin, date, time and modifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    received_at: String,
    /// Counts and totals of its controls, and of its entries by what they mean: every entry is exactly one of payment,
    /// return, change and exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    summary: Option<Box<RawValue>>,
    /// What was not posted by itself, by reason. Together with `totals[].accepted` it is every entry and every cent of the
    /// file, at every moment.
    exceptions: Vec<ExceptionTotal>,
    /// Rows that were accepted and that a posting rule refused, in row order: at most the first 100, once nothing is in
    /// flight. `counts.rejected` says how many there are. The bank has moved their money all the same, so somebody has to
    /// book it otherwise: `GET /v1/ach/exceptions?reason=posting_rejected` lists all of which nobody has said that it is
    /// done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedRowView>,
    /// Its rows: entries that were neither posted nor are on their way are `invalid`, each with its reason in the results.
    #[serde(flatten)]
    batch: BatchView,
}

/// Exceptions of a file for one reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExceptionTotal {
    #[schema(example = "soft_duplicate")]
    code: String,
    /// `open`: it waits for a person. `discarded`: a person has decided.
    #[schema(value_type = String, example = "open")]
    state: &'static str,
    #[serde(flatten)]
    total: TallyView,
}

impl From<ExceptionTally> for ExceptionTotal {
    fn from(ExceptionTally { code, resolution, tally }: ExceptionTally) -> Self {
        Self { code, state: resolution.map_or("open", Resolution::as_str), total: tally.into() }
    }
}

/// A row of a file that a posting rule refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedRowView {
    /// The row, from 1.
    row: i64,
    /// What became of it: `/v1/events/{event_id}`.
    #[schema(value_type = uuid::Uuid)]
    event_id: EventId,
    #[schema(value_type = String, example = "loan_closed")]
    rejection_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    currency: Option<String>,
    /// How a person ended it: its money was booked otherwise.
    #[serde(flatten)]
    resolved: Option<ResolutionView>,
}

impl From<RejectedRow> for RejectedRowView {
    fn from(RejectedRow { row_no, event_id, code, money, resolved }: RejectedRow) -> Self {
        Self {
            row: row_no,
            event_id,
            rejection_code: code.as_str(),
            amount_minor: money.map(|money| money.minor.to_string()),
            currency: money.map(|money| money.currency.code().to_owned()),
            resolved: resolved.as_ref().map(ResolutionView::from),
        }
    }
}

/// A file, and how far its rows have come.
#[utoipa::path(get, path = "/v1/ach/files/{batch_id}", tag = "ach", security(("oauth2" = ["hpts:ledger:read"])),
    params(("batch_id" = uuid::Uuid, Path, description = "As the upload was answered"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait, at most 60, until nothing is in flight")),
    responses((status = 200, description = "The file", body = FileView),
        (status = 404, description = "No such file", body = ProblemDocument)))]
pub(crate) async fn get_file(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<FileView>, ApiError> {
    let (upload, _) = watched(&state, &id, &headers, &uri).await?;
    let FileTotals { file, progress, exceptions, rejected } =
        state.store().file_totals(upload).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(FileView {
        sha256: FileHash::from_bytes(file.sha256).to_string(),
        identity: file.identity,
        received_at: file.received_at.to_string(),
        summary: file.summary.and_then(|summary| RawValue::from_string(summary).ok()),
        exceptions: exceptions.into_iter().map(ExceptionTotal::from).collect(),
        rejected: rejected.into_iter().map(RejectedRowView::from).collect(),
        batch: BatchView::new(&progress),
    }))
}
