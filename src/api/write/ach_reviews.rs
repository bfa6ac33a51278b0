//! Owns `POST /v1/ach/files/{batch_id}/exceptions/{row}/post` and `/discard`: the end of an exception of a file, by a
//! person and with a reason, once. A row that a posting rule refused is discarded when its money is booked otherwise.
//!
//! What is to be posted is read again from the bytes of the file, and judged again with what the person brings: the entry
//! stays what its sender wrote. It becomes a row of its file under the row's own key, so that two people who decide at
//! once, or one who decides twice, post it once.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::read::ach_exceptions::{Waiting, file_row};
use crate::api::state::ApiState;
use crate::api::uploads::ach::{EntryRow, FileRows, calendar};
use crate::api::uploads::answer::{busy, first_answer, replayed, taken};
use crate::api::uploads::receiver::UploadRequest;
use crate::api::uploads::rows::{Row, RowContent};
use crate::api::write::ach_files::feed;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::ach::{Feed, FileHash};
use crate::core::event::{Command, IdempotencyKey, NewEvent, Resolution, Review, Upload, UploadOperation};
use crate::core::ids::TenantId;
use crate::core::ledger::Calendar;
use crate::store::{FileException, FileRejection, FileRow, NewReview, ReviewDone, UploadBegun, UploadRef};

/// Why an exception ends.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"reason": "the borrower paid twice, confirmed by phone"}))]
pub struct DiscardRequest {
    /// 1 to 255 printable characters.
    pub reason: String,
}

/// Why the entry of an exception is posted, and from which day it counts.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"reason": "two instalments of one day, confirmed by phone", "effective_at": "2026-05-01"}))]
pub struct PostRequest {
    /// 1 to 255 printable characters.
    pub reason: String,
    /// The day it counts from; the file's own where absent. Needed where the file has none that can be believed.
    pub effective_at: Option<NaiveDate>,
}

/// How an exception ended.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"batch_id": "019a0000-0000-7000-8000-000000000000", "row": 7, "code": "soft_duplicate",
    "resolution": "posted", "payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"}))]
pub struct ReviewAnswer {
    /// The file.
    pub batch_id: uuid::Uuid,
    /// The row, from 1.
    pub row: i64,
    /// What it was an exception for.
    pub code: String,
    /// `posted` or `discarded`.
    pub resolution: String,
    /// The payment that is posted; follow it there.
    pub payment_event_id: Option<uuid::Uuid>,
    /// The return that is posted, where the entry is one.
    pub payment_returned_event_id: Option<uuid::Uuid>,
}

/// Posts the entry of an exception.
///
/// For soft duplicates, returns whose payment has come since, and entries held for their date, class, company or
/// addenda. The loan is looked for again; where there is none, the money stays an unidentified receipt.
#[utoipa::path(post, path = "/v1/ach/files/{batch_id}/exceptions/{row}/post", tag = "ach",
    security(("oauth2" = ["hpts:payments:write"])),
    params(("batch_id" = uuid::Uuid, Path, description = "The file"),
        ("row" = i64, Path, description = "Its row, from 1"),
        ("Idempotency-Key" = String, Header, description = "One key per intended decision, kept over retries")),
    request_body = PostRequest,
    responses((status = 201, description = "It is a row of its file now; posting goes on", body = ReviewAnswer),
        (status = 200, description = "The first answer to this key again", body = ReviewAnswer),
        (status = 404, description = "No such exception", body = ProblemDocument),
        (status = 409, description = "Somebody decided before, or the file is being received", body = ProblemDocument),
        (status = 422, description = "Not valid, or not an entry that can be posted, such as one that was accepted and \
            rejected", body = ProblemDocument),
        (status = 503, description = "Another file is being read again; try again", body = ProblemDocument)))]
pub(crate) async fn post_exception(
    State(state): State<ApiState>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(&state, &path, request, Resolution::Posted).await
}

/// Discards an exception: nothing is posted, and it is open no more.
///
/// Of a row that was accepted and that a posting rule refused (`posting_rejected`) it says that somebody has dealt with
/// it: the row stays rejected in the totals of its file, and leaves the list.
#[utoipa::path(post, path = "/v1/ach/files/{batch_id}/exceptions/{row}/discard", tag = "ach",
    security(("oauth2" = ["hpts:payments:write"])),
    params(("batch_id" = uuid::Uuid, Path, description = "The file"),
        ("row" = i64, Path, description = "Its row, from 1"),
        ("Idempotency-Key" = String, Header, description = "One key per intended decision, kept over retries")),
    request_body = DiscardRequest,
    responses((status = 201, description = "Discarded", body = ReviewAnswer),
        (status = 200, description = "The first answer to this key again", body = ReviewAnswer),
        (status = 404, description = "No such exception", body = ProblemDocument),
        (status = 409, description = "Somebody decided before, or the file is being received", body = ProblemDocument),
        (status = 422, description = "Not valid", body = ProblemDocument)))]
