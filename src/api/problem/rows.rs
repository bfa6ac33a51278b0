//! Owns what each problem code says: status, title, explanation.

use crate::api::problem::code::ProblemCode;

/// One row of the list.
pub(super) struct Row {
    pub(super) code: ProblemCode,
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) title: &'static str,
    /// Whether the same request, unchanged, may succeed later.
    pub(super) retryable: Retryable,
    pub(super) explanation: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retryable {
    Yes,
    No,
}

/// The list, in order of the variants.
pub(super) const ROWS: [Row; 48] = [
    Row {
        code: ProblemCode::MalformedJson,
        name: "malformed_json",
        status: 400,
        title: "The body is not JSON",
        retryable: Retryable::No,
        explanation: "The body could not be read as one JSON document in UTF-8. Check for truncation, trailing \
            commas, comments, a byte order mark, lone surrogates, or nesting deeper than 128 levels.",
    },
    Row {
        code: ProblemCode::InvalidRequest,
        name: "invalid_request",
        status: 400,
        title: "The request is not well formed",
        retryable: Retryable::No,
        explanation: "A header or the framing of the request contradicts the protocol. The detail names what is \
            wrong.",
    },
    Row {
        code: ProblemCode::IdempotencyKeyMissing,
        name: "idempotency_key_missing",
        status: 400,
        title: "The Idempotency-Key header is missing",
        retryable: Retryable::No,
        explanation: "Every POST under /v1 carries an Idempotency-Key header, so that it can be repeated safely. Send \
            one key of 8 to 255 characters, chosen once per intended operation and kept over retries.",
    },
    Row {
        code: ProblemCode::IdempotencyKeyInvalid,
        name: "idempotency_key_invalid",
        status: 400,
        title: "The Idempotency-Key header is not a key",
        retryable: Retryable::No,
        explanation: "Send exactly one Idempotency-Key of 8 to 255 characters: a letter or digit, then letters, \
            digits, '.', '_', ':' or '-'. No quotes, no list.",
    },
    Row {
        code: ProblemCode::InvalidParameter,
        name: "invalid_parameter",
        status: 400,
        title: "A query parameter is not valid",
        retryable: Retryable::No,
        explanation: "A parameter is unknown, repeated, malformed, or may not be combined with the others. errors[] \
            names each one.",
    },
    Row {
        code: ProblemCode::Unauthenticated,
        name: "unauthenticated",
        status: 401,
        title: "A valid access token is required",
        retryable: Retryable::No,
        explanation: "Get a token at POST /oauth2/token, or from the issuer that your operator names, and send it as \
            'Authorization: Bearer <token>'. The WWW-Authenticate header says what was wrong with the one you sent, \
            if you sent one.",
    },
    Row {
        code: ProblemCode::TokenExpired,
        name: "token_expired",
        status: 401,
        title: "The access token has expired",
        retryable: Retryable::No,
        explanation: "Get a new token where you got this one and send the request again, with the same \
            Idempotency-Key.",
    },
    Row {
        code: ProblemCode::InsufficientScope,
        name: "insufficient_scope",
        status: 403,
        title: "The access token lacks a scope",
        retryable: Retryable::No,
        explanation: "The operation needs a scope that the token does not carry. The WWW-Authenticate header names \
            it. Ask for it when getting the token; the client must be allowed to have it.",
    },
    Row {
        code: ProblemCode::TenantUnknown,
        name: "tenant_unknown",
        status: 403,
        title: "The token names no known tenant",
        retryable: Retryable::No,
        explanation: "The token's claim tenant_id is missing, malformed, or names a tenant that is not set up here.",
    },
    Row {
        code: ProblemCode::NotFound,
        name: "not_found",
        status: 404,
        title: "No such resource",
        retryable: Retryable::No,
        explanation: "There is nothing at this address for your tenant.",
    },
    Row {
        code: ProblemCode::MethodNotAllowed,
        name: "method_not_allowed",
        status: 405,
        title: "The method is not allowed here",
        retryable: Retryable::No,
        explanation: "The Allow header lists the methods of this address.",
    },
    Row {
        code: ProblemCode::NotAcceptable,
        name: "not_acceptable",
        status: 406,
        title: "The answer has no form you accept",
        retryable: Retryable::No,
        explanation: "Answers are application/json and problems application/problem+json. Results and journal entries \
            may also be application/x-ndjson or text/csv, a loan's statement text/csv, and the stream of changes is \
            text/event-stream. Allow one that the address has in the Accept header, or leave the header out.",
    },
    Row {
        code: ProblemCode::RequestTimeout,
        name: "request_timeout",
        status: 408,
        title: "The request did not arrive in time",
        retryable: Retryable::Yes,
        explanation: "The body stopped arriving. Nothing was stored; send the request again with the same \
            Idempotency-Key.",
    },
    Row {
        code: ProblemCode::IdempotencyInProgress,
        name: "idempotency_in_progress",
        status: 409,
        title: "The first request with this key is not finished",
        retryable: Retryable::Yes,
        explanation: "The same request was accepted before and is still being worked on. Follow the Location header, \
            or repeat the request after the time in Retry-After.",
    },
    Row {
        code: ProblemCode::AlreadyUndone,
        name: "already_undone",
        status: 409,
        title: "The event is undone already",
        retryable: Retryable::No,
        explanation: "An event is reversed or returned at most once.",
    },
    Row {
        code: ProblemCode::AlreadyResolved,
        name: "already_resolved",
        status: 409,
        title: "Somebody has decided about this exception before",
        retryable: Retryable::No,
        explanation: "An exception of a file is posted or discarded once, and a row that a posting rule refused is \
            discarded once; resolution says which it was. GET the exception for the reason, and who gave it.",
    },
    Row {
        code: ProblemCode::DuplicateFile,
        name: "duplicate_file",
        status: 409,
        title: "Another file has the same identity",
        retryable: Retryable::No,
        explanation: "A file with this header identity but other content was taken before.",
    },
    Row {
        code: ProblemCode::PayloadTooLarge,
        name: "payload_too_large",
        status: 413,
        title: "The body is too large",
        retryable: Retryable::No,
        explanation: "The body of one event is at most 64 KiB. Use the batch operations for many.",
    },
    Row {
        code: ProblemCode::UriTooLong,
        name: "uri_too_long",
        status: 414,
        title: "The address is too long",
        retryable: Retryable::No,
        explanation: "The path and query together are at most 8 KiB.",
    },
    Row {
        code: ProblemCode::UnsupportedMediaType,
        name: "unsupported_media_type",
        status: 415,
        title: "The body's type is not supported",
        retryable: Retryable::No,
        explanation: "Send 'Content-Type: application/json', in UTF-8 and without Content-Encoding. Batches may also \
            be 'application/x-ndjson', ACH files are 'text/plain' and bank statements 'text/csv'; these uploads, and \
            batches in JSON, may be compressed with gzip.",
    },
    Row {
        code: ProblemCode::ValidationFailed,
        name: "validation_failed",
        status: 422,
        title: "Fields are missing or not valid",
        retryable: Retryable::No,
        explanation: "The JSON is well formed, but not a valid request. errors[] lists every field that fails, all at \
            once; of very many it names the first, and its last code is 'more'. Nothing was stored; the Idempotency-Key stays free.",
    },
    Row {
        code: ProblemCode::IdempotencyMismatch,
        name: "idempotency_mismatch",
        status: 422,
        title: "The key belongs to another request",
        retryable: Retryable::No,
        explanation: "This Idempotency-Key was used before with another payload or operation. errors[] names the \
            fields that differ. Use a new key for a new operation.",
    },
    Row {
        code: ProblemCode::InvalidFile,
        name: "invalid_file",
        status: 422,
        title: "The file is not valid",
        retryable: Retryable::No,
        explanation: "The file breaks the rules of its format. errors[] names line, column and field, of \
            very many faults the first.",
    },
    Row {
        code: ProblemCode::LineTooLong,
        name: "line_too_long",
        status: 422,
        title: "A line is too long",
        retryable: Retryable::No,
        explanation: "One row of an upload, a line or one of 'payments', is at most 64 KiB.",
    },
    Row {
        code: ProblemCode::BatchTooLarge,
        name: "batch_too_large",
        status: 422,
        title: "The batch has too many rows",
        retryable: Retryable::No,
        explanation: "Split it. Payments may instead be uploaded as application/x-ndjson, which takes 10,000,000 rows; a \
            bank statement has at most 10,000 lines, and may cover fewer days.",
    },
    Row {
        code: ProblemCode::LoanNotFound,
        name: "loan_not_found",
        status: 422,
        title: "No such loan",
        retryable: Retryable::No,
        explanation: "The loan named in the body does not exist for your tenant. Register it or disburse to it first.",
    },
    Row {
        code: ProblemCode::BorrowerMismatch,
        name: "borrower_mismatch",
        status: 422,
        title: "The loan belongs to another borrower",
        retryable: Retryable::No,
        explanation: "borrower_id must be the loan's own borrower.",
    },
    Row {
        code: ProblemCode::CurrencyMismatch,
        name: "currency_mismatch",
        status: 422,
        title: "The loan is in another currency",
        retryable: Retryable::No,
        explanation: "A loan has one currency; everything posted to it is in that currency.",
    },
    Row {
        code: ProblemCode::LoanClosed,
        name: "loan_closed",
        status: 422,
        title: "The loan is closed",
        retryable: Retryable::No,
        explanation: "The loan was written off, and takes recoveries, returns and reversals only; or it was charged \
            off, and nothing more can be charged to it.",
    },
    Row {
        code: ProblemCode::LoanExists,
        name: "loan_exists",
        status: 422,
        title: "The loan exists already",
        retryable: Retryable::No,
        explanation: "A loan with this id, or this loan number, is registered already.",
    },
    Row {
        code: ProblemCode::EffectiveBeforeOpening,
        name: "effective_before_opening",
        status: 422,
        title: "The date lies before the loan's opening",
        retryable: Retryable::No,
        explanation: "Nothing counts on a loan before the day it was opened on.",
    },
    Row {
        code: ProblemCode::LoanOnHold,
        name: "loan_on_hold",
        status: 422,
        title: "The loan is on hold",
        retryable: Retryable::No,
        explanation: "The loan waits for a person, and its hold refuses new events.",
    },
    Row {
        code: ProblemCode::NotReversible,
        name: "not_reversible",
        status: 422,
        title: "The entry cannot be reversed",
        retryable: Retryable::No,
        explanation: "Reversals and returns are not reversed, nor what a balance of the loan could not bear any more, nor a \
            payment from before a write-off; some entries are undone by an operation of their own, and a payment that \
            was rejected has nothing to return.",
    },
    Row {
        code: ProblemCode::InsufficientBalance,
        name: "insufficient_balance",
        status: 422,
        title: "There is not enough to take",
        retryable: Retryable::No,
        explanation: "A balance of the loan holds less, on the event's day or on a later one, than the event takes from \
            it; or there is nothing left for it to take. The books are unchanged.",
    },
    Row {
        code: ProblemCode::NotPostable,
        name: "not_postable",
        status: 422,
        title: "The entry of this exception cannot be posted",
        retryable: Retryable::No,
        explanation: "The entry was judged again and something is still in its way, as errors says: it moves no money \
            that a payer owes, its return names no single payment, or it needs an effective_at that counts; or it was \
            accepted before and a posting rule refused it (rejected), which is final. Nothing was stored; send another \
            request under the same key, or discard the exception.",
    },
    Row {
        code: ProblemCode::NoPreview,
        name: "no_preview",
        status: 422,
        title: "There is no preview of this operation",
        retryable: Retryable::No,
        explanation: "Operations over more than 16 loans are not looked ahead to, nor is the reversal of one. This says \
            nothing about the operation itself: sent to its own address it is judged as ever.",
    },
    Row {
        code: ProblemCode::AmountOverflow,
        name: "amount_overflow",
        status: 422,
        title: "A balance would be too large",
        retryable: Retryable::No,
        explanation: "The amount would take a balance beyond 9223372036854775807 minor units. The books are \
            unchanged.",
    },
    Row {
        code: ProblemCode::LimitExceeded,
        name: "limit_exceeded",
        status: 422,
        title: "The amount is above the limit",
        retryable: Retryable::No,
        explanation: "Your tenant limits the amount of one payment. Nothing was stored; the Idempotency-Key stays \
            free.",
    },
    Row {
        code: ProblemCode::PeriodClosed,
        name: "period_closed",
        status: 422,
        title: "The accounting period is closed",
        retryable: Retryable::No,
        explanation: "The effective date lies in a closed period, and your tenant refuses such events.",
    },
    Row {
        code: ProblemCode::PrincipalMismatch,
        name: "principal_mismatch",
        status: 422,
        title: "What the request says is owed is not what the ledger says",
        retryable: Retryable::No,
        explanation: "The outstanding_principal_minor of an accrual must equal the ledger's principal of the loan on its \
                      day, and the moves of a refinance or restructure must come to all that the loan owes.",
    },
    Row {
        code: ProblemCode::PaidOnTime,
        name: "paid_on_time",
        status: 422,
        title: "The payment came in on time",
        retryable: Retryable::No,
        explanation: "No late fee is charged for a payment that came in whole and on time. Payments count as a whole, as if \
            fees were paid last: what earlier fees took of one does not make it short. late_for says what was due and \
            how much of it came in by then.",
    },
    Row {
        code: ProblemCode::Discarded,
        name: "discarded",
        status: 422,
        title: "The event was discarded",
        retryable: Retryable::No,
        explanation: "The event could not be posted, and an operator discarded it. The books are unchanged.",
    },
    Row {
        code: ProblemCode::RateLimited,
        name: "rate_limited",
        status: 429,
        title: "Too many requests",
        retryable: Retryable::Yes,
        explanation: "Slow down and send the request again after the time in Retry-After. Nothing was stored.",
    },
    Row {
        code: ProblemCode::HeadersTooLarge,
        name: "headers_too_large",
        status: 431,
        title: "The headers are too large",
        retryable: Retryable::No,
        explanation: "At most 100 headers and 64 KiB of them.",
    },
    Row {
        code: ProblemCode::Internal,
        name: "internal",
        status: 500,
        title: "Something went wrong on our side",
        retryable: Retryable::Yes,
        explanation: "The failure is logged under the request_id. Repeat the request with the same Idempotency-Key; \
            it cannot count twice.",
    },
    Row {
        code: ProblemCode::Overloaded,
        name: "overloaded",
        status: 503,
        title: "The service cannot take the request now",
        retryable: Retryable::Yes,
        explanation: "The service is at its limit, starting, or stopping. Send the request again after the time in \
            Retry-After, with the same Idempotency-Key.",
    },
    Row {
        code: ProblemCode::DatabaseUnavailable,
        name: "database_unavailable",
        status: 503,
        title: "The database is unavailable",
        retryable: Retryable::Yes,
        explanation: "Send the request again after the time in Retry-After, with the same Idempotency-Key; it cannot \
            count twice.",
    },
    Row {
        code: ProblemCode::BrokerUnavailable,
        name: "broker_unavailable",
        status: 503,
        title: "The message broker is unavailable",
        retryable: Retryable::Yes,
        explanation: "Send the request again after the time in Retry-After, with the same Idempotency-Key; it cannot \
            count twice.",
    },
];

/// Stands in for a code whose row is missing, which a test rules out.
pub(super) const NO_ROW: Row = Row {
    code: ProblemCode::Internal,
    name: "internal",
    status: 500,
    title: "Something went wrong on our side",
    retryable: Retryable::Yes,
    explanation: "",
};
