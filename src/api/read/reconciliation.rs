//! Owns `GET /v1/reconciliation/status` and `GET /v1/reconciliation/conservation`.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::batches::batch_id;
use crate::api::state::ApiState;
use crate::core::ledger::{AccountCode, Chart};
use crate::core::money::Currency;
use crate::core::time::parse_date;
use crate::store::{
    AccountMismatch, BankCheck, Conservation, Findings, LoanFault, LoanFaultKind, LoanFaults, ReconciliationQuestion,
    ReconciliationRun, StoreError,
};

/// How long a caller waits for a run that nobody has made yet. One that takes longer goes on.
const RUN_WAIT: Duration = Duration::from_secs(25);

/// Runs that callers ask for, one at a time: each reads every posting.
static RUNS: Semaphore = Semaphore::const_new(1);

/// Whether the books agree with themselves and with the bank.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReconciliationStatus {
    #[schema(example = "2026-05-01")]
    as_of_date: String,
    ledger_integrity: LedgerIntegrity,
    /// Every bank account with a statement by the day.
    bank_reconciliation: Vec<BankReconciliation>,
    portfolio_rollup: PortfolioRollup,
}

/// Account totals against the lines they sum up, and the postings of every loan against the chain of their hashes.
#[derive(Debug, Serialize, ToSchema)]
pub struct LedgerIntegrity {
    /// `ok` or `mismatch`.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    #[schema(example = 0)]
    mismatched_account_count: usize,
    #[schema(example = "2026-05-01T12:00:00Z")]
    checked_at: String,
    /// What is wrong; absent where nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatched_accounts: Vec<MismatchedAccount>,
    /// Loans whose postings are not those that were made; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    broken_chain_count: Option<i64>,
    /// The first hundred of them; absent where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken_chains: Vec<BrokenChain>,
    /// Since when every loan was looked at; absent before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-05-01T12:00:00Z")]
    loans_checked_at: Option<String>,
}

/// A loan whose postings are not those that were made.
#[derive(Debug, Serialize, ToSchema)]
pub struct BrokenChain {
    #[schema(value_type = uuid::Uuid)]
    loan_id: String,
    /// The first event whose posting was changed; absent where one is missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    event_id: Option<String>,
    /// Its journal entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    journal_entry_id: Option<String>,
    #[schema(example = "the hash of version 3 does not cover it")]
    detail: String,
}

impl From<&LoanFault> for BrokenChain {
    fn from(fault: &LoanFault) -> Self {
        Self {
            loan_id: fault.loan_id.to_string(),
            event_id: fault.event.map(|event| event.to_string()),
            journal_entry_id: fault.event.map(|event| event.entry_id().to_string()),
            detail: fault.detail.clone(),
        }
    }
}

/// An account whose totals are not the sum of its lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct MismatchedAccount {
    #[schema(example = "1100")]
    account_code: String,
    #[schema(example = "SETTLED")]
    layer: String,
    total_debits_minor: String,
    total_credits_minor: String,
    line_debits_minor: String,
    line_credits_minor: String,
}

/// A bank account beside the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct BankReconciliation {
    #[schema(example = "OPERATING-1")]
    bank_account_ref: String,
    /// `reconciled` where nothing differs and no line is open, otherwise `unreconciled`.
    #[schema(value_type = String, example = "reconciled")]
    status: &'static str,
    /// What the bank holds beyond the ledger; may carry `-`.
    #[schema(example = "0")]
    difference_minor: String,
    /// The day of the last statement.
    #[schema(example = "2026-05-01")]
    statement_date: String,
    /// What the statement says the account holds; may carry `-`.
    #[schema(example = "88849")]
    closing_balance_minor: String,
    /// What the ledger holds on Cash for it by that day; may carry `-`.
    #[schema(example = "88849")]
    ledger_cash_minor: String,
    /// Lines of its statements by that day that wait for a person.
    #[schema(example = 0)]
    open_line_count: i64,
    /// What they come to; may carry `-`.
    #[schema(example = "0")]
    open_lines_minor: String,
}

