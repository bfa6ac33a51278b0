//! Owns the schemas of late fees and of fees that were refused, for the description only.

use utoipa::ToSchema;

/// What a late fee says was late: all that was due since a day on which nothing was open.
#[derive(Debug, ToSchema)]
#[schema(as = LateFor)]
pub struct LateForSchema {
    /// The first day whose payments count.
    pub period_from: chrono::NaiveDate,
    /// The day it was due.
    pub due_at: chrono::NaiveDate,
    /// How many days after that day it is still on time.
    #[schema(example = 15)]
    pub grace_days: u16,
    /// How much was due from then to `due_at` in all.
    #[schema(example = "100000")]
    pub due_minor: String,
    /// How much came in on time, each payment as a whole and without what went back; where it was looked up.
    #[schema(example = "100000")]
    pub received_minor: Option<String>,
}

/// A late fee that a late item has shown to be for a payment on time. It stays until somebody waives it.
#[derive(Debug, ToSchema)]
#[schema(as = FeeToReview)]
pub struct FeeToReviewSchema {
    /// The fee.
    pub fee_event_id: uuid::Uuid,
    /// What sort of fee.
    #[schema(example = "late")]
    pub fee_code: String,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// What was charged.
    #[schema(example = "2500")]
    pub amount_minor: String,
    /// The payment it was charged for.
    pub late_for: LateForSchema,
}

/// A fee that the loan's program asks for with a return, and that a posting rule refused: the money went back all the same.
#[derive(Debug, ToSchema)]
#[schema(as = RefusedFee)]
pub struct RefusedFeeSchema {
    /// The fee, an event that is rejected.
    pub fee_event_id: uuid::Uuid,
    /// The rule.
    #[schema(example = "loan_closed")]
    pub code: String,
}
