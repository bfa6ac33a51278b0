//! Owns `GET /v1/batches/{batch_id}/results`: what became of each row, in row order, streamed as NDJSON or CSV.
//!
//! Each page is a range of row numbers, read from two lists, events and exceptions, in one snapshot: a person may take a
//! row from one to the other between two pages, and it is told once all the same. What a sending adds meanwhile is for
//! the next reader. Pages know nothing of each other, so the next ones are read and written out while one is sent. Each
//! is a task of its own: a slow reader holds no connection of the database.
//!
//! A row that came before a cut as another row is kept among the exceptions with the id of its payment: it is shown as
//! that payment.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use tokio_util::task::AbortOnDropHandle;

use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::batches::{SCOPES, batch_id};
use crate::api::read::result_row::{CSV_HEADER, ResultRow};
use crate::api::read::rows_form::RowsForm;
use crate::api::state::ApiState;
use crate::api::uploads::verdict::MOVED;
use crate::core::ids::EventId;
use crate::core::ledger::Followed;
use crate::store::{EventStatus, UploadException, UploadRef, UploadRows};

/// Rows of a page: half a megabyte, which takes some milliseconds to read and to write out.
const PAGE_ROWS: u16 = 500;
/// Pages that are in work at once, and how many a slow reader leaves in memory: the database reads one while another is
/// written out.
const PAGES_AT_ONCE: usize = 2;

/// What became of each row.
#[utoipa::path(get, path = "/v1/batches/{batch_id}/results", tag = "batches",
    security(("oauth2" = ["hpts:ledger:read"])),
    params(("batch_id" = uuid::Uuid, Path, description = "As the upload was answered"),
        ("Accept" = Option<String>, Header, description = "`application/x-ndjson` (default) or `text/csv`")),
    responses((status = 200, description = "One row a line, in row order; CSV has a header", content(
            (ResultRow = "application/x-ndjson"), (String = "text/csv"))),
        (status = 404, description = "No such upload", body = ProblemDocument)))]
pub(crate) async fn get_results(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    let upload = UploadRef { tenant: caller.tenant, id: batch_id(&id)? };
    let last_row = state.store().last_row(upload).await?.ok_or(ApiError::NotFound)?;
    let form = RowsForm::of(&headers);
    let head = match form {
        RowsForm::Ndjson => Bytes::new(),
        RowsForm::Csv => Bytes::from_static(CSV_HEADER.as_bytes()),
    };
    let reader = Arc::new(Reader { state, upload, form });
    let pages = stream::iter(pages(last_row)).map(move |rows| Arc::clone(&reader).read_apart(rows));
    let body = stream::iter([Ok(head)]).chain(pages.buffered(PAGES_AT_ONCE));
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, form.media_type());
    Ok(response)
}

/// The pages of an upload of so many rows.
fn pages(last_row: i64) -> impl Iterator<Item = RangeInclusive<i64>> {
    let through = |first: i64| first.saturating_add(i64::from(PAGE_ROWS)).saturating_sub(1);
    (1..=last_row).step_by(usize::from(PAGE_ROWS)).map(move |first| first..=through(first).min(last_row))
}

/// Reads pages.
struct Reader {
    state: ApiState,
    upload: UploadRef,
    form: RowsForm,
}

impl Reader {
    /// A page in a task of its own, which ends with whoever waits for it.
    async fn read_apart(self: Arc<Self>, rows: RangeInclusive<i64>) -> Result<Bytes, ApiError> {
        let lifecycle = self.state.lifecycle().clone();
        let page = lifecycle.spawn(async move { self.read(rows).await });
        AbortOnDropHandle::new(page).await.map_err(|_| ApiError::Broken("a page of results panicked"))?
    }

    async fn read(&self, rows: RangeInclusive<i64>) -> Result<Bytes, ApiError> {
        let page = self.state.store().upload_rows(self.upload, rows).await?;
        let told = ToldOfRows { moved: self.moved(&page).await?, fees: self.fees_of_returns(&page).await? };
        Ok(self.form.write(&told.rows(&page)?)?.into())
    }

    /// The payments of rows that came before a cut as other rows.
    async fn moved(&self, page: &UploadRows) -> Result<Moved, ApiError> {
        let ids: Vec<EventId> = page.exceptions.iter().filter_map(moved_id).collect();
        if ids.is_empty() {
            return Ok(Moved::new());
        }
        let found = self.state.store().statuses_of_ids(self.upload.tenant, ids).await?;
        Ok(found.into_iter().map(|event| (event.id, event)).collect())
    }

    /// What became of the fees of the page's returns, by the return: nothing is told of one that was not charged. One
    /// statement where the page has returns that a feed or their loans' programs ask fees for, and none else.
    async fn fees_of_returns(&self, page: &UploadRows) -> Result<HashMap<EventId, Followed>, ApiError> {
        let of_return = |event: &EventStatus| fee_of_program(event).map(|fee| (fee, event.id));
        let returns: HashMap<EventId, EventId> = page.events.iter().filter_map(of_return).collect();
        if returns.is_empty() {
            return Ok(HashMap::new());
        }
        let fees = self.state.store().finished(returns.keys().copied().collect()).await?;
        let told = fees.iter().filter_map(|fee| {
            let event = &*fee.event.event;
            Some((*returns.get(&event.id)?, Followed::of([(event, fee.posting.as_ref()?)], &[])))
        });
        Ok(told.collect())
    }
}

type Moved = HashMap<EventId, EventStatus>;

/// What is told of a page's rows besides themselves.
#[derive(Default)]
struct ToldOfRows {
    /// The payments of rows that came before a cut as other rows.
    moved: Moved,
    /// The fees that followed from returns, charged or refused, by the return.
    fees: HashMap<EventId, Followed>,
}

/// The fee of a return that may not have been charged: one that only the feed or the loan's program asks for.
fn fee_of_program(event: &EventStatus) -> Option<EventId> {
    let returned = event.command.payment_return().filter(|returned| returned.fee.is_none())?;
    returned.fee_event_id(event.id)
}

impl ToldOfRows {
    /// The rows of a page, in order.
    fn rows(&self, page: &UploadRows) -> Result<Vec<ResultRow>, ApiError> {
        let of_event = |event: &EventStatus| {
            let (_, row_no) = event.batch?;
            Some(Ok(ResultRow::of_event(row_no, event).followed_by(self.fees.get(&event.id))))
        };
        let of_exception = |exception: &UploadException| match moved_id(exception) {
            None => Ok(ResultRow::of_exception(exception)),
            Some(id) => {
                let event = self.moved.get(&id).ok_or(ApiError::Broken("a moved row has no payment"))?;
                Ok(ResultRow::of_event(exception.row_no, event))
            }
        };
        let rows = page.events.iter().filter_map(of_event).chain(page.exceptions.iter().map(of_exception));
        let mut rows: Vec<ResultRow> = rows.collect::<Result<_, ApiError>>()?;
        rows.sort_by_key(ResultRow::row_no);
        Ok(rows)
    }
}

fn moved_id(exception: &UploadException) -> Option<EventId> {
    exception.event_id.filter(|_| exception.code == MOVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_each_row_once() {
        let page = i64::from(PAGE_ROWS);
        for last_row in [0, 1, page - 1, page, page + 1, 3 * page + 7] {
            let rows: Vec<i64> = pages(last_row).flatten().collect();
            assert_eq!(rows, (1..=last_row).collect::<Vec<_>>());
        }
        assert_eq!(pages(page + 1).collect::<Vec<_>>(), [1..=page, page + 1..=page + 1]);
    }
}
