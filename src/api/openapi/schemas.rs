//! Owns the schemas of answers that the domain or a table makes, for the description only.

use utoipa::ToSchema;

use crate::api::problem::FieldError;

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
    /// The fee's event, if there is a fee.
    pub fee_event_id: Option<uuid::Uuid>,
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

/// A write that is accepted and not finished. The id stands under the name of its 201.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "status": "accepted",
    "accepted_at": "2026-05-01T12:00:00Z"}))]
pub struct AcceptedView {
    /// The payment, if it is one.
    pub payment_event_id: Option<uuid::Uuid>,
    /// The disbursement, if it is one.
    pub disbursement_event_id: Option<uuid::Uuid>,
    /// The loan's registration, if it is one.
    pub loan_event_id: Option<uuid::Uuid>,
    /// The return, if it is one.
    pub payment_returned_event_id: Option<uuid::Uuid>,
    /// `accepted`.
    #[schema(example = "accepted")]
    pub status: String,
    /// When it became durable.
    pub accepted_at: chrono::DateTime<chrono::Utc>,
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
