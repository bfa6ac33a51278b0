//! Owns `POST /v1/bank-statements`: a statement of a bank account in, what its lines settle posted, everything else an open
//! line.
//!
//! A line is matched when the statement comes, and what it clears is an event of the statement, accepted with it in one
//! transaction: there is no statement half taken. The same statement again answers the first result, whatever its key;
//! another one of the same account and day is a conflict.

use std::collections::{BTreeSet, HashMap};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::answer::json_answer;
use crate::api::http::headers::{idempotency_key, media_type_is};
use crate::api::http::heavy::off_the_runtime;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::uploads::answer::{busy, first_answer, replay, replayed, taken};
use crate::api::uploads::receiver::UploadRequest;
use crate::api::uploads::source::Source;
use crate::core::bank::{
    BankAccountRef, Found, LINES_MAX, LineMatch, Statement, StatementFault, StatementFaults, StatementHash,
    StatementHead, StatementLine, match_lines, parse_signed, read_lines,
};
use crate::core::event::{
    BankSettlement, CashFlow, IdempotencyKey, IdempotencyKeyError, NewEvent, Upload, UploadOperation,
};
use crate::core::ids::{EntryId, EventId, KeyHash, PaymentBatchId, TenantId};
use crate::core::ledger::AccountCode;
use crate::core::money::{Currency, Minor, Money};
use crate::core::time::parse_date;
use crate::store::{
    MATCHING_ATTEMPTS, NewStatement, NewStatementLine, NewUpload, Reference, StatementAccepted, UploadBegun,
};

/// The most bytes of a statement: ten thousand lines of 800 bytes.
const STATEMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What became of the lines of a statement when it came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"statement_id": "019a0000-0000-7000-8000-000000000000", "bank_account_ref": "OPERATING-1",
    "statement_date": "2026-05-01", "lines": 3, "cleared": 1, "matched": 1, "open": 1}))]
pub struct StatementAnswer {
    /// Where to ask for it: `/v1/bank-statements/{statement_id}`.
    #[schema(value_type = uuid::Uuid)]
    statement_id: PaymentBatchId,
    bank_account_ref: String,
    /// The last day it covers.
    #[schema(value_type = NaiveDate)]
    statement_date: String,
    /// Its lines.
    lines: usize,
    /// Lines that settle what an event has put on Payment Clearing: posted now, from there to Cash.
    cleared: usize,
    /// Lines whose cash an event has booked already.
    matched: usize,
    /// Lines that wait for a person.
    open: usize,
}

/// Takes a bank statement.
///
/// Its lines are CSV with a header: `booking_date`, `amount_minor` (negative for what went out), and, where there are,
/// `reference` and `description`. A reference is the id of an event, of its journal entry or of an upload, or an
/// idempotency key. Opening balance and lines must come to the closing balance. What the account held before its first
/// statement is booked against Opening Balances.
#[utoipa::path(post, path = "/v1/bank-statements", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended statement, kept over retries"),
        ("bank_account_ref" = String, Query, description = "What you call the account: 1 to 64 of A-Z, a-z, 0-9, `.`, \
            `_` and `-`"),
        ("statement_date" = NaiveDate, Query, description = "The last day it covers; one statement a day"),
        ("currency" = String, Query, description = "ISO 4217; always the same for an account"),
        ("opening_balance_minor" = String, Query, description = "Before its first line; may carry `-`"),
        ("closing_balance_minor" = String, Query, description = "After its last line; may carry `-`")),
    request_body(content = String, content_type = "text/csv",
        description = "A header and at most 10,000 lines, 8 MiB. May be compressed with gzip.",
        example = json!("booking_date,amount_minor,reference,description\n2026-05-01,88849,payment:demo:0001,ACH credit\n")),
    responses((status = 202, description = "Taken; posting goes on", body = StatementAnswer),
        (status = 200, description = "The first answer to this statement again", body = StatementAnswer),
        (status = 400, description = "No or a bad key, or a parameter is not valid", body = ProblemDocument),
        (status = 409, description = "The account has another statement of this day", body = ProblemDocument),
        (status = 413, description = "Too large", body = ProblemDocument),
        (status = 415, description = "Not CSV", body = ProblemDocument),
        (status = 422, description = "Not a sound statement; every fault by line, column and field",
            body = ProblemDocument)))]
