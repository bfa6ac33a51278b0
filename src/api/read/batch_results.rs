//! Owns `GET /v1/batches/{batch_id}/results`: what became of each row, in row order, streamed as NDJSON or CSV.
//!
//! Rows are read a page at a time from two lists, events and exceptions, and merged. A page is emitted as far as both
//! lists are known; the next one begins after what was emitted, in both lists: a person may take a row from one to the
//! other between two pages. A slow reader holds no connection of the database.
//!
//! A row that came before a cut as another row is kept among the exceptions with the id of its payment: it is shown as
//! that payment.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream::try_unfold;

use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::batches::{SCOPES, batch_id};
use crate::api::read::result_row::{CSV_HEADER, ResultRow};
use crate::api::read::rows_form::RowsForm;
use crate::api::state::ApiState;
use crate::api::uploads::verdict::MOVED;
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::Followed;
use crate::store::{EventStatus, RowsAfter, UploadException, UploadRef, UploadRows};

/// Rows of a page: about a megabyte.
const PAGE_ROWS: i64 = 1_000;

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
    state.store().upload_progress(upload).await?.ok_or(ApiError::NotFound)?;
    let form = RowsForm::of(&headers);
    let head = match form {
        RowsForm::Ndjson => Bytes::new(),
        RowsForm::Csv => Bytes::from_static(CSV_HEADER.as_bytes()),
    };
    let pages = Pages { state, upload, form, head: Some(head), after: Some(RowsAfter::default()) };
    let body = Body::from_stream(try_unfold(pages, Pages::next));
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, form.media_type());
    Ok(response)
}

/// Where the stream stands.
struct Pages {
    state: ApiState,
    upload: UploadRef,
    form: RowsForm,
    /// What comes before the first row.
    head: Option<Bytes>,
    /// After what the next page begins; `None` at the end.
    after: Option<RowsAfter>,
}

impl Pages {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        if let Some(head) = self.head.take() {
            return Ok(Some((head, self)));
        }
        let Some(after) = self.after else { return Ok(None) };
        let page = self.state.store().upload_rows(self.upload, after, PAGE_ROWS).await?;
        let told = ToldOfRows { moved: self.moved(&page).await?, fees: self.fees_of_returns(&page).await? };
        let (rows, next) = merged(&page, &told, after)?;
        self.after = next;
        if rows.is_empty() {
            return Ok(None);
        }
        let bytes = self.form.write(&rows)?;
        Ok(Some((bytes.into(), self)))
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

/// The rows of a page as far as both lists are known, and after what the next page begins.
fn merged(
    page: &UploadRows,
    told: &ToldOfRows,
    after: RowsAfter,
) -> Result<(Vec<ResultRow>, Option<RowsAfter>), ApiError> {
    let is_full = |length: usize| i64::try_from(length).is_ok_and(|length| length >= PAGE_ROWS);
    let last_event = page.events.last().and_then(row_and_place).filter(|_| is_full(page.events.len()));
    let last_exception = page.exceptions.last().filter(|_| is_full(page.exceptions.len())).map(|row| row.row_no);
    let is_last = last_event.is_none() && last_exception.is_none();
    let until = last_event.map_or(i64::MAX, |(row, _)| row).min(last_exception.unwrap_or(i64::MAX));
    let mut next = after;
    let mut rows = Vec::with_capacity(page.events.len().saturating_add(page.exceptions.len()));
    for event in &page.events {
        let Some(place) = row_and_place(event).filter(|(row, _)| *row <= until) else { continue };
        next.event = place;
        rows.push(ResultRow::of_event(place.0, event).followed_by(told.fees.get(&event.id)));
    }
    for exception in page.exceptions.iter().filter(|exception| exception.row_no <= until) {
        next.exception = exception.row_no;
        rows.push(match moved_id(exception) {
            None => ResultRow::of_exception(exception),
            Some(id) => {
                let event = told.moved.get(&id).ok_or(ApiError::Broken("a moved row has no payment"))?;
                ResultRow::of_event(exception.row_no, event)
            }
        });
    }
    // Of the number of the page's last event more may follow, which stand at later places.
    if !is_last && last_event.is_none_or(|(row, _)| row > until) {
        next.event = (until, Seq(i64::MAX));
    }
    rows.sort_by_key(ResultRow::row_no);
    Ok((rows, (!is_last).then_some(next)))
}

fn moved_id(exception: &UploadException) -> Option<EventId> {
    exception.event_id.filter(|_| exception.code == MOVED)
}

fn row_and_place(event: &EventStatus) -> Option<(i64, Seq)> {
    event.batch.map(|(_, row_no)| (row_no, event.seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was told as an exception is not told again as the event that a person makes of it before the next page.
    #[test]
    fn a_page_ends_at_one_row_in_both_lists() {
        let exception = |row_no| UploadException {
            row_no,
            code: "soft_duplicate".to_owned(),
            idempotency_key: None,
            event_id: None,
            first_row_no: None,
            first_batch_id: None,
            amount: None,
            currency: None,
            errors: None,
            resolved: None,
        };
        let page = |count| UploadRows { events: Vec::new(), exceptions: (1..=count).map(exception).collect() };
        let next = |count| merged(&page(count), &ToldOfRows::default(), RowsAfter::default()).unwrap().1;
        let expected = RowsAfter { event: (PAGE_ROWS, Seq(i64::MAX)), exception: PAGE_ROWS };
        assert_eq!((next(PAGE_ROWS), next(PAGE_ROWS - 1)), (Some(expected), None));
    }
}
