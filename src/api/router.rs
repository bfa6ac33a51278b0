//! Owns the addresses.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::auth::{jwks, token};
use crate::api::error::ApiError;
use crate::api::http::edge::{edge, panicked};
use crate::api::metrics::begin_at_zero;
use crate::api::openapi::{docs, openapi_json, paths};
use crate::api::problem::page;
use crate::api::read::{
    accounts, ach_exceptions, ach_files as ach_file_reads, allocation, bank_statements as bank_reads, batch_results,
    batches as batch_reads, changes, changes_stream, entries, event_preview, events, fees as fee_reads, health,
    holds as hold_reads, journal, late_fees, loans as loan_reads, lookup, payments as payment_reads, payoff,
    periods as period_reads, preview, reconciliation, statement, trial_balance,
};
use crate::api::state::ApiState;
use crate::api::webhooks::{actions, create, reads};
use crate::api::write::{
    accruals, ach_files, ach_reviews, adjustments, bank_lines, bank_statements, batches, charge_offs, disbursements,
    feeds, fees, holds, loans, payments, periods, programs, rearrangements, returns, reversals, settlements, suspense,
    transfers,
};

/// Every address of the API.
pub fn router(state: ApiState) -> Router {
    begin_at_zero(paths());
    let request_ids = state.request_ids();
    let issuer = if state.auth().built_in().is_some() { built_in_issuer() } else { Router::new() };
    Router::new()
        .merge(issuer)
        .route("/v1/payments", post(payments::post_payment).get(payment_reads::list_payments))
        .route("/v1/payments/batch", post(batches::post_batch))
        .route("/v1/payments/lookup", post(lookup::lookup_payments))
        .route("/v1/payments/preview", post(preview::preview_payment))
        .route("/v1/events/preview", post(event_preview::preview_event))
        .route("/v1/payments/{payment_event_id}/allocation", get(allocation::get_allocation))
        .route("/v1/payments/{payment_event_id}", get(payment_reads::get_payment))
        .route("/v1/ach/feeds", post(feeds::post_feed).get(feeds::list_feeds))
        .route("/v1/ach/files", post(ach_files::post_file))
        .route("/v1/ach/files/{batch_id}", get(ach_file_reads::get_file))
        .route("/v1/ach/files/{batch_id}/results", get(batch_results::get_results))
        .route("/v1/ach/files/{batch_id}/exceptions/{row}", get(ach_exceptions::get_exception))
        .route("/v1/ach/files/{batch_id}/exceptions/{row}/post", post(ach_reviews::post_exception))
        .route("/v1/ach/files/{batch_id}/exceptions/{row}/discard", post(ach_reviews::discard_exception))
        .route("/v1/ach/exceptions", get(ach_exceptions::list_exceptions))
        .route("/v1/batches", get(batch_reads::list_batches))
        .route("/v1/batches/{batch_id}", get(batch_reads::get_batch))
        .route("/v1/batches/{batch_id}/results", get(batch_results::get_results))
        .route("/v1/payments/{payment_event_id}/return", post(returns::post_return))
        .route("/v1/disbursements", post(disbursements::post_disbursement))
        .route("/v1/accruals/batch", post(accruals::post_accruals))
        .merge(servicing())
        .route("/v1/programs", post(programs::post_program).get(programs::list_programs))
        .route("/v1/programs/{program_id}", get(programs::get_program))
        .route("/v1/loans", post(loans::post_loan).get(loan_reads::list_loans))
        .route("/v1/loans/{loan_id}", get(loan_reads::get_loan))
        .route("/v1/loans/{loan_id}/balance", get(loan_reads::get_balance))
        .route("/v1/loans/{loan_id}/hold", post(holds::hold_loan).get(hold_reads::get_hold))
        .route("/v1/loans/{loan_id}/release", post(holds::release_loan))
        .route("/v1/loans/{loan_id}/statement", get(statement::get_statement))
        .route("/v1/loans/{loan_id}/payoff", get(payoff::get_payoff))
        .route("/v1/loans/{loan_id}/journal-entries", get(entries::list_entries))
        .route("/v1/journal-entries", get(journal::export_journal))
        .route("/v1/journal-entries/{id}", get(entries::get_entry))
        .route("/v1/reconciliation/status", get(reconciliation::get_status))
        .route("/v1/reconciliation/conservation", get(reconciliation::get_conservation))
        .route("/v1/periods", get(period_reads::list_periods))
        .route("/v1/periods/{period}/close", post(periods::close_period))
        .route("/v1/periods/{period}/reopen", post(periods::reopen_period))
        .route("/v1/events/{id}", get(events::get_event))
        .route("/v1/changes", get(changes::list_changes))
        .route("/v1/changes/stream", get(changes_stream::stream_changes))
        .merge(webhook_endpoints())
        .merge(bank())
        .route("/v1/accounts", get(accounts::list_accounts))
        .route("/v1/trial-balance", get(trial_balance::get_trial_balance))
        .route("/v1/accounts/{account_code}/balance", get(accounts::get_account_balance))
        .route("/v1/health/live", get(health::live))
        .route("/v1/health/ready", get(health::ready))
        .route("/problems/{code}", get(page::explain))
        .route("/openapi.json", get(openapi_json))
        .merge(docs())
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(request_ids, edge))
        .with_state(state)
}

