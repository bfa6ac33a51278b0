//! Owns webhooks in the file: operations on endpoints, turns, deliveries.

pub(super) mod operate;
pub(super) mod read;
pub(super) mod turn;

use std::time::Duration;

use async_trait::async_trait;

use crate::core::ids::{TenantId, WebhookEndpointId};
use crate::core::time::Timestamp;
use crate::store::sqlite::SqliteStore;
use crate::store::{
    ChangePlace, ClaimPlan, DeliveryRecord, DueDelivery, EndpointHold, EndpointRecord, EndpointRef, NewOperation,
    Operated, StoreError, Turned, WebhookStore,
};

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn operate_webhook(&self, operation: NewOperation) -> Result<Operated, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("operate_webhook", move |db| Box::pin(operate::operate(db, operation, clock.now()))).await
    }

    async fn webhook_endpoints(&self, tenant: TenantId) -> Result<Vec<EndpointRecord>, StoreError> {
        self.read(move |db| Box::pin(read::endpoints(db, tenant))).await
    }

    async fn webhook_endpoint(&self, endpoint: EndpointRef) -> Result<Option<EndpointRecord>, StoreError> {
        self.read(move |db| Box::pin(read::endpoint(db, endpoint))).await
    }

    async fn webhook_deliveries(&self, endpoint: EndpointRef, limit: i64) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.read(move |db| Box::pin(read::deliveries(db, endpoint, limit))).await
    }

    async fn place_before(&self, tenant: TenantId, since: Timestamp) -> Result<ChangePlace, StoreError> {
        self.read(move |db| Box::pin(read::place_before(db, tenant, since))).await
    }

    async fn claim_endpoints(&self, plan: ClaimPlan) -> Result<Vec<EndpointRecord>, StoreError> {
        let now = self.clock.now();
        // The writer is only asked for where there is something to write.
        let ids = self.read(move |db| Box::pin(turn::claimable(db, plan, now))).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let clock = self.clock.clone();
        self.writer.run("claim_endpoints", move |db| Box::pin(turn::claim(db, ids, plan, clock.now()))).await
    }

    async fn due_deliveries(&self, id: WebhookEndpointId, limit: i64) -> Result<Vec<DueDelivery>, StoreError> {
        let now = self.clock.now();
        self.read(move |db| Box::pin(turn::due(db, id, limit, now))).await
    }

    async fn record_turn(&self, turned: Turned) -> Result<bool, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("record_turn", move |db| Box::pin(turn::record(db, turned, clock.now()))).await
    }

    async fn release_endpoint(&self, hold: EndpointHold, forget_after: Duration) -> Result<(), StoreError> {
        let clock = self.clock.clone();
        self.writer
            .run("release_endpoint", move |db| Box::pin(turn::release(db, hold, forget_after, clock.now())))
            .await
    }
}
