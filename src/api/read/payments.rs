//! Owns `GET /v1/payments/{payment_event_id}` and `GET /v1/payments`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use chrono::{Days, NaiveDate, NaiveTime};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::events::followed;
use crate::api::read::page_token::{PagedQuery, cut};
use crate::api::read::status::EventView;
use crate::api::state::ApiState;
use crate::core::ids::{EventId, LoanId, LoanKey, PaymentBatchId, Seq, TenantId, first_id_at};
use crate::core::time::{Timestamp, parse_date};
use crate::store::{EventRecord, PaymentsFilter, PaymentsPage};

const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::PaymentsWrite];

/// The longest range of days without a loan or a batch: what is read is bounded by it.
const RANGE_DAYS_MAX: i64 = 31;

/// The most payments that a page is looked for in: some tenths of a second, where few of them are as asked.
const WALKED_MAX: i64 = 50_000;

/// A page of payments: of a loan in the order of acceptance, of an upload in row order, of days in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentsList {
    /// The payments.
    items: Vec<EventView>,
    /// Gets the next page; absent on the last. A page may have fewer payments than asked for, even none, and yet not be the
    /// last: it has looked through as many as one page may.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// The status of a payment.
///
/// With `known_at` only what was posted by that instant counts: its split, and what had undone it, as a reader saw them then.
/// What had been accepted and not posted is `accepted`. For an instant that is more than a minute ago the answer never changes.
#[utoipa::path(get, path = "/v1/payments/{payment_event_id}", tag = "payments",
    security(("oauth2" = ["hpts:ledger:read"])),
    params(("payment_event_id" = uuid::Uuid, Path, description = "The payment"),
        ("wait" = Option<u32>, Query, description = "Seconds to wait for its end, at most 60"),
        ("known_at" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "As it was known at this instant, RFC 3339 in UTC; without wait")),
    responses((status = 200, description = "Its status", body = EventView),
        (status = 404, description = "No such payment, or not at that time", body = ProblemDocument)))]