pub(crate) async fn discard_exception(
    State(state): State<ApiState>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(&state, &path, request, Resolution::Discarded).await
}

async fn decide(
    state: &ApiState,
    (batch, row): &(String, String),
    request: Request,
    resolution: Resolution,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(state, request, &[Scope::PaymentsWrite]).await?;
    let tenant = request.caller.tenant;
    let row = file_row(batch, row)?;
    let review = request.parsed_by_rules(state, |fields, rules| parse(fields, rules, (row, resolution))).await?;
    let asked = operation(state, &request, review.clone()).await?;
    let event = asked.begin(state);
    if let Some(known) = state.store().event_of_key(tenant, asked.key.as_str()).await? {
        return first_answer(state, tenant, &known.into(), &event.event).await;
    }
    let waiting = Waiting::read(state, tenant, row).await?;
    if let Some(resolved) = waiting.resolved() {
        return Err(ApiError::AlreadyResolved { resolution: resolved.resolution.as_str() });
    }
    let rejected = match &waiting {
        Waiting::Exception(exception) if !exception.is_received => return Err(busy(state, row.batch)),
        Waiting::Exception(_) => None,
        Waiting::Rejection(rejection) => Some(rejection.rejected.event_id),
    };
    let posted = match (resolution, &waiting) {
        (Resolution::Posted, Waiting::Exception(exception)) => Some(posted(state, &asked, exception, &review).await?),
        (Resolution::Posted, Waiting::Rejection(rejection)) => return Err(final_rejection(rejection)),
        (Resolution::Discarded, _) => None,
    };
    let body = body((row, waiting.code()), resolution, posted.as_ref())?;
    let location = posted.as_ref().map(|event| state.location(event.kind, event.id));
    let review = NewReview {
        upload: event.clone(),
        publisher: state.publisher(),
        row,
        rejected,
        resolution,
        reason: review.reason,
        event: posted,
        answer: body.clone(),
    };
    match state.intake().accept_review(review).await? {
        ReviewDone::Decided(_) => Ok(json_answer(StatusCode::CREATED, body, location.as_deref())),
        ReviewDone::Resolved(resolved) => Err(ApiError::AlreadyResolved { resolution: resolved.resolution.as_str() }),
        ReviewDone::RowTaken(known) => Err(ApiError::NotPostable(vec![FieldError::new(
            "",
            "duplicate",
            format!("the row's key belongs to event {}", known.event.event.id),
        )])),
        ReviewDone::Known(UploadBegun::Taken(known)) => Err(taken(&known, &event.event)),
        ReviewDone::Known(UploadBegun::Complete(record)) => replayed(state, record),
        ReviewDone::Known(UploadBegun::New(record) | UploadBegun::Resumed(record) | UploadBegun::Busy(record)) => {
            Err(busy(state, record.id))
        }
        ReviewDone::Known(UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_)) => {
            Err(ApiError::Broken("a review was taken for a file"))
        }
        ReviewDone::Gone => Err(ApiError::NotFound),
    }
}

/// Under its key the row was judged, once and for all.
fn final_rejection(rejection: &FileRejection) -> ApiError {
    let why = rejection.rejected.code.as_str();
    let text = format!("the row was accepted and rejected ({why}), which is final; book it otherwise and discard it");
    ApiError::NotPostable(vec![FieldError::new("", "rejected", text)])
}

fn parse(fields: &mut Fields<'_>, rules: &AcceptanceRules, (row, resolution): (FileRow, Resolution)) -> Option<Review> {
    let reason = fields.required_reference("reason");
    let effective_at = match resolution {
        Resolution::Posted => fields.optional_date_until("effective_at", rules.latest_effective),
        Resolution::Discarded => None,
    };
    Some(Review { batch_id: row.batch, row_no: row.row_no, resolution, reason: reason?, effective_at })
}

async fn operation(state: &ApiState, request: &WriteRequest, review: Review) -> Result<UploadRequest, ApiError> {
    let now = state.now();
    let tenant = state.tenants().get(state.store(), request.caller.tenant, now).await?;
    let upload = Upload {
        operation: UploadOperation::AchReview(review),
        currency: tenant.base_currency,
        received_on: tenant.business_date(now),
    };
    let (tenant, actor) = (request.caller.tenant, request.caller.client_id.clone());
    Ok(UploadRequest { tenant, actor, key: request.key.clone(), upload, file: None })
}

