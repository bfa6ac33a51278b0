//! Owns `GET /v1/loans`, `GET /v1/loans/{loan_id}` and its balance.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::{ProblemDocument, WaterfallRuleView};
use crate::api::read::page_token::PagedQuery;
use crate::api::state::ApiState;
use crate::core::event::LoanNumber;
use crate::core::ids::{BorrowerId, LoanId, LoanKey};
use crate::core::loan::{Balances, Bucket, ChargedOff, LoanState};
use crate::core::time::{Timestamp, parse_date};
use crate::store::{BalanceTime, LoanPlace, LoanRecord, LoansFilter, LoansPage};

/// A loan as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoanView {
    loan_id: String,
    borrower_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_id: Option<String>,
    #[schema(example = "USD")]
    currency: String,
    #[schema(example = "2026-01-01")]
    opened_on: String,
    /// `open`, `charged_off` or `written_off`.
    #[schema(value_type = String, example = "open")]
    status: &'static str,
    /// Whether it waits for a person.
    on_hold: bool,
    /// The order in which payments pay.
    #[schema(value_type = Vec<String>)]
    waterfall: [&'static str; 3],
    /// Other orders for some payments, from its program: the first that fits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waterfall_rules: Vec<WaterfallRuleView>,
    principal_outstanding_minor: String,
    interest_receivable_minor: String,
    fees_receivable_minor: String,
    total_exposure_minor: String,
    suspense_minor: String,
    /// What becomes of suspense when new debt arises: `manual` or `automatic`.
    #[schema(value_type = String, example = "manual")]
    suspense_release: &'static str,
    /// The charge-off, while it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged_off: Option<ChargedOffView>,
    /// How many postings it has: the order inside the loan.
    loan_version: i64,
    last_activity_at: String,
}

/// A charge-off, and what is still owed of it: off the balance sheet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChargedOff)]
pub struct ChargedOffView {
    /// The day it counts from.
    #[schema(example = "2026-09-30")]
    charged_off_on: String,
    principal_owed_minor: String,
    interest_owed_minor: String,
    fees_owed_minor: String,
}

impl From<ChargedOff> for ChargedOffView {
    fn from(charged_off: ChargedOff) -> Self {
        Self {
            charged_off_on: charged_off.on.to_string(),
            principal_owed_minor: charged_off.memo.principal.to_string(),
            interest_owed_minor: charged_off.memo.interest.to_string(),
            fees_owed_minor: charged_off.memo.fees.to_string(),
        }
    }
}

/// What a loan owes on a date.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "currency": "USD",
    "as_of_date": "2026-05-01", "principal_outstanding_minor": "921651", "interest_receivable_minor": "0",
    "fees_receivable_minor": "0", "total_exposure_minor": "921651", "suspense_minor": "0",
    "last_activity_at": "2026-05-01T12:00:00Z"}))]
pub struct LoanBalance {
    loan_id: String,
    currency: String,
    as_of_date: String,
    /// Where it was asked for: entries posted later do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_at: Option<String>,
    principal_outstanding_minor: String,
    interest_receivable_minor: String,
    fees_receivable_minor: String,
    /// Principal, interest and fees together.
    total_exposure_minor: String,
    /// Money received and not yet applied.
    suspense_minor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activity_at: Option<String>,
}

/// A page of loans, in an order that does not change while loans are added.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"items": [{"loan_id": "11111111-1111-1111-1111-111111111111",
    "borrower_id": "22222222-2222-2222-2222-222222222222", "loan_number": "000420", "currency": "USD",
    "opened_on": "2026-01-01", "status": "open", "on_hold": false, "waterfall": ["fees", "interest", "principal"],
    "principal_outstanding_minor": "921651", "interest_receivable_minor": "0", "fees_receivable_minor": "0",
    "total_exposure_minor": "921651", "suspense_minor": "0", "loan_version": 2,
    "last_activity_at": "2026-05-01T12:00:00Z"}]}))]
pub struct LoansList {
    /// The loans.
    items: Vec<LoanView>,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn exposure(balances: &Balances) -> Result<String, ApiError> {
    let total = balances.exposure().map_err(|_| ApiError::Broken("a loan's exposure leaves 64 bits"))?;
    Ok(total.to_string())
}

/// Loans by number, by borrower, or all.
///
/// The order is fixed: a loan that is added while you page may be missed, none is shown twice, and none that was there
/// is skipped.
#[utoipa::path(get, path = "/v1/loans", tag = "loans", security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_number" = Option<String>, Query, description = "The loan with this number; leading zeros do not count"),
        ("borrower_id" = Option<Uuid>, Query, description = "The loans of one borrower"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = LoansList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_loans(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<LoansList>, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead]).await?;
    let mut query = Query::of(&uri)?;
    let number = query.optional("loan_number", LoanNumber::parse);
    let borrower = query.optional("borrower_id", BorrowerId::parse);
    if number.is_some() && borrower.is_some() {
        query.fail("loan_number", "combination", "names one loan: leave borrower_id out");
    }
    let limit = query.page_size();
    let words = (number.as_ref().map(LoanNumber::comparable), borrower.map(|borrower| borrower.to_string()));
    let paged = PagedQuery::new(caller.tenant, &["loans", words.0.unwrap_or(""), words.1.as_deref().unwrap_or("")]);
    let after = query.optional("page_token", |token| paged.place_of_size(token).map(place)).unwrap_or_default();
    query.finish()?;
    let filter = match (number, borrower) {
        (Some(number), _) => LoansFilter::OfNumber(number.comparable().to_owned()),
        (None, Some(borrower)) => LoansFilter::OfBorrower(borrower),
        (None, None) => LoansFilter::All,
    };
    let rows = state.store().loans(caller.tenant, LoansPage { filter, after, limit }).await?;
    loans_list(rows, limit, &paged).map(Json)
}

