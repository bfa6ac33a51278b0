//! Owns `GET /v1/loans/{loan_id}/statement`: opening balances, entries by effective date, closing balances, and totals.
//!
//! A statement is cut at a version of its loan: the first page chooses it, the page tokens carry it. So pages agree
//! with each other whatever is posted meanwhile, and opening balances plus rows are closing balances in every bucket.
//!
//! Each page walks the loan's postings a few times (2 microseconds a posting). CSV is streamed, a page at a time.

mod csv;
mod place;
mod totals;
mod view;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, NaiveDate};
use futures::stream::try_unfold;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::headers::prefers;
use crate::api::http::query::{PageSizes, Query};
use crate::api::openapi::ProblemDocument;
use crate::api::read::page_token::PagedQuery;
use crate::api::state::ApiState;
use crate::core::ids::{LoanId, LoanKey, TenantId};
use crate::core::ledger::JournalEntry;
use crate::core::loan::Balances;
use crate::core::money::AmountOverflow;
use crate::core::time::parse_date;
use crate::store::{HistoryCut, KindTotals, LoanDays, LoanSpan, StatementPage, StatementRecord, StoreError};

pub use totals::{PaymentTotals, StatementTotals, TypeTotals};
pub use view::{BalancesView, MovedView, StatementRow, StatementView};

use place::Place;

/// A statement of a month is one page for nearly every loan.
const PAGE_SIZES: PageSizes = PageSizes { default: 500, most: 1_000 };
/// Rows of a page of the CSV stream: about 300 kB.
const CSV_PAGE_ROWS: i64 = 1_000;

/// A loan's statement.
///
/// Rows are in the order of their effective dates, on one day in the order of posting. `Accept: text/csv` streams the
/// whole of it, with the opening balances as its first row and the closing ones as its last.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/statement", tag = "loans", security(("oauth2" = ["hpts:ledger:read"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan"),
        ("from_date" = Option<chrono::NaiveDate>, Query, description = "The first day; default: the loan's first"),
        ("to_date" = Option<chrono::NaiveDate>, Query, description = "The last day; default: today in the tenant's time zone"),
        ("page_size" = Option<u32>, Query, description = "1 to 1000, default 500; of JSON"),
        ("page_token" = Option<String>, Query, description = "From the page before"),
        ("Accept" = Option<String>, Header, description = "`application/json` (default) or `text/csv`")),
    responses((status = 200, description = "The statement", content(
            (StatementView = "application/json"), (String = "text/csv"))),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn get_statement(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead]).await?;
    let mut query = Query::of(&uri)?;
    let (from, to) = (query.optional("from_date", parse_date), query.optional("to_date", parse_date));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        query.fail("to_date", "range", "must not lie before from_date");
    }
    let limit = query.page_size_of(PAGE_SIZES);
    let loan_id = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let date = |date: Option<NaiveDate>| date.map_or_else(String::new, |date| date.to_string());
    let paged = PagedQuery::new(caller.tenant, &["statement", &loan_id.to_string(), &date(from), &date(to)]);
    let place = query.optional("page_token", |token| paged.place_of_size(token).and_then(Place::of_token));
    query.finish()?;
    let asked = Asked { state, tenant: caller.tenant, loan: LoanKey::of_loan(caller.tenant, loan_id) };
    let statement = asked.read(from, to, place).await?;
    if prefers(&headers, "text/csv") {
        return Ok(csv_stream(asked, statement));
    }
    let rows = asked.page(&statement, limit).await?;
    statement.view(rows, limit, &paged).map(|view| Json(view).into_response())
}

/// Whose statement.
#[derive(Clone)]
struct Asked {
    state: ApiState,
    tenant: TenantId,
    loan: LoanKey,
}

/// A statement before its rows.
struct Statement {
    days: LoanDays,
    span: LoanSpan,
    opening: Balances,
    closing: Balances,
    /// Where the rows go on.
    place: Place,
    period: Vec<KindTotals>,
    year_to_date: Vec<KindTotals>,
}

/// A balance that the books cannot hold.
fn broken(_: AmountOverflow) -> ApiError {
    ApiError::Broken("a balance leaves 64 bits")
}

