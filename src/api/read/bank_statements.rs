//! Owns `GET /v1/bank-statements`, one of them, its lines, and the open lines of all.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::batches::batch_id;
use crate::api::read::page_token::PagedQuery;
use crate::api::state::ApiState;
use crate::core::bank::BankAccountRef;
use crate::core::ids::{EventId, PaymentBatchId};
use crate::core::time::parse_date;
use crate::store::{LinePlace, LineResolved, LineRow, StatementRow, StatementsFilter, UploadRef};

/// Who may read statements.
const SCOPES: &[Scope] = &[Scope::ReconciliationRead, Scope::ReconciliationWrite];
const NOT_A_TOKEN: &str = "is not a page token of this query";

/// A statement of a bank account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"statement_id": "019a0000-0000-7000-8000-000000000000", "bank_account_ref": "OPERATING-1",
    "currency": "USD", "statement_date": "2026-05-01", "opening_balance_minor": "0", "closing_balance_minor": "87349",
    "received_at": "2026-05-02T06:00:00Z", "line_count": 2, "open_line_count": 1, "open_lines_minor": "-1500"}))]
pub struct BankStatementView {
    #[schema(value_type = uuid::Uuid)]
    statement_id: PaymentBatchId,
    bank_account_ref: String,
    currency: String,
    /// The last day it covers.
    #[schema(value_type = NaiveDate)]
    statement_date: String,
    /// Before its first line; may carry `-`.
    opening_balance_minor: String,
    /// After its last line; may carry `-`.
    closing_balance_minor: String,
    /// When it came.
    received_at: String,
    line_count: i64,
    /// Lines that wait for a person.
    open_line_count: i64,
    /// What they come to; may carry `-`.
    open_lines_minor: String,
}

impl From<&StatementRow> for BankStatementView {
    fn from(row: &StatementRow) -> Self {
        Self {
            statement_id: row.id,
            bank_account_ref: row.head.bank_account_ref.to_string(),
            currency: row.head.currency.to_string(),
            statement_date: row.head.statement_date.to_string(),
            opening_balance_minor: row.head.opening_balance.to_string(),
            closing_balance_minor: row.head.closing_balance.to_string(),
            received_at: row.received_at.to_string(),
            line_count: row.line_count,
            open_line_count: row.open_lines,
            open_lines_minor: row.open_sum.to_string(),
        }
    }
}

/// A page of statements.
#[derive(Debug, Serialize, ToSchema)]
pub struct BankStatementsList {
    /// By day, then by account.
    items: Vec<BankStatementView>,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// A line of a statement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"statement_id": "019a0000-0000-7000-8000-000000000000", "line": 2,
    "bank_account_ref": "OPERATING-1", "currency": "USD", "booking_date": "2026-05-01", "amount_minor": "-1500",
    "description": "Wire fee", "status": "open", "open_reason": "no_reference"}))]
pub struct BankLineView {
    #[schema(value_type = uuid::Uuid)]
    statement_id: PaymentBatchId,
    /// The line, from 1.
    line: i64,
    bank_account_ref: String,
    currency: String,
    /// The day the bank booked it.
    #[schema(value_type = NaiveDate)]
    booking_date: String,
    /// What came in; with `-` what went out.
    amount_minor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The bank's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// `cleared`: it settles what an event has put on Payment Clearing. `matched`: an event has booked its cash. `posted`: a
    /// person has posted it on an account. `open`: it waits for a person.
    #[schema(value_type = String)]
    status: &'static str,
    /// Why it is open: `no_reference`, `not_found`, `not_posted`, `rejected`, `currency_differs`, `amount_differs`,
    /// `already_matched`.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_reason: Option<String>,
    /// The event that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    matched_event_id: Option<EventId>,
    /// The event that books it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    bank_settled_event_id: Option<EventId>,
    /// Where a person decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<LineResolutionView>,
}

/// Who decided about a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineResolutionView {
    reason: String,
    resolved_by: String,
    resolved_at: String,
}

impl From<&LineResolved> for LineResolutionView {
    fn from(resolved: &LineResolved) -> Self {
        Self { reason: resolved.reason.clone(), resolved_by: resolved.by.clone(), resolved_at: resolved.at.to_string() }
    }
}

impl From<&LineRow> for BankLineView {
    fn from(row: &LineRow) -> Self {
        Self {
            statement_id: row.statement,
            line: row.line.line_no,
            bank_account_ref: row.bank_account_ref.clone(),
            currency: row.currency.to_string(),
            booking_date: row.line.booking_date.to_string(),
            amount_minor: row.line.amount.to_string(),
            reference: row.line.reference.clone(),
            description: row.line.description.clone(),
            status: row.state.as_str(),
            open_reason: row.open_reason.clone(),
            matched_event_id: row.matched_event,
            bank_settled_event_id: row.settlement_event,
            resolution: row.resolved.as_ref().map(LineResolutionView::from),
        }
    }
}

/// A page of lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct BankLinesList {
    /// Oldest statement first, in its order.
    items: Vec<BankLineView>,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// The page of what was read, which is one more than `limit` where there is a next one; with the last item of it then.
