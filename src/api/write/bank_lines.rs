//! Owns `POST /v1/bank-statements/{statement_id}/lines/{line}/resolution`: the end of an open line, by a person and with a
//! reason, once.

use std::collections::BTreeSet;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::read::ach_exceptions::file_row;
use crate::api::state::ApiState;
use crate::api::uploads::answer::{busy, first_answer, replayed, taken};
use crate::api::write::adjustments::parse_account;
use crate::api::write::bank_statements::{SettlementMaker, events_of};
use crate::api::write::operation::begin;
use crate::api::write::request::WriteRequest;
use crate::core::bank::{BankAccountRef, LineMatch, StatementLine, match_lines};
use crate::core::event::{EventKind, NewEvent, UploadOperation};
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::core::ledger::{AccountCode, Chart};
use crate::core::reference::parse_reference;
use crate::store::{LineDecided, LinePlace, LineRow, LineState, NewLineResolution, UploadBegun, UploadRef};

/// What an open line is: an event, or cash against an account.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"account_code": "5200", "reason": "wire fee of the bank, waived to the borrower"}))]
pub struct LineResolutionRequest {
    /// The id of an event, of its journal entry or of an upload, or an idempotency key, as in a statement. The event must
    /// have moved the line's amount on Payment Clearing or on Cash, and be no other line's.
    #[schema(min_length = 1, max_length = 255)]
    pub reference: Option<String>,
    /// The account that the cash is posted against: one of the chart that is not summed up over loans or moved by operations
    /// of its own.
    #[schema(pattern = "^[0-9]{4}$")]
    pub account_code: Option<String>,
    /// Why: 1 to 255 printable characters.
    #[schema(min_length = 1, max_length = 255)]
    pub reason: String,
}

/// How an open line ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"statement_id": "019a0000-0000-7000-8000-000000000000", "line": 2, "status": "posted",
    "bank_settled_event_id": "019a0000-0000-7000-8000-000000000002"}))]
pub struct LineResolutionAnswer {
    #[schema(value_type = uuid::Uuid)]
    statement_id: PaymentBatchId,
    /// The line, from 1.
    line: i64,
    /// `cleared`, `matched` or `posted`.
    #[schema(value_type = String)]
    status: &'static str,
    /// The event that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    matched_event_id: Option<EventId>,
    /// The event that books it; follow it at `/v1/events/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    bank_settled_event_id: Option<EventId>,
}

/// What a person says a line is.
#[derive(Clone, Debug)]
enum Target {
    Event(String),
    Account(AccountCode),
}

impl Target {
    /// For the operation's record: a reference is never four digits, because a key has eight characters.
    fn text(&self) -> String {
        match self {
            Self::Event(reference) => reference.clone(),
            Self::Account(code) => code.to_string(),
        }
    }
}

/// Resolves an open line.
///
/// With `reference` it is the event named there, and settles its clearing unless its cash is booked; with `account_code` it
/// is posted against that account. Exactly one of the two.
#[utoipa::path(post, path = "/v1/bank-statements/{statement_id}/lines/{line}/resolution", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:write"])),
    params(("statement_id" = uuid::Uuid, Path, description = "The statement"),
        ("line" = i64, Path, description = "Its line, from 1"),
        ("Idempotency-Key" = String, Header, description = "One key per intended decision, kept over retries")),
    request_body = LineResolutionRequest,
    responses((status = 201, description = "Resolved; posting goes on", body = LineResolutionAnswer),
        (status = 200, description = "The first answer to this key again", body = LineResolutionAnswer),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 404, description = "No such line", body = ProblemDocument),
        (status = 409, description = "The line is not open", body = ProblemDocument),
        (status = 422, description = "Not valid, or the event is not the line's", body = ProblemDocument)))]
pub(crate) async fn resolve_line(
    State(state): State<ApiState>,
    Path((statement, line)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::ReconciliationWrite]).await?;
    let tenant = request.caller.tenant;
    let known = state.tenants().get(state.store(), tenant, state.now()).await?;
    let row = file_row(&statement, &line)?;
    let place = LinePlace { statement: row.batch, line_no: row.row_no };
    let (target, reason) = request.parsed(|fields| parse(fields, &known.chart))?;
    let operation = UploadOperation::BankLineResolution {
        statement_id: place.statement,
        line_no: place.line_no,
        target: target.text().into(),
        reason: reason.as_str().into(),
    };
    let upload = begin(&state, &request, operation).await?;
    let asked = upload.event.clone();
    if let Some(known) = state.store().event_of_key(tenant, request.key.as_str()).await? {
        return first_answer(&state, tenant, &known.into(), &asked).await;
    }
    let line = line_of(&state, tenant, place).await?;
    if line.state != LineState::Open {
        return Err(ApiError::AlreadyResolved { resolution: line.state.as_str() });
    }
    let matched = match &target {
        Target::Event(reference) => Some(event_of(&state, tenant, &line, reference).await?),
        Target::Account(_) => None,
    };
    let account =
        BankAccountRef::parse(&line.bank_account_ref).map_err(|_| ApiError::Broken("a bank account's name"))?;
    let maker = SettlementMaker { state: &state, upload: &upload, account: &account, currency: line.currency };
    let booked = match (&target, matched) {
        (Target::Account(code), _) => Some((*code, None)),
        (Target::Event(_), Some(LineMatch::Clears(event))) => Some((AccountCode::PAYMENT_CLEARING, Some(event))),
        (Target::Event(_), _) => None,
    };
    let settlement = booked.map(|booked| maker.of_line((place.statement, &line.line), booked)).transpose()?;
    let matched_event = matched.as_ref().and_then(LineMatch::event);
    let mut new = NewLineResolution {
        publisher: state.publisher(),
        place,
        matched_event,
        settlement,
        reason,
        answer: Vec::new(),
        upload: upload.clone(),
    };
    new.answer = body(&new)?;
    decide(&state, new, &asked).await
}