impl Asked {
    async fn read(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        place: Option<Place>,
    ) -> Result<Statement, ApiError> {
        let store = self.state.store();
        let cut = place.map_or(HistoryCut::NOW, |place| HistoryCut::at_version(place.cut));
        let days = store.loan_days(self.tenant, self.loan, cut).await?.ok_or(ApiError::NotFound)?;
        let now = self.state.now();
        let today = self.state.tenants().get(store, self.tenant, now).await?.business_date(now);
        let from = from.unwrap_or(days.record.state.opened_on);
        let to = to.unwrap_or(today).max(from);
        let version = cut.version.min(days.record.state.version);
        let span = LoanSpan { from, to, version };
        let opening = days.history.balances_before(from).map_err(broken)?;
        let closing = days.history.balances_on(to).map_err(broken)?;
        let place = place.unwrap_or_else(|| Place::before(from, version, opening));
        let period = store.loan_totals(self.tenant, self.loan, span).await?;
        let year = LoanSpan { from: to.with_ordinal(1).unwrap_or(from), ..span };
        let year_to_date = store.loan_totals(self.tenant, self.loan, year).await?;
        Ok(Statement { days, span, opening, closing, place, period, year_to_date })
    }

    async fn page(&self, statement: &Statement, limit: i64) -> Result<Vec<StatementRecord>, StoreError> {
        let page = StatementPage { span: statement.span, after: statement.place.after, limit };
        self.state.store().statement_rows(self.tenant, self.loan, page).await
    }
}

impl Statement {
    /// Takes rows, with the balances after each; the next page begins behind them.
    fn take(&mut self, rows: &[StatementRecord]) -> Result<Vec<StatementRow>, ApiError> {
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let posting = row.record.posting.as_ref().ok_or(ApiError::Broken("a statement's row is not posted"))?;
            let moved = posting.entry.as_ref().map(JournalEntry::movement).transpose().map_err(broken)?;
            let moved = moved.unwrap_or_default();
            let balances = self.place.balances.plus(&moved).map_err(broken)?;
            let version = posting.loan_version.unwrap_or(i64::MAX);
            self.place = Place { after: (posting.effective_date, version), balances, ..self.place };
            views.push(StatementRow::new(row, posting, (&moved, &balances))?);
        }
        Ok(views)
    }

    fn view(
        mut self,
        mut rows: Vec<StatementRecord>,
        limit: i64,
        paged: &PagedQuery,
    ) -> Result<StatementView, ApiError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let rows = self.take(&rows)?;
        let next_page_token = (!is_last).then(|| paged.token_of(&self.place.to_token()));
        let LoanSpan { from, to, version } = self.span;
        let year = to.with_ordinal(1).unwrap_or(from);
        Ok(StatementView {
            loan_id: self.days.record.state.loan_id.to_string(),
            currency: self.days.record.state.currency.to_string(),
            from_date: from.to_string(),
            to_date: to.to_string(),
            loan_version: version,
            opening: BalancesView::of(&self.opening).map_err(broken)?,
            rows,
            closing: BalancesView::of(&self.closing).map_err(broken)?,
            period: StatementTotals::new((from, to), &self.period),
            year_to_date: StatementTotals::new((year, to), &self.year_to_date),
            next_page_token,
        })
    }
}

/// What a stream of CSV does next.
enum Next {
    Head,
    Page,
    Closing,
    Nothing,
}

fn csv_stream(asked: Asked, statement: Statement) -> Response {
    let stream = try_unfold((Next::Head, statement), move |(next, statement)| {
        let asked = asked.clone();
        async move { csv_part(&asked, next, statement).await }
    });
    let mut response = Body::from_stream(stream).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    response
}

async fn csv_part(
    asked: &Asked,
    next: Next,
    mut statement: Statement,
) -> Result<Option<(Bytes, (Next, Statement))>, ApiError> {
    let LoanSpan { from, to, .. } = statement.span;
    let (bytes, next) = match next {
        Next::Head => (csv::head(from, &BalancesView::of(&statement.opening).map_err(broken)?)?, Next::Page),
        Next::Page => {
            let mut rows = asked.page(&statement, CSV_PAGE_ROWS).await?;
            let most = usize::try_from(CSV_PAGE_ROWS).unwrap_or(usize::MAX);
            let next = if rows.len() > most { Next::Page } else { Next::Closing };
            rows.truncate(most);
            (csv::rows(&statement.take(&rows)?)?, next)
        }
        Next::Closing => (csv::closing(to, &BalancesView::of(&statement.closing).map_err(broken)?)?, Next::Nothing),
        Next::Nothing => return Ok(None),
    };
    Ok(Some((bytes.into(), (next, statement))))
}
