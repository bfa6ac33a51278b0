//! Owns the schemas of answers that the domain or a table makes, for the description only.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::openapi::{FeeToReviewSchema, RefusedFeeSchema};
use crate::api::problem::FieldError;
use crate::core::event::NamedId;

/// How a payment was divided.
#[derive(Debug, ToSchema)]
#[schema(as = Allocation)]
pub struct AllocationSchema {
    /// Paid on fees.
    #[schema(example = "500")]
    pub fees_minor: String,
    /// Paid on interest.
    #[schema(example = "10000")]
    pub interest_minor: String,
    /// Paid on principal.
    #[schema(example = "78349")]
    pub principal_minor: String,
    /// Kept in suspense.
    #[schema(example = "0")]
    pub suspense_minor: String,
}

/// An earlier event that does something else now, because of a late one.
#[derive(Debug, ToSchema)]
#[schema(as = Restated)]
pub struct RestatedSchema {
    /// The event.
    pub event_id: uuid::Uuid,
    /// Its type.
    #[schema(example = "payment_received")]
    pub event_type: String,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// The event that states it anew. A preview has none.
    pub restated_by_event_id: Option<uuid::Uuid>,
    /// The journal entry of the difference. A preview has its lines instead.
    pub journal_entry_id: Option<uuid::Uuid>,
    /// How its money was divided, where it divides money; of an accrual, the interest of its days.
    pub allocation_before: Option<AllocationSchema>,
    /// How its money is divided now; of an accrual, the interest of its days.
    pub allocation: Option<AllocationSchema>,
    /// Of a preview: the lines of the difference.
    pub lines: Option<Vec<crate::api::read::entries::LineView>>,
}

/// A posted payment.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "allocation": {"fees_minor": "500",
    "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"},
    "posted_at": "2026-05-01T12:00:00Z"}))]
pub struct PaymentAnswer {
    /// The payment.
    pub payment_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// Its split; the parts add up to the payment.
    pub allocation: AllocationSchema,
    /// The earlier events that do something else now; only where the payment came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// The late fees that it has shown to be for payments on time; only where the payment came late.
    pub fees_to_review: Option<Vec<FeeToReviewSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A posted return.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"payment_returned_event_id": "cccccccc-cccc-cccc-cccc-cccccccccccc",
    "journal_entry_id": "dddddddd-dddd-dddd-dddd-dddddddddddd",
    "fee_event_id": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee", "posted_at": "2026-05-04T12:00:00Z"}))]
pub struct ReturnAnswer {
    /// The return.
    pub payment_returned_event_id: uuid::Uuid,
    /// Its journal entry: the mirror of the payment's split as it stood.
    pub journal_entry_id: uuid::Uuid,
    /// The fee's event, if it was charged with a fee.
    pub fee_event_id: Option<uuid::Uuid>,
    /// The rule that refused it, where only the loan's program asks for a fee.
    pub fee_refused: Option<RefusedFeeSchema>,
    /// The later events that do something else now.
    pub restated: Option<Vec<RestatedSchema>>,
    /// The late fees that are owed again, though their payments were on time: what went back had paid what a waiver gave
    /// back.
    pub fees_to_review: Option<Vec<FeeToReviewSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A posted disbursement.
#[derive(Debug, ToSchema)]
pub struct DisbursementAnswer {
    /// The disbursement.
    pub disbursement_event_id: uuid::Uuid,
    /// Its journal entry.
    pub journal_entry_id: uuid::Uuid,
    /// The later events that do something else now; only where it came late.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A posted accrual batch.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"accrual_event_id": "cccccccc-cccc-cccc-cccc-cccccccccccc",
    "journal_entry_id": "dddddddd-dddd-dddd-dddd-dddddddddddd", "loan_count": 1, "total_accrued_minor": "252",
    "posted_at": "2026-05-01T12:00:00Z"}))]
