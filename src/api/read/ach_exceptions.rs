//! Owns `GET /v1/ach/exceptions`: what waits for a person, over all files, and last of all the rows that were accepted and
//! that a posting rule refused, which the control totals have as `rejected`; and `GET
//! /v1/ach/files/{batch_id}/exceptions/{row}`, one of them, also after a person has decided.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::batches::{SCOPES, batch_id};
use crate::api::read::page_token::{PagedQuery, cut};
use crate::api::read::result_row::ExceptionRow;
use crate::api::state::ApiState;
use crate::api::uploads::ach::may_be_posted;
use crate::core::event::Resolution;
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::store::{
    ExceptionPlace, ExceptionsFilter, FileException, FileRejection, FileRow, RejectionsFilter, Resolved,
};

/// The code of rows that were accepted and that a posting rule refused.
const POSTING_REJECTED: &str = "posting_rejected";

/// An exception of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileExceptionView {
    /// The file, as its upload was answered.
    #[schema(value_type = uuid::Uuid)]
    batch_id: PaymentBatchId,
    /// The feed it came through.
    #[schema(example = "collections")]
    feed: String,
    /// When the file came.
    received_at: String,
    /// Whether a person may have it posted; any may be discarded. `posting_rejected` is final: discarding it says that it
    /// is dealt with, and changes no books.
    may_be_posted: bool,
    /// Of `posting_rejected`: what became of it, `/v1/events/{event_id}`. The bank has moved the money all the same, so
    /// somebody has to book it otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    event_id: Option<EventId>,
    /// Of `posting_rejected`: the rule that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_undone")]
    rejection_code: Option<&'static str>,
    #[serde(flatten)]
    exception: ExceptionRow,
}

impl From<&FileException> for FileExceptionView {
    fn from(exception: &FileException) -> Self {
        let is_open = exception.exception.resolved.is_none();
        Self {
            batch_id: exception.row.batch,
            feed: exception.feed.clone(),
            received_at: exception.received_at.to_string(),
            may_be_posted: is_open && may_be_posted(&exception.exception.code),
            event_id: None,
            rejection_code: None,
            exception: (&exception.exception).into(),
        }
    }
}

impl From<&FileRejection> for FileExceptionView {
    fn from(rejection: &FileRejection) -> Self {
        Self {
            batch_id: rejection.file,
            feed: rejection.feed.clone(),
            received_at: rejection.received_at.to_string(),
            may_be_posted: false,
            event_id: Some(rejection.rejected.event_id),
            rejection_code: Some(rejection.rejected.code.as_str()),
            exception: ExceptionRow::of_rejection(rejection, POSTING_REJECTED),
        }
    }
}

/// A page of open exceptions.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExceptionsList {
    /// By reason, `posting_rejected` last, oldest file first, in row order.
    items: Vec<FileExceptionView>,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// The open exceptions of all files, and the rows of all files that were accepted and that a posting rule refused.
///
/// The latter have the reason `posting_rejected`. They are final: who has booked their money otherwise discards them, and
/// they leave the list. In the totals of their file they are `rejected` all along, and no exceptions.
#[utoipa::path(get, path = "/v1/ach/exceptions", tag = "ach", security(("oauth2" = ["hpts:ledger:read"])),
    params(("reason" = Option<String>, Query, description = "Of one reason, such as `soft_duplicate`, \
            `return_unmatched` or `posting_rejected`"),
        ("feed" = Option<String>, Query, description = "Of the files of one feed"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = ExceptionsList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_exceptions(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<ExceptionsList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let code = query.optional("reason", parse_reason);
    let feed = query.text("feed");
    let limit = query.page_size();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let paged = PagedQuery::new(caller.tenant, &["ach_exceptions", &text(&code), &text(&feed)]);
    let after = query.optional("page_token", |token| paged.place_of(token).and_then(|place| place_of(&place)));
    query.finish()?;
    let found = waiting(&state, caller.tenant, ExceptionsFilter { code, feed, after, limit }).await?;
    let (shown, next) = cut(&found, limit);
    Ok(Json(ExceptionsList {
        items: shown.iter().map(Waiting::view).collect(),
        next_page_token: next.map(|last| paged.token_of(&bytes_of(&last.place()))),
    }))
}

/// What a person has to look at, or has looked at.
pub(crate) enum Waiting {
    Exception(FileException),
    Rejection(FileRejection),
}

impl Waiting {
    /// That of a row. A row that a person had posted and that a posting rule refused then waits once more.
    pub(crate) async fn read(state: &ApiState, tenant: TenantId, row: FileRow) -> Result<Self, ApiError> {
        let exception = state.store().exception(tenant, row).await?;
        let resolution = exception.as_ref().and_then(|it| it.exception.resolved.as_ref()).map(|it| it.resolution);
        if (exception.is_none() || resolution == Some(Resolution::Posted))
            && let Some(rejection) = state.store().rejection(tenant, row).await?
        {
            return Ok(Self::Rejection(rejection));
        }
        exception.map(Self::Exception).ok_or(ApiError::NotFound)
    }

    /// Its reason.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Exception(it) => &it.exception.code,
            Self::Rejection(_) => POSTING_REJECTED,
        }
    }

    /// How it ended.
    pub(crate) const fn resolved(&self) -> Option<&Resolved> {
        match self {
            Self::Exception(it) => it.exception.resolved.as_ref(),
            Self::Rejection(it) => it.rejected.resolved.as_ref(),
        }
    }

    fn view(&self) -> FileExceptionView {
        match self {
            Self::Exception(exception) => exception.into(),
            Self::Rejection(rejection) => rejection.into(),
        }
    }

    fn place(&self) -> ExceptionPlace {
        let row = match self {
            Self::Exception(it) => it.row,
            Self::Rejection(it) => it.row(),
        };
        ExceptionPlace { code: self.code().to_owned(), row }
    }
}