pub(crate) async fn post_statement(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = state.caller(&parts.headers, &[Scope::ReconciliationWrite]).await?;
    if !media_type_is(&parts.headers, "text/csv") {
        return Err(ApiError::UnsupportedMediaType);
    }
    let key = idempotency_key(&parts.headers)?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let head = head(Query::of(&parts.uri)?)?;
    let latest = tenant.latest_effective(now);
    let bytes = Source::of(&parts.headers, body, STATEMENT_BYTES_MAX)?.whole().await?;
    if bytes.is_empty() {
        return Err(ApiError::empty_file());
    }
    let (statement, hash) = off_the_runtime(move || read(head, &bytes)).await??;
    let operation = UploadOperation::BankStatement {
        bank_account_ref: statement.head().bank_account_ref.to_string(),
        statement_date: statement.head().statement_date,
        sha256: hash.to_string(),
    };
    let (currency, received_on) = (statement.head().currency, tenant.business_date(now));
    let upload = Upload { operation, currency, received_on };
    let (tenant, actor) = (caller.tenant, caller.client_id.clone());
    let request = UploadRequest { tenant, actor, key, upload, file: None };
    accept(&state, request, (statement, hash.bytes()), latest).await
}

/// What the query says of the account.
fn head(mut query: Query) -> Result<StatementHead, ApiError> {
    let account = query.required("bank_account_ref", BankAccountRef::parse);
    let date = query.required("statement_date", parse_date);
    let currency = query.required("currency", Currency::parse);
    let opening = query.required("opening_balance_minor", parse_signed);
    let closing = query.required("closing_balance_minor", parse_signed);
    query.finish()?;
    let known = || ApiError::Broken("a parameter is neither there nor a failure");
    Ok(StatementHead {
        bank_account_ref: account.ok_or_else(known)?,
        statement_date: date.ok_or_else(known)?,
        currency: currency.ok_or_else(known)?,
        opening_balance: opening.ok_or_else(known)?,
        closing_balance: closing.ok_or_else(known)?,
    })
}

/// The statement, and the hash by which it is known.
fn read(head: StatementHead, bytes: &Bytes) -> Result<(Statement, StatementHash), ApiError> {
    let fault =
        |fault: StatementFault| FieldError::new(fault.field, fault.code, fault.message).at(fault.line, fault.column);
    let lines = read_lines(bytes, head.statement_date).map_err(|faults| match faults {
        StatementFaults::TooManyLines => ApiError::BatchTooLarge,
        StatementFaults::Faults(faults) => ApiError::InvalidFile(faults.into_iter().map(fault).collect()),
    })?;
    let statement = Statement::new(head, lines).map_err(|error| {
        let message = format!("{error}; it must be the closing balance");
        ApiError::InvalidFile(vec![FieldError::new("closing_balance_minor", "does_not_add_up", message)])
    })?;
    let hash = statement.hash(bytes);
    Ok((statement, hash))
}