pub struct AccrualAnswer {
    /// The batch.
    pub accrual_event_id: uuid::Uuid,
    /// Its journal entry, over all loans; absent where all interest is 0.
    pub journal_entry_id: Option<uuid::Uuid>,
    /// How many loans it concerns.
    pub loan_count: u32,
    /// The interest of all of them.
    pub total_accrued_minor: String,
    /// The later events that do something else now; only where it came late, and is over at most 16 loans.
    pub restated: Option<Vec<RestatedSchema>>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// A registered loan.
#[derive(Debug, ToSchema)]
pub struct LoanAnswer {
    /// The registration.
    pub loan_event_id: uuid::Uuid,
    /// The entry of its opening balances, if it has any.
    pub journal_entry_id: Option<uuid::Uuid>,
    /// When it was posted.
    pub posted_at: chrono::DateTime<chrono::Utc>,
}

/// The id of an event, under the name of its kind: one of these.
#[derive(Debug, ToSchema)]
pub struct EventIds {
    /// If it is a payment.
    pub payment_event_id: Option<uuid::Uuid>,
    /// If it is a disbursement.
    pub disbursement_event_id: Option<uuid::Uuid>,
    /// If it is a disbursement's settlement.
    pub disbursement_settled_event_id: Option<uuid::Uuid>,
    /// If it is a loan's registration.
    pub loan_event_id: Option<uuid::Uuid>,
    /// If it is an accrual.
    pub accrual_event_id: Option<uuid::Uuid>,
    /// If it is a payment's return.
    pub payment_returned_event_id: Option<uuid::Uuid>,
    /// If it is a fee.
    pub fee_event_id: Option<uuid::Uuid>,
    /// If it is a waiver.
    pub fee_waived_event_id: Option<uuid::Uuid>,
    /// If it is an application of suspense.
    pub suspense_applied_event_id: Option<uuid::Uuid>,
    /// If it is a refund of suspense.
    pub suspense_refunded_event_id: Option<uuid::Uuid>,
    /// If it is a transfer of suspense.
    pub suspense_transferred_event_id: Option<uuid::Uuid>,
    /// If it is a receipt's assignment.
    pub receipt_assigned_event_id: Option<uuid::Uuid>,
    /// If it is a charge-off.
    pub chargeoff_event_id: Option<uuid::Uuid>,
    /// If it is a recovery.
    pub recovery_event_id: Option<uuid::Uuid>,
    /// If it is a refinance.
    pub refinance_event_id: Option<uuid::Uuid>,
    /// If it is a restructure.
    pub restructure_event_id: Option<uuid::Uuid>,
    /// If it is a reversal.
    pub reversal_event_id: Option<uuid::Uuid>,
    /// If it is a manual adjustment.
    pub manual_adjustment_event_id: Option<uuid::Uuid>,
    /// If it is a new split of a payment.
    pub event_id: Option<uuid::Uuid>,
    /// If it is an upload.
    pub batch_id: Option<uuid::Uuid>,
}

/// A write that is accepted and not finished. The id stands under the name of its 201.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "status": "accepted",
    "accepted_at": "2026-05-01T12:00:00Z"}))]
pub struct AcceptedView {
    /// Its id.
    #[serde(flatten)]
    #[schema(value_type = EventIds)]
    pub id: NamedId,
    /// `accepted`.
    #[schema(value_type = String, example = "accepted")]
    pub status: &'static str,
    /// When it became durable.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub accepted_at: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, ToSchema)]
#[schema(as = Problem, example = json!({"type": "/problems/validation_failed",
    "title": "Fields are missing or not valid", "status": 422, "detail": "not valid: amount_minor",
    "instance": "/v1/payments", "code": "validation_failed", "request_id": "0198f2d0a1b27c3d-2a",
    "retryable": false, "errors": [{"field": "amount_minor", "code": "wrong_type",
    "message": "must be a string"}]}))]
pub struct ProblemDocument {
    /// `/problems/{code}`, which explains the code.
    #[schema(rename = "type")]
    pub problem_type: String,
    /// One line.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// The path it happened at.
    pub instance: Option<String>,
    /// The code; the list is closed.
    pub code: String,
    /// The request, as in the logs.
    pub request_id: Option<String>,
    /// Whether the same request, unchanged, may succeed later.
    pub retryable: bool,
    /// The fields that fail, all of them.
    pub errors: Option<Vec<FieldError>>,
}
