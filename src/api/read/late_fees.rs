//! Owns `GET /v1/fees/reviews`: late fees that turned out to be for payments on time. No list of them is kept; they are
//! found among the late fees that say what they are for, loan by loan.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::fees::FeeItemView;
use crate::api::read::page_token::{PagedQuery, cut};
use crate::api::state::ApiState;
use crate::core::ids::{LoanKey, TenantId};
use crate::core::ledger::{FeeToReview, LateFeeBook, LateForView};
use crate::core::time::parse_date;
use crate::store::LateFeesPage;

const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::AdjustmentsWrite];

/// The most loans with late fees that one request looks at.
const LOANS_LOOKED_AT_MAX: i64 = 5_000;

/// A late fee to review: what came in on time is at least what was due. Take it back, or leave it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111",
    "fee_event_id": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee", "fee_code": "late", "assessed_on": "2026-05-17",
    "assessed_minor": "2500", "paid_minor": "0", "waived_minor": "0", "charged_off_minor": "0", "outstanding_minor": "2500",
    "late_for": {"period_from": "2026-03-02", "due_at": "2026-05-01", "grace_days": 15, "due_minor": "100000",
    "received_minor": "100000"}}))]
pub struct FeeReviewView {
    /// The loan.
    loan_id: String,
    #[serde(flatten)]
    fee: FeeItemView,
}

/// A page of late fees to review, loan by loan.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeeReviewsList {
    /// The fees; a page may have none though there are more.
    items: Vec<FeeReviewView>,
    /// Gets the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Late fees to review.
///
/// A late fee was charged, and later a payment came that counts from a day on time. The fee stays until somebody takes it
/// back (`POST /v1/reversals`); then it leaves this list by itself, as it does when it is waived or the payment goes back. Where
/// a loan has several fees of its code, the waiver names it (`fee_event_id`). Only fees that were charged with `late_for` are
/// known to be late fees.
#[utoipa::path(get, path = "/v1/fees/reviews", tag = "fees", security(("oauth2" = ["hpts:ledger:read"])),
    params(("from_date" = Option<chrono::NaiveDate>, Query, description = "Fees that count from this day or later"),
        ("to_date" = Option<chrono::NaiveDate>, Query, description = "Fees that count from this day or before"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50: about so many fees"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = FeeReviewsList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_reviews(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<FeeReviewsList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let from = query.optional("from_date", parse_date);
    let to = query.optional("to_date", parse_date);
    let limit = query.page_size();
    let text = |date: Option<NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
    let paged = PagedQuery::new(caller.tenant, &["fee_reviews", &text(from), &text(to)]);
    let after = query.optional("page_token", |token| paged.place_of_size(token).map(LoanKey::from_bytes));
    query.finish()?;
    let after = after.unwrap_or(LoanKey::from_bytes([0; 16]));
    // Days that both engines know, and that no fee lies outside of.
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let (first, last) = (day(1, 1, 1), day(9999, 12, 31));
    let page = LateFeesPage { from: from.unwrap_or(first), to: to.unwrap_or(last), after, limit };
    let (found, next) = find(&state, caller.tenant, page).await?;
    Ok(Json(FeeReviewsList {
        items: found.iter().map(FeeReviewView::of).collect::<Result<_, _>>()?,
        next_page_token: next.map(|last| paged.token_of(&last.bytes())),
    }))
}

/// Looks at loans with late fees until a page is full, and says behind which loan the next one goes on.
async fn find(
    state: &ApiState,
    tenant: TenantId,
    mut page: LateFeesPage,
) -> Result<(Vec<FeeToReview>, Option<LoanKey>), ApiError> {
    let (mut found, mut looked_at) = (Vec::new(), 0_i64);
    loop {
        let loans = state.store().loans_with_late_fees(tenant, page).await?;
        let (shown, next) = cut(&loans, page.limit);
        let rows = state.store().late_fees(tenant, shown.to_vec(), page.from).await?;
        for loan in rows.chunk_by(|(a, _), (b, _)| a.event.loan_key == b.event.loan_key) {
            let in_days = |fee: &FeeToReview| (page.from..=page.to).contains(&fee.item.assessed_on);
            found.extend(LateFeeBook::of(loan).to_review().into_iter().filter(in_days));
        }
        let Some(last) = next.copied() else { return Ok((found, None)) };
        looked_at = looked_at.saturating_add(page.limit);
        let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= page.limit);
        if is_full || looked_at >= LOANS_LOOKED_AT_MAX {
            return Ok((found, Some(last)));
        }
        page.after = last;
    }
}

impl FeeReviewView {
    fn of(fee: &FeeToReview) -> Result<Self, ApiError> {
        let late_for = LateForView::of(&fee.late_for, fee.received);
        let item = FeeItemView::of(&fee.item)?.with_late_for(late_for, None);
        Ok(Self { loan_id: fee.loan_id.to_string(), fee: item })
    }
}
