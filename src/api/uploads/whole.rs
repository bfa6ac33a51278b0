//! Owns uploads that are accepted whole or not at all: at most ten thousand rows, one transaction.

use std::collections::HashMap;

use axum::response::Response;

use crate::api::error::ApiError;
use crate::api::problem::{FieldError, first_failures, tell};
use crate::api::state::ApiState;
use crate::api::uploads::answer::{UploadAnswer, accepted, busy, compared, taken};
use crate::api::uploads::receiver::{Prints, UploadRequest};
use crate::api::uploads::rows::{Row, RowContent};
use crate::core::event::{Fingerprint, NewEvent};
use crate::core::ids::{KeyHash, PaymentBatchId};
use crate::store::{KnownEvent, RowCounts, UploadBegun, UploadEnd, UploadRef, WholeAccepted, WholeUpload};

/// How many faults of all rows are told: several of each row that a person would mend by hand.
const FAULTS_TOLD: usize = 1_000;

/// Accepts all rows or refuses them with every fault named, up to a thousand.
///
/// # Errors
/// A row is no payment, or its key is taken; or what any upload fails for.
pub(crate) async fn accept_all(state: &ApiState, request: UploadRequest, rows: Vec<Row>) -> Result<Response, ApiError> {
    let mut prints = Prints::default();
    prints.add(&rows);
    let print = prints.finish();
    let begin = request.begin(state);
    let (id, asked) = (PaymentBatchId(begin.event.id.0), begin.event.clone());
    if let Some(known) = state.store().event_of_key(request.tenant, request.key.as_str()).await? {
        return of_known(state, &known.into(), &asked, print).await;
    }
    let received = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let counts = RowCounts { received, ..RowCounts::default() };
    let body = UploadAnswer::new(id, counts, received).to_bytes()?;
    let events = events(state, &request, id, rows)?;
    let places = places(&asked, &events)?;
    let end = UploadEnd { rows: counts, fingerprint: print, answer: body.clone() };
    let whole = WholeUpload { upload: begin, publisher: state.publisher(), rows: events, end };
    match state.intake().accept_whole(whole).await? {
        WholeAccepted::All(_) => Ok(accepted(state, id, body.into())),
        WholeAccepted::Conflicts(known) => Err(refused(conflicts(&places, &known))),
        WholeAccepted::Known(UploadBegun::Complete(record)) => compared(state, record, print),
        WholeAccepted::Known(UploadBegun::Taken(known)) => Err(taken(&known, &asked)),
        WholeAccepted::Known(UploadBegun::New(record) | UploadBegun::Resumed(record) | UploadBegun::Busy(record)) => {
            Err(busy(state, record.id))
        }
        WholeAccepted::Known(UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_)) => {
            Err(ApiError::Broken("rows that are no file's were taken for a file"))
        }
    }
}

/// The answer under a key that is known. Its rows were judged when they came first: what is said of them today does not
/// count.
async fn of_known(
    state: &ApiState,
    known: &KnownEvent,
    asked: &NewEvent,
    print: [u8; 32],
) -> Result<Response, ApiError> {
    let first = &known.event.event;
    if first.fingerprint != asked.fingerprint {
        return Err(taken(known, asked));
    }
    let upload = UploadRef { tenant: first.tenant, id: PaymentBatchId(first.id.0) };
    let progress = state.store().upload_progress(upload).await?;
    let record = progress.ok_or(ApiError::Broken("an upload that was taken has no row"))?.record;
    if record.completed_at.is_some() { compared(state, record, print) } else { Err(busy(state, record.id)) }
}

/// The rows as events of the upload.
fn events(
    state: &ApiState,
    request: &UploadRequest,
    id: PaymentBatchId,
    rows: Vec<Row>,
) -> Result<Vec<NewEvent>, ApiError> {
    let mut events = Vec::with_capacity(rows.len());
    let mut errors = Vec::new();
    for Row { row_no, key, content, .. } in rows {
        match (key, content) {
            (Some(key), RowContent::Command(command)) => {
                let (event, publisher) = (state.intake().next_id(), state.publisher());
                let actor = request.actor.clone();
                let event = NewEvent::of_caller(event, request.tenant, key, command, publisher, actor);
                events.push(event.in_batch(id, row_no));
            }
            (_, RowContent::Refused(_, fault) | RowContent::Fault(fault)) => {
                for error in fault.errors {
                    tell(&mut errors, in_row(row_no, error), FAULTS_TOLD);
                }
            }
            (None, RowContent::Command(_)) => return Err(ApiError::Broken("a row without a key became a command")),
        }
    }
    if errors.is_empty() { Ok(events) } else { Err(refused(errors)) }
}

type Places = HashMap<KeyHash, (i64, Fingerprint)>;

/// Which row has which key; no two may share one, nor have that of the upload.
fn places(upload: &NewEvent, events: &[NewEvent]) -> Result<Places, ApiError> {
    let mut places = Places::with_capacity(events.len());
    let mut errors = Vec::new();
    for event in events {
        let row_no = event.origin.batch.map_or(0, |(_, row_no)| row_no);
        if event.key_hash == upload.key_hash {
            errors.push(key_error(row_no, false, "is the key of the upload itself".to_owned()));
        } else if let Some((first, fingerprint)) = places.get(&event.key_hash) {
            let same = *fingerprint == event.fingerprint;
            errors.push(key_error(row_no, same, format!("is the key of row {first}")));
        } else {
            places.insert(event.key_hash, (row_no, event.fingerprint));
        }
    }
    if errors.is_empty() { Ok(places) } else { Err(refused(errors)) }
}

fn refused(errors: Vec<FieldError>) -> ApiError {
    ApiError::InvalidFile(first_failures(errors, FAULTS_TOLD))
}

fn conflicts(places: &Places, known: &[KnownEvent]) -> Vec<FieldError> {
    let conflict = |known: &KnownEvent| {
        let first = &known.event.event;
        let (row_no, fingerprint) = places.get(&first.key_hash)?;
        let message = format!("is the key of payment {}", first.id);
        Some((*row_no, key_error(*row_no, *fingerprint == first.fingerprint, message)))
    };
    let mut errors: Vec<(i64, FieldError)> = known.iter().filter_map(conflict).collect();
    errors.sort_by_key(|(row_no, _)| *row_no);
    errors.into_iter().map(|(_, error)| error).collect()
}

fn key_error(row_no: i64, is_same: bool, message: String) -> FieldError {
    let code = if is_same { "duplicate" } else { "mismatched" };
    in_row(row_no, FieldError::new("idempotency_key", code, message))
}

/// A row's failure under the row's number.
fn in_row(row_no: i64, error: FieldError) -> FieldError {
    let field =
        if error.field.is_empty() { format!("rows.{row_no}") } else { format!("rows.{row_no}.{}", error.field) };
    FieldError { field, ..error }
}