/// Principal Receivable against the sum of the loans, and the balances of every loan against its lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortfolioRollup {
    /// `ok` or `mismatch`.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    #[schema(example = "921651")]
    gl_principal_minor: String,
    #[schema(example = "921651")]
    sum_of_loan_balances_minor: String,
    /// Loans that hold other balances than their lines add up to, whatever the sums say; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    mismatched_loan_count: Option<i64>,
    /// The first hundred of them; absent where nothing is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatched_loan_ids: Vec<String>,
}

const fn ok_or_mismatch(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "mismatch" }
}

impl ReconciliationStatus {
    fn new(run: &ReconciliationRun, faults: &LoanFaults, chart: &Chart) -> Self {
        let findings: &Findings = &run.findings;
        let (ledger, loans) = (findings.gl_principal, findings.loans_principal);
        let of_sums = findings.wrong_loans.iter().map(ToString::to_string);
        let wrong: BTreeSet<String> =
            faults.of(LoanFaultKind::Balance).map(|fault| fault.loan_id.to_string()).chain(of_sums).collect();
        let wrong_count = faults.balances.max(i64::try_from(wrong.len()).unwrap_or(i64::MAX));
        Self {
            as_of_date: run.question.as_of.to_string(),
            ledger_integrity: LedgerIntegrity {
                status: ok_or_mismatch(findings.mismatched_accounts == 0 && faults.chains == 0),
                mismatched_account_count: findings.mismatched_accounts,
                checked_at: run.checked_at.to_string(),
                mismatched_accounts: findings.mismatches.iter().map(|it| mismatched(it, chart)).collect(),
                broken_chain_count: (faults.chains > 0).then_some(faults.chains),
                broken_chains: faults.of(LoanFaultKind::Chain).map(BrokenChain::from).collect(),
                loans_checked_at: faults.checked_at.map(|at| at.to_string()),
            },
            bank_reconciliation: findings.banks.iter().map(BankReconciliation::from).collect(),
            portfolio_rollup: PortfolioRollup {
                status: ok_or_mismatch(ledger == loans && wrong_count == 0),
                gl_principal_minor: ledger.0.to_string(),
                sum_of_loan_balances_minor: loans.0.to_string(),
                mismatched_loan_count: (wrong_count > 0).then_some(wrong_count),
                mismatched_loan_ids: wrong.into_iter().collect(),
            },
        }
    }
}

fn mismatched(it: &AccountMismatch, chart: &Chart) -> MismatchedAccount {
    let account = AccountCode::from_number(it.account);
    MismatchedAccount {
        account_code: account.map_or_else(|| it.account.to_string(), |account| chart.code(account).to_string()),
        layer: it.layer.clone(),
        total_debits_minor: it.totals.0.0.to_string(),
        total_credits_minor: it.totals.1.0.to_string(),
        line_debits_minor: it.lines.0.0.to_string(),
        line_credits_minor: it.lines.1.0.to_string(),
    }
}

impl From<&BankCheck> for BankReconciliation {
    fn from(bank: &BankCheck) -> Self {
        Self {
            bank_account_ref: bank.bank_account_ref.clone(),
            status: if bank.is_reconciled() { "reconciled" } else { "unreconciled" },
            difference_minor: bank.difference().to_string(),
            statement_date: bank.statement_date.to_string(),
            closing_balance_minor: bank.closing.0.to_string(),
            ledger_cash_minor: bank.cash.0.to_string(),
            open_line_count: bank.open_lines,
            open_lines_minor: bank.open.0.to_string(),
        }
    }
}

/// Whether the books reconcile: the latest run for that day, or one that is made now. By booking date. Bank accounts are
/// compared as they are now, by the day of their last statement; loans are looked at one after the other all the time,
/// and what is wrong with one is told until it is found sound.
#[utoipa::path(get, path = "/v1/reconciliation/status", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:read"])),
    params(("as_of_date" = Option<chrono::NaiveDate>, Query, description = "Default: today in the tenant's time zone"),
        ("currency" = Option<String>, Query, description = "ISO 4217; default: the tenant's")),
    responses((status = 200, description = "The status", body = ReconciliationStatus),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument),
        (status = 503, description = "A run takes longer; ask again", body = ProblemDocument)))]
