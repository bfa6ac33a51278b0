//! Owns the problem codes. The list is closed: a new case needs a variant, a row in [`rows`](super::rows), and a row
//! in the contract.

use crate::api::problem::rows::{NO_ROW, ROWS, Retryable, Row};
use crate::core::ledger::RejectionCode;

/// What sort of problem it is: the last part of its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemCode {
    /// `malformed_json`
    MalformedJson,
    /// `invalid_request`
    InvalidRequest,
    /// `idempotency_key_missing`
    IdempotencyKeyMissing,
    /// `idempotency_key_invalid`
    IdempotencyKeyInvalid,
    /// `invalid_parameter`
    InvalidParameter,
    /// `unauthenticated`
    Unauthenticated,
    /// `token_expired`
    TokenExpired,
    /// `insufficient_scope`
    InsufficientScope,
    /// `tenant_unknown`
    TenantUnknown,
    /// `not_found`
    NotFound,
    /// `method_not_allowed`
    MethodNotAllowed,
    /// `not_acceptable`
    NotAcceptable,
    /// `request_timeout`
    RequestTimeout,
    /// `idempotency_in_progress`
    IdempotencyInProgress,
    /// `already_undone`
    AlreadyUndone,
    /// `already_resolved`
    AlreadyResolved,
    /// `duplicate_file`
    DuplicateFile,
    /// `payload_too_large`
    PayloadTooLarge,
    /// `uri_too_long`
    UriTooLong,
    /// `unsupported_media_type`
    UnsupportedMediaType,
    /// `validation_failed`
    ValidationFailed,
    /// `idempotency_mismatch`
    IdempotencyMismatch,
    /// `invalid_file`
    InvalidFile,
    /// `line_too_long`
    LineTooLong,
    /// `batch_too_large`
    BatchTooLarge,
    /// `loan_not_found`
    LoanNotFound,
    /// `borrower_mismatch`
    BorrowerMismatch,
    /// `currency_mismatch`
    CurrencyMismatch,
    /// `loan_closed`
    LoanClosed,
    /// `loan_exists`
    LoanExists,
    /// `effective_before_opening`
    EffectiveBeforeOpening,
    /// `loan_on_hold`
    LoanOnHold,
    /// `not_reversible`
    NotReversible,
    /// `insufficient_balance`
    InsufficientBalance,
    /// `not_postable`
    NotPostable,
    /// `no_preview`
    NoPreview,
    /// `amount_overflow`
    AmountOverflow,
    /// `limit_exceeded`
    LimitExceeded,
    /// `period_closed`
    PeriodClosed,
    /// `principal_mismatch`
    PrincipalMismatch,
    /// `paid_on_time`
    PaidOnTime,
    /// `discarded`
    Discarded,
    /// `rate_limited`
    RateLimited,
    /// `headers_too_large`
    HeadersTooLarge,
    /// `internal`
    Internal,
    /// `overloaded`
    Overloaded,
    /// `database_unavailable`
    DatabaseUnavailable,
    /// `broker_unavailable`
    BrokerUnavailable,
}

impl ProblemCode {
    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.code)
    }

    /// The code of a name; `None` for a name that is not on the list.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.code)
    }

    /// Its name, as in `code` and at the end of `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// One line for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// Whether the same request, unchanged, may succeed later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.row().retryable == Retryable::Yes
    }

    /// What it means and what to do about it.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        self.row().explanation
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.code == self).unwrap_or(&NO_ROW)
    }
}

impl From<RejectionCode> for ProblemCode {
    fn from(code: RejectionCode) -> Self {
        match code {
            RejectionCode::LoanNotFound => Self::LoanNotFound,
            RejectionCode::BorrowerMismatch => Self::BorrowerMismatch,
            RejectionCode::CurrencyMismatch => Self::CurrencyMismatch,
            RejectionCode::LoanClosed => Self::LoanClosed,
            RejectionCode::LoanExists => Self::LoanExists,
            RejectionCode::EffectiveBeforeOpening => Self::EffectiveBeforeOpening,
            RejectionCode::AlreadyUndone => Self::AlreadyUndone,
            RejectionCode::NotReversible => Self::NotReversible,
            RejectionCode::InsufficientBalance => Self::InsufficientBalance,
            RejectionCode::LoanOnHold => Self::LoanOnHold,
            RejectionCode::AmountOverflow => Self::AmountOverflow,
            RejectionCode::LimitExceeded => Self::LimitExceeded,
            RejectionCode::PeriodClosed => Self::PeriodClosed,
            RejectionCode::PrincipalMismatch => Self::PrincipalMismatch,
            RejectionCode::PaidOnTime => Self::PaidOnTime,
            RejectionCode::Discarded => Self::Discarded,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_is_complete_and_each_code_is_on_it_once() {
        let names: HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        assert!(ROWS.is_sorted_by(|a, b| a.code < b.code), "rows stand in the order of the variants");
        assert_eq!(ROWS.last().unwrap().code, ProblemCode::BrokerUnavailable);
        for row in &ROWS {
            assert_eq!(ProblemCode::parse(row.name), Some(row.code));
            assert!((400..=503).contains(&row.status) && !row.title.is_empty() && !row.explanation.is_empty());
            assert!(!row.title.ends_with('.'), "{}", row.title);
        }
    }

    #[test]
    fn every_rejection_of_a_posting_rule_has_its_code() {
        for rejection in RejectionCode::ALL {
            assert_eq!(ProblemCode::from(rejection).name(), rejection.as_str());
            // What was undone before is a conflict with another request, not a fault of this one.
            let expected = if rejection == RejectionCode::AlreadyUndone { 409 } else { 422 };
            assert_eq!(ProblemCode::from(rejection).status(), expected);
        }
    }
}