fn page<T>(found: &[T], limit: i64) -> (&[T], Option<&T>) {
    let shown = found.get(..usize::try_from(limit).unwrap_or(usize::MAX)).unwrap_or(found);
    (shown, if found.len() > shown.len() { shown.last() } else { None })
}

/// Bank statements, oldest first.
#[utoipa::path(get, path = "/v1/bank-statements", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:read"])),
    params(("bank_account_ref" = Option<String>, Query, description = "Of one account"),
        ("from_date" = Option<NaiveDate>, Query, description = "Of this day or later"),
        ("to_date" = Option<NaiveDate>, Query, description = "Of this day or earlier"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = BankStatementsList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_statements(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<BankStatementsList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let account = query.optional("bank_account_ref", BankAccountRef::parse).map(|account| account.to_string());
    let from = query.optional("from_date", parse_date);
    let to = query.optional("to_date", parse_date);
    let limit = query.page_size();
    let text = |date: Option<NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
    let parts = ["bank_statements", account.as_deref().unwrap_or_default(), &text(from), &text(to)];
    let paged = PagedQuery::new(caller.tenant, &parts);
    let after = query.optional("page_token", |token| paged.place_of(token).and_then(|place| statement_place(&place)));
    query.finish()?;
    let filter = StatementsFilter { bank_account_ref: account, from, to, after, limit };
    let found = state.store().bank_statements(caller.tenant, filter).await?;
    let (shown, next) = page(&found, limit);
    let place = |last: &StatementRow| format!("{}{}", last.head.statement_date, last.head.bank_account_ref);
    Ok(Json(BankStatementsList {
        items: shown.iter().map(BankStatementView::from).collect(),
        next_page_token: next.map(|last| paged.token_of(place(last).as_bytes())),
    }))
}

/// Ten characters of a day, and an account.
fn statement_place(bytes: &[u8]) -> Result<(NaiveDate, String), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| NOT_A_TOKEN)?;
    let (day, account) = text.split_at_checked(10).ok_or(NOT_A_TOKEN)?;
    Ok((parse_date(day).map_err(|_| NOT_A_TOKEN)?, account.to_owned()))
}

/// A bank statement.
#[utoipa::path(get, path = "/v1/bank-statements/{statement_id}", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:read"])),
    params(("statement_id" = uuid::Uuid, Path, description = "The statement")),
    responses((status = 200, description = "The statement", body = BankStatementView),
        (status = 404, description = "No such statement", body = ProblemDocument)))]
pub(crate) async fn get_statement(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<BankStatementView>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    let statement = UploadRef { tenant: caller.tenant, id: batch_id(&id)? };
    let row = state.store().bank_statement(statement).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(BankStatementView::from(&row)))
}

/// The lines of a bank statement, in its order, with what each is.
#[utoipa::path(get, path = "/v1/bank-statements/{statement_id}/lines", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:read"])),
    params(("statement_id" = uuid::Uuid, Path, description = "The statement"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = BankLinesList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument),
        (status = 404, description = "No such statement", body = ProblemDocument)))]
pub(crate) async fn list_lines(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<BankLinesList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let statement = UploadRef { tenant: caller.tenant, id: batch_id(&id)? };
    let mut query = Query::of(&uri)?;
    let limit = query.page_size();
    let paged = PagedQuery::new(caller.tenant, &["bank_statement_lines", &statement.id.to_string()]);
    let after = query.optional("page_token", |token| paged.place(token)).unwrap_or(0);
    query.finish()?;
    if state.store().bank_statement(statement).await?.is_none() {
        return Err(ApiError::NotFound);
    }
    let found = state.store().statement_lines(statement, after, limit).await?;
    let (shown, next) = page(&found, limit);
    Ok(Json(BankLinesList {
        items: shown.iter().map(BankLineView::from).collect(),
        next_page_token: next.map(|last| paged.token(last.line.line_no)),
    }))
}

/// The open lines of all bank statements: what the bank has moved and the ledger does not know.
#[utoipa::path(get, path = "/v1/bank-statements/open-lines", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:read"])),
    params(("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page, oldest statement first", body = BankLinesList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_open_lines(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<BankLinesList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let limit = query.page_size();
    let paged = PagedQuery::new(caller.tenant, &["bank_open_lines"]);
    let after = query.optional("page_token", |token| paged.place_of_size::<24>(token)).map(line_place);
    query.finish()?;
    let found = state.store().open_lines(caller.tenant, after, limit).await?;
    let (shown, next) = page(&found, limit);
    let place = |last: &LineRow| [&last.statement.0.into_bytes()[..], &last.line.line_no.to_be_bytes()].concat();
    Ok(Json(BankLinesList {
        items: shown.iter().map(BankLineView::from).collect(),
        next_page_token: next.map(|last| paged.token_of(&place(last))),
    }))
}

/// Sixteen bytes of a statement, and eight of a line.
fn line_place(bytes: [u8; 24]) -> LinePlace {
    let (statement, line_no) = bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    LinePlace {
        statement: PaymentBatchId(uuid::Uuid::from_bytes(*statement)),
        line_no: line_no.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes)),
    }
}
