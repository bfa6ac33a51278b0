//! Owns the turns at endpoints: taking, recording and giving back.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::read::{endpoint, endpoint_columns, told};
use crate::core::ids::WebhookEndpointId;
use crate::store::postgres::connect::{PostgresStore, begin, finish};
use crate::store::postgres::error::classify;
use crate::store::postgres::poller_reads::shown_before;
use crate::store::postgres::processes::interval;
use crate::store::postgres::rows::Columns;
use crate::store::{
    Attempt, AttemptFailure, ClaimPlan, DisabledReason, DueDelivery, EndpointHold, EndpointRecord, StoreError, Turned,
};

/// Takes turns: where a delivery is due, or the feed goes on and not too much waits already. `SKIP LOCKED`, because
/// whoever has the row right now takes the turn.
pub(super) const CLAIM_ENDPOINTS: &str = concat!(
    "UPDATE webhook_endpoints w SET holder = $1, leased_to = clock_timestamp() + $2::interval \
     FROM (SELECT e.id FROM webhook_endpoints e WHERE e.disabled_at IS NULL \
     AND e.leased_to <= clock_timestamp() AND e.paused_to <= clock_timestamp() \
     AND (EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = e.id \
     AND d.next_attempt_at <= clock_timestamp()) \
     OR (EXISTS (SELECT FROM changes c WHERE c.tenant = e.tenant AND (c.epoch, c.xact) >= (e.epoch, e.xact) \
     AND (c.epoch, c.xact) < ",
    shown_before!(),
    " AND (c.epoch > e.epoch OR c.xact > e.xact OR cardinality(c.seqs) > e.taken)) \
     AND (SELECT count(*) FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.next_attempt_at IS NOT NULL) < $4)) \
     ORDER BY e.leased_to LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) AS due WHERE w.id = due.id RETURNING ",
    endpoint_columns!()
);

pub(super) const READ_DUE: &str = "SELECT event_id, event_type, attempts, created_at FROM webhook_deliveries \
     WHERE endpoint_id = $1 AND next_attempt_at <= clock_timestamp() ORDER BY next_attempt_at LIMIT $2";

/// Renews the turn and keeps what came of it. The place moves only from where it was: a replay may have moved it.
pub(super) const RECORD_TURN: &str = "UPDATE webhook_endpoints SET leased_to = clock_timestamp() + $3::interval, \
     epoch = CASE WHEN (epoch, xact, taken) = ($4, $5, $6) THEN $7 ELSE epoch END, \
     xact = CASE WHEN (epoch, xact, taken) = ($4, $5, $6) THEN $8 ELSE xact END, \
     taken = CASE WHEN (epoch, xact, taken) = ($4, $5, $6) THEN $9 ELSE taken END, \
     failures = coalesce($10, failures), \
     failing_since = CASE WHEN $10 = 0 THEN NULL WHEN $10 > 0 THEN coalesce(failing_since, clock_timestamp()) \
     ELSE failing_since END, \
     delivered_at = CASE WHEN $10 = 0 THEN clock_timestamp() ELSE delivered_at END, \
     paused_to = CASE WHEN $11::interval > interval '0' THEN clock_timestamp() + $11::interval ELSE paused_to END, \
     disabled_reason = coalesce(disabled_reason, $12), \
     disabled_at = coalesce(disabled_at, CASE WHEN $12::text IS NOT NULL THEN clock_timestamp() END) \
     WHERE id = $1 AND holder = $2 RETURNING disabled_at IS NULL";

/// One that was settled and is told again, by a replay, begins anew.
pub(super) const UPSERT_FAILURES: &str = "INSERT INTO webhook_deliveries AS d (endpoint_id, event_id, event_type, \
     created_at, attempts, next_attempt_at, last_attempt_at, status, error, duration_ms) \
     SELECT $1, n.event_id, n.event_type, clock_timestamp(), 1, \
     clock_timestamp() + n.pause * interval '1 microsecond', clock_timestamp(), n.status, n.error, n.duration_ms \
     FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::integer[], $6::text[], $7::bigint[]) \
     AS n (event_id, event_type, pause, status, error, duration_ms) ORDER BY n.event_id, n.event_type \
     ON CONFLICT (endpoint_id, event_id, event_type) DO UPDATE \
     SET attempts = CASE WHEN d.next_attempt_at IS NULL THEN 1 ELSE d.attempts + 1 END, \
     next_attempt_at = excluded.next_attempt_at, last_attempt_at = excluded.last_attempt_at, delivered_at = NULL, \
     status = excluded.status, error = excluded.error, duration_ms = excluded.duration_ms";

pub(super) const SETTLE_DELIVERED: &str = "UPDATE webhook_deliveries d SET attempts = d.attempts + 1, \
     next_attempt_at = NULL, last_attempt_at = clock_timestamp(), delivered_at = clock_timestamp(), \
     status = n.status, error = NULL, duration_ms = n.duration_ms \
     FROM unnest($2::uuid[], $3::text[], $4::integer[], $5::bigint[]) AS n (event_id, event_type, status, duration_ms) \
     WHERE d.endpoint_id = $1 AND d.event_id = n.event_id AND d.event_type = n.event_type";