/// Takes a statement that no key and no day stands in the way of, unless its day is after `latest`.
async fn accept(
    state: &ApiState,
    request: UploadRequest,
    (statement, sha256): (Statement, [u8; 32]),
    latest: NaiveDate,
) -> Result<Response, ApiError> {
    let tenant = request.tenant;
    if let Some(known) = state.store().event_of_key(tenant, request.key.as_str()).await? {
        return first_answer(state, tenant, &known.into(), &request.begin(state).event).await;
    }
    let (account, day) = (statement.head().bank_account_ref.as_str(), statement.head().statement_date);
    if let Some((id, known)) = state.store().statement_of(tenant, account, day).await? {
        return of_the_same_day(state, tenant, (id, known == sha256)).await;
    }
    if day > latest {
        return Err(refused("statement_date", "future_dated", format!("must not be after {latest}")));
    }
    for _ in 0..MATCHING_ATTEMPTS {
        let new = matched(state, &request, (&statement, sha256)).await?;
        let (asked, id, body) = (new.upload.event.clone(), PaymentBatchId(new.upload.event.id.0), new.answer.clone());
        return match state.intake().accept_statement(new).await? {
            StatementAccepted::Disturbed => continue,
            StatementAccepted::New(_) => {
                let location = state.address("bank-statements", id);
                Ok(json_answer(StatusCode::ACCEPTED, body, Some(&location)))
            }
            StatementAccepted::Same(id) => of_the_same_day(state, tenant, (id, true)).await,
            StatementAccepted::Conflict(id) => of_the_same_day(state, tenant, (id, false)).await,
            StatementAccepted::OtherCurrency(currency) => {
                Err(refused("currency", "currency_mismatch", format!("the account is in {currency}")))
            }
            StatementAccepted::BeforeFirst(first) => {
                let message = format!("the account's first statement is of {first}, and its opening balance is booked");
                Err(refused("statement_date", "before_first_statement", message))
            }
            StatementAccepted::Known(UploadBegun::Taken(known)) => Err(taken(&known, &asked)),
            StatementAccepted::Known(UploadBegun::Complete(record)) => replayed(state, record),
            StatementAccepted::Known(
                UploadBegun::New(record)
                | UploadBegun::Resumed(record)
                | UploadBegun::Busy(record)
                | UploadBegun::OtherFile(record),
            ) => Err(busy(state, record.id)),
            StatementAccepted::Known(UploadBegun::FileTaken(id)) => Err(busy(state, id)),
        };
    }
    // So many other statements at once take events of these lines.
    Err(ApiError::Overloaded)
}

fn refused(field: &'static str, code: &'static str, message: String) -> ApiError {
    ApiError::InvalidParameters(vec![FieldError::new(field, code, message)])
}

/// The answer to a statement whose account has one of its day: the first answer, where it is the same.
async fn of_the_same_day(
    state: &ApiState,
    tenant: TenantId,
    (id, is_same): (PaymentBatchId, bool),
) -> Result<Response, ApiError> {
    if is_same { replay(state, tenant, id).await } else { Err(ApiError::DuplicateFile { batch: id }) }
}

/// The statement with what its lines are, as the ledger stands.
async fn matched(
    state: &ApiState,
    request: &UploadRequest,
    (statement, sha256): (&Statement, [u8; 32]),
) -> Result<NewStatement, ApiError> {
    let head = statement.head();
    let references = statement.lines().iter().filter_map(|line| line.reference.clone()).collect();
    let found = events_of(state, request.tenant, head.currency, references).await?;
    let matches = match_lines(statement.lines(), &found);
    let upload = request.begin(state);
    let maker = SettlementMaker { state, upload: &upload, account: &head.bank_account_ref, currency: head.currency };
    let mut lines = Vec::with_capacity(matches.len());
    for (line, found) in statement.lines().iter().zip(matches) {
        let settlement = match found {
            LineMatch::Clears(event) => {
                let id = PaymentBatchId(upload.event.id.0);
                Some(maker.of_line((id, line), (AccountCode::PAYMENT_CLEARING, Some(event)))?)
            }
            LineMatch::Matches(_) | LineMatch::Open(_) => None,
        };
        lines.push(NewStatementLine { line: line.clone(), found, settlement });
    }
    let answer = StatementAnswer::of(PaymentBatchId(upload.event.id.0), head, &lines);
    let answer = serde_json::to_vec(&answer).map_err(|_| ApiError::Broken("an answer has no JSON"))?;
    let opening = maker.opening(statement)?;
    let publisher = state.publisher();
    Ok(NewStatement { publisher, head: head.clone(), sha256, lines, opening, answer, upload: upload.clone() })
}

impl StatementAnswer {
    fn of(id: PaymentBatchId, head: &StatementHead, lines: &[NewStatementLine]) -> Self {
        let count = |is: fn(&LineMatch) -> bool| lines.iter().filter(|line| is(&line.found)).count();
        Self {
            statement_id: id,
            bank_account_ref: head.bank_account_ref.to_string(),
            statement_date: head.statement_date.to_string(),
            lines: lines.len(),
            cleared: count(|found| matches!(found, LineMatch::Clears(_))),
            matched: count(|found| matches!(found, LineMatch::Matches(_))),
            open: count(|found| matches!(found, LineMatch::Open(_))),
        }
    }
}

