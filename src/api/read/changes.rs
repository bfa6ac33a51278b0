//! Owns `GET /v1/changes`: what reached a final state since a cursor.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::api::auth::{Caller, Scope};
use crate::api::changes::{Begin, ChangesPage, changes_page};
use crate::api::error::ApiError;
use crate::api::http::heavy::json_of;
use crate::api::http::query::{PageSizes, Query};
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::core::ids::TenantId;
use crate::store::{Change, ChangePlace, StoreError};

/// Whoever reads the books, or pays into them.
pub(crate) const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::PaymentsWrite];

/// A poller wants many: 5,000 take 15 ms to read and are about 2 MB.
const PAGE_SIZES: PageSizes = PageSizes { default: 500, most: 5_000 };

/// What reached a final state since a cursor: nothing skipped, nothing twice, whatever is posted meanwhile.
///
/// Inside a loan `loan_version` is the order; the order of the feed is not. Everything is there for ever: without a
/// cursor the feed begins at its beginning.
#[utoipa::path(get, path = "/v1/changes", tag = "payments", security(("oauth2" = ["hpts:ledger:read"])),
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; `latest` begins now"),
        ("page_size" = Option<u32>, Query, description = "1 to 5000, default 500"),
        ("wait" = Option<u32>, Query, description = "Seconds to wait where nothing is new, at most 60")),
    responses((status = 200, description = "A page; `next_cursor` is always there", body = ChangesPage),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn list_changes(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let FeedRequest { caller, mut query, begin } = FeedRequest::read(&state, &uri, &headers).await?;
    let tenant = caller.tenant;
    let limit = query.page_size_of(PAGE_SIZES);
    let wait = query.wait();
    query.finish()?;
    let after = place_to_begin(&state, tenant, begin).await?;
    let changes = changes_in_time(&state, tenant, (after, limit), wait).await?;
    json_of(move || changes_page(tenant, after, &changes, usize::try_from(limit).unwrap_or(usize::MAX))).await
}

/// A reader of a change feed, and where he wants to begin.
pub(crate) struct FeedRequest {
    pub(crate) caller: Arc<Caller>,
    /// What else he asks for.
    pub(crate) query: Query,
    pub(crate) begin: Begin,
}

impl FeedRequest {
    /// Reads a request; a bad cursor is told when the query ends.
    pub(crate) async fn read(state: &ApiState, uri: &Uri, headers: &HeaderMap) -> Result<Self, ApiError> {
        let caller = state.caller(headers, SCOPES).await?;
        let mut query = Query::of(uri)?;
        let begin = query.optional("cursor", |text| Begin::parse(caller.tenant, text)).unwrap_or_default();
        Ok(Self { caller, query, begin })
    }
}

/// The place that a reader begins behind.
pub(crate) async fn place_to_begin(
    state: &ApiState,
    tenant: TenantId,
    begin: Begin,
) -> Result<ChangePlace, StoreError> {
    match begin {
        Begin::After(place) => Ok(place),
        Begin::Latest => {
            let ends = state.store().changed(vec![(tenant, ChangePlace::START)]).await?;
            Ok(ends.first().map_or(ChangePlace::START, |(_, end)| *end))
        }
    }
}

/// The changes behind a place; where there are none they are waited for.
async fn changes_in_time(
    state: &ApiState,
    tenant: TenantId,
    (after, limit): (ChangePlace, i64),
    wait: Duration,
) -> Result<Vec<Change>, StoreError> {
    let changes = state.store().changes(tenant, after, limit).await?;
    if !changes.is_empty() || wait.is_zero() {
        return Ok(changes);
    }
    // Whoever follows is told of everything beyond his place, also of what came before he began.
    let mut follower = state.changes().follow(tenant);
    tokio::select! {
        biased;
        () = state.lifecycle().stopping() => return Ok(changes),
        beyond = tokio::time::timeout(wait, follower.beyond(after)) => if beyond.is_err() { return Ok(changes) },
    }
    state.store().changes(tenant, after, limit).await
}
