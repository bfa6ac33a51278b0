//! Owns `GET /v1/journal-entries/{id}` and `GET /v1/loans/{loan_id}/journal-entries`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::heavy::{json_of, off_the_runtime};
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::description::description;
use crate::api::read::page_token::{PagedQuery, cut};
use crate::api::state::ApiState;
use crate::core::event::Command;
use crate::core::ids::{EntryId, EventId, LoanId, LoanKey};
use crate::core::ledger::{AccountCode, Chart, JournalEntry, Line, Posting};
use crate::core::time::parse_date;
use crate::store::{EntriesPage, EventRecord};

const SCOPES: &[Scope] = &[Scope::LedgerRead];

/// The contract's event types.
const EVENT_TYPES: [&str; 14] = [
    "disbursement",
    "disbursement_settled",
    "accrual",
    "payment_received",
    "payment_allocated",
    "payment_returned",
    "fee_assessed",
    "fee_waived",
    "chargeoff",
    "recovery",
    "refinance",
    "restructure",
    "reversal",
    "manual_adjustment",
];

/// A journal entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    pub(crate) journal_entry_id: String,
    #[schema(value_type = String, example = "payment_received")]
    pub(crate) event_type: &'static str,
    /// The day it counts from.
    #[schema(example = "2026-05-01")]
    pub(crate) effective_at: String,
    /// The day it is booked on.
    #[schema(example = "2026-05-01")]
    pub(crate) booking_date: String,
    #[schema(example = "2026-05-01T12:00:00Z")]
    pub(crate) posted_at: String,
    pub(crate) lines: Vec<LineView>,
    /// The first event of the chain this one belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) correlation_id: Option<String>,
    /// The entry that this one takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reverses_entry_id: Option<String>,
    /// What it was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Payment received by ach")]
    pub(crate) description: Option<String>,
    /// The client that brought it.
    pub(crate) actor: String,
}

/// A line of a journal entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// From 1.
    #[schema(example = 1)]
    pub(crate) sequence: usize,
    #[schema(example = "1010")]
    pub(crate) account_code: String,
    /// For the forms that people read.
    #[serde(skip)]
    pub(crate) account_name: String,
    /// `DR` or `CR`.
    #[schema(value_type = String, example = "DR")]
    pub(crate) direction: &'static str,
    #[schema(example = "88849")]
    pub(crate) amount_minor: String,
    #[schema(example = "USD")]
    pub(crate) currency: String,
    /// `SETTLED`, `PENDING` or `ENCUMBRANCE`.
    #[schema(value_type = String, example = "SETTLED")]
    pub(crate) layer: &'static str,
    pub(crate) loan_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) borrower_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_ref: Option<String>,
}

/// A page of a loan's entries, oldest posting first.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntriesList {
    /// The entries.
    items: Vec<EntryView>,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl EntryView {
    /// The entry of an event; `None` for one that moved nothing.
    pub(crate) fn of_record(record: &EventRecord, chart: &Chart) -> Option<Self> {
        let posting = record.posting.as_ref()?;
        let entry = posting.entry.as_ref()?;
        Some(Self::new(record, posting, (entry, chart)))
    }

    /// The entry of a group: its legs' lines, one after the other; `None` for one that moved nothing.
    fn of_group(parent: &EventRecord, legs: &[EventRecord], chart: &Chart) -> Option<Self> {
        let mut views = legs.iter().filter_map(|leg| {
            let posting = leg.posting.as_ref()?;
            Some((leg, posting, posting.entry.as_ref()?))
        });
        let (first, posting, entry) = views.next()?;
        let mut whole = Self::new(first, posting, (entry, chart));
        for (leg, _, entry) in views {
            let next = whole.lines.len().saturating_add(1);
            whole.lines.extend(lines_of(&leg.event.event.command, (entry, chart), next));
        }
        let event = &parent.event.event;
        whole.posted_at = parent.posting.as_ref()?.posted_at.to_string();
        whole.correlation_id = event.first_of_chain().map(|id| id.to_string());
        whole.reverses_entry_id = taken_back(&event.command).map(|event| event.entry_id().to_string());
        whole.description = description(&event.command);
        Some(whole)
    }

    fn new(record: &EventRecord, posting: &Posting, (entry, chart): (&JournalEntry, &Chart)) -> Self {
        let event = &record.event.event;
        let command = &event.command;
        Self {
            journal_entry_id: event.entry_id().to_string(),
            event_type: posting.event_type(event.kind),
            effective_at: posting.effective_date.to_string(),
            booking_date: posting.booking_date.to_string(),
            posted_at: posting.posted_at.to_string(),
            lines: lines_of(command, (entry, chart), 1),
            correlation_id: event.first_of_chain().map(|id| id.to_string()),
            reverses_entry_id: taken_back(command).map(|event| event.entry_id().to_string()),
            description: description(command),
            actor: event.actor.clone(),
        }
    }
}

