//! Owns the reads of endpoints and of what became of deliveries.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};

use super::SCOPES;
use super::operate::endpoint;
use super::view::{DeliveriesList, DeliveryView, EndpointView, EndpointsList};
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::store::EndpointRef;

/// A tenant's endpoints.
#[utoipa::path(get, path = "/v1/webhook-endpoints", tag = "webhooks", security(("oauth2" = ["hpts:webhooks:write"])),
    responses((status = 200, description = "The endpoints, oldest first", body = EndpointsList)))]
pub(crate) async fn list_endpoints(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<EndpointsList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    let endpoints = state.store().webhook_endpoints(caller.tenant).await?;
    Ok(Json(EndpointsList { items: endpoints.iter().map(EndpointView::of).collect() }))
}

/// An endpoint, and how it fares.
#[utoipa::path(get, path = "/v1/webhook-endpoints/{id}", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint")),
    responses((status = 200, description = "The endpoint", body = EndpointView),
        (status = 404, description = "No such endpoint", body = ProblemDocument)))]
pub(crate) async fn get_endpoint(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<EndpointView>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    Query::of(&uri)?.finish()?;
    endpoint(&state, caller.tenant, &id).await.map(|record| Json(EndpointView::of(&record)))
}

/// The newest deliveries of an endpoint that failed at least once, and its pings. Settled ones are kept for 30 days.
#[utoipa::path(get, path = "/v1/webhook-endpoints/{id}/deliveries", tag = "webhooks",
    security(("oauth2" = ["hpts:webhooks:write"])),
    params(("id" = uuid::Uuid, Path, description = "The endpoint"),
        ("page_size" = Option<u32>, Query, description = "1 to 500, default 50")),
    responses((status = 200, description = "The deliveries, newest first", body = DeliveriesList),
        (status = 404, description = "No such endpoint", body = ProblemDocument)))]
pub(crate) async fn list_deliveries(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<DeliveriesList>, ApiError> {
    let caller = state.caller(&headers, SCOPES).await?;
    let mut query = Query::of(&uri)?;
    let limit = query.page_size();
    query.finish()?;
    let record = endpoint(&state, caller.tenant, &id).await?;
    let of = EndpointRef { tenant: caller.tenant, id: record.id };
    let deliveries = state.store().webhook_deliveries(of, limit).await?;
    let items = deliveries.into_iter().map(|delivery| DeliveryView::of(record.id, delivery)).collect();
    Ok(Json(DeliveriesList { items }))
}
