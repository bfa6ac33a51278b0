//! Owns the answers of operations that the api finishes itself and that have no rows: the first body, and the same again.

use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::state::ApiState;
use crate::api::uploads::answer::{busy, replayed, taken};
use crate::api::uploads::receiver::LEASE;
use crate::api::write::request::WriteRequest;
use crate::core::event::{NewEvent, Upload, UploadOperation};
use crate::store::{NewUpload, OperationDone, UploadBegun};

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
    Ok(NewUpload { event, holder: Uuid::new_v4(), lease: LEASE, file: None })
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
        OperationDone::Known(UploadBegun::Complete(record)) => replayed(state, record),
        OperationDone::Known(UploadBegun::Busy(record) | UploadBegun::New(record) | UploadBegun::Resumed(record)) => {
            Err(busy(state, record.id))
        }
        OperationDone::Known(UploadBegun::Taken(known)) => Err(taken(&known, asked)),
        OperationDone::Known(UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_)) => {
            Err(ApiError::Broken("an operation without rows was taken for a file"))
        }
    }
}

/// The answer of an operation that has just been done.
pub(crate) fn first_time(body: Vec<u8>) -> Response {
    json_answer(StatusCode::CREATED, body, None)
}
