//! Owns the way of every write from a command to its answer.
//!
//! | the intake says | the caller gets |
//! | --- | --- |
//! | new, and finished in time | 201 with the result, or 422 with the rule that refused it |
//! | new, and not finished | 202 and where to look |
//! | known, the same request, finished | the first answer again: 200, or the same 422 |
//! | known, the same request, unfinished | 409; its hint is published again |
//! | known, another request | 422 `idempotency_mismatch` |
//!
//! The seat in the waiting room is taken before the event goes to the intake, so that no result can come too early.
//! Dropping the handler (the caller left) takes nothing back: the intake goes on.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;

use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::http::headers::IDEMPOTENT_REPLAYED;
use crate::api::http::prefer::Prefer;
use crate::api::intake::Accepted;
use crate::api::openapi::AcceptedView;
use crate::api::state::ApiState;
use crate::api::waiting_room::Seat;
use crate::api::write::request::WriteRequest;
use crate::core::event::{
    Command, Decision, EventKind, Fingerprint, Group, GroupOperation, LegRequest, LegsHash, Metadata, NamedId,
    NewEvent, NewGroup, decide,
};
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::{Finished, Posting, RejectionCode, answer};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::{KnownEvent, paid_on_time, what_followed};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// An event the api has just brought.
#[derive(Clone, Copy)]
struct Brought {
    id: EventId,
    kind: EventKind,
}

/// Accepts a command and answers. See the module.
pub(crate) async fn accept_and_answer(
    state: &ApiState,
    request: WriteRequest,
    command: Command,
) -> Result<Response, ApiError> {
    let id = state.intake().next_id();
    let (tenant, actor) = (request.caller.tenant, request.caller.client_id.clone());
    let event = NewEvent::of_caller(id, tenant, request.key, command, state.publisher(), actor);
    let incoming = (event.command.clone(), event.fingerprint);
    let brought = Brought { id, kind: event.kind };
    let wait = request.prefer.wait(state.settings().wait_default);
    let seat = (!wait.is_zero()).then(|| state.waiting_room().enter(id));
    let accepted = state.intake().accept(event).await?;
    answered(state, (tenant, request.prefer), accepted, (brought, seat, wait), &incoming).await
}

/// A group that a caller asks for.
#[derive(Debug)]
pub(crate) struct GroupRequest {
    /// What is done.
    pub(crate) operation: GroupOperation,
    /// The currency of all its loans.
    pub(crate) currency: Currency,
    /// The day it counts from.
    pub(crate) effective_date: NaiveDate,
    /// Free data.
    pub(crate) metadata: Option<Metadata>,
    /// What is done to each loan.
    pub(crate) legs: Vec<LegRequest>,
}

impl GroupRequest {
    /// What its parent is asked.
    pub(crate) fn group(&self) -> Group {
        Group {
            operation: self.operation.clone(),
            currency: self.currency,
            effective_date: self.effective_date,
            legs: u32::try_from(self.legs.len()).unwrap_or(u32::MAX),
            legs_hash: LegsHash::of(&self.legs),
            metadata: self.metadata.clone(),
        }
    }
}

/// What a body asks for, of one loan or of several.
#[derive(Debug)]
pub(crate) enum Asked {
    /// An event of one loan.
    OfLoan(Command),
    /// A group.
    OfGroup(GroupRequest),
}

/// Accepts a group and answers for its parent, as for any other event.
pub(crate) async fn accept_group_and_answer(
    state: &ApiState,
    request: WriteRequest,
    asked: GroupRequest,
) -> Result<Response, ApiError> {
    let id = state.intake().next_id();
    let (tenant, actor) = (request.caller.tenant, request.caller.client_id.clone());
    let parent = NewEvent::of_group(id, tenant, request.key, asked.group(), state.publisher(), actor);
    let incoming = (parent.command.clone(), parent.fingerprint);
    let brought = Brought { id, kind: parent.kind };
    let wait = request.prefer.wait(state.settings().wait_default);
    let seat = (!wait.is_zero()).then(|| state.waiting_room().enter(id));
    let accepted = state.intake().accept_group(NewGroup::new(parent, &asked.legs)).await?;
    answered(state, (tenant, request.prefer), accepted, (brought, seat, wait), &incoming).await
}

async fn answered(
    state: &ApiState,
    (tenant, prefer): (TenantId, Prefer),
    accepted: Accepted,
    (brought, seat, wait): (Brought, Option<Seat>, Duration),
    incoming: &(Command, Fingerprint),
) -> Result<Response, ApiError> {
    match accepted {
        Accepted::New { accepted_at, .. } => {
            let response = match result_in_time(state, seat, wait).await {
                Some(finished) => {
                    finished_answer(state, (tenant, brought), (&finished, None), StatusCode::CREATED).await?
                }
                None => unfinished_answer(state, brought, accepted_at)?,
            };
            Ok(with_preference(response, prefer))
        }
        Accepted::Known(known) => known_answer(state, &known, incoming).await,
    }
}