pub(crate) async fn get_status(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<ReconciliationStatus>, ApiError> {
    let caller = state.caller(&headers, &[Scope::ReconciliationRead]).await?;
    let mut query = Query::of(&uri)?;
    let as_of = query.optional("as_of_date", parse_date);
    let currency = query.optional("currency", Currency::parse);
    query.finish()?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let as_of = as_of.unwrap_or_else(|| tenant.business_date(now));
    let currency = currency.unwrap_or(tenant.base_currency);
    let question = ReconciliationQuestion { tenant: caller.tenant, currency, as_of };
    let mut run = match state.store().latest_run(question).await? {
        Some(run) => run,
        None => run_now(&state, question).await?,
    };
    // Statements come and lines are resolved between two runs, and this much is soon read.
    run.findings.banks = state.store().bank_checks(question).await?;
    let faults = state.store().loan_faults(caller.tenant, currency).await?;
    Ok(Json(ReconciliationStatus::new(&run, &faults, &tenant.chart)))
}

/// Makes a run and waits for it. A run that takes longer goes on, and is there when it is asked for again.
async fn run_now(state: &ApiState, question: ReconciliationQuestion) -> Result<ReconciliationRun, ApiError> {
    let place = RUNS.try_acquire().map_err(|_| ApiError::Overloaded)?;
    let (told, tells) = oneshot::channel();
    let store = state.clone();
    state.lifecycle().spawn(async move {
        let run = store.store().reconcile(vec![question]).await;
        drop(place);
        // A caller who has left hears of it the next time.
        drop(told.send(run));
    });
    let run: Result<Vec<ReconciliationRun>, StoreError> = tokio::time::timeout(RUN_WAIT, tells)
        .await
        .map_err(|_| ApiError::Overloaded)?
        .map_err(|_| ApiError::Broken("a run ended without a word"))?;
    run?.pop().ok_or(ApiError::Broken("a run found nothing"))
}

/// Whether every accepted event is somewhere: accepted = posted + rejected + parked + held + in flight.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "accepted": 1000, "posted": 990, "rejected": 4, "parked": 1, "held": 2,
    "in_flight": 3, "difference": 0, "lost_event_ids": []}))]
pub struct ConservationView {
    /// `ok` or `mismatch`.
    #[schema(value_type = String)]
    status: &'static str,
    /// As counted when they were taken.
    accepted: i64,
    posted: i64,
    rejected: i64,
    /// Waiting for a person.
    parked: i64,
    /// Waiting for a loan on hold.
    held: i64,
    /// On their way.
    in_flight: i64,
    /// Accepted events that are nowhere; negative where there are more events than were accepted.
    difference: i64,
    /// Accepted events that nobody would ever post: the first 100.
    lost_event_ids: Vec<String>,
}

impl From<Conservation> for ConservationView {
    fn from(counts: Conservation) -> Self {
        let difference = counts.difference();
        Self {
            status: ok_or_mismatch(difference == 0),
            accepted: counts.accepted,
            posted: counts.posted,
            rejected: counts.rejected,
            parked: counts.parked,
            held: counts.held,
            in_flight: counts.in_flight,
            difference,
            lost_event_ids: counts.lost.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Whether every accepted event is somewhere, of all events or of one upload.
#[utoipa::path(get, path = "/v1/reconciliation/conservation", tag = "reconciliation",
    security(("oauth2" = ["hpts:reconciliation:read"])),
    params(("batch_id" = Option<uuid::Uuid>, Query, description = "Of the rows of one upload, counted one by one")),
    responses((status = 200, description = "The counts", body = ConservationView),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument),
        (status = 404, description = "No such upload", body = ProblemDocument)))]
pub(crate) async fn get_conservation(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<ConservationView>, ApiError> {
    let caller = state.caller(&headers, &[Scope::ReconciliationRead]).await?;
    let mut query = Query::of(&uri)?;
    let batch = query.optional("batch_id", |text| batch_id(text).map_err(|_| "must be the id of an upload"));
    query.finish()?;
    let counts = match batch {
        Some(batch) => {
            let counts = state.store().batch_conservation(caller.tenant, batch).await?;
            counts.ok_or(ApiError::NotFound)?
        }
        None => state.store().conservation().await?.remove(&caller.tenant).unwrap_or_default(),
    };
    Ok(Json(counts.into()))
}