/// The lines as they are shown, numbered from `first`. What goes from one loan of a group to another stands on an
/// account of our own between the two, which is not shown.
pub(crate) fn lines_of(command: &Command, (entry, chart): (&JournalEntry, &Chart), first: usize) -> Vec<LineView> {
    let borrower_id = match command {
        Command::Leg(leg) => leg.borrower(),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Servicing(_)
        | Command::Group(_) => Some(command.borrower_id()),
    };
    let shown = entry.lines().iter().filter(|line| line.account != AccountCode::LOAN_TRANSFER_CLEARING);
    let view = |(line, sequence): (&Line, usize)| LineView {
        sequence,
        account_code: chart.code(line.account).to_string(),
        account_name: chart.shown(line.account).map(|shown| shown.name.clone()).unwrap_or_default(),
        direction: line.direction().as_str(),
        amount_minor: line.magnitude().to_string(),
        currency: command.currency().to_string(),
        layer: entry.layer().as_str(),
        loan_id: command.loan_id().to_string(),
        borrower_id: borrower_id.map(|borrower| borrower.to_string()),
        external_ref: command.external_ref().map(str::to_owned),
    };
    shown.zip(first..).map(view).collect()
}

/// The event whose entry it takes back.
fn taken_back(command: &Command) -> Option<EventId> {
    match command {
        Command::PaymentReturn(returned) => returned.undoes().map(|payment| payment.id),
        Command::Servicing(servicing) => servicing.act.takes_back().map(|earlier| earlier.id),
        Command::Group(group) => group.operation.takes_back().map(|reversed| reversed.event.id),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Leg(_) => None,
    }
}

/// A journal entry.
#[utoipa::path(get, path = "/v1/journal-entries/{id}", tag = "ledger", security(("oauth2" = ["hpts:ledger:read"])),
    params(("id" = uuid::Uuid, Path, description = "The entry")),
    responses((status = 200, description = "The entry", body = EntryView),
        (status = 404, description = "No such entry", body = ProblemDocument)))]
pub(crate) async fn get_entry(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    let id = EntryId::parse(&id).ok().and_then(EntryId::event_id).ok_or(ApiError::NotFound)?;
    let record = state.store().event(caller.tenant, id).await?.ok_or(ApiError::NotFound)?;
    let tenant = state.tenants().get(state.store(), caller.tenant, state.now()).await?;
    match record.event.event.command {
        Command::Group(_) => {
            let legs = state.store().legs(caller.tenant, record.event.seq).await?;
            let entry = off_the_runtime(move || EntryView::of_group(&record, &legs, &tenant.chart)).await?;
            let entry = entry.ok_or(ApiError::NotFound)?;
            json_of(move || serde_json::to_vec(&entry)).await
        }
        // Its lines stand in its group's entry.
        Command::Leg(_) => Err(ApiError::NotFound),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::PaymentReturn(_)
        | Command::Servicing(_)
        | Command::Fee(_) => EntryView::of_record(&record, &tenant.chart)
            .map(|entry| Json(entry).into_response())
            .ok_or(ApiError::NotFound),
    }
}

/// A loan's journal entries, in posting order.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/journal-entries", tag = "ledger",
    security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan"),
        ("from_date" = Option<chrono::NaiveDate>, Query, description = "Effective on or after"),
        ("to_date" = Option<chrono::NaiveDate>, Query, description = "Effective on or before"),
        ("event_type" = Option<String>, Query, description = "Of one event type"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = EntriesList),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn list_entries(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<EntriesList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let mut query = Query::of(&uri)?;
    let from = query.optional("from_date", parse_date);
    let to = query.optional("to_date", parse_date);
    let event_type = query.optional("event_type", parse_event_type);
    let limit = query.page_size();
    let date = |date: Option<chrono::NaiveDate>| date.map_or_else(String::new, |date| date.to_string());
    let parts = ["entries", &loan.to_string(), &date(from), &date(to), event_type.unwrap_or("")];
    let paged = PagedQuery::new(caller.tenant, &parts);
    let after_version = query.optional("page_token", |token| paged.place(token)).unwrap_or(0);
    query.finish()?;
    let page = EntriesPage { from, to, event_type: event_type.map(str::to_owned), after_version, limit };
    let key = LoanKey::of_loan(caller.tenant, loan);
    let rows = state.store().loan_entries(caller.tenant, key, page).await?.ok_or(ApiError::NotFound)?;
    let tenant = state.tenants().get(state.store(), caller.tenant, state.now()).await?;
    Ok(Json(entries_list(&rows, limit, (&paged, &tenant.chart))))
}

fn entries_list(rows: &[EventRecord], limit: i64, (paged, chart): (&PagedQuery, &Chart)) -> EntriesList {
    let (shown, last) = cut(rows, limit);
    let version = last.and_then(|record| record.posting.as_ref()?.loan_version);
    EntriesList {
        items: shown.iter().filter_map(|record| EntryView::of_record(record, chart)).collect(),
        next_page_token: version.map(|version| paged.token(version)),
    }
}

fn parse_event_type(word: &str) -> Result<&'static str, &'static str> {
    EVENT_TYPES.into_iter().find(|known| *known == word).ok_or("is not an event type of the contract")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::EventKind;

    #[test]
    fn every_kind_has_an_event_type_of_the_contract() {
        // An upload moves nothing and has no entry; its rows have theirs.
        for kind in EventKind::ALL.into_iter().filter(|kind| *kind != EventKind::Upload) {
            assert!(parse_event_type(kind.event_type()).is_ok(), "{kind:?}");
        }
        assert!(parse_event_type("loan_opened").is_err());
    }
}