/// What a rule of acceptance refuses now may have been accepted before the rule was changed: a repeat gets its first
/// answer, anything else the refusal.
pub(crate) async fn replay_or_refuse(
    state: &ApiState,
    request: &WriteRequest,
    command: Command,
    refusal: ApiError,
) -> Result<Response, ApiError> {
    let Some(record) = state.store().event_of_key(request.caller.tenant, request.key.as_str()).await? else {
        return Err(refusal);
    };
    let fingerprint = Fingerprint::of(&command);
    known_answer(state, &record.into(), &(command, fingerprint)).await
}

/// Waits for the result; a process that stops lets its waiters go.
async fn result_in_time(state: &ApiState, seat: Option<Seat>, wait: Duration) -> Option<Finished> {
    let mut seat = seat?;
    tokio::select! {
        biased;
        finished = seat.result(wait) => finished,
        () = state.lifecycle().stopping() => None,
    }
}

/// The result: the same bytes whenever and by whichever process it is answered. What followed from a late event is read
/// from rows that never change; an event that was posted in order has none of it and reads nothing. `known` is the event
/// with its posting, where it is at hand.
async fn finished_answer(
    state: &ApiState,
    (tenant, Brought { id, kind }): (TenantId, Brought),
    (finished, known): (&Finished, Option<(&NewEvent, &Posting)>),
    status: StatusCode,
) -> Result<Response, ApiError> {
    let told = answer(kind, id, finished);
    let needs_rows = match &told {
        Ok(_) => finished.may_restate,
        Err(code) => *code == RejectionCode::PaidOnTime,
    };
    let read = if known.is_none() && needs_rows { state.store().event(tenant, id).await? } else { None };
    let read = read.as_ref().and_then(|record| Some((&*record.event.event, record.posting.as_ref()?)));
    let rows = known.or(read).filter(|_| needs_rows);
    let answer = match (told, rows) {
        (Ok(answer), Some((event, posting))) => answer.followed_by(what_followed(state.store(), event, posting).await?),
        (Ok(answer), None) => answer,
        (Err(code), rows) => {
            let late_for = match rows {
                Some((event, posting)) => paid_on_time(state.store(), event, posting).await?.map(Box::new),
                None => None,
            };
            return Err(ApiError::Rejected { code, kind, id, loans: finished.refused_loans.clone(), late_for });
        }
    };
    let body = serde_json::to_vec(&answer).map_err(|_| ApiError::Broken("an answer has no JSON"))?;
    Ok(json_answer(status, body, Some(&state.location(kind, id))))
}

fn unfinished_answer(
    state: &ApiState,
    Brought { id, kind }: Brought,
    accepted_at: Timestamp,
) -> Result<Response, ApiError> {
    let view = AcceptedView { id: NamedId { kind, id }, status: "accepted", accepted_at: accepted_at.to_string() };
    let body = serde_json::to_vec(&view).map_err(|_| ApiError::Broken("an answer has no JSON"))?;
    let mut response = json_answer(StatusCode::ACCEPTED, body, Some(&state.location(kind, id)));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}

async fn known_answer(
    state: &ApiState,
    known: &KnownEvent,
    (command, fingerprint): &(Command, Fingerprint),
) -> Result<Response, ApiError> {
    let first: &NewEvent = &known.event.event;
    let (id, kind) = (first.id, first.kind);
    match decide((&first.command, first.fingerprint), known.stage, (command, *fingerprint)) {
        Decision::Replay => {
            let posting = known.posting.as_ref().ok_or(ApiError::Broken("a finished event has no posting"))?;
            let (brought, finished) = (Brought { id, kind }, Finished::of(first, posting));
            let rows = (&finished, Some((first, posting)));
            let answered = finished_answer(state, (first.tenant, brought), rows, StatusCode::OK).await;
            let mut response = answered.unwrap_or_else(IntoResponse::into_response);
            response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Decision::InProgress(unfinished) => {
            // While the first caller still waits here, its hint is on its way.
            if !state.waiting_room().waits_for(id) {
                state.intake().nudge(known).await;
            }
            Err(ApiError::InProgress { stage: unfinished, kind, id, location: state.location(kind, id) })
        }
        Decision::Mismatch(fields) => Err(ApiError::Mismatch { fields, kind, id }),
    }
}

fn with_preference(mut response: Response, prefer: Prefer) -> Response {
    if let Some(applied) = prefer.applied().and_then(|applied| HeaderValue::from_str(&applied).ok()) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}