pub(crate) async fn get_payment(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<EventView>, ApiError> {
    let followed = followed(&state, &id, (&uri, &headers), SCOPES).await?;
    if followed.record.event.event.kind.is_payment() {
        followed.view(&state).await.map(Json)
    } else {
        Err(ApiError::NotFound)
    }
}

/// Payments by loan, batch, key, reference, status or days of acceptance.
#[utoipa::path(get, path = "/v1/payments", tag = "payments", security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_id" = Option<uuid::Uuid>, Query, description = "Of one loan"),
        ("batch_id" = Option<uuid::Uuid>, Query, description = "Of one upload"),
        ("idempotency_key" = Option<String>, Query, description = "Of one key; alone"),
        ("external_ref" = Option<String>, Query, description = "Together with a loan, a batch or days"),
        ("status" = Option<String>, Query, description = "Together with a loan, a batch or days"),
        ("from_date" = Option<chrono::NaiveDate>, Query, description = "Accepted on or after this day, UTC"),
        ("to_date" = Option<chrono::NaiveDate>, Query, description = "Accepted on or before this day, UTC"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50"),
        ("page_token" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, description = "A page", body = PaymentsList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_payments(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<PaymentsList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    match Listing::read(&mut query, caller.tenant, state.now()) {
        Listing::OfKey(key) => {
            query.finish()?;
            let record = state.store().event_of_key(caller.tenant, &key).await?;
            let is_payment = |record: &EventRecord| record.event.event.kind.is_payment();
            let items = record.filter(is_payment).iter().map(|record| EventView::new(&record.into(), None)).collect();
            Ok(Json(PaymentsList { items, next_page_token: None }))
        }
        Listing::Paged { filter, paged } => {
            query.finish()?;
            let limit = filter.limit;
            let found = state.store().payments(caller.tenant, filter).await?;
            Ok(Json(page(&found, limit, &paged)))
        }
    }
}

fn page(found: &PaymentsPage, limit: i64, paged: &PagedQuery) -> PaymentsList {
    let (shown, next) = cut(&found.events, limit);
    PaymentsList {
        items: shown.iter().map(|event| EventView::new(event, None)).collect(),
        next_page_token: next.map(|last| last.seq).or(found.goes_on_after).map(|after| paged.token(after.0)),
    }
}

/// What is asked for.
enum Listing {
    OfKey(String),
    Paged { filter: PaymentsFilter, paged: PagedQuery },
}

impl Listing {
    /// Reads the parameters; failures stay in the query.
    fn read(query: &mut Query, tenant: TenantId, now: Timestamp) -> Self {
        let key = query.text("idempotency_key");
        let loan = query.optional("loan_id", LoanId::parse);
        let batch = query.optional("batch_id", PaymentBatchId::parse);
        let external_ref = query.text("external_ref");
        let status = query.optional("status", parse_status);
        let from = query.optional("from_date", parse_date);
        let to = query.optional("to_date", parse_date);
        let limit = query.page_size();
        if let Some(key) = key {
            if loan.is_some() || batch.is_some() || external_ref.is_some() || status.is_some() || from.or(to).is_some()
            {
                query.fail("idempotency_key", "combination", "must stand alone");
            }
            return Self::OfKey(key);
        }
        if loan.is_none() && batch.is_none() {
            check_range(query, from, to, now);
        }
        let text = |value: Option<String>| value.unwrap_or_default();
        let paged = PagedQuery::new(
            tenant,
            &[
                // Tokens of a release that listed uploads and days by acceptance are of another query.
                if loan.is_some() { "payments" } else { "payments by row or id" },
                &text(loan.map(|loan| loan.to_string())),
                &text(batch.map(|batch| batch.to_string())),
                external_ref.as_deref().unwrap_or(""),
                status.unwrap_or(""),
                &text(from.map(|date| date.to_string())),
                &text(to.map(|date| date.to_string())),
            ],
        );
        let after = query.optional("page_token", |token| paged.place(token)).map(Seq);
        let filter = PaymentsFilter {
            loan: loan.map(|loan| LoanKey::of_loan(tenant, loan)),
            batch,
            external_ref,
            status,
            accepted_from: from.map(first_id_of),
            accepted_before: to.and_then(|date| date.checked_add_days(Days::new(1))).map(first_id_of),
            after,
            limit,
            walked_max: Some(WALKED_MAX),
        };
        Self::Paged { filter, paged }
    }
}

/// Without a loan or a batch, a listing needs a range of days, because reference and status have no index.
fn check_range(query: &mut Query, from: Option<NaiveDate>, to: Option<NaiveDate>, now: Timestamp) {
    let Some(from) = from else {
        query.fail("from_date", "required", "is required where neither loan_id, batch_id nor idempotency_key is given");
        return;
    };
    let to = to.unwrap_or_else(|| now.utc().date_naive());
    let days = to.signed_duration_since(from).num_days();
    if days.saturating_add(1) > RANGE_DAYS_MAX {
        query.fail("to_date", "range", "must be at most 31 days from from_date, both included");
    }
}

fn parse_status(word: &str) -> Result<&'static str, &'static str> {
    let words = ["accepted", "held", "parked", "posted", "rejected", "returned", "reversed"];
    let known = words.into_iter().find(|known| *known == word);
    known.ok_or("must be accepted, held, parked, posted, rejected, returned or reversed")
}

/// The smallest id made on a day, UTC.
fn first_id_of(day: NaiveDate) -> EventId {
    EventId(first_id_at(Timestamp::new(day.and_time(NaiveTime::MIN).and_utc())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(query: &'static str) -> Vec<String> {
        let now = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        let mut query = Query::of(&Uri::from_static(query)).unwrap();
        Listing::read(&mut query, TenantId(uuid::Uuid::from_u128(1)), now);
        match query.finish() {
            Err(ApiError::InvalidParameters(errors)) => errors.into_iter().map(|error| error.field).collect(),
            Err(other) => panic!("{other:?}"),
            Ok(()) => Vec::new(),
        }
    }

    #[test]
    fn a_page_that_found_nothing_may_go_on() {
        let paged = PagedQuery::new(TenantId(uuid::Uuid::from_u128(1)), &["payments"]);
        let told =
            |goes_on_after| page(&PaymentsPage { events: Vec::new(), goes_on_after }, 50, &paged).next_page_token;
        assert_eq!((told(None), told(Some(Seq(7)))), (None, Some(paged.token(7))));
    }

    #[test]
    fn reference_and_status_need_a_bound() {
        assert!(failing("/?loan_id=11111111-1111-1111-1111-111111111111&status=posted").is_empty());
        assert!(failing("/?from_date=2026-05-01&to_date=2026-05-31&external_ref=x").is_empty());
        assert!(failing("/?from_date=2026-04-30").is_empty());
        assert!(failing("/?idempotency_key=payment:1").is_empty());
        assert_eq!(failing("/?from_date=2026-05-01&to_date=2026-06-01"), ["to_date"]);
        assert_eq!(failing("/?status=posted"), ["from_date"]);
        assert_eq!(failing("/"), ["from_date"]);
        assert_eq!(failing("/?idempotency_key=payment:1&status=posted"), ["idempotency_key"]);
        assert_eq!(
            failing("/?loan_id=1&batch_id=2&status=x&from_date=2026-02-30"),
            ["loan_id", "batch_id", "status", "from_date", "from_date"]
        );
        assert_eq!(failing("/?from_date=2026-05-01&page_token=AAAA"), ["page_token"]);
    }
}
