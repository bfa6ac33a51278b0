//! Owns a change as callers see it, alone and in a page.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::changes::cursor::cursor_of;
use crate::api::openapi::AllocationSchema;
use crate::core::event::NamedId;
use crate::core::ids::TenantId;
use crate::core::ledger::{AllocationView, RejectionCode};
use crate::store::{Change, ChangePlace};

/// What became of an event. Members without a value are left out.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView<'a> {
    #[serde(flatten)]
    id: NamedId,
    status: &'static str,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal_entry_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<String>,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation: Option<AllocationView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    effective_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    posted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undoes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restates: Option<String>,
}

impl<'a> ChangeView<'a> {
    /// The view of a change.
    pub(crate) fn of(change: &'a Change) -> Self {
        let rejection = change.outcome.rejection();
        let at = change.posted_at.to_string();
        let (posted_at, rejected_at) = if rejection.is_none() { (Some(at), None) } else { (None, Some(at)) };
        Self {
            id: NamedId { kind: change.kind, id: change.event_id },
            status: change.outcome.as_str(),
            event_type: change.event_type(),
            loan_id: change.loan_id.map(|loan| loan.to_string()),
            loan_version: change.loan_version,
            journal_entry_id: change.has_entry.then(|| change.event_id.entry_id().to_string()),
            amount_minor: change.amount.map(|amount| amount.to_string()),
            currency: change.currency.code(),
            allocation: change.allocation.as_ref().map(AllocationView::from),
            code: rejection.map(RejectionCode::as_str),
            idempotency_key: change.key.as_deref(),
            batch_id: change.batch.map(|batch| batch.to_string()),
            effective_at: change.effective_date.to_string(),
            posted_at,
            rejected_at,
            undoes: change.undoes.map(|(id, _)| id.to_string()),
            restates: change.restates.map(|id| id.to_string()),
        }
    }
}

/// A page of changes as it is sent.
#[derive(Debug, Serialize)]
struct PageView<'a> {
    items: Vec<ChangeView<'a>>,
    next_cursor: String,
    has_more: bool,
}

/// The JSON of the page after a place; `changes` has one more than `limit` where there is one.
pub(crate) fn changes_page(
    tenant: TenantId,
    after: ChangePlace,
    changes: &[Change],
    limit: usize,
) -> serde_json::Result<Vec<u8>> {
    let shown = changes.get(..limit).unwrap_or(changes);
    let end = shown.last().map_or(after, |last| last.place);
    serde_json::to_vec(&PageView {
        items: shown.iter().map(ChangeView::of).collect(),
        next_cursor: cursor_of(tenant, end),
        has_more: changes.len() > shown.len(),
    })
}

/// What became of an event: it is posted or rejected, and stays so. What undoes a payment later is a change of its own.
#[derive(Debug, ToSchema)]
#[schema(as = Change, example = json!({"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "status": "posted",
    "event_type": "payment_received", "loan_id": "11111111-1111-1111-1111-111111111111", "loan_version": 2,
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "amount_minor": "88849", "currency": "USD",
    "allocation": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349",
    "suspense_minor": "0"}, "idempotency_key": "payment:loan_42:proc_txn_abc123", "effective_at": "2026-05-01",
    "posted_at": "2026-05-01T12:00:00Z"}))]
pub struct ChangeSchema {
    /// Its id, if it is a payment; other kinds have theirs under the name of their 201.
    pub payment_event_id: Option<uuid::Uuid>,
    /// Its id, if it is a disbursement.
    pub disbursement_event_id: Option<uuid::Uuid>,
    /// Its id, if it is a loan's registration.
    pub loan_event_id: Option<uuid::Uuid>,
    /// Its id, if it is a consequence.
    pub event_id: Option<uuid::Uuid>,
    /// `posted` or `rejected`.
    pub status: String,
    /// Its event type.
    pub event_type: String,
    /// Its loan; absent for what concerns several: each of them has a change of its own.
    pub loan_id: Option<uuid::Uuid>,
    /// Its place in the loan's order, from 1 without a gap: the order inside a loan, which the feed's is not. Absent
    /// where the loan does not exist.
    pub loan_version: Option<i64>,
    /// Its journal entry, if it moved money; of what concerns several loans that of all of them.
    pub journal_entry_id: Option<uuid::Uuid>,
    /// Its amount, if it has one.
    pub amount_minor: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// The split of a payment as posted.
    #[schema(value_type = Option<AllocationSchema>)]
    pub allocation: Option<AllocationSchema>,
    /// Why a posting rule refused it; see `/problems/{code}`.
    pub code: Option<String>,
    /// The caller's key; absent for consequences.
    pub idempotency_key: Option<String>,
    /// The upload it came with.
    pub batch_id: Option<uuid::Uuid>,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// When it was posted.
    pub posted_at: Option<chrono::DateTime<chrono::Utc>>,
    /// When it was rejected.
    pub rejected_at: Option<chrono::DateTime<chrono::Utc>>,
    /// The event that it undoes.
    pub undoes: Option<uuid::Uuid>,
    /// The payment whose split it states anew.
    pub restates: Option<uuid::Uuid>,
}

/// Changes in the feed's order.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"items": [{"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "status": "rejected", "event_type": "payment_received", "loan_id": "11111111-1111-1111-1111-111111111111",
    "amount_minor": "88849", "currency": "USD", "code": "loan_not_found",
    "idempotency_key": "payment:loan_42:proc_txn_abc123", "effective_at": "2026-05-01",
    "rejected_at": "2026-05-01T12:00:00Z"}], "next_cursor": "AAAAAQAAAAAAAAMgAAAAAXD8mmsC7fIm", "has_more": false}))]
pub struct ChangesPage {
    /// The changes; empty where there is nothing new.
    pub items: Vec<ChangeSchema>,
    /// Where to go on from; there also when nothing is new.
    pub next_cursor: String,
    /// Whether there is more already.
    pub has_more: bool,
}
