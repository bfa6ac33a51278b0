//! Owns `GET /v1/journal-entries`: the journal of a span of booking dates, streamed as NDJSON or CSV.
//!
//! Entries come in the order of acceptance. The journal is walked in stretches of events, and only the entries of one
//! stretch are in memory; between two stretches no connection of the database is held, so a slow reader keeps nobody
//! waiting. What is posted in the span while it is read may or may not be among them: export a closed period for a list
//! that is final.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{Days, NaiveDate, NaiveTime};
use futures::stream::try_unfold;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::entries::EntryView;
use crate::api::read::rows_form::{RowsForm, Tabular, guarded};
use crate::api::state::ApiState;
use crate::api::tenants::Tenant;
use crate::core::ids::{EventId, Seq, TenantId};
use crate::core::time::{Timestamp, parse_date};
use crate::store::JournalSpan;

/// Events of a stretch: some 50 milliseconds of reading, and at most some 20 megabytes of entries.
const STRETCH: i64 = 20_000;

/// How long before its booking date an event may have come: the 366 days that a tenant may allow, and a month and more
/// where its own period was closed.
const AHEAD_DAYS: u64 = 366 + 62;

/// The first line of the CSV form: a line of an entry each.
const CSV_HEADER: &str = "booking_date,effective_at,posted_at,journal_entry_id,event_type,sequence,account_code,\
    account_name,direction,amount_minor,currency,layer,loan_id,borrower_id,external_ref,correlation_id,\
    reverses_entry_id,actor,description\n";

/// The journal of a span of booking dates, in the order of acceptance.
#[utoipa::path(get, path = "/v1/journal-entries", tag = "ledger", security(("oauth2" = ["hpts:ledger:read"])),
    params(("from_date" = chrono::NaiveDate, Query, description = "Booked on or after"),
        ("to_date" = chrono::NaiveDate, Query, description = "Booked on or before"),
        ("Accept" = Option<String>, Header, description = "`application/x-ndjson` (default) or `text/csv`")),
    responses((status = 200, description = "One entry a line; in CSV one line of an entry a line, with a header",
            content((EntryView = "application/x-ndjson"), (String = "text/csv"))),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn export_journal(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead]).await?;
    let mut query = Query::of(&uri)?;
    let from = query.required("from_date", parse_date);
    let to = query.required("to_date", parse_date);
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        query.fail("to_date", "invalid", "must not be before from_date");
    }
    query.finish()?;
    let booked = from.zip(to).ok_or(ApiError::Broken("a required parameter is missing without a failure"))?;
    let tenant = state.tenants().get(state.store(), caller.tenant, state.now()).await?;
    let (after, last) = state.store().find_journal(since(booked.0)).await?;
    let form = RowsForm::of(&headers);
    let head = match form {
        RowsForm::Ndjson => Bytes::new(),
        RowsForm::Csv => Bytes::from_static(CSV_HEADER.as_bytes()),
    };
    let stretches = Stretches { state, tenant, of: caller.tenant, booked, form, head: Some(head), after, last };
    let mut response = Body::from_stream(try_unfold(stretches, Stretches::next)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, form.media_type());
    Ok(response)
}

/// The least id of an event that can be booked on this day or later.
fn since(booked: NaiveDate) -> EventId {
    let first = booked.checked_sub_days(Days::new(AHEAD_DAYS)).unwrap_or(NaiveDate::MIN);
    EventId::least_of(Timestamp::new(first.and_time(NaiveTime::MIN).and_utc()))
}

/// Where the stream stands.
struct Stretches {
    state: ApiState,
    tenant: std::sync::Arc<Tenant>,
    of: TenantId,
    booked: (NaiveDate, NaiveDate),
    form: RowsForm,
    /// What comes before the first entry.
    head: Option<Bytes>,
    after: Seq,
    /// The last event when the export began.
    last: Seq,
}

impl Stretches {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        if let Some(head) = self.head.take() {
            return Ok(Some((head, self)));
        }
        while self.after < self.last {
            let to = Seq(self.after.0.saturating_add(STRETCH)).min(self.last);
            let span = JournalSpan { after: self.after, to, booked: self.booked };
            let records = self.state.store().journal(self.of, span).await?;
            self.after = to;
            let chart = &self.tenant.chart;
            let entries: Vec<EntryView> =
                records.iter().filter_map(|record| EntryView::of_record(record, chart)).collect();
            if !entries.is_empty() {
                let bytes = self.form.write(&entries)?;
                return Ok(Some((bytes.into(), self)));
            }
        }
        Ok(None)
    }
}

impl Tabular for EntryView {
    fn lines(&self, write: &mut dyn FnMut(Vec<String>)) {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        for line in &self.lines {
            write(vec![
                self.booking_date.clone(),
                self.effective_at.clone(),
                self.posted_at.clone(),
                self.journal_entry_id.clone(),
                self.event_type.to_owned(),
                line.sequence.to_string(),
                line.account_code.clone(),
                guarded(&line.account_name),
                line.direction.to_owned(),
                line.amount_minor.clone(),
                line.currency.clone(),
                line.layer.to_owned(),
                line.loan_id.clone(),
                text(&line.borrower_id),
                guarded(&text(&line.external_ref)),
                text(&self.correlation_id),
                text(&self.reverses_entry_id),
                guarded(&self.actor),
                guarded(&text(&self.description)),
            ]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_begins_with_the_first_event_that_can_be_booked_there() {
        let day = |text: &str| parse_date(text).unwrap();
        assert!(since(day("2026-05-01")) > since(day("2026-04-30")));
        let first = since(day("2026-05-01")).0.as_u128() >> 80;
        assert_eq!(first, 1_740_614_400_000, "2025-02-27, in milliseconds");
        assert!(since(day("0001-01-01")) <= since(day("1970-01-01")));
    }
}
