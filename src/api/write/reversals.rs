//! Owns `POST /v1/reversals`.

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::NaiveDate;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ProblemDocument, ReversalAnswer};
use crate::api::state::ApiState;
use crate::api::write::accept::{Asked, GroupRequest, accept_and_answer, accept_group_and_answer};
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{
    Command, EarlierEvent, EventKind, GroupOperation, LegRequest, LegTerms, Metadata, Party, ReversalReason,
    ReversedEntry, Servicing, ServicingAct,
};
use crate::core::ids::{EntryId, TenantId};
use crate::core::ledger::Finished;
use crate::store::EventRecord;

/// An entry to take back.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"reverses_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "reason_code": "error_correction", "reason_description": "posted to the wrong loan",
    "effective_at": "2026-05-20"}))]
pub struct ReversalRequest {
    /// The journal entry.
    pub reverses_entry_id: uuid::Uuid,
    /// `error_correction`, `duplicate`, `borrower_dispute`, `returned`, `fraud` or `other`.
    #[schema(example = "error_correction")]
    pub reason_code: String,
    /// Why, in words: 1 to 255 printable characters.
    #[schema(min_length = 1, max_length = 255)]
    pub reason_description: Option<String>,
    /// The day it is decided, not before the entry's own. The entry is taken back at its own day.
    pub effective_at: NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Takes a journal entry back.
///
/// As a whole, on all its loans, once, and at its own effective date: the entry's mirror, and for a payment the mirror of
/// its current split. Refused with `not_reversible` are reversals and returns, what would leave a balance below zero, a
/// fee that is waived, a charge-off after which something was recovered or returned, and a payment from before a
/// write-off.
#[utoipa::path(post, path = "/v1/reversals", tag = "reversals", security(("oauth2" = ["hpts:reversals:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended reversal, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = ReversalRequest,
    responses((status = 201, description = "Posted", body = ReversalAnswer),
        (status = 200, description = "The first answer to this key again", body = ReversalAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 404, description = "No such entry", body = ProblemDocument),
        (status = 409, description = "The entry was taken back before, or the first request with this key is \
            unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_reversal(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::ReversalsWrite]).await?;
    let asked = request.parsed_by_rules(&state, parse_reversal).await?;
    match asked.asked(&state, request.caller.tenant).await? {
        Asked::OfGroup(group) => accept_group_and_answer(&state, request, group).await,
        Asked::OfLoan(command) => accept_and_answer(&state, request, command).await,
    }
}

/// A reversal that a body asks for.
pub(crate) struct AskedReversal {
    entry_id: EntryId,
    reason_code: ReversalReason,
    reason_description: Option<String>,
    effective_date: NaiveDate,
    metadata: Option<Metadata>,
}

pub(crate) fn parse_reversal(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<AskedReversal> {
    let entry_id = fields.required("reverses_entry_id", EntryId::parse);
    let reason_code = fields.required("reason_code", str::parse::<ReversalReason>);
    let reason_description = fields.reference("reason_description");
    let effective_date = fields.date_until("effective_at", rules.latest_effective);
    let metadata = fields.metadata();
    Some(AskedReversal {
        entry_id: entry_id?,
        reason_code: reason_code?,
        reason_description,
        effective_date: effective_date?,
        metadata,
    })
}

impl AskedReversal {
    /// What takes the entry back.
    ///
    /// # Errors
    /// There is no such entry, it is a reversal or a leg's, or the store is away.
    pub(crate) async fn asked(self, state: &ApiState, tenant: TenantId) -> Result<Asked, ApiError> {
        let record = entry(state, tenant, self.entry_id).await?;
        if matches!(record.event.event.command, Command::Group(_)) {
            return group_reversal(state, self, &record).await.map(Asked::OfGroup);
        }
        // An entry of several loans is taken back on all of them or on none, which a reversal of one loan cannot do.
        if record.event.event.origin.group.is_some() {
            return Err(ApiError::NotReversible);
        }
        reversal(self, &record).map(Asked::OfLoan)
    }
}

/// The event of a posted entry.
async fn entry(state: &ApiState, tenant: TenantId, id: EntryId) -> Result<EventRecord, ApiError> {
    let id = id.event_id().ok_or(ApiError::NotFound)?;
    let record = state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)?;
    let finished = record.posting.as_ref().map(|posting| Finished::of(&record.event.event, posting));
    let has_entry = finished.is_some_and(|finished| finished.has_entry);
    if has_entry { Ok(record) } else { Err(ApiError::NotFound) }
}

/// An entry of several loans is taken back on all of them or on none: leg by leg.
async fn group_reversal(
    state: &ApiState,
    asked: AskedReversal,
    record: &EventRecord,
) -> Result<GroupRequest, ApiError> {
    let event = &record.event.event;
    if event.kind == EventKind::Reversal {
        return Err(ApiError::NotReversible);
    }
    let legs = state.store().legs(event.tenant, record.event.seq).await?;
    let legs = legs.iter().map(leg_reversal).collect::<Option<Vec<_>>>();
    let legs = legs.ok_or(ApiError::Broken("a posted group has a leg without a posting"))?;
    let (effective_date, metadata) = (asked.effective_date, asked.metadata.clone());
    let operation = GroupOperation::Reversal(reversed(asked, record)?);
    Ok(GroupRequest { operation, currency: event.command.currency(), effective_date, metadata, legs })
}

fn leg_reversal(record: &EventRecord) -> Option<LegRequest> {
    let (event, posting) = (&record.event.event, record.posting.as_ref()?);
    let Command::Leg(leg) = &event.command else { return None };
    let earlier = EarlierEvent { id: event.id, seq: record.event.seq };
    Some(LegRequest {
        loan_id: leg.loan_id,
        borrower_id: leg.borrower(),
        effective_date: posting.effective_date,
        terms: LegTerms::Reversal { leg: earlier, restates: posting.restates_seq },
    })
}

fn reversal(asked: AskedReversal, record: &EventRecord) -> Result<Command, ApiError> {
    let event = &record.event.event;
    let (effective_date, metadata) = (asked.effective_date, asked.metadata.clone());
    Ok(Command::Servicing(Servicing {
        loan_id: event.command.loan_id(),
        party: Party { borrower_id: event.command.borrower_id(), currency: event.command.currency() },
        amount: None,
        effective_date,
        metadata,
        act: ServicingAct::Reversal(reversed(asked, record)?),
    }))
}

/// The entry that is taken back, and why.
fn reversed(asked: AskedReversal, record: &EventRecord) -> Result<ReversedEntry, ApiError> {
    let event = &record.event.event;
    let entry_date = record.posting.as_ref().ok_or(ApiError::NotFound)?.effective_date;
    if asked.effective_date < entry_date {
        let message = format!("must not be before {entry_date}, the day of the entry");
        return Err(ApiError::field("effective_at", "before_entry", message));
    }
    Ok(ReversedEntry {
        event: EarlierEvent { id: event.id, seq: record.event.seq },
        kind: event.kind,
        effective_date: entry_date,
        correlation_id: event.first_of_chain().unwrap_or(event.id),
        reason_code: asked.reason_code,
        reason_description: asked.reason_description,
    })
}
