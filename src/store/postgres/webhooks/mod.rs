//! Owns webhooks in PostgreSQL: operations on endpoints, turns, deliveries.

mod operate;
mod read;
mod turn;

use std::time::Duration;

use async_trait::async_trait;

use super::connect::PostgresStore;
use crate::core::ids::{TenantId, WebhookEndpointId};
use crate::core::time::Timestamp;
use crate::store::{
    ChangePlace, ClaimPlan, DeliveryRecord, DueDelivery, EndpointHold, EndpointRecord, EndpointRef, NewOperation,
    Operated, StoreError, Turned, WebhookStore,
};

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 20] = [
    ("post_operation", operate::POST_OPERATION),
    ("read_answer", operate::READ_ANSWER),
    ("insert_endpoint", operate::INSERT_ENDPOINT),
    ("endpoint_of_url", operate::ENDPOINT_OF_URL),
    ("rotate_secret", operate::ROTATE_SECRET),
    ("disable_endpoint", operate::DISABLE_ENDPOINT),
    ("enable_endpoint", operate::ENABLE_ENDPOINT),
    ("insert_ping", operate::INSERT_PING),
    ("rewind_endpoint", operate::REWIND_ENDPOINT),
    ("read_endpoints", read::READ_ENDPOINTS),
    ("read_endpoint", read::READ_ENDPOINT),
    ("read_deliveries", read::READ_DELIVERIES),
    ("read_places", read::READ_PLACES),
    ("claim_endpoints", turn::CLAIM_ENDPOINTS),
    ("read_due", turn::READ_DUE),
    ("record_turn", turn::RECORD_TURN),
    ("upsert_failures", turn::UPSERT_FAILURES),
    ("settle_delivered", turn::SETTLE_DELIVERED),
    ("release_endpoint", turn::RELEASE_ENDPOINT),
    ("forget_deliveries", turn::FORGET_DELIVERIES),
];

#[async_trait]
impl WebhookStore for PostgresStore {
    async fn operate_webhook(&self, operation: NewOperation) -> Result<Operated, StoreError> {
        self.owned(move |store| async move { store.operate(operation).await }).await
    }

    async fn webhook_endpoints(&self, tenant: TenantId) -> Result<Vec<EndpointRecord>, StoreError> {
        self.owned(move |store| async move { store.read_endpoints(tenant).await }).await
    }

    async fn webhook_endpoint(&self, endpoint: EndpointRef) -> Result<Option<EndpointRecord>, StoreError> {
        self.owned(move |store| async move { store.read_endpoint(endpoint).await }).await
    }

    async fn webhook_deliveries(&self, endpoint: EndpointRef, limit: i64) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.owned(move |store| async move { store.read_deliveries(endpoint, limit).await }).await
    }

    async fn place_before(&self, tenant: TenantId, since: Timestamp) -> Result<ChangePlace, StoreError> {
        self.owned_long(move |store| async move { store.find_place(tenant, since).await }).await
    }

    async fn claim_endpoints(&self, plan: ClaimPlan) -> Result<Vec<EndpointRecord>, StoreError> {
        self.owned(move |store| async move { store.claim(plan).await }).await
    }

    async fn due_deliveries(&self, id: WebhookEndpointId, limit: i64) -> Result<Vec<DueDelivery>, StoreError> {
        self.owned(move |store| async move { store.read_due(id, limit).await }).await
    }

    async fn record_turn(&self, turned: Turned) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.write_turn(turned).await }).await
    }

    async fn release_endpoint(&self, hold: EndpointHold, forget_after: Duration) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.give_back_endpoint(hold, forget_after).await }).await
    }
}