/// Operations on one loan.
fn servicing() -> Router<ApiState> {
    Router::new()
        .route("/v1/disbursements/{disbursement_event_id}/settlement", post(settlements::post_settlement))
        .route("/v1/fees", post(fees::post_fee))
        .route("/v1/fees/reviews", get(late_fees::list_reviews))
        .route("/v1/fees/waivers", post(fees::post_waiver))
        .route("/v1/suspense/applications", post(suspense::post_application))
        .route("/v1/suspense/refunds", post(suspense::post_refund))
        .route("/v1/suspense/transfers", post(transfers::post_transfer))
        .route("/v1/receipts/{payment_event_id}/assignment", post(transfers::post_assignment))
        .route("/v1/refinances", post(rearrangements::post_refinance))
        .route("/v1/restructures", post(rearrangements::post_restructure))
        .route("/v1/adjustments", post(adjustments::post_adjustment))
        .route("/v1/reversals", post(reversals::post_reversal))
        .route("/v1/chargeoffs", post(charge_offs::post_chargeoff))
        .route("/v1/recoveries", post(charge_offs::post_recovery))
        .route("/v1/loans/{loan_id}/fees", get(fee_reads::list_fees))
}

/// What the bank says.
fn bank() -> Router<ApiState> {
    Router::new()
        .route("/v1/bank-statements", post(bank_statements::post_statement).get(bank_reads::list_statements))
        .route("/v1/bank-statements/open-lines", get(bank_reads::list_open_lines))
        .route("/v1/bank-statements/{statement_id}", get(bank_reads::get_statement))
        .route("/v1/bank-statements/{statement_id}/lines", get(bank_reads::list_lines))
        .route("/v1/bank-statements/{statement_id}/lines/{line}/resolution", post(bank_lines::resolve_line))
}

/// Who is told of what.
fn webhook_endpoints() -> Router<ApiState> {
    Router::new()
        .route("/v1/webhook-endpoints", post(create::post_endpoint).get(reads::list_endpoints))
        .route("/v1/webhook-endpoints/{id}", get(reads::get_endpoint))
        .route("/v1/webhook-endpoints/{id}/deliveries", get(reads::list_deliveries))
        .route("/v1/webhook-endpoints/{id}/rotate-secret", post(actions::rotate_secret))
        .route("/v1/webhook-endpoints/{id}/disable", post(actions::disable))
        .route("/v1/webhook-endpoints/{id}/enable", post(actions::enable))
        .route("/v1/webhook-endpoints/{id}/test", post(actions::test))
        .route("/v1/webhook-endpoints/{id}/replay", post(actions::replay))
}

/// What is there only where we issue the tokens.
fn built_in_issuer() -> Router<ApiState> {
    Router::new().route("/oauth2/token", post(token::token)).route("/.well-known/jwks.json", get(jwks::jwks))
}