fn loans_list(mut rows: Vec<LoanRecord>, limit: i64, paged: &PagedQuery) -> Result<LoansList, ApiError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| !is_last).map(|last| token_place(&last.state));
    let next_page_token = last.map(|place| paged.token_of(&place));
    let items = rows.into_iter().map(loan_view).collect::<Result<_, _>>()?;
    Ok(LoansList { items, next_page_token })
}

/// A place in the list as a token carries it.
fn token_place(state: &LoanState) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (borrower, loan) = bytes.split_at_mut(16);
    borrower.copy_from_slice(state.borrower_id.0.as_bytes());
    loan.copy_from_slice(&state.key.bytes());
    bytes
}

fn place(bytes: [u8; 32]) -> LoanPlace {
    let half = |half: Option<&[u8; 16]>| half.copied().map(Uuid::from_bytes).unwrap_or_default();
    LoanPlace { borrower: half(bytes.first_chunk()), loan: half(bytes.last_chunk()) }
}

/// A loan as it stands.
#[utoipa::path(get, path = "/v1/loans/{loan_id}", tag = "loans", security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_id" = Uuid, Path, description = "The loan")),
    responses((status = 200, description = "The loan", body = LoanView),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn get_loan(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<LoanView>, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead]).await?;
    Query::of(&uri)?.finish()?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let key = LoanKey::of_loan(caller.tenant, loan);
    let record = state.store().loan(caller.tenant, key).await?.ok_or(ApiError::NotFound)?;
    loan_view(record).map(Json)
}

fn loan_view(LoanRecord { state, loan_number, on_hold }: LoanRecord) -> Result<LoanView, ApiError> {
    Ok(LoanView {
        loan_id: state.loan_id.to_string(),
        borrower_id: state.borrower_id.to_string(),
        loan_number,
        program_id: state.program_id.map(|program| program.to_string()),
        currency: state.currency.to_string(),
        opened_on: state.opened_on.to_string(),
        status: state.status.as_str(),
        on_hold,
        waterfall: state.waterfalls.usual().order().map(Bucket::as_str),
        waterfall_rules: state.waterfalls.settings().into_iter().map(WaterfallRuleView::from).collect(),
        principal_outstanding_minor: state.balances.principal.to_string(),
        interest_receivable_minor: state.balances.interest.to_string(),
        fees_receivable_minor: state.balances.fees.to_string(),
        total_exposure_minor: exposure(&state.balances)?,
        suspense_minor: state.balances.suspense.to_string(),
        suspense_release: state.suspense_release.as_str(),
        charged_off: state.charged_off.map(ChargedOffView::from),
        loan_version: state.version,
        last_activity_at: state.last_posted_at.to_string(),
    })
}

/// What a loan owes on a date, counting entries by their effective date.
///
/// With `known_at` only what was posted by that instant counts: the balance as a reader saw it then. For an instant that
/// is more than a minute ago the answer never changes; before that, postings of the last moment may still come in.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/balance", tag = "loans",
    security(("oauth2" = ["hpts:balances:read"])),
    params(("loan_id" = Uuid, Path, description = "The loan"),
        ("as_of_date" = Option<chrono::NaiveDate>, Query, description = "Default: today in the tenant's time zone; with `known_at`, that instant's day there"),
        ("known_at" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "As it was known at this instant, RFC 3339 in UTC")),
    responses((status = 200, description = "Its balances", body = LoanBalance),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn get_balance(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<LoanBalance>, ApiError> {
    let caller = state.caller(&headers, &[Scope::BalancesRead]).await?;
    let mut query = Query::of(&uri)?;
    let as_of = query.optional("as_of_date", parse_date);
    let known_at = query.optional("known_at", Timestamp::parse);
    query.finish()?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let now = state.now();
    let today = state.tenants().get(state.store(), caller.tenant, now).await?.business_date(known_at.unwrap_or(now));
    let at = BalanceTime { as_of: as_of.unwrap_or(today), known_at };
    let key = LoanKey::of_loan(caller.tenant, loan);
    let found = state.store().loan_balances(caller.tenant, key, at).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(LoanBalance {
        loan_id: loan.to_string(),
        currency: found.currency.to_string(),
        as_of_date: at.as_of.to_string(),
        known_at: known_at.map(|instant| instant.to_string()),
        principal_outstanding_minor: found.balances.principal.to_string(),
        interest_receivable_minor: found.balances.interest.to_string(),
        fees_receivable_minor: found.balances.fees.to_string(),
        total_exposure_minor: exposure(&found.balances)?,
        suspense_minor: found.balances.suspense.to_string(),
        last_activity_at: found.last_activity_at.map(|at| at.to_string()),
    }))
}