fn parse(fields: &mut Fields<'_>, chart: &Chart) -> Option<(Target, String)> {
    let (has_reference, has_account) = (fields.has("reference"), fields.has("account_code"));
    let reference = fields.optional("reference", parse_reference);
    let account = fields.optional("account_code", |text| parse_counter_account(text, chart));
    let reason = fields.required_reference("reason");
    if has_reference == has_account {
        fields.fail("reference", "one_of", "exactly one of reference and account_code must be there");
        return None;
    }
    let target = reference.map(Target::Event).or(account.map(Target::Account));
    Some((target?, reason?))
}

/// An account that cash may be posted against by hand.
fn parse_counter_account(text: &str, chart: &Chart) -> Result<AccountCode, &'static str> {
    match parse_account(text, chart)? {
        code if code.is_of_loans() => Err("is summed up over loans: send the operation on the loan, and name it"),
        AccountCode::CASH => Err("is the account of the line itself"),
        AccountCode::LOAN_TRANSFER_CLEARING => Err("is moved between loans only"),
        AccountCode::UNIDENTIFIED_RECEIPTS => Err("is moved by payments without a known loan: send one, and name it"),
        code => Ok(code),
    }
}

async fn line_of(state: &ApiState, tenant: TenantId, place: LinePlace) -> Result<LineRow, ApiError> {
    let statement = UploadRef { tenant, id: place.statement };
    let before = place.line_no.saturating_sub(1);
    let line = state.store().statement_lines(statement, before, 1).await?.into_iter().next();
    line.filter(|line| line.line.line_no == place.line_no).ok_or(ApiError::NotFound)
}

/// The event that a reference names, where it is the line's.
async fn event_of(state: &ApiState, tenant: TenantId, line: &LineRow, reference: &str) -> Result<LineMatch, ApiError> {
    let found = events_of(state, tenant, line.currency, BTreeSet::from([reference.to_owned()])).await?;
    let named = StatementLine { reference: Some(reference.to_owned()), ..line.line.clone() };
    let matched = match_lines(&[named], &found).pop();
    match matched.ok_or(ApiError::Broken("a line was not matched"))? {
        LineMatch::Open(reason) => {
            let message = "must name an event that has moved the line's amount and is no other line's";
            Err(ApiError::field("reference", reason.name(), message))
        }
        matched @ (LineMatch::Clears(_) | LineMatch::Matches(_)) => Ok(matched),
    }
}

fn body(resolution: &NewLineResolution) -> Result<Vec<u8>, ApiError> {
    let answer = LineResolutionAnswer {
        statement_id: resolution.place.statement,
        line: resolution.place.line_no,
        status: resolution.state().as_str(),
        matched_event_id: resolution.matched_event,
        bank_settled_event_id: resolution.settlement.as_ref().map(|event| event.id),
    };
    serde_json::to_vec(&answer).map_err(|_| ApiError::Broken("an answer has no JSON"))
}

async fn decide(state: &ApiState, new: NewLineResolution, asked: &NewEvent) -> Result<Response, ApiError> {
    let body = new.answer.clone();
    let location = new.settlement.as_ref().map(|event| state.location(EventKind::BankSettled, event.id));
    match state.intake().accept_line_resolution(new).await? {
        LineDecided::Decided(_) => Ok(json_answer(StatusCode::CREATED, body, location.as_deref())),
        LineDecided::NotOpen(state) => Err(ApiError::AlreadyResolved { resolution: state.as_str() }),
        LineDecided::EventTaken => Err(ApiError::field("reference", "already_matched", "is the event of another line")),
        LineDecided::Gone => Err(ApiError::NotFound),
        LineDecided::Known(UploadBegun::Taken(known)) => Err(taken(&known, asked)),
        LineDecided::Known(UploadBegun::Complete(record)) => replayed(state, record),
        LineDecided::Known(
            UploadBegun::New(record)
            | UploadBegun::Resumed(record)
            | UploadBegun::Busy(record)
            | UploadBegun::OtherFile(record),
        ) => Err(busy(state, record.id)),
        LineDecided::Known(UploadBegun::FileTaken(id)) => Err(busy(state, id)),
    }
}