/// What stands under references, by their text.
pub(crate) async fn events_of(
    state: &ApiState,
    tenant: TenantId,
    currency: Currency,
    references: BTreeSet<String>,
) -> Result<HashMap<String, Vec<Found>>, ApiError> {
    let reference = |text: String| Reference {
        id: EventId::parse(&text).ok().map(|id| EntryId(id.0).event_id().unwrap_or(id)),
        key: IdempotencyKey::parse(&text).ok().map(|key| KeyHash::of_caller_key(tenant, key.as_str())),
        text,
    };
    let references: Vec<Reference> = references.into_iter().map(reference).collect();
    let mut found: HashMap<String, Vec<Found>> = HashMap::new();
    for (text, event) in state.store().events_of_references(tenant, currency, references).await? {
        found.entry(text).or_default().push(event);
    }
    Ok(found)
}

/// Makes the events that book what the bank has moved.
pub(crate) struct SettlementMaker<'a> {
    pub(crate) state: &'a ApiState,
    /// The operation that brings them.
    pub(crate) upload: &'a NewUpload,
    pub(crate) account: &'a BankAccountRef,
    pub(crate) currency: Currency,
}

impl SettlementMaker<'_> {
    /// What books a line: as a row of its statement, under a key that the line has once.
    pub(crate) fn of_line(
        &self,
        (statement, line): (PaymentBatchId, &StatementLine),
        (account, settles): (AccountCode, Option<EventId>),
    ) -> Result<NewEvent, ApiError> {
        let settlement = Settlement { day: line.booking_date, amount: line.amount, account, settles };
        let key = IdempotencyKey::parse(&format!("bank:{statement}:{}", line.line_no));
        let event = self.event(key, settlement, line.reference.clone())?;
        Ok(event.in_batch(statement, line.line_no))
    }

    /// What books the balance that the account has before its first statement, on that one's first day; `None` where it has
    /// none.
    fn opening(&self, statement: &Statement) -> Result<Option<NewEvent>, ApiError> {
        let head = statement.head();
        if head.opening_balance.is_zero() {
            return Ok(None);
        }
        let days = statement.lines().iter().map(|line| line.booking_date);
        let key = IdempotencyKey::parse(&format!("bank:{}:opening", self.loan().0));
        let settlement = Settlement {
            day: days.min().unwrap_or(head.statement_date),
            amount: head.opening_balance,
            account: AccountCode::OPENING_BALANCES,
            settles: None,
        };
        self.event(key, settlement, None).map(Some)
    }

    fn loan(&self) -> crate::core::ids::LoanId {
        BankSettlement::loan_of(self.upload.event.tenant, self.account.as_str())
    }

    fn event(
        &self,
        key: Result<IdempotencyKey, IdempotencyKeyError>,
        settlement: Settlement,
        external_ref: Option<String>,
    ) -> Result<NewEvent, ApiError> {
        let key = key.map_err(|_| ApiError::Broken("a settlement's key is none"))?;
        let Settlement { day, amount, account, settles } = settlement;
        let (flow, magnitude) =
            if amount.is_negative() { (CashFlow::Out, amount.mirrored()) } else { (CashFlow::In, Ok(amount)) };
        let magnitude = magnitude.map_err(|_| ApiError::Broken("a line's amount has no mirror"))?;
        let settlement = BankSettlement {
            loan_id: self.loan(),
            amount: Money::new(magnitude, self.currency),
            flow,
            account,
            settles,
            effective_date: day,
            external_ref,
        };
        let (id, event) = (self.state.intake().next_id(), &self.upload.event);
        let (publisher, actor) = (self.state.publisher(), event.actor.clone());
        Ok(NewEvent::of_bank_settlement(id, event.tenant, key, settlement, publisher, actor))
    }
}

/// What is booked.
#[derive(Clone, Copy)]
struct Settlement {
    day: NaiveDate,
    amount: Minor,
    account: AccountCode,
    settles: Option<EventId>,
}

const _: () = assert!(LINES_MAX <= 10_000, "the description says so");