pub(super) const RELEASE_ENDPOINT: &str =
    "UPDATE webhook_endpoints SET leased_to = clock_timestamp(), holder = NULL WHERE id = $1 AND holder = $2";

pub(super) const FORGET_DELIVERIES: &str = "DELETE FROM webhook_deliveries WHERE endpoint_id = $1 \
     AND next_attempt_at IS NULL AND created_at < clock_timestamp() - $2::interval \
     AND last_attempt_at < clock_timestamp() - $2::interval";

impl PostgresStore {
    pub(super) async fn claim(&self, plan: ClaimPlan) -> Result<Vec<EndpointRecord>, StoreError> {
        let query = sqlx::query(CLAIM_ENDPOINTS)
            .bind(plan.worker.0)
            .bind(interval(plan.lease)?)
            .bind(plan.limit)
            .bind(plan.pending_max);
        self.many(query, endpoint).await
    }

    pub(super) async fn read_due(&self, id: WebhookEndpointId, limit: i64) -> Result<Vec<DueDelivery>, StoreError> {
        self.many(sqlx::query(READ_DUE).bind(id.0).bind(limit), due).await
    }

    pub(super) async fn write_turn(&self, turned: Turned) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = record(&mut transaction, &turned).await;
        finish(transaction, done).await
    }

    pub(super) async fn give_back_endpoint(
        &self,
        hold: EndpointHold,
        forget_after: Duration,
    ) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(FORGET_DELIVERIES).bind(hold.id.0).bind(interval(forget_after)?);
        query.execute(&mut *connection).await.map_err(classify)?;
        let query = sqlx::query(RELEASE_ENDPOINT).bind(hold.id.0).bind(hold.worker.0);
        query.execute(&mut *connection).await.map_err(classify).map(drop)
    }
}

fn due(row: &PgRow) -> Result<DueDelivery, StoreError> {
    let mut columns = Columns::of(row);
    Ok(DueDelivery { told: told(&mut columns)?, attempts: columns.take()?, created_at: columns.instant()? })
}

async fn record(connection: &mut PgConnection, turned: &Turned) -> Result<bool, StoreError> {
    let query = sqlx::query(RECORD_TURN)
        .bind(turned.hold.id.0)
        .bind(turned.hold.worker.0)
        .bind(interval(turned.lease)?)
        .bind(turned.from.epoch)
        .bind(turned.from.xact)
        .bind(turned.from.taken)
        .bind(turned.to.epoch)
        .bind(turned.to.xact)
        .bind(turned.to.taken)
        .bind(turned.failures)
        .bind(interval(turned.pause)?)
        .bind(turned.disabled.map(DisabledReason::as_str));
    // Whoever has the turn now does all this again.
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else { return Ok(false) };
    let is_enabled = Columns::of(&row).take()?;
    let (failed, delivered): (Vec<&Attempt>, Vec<&Attempt>) =
        turned.attempts.iter().partition(|attempt| attempt.failure.is_some());
    if !failed.is_empty() {
        upsert_failures(connection, turned.hold.id, &failed).await?;
    }
    if !delivered.is_empty() {
        settle_delivered(connection, turned.hold.id, &delivered).await?;
    }
    Ok(is_enabled)
}

async fn upsert_failures(
    connection: &mut PgConnection,
    endpoint: WebhookEndpointId,
    failed: &[&Attempt],
) -> Result<(), StoreError> {
    let failure = |attempt: &&Attempt| attempt.failure.clone();
    let micros = |pause: Duration| i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    let pause = |attempt: &&Attempt| failure(attempt).and_then(|it: AttemptFailure| it.pause).map(micros);
    let query = sqlx::query(UPSERT_FAILURES)
        .bind(endpoint.0)
        .bind(failed.iter().map(|it| it.told.event_id.0).collect::<Vec<_>>())
        .bind(failed.iter().map(|it| it.told.event_type.as_str()).collect::<Vec<_>>())
        .bind(failed.iter().map(pause).collect::<Vec<_>>())
        .bind(failed.iter().map(|it| it.status.map(i32::from)).collect::<Vec<_>>())
        .bind(failed.iter().map(|it| failure(it).map(|failure| failure.error)).collect::<Vec<_>>())
        .bind(failed.iter().map(|it| millis(it.duration)).collect::<Vec<_>>());
    query.execute(connection).await.map_err(classify).map(drop)
}

async fn settle_delivered(
    connection: &mut PgConnection,
    endpoint: WebhookEndpointId,
    delivered: &[&Attempt],
) -> Result<(), StoreError> {
    let query = sqlx::query(SETTLE_DELIVERED)
        .bind(endpoint.0)
        .bind(delivered.iter().map(|it| it.told.event_id.0).collect::<Vec<_>>())
        .bind(delivered.iter().map(|it| it.told.event_type.as_str()).collect::<Vec<_>>())
        .bind(delivered.iter().map(|it| it.status.map(i32::from)).collect::<Vec<_>>())
        .bind(delivered.iter().map(|it| millis(it.duration)).collect::<Vec<_>>());
    query.execute(connection).await.map_err(classify).map(drop)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
