//! Owns the answers of operations that the api finishes itself and that have no rows: the first body, and the same again.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::api::uploads::answer::{busy, replayed, taken};
use crate::api::uploads::receiver::LEASE;
use crate::api::write::request::WriteRequest;
use crate::core::event::{NewEvent, Upload, UploadOperation};
use crate::store::{NewUpload, OperationDone, UploadBegun, UploadRecord};

/// The operation of a request, for the store.
pub(crate) async fn begin(
    state: &ApiState,
    request: &WriteRequest,
    operation: UploadOperation,
) -> Result<NewUpload, ApiError> {
    let (caller, now) = (&request.caller, state.now());
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let upload = Upload { operation, currency: tenant.base_currency, received_on: tenant.business_date(now) };
    let (id, publisher, actor) = (state.intake().next_id(), state.publisher(), caller.client_id.clone());
    let event = NewEvent::of_upload(id, caller.tenant, request.key.clone(), upload, publisher, actor);
    Ok(NewUpload { event, holder: Uuid::new_v4(), lease: LEASE })
}

/// The answer of an operation that the store has finished, or that was finished before.
pub(crate) fn answered(
    state: &ApiState,
    asked: &NewEvent,
    done: OperationDone,
    body: Vec<u8>,
) -> Result<Response, ApiError> {
    match done {
        OperationDone::Done(_) => Ok(first_time(body)),
        OperationDone::Known(UploadBegun::Complete(record)) => first_again(state, record),
        OperationDone::Known(UploadBegun::Busy(record) | UploadBegun::New(record) | UploadBegun::Resumed(record)) => {
            Err(busy(state, record.id))
        }
        OperationDone::Known(UploadBegun::Taken(known)) => Err(taken(&known, asked)),
    }
}

/// The answer of an operation that has just been done.
pub(crate) fn first_time(body: Vec<u8>) -> Response {
    let mut response = (StatusCode::CREATED, Body::from(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The first answer again, without the place of an upload: the operation has none.
pub(crate) fn first_again(state: &ApiState, record: UploadRecord) -> Result<Response, ApiError> {
    let mut response = replayed(state, record)?;
    response.headers_mut().remove(LOCATION);
    Ok(response)
}
