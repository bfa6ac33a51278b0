//! Owns the schemas of the answers of operations on one loan, for the description only.

use utoipa::ToSchema;

use crate::api::openapi::{AllocationSchema, FeeToReviewSchema, RestatedSchema};

/// A charged fee.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"fee_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct FeeAnswer {
    /// The fee.
    pub fee_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A forgiven fee.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"fee_waived_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "fee_event_id": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct FeeWaiverAnswer {
    /// The waiver.
    pub fee_waived_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// The fee that it names, where it names one.
    pub fee_event_id: Option<uuid::Uuid>,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// Suspense applied.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"suspense_applied_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "allocation": {"fees_minor": "500",
    "interest_minor": "1000", "principal_minor": "3500", "suspense_minor": "0"}, "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct SuspenseApplicationAnswer {
    /// The application.
    pub suspense_applied_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// What was paid with it.
    pub allocation: AllocationSchema,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// Suspense given back.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"suspense_refunded_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct SuspenseRefundAnswer {
    /// The refund.
    pub suspense_refunded_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// Lines written by hand.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"manual_adjustment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct AdjustmentAnswer {
    /// The adjustment.
    pub manual_adjustment_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A settled disbursement.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"disbursement_settled_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct SettlementAnswer {
    /// The settlement.
    pub disbursement_settled_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A loan charged off.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"chargeoff_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct ChargeoffAnswer {
    /// The charge-off.
    pub chargeoff_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A posted recovery.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"recovery_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "allocation": {"fees_minor": "500",
    "interest_minor": "1000", "principal_minor": "3500", "suspense_minor": "0"}, "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct RecoveryAnswer {
    /// The recovery.
    pub recovery_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// What was paid with it.
    pub allocation: AllocationSchema,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// An entry taken back.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "reverses_entry_id": "dddddddd-dddd-dddd-dddd-dddddddddddd", "posted_at": "2026-05-20T12:00:00Z",
    "correlation_id": "cccccccc-cccc-cccc-cccc-cccccccccccc"}))]
pub struct ReversalAnswer {
    /// The reversal's journal entry; its event has the same id with the last bit clear.
    pub journal_entry_id: uuid::Uuid,
    /// The entry it takes back.
    pub reverses_entry_id: uuid::Uuid,
    /// The later events that do something else now.
    pub restated: Option<Vec<RestatedSchema>>,
    /// The late fees that it has put up for review, since their payments were on time.
    pub fees_to_review: Option<Vec<FeeToReviewSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
    /// The first event of the chain: as a rule that of the entry.
    pub correlation_id: uuid::Uuid,
}

/// Suspense moved to another loan.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"suspense_transferred_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "amount_minor": "5000", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct SuspenseTransferAnswer {
    /// The transfer.
    pub suspense_transferred_event_id: uuid::Uuid,
    /// Its journal entry, over all its loans.
    pub journal_entry_id: uuid::Uuid,
    /// How much was moved.
    pub amount_minor: String,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// The late fees that it has shown to be for payments on time; only where it came late.
    pub fees_to_review: Option<Vec<FeeToReviewSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A receipt that found its loan.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"receipt_assigned_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "allocation": {"fees_minor": "500", "interest_minor": "1000", "principal_minor": "3500", "suspense_minor": "0"}, "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct ReceiptAssignmentAnswer {
    /// The assignment.
    pub receipt_assigned_event_id: uuid::Uuid,
    /// Its journal entry, over all its loans.
    pub journal_entry_id: uuid::Uuid,
    /// What was paid with it.
    pub allocation: AllocationSchema,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// The late fees that it has shown to be for payments on time; only where it came late.
    pub fees_to_review: Option<Vec<FeeToReviewSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A loan paid off by another.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"refinance_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct RefinanceAnswer {
    /// The refinance.
    pub refinance_event_id: uuid::Uuid,
    /// Its journal entry, over all its loans.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// What is owed, set up anew.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"restructure_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": "2026-05-20T12:00:00Z"}))]
pub struct RestructureAnswer {
    /// The restructure.
    pub restructure_event_id: uuid::Uuid,
    /// Its journal entry, over all its loans.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}