/// The event that posts the entry of an exception, as a row of its file.
async fn posted(
    state: &ApiState,
    asked: &UploadRequest,
    exception: &FileException,
    review: &Review,
) -> Result<NewEvent, ApiError> {
    let tenant = state.tenants().get(state.store(), asked.tenant, state.now()).await?;
    let upload = UploadRef { tenant: asked.tenant, id: exception.row.batch };
    let _room = state.room_for_files().for_kept().await?;
    let (sha256, bytes) = state.store().file_bytes(upload).await?.ok_or(ApiError::NotFound)?;
    let feed = feed(state, asked.tenant, &exception.feed).await?;
    let (hash, latest) = (FileHash::from_bytes(sha256), tenant.latest_effective(state.now()));
    let again = Again {
        tenant: asked.tenant,
        hash,
        row_no: review.row_no,
        effective_at: review.effective_at,
        latest,
        business_date: asked.upload.received_on,
        came_on: tenant.business_date(exception.received_at),
        calendar: calendar(state, asked.tenant).await?,
    };
    let (entry, feed) = again.clone().entry(feed, bytes).await?;
    let rows = again.rows(&feed);
    let row = if entry.is_return() {
        rows.returns(state, vec![entry]).await?.pop()
    } else {
        // A person has decided about this one; what returns will name of it is kept all the same.
        let entries = vec![entry];
        state.store().mark_entries(upload, FileRows::marks(&entries)).await?;
        rows.rows(state, entries, Vec::new()).await?.pop()
    };
    let (key, command) = content(row)?;
    let (id, publisher) = (state.intake().next_id(), state.publisher());
    let event = NewEvent::of_caller(id, asked.tenant, key, command, publisher, asked.actor.clone());
    Ok(event.in_batch(exception.row.batch, review.row_no))
}

/// The reading of one entry again.
#[derive(Clone)]
struct Again {
    tenant: TenantId,
    hash: FileHash,
    row_no: i64,
    effective_at: Option<NaiveDate>,
    latest: NaiveDate,
    business_date: NaiveDate,
    came_on: NaiveDate,
    calendar: Calendar,
}

impl Again {
    const fn rows<'f>(&'f self, feed: &'f Feed) -> FileRows<'f> {
        FileRows {
            feed,
            tenant: self.tenant,
            hash: self.hash,
            business_date: self.business_date,
            came_on: self.came_on,
            is_reviewed: true,
            calendar: &self.calendar,
        }
    }

    /// Beside the runtime's own threads: the whole file is walked.
    async fn entry(self, feed: Feed, bytes: Vec<u8>) -> Result<(EntryRow, Feed), ApiError> {
        let reading = tokio::task::spawn_blocking(move || {
            let entry = {
                let file = feed.read(&bytes).map_err(|_| ApiError::Broken("a file that was taken is refused"))?;
                let classifier = feed.classifier(file.header(), self.latest).overruled(self.effective_at);
                let place = usize::try_from(self.row_no.saturating_sub(1)).unwrap_or(usize::MAX);
                let entry = file.entries().nth(place).ok_or(ApiError::NotFound)?;
                self.rows(&feed).entry(self.row_no, &entry, classifier.classify(&entry))
            };
            Ok((entry, feed))
        });
        reading.await.map_err(|_| ApiError::Broken("a file could not be read again"))?
    }
}

fn content(row: Option<Row>) -> Result<(IdempotencyKey, Command), ApiError> {
    match row {
        Some(Row { key: Some(key), content: RowContent::Command(command), .. }) => Ok((key, command)),
        Some(Row { content: RowContent::Refused(_, fault) | RowContent::Fault(fault), .. }) => {
            Err(ApiError::NotPostable(fault.errors))
        }
        Some(Row { key: None, content: RowContent::Command(_), .. }) | None => {
            Err(ApiError::Broken("an entry made no row"))
        }
    }
}

pub(super) fn body(
    (row, code): (FileRow, &str),
    resolution: Resolution,
    posted: Option<&NewEvent>,
) -> Result<Vec<u8>, ApiError> {
    let mut members = Map::new();
    members.insert("batch_id".to_owned(), row.batch.to_string().into());
    members.insert("row".to_owned(), row.row_no.into());
    members.insert("code".to_owned(), code.into());
    members.insert("resolution".to_owned(), resolution.as_str().into());
    if let Some(event) = posted {
        members.insert(event.kind.id_field().to_owned(), event.id.to_string().into());
    }
    serde_json::to_vec(&Value::Object(members)).map_err(|_| ApiError::Broken("an answer has no JSON"))
}
