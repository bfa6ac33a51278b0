//! Owns a statement as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use super::totals::StatementTotals;
use crate::api::error::ApiError;
use crate::api::read::description::description;
use crate::core::event::SourceMethod;
use crate::core::ledger::Posting;
use crate::core::loan::Balances;
use crate::core::money::AmountOverflow;
use crate::store::StatementRecord;

/// A loan's statement. Opening balances plus the rows of all pages are the closing balances, in every bucket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "currency": "USD",
    "from_date": "2026-05-01", "to_date": "2026-05-31", "loan_version": 2,
    "opening": {"fees_receivable_minor": "500", "interest_receivable_minor": "10000",
        "principal_outstanding_minor": "1000000", "total_exposure_minor": "1010500", "suspense_minor": "0"},
    "rows": [{"effective_at": "2026-05-01", "booking_date": "2026-05-01", "posted_at": "2026-05-01T12:00:00Z",
        "loan_version": 2, "event_type": "payment_received", "event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
        "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "description": "Payment received by ach",
        "amount_minor": "88849",
        "moved": {"fees_minor": "-500", "interest_minor": "-10000", "principal_minor": "-78349",
            "suspense_minor": "0"},
        "balances": {"fees_receivable_minor": "0", "interest_receivable_minor": "0",
            "principal_outstanding_minor": "921651", "total_exposure_minor": "921651", "suspense_minor": "0"},
        "source_method": "ach", "external_ref": "stripe_ch_xyz123",
        "idempotency_key": "payment:loan_42:proc_txn_abc123", "actor": "demo"}],
    "closing": {"fees_receivable_minor": "0", "interest_receivable_minor": "0",
        "principal_outstanding_minor": "921651", "total_exposure_minor": "921651", "suspense_minor": "0"},
    "period": {"from_date": "2026-05-01", "to_date": "2026-05-31", "payments": {"received_minor": "88849",
        "returned_minor": "0", "fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349",
        "suspense_minor": "0"}, "by_event_type": [{"event_type": "payment_received", "count": 1,
        "fees_minor": "-500", "interest_minor": "-10000", "principal_minor": "-78349", "suspense_minor": "0"}]},
    "year_to_date": {"from_date": "2026-01-01", "to_date": "2026-05-31", "payments": {"received_minor": "88849",
        "returned_minor": "0", "fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349",
        "suspense_minor": "0"}, "by_event_type": []}}))]
pub struct StatementView {
    pub(super) loan_id: String,
    pub(super) currency: String,
    pub(super) from_date: String,
    pub(super) to_date: String,
    /// How many postings of the loan are known to it; what is posted later is on another statement.
    pub(super) loan_version: i64,
    /// Before the first day.
    pub(super) opening: BalancesView,
    /// Entries by effective date, on one day in posting order.
    pub(super) rows: Vec<StatementRow>,
    /// After the last day.
    pub(super) closing: BalancesView,
    /// The totals of these days; `closing.suspense_minor` is what is in suspense now.
    pub(super) period: StatementTotals,
    /// The totals from 1 January of the last day's year.
    pub(super) year_to_date: StatementTotals,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page_token: Option<String>,
}

/// What a loan owes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BalancesView {
    /// Unpaid fees.
    pub fees_receivable_minor: String,
    /// Accrued, unpaid interest.
    pub interest_receivable_minor: String,
    /// Principal outstanding.
    pub principal_outstanding_minor: String,
    /// The three together.
    pub total_exposure_minor: String,
    /// Money received and not yet applied.
    pub suspense_minor: String,
}

impl BalancesView {
    /// Shows balances.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the exposure leaves 64 bits, which posting keeps from happening.
    pub(crate) fn of(balances: &Balances) -> Result<Self, AmountOverflow> {
        Ok(Self {
            fees_receivable_minor: balances.fees.to_string(),
            interest_receivable_minor: balances.interest.to_string(),
            principal_outstanding_minor: balances.principal.to_string(),
            total_exposure_minor: balances.exposure()?.to_string(),
            suspense_minor: balances.suspense.to_string(),
        })
    }
}

/// What an entry moved: signed, debts and suspense grow with positive amounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct MovedView {
    /// Of fees.
    pub fees_minor: String,
    /// Of interest.
    pub interest_minor: String,
    /// Of principal.
    pub principal_minor: String,
    /// Of suspense.
    pub suspense_minor: String,
}

impl MovedView {
    /// Shows a movement.
    pub(crate) fn of(moved: &Balances) -> Self {
        Self {
            fees_minor: moved.fees.to_string(),
            interest_minor: moved.interest.to_string(),
            principal_minor: moved.principal.to_string(),
            suspense_minor: moved.suspense.to_string(),
        }
    }
}

/// An entry on a statement. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementRow {
    /// The day it counts from.
    pub(super) effective_at: String,
    /// The day it is booked on.
    pub(super) booking_date: String,
    pub(super) posted_at: String,
    /// Its place in the loan's order of posting.
    pub(super) loan_version: i64,
    #[schema(value_type = String)]
    pub(super) event_type: &'static str,
    pub(super) event_id: String,
    pub(super) journal_entry_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The amount of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amount_minor: Option<String>,
    pub(super) moved: MovedView,
    /// The balances after it.
    pub(super) balances: BalancesView,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) source_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idempotency_key: Option<String>,
    /// The upload it came with, and its row there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) row: Option<i64>,
    /// The client that brought it.
    pub(super) actor: String,
    /// The entry that it takes back or divides anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrects_entry_id: Option<String>,
    /// The entry that took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrected_by_entry_id: Option<String>,
    /// `returned` or `reversed`, where an entry took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) status: Option<&'static str>,
}

impl StatementRow {
    pub(super) fn new(
        row: &StatementRecord,
        posting: &Posting,
        (moved, balances): (&Balances, &Balances),
    ) -> Result<Self, ApiError> {
        let event = &row.record.event.event;
        let command = &event.command;
        let undone_by = row.record.progress.undone_by;
        let batch = event.origin.batch;
        Ok(Self {
            effective_at: posting.effective_date.to_string(),
            booking_date: posting.booking_date.to_string(),
            posted_at: posting.posted_at.to_string(),
            loan_version: posting.loan_version.ok_or(ApiError::Broken("a posted entry has no version"))?,
            event_type: posting.event_type(event.kind),
            event_id: event.id.to_string(),
            journal_entry_id: event.id.entry_id().to_string(),
            description: description(command),
            amount_minor: command.amount().map(|amount| amount.to_string()),
            moved: MovedView::of(moved),
            balances: BalancesView::of(balances).map_err(super::broken)?,
            source_method: command.source_method().map(SourceMethod::as_str),
            external_ref: command.external_ref().map(str::to_owned),
            idempotency_key: event.key.as_ref().map(|key| key.as_str().to_owned()),
            batch_id: batch.map(|(batch, _)| batch.to_string()),
            row: batch.map(|(_, row)| row),
            actor: event.actor.clone(),
            corrects_entry_id: row.corrects.map(|corrected| corrected.id.entry_id().to_string()),
            corrected_by_entry_id: undone_by.map(|undoing| undoing.id.entry_id().to_string()),
            status: undone_by.map(|undoing| undoing.kind.undone_status()),
        })
    }
}