/// The exceptions, and where they leave room the rejected rows: at most one more than asked for.
async fn waiting(state: &ApiState, tenant: TenantId, filter: ExceptionsFilter) -> Result<Vec<Waiting>, ApiError> {
    let code = filter.code.as_deref();
    let asks_rejected = code.is_none_or(|code| code == POSTING_REJECTED);
    let after = filter.after.as_ref().filter(|after| after.code == POSTING_REJECTED).map(|after| after.row);
    let asks_exceptions = after.is_none() && code != Some(POSTING_REJECTED);
    let (feed, limit) = (filter.feed.clone(), filter.limit);
    let mut found = Vec::new();
    if asks_exceptions {
        found.extend(state.store().exceptions(tenant, filter).await?.into_iter().map(Waiting::Exception));
    }
    let room = limit.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
    if asks_rejected && room >= 0 {
        let filter = RejectionsFilter { feed, after, limit: room };
        found.extend(state.store().rejections(tenant, filter).await?.into_iter().map(Waiting::Rejection));
    }
    Ok(found)
}

/// An exception of a file, or a row that was accepted and that a posting rule refused.
///
/// A row that a person had posted, and that a rule refused then, is told as the latter.
#[utoipa::path(get, path = "/v1/ach/files/{batch_id}/exceptions/{row}", tag = "ach",
    security(("oauth2" = ["hpts:ledger:read"])),
    params(("batch_id" = uuid::Uuid, Path, description = "The file"),
        ("row" = i64, Path, description = "Its row, from 1")),
    responses((status = 200, description = "It, open or not", body = FileExceptionView),
        (status = 404, description = "No such exception", body = ProblemDocument)))]
pub(crate) async fn get_exception(
    State(state): State<ApiState>,
    Path((batch, row)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<FileExceptionView>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    Ok(Json(Waiting::read(&state, caller.tenant, file_row(&batch, &row)?).await?.view()))
}

/// The row of a path.
pub(crate) fn file_row(batch: &str, row: &str) -> Result<FileRow, ApiError> {
    let is_number = !row.starts_with('0') && row.bytes().all(|byte| byte.is_ascii_digit());
    let row_no = row.parse().ok().filter(|_| is_number).ok_or(ApiError::NotFound)?;
    Ok(FileRow { batch: batch_id(batch)?, row_no })
}

/// A reason is a word of letters, digits and underscores. Which there are is not closed: a reader asks what he knows.
fn parse_reason(text: &str) -> Result<String, &'static str> {
    let is_word = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_word.then(|| text.to_owned()).ok_or("must be a reason, such as soft_duplicate")
}

/// Where a page ends.
fn bytes_of(last: &ExceptionPlace) -> Vec<u8> {
    let (batch, row_no) = (last.row.batch.0.into_bytes(), last.row.row_no.to_be_bytes());
    [&batch[..], &row_no[..], last.code.as_bytes()].concat()
}

fn place_of(bytes: &[u8]) -> Result<ExceptionPlace, &'static str> {
    let place = bytes.split_first_chunk::<16>().and_then(|(batch, rest)| {
        let (row_no, code) = rest.split_first_chunk::<8>()?;
        let row =
            FileRow { batch: PaymentBatchId(uuid::Uuid::from_bytes(*batch)), row_no: i64::from_be_bytes(*row_no) };
        Some(ExceptionPlace { code: String::from_utf8(code.to_vec()).ok()?, row })
    });
    place.ok_or("is not a page token of this query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbers_from_one() {
        let batch = "019a0000-0000-7000-8000-000000000000";
        assert_eq!(file_row(batch, "12").unwrap().row_no, 12);
        for bad in ["", "0", "01", "+1", "-1", "1.0", "9223372036854775808", "x"] {
            assert!(file_row(batch, bad).is_err(), "{bad}");
        }
        assert!(file_row("x", "1").is_err());
    }
}
